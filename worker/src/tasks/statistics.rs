//! What a cleaning rule must know of the whole dataset: summaries of shards, and their merge.

use polars::prelude::DataFrame;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::clean::{MergeStatisticsTask, StatisticsTask};
use shardmill_common::task::TaskOutput;

use super::Context;
use crate::clean::{self, Place};
use crate::origin::Origin;
use crate::sql::expressions;

/// Rows of a run that are read at once when runs are merged.
const RUN_BATCH: usize = 1 << 16;

pub fn summarise(context: &Context, task: &StatisticsTask) -> Result<TaskOutput, Failure> {
    let Some((rule, before)) = task.rules.split_last() else { return Err(Failure::internal("a summary for no rule")) };
    let frame = context.open(&task.input, &task.schema)?;
    let origin = Origin { source: &task.source_name, first_row: task.first_row };
    let (ordinal, row_name) = (task.input.ordinal, |row| origin.name(u64::from(row)));
    let frame =
        clean::apply(frame, before, &task.statistics, &Place { ordinal, row_name: &row_name }, &expressions(context))?
            .frame;
    let summary = clean::summarise(&frame, rule, ordinal)?;
    let mut writer = context.shuffle_writer(true)?;
    for run in &summary.runs {
        let mut batches: Vec<DataFrame> =
            (0..run.height()).step_by(RUN_BATCH).map(|at| run.slice(at as i64, RUN_BATCH)).collect();
        writer.partition(&mut batches)?;
    }
    TaskOutput { shuffle: Some(writer.finish()?), ..Default::default() }.and_reports::<StatisticsTask>(&summary.partial)
}

pub fn merge(context: &Context, task: &MergeStatisticsTask) -> Result<TaskOutput, Failure> {
    let statistics = clean::merge(&task.rule, &task.partials, |column| {
        let mut runs: clean::Runs = Vec::new();
        for data in context.partitions(task.runs, column as u32) {
            runs.push(Box::new(crate::shuffle::frames(data?)));
        }
        Ok(runs)
    })?;
    TaskOutput::reporting::<MergeStatisticsTask>(&statistics)
}
