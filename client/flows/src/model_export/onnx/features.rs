//! The encoder as operators: from one input a raw column to a matrix of the numbers the model computes with.
//!
//! A row that Shardmill would reject (no value and nothing to fill in, a category that is refused) becomes NaN, and so does all that
//! is computed from it.

use super::super::columns::{Column, Input, Kind};
use super::graph::{Element, Graph, ML, int, ints, strings};

/// What stands for a missing text, unless it is a category: ONNX has no null, and the others are what NumPy and pandas make of one.
const MISSING_TEXTS: [&str; 4] = ["", "None", "nan", "<NA>"];

/// The texts that stand for a missing value of a column with these categories.
pub fn missing_texts(categories: &[String]) -> impl Iterator<Item = &'static str> {
    MISSING_TEXTS.into_iter().filter(|t| !categories.iter().any(|c| c == t))
}

/// Declares the inputs and returns the name of the encoded matrix, `[N, width]`.
pub fn encode(graph: &mut Graph, columns: &[Column]) -> String {
    for column in columns {
        let element = if column.input == Input::Text { Element::String } else { Element::Double };
        graph.input(&column.name, element);
    }
    let mut pieces = Vec::new();
    let (mut means, mut scales) = (Vec::new(), Vec::new());
    for column in columns {
        let before = means.len();
        let missing = match &column.kind {
            Kind::Numeric { scaling, fill } => {
                let (x, missing) = filled(graph, column, *fill);
                pieces.push(x);
                means.push(scaling.map_or(0.0, |s| s.mean));
                scales.push(scaling.map_or(1.0, |s| s.scale));
                missing
            }
            Kind::Numbers { categories, fill, refuse } => {
                let (x, missing) = filled(graph, column, *fill);
                if !categories.is_empty() {
                    let all = graph.doubles("categories", &[1, categories.len()], categories.iter().copied());
                    let hot = graph.op("Equal", &[&x, &all]);
                    let hot = graph.cast(&hot, Element::Double);
                    let bad = bad_number(graph, &x, &hot, fill.is_some(), *refuse);
                    pieces.push(poisoned(graph, hot, bad));
                    means.resize(before + categories.len(), 0.0);
                }
                missing
            }
            Kind::Texts { categories, fill, refuse } => {
                let (hot, missing) = text(graph, column, categories, fill.as_deref(), *refuse);
                pieces.extend(hot);
                means.resize(before + categories.len(), 0.0);
                missing
            }
        };
        if let Some(missing) = missing {
            pieces.push(graph.cast(&missing, Element::Double));
            means.push(0.0);
        }
        scales.resize(means.len(), 1.0);
    }
    let names: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let mut matrix = graph.core("Concat", &names, vec![int("axis", 1)]);
    if means.iter().any(|m| *m != 0.0) {
        let mean = graph.doubles("mean", &[1, means.len()], means);
        matrix = graph.op("Sub", &[&matrix, &mean]);
    }
    if scales.iter().any(|s| *s != 1.0) {
        let scale = graph.doubles("scale", &[1, scales.len()], scales);
        matrix = graph.op("Div", &[&matrix, &scale]);
    }
    matrix
}

/// A column of numbers with its gaps filled, and for an indicator whether there was one.
fn filled(graph: &mut Graph, column: &Column, fill: Option<f64>) -> (String, Option<String>) {
    let missing = (fill.is_some() || column.indicator).then(|| graph.op("IsNaN", &[&column.name]));
    let x = match (&missing, fill) {
        (Some(missing), Some(fill)) => {
            let fill = graph.doubles("fill", &[], [fill]);
            graph.op("Where", &[missing, &fill, &column.name])
        }
        _ => column.name.clone(),
    };
    (x, missing.filter(|_| column.indicator))
}

/// Rows of a one-hot column of numbers that must not be predicted.
fn bad_number(graph: &mut Graph, x: &str, hot: &str, fills: bool, refuse: bool) -> Option<String> {
    if refuse {
        let axes = graph.int64s("axes", &[1], [1]);
        let sum = graph.core("ReduceSum", &[hot, &axes], vec![int("keepdims", 1)]);
        let zero = graph.doubles("zero", &[], [0.0]);
        return Some(graph.op("Equal", &[&sum, &zero]));
    }
    (!fills).then(|| graph.op("IsNaN", &[x]))
}

fn poisoned(graph: &mut Graph, hot: String, bad: Option<String>) -> String {
    let Some(bad) = bad else { return hot };
    let nan = graph.doubles("nan", &[], [f64::NAN]);
    graph.op("Where", &[&bad, &nan, &hot])
}

/// One-hot of text by way of codes: the categories from 0, then one code for what is unknown and one for what is missing.
fn text(
    graph: &mut Graph,
    column: &Column,
    categories: &[String],
    fill: Option<&str>,
    refuse: bool,
) -> (Option<String>, Option<String>) {
    let unknown = categories.len() as i64;
    let absent = unknown + 1;
    let markers: Vec<&str> = missing_texts(categories).collect();
    let keys = categories.iter().map(String::as_str).chain(markers.iter().copied());
    let codes = (0..unknown).chain(markers.iter().map(|_| absent)).collect();
    let settings = vec![strings("keys_strings", keys), ints("values_int64s", codes), int("default_int64", unknown)];
    let mut code = graph.op_with(ML, "LabelEncoder", &[&column.name], settings);
    let absent_code = graph.int64s("absent", &[], [absent]);
    let missing = graph.op("Equal", &[&code, &absent_code]);
    if let Some(fill) = fill {
        let at = categories.iter().position(|c| c == fill).map_or(unknown, |at| at as i64);
        let fill = graph.int64s("fill", &[], [at]);
        code = graph.op("Where", &[&missing, &fill, &code]);
    }
    let indicator = column.indicator.then(|| missing.clone());
    if categories.is_empty() {
        return (None, indicator);
    }
    let all = graph.int64s("codes", &[1, categories.len()], 0..unknown);
    let hot = graph.op("Equal", &[&code, &all]);
    let hot = graph.cast(&hot, Element::Double);
    let bad = if refuse {
        let last = graph.int64s("last", &[], [unknown - 1]);
        Some(graph.op("Greater", &[&code, &last]))
    } else {
        fill.is_none().then_some(missing)
    };
    (Some(poisoned(graph, hot, bad)), indicator)
}
