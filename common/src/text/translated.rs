//! A reader of a text as the parser reads it: a [`Translator`] over another reader.

use std::io::{self, Read};

use super::style::Style;
use super::translate::Translator;

/// Bytes read at once.
const BLOCK: usize = 64 << 10;

/// A reader's text, translated.
pub struct Translated<R> {
    inner: R,
    translator: Translator,
    /// What was read and not yet translated.
    pending: Vec<u8>,
    /// What was translated and not yet handed out.
    ready: Vec<u8>,
    handed: usize,
    ended: bool,
}

impl<R: Read> Translated<R> {
    pub fn new(inner: R, style: Style) -> Self {
        let translator = Translator::new(style);
        Self { inner, translator, pending: Vec::new(), ready: Vec::new(), handed: 0, ended: false }
    }

    /// The reader, and how many lines were left out as comments.
    pub fn parts(&mut self) -> (&mut R, u64) {
        let comments = self.translator.comments();
        (&mut self.inner, comments)
    }

    fn fill(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.handed = 0;
        while self.ready.is_empty() && !self.ended {
            let had = self.pending.len();
            self.pending.resize(had + BLOCK, 0);
            let room = self.pending.get_mut(had..).unwrap_or_default();
            let read = self.inner.read(room);
            self.pending.truncate(had + *read.as_ref().unwrap_or(&0));
            self.ended = read? == 0;
            let taken = self.translator.step(&self.pending, self.ended, &mut self.ready);
            self.pending.drain(..taken);
            if self.ended
                && let Some(unclosed) = self.translator.unclosed()
            {
                return Err(io::Error::other(unclosed));
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Translated<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.handed == self.ready.len() {
            self.fill()?;
        }
        let ready = self.ready.get(self.handed..).unwrap_or_default();
        let n = ready.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..n), ready.get(..n)) {
            to.copy_from_slice(from);
        }
        self.handed += n;
        Ok(n)
    }
}
