//! Combining what several maps put into a global group, into one partition again.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::mapreduce::CombineTask;
use shardmill_common::task::TaskOutput;

use super::Context;
use crate::shard::conform;
use crate::spill::concat;
use crate::sql;

pub fn run(context: &Context, task: &CombineTask) -> Result<TaskOutput, Failure> {
    let mut frames = Vec::new();
    for data in context.shuffle(&task.runs, 0, 1) {
        for frame in crate::shuffle::frames(data?) {
            frames.push(conform(frame?, &task.schema, None)?);
        }
    }
    let mut writer = context.shuffle_writer(true)?;
    match concat(frames)? {
        None => writer.partition(&mut [])?,
        Some(frame) => {
            context.advance(frame.height() as u64, 0);
            let combined = sql::run(context, &task.statement, &[(sql::INPUT, &frame)])
                .map_err(|e| e.within("the combiner fails"))?;
            writer.partition(&mut [conform(combined, &task.schema, None)?])?;
        }
    }
    Ok(TaskOutput { shuffle: Some(writer.finish()?), ..Default::default() })
}
