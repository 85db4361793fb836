//! What a worker and a backend say to each other: at first the file of input, then an ask with the file for
//! what comes of it and an answer at a time.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shardmill_sql::SqlError;

/// The first argument that turns `shardmill` into a backend.
pub const BACKEND: &str = "__compute";

/// What a backend is to compute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// A statement over tables.
    Statement(String),
    /// The value of an expression, which calls none but these functions, for every row of the only table.
    Expression { text: String, functions: Vec<String> },
}

impl Work {
    /// As it was written.
    pub fn text(&self) -> &str {
        match self {
            Work::Statement(text) | Work::Expression { text, .. } => text,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Ask {
    pub work: Work,
    pub tables: Vec<Table>,
    /// Bytes that it may hold at once.
    pub memory: u64,
}

/// A table, and the bytes of the input file that it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    pub name: String,
    pub from: usize,
    pub to: usize,
}

/// How many bytes of the output file were written, or why nothing came of it.
pub type Answer = Result<u64, SqlError>;

/// Messages are a statement and names, or an error.
const LONGEST: usize = 16 << 20;

/// Sends a message, with a file or without.
pub fn send(socket: &UnixStream, message: &impl Serialize, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let text = serde_json::to_vec(message).map_err(io::Error::other)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?.to_le_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    let files: Vec<BorrowedFd<'_>> = file.into_iter().collect();
    if !files.is_empty() && !along.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("there is no room for a file beside a message"));
    }
    // The file goes with the first byte.
    let sent = rustix::net::sendmsg(socket, &[IoSlice::new(&length)], &mut along, SendFlags::NOSIGNAL)?;
    let mut socket = socket;
    socket.write_all(length.get(sent..).unwrap_or_default())?;
    socket.write_all(&text)
}

/// The next message and its file; none where the other side is gone.
pub fn receive<T: DeserializeOwned>(socket: &UnixStream) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let begun = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut length)], &mut along, RecvFlags::CMSG_CLOEXEC)?;
    if begun.bytes == 0 {
        return Ok(None);
    }
    let mut file = None;
    for message in along.drain() {
        if let RecvAncillaryMessage::ScmRights(mut some) = message {
            file = some.next();
        }
    }
    let mut socket = socket;
    socket.read_exact(length.get_mut(begun.bytes..).unwrap_or_default())?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::other("a message that is too long"));
    }
    let mut text = vec![0; length];
    socket.read_exact(&mut text)?;
    Ok(Some((serde_json::from_slice(&text).map_err(io::Error::other)?, file)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    #[test]
    fn messages_and_their_files_arrive() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"rows").unwrap();
        let work = Work::Statement("x".repeat(100_000));
        let (sent, said) = (work.clone(), SqlError::Rows("no".into()));
        let sender = std::thread::spawn(move || {
            send(&here, &sent, Some(file.as_fd())).unwrap();
            send(&here, &Answer::Err(said), None).unwrap();
        });
        let (came, file) = receive::<Work>(&there).unwrap().unwrap();
        assert_eq!(came, work);
        let mut read = [0; 4];
        File::from(file.unwrap()).read_exact_at(&mut read, 0).unwrap();
        assert_eq!(&read, b"rows");
        let (answer, file) = receive::<Answer>(&there).unwrap().unwrap();
        assert_eq!((answer, file.is_none()), (Err(SqlError::Rows("no".into())), true));
        sender.join().unwrap();
        assert!(receive::<Answer>(&there).unwrap().is_none(), "the other side is gone");
    }
}
