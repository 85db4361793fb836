//! What is settled before the first round.

use std::collections::BTreeMap;

use shardmill_common::failure::Failure;
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{Encoding, Feature, Label, Target, TrainSpec};
use shardmill_common::schema::DataType;
use shardmill_common::text::parse_float64;

use super::family::{Learns, Ready, family};
use super::memo::{Memo, Prepared};
use super::{columns, labels, profile};
use crate::train::{Built, Whole, build};

pub fn begin(
    spec: &TrainSpec,
    input: &Manifest,
    whole: &Whole,
    fillings: &BTreeMap<String, f64>,
) -> Result<Memo, Failure> {
    let name = input.reference().to_string();
    let built = match columns::updated(spec) {
        Some(base) => Built { encoder: base.features.clone(), ..Default::default() },
        None => build(&profile::asked(spec, input)?, whole, fillings, &spec.preparation, &name)?,
    };
    let target = target(spec, input, whole)?;
    let mut prepared = Prepared {
        encoder: built.encoder.clone(),
        working: None,
        class_weights: labels::class_weights(spec, whole, target.classes())?,
        target,
        rows: whole.rows,
        rows_skipped: whole.rows_without_label + whole.rows_with_missing,
        notices: notices(spec, whole),
    };
    prepared.notices.extend(built.notices.iter().cloned());
    if columns::updated(spec).is_none() {
        prepared.notices.extend(numbers_among_texts(&built.encoder.features));
    }
    let ready = Ready { spec, input, whole, built: &built, prepared: &mut prepared };
    let state = family(&spec.algorithm).begin(ready)?;
    Ok(Memo { rounds: Vec::new(), prepared, state })
}

fn target(spec: &TrainSpec, input: &Manifest, whole: &Whole) -> Result<Target, Failure> {
    if let Some(base) = columns::updated(spec) {
        return Ok(base.target.clone());
    }
    let learns = family(&spec.algorithm).learns();
    if let Learns::Clusters(clusters) = learns {
        return Ok(Target::Cluster { clusters });
    }
    let field = columns::label(spec).and_then(|name| input.schema.get(name));
    let field = field.ok_or_else(|| Failure::internal("there is no label"))?;
    let dtype = match learns {
        Learns::Classes => field.dtype.of_classes().unwrap_or(field.dtype),
        Learns::Numbers | Learns::Clusters(_) => field.dtype,
    };
    let label = Label { column: field.name.clone(), dtype };
    Ok(match learns {
        Learns::Numbers => Target::Number { label },
        Learns::Classes | Learns::Clusters(_) => Target::Class { label, classes: labels::classes(spec, whole) },
    })
}

/// Texts taken as categories that are numbers but for a mark or two: the column was probably meant to be one of numbers.
fn numbers_among_texts(features: &[Feature]) -> Vec<String> {
    const LEAST: usize = 3;
    const MARKS: usize = 2;
    let notice = |feature: &Feature| {
        let Encoding::OneHot { categories, .. } = &feature.encoding else { return None };
        let is_number = |text: &&String| parse_float64(text.as_bytes()).is_some();
        let others: Vec<&String> = categories.iter().filter(|text| !is_number(text)).collect();
        let numbers = categories.len() - others.len();
        if feature.dtype != DataType::String || others.is_empty() || others.len() > MARKS || numbers < LEAST {
            return None;
        }
        let marks = others.iter().map(|mark| format!("\"{mark}\"")).collect::<Vec<_>>().join(" and ");
        let column = &feature.column;
        Some(format!(
            "`{column}` is text and was taken as categories, of which all but {marks} are numbers: ingest it with --null to make it a number"
        ))
    };
    features.iter().filter_map(notice).collect()
}

fn notices(spec: &TrainSpec, whole: &Whole) -> Vec<String> {
    let mut notices = Vec::new();
    let all = whole.all_rows();
    if let (true, Some(label)) = (whole.rows_without_label > 0, columns::label(spec)) {
        notices.push(format!("{} of {all} rows have no `{label}` and were left out", whole.rows_without_label));
    }
    if whole.rows_with_missing > 0 {
        notices.push(format!("{} of {all} rows lack a value of a feature and were left out", whole.rows_with_missing));
    }
    notices
}
