//! The encoder in PFA: the input's record, and expressions that put the encoded numbers into an array `x`.
//!
//! A row that Shardmill would reject (no value and nothing to fill in, a category that is refused) is an error.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::super::columns::{Column, Input, Kind};
use super::identifier;

/// The field of each column, in their order.
pub struct Names(Vec<String>);

impl Names {
    pub fn of(columns: &[Column]) -> Self {
        let mut taken = HashSet::new();
        let mut unique = |column: &Column| {
            let mut name = identifier(&column.name);
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            name
        };
        Names(columns.iter().map(&mut unique).collect())
    }

    /// Field to column, where they differ.
    pub fn renamed(&self, columns: &[Column]) -> Value {
        let pairs = self.0.iter().zip(columns).filter(|(name, column)| **name != column.name);
        Value::Object(pairs.map(|(name, column)| (name.clone(), column.name.clone().into())).collect::<Map<_, _>>())
    }
}

const fn type_name(column: &Column) -> &'static str {
    match column.input {
        Input::Number | Input::Integer => "double",
        Input::Boolean => "boolean",
        Input::Text => "string",
    }
}

/// A record; what may be missing is a union with null.
pub fn input(columns: &[Column], names: &Names) -> Value {
    let field = |(name, column): (&String, &Column)| match column.fills() {
        true => json!({"name": name, "type": ["null", type_name(column)]}),
        false => json!({"name": name, "type": type_name(column)}),
    };
    json!({"type": "record", "name": "Input", "fields": names.0.iter().zip(columns).map(field).collect::<Vec<_>>()})
}

/// Definitions of the columns' values `v0`, `v1`, ... and of the array `x`.
pub fn action(columns: &[Column], names: &Names) -> Vec<Value> {
    let mut steps = Vec::new();
    let mut numbers = Vec::new();
    for (at, (column, name)) in columns.iter().zip(&names.0).enumerate() {
        let raw = json!(format!("input.{name}"));
        let value = format!("v{at}");
        let missing = column.indicator.then(|| is_missing(column, &raw));
        steps.push(json!({"let": {&value: filled(column, raw)}}));
        match &column.kind {
            Kind::Numeric { scaling, .. } => numbers.push(match scaling {
                Some(s) => json!({"/": [{"-": [&value, s.mean]}, s.scale]}),
                None => json!(value),
            }),
            Kind::Numbers { categories, refuse, .. } => {
                refused(
                    &mut steps,
                    column,
                    *refuse,
                    &value,
                    json!({"type": {"type": "array", "items": "double"}, "value": categories}),
                );
                numbers.extend(categories.iter().map(|c| one_if(json!({"==": [&value, c]}))));
            }
            Kind::Texts { categories, refuse, .. } => {
                refused(
                    &mut steps,
                    column,
                    *refuse,
                    &value,
                    json!({"type": {"type": "array", "items": "string"}, "value": categories}),
                );
                numbers.extend(categories.iter().map(|c| one_if(json!({"==": [&value, {"string": c}]}))));
            }
        }
        numbers.extend(missing.map(one_if));
    }
    steps.push(json!({"let": {"x": {"type": {"type": "array", "items": "double"}, "new": numbers}}}));
    steps
}

fn one_if(condition: Value) -> Value {
    json!({"if": condition, "then": 1.0, "else": 0.0})
}

fn refused(steps: &mut Vec<Value>, column: &Column, refuse: bool, value: &str, categories: Value) {
    if refuse {
        steps.push(json!({
            "if": {"!": {"a.contains": [categories, value]}},
            "then": {"error": format!("{} has a category that training did not see", column.name)},
        }));
    }
}

/// A value as a number or a text; NaN is as missing as null.
fn filled(column: &Column, raw: Value) -> Value {
    let fill = match &column.kind {
        Kind::Numeric { fill, .. } | Kind::Numbers { fill, .. } => fill.map(Value::from),
        Kind::Texts { fill, .. } => fill.as_ref().map(|f| json!({"string": f})),
    };
    let Some(fill) = fill else { return present(column, raw, None) };
    json!({"ifnotnull": {"there": raw}, "then": present(column, json!("there"), Some(&fill)), "else": fill})
}

fn present(column: &Column, value: Value, fill: Option<&Value>) -> Value {
    match column.input {
        Input::Text => value,
        Input::Boolean => one_if(value),
        Input::Number | Input::Integer => match fill {
            Some(fill) => json!({"if": {"impute.isnan": value}, "then": fill, "else": value}),
            None => json!({"impute.errorOnNonNum": value}),
        },
    }
}

fn is_missing(column: &Column, raw: &Value) -> Value {
    let nan = matches!(column.input, Input::Number | Input::Integer);
    if !column.fills() {
        return json!(false);
    }
    let there = if nan { json!({"impute.isnan": "there"}) } else { json!(false) };
    json!({"ifnotnull": {"there": raw}, "then": there, "else": true})
}
