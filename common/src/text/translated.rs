//! A reader of a text as the parser reads it: a [`Translator`] over another reader.

use std::io::{self, Read};

use super::ready::Ready;
use super::style::Style;
use super::translate::{Translator, Unclosed};

/// Bytes read at once.
const BLOCK: usize = 64 << 10;

/// A reader's text, translated.
pub struct Translated<R> {
    inner: R,
    translator: Translator,
    /// What was read and not yet translated.
    pending: Vec<u8>,
    /// What was translated and not yet handed out.
    ready: Ready,
    ended: bool,
    /// Lines of the source before what is read.
    before: u64,
}

impl<R: Read> Translated<R> {
    /// `before`: lines of the source before what `inner` reads.
    pub fn new(inner: R, style: Style, before: u64) -> Self {
        let translator = Translator::new(style);
        Self { inner, translator, pending: Vec::new(), ready: Ready::default(), ended: false, before }
    }

    /// The reader, and how many lines were left out as comments.
    pub fn parts(&mut self) -> (&mut R, u64) {
        let comments = self.translator.comments();
        (&mut self.inner, comments)
    }

    fn fill(&mut self) -> io::Result<()> {
        let ready = self.ready.renew();
        while ready.is_empty() && !self.ended {
            let had = self.pending.len();
            self.pending.resize(had + BLOCK, 0);
            let room = self.pending.get_mut(had..).unwrap_or_default();
            let read = self.inner.read(room);
            self.pending.truncate(had + *read.as_ref().unwrap_or(&0));
            self.ended = read? == 0;
            let taken = self.translator.step(&self.pending, self.ended, ready);
            self.pending.drain(..taken);
            if self.ended
                && let Some(unclosed) = self.translator.unclosed()
            {
                return Err(io::Error::other(Unclosed { line: unclosed.line + self.before }));
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Translated<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_spent() {
            self.fill()?;
        }
        Ok(self.ready.hand(out))
    }
}
