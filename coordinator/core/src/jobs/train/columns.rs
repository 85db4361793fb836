//! Which columns a training reads, and how each becomes features as far as it shows without data.

use shardmill_common::kinds::train::LabelKind;
use shardmill_common::model::{Categories, Imputation, Model, TrainSpec};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::unfit::{Role, Unfit};

use super::family::{Learns, family};
use super::unfit::TrainUnfit;
use crate::train::{Asked, constant_number};

/// The label's column: of an update, if nothing else is said, the one the model learnt.
pub fn label(spec: &TrainSpec) -> Option<&str> {
    let learnt = || updated(spec).and_then(|base| base.target.label()).map(|l| l.column.as_str());
    spec.label.as_deref().or_else(learnt)
}

/// The model that is updated.
pub fn updated(spec: &TrainSpec) -> Option<&Model> {
    spec.base.as_deref().filter(|_| spec.update.is_some())
}

pub fn label_kind(spec: &TrainSpec) -> Option<LabelKind> {
    let name = label(spec)?.to_owned();
    match family(&spec.algorithm).learns() {
        Learns::Classes => Some(LabelKind::Class(name)),
        Learns::Numbers => Some(LabelKind::Number(name)),
        Learns::Clusters(_) => None,
    }
}

/// What has many values and is no number: neither is a model made of it as it is.
fn is_time(dtype: DataType) -> bool {
    dtype.is_calendar() || matches!(dtype, DataType::Time | DataType::Duration | DataType::Binary)
}

pub fn no_column(name: &str, schema: &Schema, what: &str) -> Unfit {
    Unfit::no_column(what, schema, name, Role::Feature)
}

/// The features of a training from scratch. Refuses names, types and fillings that do not fit.
pub fn asked(spec: &TrainSpec, schema: &Schema, what: &str) -> Result<Vec<Asked>, Unfit> {
    let preparation = &spec.preparation;
    let taken = [label(spec), spec.weight_column.as_deref()];
    let fields: Vec<&Field> = match &preparation.features {
        None => schema.fields.iter().filter(|f| !taken.contains(&Some(f.name.as_str()))).collect(),
        Some(names) => named(names, schema, what, &taken)?,
    };
    if fields.is_empty() {
        return Err(TrainUnfit::NoFeatures { of: what.to_owned() }.into());
    }
    let known = |names: &mut dyn Iterator<Item = &String>, option: &'static str| -> Result<(), TrainUnfit> {
        names.filter(|n| !fields.iter().any(|f| f.name == **n)).try_for_each(|n| {
            let features = fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ");
            Err(TrainUnfit::NotAFeature { option, column: n.clone(), features })
        })
    };
    let categorical: &[String] = match &preparation.categorical {
        Categories::Text => &[],
        Categories::And(names) => names,
    };
    let standardised = preparation.standardise.as_deref();
    known(&mut categorical.iter(), "--categorical")?;
    known(&mut standardised.unwrap_or_default().iter(), "--standardise")?;
    known(&mut preparation.impute.keys(), "--impute")?;
    let is_categorical =
        |f: &Field| matches!(f.dtype, DataType::String | DataType::Null) || categorical.contains(&f.name);
    let times: Vec<String> = fields
        .iter()
        .filter(|f| is_time(f.dtype) && !is_categorical(f))
        .map(|f| format!("{} ({})", f.name, f.dtype))
        .collect();
    if !times.is_empty() {
        return Err(TrainUnfit::Times { columns: times.join(", "), chosen: preparation.features.is_some() }.into());
    }
    fields
        .iter()
        .map(|field| {
            let categorical = is_categorical(field);
            let standardise = match standardised {
                None => false,
                Some([]) => field.dtype.is_numeric() && !categorical,
                Some(names) => names.contains(&field.name),
            };
            if standardise && categorical {
                return Err(TrainUnfit::StandardisedCategories(field.name.clone()).into());
            }
            let own = preparation.impute.get(&field.name);
            let imputation = own.unwrap_or(&preparation.impute_default).clone();
            fits(&imputation, field, categorical, own.is_some())?;
            let (column, dtype) = (field.name.clone(), field.dtype);
            Ok(Asked { column, dtype, categorical, imputation, standardise })
        })
        .collect()
}

fn named<'a>(
    names: &[String],
    schema: &'a Schema,
    what: &str,
    taken: &[Option<&str>; 2],
) -> Result<Vec<&'a Field>, Unfit> {
    let mut fields: Vec<&Field> = Vec::with_capacity(names.len());
    for name in names {
        let field = schema.get(name).ok_or_else(|| no_column(name, schema, what))?;
        if taken[0] == Some(name) {
            return Err(TrainUnfit::LabelIsFeature(name.clone()).into());
        }
        if taken[1] == Some(name) {
            return Err(TrainUnfit::WeightIsFeature(name.clone()).into());
        }
        if fields.iter().any(|f| f.name == *name) {
            return Err(Unfit::Twice { column: name.clone(), role: Role::Feature });
        }
        fields.push(field);
    }
    Ok(fields)
}

/// Whether a filling fits the column. A default that does not is told of when there is something to fill.
fn fits(imputation: &Imputation, field: &Field, categorical: bool, own: bool) -> Result<(), TrainUnfit> {
    let (name, dtype) = (&field.name, field.dtype);
    match imputation {
        Imputation::Mean | Imputation::Median if own && (categorical || !dtype.is_numeric()) => {
            let why = if categorical { "is taken as categories".to_owned() } else { format!("is {dtype}") };
            Err(TrainUnfit::NoMean { column: name.clone(), why })
        }
        Imputation::Constant(text) if own && !categorical => {
            let constant = constant_number(text, dtype).map(|_| ());
            constant.ok_or_else(|| TrainUnfit::Constant { column: name.clone(), text: text.clone() })
        }
        _ => Ok(()),
    }
}
