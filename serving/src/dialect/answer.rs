//! What a request got wrong, and the answers to one that is right: as CSV and as JSON.

use shardmill_common::model::{ClassValue, Target};
use shardmill_common::watch::ErrorKind;

use crate::encode::Fault;
use crate::model::Scores;
use crate::predictor::{Predicted, Predictor};

/// Why a request gets no predictions. Each dialect has its own shape for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    pub kind: ErrorKind,
    pub message: String,
}

impl RequestError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The body is not what it should be.
    pub fn bad(message: String) -> Self {
        Self { kind: ErrorKind::BadRequest, message }
    }

    /// The HTTP status that says as much.
    pub const fn status(&self) -> u16 {
        match self.kind {
            ErrorKind::BadRequest | ErrorKind::BadRow => 400,
            ErrorKind::BadContentType => 415,
            ErrorKind::TooLarge => 413,
            ErrorKind::Incomplete => 408,
            ErrorKind::QueueFull => 429,
            ErrorKind::Internal => 500,
        }
    }
}

impl From<Fault> for RequestError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unfit(message) => Self { kind: ErrorKind::BadRequest, message },
            Fault::Row(message) => Self { kind: ErrorKind::BadRow, message },
        }
    }
}

/// Everything in a variant's answers that does not depend on the request.
pub struct Answers {
    /// Of each column of the answer `"NAME":`.
    keys: Vec<String>,
    /// Of each class its JSON.
    json_labels: Vec<String>,
    /// Of each class its cell.
    csv_labels: Vec<String>,
}

/// The text as JSON writes it.
fn quoted(text: &str) -> String {
    // A string is always JSON.
    serde_json::to_string(text).unwrap_or_default()
}

/// A class as JSON.
fn class_json(class: &ClassValue) -> String {
    match class {
        ClassValue::String(text) => quoted(text),
        ClassValue::Boolean(_) | ClassValue::Int64(_) => class.to_string(),
    }
}

/// Text as a cell of a CSV file.
fn csv_cell(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// The shortest text that reads back as the same number. JSON has none for what is not finite.
fn push_json_number(x: f64, out: &mut Vec<u8>) {
    if x.is_finite() { push_number(x, out) } else { out.extend_from_slice(b"null") }
}

fn push_number(x: f64, out: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{x:?}");
}

impl Answers {
    pub fn new(predictor: &Predictor) -> Self {
        let classes = predictor.target().classes();
        Self {
            keys: predictor.answer_columns().iter().map(|name| format!("{}:", quoted(name))).collect(),
            json_labels: classes.iter().map(class_json).collect(),
            csv_labels: classes.iter().map(|c| csv_cell(&c.to_string())).collect(),
        }
    }

    /// A line a row: the label, then a probability a class; a number; or the cluster and the distance to its centre.
    pub fn csv(&self, predicted: &Predicted) -> Vec<u8> {
        let rows = predicted.encoded.matrix.rows;
        let mut out = Vec::with_capacity(rows * 24 * self.keys.len().max(1));
        match &predicted.scores {
            Scores::Classes { classes, probabilities } => {
                for (row, label) in probabilities.chunks_exact((*classes).max(1)).zip(&predicted.classes) {
                    let label = self.csv_labels.get(*label as usize).map_or("", String::as_str);
                    out.extend_from_slice(label.as_bytes());
                    for p in row {
                        out.push(b',');
                        push_number(*p, &mut out);
                    }
                    out.push(b'\n');
                }
            }
            Scores::Numbers(numbers) => {
                for x in numbers {
                    push_number(*x, &mut out);
                    out.push(b'\n');
                }
            }
            Scores::Clusters { clusters, distances } => {
                for (cluster, distance) in clusters.iter().zip(distances) {
                    out.extend_from_slice(cluster.to_string().as_bytes());
                    out.push(b',');
                    push_number(distance.sqrt(), &mut out);
                    out.push(b'\n');
                }
            }
        }
        out
    }

    /// `{"predictions": [{"prediction": ..., ...}, ...]}`, with the columns that batch prediction adds.
    pub fn json(&self, predicted: &Predicted) -> Vec<u8> {
        let rows = predicted.encoded.matrix.rows;
        let mut out = Vec::with_capacity(32 + rows * 40 * self.keys.len().max(1));
        out.extend_from_slice(b"{\"predictions\":[");
        for row in 0..rows {
            if row > 0 {
                out.push(b',');
            }
            self.json_row(predicted, row, &mut out);
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// One row's predictions as an object.
    fn json_row(&self, predicted: &Predicted, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        self.json_members(predicted, row, out);
        out.push(b'}');
    }

    /// What is inside of that object.
    pub fn json_members(&self, predicted: &Predicted, row: usize, out: &mut Vec<u8>) {
        let mut keys = self.keys.iter();
        let mut key = |out: &mut Vec<u8>, first: bool| {
            if !first {
                out.push(b',');
            }
            out.extend_from_slice(keys.next().map_or("", String::as_str).as_bytes());
        };
        match &predicted.scores {
            Scores::Classes { classes, probabilities } => {
                key(out, true);
                let label = predicted.classes.get(row).and_then(|c| self.json_labels.get(*c as usize));
                out.extend_from_slice(label.map_or("null", String::as_str).as_bytes());
                for p in probabilities.get(row * classes..(row + 1) * classes).unwrap_or_default() {
                    key(out, false);
                    push_json_number(*p, out);
                }
            }
            Scores::Numbers(numbers) => {
                key(out, true);
                push_json_number(numbers.get(row).copied().unwrap_or(f64::NAN), out);
            }
            Scores::Clusters { clusters, distances } => {
                key(out, true);
                out.extend_from_slice(clusters.get(row).copied().unwrap_or_default().to_string().as_bytes());
                key(out, false);
                push_json_number(distances.get(row).map_or(f64::NAN, |d| d.sqrt()), out);
            }
        }
    }
}

/// Whether the target's labels are text, whole numbers or truth values.
pub fn label_type(target: &Target) -> LabelType {
    match target {
        Target::Class { classes, .. } => match classes.first() {
            Some(ClassValue::Int64(_)) => LabelType::Integer,
            Some(ClassValue::Boolean(_)) => LabelType::Boolean,
            _ => LabelType::Text,
        },
        Target::Number { .. } => LabelType::Float,
        Target::Cluster { .. } => LabelType::Integer,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelType {
    Text,
    Integer,
    Boolean,
    Float,
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
