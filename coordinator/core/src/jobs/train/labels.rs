//! The label: what may be wrong with it, the classes, and how much each class weighs.

use std::collections::BTreeMap;

use shardmill_common::failure::Failure;
use shardmill_common::model::{ClassValue, ClassWeight, TrainSpec};

use super::columns;
use super::family::family;
use crate::train::{Labels, Whole};

/// More classes are rather numbers.
const CLASSES: usize = 1000;

/// Whether the label has something to teach.
pub fn check(spec: &TrainSpec, whole: &Whole) -> Result<(), Failure> {
    let Some(label) = columns::label(spec) else { return Ok(()) };
    let updated = columns::updated(spec);
    let rows = whole.rows;
    match &whole.labels {
        Labels::None => Err(Failure::internal("the profiles know nothing of the label")),
        Labels::Number(moments) if updated.is_none() && moments.squares == 0.0 => Err(Failure::bad_input(format!(
            "`{label}` is {} in all {rows} rows: there is nothing to learn",
            moments.mean
        ))),
        Labels::Number(_) => Ok(()),
        Labels::Classes(found) => match updated {
            Some(base) => {
                let known = base.target.classes();
                let Some((class, n, _)) = found.iter().find(|(c, _, _)| !known.contains(c)) else { return Ok(()) };
                Err(Failure::bad_input(format!(
                    "`{label}` is `{class}` in {n} rows, a class that {} does not know (its classes are {}): train it anew on \
                     all rows",
                    base.reference(),
                    joined(known)
                )))
            }
            None => match found.as_slice() {
                [(class, _, _)] => Err(Failure::bad_input(format!(
                    "`{label}` is `{class}` in all {rows} rows: there is nothing to learn"
                ))),
                many if many.len() > CLASSES => Err(Failure::bad_input(format!(
                    "`{label}` has {} different values, and at most {CLASSES} classes can be learnt; a number is learnt with \
                     `train linear`",
                    many.len()
                ))),
                _ => Ok(()),
            },
        },
    }
}

/// The classes to learn, in order.
pub fn classes(spec: &TrainSpec, whole: &Whole) -> Vec<ClassValue> {
    match (columns::updated(spec), &whole.labels) {
        (Some(base), _) => base.target.classes().to_vec(),
        (None, Labels::Classes(found)) => found.iter().map(|(c, _, _)| c.clone()).collect(),
        (None, _) => Vec::new(),
    }
}

/// A class of which no row counts cannot be learnt: nothing would hold its coefficients. An update has learnt it before.
fn are_weighed(spec: &TrainSpec, whole: &Whole, classes: &[ClassValue], weights: &[f64]) -> Result<(), Failure> {
    let Labels::Classes(found) = &whole.labels else { return Ok(()) };
    if columns::updated(spec).is_some() {
        return Ok(());
    }
    let of = |class: &ClassValue| classes.iter().position(|c| c == class).and_then(|n| weights.get(n)).copied();
    match found.iter().find(|(class, _, weight)| weight * of(class).unwrap_or(1.0) <= 0.0) {
        Some((class, n, _)) => Err(Failure::bad_input(format!(
            "the {n} rows of class `{class}` all weigh 0: leave them out, or give them a weight"
        ))),
        None => Ok(()),
    }
}

/// The weight of each class; none if all are 1.
pub fn class_weights(spec: &TrainSpec, whole: &Whole, classes: &[ClassValue]) -> Result<Vec<f64>, Failure> {
    let weights = asked_weights(spec, whole, classes)?;
    are_weighed(spec, whole, classes, &weights)?;
    Ok(weights)
}

fn asked_weights(spec: &TrainSpec, whole: &Whole, classes: &[ClassValue]) -> Result<Vec<f64>, Failure> {
    let weight_of = |class: &ClassValue| match &whole.labels {
        Labels::Classes(found) => found.iter().find(|(c, _, _)| c == class).map_or(0.0, |(_, _, weight)| *weight),
        _ => 0.0,
    };
    Ok(match family(&spec.algorithm).class_weight() {
        ClassWeight::None => Vec::new(),
        ClassWeight::Balanced => {
            // W / (k W_c), of the classes that are there, as scikit-learn's compute_class_weight has it.
            let present = classes.iter().filter(|c| weight_of(c) > 0.0).count() as f64;
            let all: f64 = classes.iter().map(weight_of).sum();
            let weight = |c: &ClassValue| match weight_of(c) {
                own if own > 0.0 => all / (present * own),
                _ => 1.0,
            };
            classes.iter().map(weight).collect()
        }
        ClassWeight::Of(weights) => {
            are_classes(spec, "--class-weight", weights, classes)?;
            classes.iter().map(|c| weights.get(&c.to_string()).copied().unwrap_or(1.0)).collect()
        }
    })
}

/// Whether every class that an option names is one.
pub fn are_classes(
    spec: &TrainSpec,
    option: &str,
    given: &BTreeMap<String, f64>,
    classes: &[ClassValue],
) -> Result<(), Failure> {
    match given.keys().find(|name| !classes.iter().any(|c| c.to_string() == **name)) {
        None => Ok(()),
        Some(name) => Err(Failure::bad_input(format!(
            "{option} names `{name}`, and no row has that {}; the classes are {}",
            columns::label(spec).unwrap_or("label"),
            joined(classes)
        ))),
    }
}

pub fn joined(classes: &[ClassValue]) -> String {
    classes.iter().map(ClassValue::to_string).collect::<Vec<_>>().join(", ")
}
