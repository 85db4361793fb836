//! The kinds of jobs, a module each: what is asked for (its spec), the phases of its plan, its tasks, and what these report. How
//! a kind is planned is in the coordinator's core, what its tasks do in the worker.

pub mod aggregate;
pub mod clean;
pub mod compact;
pub mod compare;
pub mod dedup;
pub mod evaluate;
pub mod import;
pub mod ingest;
pub mod join;
pub mod mapreduce;
pub mod predict;
pub mod register;
pub mod repair;
pub mod sort;
pub mod split;
pub mod sql;
pub mod train;

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

use crate::manifest::ObjectRef;
use crate::model::OnnxGraph;
use crate::name::{DatasetName, DatasetRef};

/// The fields of a spec that name the datasets it reads, as [`Kind`] asks for them.
macro_rules! reads {
    ($($field:ident),*) => {
        fn inputs(&self) -> Vec<&$crate::name::DatasetRef> {
            vec![$(&self.$field),*]
        }

        fn inputs_mut(&mut self) -> Vec<&mut $crate::name::DatasetRef> {
            vec![$(&mut self.$field),*]
        }
    };
}

/// The fields of a spec that name the dataset it writes and the copies that were asked for, as [`Kind`] asks for them.
macro_rules! writes {
    () => {
        fn outputs(&self) -> Vec<&$crate::name::DatasetName> {
            Vec::new()
        }

        fn replicas(&self) -> Option<u32> {
            None
        }
    };
    ($output:ident, $replicas:ident) => {
        fn outputs(&self) -> Vec<&$crate::name::DatasetName> {
            vec![&self.$output]
        }

        fn replicas(&self) -> Option<u32> {
            self.$replicas
        }
    };
}

pub(crate) use {reads, writes};

/// What everybody must know of a job, whatever its kind.
pub trait Kind {
    /// The datasets it reads.
    fn inputs(&self) -> Vec<&DatasetRef>;

    /// The same, in the same order.
    fn inputs_mut(&mut self) -> Vec<&mut DatasetRef>;

    /// The datasets it will publish versions of.
    fn outputs(&self) -> Vec<&DatasetName>;

    /// Copies that were asked for.
    fn replicas(&self) -> Option<u32>;

    /// Objects that it needs besides those of its inputs.
    fn objects(&self) -> Vec<&ObjectRef> {
        Vec::new()
    }

    /// Objects that it publishes without a task having made them.
    fn brought(&self) -> Vec<&ObjectRef> {
        Vec::new()
    }

    /// The graph of the imported model that it publishes or uses.
    fn graph(&self) -> Option<&OnnxGraph> {
        None
    }

    /// The graph that a client must have uploaded before.
    fn uploaded_graph(&self) -> Option<&OnnxGraph> {
        None
    }

    /// The files it takes.
    fn sources_mut(&mut self) -> &mut [ingest::Source] {
        &mut []
    }

    /// Takes out what a record does not keep of the spec; returns the sources and a further input, which it has in places of
    /// their own.
    fn for_record(&mut self) -> (Vec<ingest::Source>, Option<DatasetRef>) {
        (Vec::new(), None)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($spec:ty) = $name:literal;)+) => {
        /// A job as a client asks for it: all that is needed to repeat it. It is stored, sent and recorded as JSON.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum JobSpec {
            $($(#[$doc])* #[serde(rename = $name)] $kind($spec),)+
        }

        impl JobSpec {
            /// The names of all kinds.
            pub const KINDS: &[&str] = &[$($name),+];

            pub const fn kind(&self) -> &'static str {
                match self {
                    $(JobSpec::$kind(_) => $name,)+
                }
            }
        }

        /// What its kind tells of it.
        impl Deref for JobSpec {
            type Target = dyn Kind;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(JobSpec::$kind(spec) => spec,)+
                }
            }
        }

        impl DerefMut for JobSpec {
            fn deref_mut(&mut self) -> &mut Self::Target {
                match self {
                    $(JobSpec::$kind(spec) => spec,)+
                }
            }
        }
    };
}

kinds! {
    Ingest(ingest::IngestSpec) = "ingest";
    Clean(clean::CleanSpec) = "clean";
    Dedup(dedup::DedupSpec) = "dedup";
    Compare(compare::CompareSpec) = "compare";
    Compact(compact::CompactSpec) = "compact";
    Split(split::SplitSpec) = "split";
    Train(crate::model::TrainSpec) = "train";
    Predict(predict::PredictSpec) = "predict";
    Evaluate(evaluate::EvaluateSpec) = "evaluate";
    Import(import::ImportSpec) = "import";
    MapReduce(mapreduce::MapReduceSpec) = "mapreduce";
    Sort(sort::SortSpec) = "sort";
    Aggregate(aggregate::AggregateSpec) = "aggregate";
    Join(join::JoinSpec) = "join";
    Sql(sql::SqlSpec) = "sql";
    Register(register::RegisterSpec) = "register";
    Repair(repair::RepairSpec) = "repair";
}

/// A request to run a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    pub spec: JobSpec,
    /// Who asked, as `user@host`.
    pub who: String,
    /// Higher runs first; 0 by default.
    #[serde(default)]
    pub priority: i32,
    /// Seconds after which the job is failed.
    #[serde(default)]
    pub deadline_seconds: Option<u64>,
}
