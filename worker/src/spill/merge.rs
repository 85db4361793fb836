//! Merging sorted runs with one window of each in memory.
//!
//! The window that ends first says how far the next rows can go: everything up to its last key is in memory. Runs before
//! that one give their rows of that very key too, runs after it do not, since more of its rows with that key may follow.

use std::collections::VecDeque;

use polars::prelude::DataFrame;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::sort::SortOrder;

use super::file::{Piece, SpillFile};
use super::key::Keys;
use super::order::{concat, order_of, take};

struct Window {
    frame: DataFrame,
    keys: Keys,
    /// Rows before this one were given out.
    from: usize,
}

struct Run {
    pieces: VecDeque<Piece>,
    window: Option<Window>,
}

impl Run {
    /// Brings the next piece in where the window is empty; false at the end.
    fn fill(&mut self, file: &SpillFile<'_>, order: &SortOrder) -> Result<bool, Failure> {
        while self.window.as_ref().is_none_or(|w| w.from >= w.keys.len()) {
            self.window = None;
            let Some(piece) = self.pieces.pop_front() else { return Ok(false) };
            let frame = file.read(&piece)?;
            self.window = Some(Window { keys: Keys::of(&frame, order)?, frame, from: 0 });
        }
        Ok(true)
    }
}

pub struct Merge<'a> {
    file: SpillFile<'a>,
    order: SortOrder,
    runs: Vec<Run>,
}

impl<'a> Merge<'a> {
    /// Rows of equal keys come in the order of the runs.
    pub fn new(file: SpillFile<'a>, runs: Vec<Vec<Piece>>, order: SortOrder) -> Self {
        let runs = runs.into_iter().map(|pieces| Run { pieces: pieces.into(), window: None }).collect();
        Self { file, order, runs }
    }

    pub fn into_file(self) -> SpillFile<'a> {
        self.file
    }

    /// The next rows in order.
    pub fn next_frame(&mut self) -> Result<Option<DataFrame>, Failure> {
        let mut live = Vec::with_capacity(self.runs.len());
        for mut run in std::mem::take(&mut self.runs) {
            if run.fill(&self.file, &self.order)? {
                live.push(run);
            }
        }
        self.runs = live;
        let mut first: Option<(usize, &[u8])> = None;
        for (n, run) in self.runs.iter().enumerate() {
            let last = run.window.as_ref().and_then(|w| w.keys.last());
            if let Some(last) = last.filter(|last| first.is_none_or(|(_, least)| *last < least)) {
                first = Some((n, last));
            }
        }
        let Some((bounding, bound)) = first.map(|(n, key)| (n, key.to_vec())) else { return Ok(None) };
        let mut frames = Vec::new();
        let mut keys = Keys::default();
        for (n, run) in self.runs.iter_mut().enumerate() {
            let Some(window) = &mut run.window else { continue };
            let to = window.keys.count_below(&bound, n <= bounding).max(window.from);
            if to > window.from {
                frames.push(window.frame.slice(window.from as i64, to - window.from));
                keys.extend(&window.keys, window.from..to);
                window.from = to;
            }
        }
        let Some(frame) = concat(frames)? else { return Ok(None) };
        take(&frame, order_of(&keys)).map(Some)
    }
}
