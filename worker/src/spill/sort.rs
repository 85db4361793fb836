//! Sorting more rows than fit in memory.

use polars::prelude::{DataFrame, IdxCa, IdxSize};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::sort::SortOrder;

use super::file::{Piece, SpillFile, held_bytes, pieces};
use super::merge::Merge;
use super::order::{concat, order_of_rows, sort_frame};
use crate::tasks::Context;

/// Runs that are merged at once.
const FAN_IN: usize = 64;
/// A piece of a run is about so large at most.
const PIECE_BYTES: u64 = 16 << 20;
/// So is a frame of rows that were held in memory: its text stays where it is, so it costs little.
const HELD_BYTES: u64 = 128 << 20;

/// Takes rows and gives them back in order; rows of equal keys keep the order in which they came.
///
/// A third of the budget holds rows; the rest is for their keys and for what is made of them. What is more than that is
/// sorted and set aside on disk as a run, and the runs are merged at the end.
pub struct ExternalSort<'a> {
    context: &'a Context,
    order: SortOrder,
    /// Bytes of rows held in memory.
    room: u64,
    fan_in: usize,
    held: Vec<DataFrame>,
    held_bytes: u64,
    file: Option<SpillFile<'a>>,
    runs: Vec<Vec<Piece>>,
    /// Bytes written to disk by merges in passes.
    spilled_before: u64,
}

impl<'a> ExternalSort<'a> {
    /// `budget`: bytes of memory to stay within.
    pub fn new(context: &'a Context, order: SortOrder, budget: u64) -> Self {
        Self {
            context,
            order,
            room: (budget / 3).max(1),
            fan_in: FAN_IN,
            held: Vec::new(),
            held_bytes: 0,
            file: None,
            runs: Vec::new(),
            spilled_before: 0,
        }
    }

    #[cfg(test)]
    pub fn with_fan_in(self, fan_in: usize) -> Self {
        Self { fan_in, ..self }
    }

    /// Adds rows, all of the same columns and types.
    pub fn push(&mut self, frame: DataFrame) -> Result<(), Failure> {
        // A frame larger than the room becomes several runs rather than one that cannot be sorted within the budget.
        for piece in pieces(&frame, self.room) {
            if piece.height() == 0 {
                continue;
            }
            let bytes = held_bytes(&piece);
            if self.held_bytes > 0 && self.held_bytes + bytes > self.room {
                self.set_aside()?;
            }
            self.held_bytes += bytes;
            self.held.push(piece);
        }
        Ok(())
    }

    /// Pieces of runs are small enough that one of each fits in the room.
    fn piece_bytes(&self) -> u64 {
        (self.room / self.fan_in as u64).clamp(1, PIECE_BYTES)
    }

    fn set_aside(&mut self) -> Result<(), Failure> {
        self.context.check()?;
        self.held_bytes = 0;
        let Some(frame) = concat(self.held.drain(..))? else { return Ok(()) };
        let sorted = sort_frame(&frame, &self.order)?;
        drop(frame);
        let piece_bytes = self.piece_bytes();
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(SpillFile::create(self.context)?),
        };
        let run = pieces(&sorted, piece_bytes).map(|piece| file.append(&piece)).collect::<Result<_, _>>()?;
        self.runs.push(run);
        Ok(())
    }

    /// The rows in order.
    pub fn finish(mut self) -> Result<Sorted<'a>, Failure> {
        if self.file.is_none() {
            let Some(frame) = concat(self.held)? else { return Ok(Sorted { source: Source::Nothing, spilled: 0 }) };
            let rows = order_of_rows(&frame, &self.order)?;
            let count = held_bytes(&frame).div_ceil(self.room.clamp(1, HELD_BYTES)).max(1) as usize;
            let step = rows.len().div_ceil(count).max(1);
            let source = Source::Held { context: self.context, frame, rows, step, next: 0 };
            return Ok(Sorted { source, spilled: 0 });
        }
        self.set_aside()?;
        while self.runs.len() > self.fan_in {
            self.pass()?;
        }
        let Some(file) = self.file else { return Ok(Sorted { source: Source::Nothing, spilled: 0 }) };
        let spilled = self.spilled_before + file.written();
        Ok(Sorted { source: Source::Runs(Merge::new(file, self.runs, self.order)), spilled })
    }

    /// Merges neighbouring runs, as many as can be at once, into one each.
    fn pass(&mut self) -> Result<(), Failure> {
        let Some(mut from) = self.file.take() else { return Ok(()) };
        self.spilled_before += from.written();
        let mut to = SpillFile::create(self.context)?;
        let piece_bytes = self.piece_bytes();
        let mut merged = Vec::new();
        for runs in std::mem::take(&mut self.runs).chunks(self.fan_in) {
            let mut merge = Merge::new(from, runs.to_vec(), self.order.clone());
            let mut run = Vec::new();
            while let Some(frame) = merge.next_frame()? {
                for piece in pieces(&frame, piece_bytes) {
                    run.push(to.append(&piece)?);
                }
            }
            merged.push(run);
            from = merge.into_file();
        }
        self.file = Some(to);
        self.runs = merged;
        Ok(())
    }
}

enum Source<'a> {
    Nothing,
    /// Everything is in memory: the frame as it came and its rows in order.
    Held {
        context: &'a Context,
        frame: DataFrame,
        rows: Vec<IdxSize>,
        step: usize,
        next: usize,
    },
    Runs(Merge<'a>),
}

/// Rows in order, in frames of bounded size.
pub struct Sorted<'a> {
    source: Source<'a>,
    spilled: u64,
}

impl Sorted<'_> {
    /// Bytes that were written to disk.
    pub fn spilled(&self) -> u64 {
        self.spilled
    }
}

impl Iterator for Sorted<'_> {
    type Item = Result<DataFrame, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Nothing => None,
            Source::Runs(merge) => merge.next_frame().transpose(),
            Source::Held { context, frame, rows, step, next } => {
                let some = &rows[*next..(*next + *step).min(rows.len())];
                if some.is_empty() {
                    return None;
                }
                *next += some.len();
                let taken = context.check().and_then(|()| {
                    // Rows that were in order already need not be gathered.
                    if some.windows(2).all(|pair| pair[1] == pair[0] + 1) {
                        return Ok(frame.slice(i64::from(some[0]), some.len()));
                    }
                    frame.take(&IdxCa::from_vec("i".into(), some.to_vec())).map_err(Failure::internal)
                });
                Some(taken)
            }
        }
    }
}

#[cfg(test)]
#[path = "sort_tests.rs"]
mod tests;
