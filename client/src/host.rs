//! The terminal as the host of workflows.

use std::future::Future;
use std::io::Write;
use std::pin::Pin;

use shardmill_common::model::Round;
use shardmill_flows::{Host, Progress};

use crate::cli::Context;
use crate::jobs::round_line;
use crate::output::Output;
use crate::progress::Bar;

impl Host for Context {
    fn notice(&self, text: &str) {
        self.out.notice(text);
    }

    fn hint(&self, text: &str) {
        self.out.hint(text);
    }

    fn progress(&self) -> Box<dyn Progress + '_> {
        Box::new(Shown { bar: self.out.progress(), out: &self.out })
    }

    fn stopped(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.interrupt.wait())
    }

    fn data(&self) -> Box<dyn Write + Send> {
        self.out.data()
    }
}

/// A bar, and lines above it.
struct Shown<'a> {
    bar: Bar,
    out: &'a Output,
}

impl Progress for Shown<'_> {
    fn bytes(&mut self, label: &str, rows: Option<u64>, done: u64, total: u64) {
        self.bar.bytes(label, rows, done, total);
    }

    fn count(&mut self, label: &str, done: u64, total: u64) {
        self.bar.count(label, done, total);
    }

    fn round(&mut self, round: &Round) {
        self.bar.pause(|| self.out.hint(&round_line(round)));
    }

    fn notice(&mut self, text: &str) {
        self.bar.pause(|| self.out.notice(text));
    }
}
