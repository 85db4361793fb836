//! From a shard to a session: read the columns that are needed, leave out rows that training does not use, encode.

use std::sync::Arc;

use polars::prelude::DataFrame;
use shardmill_common::failure::Failure;
use shardmill_common::model::{Encoder, Target};
use shardmill_common::schema::Schema;
use shardmill_common::shared::Shared;
use shardmill_common::task::{ShardInput, ShardRef};
use shardmill_serving::model::Reason;
use xxhash_rust::xxh3::xxh3_128;

use super::numbers::gather;
use super::rows;
use super::session::{Session, SessionKey, Targets};
use crate::model::encode;
use crate::origin::Origin;
use crate::tasks::Context;

/// What a session is made of, besides its shard.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<'a> {
    pub encoder: &'a Shared<Encoder>,
    pub target: Option<&'a Shared<Target>>,
    pub weight_column: Option<&'a str>,
    /// By class; empty: 1 each.
    pub class_weights: &'a Shared<Vec<f64>>,
}

impl Recipe<'_> {
    fn columns(&self) -> Vec<String> {
        let label = self.target.and_then(|target| target.label()).map(|label| label.column.clone());
        let mut columns = self.encoder.columns();
        columns.extend(label.into_iter().chain(self.weight_column.map(str::to_owned)));
        rows::each_once(columns)
    }

    /// What is shared is written as its digest, so that this takes no time.
    fn digest(&self) -> Result<u128, Failure> {
        let parts = (self.encoder, self.target, self.weight_column, self.class_weights);
        Ok(xxh3_128(&serde_json::to_vec(&parts).map_err(Failure::internal)?))
    }
}

/// A shard's session: the one in memory, or a new one, which is kept if the shard is published and there is room.
pub fn load(
    context: &Context,
    input: &ShardInput,
    schema: &Schema,
    recipe: Recipe<'_>,
    origin: Origin<'_>,
) -> Result<Arc<Session>, Failure> {
    let key = match &input.shard {
        ShardRef::Stored(entry) => Some(SessionKey { shard: entry.identity(), digest: recipe.digest()? }),
        ShardRef::Made { .. } => None,
    };
    if let Some(session) = key.and_then(|key| context.sessions.get(&key)) {
        context.check()?;
        context.advance(session.shard_rows, 0);
        return Ok(session);
    }
    let frame = context.open_columns(input, schema, Some(&recipe.columns()))?;
    context.check()?;
    let session = Arc::new(prepare(frame, recipe, origin)?);
    if let Some(key) = key {
        context.sessions.put(key, &session);
    }
    Ok(session)
}

/// Encodes a shard's rows.
pub fn prepare(frame: DataFrame, recipe: Recipe<'_>, origin: Origin<'_>) -> Result<Session, Failure> {
    let shard_rows = frame.height() as u64;
    let label = recipe.target.and_then(|target| target.label()).map(|label| label.column.as_str());
    let (frame, labelled) = match label {
        None => (frame, None),
        Some(label) => {
            let mut unlabelled = vec![false; frame.height()];
            rows::mark_missing(rows::column(&frame, label)?, &mut unlabelled)?;
            rows::without(frame, &unlabelled)?
        }
    };
    let encoded = encode(&frame, recipe.encoder)?;
    let fault = |row: usize, what: String| origin.fault(rows::original(labelled.as_deref(), row), what);
    for unusable in &encoded.unusable {
        let (row, column) = (unusable.row as usize, &unusable.column);
        match &unusable.reason {
            Reason::Missing => {}
            Reason::Infinite => {
                let what = "is infinite: clean it with a rule, or leave the column out";
                return Err(fault(row, format!("column `{column}` {what}")));
            }
            Reason::Unknown(value) => {
                return Err(fault(row, format!("column `{column}` is `{value}`, a category the model does not know")));
            }
        }
    }
    let kept = encoded.kept;
    // From here on rows are those of the matrix.
    let used = match (labelled, &kept) {
        (None, kept) => kept.clone(),
        (labelled, None) => labelled,
        (Some(labelled), Some(kept)) => Some(gather(&labelled, kept)),
    };
    let used_fault = |row: usize, what: String| origin.fault(rows::original(used.as_deref(), row), what);
    // Of the used rows alone: what other rows have as label or weight is nobody's business.
    let numbers_of = |name: &str, role: &str| -> Result<Vec<f64>, Failure> {
        let numbers = rows::numbers(&frame, name, role)?;
        Ok(kept.as_ref().map_or_else(|| numbers.values().to_vec(), |kept| gather(numbers.values(), kept)))
    };
    let targets = match recipe.target.map(|target| &**target) {
        None | Some(Target::Cluster { .. }) => Targets::None,
        Some(Target::Number { label }) => {
            let values = numbers_of(&label.column, "label")?;
            rows::check_finite("label", &label.column, &values, used_fault)?;
            Targets::Numbers(values)
        }
        Some(Target::Class { label, classes }) => {
            let column = rows::column(&frame, &label.column)?;
            Targets::Classes(rows::class_numbers(column, classes, kept.as_deref(), used_fault)?)
        }
    };
    let mut weights = None;
    if let Some(name) = recipe.weight_column {
        let values = numbers_of(name, "weight")?;
        rows::check_weights(name, &values, used_fault)?;
        weights = Some(values);
    }
    if let Targets::Classes(classes) = &targets
        && recipe.class_weights.iter().any(|w| *w != 1.0)
    {
        let weights = weights.get_or_insert_with(|| vec![1.0; classes.len()]);
        for (weight, class) in weights.iter_mut().zip(classes) {
            *weight *= recipe.class_weights.get(*class as usize).copied().unwrap_or(1.0);
        }
    }
    let weights = weights.filter(|weights| weights.iter().any(|w| *w != 1.0));
    Ok(Session { matrix: encoded.matrix, rows: used, targets, weights, shard_rows, counters: encoded.counters })
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
