//! The worker's ends of a program's pipes: reading and writing wait, but not beyond the end of the run.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::system;

const LOOK: Duration = Duration::from_millis(100);

/// A pipe that gives up once the run is over, whoever may still hold its other end.
pub(super) struct Pipe<'a, P> {
    pipe: P,
    over: &'a AtomicBool,
}

impl<'a, P: AsRawFd> Pipe<'a, P> {
    pub(super) fn new(pipe: P, over: &'a AtomicBool) -> io::Result<Self> {
        system::prepare_pipe(pipe.as_raw_fd())?;
        Ok(Self { pipe, over })
    }

    fn wait(&self, writing: bool) -> io::Result<()> {
        while !system::ready(self.pipe.as_raw_fd(), writing, LOOK) {
            if self.over.load(Ordering::Relaxed) {
                return Err(io::Error::from(ErrorKind::TimedOut));
            }
        }
        Ok(())
    }
}

impl<P: AsRawFd + Read> Read for Pipe<'_, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.pipe.read(buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.wait(false)?,
                other => return other,
            }
        }
    }
}

impl<P: AsRawFd + Write> Write for Pipe<'_, P> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        loop {
            match self.pipe.write(data) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.wait(true)?,
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
