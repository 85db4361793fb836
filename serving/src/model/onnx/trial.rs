//! A graph is tried out on a few rows before it becomes a model: it must run, and say of a row the same whatever other rows there
//! are.

use super::super::matrix::Matrix;
use super::graph::Graph;
use crate::model::onnx::OnnxError;

const ROWS: usize = 3;
const MANY_ROWS: usize = 64;
/// Numbers are the same if they differ by no more than this, relative to 1 or the larger.
const SAME: f64 = 1e-4;
/// How far from 1 the probabilities of a row may sum up to, and how far from 0..1 each may lie: far enough for what float32
/// leaves of rows that lie far off.
const PROBABLE: f64 = 0.1;

/// Rows of small whole numbers, which every type of input takes.
fn rows(from: usize, to: usize, width: usize) -> Matrix {
    let value = |row: usize, column: usize| ((row * 7 + column * 3 + row / 5) % 11) as f64 - 3.0;
    let values = (from..to).flat_map(|row| (0..width).map(move |column| value(row, column))).collect();
    Matrix { rows: to - from, width, dense: (0..width as u32).collect(), values, codes: Vec::new() }
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= SAME * a.abs().max(b.abs()).max(1.0)
}

/// How many numbers a row the graph puts out.
pub fn columns(graph: &Graph, width: usize) -> Result<usize, OnnxError> {
    let (all, columns) = graph.numbers(&rows(0, ROWS, width))?;
    for row in 0..ROWS {
        let (alone, wide) = graph.numbers(&rows(row, row + 1, width))?;
        let together = all.get(row * columns..(row + 1) * columns).unwrap_or_default();
        if wide != columns || alone.len() != together.len() || !alone.iter().zip(together).all(|(a, b)| same(*a, *b)) {
            return Err(OnnxError::Trial("what it says of a row depends on the other rows".into()));
        }
    }
    Ok(columns)
}

/// Notes where what a graph puts out are no probabilities. A single number a row must be one: otherwise nobody knows where the
/// second class begins.
pub fn probabilities(graph: &Graph, width: usize, columns: usize, notices: &mut Vec<String>) -> Result<(), OnnxError> {
    let (numbers, _) = graph.numbers(&rows(0, MANY_ROWS, width))?;
    let probable = |row: &[f64]| {
        let sum: f64 = row.iter().sum();
        let each = row.iter().all(|p| (-PROBABLE..=1.0 + PROBABLE).contains(p));
        row.iter().any(|p| p.is_nan()) || (each && (columns == 1 || (sum - 1.0).abs() <= PROBABLE))
    };
    if numbers.chunks_exact(columns.max(1)).all(probable) {
        return Ok(());
    }
    if columns == 1 {
        let what =
            "it puts out one score a row that is no probability: convert the model so that it puts out probabilities";
        return Err(OnnxError::Trial(what.into()));
    }
    notices.push("it puts out scores that are no probabilities: the class is the one with the highest score".into());
    Ok(())
}
