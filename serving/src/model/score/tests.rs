//! Scores against the formulas, written out over the expanded columns.

use super::super::matrix::{Codes, NO_CODE};
use super::*;
use crate::model::Scorer;
use shardmill_common::model::{
    KMeansParameters, LinearParameters, LogisticParameters, NaiveBayesParameters, OnnxGraph, Parameters,
};
use std::f64::consts::PI;

fn score(parameters: &Parameters, matrix: &Matrix) -> Scores {
    let no_graph = |_: &OnnxGraph| Err(());
    Scorer::of(parameters, 0, &matrix.layout(), no_graph).unwrap().score(matrix).unwrap()
}

/// Three dense columns around a one-hot column of three: encoded columns 0, 4, 5 and 1..4.
fn matrix(rows: usize) -> Matrix {
    let mut state = 42u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let values = (0..rows * 3).map(|_| random() * 6.0 - 3.0).collect();
    let codes = (0..rows).map(|_| [0, 1, 2, NO_CODE][(random() * 4.0) as usize]).collect();
    Matrix { rows, width: 6, dense: vec![0, 4, 5], values, codes: vec![Codes { first: 1, categories: 3, codes }] }
}

fn expanded(matrix: &Matrix, row: usize) -> Vec<f64> {
    let mut out = vec![0.0; matrix.width];
    for (n, column) in matrix.dense.iter().enumerate() {
        out[*column as usize] = matrix.values[row * matrix.dense.len() + n];
    }
    for column in &matrix.codes {
        if column.codes[row] != NO_CODE {
            out[(column.first + column.codes[row]) as usize] = 1.0;
        }
    }
    out
}

fn numbers(count: usize, seed: u32) -> Vec<f64> {
    (0..count as u32).map(|n| f64::from((n * 37 + seed * 101) % 23) / 7.0 - 1.5).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * (1.0 + a.abs().max(b.abs()))
}

fn probabilities(scores: &Scores) -> (usize, &[f64]) {
    match scores {
        Scores::Classes { classes, probabilities } => (*classes, probabilities),
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_classes_are_logistic() {
    let matrix = matrix(200);
    let coefficients = numbers(6, 1);
    let scores = score(
        &Parameters::Logistic(LogisticParameters { coefficients: vec![coefficients.clone()], intercept: vec![0.3] }),
        &matrix,
    );
    let (classes, got) = probabilities(&scores);
    assert_eq!((classes, got.len()), (2, 400));
    for row in 0..200 {
        let z = dot(&coefficients, &expanded(&matrix, row)) + 0.3;
        let p = 1.0 / (1.0 + (-z).exp());
        assert!(close(got[2 * row + 1], p) && close(got[2 * row], 1.0 - p), "{row}");
        assert_eq!(scores.classes()[row], u32::from(z > 0.0));
    }
}

#[test]
fn large_scores_do_not_overflow() {
    let matrix = Matrix { rows: 3, width: 1, dense: vec![0], values: vec![2000.0, -2000.0, 0.0], codes: vec![] };
    let two = score(
        &Parameters::Logistic(LogisticParameters { coefficients: vec![vec![1.0]], intercept: vec![0.0] }),
        &matrix,
    );
    assert_eq!(probabilities(&two).1, [0.0, 1.0, 1.0, 0.0, 0.5, 0.5]);
    assert_eq!(two.classes(), [1, 0, 0], "of equal probabilities the first class is taken");
    let coefficients = vec![vec![1.0], vec![-1.0], vec![0.0]];
    let three = score(&Parameters::Logistic(LogisticParameters { coefficients, intercept: vec![0.0; 3] }), &matrix);
    assert_eq!(three.classes(), [0, 1, 0]);
    assert!(probabilities(&three).1.iter().all(|p| p.is_finite()));
}

#[test]
fn more_classes_are_softmax() {
    let matrix = matrix(100);
    let coefficients: Vec<Vec<f64>> = (0..3).map(|class| numbers(6, class)).collect();
    let intercept = vec![0.1, -0.2, 0.05];
    let scores = score(
        &Parameters::Logistic(LogisticParameters { coefficients: coefficients.clone(), intercept: intercept.clone() }),
        &matrix,
    );
    let (classes, got) = probabilities(&scores);
    assert_eq!(classes, 3);
    for row in 0..100 {
        let x = expanded(&matrix, row);
        let e: Vec<f64> = (0..3).map(|c| (dot(&coefficients[c], &x) + intercept[c]).exp()).collect();
        let sum: f64 = e.iter().sum();
        assert!((0..3).all(|c| close(got[row * 3 + c], e[c] / sum)));
        assert!(close(got[row * 3..row * 3 + 3].iter().sum(), 1.0));
    }
}

#[test]
fn numbers_are_linear() {
    let matrix = matrix(50);
    let coefficients = numbers(6, 4);
    let scores =
        score(&Parameters::Linear(LinearParameters { coefficients: coefficients.clone(), intercept: -2.0 }), &matrix);
    let Scores::Numbers(got) = &scores else { panic!("{scores:?}") };
    assert!((0..50).all(|row| close(got[row], dot(&coefficients, &expanded(&matrix, row)) - 2.0)));
    assert!(scores.classes().is_empty());
}

#[test]
fn naive_bayes_is_gaussian() {
    let matrix = matrix(100);
    let means: Vec<Vec<f64>> = (0..3).map(|class| numbers(6, class + 5)).collect();
    let squares: Vec<Vec<f64>> = (0..3).map(|class| numbers(6, class).iter().map(|x| x * x + 4.0).collect()).collect();
    let (weights, priors, epsilon) = (vec![10.0, 4.0, 7.5], vec![0.5, 0.2, 0.3], 1e-3);
    let parameters = Parameters::NaiveBayes(NaiveBayesParameters {
        weights: weights.clone(),
        priors: priors.clone(),
        means: means.clone(),
        squares: squares.clone(),
        epsilon,
    });
    let scores = score(&parameters, &matrix);
    let got = probabilities(&scores).1;
    for row in 0..100 {
        let x = expanded(&matrix, row);
        let joint: Vec<f64> = (0..3)
            .map(|c| {
                let mut log = priors[c].ln();
                for j in 0..6 {
                    let variance = squares[c][j] / weights[c] + epsilon;
                    log -= 0.5 * (2.0 * PI * variance).ln();
                    log -= 0.5 * (x[j] - means[c][j]).powi(2) / variance;
                }
                log
            })
            .collect();
        let most = joint.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let all = most + joint.iter().map(|j| (j - most).exp()).sum::<f64>().ln();
        for c in 0..3 {
            assert!((got[row * 3 + c] - (joint[c] - all).exp()).abs() < 1e-11, "{row} {c}");
        }
    }
}

#[test]
fn clusters_are_the_nearest_centres() {
    let mut matrix = matrix(100);
    let mut centers: Vec<Vec<f64>> = (0..4).map(|n| numbers(6, n)).collect();
    let scores =
        score(&Parameters::KMeans(KMeansParameters { centers: centers.clone(), inertia: 0.0, sizes: vec![] }), &matrix);
    let Scores::Clusters { clusters, distances } = &scores else { panic!("{scores:?}") };
    for row in 0..100 {
        let x = expanded(&matrix, row);
        let all: Vec<f64> =
            centers.iter().map(|c| c.iter().zip(&x).map(|(c, x)| (x - c).powi(2)).sum::<f64>()).collect();
        let best = (0..4).fold(0, |best, n| if all[n] < all[best] { n } else { best });
        assert_eq!(clusters[row] as usize, best);
        assert!(close(distances[row], all[best]));
    }
    // Of centres at the same distance the first one counts.
    centers = vec![centers[2].clone(), centers[2].clone()];
    matrix.rows = 1;
    assert_eq!(
        score(&Parameters::KMeans(KMeansParameters { centers, inertia: 0.0, sizes: vec![] }), &matrix).classes(),
        [0]
    );
}

#[test]
fn no_rows_give_no_predictions() {
    let scores =
        score(&Parameters::Linear(LinearParameters { coefficients: vec![0.0; 6], intercept: 1.0 }), &matrix(0));
    assert_eq!(scores, Scores::Numbers(vec![]));
}
