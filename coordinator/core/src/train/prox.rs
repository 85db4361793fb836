//! The step of proximal Newton: the minimum of a quadratic model with an L1 penalty. Coordinate descent (Friedman, Hastie,
//! Tibshirani 2010) finds most signs; from there the search goes from one set of signs to the next, each solved exactly
//! (feature-sign search: Lee, Battle, Raina, Ng 2006), which flat directions do not slow down.

use ndarray::Array2;

use shardmill_algebra::{largest, solve, times};

use super::problem::{Point, soft};

const SWEEPS: usize = 500;
/// Sweeps without a change of signs.
const SETTLED: usize = 5;
/// Sets of signs that are tried; what is left to do then is for the next round.
const SETS: usize = 200;

/// The direction to the minimum of `g d + 1/2 d' H d + sum l1 |u + d|`.
pub fn direction(point: &Point, hessian: &Array2<f64>, at: &[f64]) -> Vec<f64> {
    let x = descend(point, hessian, at);
    let model = Model { point, hessian, at };
    let found = model.search(x.clone());
    let best = if model.value(&found) <= model.value(&x) { found } else { x };
    best.iter().zip(at).map(|(x, u)| x - u).collect()
}

fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0
    }
}

fn descend(point: &Point, hessian: &Array2<f64>, at: &[f64]) -> Vec<f64> {
    let l1 = &point.l1;
    let mut x = at.to_vec();
    // The model's gradient at x.
    let mut slope = point.gradient.clone();
    let mut settled = 0;
    for _ in 0..SWEEPS {
        let (mut moved, mut turned) = (0.0f64, false);
        for j in 0..x.len() {
            let curvature = hessian[(j, j)];
            if curvature <= 0.0 {
                continue;
            }
            let new = soft(curvature * x[j] - slope[j], l1[j]) / curvature;
            let by = new - x[j];
            if by == 0.0 {
                continue;
            }
            turned |= l1[j] > 0.0 && sign(new) != sign(x[j]);
            moved = moved.max(by.abs());
            slope.iter_mut().zip(hessian.row(j)).for_each(|(s, h)| *s += by * h);
            x[j] = new;
        }
        settled = if turned { 0 } else { settled + 1 };
        if settled == SETTLED || moved <= 1e-15 * largest(&x) {
            break;
        }
    }
    x
}

struct Model<'a> {
    point: &'a Point,
    hessian: &'a Array2<f64>,
    at: &'a [f64],
}

impl Model<'_> {
    /// The gradient of the quadratic part.
    fn slope(&self, x: &[f64]) -> Vec<f64> {
        let moved: Vec<f64> = x.iter().zip(self.at).map(|(x, u)| x - u).collect();
        times(self.hessian, &moved).iter().zip(&self.point.gradient).map(|(h, g)| g + h).collect()
    }

    fn value(&self, x: &[f64]) -> f64 {
        let slope = self.slope(x);
        let terms = (0..x.len()).map(|j| {
            let quadratic = 0.5 * (slope[j] + self.point.gradient[j]) * (x[j] - self.at[j]);
            quadratic + self.point.l1[j] * (x[j].abs() - self.at[j].abs())
        });
        terms.sum()
    }

    fn search(&self, mut x: Vec<f64>) -> Vec<f64> {
        let l1 = &self.point.l1;
        // Whether x is the minimum among the points with its signs.
        let mut solved = false;
        for _ in 0..SETS {
            let slope = self.slope(&x);
            let mut active: Vec<usize> = (0..x.len()).filter(|j| x[*j] != 0.0 || l1[*j] == 0.0).collect();
            let mut signs: Vec<f64> = x.iter().map(|x| sign(*x)).collect();
            if solved {
                // Of those at 0 the one that gains most by leaving it.
                let gain = |j: usize| {
                    let over = slope[j].abs() - l1[j] * (1.0 + 1e-12);
                    let curvature = self.hessian[(j, j)];
                    if x[j] == 0.0 && l1[j] > 0.0 && over > 0.0 && curvature > 0.0 {
                        over * over / curvature
                    } else {
                        0.0
                    }
                };
                let Some(j) = (0..x.len()).max_by(|a, b| gain(*a).total_cmp(&gain(*b))).filter(|j| gain(*j) > 0.0)
                else {
                    break;
                };
                signs[j] = -sign(slope[j]);
                active.push(j);
            }
            let right: Vec<f64> = active.iter().map(|j| -(slope[*j] + l1[*j] * signs[*j])).collect();
            let part =
                Array2::from_shape_fn((active.len(), active.len()), |(a, b)| self.hessian[(active[a], active[b])]);
            let Some(step) = solve(&part, &right) else { break };
            solved = self.walk(&mut x, &slope, &active, &step.x);
        }
        x
    }

    /// To the minimum along a direction, through the points where a parameter is 0. Says whether it went all the way, and
    /// no parameter changed its sign.
    fn walk(&self, x: &mut [f64], slope: &[f64], active: &[usize], direction: &[f64]) -> bool {
        let l1 = &self.point.l1;
        let mut whole_direction = vec![0.0; x.len()];
        active.iter().zip(direction).for_each(|(j, d)| whole_direction[*j] = *d);
        let bend: f64 = times(self.hessian, &whole_direction).iter().zip(&whole_direction).map(|(h, d)| h * d).sum();
        let mut crossings: Vec<(f64, usize)> = active
            .iter()
            .zip(direction)
            .filter(|(j, d)| l1[**j] > 0.0 && x[**j] != 0.0 && x[**j] * **d < 0.0)
            .map(|(j, d)| (-x[*j] / d, *j))
            .filter(|(t, _)| *t <= 1.0)
            .collect();
        crossings.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut down: f64 = active
            .iter()
            .zip(direction)
            .map(|(j, d)| slope[*j] * d + l1[*j] * if x[*j] == 0.0 { d.abs() } else { sign(x[*j]) * d })
            .sum();
        let (mut end, mut stops) = (1.0, None);
        let mut crossed = false;
        for (t, j) in crossings {
            // The minimum before this crossing.
            if down + t * bend >= 0.0 {
                break;
            }
            crossed = true;
            down += 2.0 * l1[j] * whole_direction[j].abs();
            if down + t * bend >= 0.0 {
                (end, stops) = (t, Some(j));
                break;
            }
        }
        if stops.is_none() && crossed && bend > 0.0 {
            end = (-down / bend).clamp(0.0, 1.0);
        }
        for (j, d) in active.iter().zip(direction) {
            x[*j] += end * d;
        }
        if let Some(j) = stops {
            x[j] = 0.0;
        }
        !crossed
    }
}
