//! PFA: a document whose input is a record of raw columns and whose action is the encoder and the model's formula.

mod features;
mod outputs;

use serde_json::{Map, Value, json};
use shardmill_common::model::Model;

use self::features::Names;
use super::Reason;
use super::columns::columns;
use super::formulas::Formula;

pub fn document(model: &Model) -> Result<Value, Reason> {
    let columns = columns(model)?;
    let formula = Formula::of(model)?;
    let classes = model.target.classes();
    let names = Names::of(&columns);
    let mut action = features::action(&columns, &names);
    let mut cells = Map::new();
    let output = outputs::compute(&formula, classes, &mut action, &mut cells)?;
    Ok(json!({
        "name": identifier(model.name.as_str()),
        "version": model.version,
        "doc": format!("{} of {} by {}", model.algorithm, model.origin(), model.program),
        "metadata": {
            "model": model.reference().to_string(),
            "label": model.target.label().map(|l| l.column.clone()).unwrap_or_default(),
            "classes": json!(classes).to_string(),
            // Names in PFA are identifiers: what each field is called in the dataset.
            "columns": names.renamed(&columns).to_string(),
        },
        "input": features::input(&columns, &names),
        "output": output,
        "method": "map",
        "cells": cells,
        "action": action,
    }))
}

/// A name with letters of ASCII, digits and underscores only, not beginning with a digit.
fn identifier(text: &str) -> String {
    let kept: String = text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if kept.starts_with(|c: char| c.is_ascii_digit()) || kept.is_empty() { format!("_{kept}") } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        assert_eq!(identifier("2nd floor"), "_2nd_floor");
        assert_eq!(identifier("größe"), "gr__e");
        assert_eq!(identifier("age_2"), "age_2");
    }
}
