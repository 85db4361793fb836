//! Repair: an object that lacks copies is copied to workers that lack it.

use shardmill_common::failure::Failure;
use shardmill_common::spec::RepairSpec;
use shardmill_common::task::{CopyTask, TaskKind, TaskSpec};

use super::plan::{COPY, Next, StageView};

pub fn next(spec: &RepairSpec, stages: &[StageView<'_>]) -> Result<Next, Failure> {
    if !stages.is_empty() {
        return Ok(Next::Quiet);
    }
    let tasks = spec
        .objects
        .iter()
        .map(|object| TaskSpec {
            kind: TaskKind::Copy(CopyTask { objects: vec![object.clone()], made: Vec::new() }),
            reads: Vec::new(),
            objects: vec![object.id],
            memory: object.bytes + (4 << 20),
        })
        .collect();
    Ok(Next::stage(COPY, tasks, Vec::new()))
}
