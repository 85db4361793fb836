//! What a training remembers from round to round, in the memo of the round's stage.

use serde::{Deserialize, Serialize};
use shardmill_common::failure::Failure;
use shardmill_common::model::{Encoder, Round, Target};

use super::super::plan::StageView;
use super::family::State;

/// Everything that earlier stages found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memo {
    pub rounds: Vec<Round>,
    pub prepared: Prepared,
    pub state: State,
}

/// What is settled before the first round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// The model's.
    pub encoder: Encoder,
    /// The one that training computes with, where it is another one.
    pub working: Option<Encoder>,
    pub target: Target,
    pub class_weights: Vec<f64>,
    pub rows: u64,
    pub rows_skipped: u64,
    pub notices: Vec<String>,
}

impl Prepared {
    /// The encoder of the rounds.
    pub fn working(&self) -> &Encoder {
        self.working.as_ref().unwrap_or(&self.encoder)
    }

    /// The names of the encoded columns.
    pub fn output_names(&self) -> Vec<String> {
        self.encoder.outputs().into_iter().map(|o| o.name).collect()
    }
}

fn last<'a>(stages: &[StageView<'a>]) -> Option<(u32, &'a serde_json::Value)> {
    (0u32..).zip(stages).filter_map(|(n, s)| s.memo.map(|memo| (n, memo))).last()
}

/// The latest stage with a memo, and the memo.
pub fn latest(stages: &[StageView<'_>]) -> Result<Option<(u32, Memo)>, Failure> {
    let Some((stage, memo)) = last(stages) else { return Ok(None) };
    let memo = Memo::deserialize(memo).map_err(|e| Failure::internal(format!("the memo of stage {stage}: {e}")))?;
    Ok(Some((stage, memo)))
}

/// The rounds so far.
pub fn rounds(stages: &[StageView<'_>]) -> Vec<Round> {
    let rounds = last(stages).and_then(|(_, memo)| memo.get("rounds"));
    rounds.and_then(|rounds| Vec::<Round>::deserialize(rounds).ok()).unwrap_or_default()
}
