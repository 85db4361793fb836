//! Programs and statements run by tests: this test binary is its own supervisor and backend.

use std::ffi::{c_char, c_int};

use polars::prelude::{AnyValue, DataFrame, NamedFrom, Series};
use shardmill_common::counters::Counters;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::mapreduce::step::{Format, Program, ShippedFile, Work};
use shardmill_common::schema::Schema;

use super::{Role, Run};
use crate::tasks::Context;

/// Runs before the test harness, as `main` of the real binary does before anything else.
extern "C" fn become_helper(_count: c_int, _arguments: *const *const c_char, _environment: *const *const c_char) {
    crate::become_helper(std::env::args_os());
}

// SAFETY: the loader calls what is listed here with these arguments, after the standard library's own.
#[used]
#[unsafe(link_section = ".init_array")]
static HELPER: extern "C" fn(c_int, *const *const c_char, *const *const c_char) = become_helper;

pub(super) struct Bench {
    pub context: Context,
    pub work: Work,
    pub keys: Vec<String>,
    pub role: Role,
    pub worker: crate::spill::testing::Bench,
}

impl Bench {
    pub(super) fn new() -> Self {
        let worker = crate::spill::testing::Bench::new();
        let context = worker.context(4, 2);
        Self { context, work: Work::default(), keys: vec![], role: Role::Map { reduced: false }, worker }
    }

    pub(super) fn ship(&mut self, name: &str, text: &str, executable: bool) {
        let object = self.context.fetch.store.write(text.as_bytes()).unwrap();
        self.work.files.push(ShippedFile { name: name.into(), object, executable });
    }

    /// Runs over frames; the frames it put out and its counters.
    pub(super) fn frames(&self, program: &Program, rows: &[DataFrame]) -> Result<(Vec<DataFrame>, Counters), Failure> {
        let what = "the map of t".to_owned();
        let run = Run { context: &self.context, program, work: &self.work, keys: &self.keys, role: self.role, what };
        let mut frames = Vec::new();
        let counters = run.over(&mut rows.iter().cloned().map(Ok), &mut |frame| {
            frames.push(frame);
            Ok(())
        })?;
        Ok((frames, counters))
    }

    /// As rows of text, with null as `~`, behind a line of `name:type`.
    pub(super) fn rows(&self, program: &Program, rows: &[DataFrame]) -> Result<Vec<String>, Failure> {
        let (frames, _) = self.frames(program, rows)?;
        let mut all = frames.into_iter();
        let Some(mut frame) = all.next() else { return Ok(vec![]) };
        all.for_each(|f| {
            frame.vstack_mut(&f).unwrap();
        });
        Ok(shown(&frame))
    }

    pub(super) fn error(&self, program: &Program, rows: &[DataFrame]) -> String {
        match self.frames(program, rows).unwrap_err() {
            Failure::ProgramFailed { message } => message,
            other => format!("{other:?}"),
        }
    }
}

pub(super) fn shown(frame: &DataFrame) -> Vec<String> {
    let schema = crate::frame::schema_of(frame).unwrap();
    let head = schema.fields.iter().map(|f| format!("{}:{}", f.name, f.dtype)).collect::<Vec<_>>().join(" ");
    let cell = |value: AnyValue<'_>| match value {
        AnyValue::Null => "~".to_owned(),
        value => value.str_value().into_owned(),
    };
    let row = |n| frame.columns().iter().map(|c| cell(c.get(n).unwrap())).collect::<Vec<_>>().join("|");
    std::iter::once(head).chain((0..frame.height()).map(row)).collect()
}

pub(super) fn program(format: Format, command: &str) -> Program {
    Program { command: command.into(), format, columns: None }
}

pub(super) fn shell(format: Format, script: &str) -> Program {
    program(format, &format!("sh -c {}", shlex::try_quote(script).unwrap()))
}

pub(super) fn declared(mut program: Program, columns: &[(&str, shardmill_common::schema::DataType)]) -> Program {
    let fields = columns.iter().map(|(name, dtype)| shardmill_common::schema::Field::new(*name, *dtype));
    program.columns = Some(Schema::new(fields.collect()));
    program
}

pub(super) fn texts(columns: &[(&str, &[Option<&str>])]) -> DataFrame {
    let height = columns.first().map_or(0, |(_, cells)| cells.len());
    let columns = columns.iter().map(|(name, cells)| Series::new((*name).into(), cells.to_vec()).into());
    DataFrame::new(height, columns.collect()).unwrap()
}

/// Rows of one column, which are `0`, `1` and so on.
pub(super) fn numbers(n: i64) -> DataFrame {
    DataFrame::new(n as usize, vec![Series::new("n".into(), (0..n).collect::<Vec<_>>()).into()]).unwrap()
}
