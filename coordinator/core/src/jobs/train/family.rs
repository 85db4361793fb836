//! What a model family answers for: whether a training of it makes sense, where it starts, what it asks of the shards in each
//! round, and what it makes of the answers. A family's home is a file of [`families`](super::families).

use serde::{Deserialize, Serialize};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::train::{FitTask, LearnTask};
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{
    Algorithm, ClassWeight, Curvature, Learn, Learnt, LinfaFit, LinfaResult, Model, Parameters, TrainSpec,
};
use shardmill_common::task::TaskOutput;
use shardmill_common::watch::Baseline;

use super::families::{Linfa, NaiveBayes};
use super::memo::Prepared;
use super::unfit::TrainUnfit;
use crate::train::{Built, Glm, KMeans, Whole};

/// What a family learns of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learns {
    Classes,
    Numbers,
    /// So many clusters, without a label.
    Clusters(u32),
}

/// How a training goes, as far as it shows before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// One round.
    Once,
    /// Rounds until it has converged, at most so many.
    Rounds(u32),
    /// A library fits on one worker.
    OneWorker,
}

/// What is known before the first round.
pub struct Ready<'a> {
    pub spec: &'a TrainSpec,
    pub input: &'a Manifest,
    pub whole: &'a Whole,
    pub built: &'a Built,
    pub prepared: &'a mut Prepared,
}

/// A family, by the options of a training.
pub trait Family {
    /// As in a sentence: `linear regression`.
    fn title(&self) -> &'static str;

    fn learns(&self) -> Learns;

    fn course(&self) -> Course;

    /// Whether the options are in range and go together.
    fn check(&self, spec: &TrainSpec) -> Result<(), TrainUnfit>;

    /// Whether a training can go on from this version, which is of the same family: an update, or a warm start.
    fn check_base(&self, spec: &TrainSpec, base: &Model) -> Result<(), TrainUnfit>;

    /// Whether an update needs the curvature of the version it updates.
    fn needs_curvature(&self) -> bool {
        false
    }

    fn class_weight(&self) -> &ClassWeight {
        &ClassWeight::None
    }

    /// The state of the first round.
    fn begin(&self, ready: Ready<'_>) -> Result<State, Failure>;

    /// What to say when the rounds were used up, at this gradient.
    fn not_converged(&self, rounds: usize, gradient: f64) -> String {
        format!(
            "no convergence after {rounds} rounds (the gradient is {gradient:.1e}): raise --max-iter, or --tol if that is near \
             enough"
        )
    }

    /// Takes over what an update keeps of its model's options.
    fn go_on(&mut self, _theirs: &Algorithm) {}
}

/// The home of the family.
pub fn family(algorithm: &Algorithm) -> &dyn Family {
    match algorithm {
        Algorithm::Logistic(options) => options,
        Algorithm::Linear(options) => options,
        Algorithm::NaiveBayes(options) => options,
        Algorithm::KMeans(options) => options,
    }
}

pub fn family_mut(algorithm: &mut Algorithm) -> &mut dyn Family {
    match algorithm {
        Algorithm::Logistic(options) => options,
        Algorithm::Linear(options) => options,
        Algorithm::NaiveBayes(options) => options,
        Algorithm::KMeans(options) => options,
    }
}

/// What the tasks of a round are to do.
pub enum Ask {
    /// Each shard its part.
    Round(Learn),
    /// One worker the whole.
    Fit(LinfaFit),
}

/// A round that is done.
pub struct Answers<'a> {
    pub spec: &'a TrainSpec,
    pub prepared: &'a mut Prepared,
    pub outputs: &'a [&'a TaskOutput],
}

impl Answers<'_> {
    /// What the shards learnt, in their order; `of` takes what was asked for.
    pub fn learnt<T>(&self, of: impl Fn(Learnt) -> Option<T>) -> Result<Vec<T>, Failure> {
        let odd = || Failure::internal("a shard learnt something else than it was asked");
        self.outputs.iter().map(|output| of(output.report::<LearnTask>()?).ok_or_else(odd)).collect()
    }

    pub fn fitted(&self) -> Result<LinfaResult, Failure> {
        self.outputs.first().ok_or_else(|| Failure::internal("nothing was fitted"))?.report::<FitTask>()
    }
}

/// What follows a round.
pub struct Accepted {
    /// Objective and gradient, if the round tells any.
    pub told: Option<(f64, f64)>,
    pub trained: Option<Trained>,
}

/// The state of a training between its rounds, which the memo of each round's stage keeps.
pub trait Learning {
    fn ask(&self) -> Ask;

    fn accept(&mut self, answers: Answers<'_>) -> Result<Accepted, Failure>;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Glm(Box<Glm>),
    NaiveBayes(NaiveBayes),
    KMeans(Box<KMeans>),
    Linfa(Linfa),
}

impl State {
    pub fn learning(&self) -> &dyn Learning {
        match self {
            State::Glm(state) => state.as_ref(),
            State::NaiveBayes(state) => state,
            State::KMeans(state) => state.as_ref(),
            State::Linfa(state) => state,
        }
    }

    pub fn learning_mut(&mut self) -> &mut dyn Learning {
        match self {
            State::Glm(state) => state.as_mut(),
            State::NaiveBayes(state) => state,
            State::KMeans(state) => state.as_mut(),
            State::Linfa(state) => state,
        }
    }
}

/// What a training ends with.
pub struct Trained {
    pub parameters: Parameters,
    pub curvature: Option<Curvature>,
    pub converged: bool,
    /// It ended because no step led further: more rounds would change nothing.
    pub stalled: bool,
    pub solver: &'static str,
    pub notices: Vec<String>,
    /// How the features were distributed.
    pub baseline: Option<Baseline>,
}

impl Trained {
    /// By one pass, with nothing to converge.
    pub fn at_once(parameters: Parameters, solver: &'static str) -> Self {
        Self {
            parameters,
            curvature: None,
            converged: true,
            stalled: false,
            solver,
            notices: Vec::new(),
            baseline: None,
        }
    }
}
