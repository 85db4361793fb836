//! Copying objects to this worker.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::repair::CopyTask;
use shardmill_common::task::TaskOutput;

use super::Context;

pub fn run(context: &Context, task: &CopyTask) -> Result<TaskOutput, Failure> {
    for object in &task.objects {
        context.check()?;
        let data = context.fetch.object(object, &context.place)?;
        context.fetch.store.write_as(object, &data)?;
        context.copied(object.clone());
        context.advance(0, object.bytes);
    }
    Ok(TaskOutput::default())
}
