//! Rows on their way through the rules: their columns, those that are left, and what was counted so far.

use polars::prelude::{
    BooleanChunked, DataFrame, DataType as PolarsType, NewChunkedArray, PlSmallStr, PolarsError, Series,
};
use shardmill_common::counters::{Counter, Counters};
use shardmill_common::failure::Failure;
use shardmill_common::rules::{CastError, Op, Rule, Shape, ShapeColumn};

use super::apply::{Cleaned, Place, RejectedRow};
use super::parse::Parser;
use super::sql::Expressions;
use super::text::{Step, run_column};
use crate::frame::{our_type, schema_of};

/// Text steps that wait to be run over a column, and the cast that ends them.
#[derive(Default)]
struct Pending {
    steps: Vec<Step>,
    end: Option<(usize, Parser)>,
}

pub struct State<'r> {
    rules: &'r [Rule],
    pub place: &'r Place<'r>,
    pub expressions: &'r Expressions<'r>,
    pub frame: DataFrame,
    /// The columns as they are once all that waits has been run.
    pub shape: Shape,
    /// For each column, what waits.
    pending: Vec<Pending>,
    /// The row of the frame given for each row left; `None` while all are left.
    rows: Option<Vec<u32>>,
    /// Changed cells, dropped rows and rejected rows of each rule.
    pub changed: Vec<u64>,
    dropped: Vec<u64>,
    refused: Vec<u64>,
    rejected: Vec<RejectedRow>,
    /// A rule changed names, types, order or number of columns.
    pub reshaped: bool,
}

pub fn internal(e: PolarsError) -> Failure {
    Failure::internal(e)
}

/// `rule 4 (rules.toml:12) range`
pub fn rule_name(rule: &Rule) -> String {
    let number = rule.label.split(' ').next().unwrap_or_default();
    format!("rule {number} ({}:{}) {}", rule.file, rule.line, rule.op.name())
}

impl<'r> State<'r> {
    pub fn new(
        mut frame: DataFrame,
        rules: &'r [Rule],
        place: &'r Place<'r>,
        expressions: &'r Expressions<'r>,
    ) -> Result<Self, Failure> {
        // Rows have a column without any value as text.
        for index in 0..frame.width() {
            if matches!(frame.columns()[index].dtype(), PolarsType::Null) {
                let column = frame.columns()[index].cast(&PolarsType::String).map_err(internal)?;
                frame.replace_column(index, column).map_err(internal)?;
            }
        }
        let shape = Shape::from(&schema_of(&frame)?);
        let pending = shape.columns.iter().map(|_| Pending::default()).collect();
        let zeros = vec![0; rules.len()];
        Ok(Self {
            rules,
            place,
            expressions,
            frame,
            shape,
            pending,
            rows: None,
            changed: zeros.clone(),
            dropped: zeros.clone(),
            refused: zeros,
            rejected: Vec::new(),
            reshaped: false,
        })
    }

    pub fn series(&self, column: usize) -> Series {
        self.frame.columns()[column].as_materialized_series().clone()
    }

    pub fn set(&mut self, column: usize, series: Series) -> Result<(), Failure> {
        self.frame.replace_column(column, series.into()).map(|_| ()).map_err(internal)
    }

    /// Adds a step to what waits for a column of strings.
    pub fn push_step(&mut self, column: usize, step: Step) {
        self.pending[column].steps.push(step);
    }

    /// Ends what waits for a column of strings with a cast. A cast that can stop the job or take rows away is run at once,
    /// since rules after it must not see those rows, and the first rule to fail must be the one that is reported.
    pub fn push_cast(&mut self, column: usize, rule: usize, parser: Parser) {
        self.pending[column].end = Some((rule, parser));
        self.reshaped = true;
    }

    /// Runs what waits for one column; returns the rows and texts that its cast could not read, if they matter.
    pub fn flush(&mut self, column: usize) -> Result<Vec<(usize, String)>, Failure> {
        let Pending { steps, end } = std::mem::take(&mut self.pending[column]);
        if steps.is_empty() && end.is_none() {
            return Ok(Vec::new());
        }
        let series = self.series(column);
        let list_errors = end.as_ref().is_some_and(|(rule, _)| match &self.rules[*rule].op {
            Op::Cast(cast) => cast.on_error != CastError::Null,
            _ => false,
        });
        let ran = run_column(series.str().map_err(internal)?, &steps, end.as_ref().map(|(_, p)| p), list_errors);
        for (step, count) in steps.iter().zip(ran.counts) {
            self.changed[step.rule] += count;
        }
        if let Some((rule, _)) = end {
            // A cell whose row is rejected is not a changed one.
            self.changed[rule] += ran.nulled.saturating_sub(ran.errors.len() as u64);
        }
        if let Some(series) = ran.series {
            self.set(column, series)?;
        }
        Ok(ran.errors)
    }

    pub fn flush_all(&mut self) -> Result<(), Failure> {
        for column in 0..self.pending.len() {
            self.flush(column)?;
        }
        Ok(())
    }

    /// Replaces the columns altogether; nothing may wait.
    pub fn reshape(&mut self, frame: DataFrame) -> Result<(), Failure> {
        let mut columns = Vec::with_capacity(frame.width());
        for column in frame.columns() {
            let name = column.name().to_string();
            columns.push(ShapeColumn { name, dtype: our_type(column.dtype()) });
        }
        self.pending = columns.iter().map(|_| Pending::default()).collect();
        self.shape = Shape { columns };
        self.frame = frame;
        self.reshaped = true;
        Ok(())
    }

    pub fn rename(&mut self, names: &[PlSmallStr]) -> Result<(), Failure> {
        self.frame.set_column_names(names).map_err(internal)?;
        self.reshaped = true;
        Ok(())
    }

    /// The row of the frame given that is now at `row`.
    pub fn original(&self, row: usize) -> u32 {
        match &self.rows {
            Some(rows) => rows[row],
            None => row as u32,
        }
    }

    /// Keeps the rows that are not marked. Nothing may wait.
    fn remove(&mut self, gone: &[bool]) -> Result<u64, Failure> {
        let count = gone.iter().filter(|g| **g).count() as u64;
        if count > 0 {
            let mask = BooleanChunked::from_slice(PlSmallStr::EMPTY, &gone.iter().map(|g| !g).collect::<Vec<_>>());
            let kept = (0..gone.len()).filter(|row| !gone[*row]).map(|row| self.original(row)).collect();
            self.frame = self.frame.filter_seq(&mask).map_err(internal)?;
            self.rows = Some(kept);
        }
        Ok(count)
    }

    pub fn drop_rows(&mut self, rule: usize, gone: &[bool]) -> Result<(), Failure> {
        self.dropped[rule] += self.remove(gone)?;
        Ok(())
    }

    /// Rejects rows, each with the first of its reasons.
    pub fn reject_rows(&mut self, rule: usize, mut wrong: Vec<(usize, String)>) -> Result<(), Failure> {
        if wrong.is_empty() {
            return Ok(());
        }
        // Stable: of one row, the complaint about the first column stays first.
        wrong.sort_by_key(|(row, _)| *row);
        wrong.dedup_by_key(|(row, _)| *row);
        let mut gone = vec![false; self.frame.height()];
        let name = rule_name(&self.rules[rule]);
        for (row, why) in wrong {
            gone[row] = true;
            self.rejected.push(RejectedRow { row: self.original(row), reason: format!("{name}: {why}") });
        }
        self.refused[rule] += self.remove(&gone)?;
        Ok(())
    }

    pub fn finish(mut self) -> Result<Cleaned, Failure> {
        self.flush_all()?;
        let mut counters = Counters::default();
        for (index, rule) in self.rules.iter().enumerate() {
            counters.add(Counter::CellsChanged(rule.label.clone()), self.changed[index]);
            if rule.may_drop_rows() {
                counters.add(Counter::RowsDroppedBy(rule.label.clone()), self.dropped[index]);
            }
            if rule.may_reject_rows() {
                counters.add(Counter::RowsRejectedBy(rule.label.clone()), self.refused[index]);
            }
        }
        self.rejected.sort_by_key(|r| r.row);
        let unchanged = !self.reshaped && counters.0.values().all(|n| *n == 0);
        Ok(Cleaned { frame: self.frame, counters, rejected: self.rejected, unchanged })
    }
}
