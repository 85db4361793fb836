//! Repair: objects that lack copies are copied to workers that lack them; made by the coordinator itself. Any job that makes
//! copies has its phase.

use serde::{Deserialize, Serialize};

use super::{Kind, reads, writes};
use crate::manifest::ObjectRef;
use crate::phase::phases;
use crate::task::{ShardInput, Task, TaskRange};

phases! {
    pub enum CopyPhase {
        Copy = "copy",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepairSpec {
    pub objects: Vec<ObjectRef>,
}

impl Kind for RepairSpec {
    reads!();
    writes!();

    fn objects(&self) -> Vec<&ObjectRef> {
        self.objects.iter().collect()
    }
}

/// Copies objects to this worker from those that hold them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyTask {
    /// Published objects (repair, drain).
    pub objects: Vec<ObjectRef>,
    /// What tasks of this job made, as (stage, task); resolved when the attempt is launched, since a re-run makes new objects.
    pub made: Vec<TaskRange>,
}

impl Task for CopyTask {
    fn opens(&self) -> Vec<&ShardInput> {
        Vec::new()
    }

    fn input_bytes(&self) -> u64 {
        self.objects.iter().map(|o| o.bytes).sum()
    }
}
