//! A naive evaluator of rounds, and small datasets, for tests.

use shardmill_common::model::{GlmRound, GlmSums, Link, Packed};

pub use super::random::Random;

/// Rows with their labels (a class's number, or a number) and weights.
#[derive(Clone, Debug, Default)]
pub struct Data {
    pub x: Vec<Vec<f64>>,
    pub y: Vec<f64>,
    pub s: Vec<f64>,
}

pub fn normal(random: &mut Random) -> f64 {
    // Sum of twelve uniform numbers: near enough.
    (0..12).map(|_| random.unit()).sum::<f64>() - 6.0
}

/// Labels drawn from a softmax (or logistic) model over `classes`, or numbers if `classes` is 0.
pub fn generated(seed: u64, rows: usize, width: usize, classes: usize) -> Data {
    let mut random = Random::new(seed);
    let truth: Vec<Vec<f64>> = (0..classes.max(1)).map(|_| (0..width).map(|_| normal(&mut random)).collect()).collect();
    let mut data = Data::default();
    for _ in 0..rows {
        let x: Vec<f64> = (0..width).map(|_| normal(&mut random)).collect();
        let z: Vec<f64> = truth.iter().map(|w| w.iter().zip(&x).map(|(a, b)| a * b).sum::<f64>()).collect();
        data.y.push(if classes == 0 {
            z[0] + 3.0 + normal(&mut random)
        } else {
            let weights: Vec<f64> = z.iter().map(|z| z.exp()).collect();
            random.pick(&weights).unwrap() as f64
        });
        data.x.push(x);
        data.s.push(1.0);
    }
    data
}

/// Loss, gradient and Hessian as `GlmSums` defines them.
pub fn evaluate(data: &Data, round: &GlmRound) -> GlmSums {
    let width = data.x.first().map_or(0, Vec::len);
    let stride = width + usize::from(round.fit_intercept);
    let classes = match round.link {
        Link::Softmax { classes } => classes as usize,
        _ => 1,
    };
    let size = classes * stride;
    let theta = &round.parameters.0;
    assert_eq!(theta.len(), size);
    let mut sums = GlmSums {
        rows: data.x.len() as u64,
        weight: 0.0,
        loss: 0.0,
        gradient: Packed(vec![0.0; size]),
        hessian: None,
        margin: None,
        reach: 0.0,
    };
    let mut hessian = vec![vec![0.0; size]; size];
    for ((x, y), s) in data.x.iter().zip(&data.y).zip(&data.s) {
        let mut row = x.clone();
        if round.fit_intercept {
            row.push(1.0);
        }
        let z: Vec<f64> = theta.chunks(stride).map(|w| w.iter().zip(&row).map(|(a, b)| a * b).sum::<f64>()).collect();
        let (loss, slope, bend, margin) = match round.link {
            Link::Squared => (0.5 * (y - z[0]).powi(2), vec![z[0] - y], vec![vec![1.0]], None),
            Link::Logistic => {
                let p = 1.0 / (1.0 + (-z[0]).exp());
                let loss = z[0].max(0.0) + (-z[0].abs()).exp().ln_1p() - y * z[0];
                (loss, vec![p - y], vec![vec![p * (1.0 - p)]], Some(if *y == 1.0 { z[0] } else { -z[0] }))
            }
            Link::Softmax { .. } => {
                let c = *y as usize;
                let top = z.iter().copied().fold(f64::MIN, f64::max);
                let total: f64 = z.iter().map(|z| (z - top).exp()).sum();
                let p: Vec<f64> = z.iter().map(|z| (z - top).exp() / total).collect();
                let slope = (0..classes).map(|k| p[k] - f64::from(u8::from(k == c))).collect();
                let bend = (0..classes)
                    .map(|a| (0..classes).map(|b| p[a] * (f64::from(u8::from(a == b)) - p[b])).collect())
                    .collect();
                let other = (0..classes).filter(|k| *k != c).map(|k| z[k]).fold(f64::MIN, f64::max);
                (top + total.ln() - z[c], slope, bend, Some(z[c] - other))
            }
        };
        sums.weight += s;
        sums.loss += s * loss;
        for a in 0..classes {
            for (i, xi) in row.iter().enumerate() {
                sums.gradient.0[a * stride + i] += s * slope[a] * xi;
                for b in 0..classes {
                    for (j, xj) in row.iter().enumerate() {
                        hessian[a * stride + i][b * stride + j] += s * bend[a][b] * xi * xj;
                    }
                }
            }
        }
        if let (Some(m), true) = (margin, *s > 0.0) {
            sums.margin = Some(sums.margin.map_or(m, |least: f64| least.min(m)));
        }
        sums.reach = z.iter().fold(sums.reach, |most, z| most.max(z.abs()));
    }
    if round.hessian {
        sums.hessian = Some(Packed((0..size).flat_map(|i| hessian[i][i..].to_vec()).collect()));
    }
    sums
}
