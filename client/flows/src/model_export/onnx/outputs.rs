//! The model's formula as operators: from the encoded matrix to the label and its probabilities, a number, or a cluster.

use shardmill_common::model::ClassValue;

use super::super::Reason;
use super::super::formulas::Formula;
use super::graph::{Element, Graph, int};

/// Output names: `label` and `probabilities`, `prediction` for numbers, `label` and `distance` for clusters.
pub fn compute(graph: &mut Graph, matrix: &str, formula: &Formula, classes: &[ClassValue]) -> Result<(), Reason> {
    match formula {
        Formula::Binary { coefficients, intercept } => {
            let z = linear(graph, matrix, std::slice::from_ref(coefficients), &[*intercept]);
            let against = graph.op("Neg", &[&z]);
            let second = graph.op("Sigmoid", &[&z]);
            let first = graph.op("Sigmoid", &[&against]);
            let both = graph.core("Concat", &[&first, &second], vec![int("axis", 1)]);
            classified(graph, &both, classes)
        }
        Formula::Softmax { coefficients, intercept } => {
            let z = linear(graph, matrix, coefficients, intercept);
            let p = graph.core("Softmax", &[&z], vec![int("axis", 1)]);
            classified(graph, &p, classes)
        }
        Formula::Linear { coefficients, intercept } => {
            let z = linear(graph, matrix, std::slice::from_ref(coefficients), &[*intercept]);
            let axes = graph.int64s("axes", &[1], [1]);
            graph.output("prediction", Element::Double, None, "Squeeze", &[&z, &axes]);
            Ok(())
        }
        Formula::Gaussian { log_priors, means, variances, .. } => {
            let squares = squared_distances(graph, matrix, means, Some(variances));
            let half = graph.doubles("half", &[], [0.5]);
            let halves = graph.op("Mul", &[&squares, &half]);
            let constants = log_priors.iter().zip(variances).map(|(prior, row)| {
                let log_norm: f64 = row.iter().map(|v| (std::f64::consts::TAU * v).ln()).sum();
                prior - 0.5 * log_norm
            });
            let constants = graph.doubles("log_prior", &[1, log_priors.len()], constants);
            let joint = graph.op("Sub", &[&constants, &halves]);
            let p = graph.core("Softmax", &[&joint], vec![int("axis", 1)]);
            classified(graph, &p, classes)
        }
        Formula::Centers { centers, .. } => {
            let squares = squared_distances(graph, matrix, centers, None);
            let nearest = graph.core("ArgMin", &[&squares], vec![int("axis", 1), int("keepdims", 0)]);
            graph.output("label", Element::Int64, None, "Identity", &[&nearest]);
            let least = graph.core("ReduceMin", &[&squares], vec![axes_attribute(1), int("keepdims", 0)]);
            graph.output("distance", Element::Double, None, "Sqrt", &[&least]);
            Ok(())
        }
    }
}

/// Reductions other than sums take their axes as a setting until opset 18.
fn axes_attribute(axis: i64) -> super::proto::AttributeProto {
    super::graph::ints("axes", vec![axis])
}

/// `matrix . coefficients + intercept`, `[N, rows]`.
fn linear(graph: &mut Graph, matrix: &str, coefficients: &[Vec<f64>], intercept: &[f64]) -> String {
    let (rows, width) = (coefficients.len(), coefficients.first().map_or(0, Vec::len));
    let transposed = (0..width).flat_map(|c| coefficients.iter().filter_map(move |row| row.get(c)).copied());
    let transposed: Vec<f64> = transposed.collect();
    let weights = graph.doubles("coefficients", &[width, rows], transposed);
    let constant = graph.doubles("intercept", &[1, rows], intercept.iter().copied());
    let product = graph.op("MatMul", &[matrix, &weights]);
    graph.op("Add", &[&product, &constant])
}

/// Of each row and point the sum of `(x - point)^2`, each term over its divisor if there are divisors, `[N, points]`.
fn squared_distances(graph: &mut Graph, matrix: &str, points: &[Vec<f64>], over: Option<&Vec<Vec<f64>>>) -> String {
    let dims = [1, points.len(), points.first().map_or(0, Vec::len)];
    let one = graph.int64s("axes", &[1], [1]);
    let rows = graph.op("Unsqueeze", &[matrix, &one]);
    let places = graph.doubles("points", &dims, points.iter().flatten().copied());
    let apart = graph.op("Sub", &[&rows, &places]);
    let mut squares = graph.op("Mul", &[&apart, &apart]);
    if let Some(over) = over {
        let divisors = graph.doubles("variances", &dims, over.iter().flatten().copied());
        squares = graph.op("Div", &[&squares, &divisors]);
    }
    let two = graph.int64s("axes", &[1], [2]);
    graph.core("ReduceSum", &[&squares, &two], vec![int("keepdims", 0)])
}

/// The most probable class, the first of several, and the probabilities.
fn classified(graph: &mut Graph, probabilities: &str, classes: &[ClassValue]) -> Result<(), Reason> {
    let (values, element) = match classes.first() {
        Some(ClassValue::Boolean(_)) => {
            (graph.bools("classes", classes.iter().map(|c| *c == ClassValue::Boolean(true))), Element::Bool)
        }
        Some(ClassValue::Int64(_)) => {
            let numbers = classes.iter().map(|c| if let ClassValue::Int64(n) = c { *n } else { 0 });
            (graph.int64s("classes", &[classes.len()], numbers), Element::Int64)
        }
        Some(ClassValue::String(_)) => {
            let texts = classes.iter().map(|c| if let ClassValue::String(s) = c { s.as_str() } else { "" });
            (graph.texts("classes", texts), Element::String)
        }
        None => return Err(Reason::NoClasses),
    };
    let best = graph.core("ArgMax", &[probabilities], vec![int("axis", 1), int("keepdims", 0)]);
    graph.output("label", element, None, "Gather", &[&values, &best]);
    graph.output("probabilities", Element::Double, Some(classes.len()), "Identity", &[probabilities]);
    Ok(())
}
