//! Sums of every link against plain loops, differences, and the portable code.

use super::*;
use shardmill_serving::model::{Codes, Matrix, NO_CODE};

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// `dense` numeric columns around two one-hot ones.
fn session(rows: usize, dense: u32, classes: u32, weighted: bool) -> Session {
    let mut numbers = Numbers(u64::from(dense) * 31 + rows as u64);
    let half = dense / 2;
    let mut code = |first: u32, categories: u32| {
        let codes = (0..rows).map(|_| (numbers.next() * f64::from(categories + 1)) as u32);
        Codes { first, categories, codes: codes.map(|c| if c == categories { NO_CODE } else { c }).collect() }
    };
    let codes = vec![code(half, 3), code(half + 3, 2)];
    let places = (0..half).chain(half + 5..dense + 5).collect();
    let values = (0..rows * dense as usize).map(|_| numbers.next() * 4.0 - 2.0).collect();
    let targets = match classes {
        0 => Targets::Numbers((0..rows).map(|_| numbers.next() * 10.0).collect()),
        _ => Targets::Classes((0..rows).map(|_| (numbers.next() * f64::from(classes)) as u32).collect()),
    };
    let weights = weighted.then(|| (0..rows).map(|r| if r % 7 == 3 { 0.0 } else { numbers.next() * 3.0 }).collect());
    let matrix = Matrix { rows, width: dense as usize + 5, dense: places, values, codes };
    Session { matrix, rows: None, targets, weights, shard_rows: rows as u64, counters: Default::default() }
}

fn round(session: &Session, link: Link, fit_intercept: bool) -> GlmRound {
    let classes = if let Link::Softmax { classes } = link { classes as usize } else { 1 };
    let size = classes * (session.matrix.width + usize::from(fit_intercept));
    let mut numbers = Numbers(7);
    let parameters = Packed((0..size).map(|_| numbers.next() - 0.5).collect());
    GlmRound { link, fit_intercept, parameters, hessian: true }
}

/// The rows at full width, with the intercept's 1.
fn naive_rows(session: &Session, intercept: bool) -> Vec<Vec<f64>> {
    (0..session.matrix.rows)
        .map(|row| {
            let mut x = vec![0.0; session.matrix.width];
            session.matrix.expand(row, &mut x);
            x.extend(intercept.then_some(1.0));
            x
        })
        .collect()
}

/// Loss, gradient, Hessian, margin and reach as their definitions say.
fn naive(session: &Session, round: &GlmRound) -> (f64, Vec<f64>, Vec<f64>, Option<f64>, f64) {
    let rows = naive_rows(session, round.fit_intercept);
    let classes = if let Link::Softmax { classes } = round.link { classes as usize } else { 1 };
    let size = rows[0].len();
    let all = classes * size;
    let (mut loss, mut gradient, mut hessian) = (0.0, vec![0.0; all], vec![vec![0.0; all]; all]);
    let (mut margin, mut reach) = (f64::INFINITY, 0.0f64);
    for (r, x) in rows.iter().enumerate() {
        let weight = session.weights.as_ref().map_or(1.0, |w| w[r]);
        let z: Vec<f64> = round.parameters.0.chunks(size).map(|w| w.iter().zip(x).map(|(w, x)| w * x).sum()).collect();
        reach = z.iter().fold(reach, |a, z| a.max(z.abs()));
        let (mut residuals, mut second) = (vec![0.0; classes], vec![vec![0.0; classes]; classes]);
        match (&session.targets, round.link) {
            (Targets::Numbers(y), _) => {
                loss += weight * (y[r] - z[0]).powi(2) / 2.0;
                residuals[0] = z[0] - y[r];
                second[0][0] = 1.0;
            }
            (Targets::Classes(y), Link::Logistic) => {
                let t = f64::from(y[r]);
                let p = 1.0 / (1.0 + (-z[0]).exp());
                loss += weight * ((1.0 + z[0].exp()).ln() - t * z[0]);
                residuals[0] = p - t;
                second[0][0] = p * (1.0 - p);
                if weight > 0.0 {
                    margin = margin.min(if t == 1.0 { z[0] } else { -z[0] });
                }
            }
            (Targets::Classes(y), _) => {
                let y = y[r] as usize;
                let sum: f64 = z.iter().map(|z| z.exp()).sum();
                loss += weight * (sum.ln() - z[y]);
                for a in 0..classes {
                    let p = z[a].exp() / sum;
                    residuals[a] = p - f64::from(u8::from(a == y));
                    for b in 0..classes {
                        second[a][b] = p * (f64::from(u8::from(a == b)) - z[b].exp() / sum);
                    }
                }
                let other = (0..classes).filter(|c| *c != y).map(|c| z[c]).fold(f64::NEG_INFINITY, f64::max);
                if weight > 0.0 {
                    margin = margin.min(z[y] - other);
                }
            }
            _ => unreachable!(),
        }
        for a in 0..all {
            gradient[a] += weight * residuals[a / size] * x[a % size];
            for b in a..all {
                hessian[a][b] += weight * second[a / size][b / size] * x[a % size] * x[b % size];
            }
        }
    }
    let upper = (0..all).flat_map(|a| hessian[a][a..].to_vec()).collect();
    (loss, gradient, upper, margin.is_finite().then_some(margin), reach)
}

fn close(a: &[f64], b: &[f64], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (n, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= 1e-10 * (1.0 + b.abs()), "{what} {n}: {a} is not {b}");
    }
}

const LINKS: [(Link, u32); 4] =
    [(Link::Squared, 0), (Link::Logistic, 2), (Link::Softmax { classes: 3 }, 3), (Link::Softmax { classes: 2 }, 2)];

#[test]
fn sums_are_those_of_plain_loops() {
    for (link, classes) in LINKS {
        for (rows, dense) in [(1, 0), (127, 1), (128, 7), (300, 8), (257, 13), (5000, 2)] {
            for (weighted, intercept) in [(false, true), (true, false), (true, true)] {
                let session = session(rows, dense, classes, weighted);
                let round = round(&session, link, intercept);
                let sums = glm(&session, &round, &|| Ok(())).unwrap();
                let (loss, gradient, hessian, margin, reach) = naive(&session, &round);
                close(&[sums.loss, sums.reach], &[loss, reach], "loss and reach");
                close(&sums.gradient.0, &gradient, "gradient");
                close(&sums.hessian.unwrap().0, &hessian, "hessian");
                close(sums.margin.as_slice(), margin.as_slice(), "margin");
                let weight = session.weights.as_ref().map_or(rows as f64, |w| w.iter().sum());
                close(&[sums.weight], &[weight], "weight");
                assert_eq!(sums.rows, rows as u64);
            }
        }
    }
}

#[test]
fn gradient_and_hessian_are_the_derivatives() {
    const STEP: f64 = 1e-5;
    for (link, classes) in LINKS {
        let session = session(200, 3, classes, true);
        let at = round(&session, link, true);
        let moved = |n: usize, by: f64| {
            let mut round = at.clone();
            round.parameters.0[n] += by;
            glm(&session, &round, &|| Ok(())).unwrap()
        };
        let sums = glm(&session, &at, &|| Ok(())).unwrap();
        let size = sums.gradient.0.len();
        let hessian = sums.hessian.unwrap().0;
        let mut upper = hessian.iter();
        for a in 0..size {
            let (up, down) = (moved(a, STEP), moved(a, -STEP));
            let slope = (up.loss - down.loss) / (2.0 * STEP);
            assert!((slope - sums.gradient.0[a]).abs() < 1e-4, "{link:?} {a}: {slope} {}", sums.gradient.0[a]);
            for b in a..size {
                let bend = (up.gradient.0[b] - down.gradient.0[b]) / (2.0 * STEP);
                let exact = upper.next().unwrap();
                assert!((bend - exact).abs() < 1e-4, "{link:?} {a} {b}: {bend} {exact}");
            }
        }
    }
}

#[test]
fn vector_code_computes_the_same_bits() {
    for (link, classes) in LINKS {
        let session = session(1000, 11, classes, true);
        let round = round(&session, link, true);
        let fast = sums(&session, &round, &|| Ok(()), false).unwrap();
        let portable = sums(&session, &round, &|| Ok(()), true).unwrap();
        let bits = |sums: &GlmSums| {
            let mut all = vec![sums.loss, sums.weight, sums.reach];
            all.extend(sums.gradient.0.iter().chain(sums.hessian.iter().flat_map(|h| &h.0)));
            all.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(bits(&fast), bits(&portable));
    }
}

#[test]
fn extreme_parameters_neither_overflow_nor_lose_the_loss() {
    let mut session = session(64, 2, 2, false);
    session.matrix.values.iter_mut().for_each(|x| *x = 1.0);
    for link in [Link::Logistic, Link::Softmax { classes: 2 }] {
        let mut round = round(&session, link, false);
        round.parameters.0.iter_mut().enumerate().for_each(|(n, w)| *w = if n < 7 { 1e4 } else { 0.0 });
        let sums = glm(&session, &round, &|| Ok(())).unwrap();
        assert!(sums.loss.is_finite() && sums.gradient.0.iter().all(|g| g.is_finite()));
        round.parameters.0.iter_mut().for_each(|w| *w *= 1e304);
        let sums = glm(&session, &round, &|| Ok(())).unwrap();
        assert_eq!(sums.loss, f64::MAX);
    }
}

#[test]
fn wrong_sizes_and_a_stop_are_told() {
    let session = session(500, 2, 2, false);
    let mut round = round(&session, Link::Logistic, true);
    assert_eq!(glm(&session, &round, &|| Err(Failure::Killed)), Err(Failure::Killed));
    round.link = Link::Squared;
    assert!(glm(&session, &round, &|| Ok(())).is_err());
    round.link = Link::Logistic;
    round.parameters.0.pop();
    assert!(glm(&session, &round, &|| Ok(())).is_err());
}
