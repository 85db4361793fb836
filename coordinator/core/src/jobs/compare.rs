//! Comparison: pandas' `left.merge(right.drop_duplicates(), on, how, indicator=True)` in the order of the driving side.
//! The driving side is the left one, except for `how = right`.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::compare::{CompareSpec, How, Matching, MergedColumn, Validate};
use shardmill_common::kinds::dedup::HashColumn;
use shardmill_common::manifest::Manifest;
use shardmill_common::name::DatasetRef;
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::unfit::{OwnUnfit, Role, Unfit};

use super::pairs::{Pairs, Progress, check_names, key_columns, shuffled};
use super::plan::{Draft, Next, ResolvedJob, StageView};
use crate::jobs::Planner;
use crate::jobs::outline::Outline;

/// What is wrong with a comparison alone.
#[derive(Debug, thiserror::Error)]
enum CompareUnfit {
    #[error("{left} and {right} share no column: {left} has {left_columns}; {right} has {right_columns}")]
    NothingShared { left: DatasetRef, left_columns: String, right: DatasetRef, right_columns: String },
    #[error("an input has a column `_merge`, which is the name of the indicator: rename it first")]
    Indicator,
    #[error("the key column `{0}` has the name of a column of the report: rename it first")]
    Reserved(&'static str),
    #[error("the two sides share no column besides the keys: there is nothing that could have changed")]
    NothingToChange,
}

impl OwnUnfit for CompareUnfit {}

impl Planner for CompareSpec {
    fn check(&self, job: &ResolvedJob) -> Result<(), Unfit> {
        plan(self, job).map(|_| ())
    }

    fn next(&self, job: &ResolvedJob, stages: &[StageView<'_>]) -> Result<Next, Failure> {
        let pairs = plan(self, job).map_err(Failure::bad_input)?;
        Ok(match pairs.next(stages)? {
            Progress::Next(next) => next,
            Progress::Finished(shards) => {
                let draft = Draft { name: self.output.clone(), schema: output_schema(&pairs), shards };
                Next::versions(vec![draft])
            }
        })
    }

    fn outline(&self, job: &ResolvedJob) -> Option<Outline> {
        let mut outline = Outline::default();
        let Ok(pairs) = plan(self, job) else { return Some(outline) };
        let does = if self.changes { "report the cells that differ" } else { "write the merged rows" };
        shuffled(&pairs, job, &mut outline, does);
        Some(outline)
    }
}

/// What follows from the spec and the two schemas.
pub fn plan<'a>(spec: &CompareSpec, job: &'a ResolvedJob) -> Result<Pairs<'a>, Unfit> {
    let [left, right] = job.inputs.as_slice() else {
        return Err(Unfit::Inputs { kind: "a comparison", wanted: 2, found: job.inputs.len() });
    };
    let (keys, _) = key_columns(&on(spec, left, right)?, left, right, false)?;
    let driver_is_left = spec.how != How::Right || spec.changes;
    let is_key = |name: &str| keys.iter().any(|k| k.name == name);
    let columns = if spec.changes {
        changed_columns(&keys, left, right)?
    } else {
        merged_columns(spec, &keys, left, right, driver_is_left)?
    };
    let payload = columns.iter().filter_map(|c| c.other.clone()).filter(|name| !is_key(name)).collect();
    let (how, validate) = if spec.changes {
        // Rows only one side has are counted; keys that repeat have no one partner to be compared with.
        (How::Outer, Validate::OneToOne)
    } else {
        (spec.how, spec.validate)
    };
    Ok(Pairs {
        left,
        right,
        columns,
        payload,
        driver_is_left,
        matching: Matching::Comparison,
        how,
        validate,
        right_has_row_hash: !right.schema.names().all(is_key),
        nulls_equal: true,
        changes: spec.changes.then_some(keys.len() as u32),
        indicator: !spec.changes,
        left_keys: keys.clone(),
        right_keys: keys,
    })
}

/// The columns to compare by, which both sides have under one name.
fn on(spec: &CompareSpec, left: &Manifest, right: &Manifest) -> Result<Vec<(String, String)>, Unfit> {
    let names: Vec<String> = match &spec.on {
        Some(on) if on.is_empty() => return Err(Unfit::NoneNamed(Role::Key)),
        Some(on) => on.clone(),
        None => left.schema.names().filter(|n| right.schema.get(n).is_some()).map(str::to_owned).collect(),
    };
    if names.is_empty() {
        return Err(CompareUnfit::NothingShared {
            left: left.reference(),
            left_columns: left.schema.names_joined(),
            right: right.reference(),
            right_columns: right.schema.names_joined(),
        }
        .into());
    }
    Ok(names.into_iter().map(|name| (name.clone(), name)).collect())
}

fn merged_columns(
    spec: &CompareSpec,
    keys: &[HashColumn],
    left: &Manifest,
    right: &Manifest,
    driver_is_left: bool,
) -> Result<Vec<MergedColumn>, Unfit> {
    let key = |name: &str| keys.iter().find(|k| k.name == name);
    let mut columns: Vec<MergedColumn> = Vec::new();
    for field in &left.schema.fields {
        if let Some(key) = key(&field.name) {
            columns.push(MergedColumn {
                name: field.name.clone(),
                dtype: key.dtype.unwrap_or(field.dtype),
                driver: Some(field.name.clone()),
                other: Some(field.name.clone()),
            });
            continue;
        }
        let clash = right.schema.get(&field.name).is_some();
        let name = if clash { format!("{}{}", field.name, spec.suffixes.0) } else { field.name.clone() };
        let source = Some(field.name.clone());
        let (driver, other) = if driver_is_left { (source, None) } else { (None, source) };
        columns.push(MergedColumn { name, dtype: field.dtype, driver, other });
    }
    for field in right.schema.fields.iter().filter(|f| key(&f.name).is_none()) {
        let clash = left.schema.get(&field.name).is_some();
        let name = if clash { format!("{}{}", field.name, spec.suffixes.1) } else { field.name.clone() };
        let source = Some(field.name.clone());
        let (driver, other) = if driver_is_left { (None, source) } else { (source, None) };
        columns.push(MergedColumn { name, dtype: field.dtype, driver, other });
    }
    if columns.iter().any(|c| c.name == "_merge") {
        return Err(CompareUnfit::Indicator.into());
    }
    check_names(&columns, &spec.suffixes)?;
    Ok(columns)
}

/// Keys, then the other shared columns, each with the type both sides are compared in.
fn changed_columns(keys: &[HashColumn], left: &Manifest, right: &Manifest) -> Result<Vec<MergedColumn>, Unfit> {
    let both = |name: &str, dtype| MergedColumn {
        name: name.to_owned(),
        dtype,
        driver: Some(name.to_owned()),
        other: Some(name.to_owned()),
    };
    let mut columns: Vec<MergedColumn> =
        keys.iter().map(|k| both(&k.name, k.dtype.unwrap_or(DataType::String))).collect();
    for reserved in ["column", "left", "right"] {
        if keys.iter().any(|k| k.name == reserved) {
            return Err(CompareUnfit::Reserved(reserved).into());
        }
    }
    for field in left.schema.fields.iter().filter(|f| !keys.iter().any(|k| k.name == f.name)) {
        if let Some(theirs) = right.schema.get(&field.name) {
            // Not as text: 5 and 5.0 are no change. A value that no float has ends the comparison.
            columns.push(both(&field.name, field.dtype.join(theirs.dtype)));
        }
    }
    if columns.len() == keys.len() {
        return Err(CompareUnfit::NothingToChange.into());
    }
    Ok(columns)
}

fn output_schema(pairs: &Pairs<'_>) -> Schema {
    let fields = pairs.columns.iter().map(|c| Field::new(c.name.clone(), c.dtype));
    let mut fields: Vec<Field> = match pairs.changes {
        Some(keys) => fields.take(keys as usize).collect(),
        None => fields.collect(),
    };
    let added: &[&str] = if pairs.changes.is_some() { &["column", "left", "right"] } else { &["_merge"] };
    fields.extend(added.iter().map(|name| Field::new(*name, DataType::String)));
    Schema::new(fields).published()
}
