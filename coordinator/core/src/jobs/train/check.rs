//! Whether a training makes sense for the columns of its dataset, before anything runs.

use shardmill_common::model::{Encoding, Label, Model, TrainSpec};
use shardmill_common::schema::{DataType, Schema};
use shardmill_common::unfit::Unfit;

use super::super::plan::ResolvedJob;
use super::columns;
use super::family::{Learns, family};
use super::unfit::TrainUnfit;

pub fn check(spec: &TrainSpec, job: &ResolvedJob) -> Result<(), Unfit> {
    let input = job.input()?;
    let (schema, what) = (&input.schema, input.reference().to_string());
    family(&spec.algorithm).check(spec)?;
    if spec.preparation.max_categories == 0 {
        return Err(TrainUnfit::Zero("--max-categories").into());
    }
    label(spec, schema, &what)?;
    weights(spec, schema, &what)?;
    base(spec)?;
    match columns::updated(spec) {
        Some(base) => updated(spec, base, schema, &what),
        None => columns::asked(spec, schema, &what).map(|_| ()),
    }
}

fn label(spec: &TrainSpec, schema: &Schema, what: &str) -> Result<(), Unfit> {
    let (family, verb) = (family(&spec.algorithm), spec.algorithm.name());
    let classes = match family.learns() {
        Learns::Clusters(_) => {
            return match (&spec.label, &spec.weight_column) {
                (Some(label), _) => Err(TrainUnfit::NeedsNoLabel { verb, label: label.clone() }.into()),
                (None, Some(_)) => Err(TrainUnfit::NoWeights { verb }.into()),
                (None, None) => Ok(()),
            };
        }
        Learns::Classes => true,
        Learns::Numbers => false,
    };
    let title = family.title();
    let name = columns::label(spec).ok_or(TrainUnfit::NoLabel)?;
    let dtype = schema.get(name).ok_or_else(|| columns::no_column(name, schema, what))?.dtype;
    let fits = if classes { dtype.of_classes().is_some() } else { dtype.is_numeric() || dtype == DataType::Boolean };
    if fits { Ok(()) } else { Err(TrainUnfit::LabelType { label: name.to_owned(), dtype, classes, title }.into()) }
}

fn weights(spec: &TrainSpec, schema: &Schema, what: &str) -> Result<(), Unfit> {
    let Some(name) = spec.weight_column.as_deref() else { return Ok(()) };
    let field = schema.get(name).ok_or_else(|| columns::no_column(name, schema, what))?;
    if !field.dtype.is_numeric() {
        return Err(TrainUnfit::WeightType { column: name.to_owned(), dtype: field.dtype }.into());
    }
    if columns::label(spec) == Some(name) {
        return Err(TrainUnfit::LabelIsWeight(name.to_owned()).into());
    }
    if columns::updated(spec).is_some_and(|base| base.features.features.iter().any(|f| f.column == name)) {
        return Err(TrainUnfit::WeightIsFeature(name.to_owned()).into());
    }
    Ok(())
}

/// Whether the model that training starts from is of the same kind.
fn base(spec: &TrainSpec) -> Result<(), TrainUnfit> {
    let Some(reference) = spec.warm_start.as_ref().or(spec.update.as_ref()) else { return Ok(()) };
    if spec.warm_start.is_some() && spec.update.is_some() {
        return Err(TrainUnfit::TwoBases);
    }
    let base = spec.base.as_deref().ok_or_else(|| TrainUnfit::BaseMissing(reference.clone()))?;
    let (theirs, ours) = (base.algorithm.as_str(), spec.algorithm.name());
    if base.graph().is_some() {
        return Err(TrainUnfit::Imported(reference.clone()));
    }
    if theirs != ours || base.spec.as_ref().map(|s| s.algorithm.name()) != Some(ours) {
        let (base, theirs, ours) = (reference.clone(), theirs.to_owned(), ours.to_owned());
        return Err(TrainUnfit::OtherFamily { base, theirs, ours });
    }
    let learnt = base.target.label().map(|l| l.column.as_str());
    if learnt != columns::label(spec) {
        let [learnt, asked] = [learnt, columns::label(spec)].map(|label| label.unwrap_or("nothing").to_owned());
        return Err(TrainUnfit::OtherLabel { base: reference.clone(), learnt, asked });
    }
    family(&spec.algorithm).check_base(spec, base)
}

/// An update reads the columns its model reads.
fn updated(spec: &TrainSpec, base: &Model, schema: &Schema, what: &str) -> Result<(), Unfit> {
    let reference = base.reference();
    for feature in &base.features.features {
        let name = &feature.column;
        let field = schema.get(name).ok_or_else(|| {
            let why = Box::new(columns::no_column(name, schema, what));
            TrainUnfit::BaseReads { base: reference.clone(), column: name.clone(), why }
        })?;
        if columns::label(spec) == Some(name) {
            return Err(TrainUnfit::LabelIsFeature(name.clone()).into());
        }
        let numeric = matches!(feature.encoding, Encoding::Numeric { .. });
        let fits = field.dtype == feature.dtype || numeric && feature.dtype.is_numeric() && field.dtype.is_numeric();
        if !fits {
            let (base, column, of) = (reference, name.clone(), what.to_owned());
            let (trained, found) = (feature.dtype, field.dtype);
            return Err(TrainUnfit::FeatureType { base, column, trained, of, found }.into());
        }
    }
    let Some(Label { column, dtype }) = base.target.label() else { return Ok(()) };
    match schema.get(column) {
        Some(_) if family(&spec.algorithm).learns() == Learns::Numbers => Ok(()),
        Some(field) if field.dtype == *dtype || field.dtype.of_classes() == Some(*dtype) => Ok(()),
        Some(field) => {
            let (base, column, of) = (reference, column.clone(), what.to_owned());
            Err(TrainUnfit::LearntType { base, column, trained: *dtype, of, found: field.dtype }.into())
        }
        None => Err(columns::no_column(column, schema, what)),
    }
}
