//! From the optimum to the model that is published, and what a person should know of it.

use std::collections::BTreeMap;

use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::ids::JobId;
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{Model, TrainSpec, Training};
use shardmill_common::task::TaskOutput;
use shardmill_common::time::Timestamp;

use super::super::plan::{Next, Publication};
use super::columns;
use super::family::{Trained, family, family_mut};
use super::memo::Memo;

/// The model, as far as it is not the catalog's to say.
pub fn publish(
    spec: &TrainSpec,
    input: &Manifest,
    outputs: &[&TaskOutput],
    memo: Memo,
    trained: Trained,
) -> Result<Next, Failure> {
    let Memo { rounds, prepared, .. } = memo;
    let mut notices = prepared.notices;
    notices.extend(unknown_categories(outputs));
    notices.extend(trained.notices);
    if !trained.converged {
        let (n, last) = (rounds.len(), rounds.last().map_or(0.0, |r| r.gradient));
        notices.push(if trained.stalled {
            format!(
                "after {n} rounds no step led further, although the gradient is {last:.1e}: rounding stands in the way; bring \
                 features (and a label that is a number) to similar scales, for instance with --standardise"
            )
        } else {
            family(&spec.algorithm).not_converged(n, last)
        });
    }
    let model = Model {
        name: spec.model.clone(),
        version: 0,
        algorithm: spec.algorithm.name().to_owned(),
        target: prepared.target,
        features: prepared.encoder,
        parameters: trained.parameters,
        curvature: trained.curvature,
        baseline: trained.baseline,
        training: Training {
            rows: prepared.rows,
            rows_skipped: prepared.rows_skipped,
            rounds,
            converged: trained.converged,
            solver: trained.solver.to_owned(),
            notices,
        },
        data: Some(input.reference()),
        parent: spec.warm_start.clone().or_else(|| spec.update.clone()),
        spec: Some(recorded(spec)),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        job: JobId(0),
        created: Timestamp(0),
    };
    Ok(Next::publish(Publication { model: Some(Box::new(model)), ..Default::default() }))
}

/// The spec as a later training or update should read it: an update goes on with its model's objective and columns.
fn recorded(spec: &TrainSpec) -> TrainSpec {
    let mut recorded = TrainSpec { base: None, label: columns::label(spec).map(str::to_owned), ..spec.clone() };
    if let Some(theirs) = columns::updated(spec).and_then(|base| base.spec.as_ref()) {
        family_mut(&mut recorded.algorithm).go_on(&theirs.algorithm);
        let unlabelled = recorded.preparation.unlabelled;
        recorded.preparation = theirs.preparation.clone();
        recorded.preparation.unlabelled = unlabelled;
    }
    recorded
}

/// Categories that an update met and its model does not know.
fn unknown_categories(outputs: &[&TaskOutput]) -> Vec<String> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (counter, n) in outputs.iter().flat_map(|o| &o.counters.0) {
        if let Counter::UnknownCategories(column) = counter {
            *sums.entry(column).or_default() += n;
        }
    }
    let told = |(column, n): (&str, u64)| format!("{n} rows have a value of `{column}` that the model does not know");
    sums.into_iter().filter(|(_, n)| *n > 0).map(told).collect()
}
