//! What a backend does: it takes asks until its worker is gone.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use arrow::array::RecordBatch;
use shardmill_sql::{Limits, STACK, SqlError};

use super::full::end_when_full;
use super::message::{Answer, Ask, Work, receive, send};
use super::rows::{Batches, batches, map};
use crate::program::system::{self, Limit};

/// What `shardmill __compute` does, with a socket for its standard input. Never returns.
pub fn backend_main() -> ! {
    std::process::exit(i32::from(serve().is_err()))
}

fn serve() -> io::Result<()> {
    system::be_called_shardmill();
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let watched = socket.try_clone()?;
    std::thread::Builder::new().spawn(move || {
        system::wait_for_hangup(&watched);
        // Nobody wants what is being computed.
        std::process::exit(0);
    })?;
    // Should the machine run out of memory, this goes before the worker does.
    let _ = std::fs::write("/proc/self/oom_score_adj", "900");
    system::limit(Limit::Core, 0, 0);
    shardmill_sql::warm_up();
    end_when_full();
    let before = system::data_bytes();
    let Some(((), file)) = receive(&socket)? else { return Ok(()) };
    let input = with_it(file)?;
    while let Some((ask, file)) = receive::<Ask>(&socket)? {
        let output = with_it(file)?;
        let data = before.saturating_add(STACK as u64).saturating_add(allowed(ask.memory));
        system::limit(Limit::Data, data, u64::MAX);
        let answer = answer(&ask, &input, &output);
        send(&socket, &answer, None)?;
    }
    Ok(())
}

/// The file that came with a message.
fn with_it(file: Option<OwnedFd>) -> io::Result<File> {
    file.map(File::from).ok_or_else(|| io::Error::other("a message without its file"))
}

/// What the kernel lets a statement have that may hold so many bytes: what the engine does not count is in it, too.
fn allowed(memory: u64) -> u64 {
    const UNCOUNTED: u64 = 64 << 20;
    memory.saturating_add(memory / 4).saturating_add(UNCOUNTED)
}

fn answer(ask: &Ask, input: &File, output: &File) -> Answer {
    let broken = |e: &dyn std::fmt::Display| SqlError::Engine(format!("the rows did not arrive: {e}"));
    let bytes = ask.tables.last().map_or(0, |table| table.to);
    // SAFETY: the worker writes when this process is not computing, and nothing outlives this call.
    let input = unsafe { map(input, bytes) }.map_err(|e| broken(&e))?;
    let tables = ask.tables.iter().map(|table| {
        let rows = input.slice_with_length(table.from, table.to - table.from);
        let rows = batches(&rows).map_err(|e| broken(&e))?.into_iter().next();
        Ok((table.name.as_str(), rows.ok_or_else(|| broken(&"without rows"))?))
    });
    let tables = tables.collect::<Result<Vec<_>, SqlError>>()?;
    let limits = Limits { memory: ask.memory, spills: true };
    let mut made = Batches::new(output);
    let mut out = |batch: RecordBatch| {
        let written = made.write(&batch).map_err(|e| SqlError::Disk(e.to_string()))?;
        if written > ask.memory {
            return Err(SqlError::Memory { limit: ask.memory, why: "its result is larger".to_owned() });
        }
        Ok(())
    };
    match &ask.work {
        Work::Statement(statement) => shardmill_sql::run(statement, &tables, limits, &mut out)?,
        Work::Expression { text, functions } => {
            let functions: Vec<&str> = functions.iter().map(String::as_str).collect();
            let [(_, rows)] = tables.as_slice() else { return Err(broken(&"an expression is given one table")) };
            shardmill_sql::evaluate(text, &functions, rows, limits, &mut out)?;
        }
    }
    made.finish().map(|end| end as u64).map_err(|e| SqlError::Disk(e.to_string()))
}
