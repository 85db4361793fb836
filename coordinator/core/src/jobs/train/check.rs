//! Whether a training makes sense for the columns of its dataset, before anything runs.

use shardmill_common::model::{Encoding, Label, Model, TrainSpec};
use shardmill_common::schema::{DataType, Schema};

use super::super::plan::ResolvedJob;
use super::columns;
use super::family::{Learns, family};

pub fn check(spec: &TrainSpec, job: &ResolvedJob) -> Result<(), String> {
    let input = job.inputs.first().ok_or("the input is missing")?;
    let (schema, what) = (&input.schema, input.reference().to_string());
    family(&spec.algorithm).check(spec)?;
    if spec.preparation.max_categories == 0 {
        return Err("--max-categories must be at least 1".into());
    }
    label(spec, schema, &what)?;
    weights(spec, schema, &what)?;
    base(spec)?;
    match columns::updated(spec) {
        Some(base) => updated(spec, base, schema, &what),
        None => columns::asked(spec, schema, &what).map(|_| ()),
    }
}

fn label(spec: &TrainSpec, schema: &Schema, what: &str) -> Result<(), String> {
    let (family, verb) = (family(&spec.algorithm), spec.algorithm.name());
    let classes = match family.learns() {
        Learns::Clusters(_) => {
            return match (&spec.label, &spec.weight_column) {
                (Some(label), _) => Err(format!("{verb} learns without a label: leave `{label}` out")),
                (None, Some(_)) => Err(format!("{verb} cannot take row weights")),
                (None, None) => Ok(()),
            };
        }
        Learns::Classes => true,
        Learns::Numbers => false,
    };
    let title = family.title();
    let name = columns::label(spec).ok_or("which column is to be learnt? Name it with --label")?;
    let dtype = schema.get(name).ok_or_else(|| columns::no_column(name, schema, what))?.dtype;
    match (classes, dtype) {
        (true, DataType::Boolean | DataType::Int64 | DataType::String | DataType::Null) => Ok(()),
        (false, DataType::Boolean | DataType::Int64 | DataType::Float64) => Ok(()),
        (true, DataType::Float64) => Err(format!(
            "the label `{name}` is float64, and classes are boolean, int64 or string: cast it (`shardmill clean`, rule `cast`), or \
             learn a number with `train linear`"
        )),
        (true, _) => Err(format!("the label `{name}` is {dtype}, and classes are boolean, int64 or string")),
        (false, DataType::String) => Err(format!(
            "the label `{name}` is string, and {title} learns a number: learn its classes with `train logistic`"
        )),
        (false, _) => Err(format!("the label `{name}` is {dtype}, and {title} learns int64, float64 or boolean")),
    }
}

fn weights(spec: &TrainSpec, schema: &Schema, what: &str) -> Result<(), String> {
    let Some(name) = spec.weight_column.as_deref() else { return Ok(()) };
    let field = schema.get(name).ok_or_else(|| columns::no_column(name, schema, what))?;
    if !field.dtype.is_numeric() {
        return Err(format!("the weights `{name}` are {}: they must be int64 or float64", field.dtype));
    }
    if columns::label(spec) == Some(name) {
        return Err(format!("`{name}` cannot be the label and the weights at once"));
    }
    if columns::updated(spec).is_some_and(|base| base.features.features.iter().any(|f| f.column == name)) {
        return Err(format!("`{name}` holds the weights and cannot be a feature, too"));
    }
    Ok(())
}

/// Whether the model that training starts from is of the same kind.
fn base(spec: &TrainSpec) -> Result<(), String> {
    let Some(reference) = spec.warm_start.as_ref().or(spec.update.as_ref()) else { return Ok(()) };
    if spec.warm_start.is_some() && spec.update.is_some() {
        return Err("a training starts from a version or updates one, not both".into());
    }
    let base = spec.base.as_deref().ok_or_else(|| format!("model {reference} is missing"))?;
    let (theirs, ours) = (base.algorithm.as_str(), spec.algorithm.name());
    if base.graph().is_some() {
        return Err(format!(
            "{reference} was imported from an ONNX file, and nothing is known of how it was trained: a training cannot go on from it"
        ));
    }
    if theirs != ours || base.spec.as_ref().map(|s| s.algorithm.name()) != Some(ours) {
        return Err(format!("{reference} is a model of {theirs}, and this is a training of {ours}"));
    }
    let learnt = base.target.label().map(|l| l.column.as_str());
    if learnt != columns::label(spec) {
        let asked = columns::label(spec).unwrap_or("nothing");
        return Err(format!("{reference} has learnt `{}`, not `{asked}`", learnt.unwrap_or("nothing")));
    }
    family(&spec.algorithm).check_base(spec, base)
}

/// An update reads the columns its model reads.
fn updated(spec: &TrainSpec, base: &Model, schema: &Schema, what: &str) -> Result<(), String> {
    let reference = base.reference();
    for feature in &base.features.features {
        let name = &feature.column;
        let field = schema
            .get(name)
            .ok_or_else(|| format!("{reference} reads `{name}`, and {}", columns::no_column(name, schema, what)))?;
        if columns::label(spec) == Some(name) {
            return Err(format!("`{name}` is the label and cannot be a feature, too"));
        }
        let numeric = matches!(feature.encoding, Encoding::Numeric { .. });
        let fits = field.dtype == feature.dtype
            || numeric && feature.dtype == DataType::Float64 && field.dtype == DataType::Int64;
        if !fits {
            return Err(format!(
                "{reference} was trained with `{name}` as {}, and in {what} it is {}",
                feature.dtype, field.dtype
            ));
        }
    }
    let Some(Label { column, dtype }) = base.target.label() else { return Ok(()) };
    match schema.get(column) {
        Some(field) if family(&spec.algorithm).learns() == Learns::Numbers || field.dtype == *dtype => Ok(()),
        Some(field) => {
            Err(format!("{reference} has learnt `{column}` as {dtype}, and in {what} it is {}", field.dtype))
        }
        None => Err(columns::no_column(column, schema, what)),
    }
}
