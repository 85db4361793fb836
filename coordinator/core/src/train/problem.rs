//! The objective of a generalised linear model in working space: the shards' sums, the penalty, and what an update knows of
//! data that is gone. All of it as a mean over rows (weights included).

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use shardmill_algebra::{add_scaled, dot, times, unpack};
use shardmill_common::failure::Failure;
use shardmill_common::model::{GlmRound, GlmSums, Link, Packed};

/// `slope (u - center) + 1/2 (u - center)' hessian (u - center)`, a sum and not a mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prior {
    pub center: Packed,
    pub slope: Packed,
    /// The upper triangle, row by row.
    pub hessian: Packed,
}

/// What is minimised: `1/W (sum s loss + 1/2 sum l2 u^2 + sum l1 |u| + prior)`, `W` being the sum of the weights `s`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    pub link: Link,
    pub fit_intercept: bool,
    /// Coefficients of one class, without the intercept.
    pub width: usize,
    /// By parameter.
    pub l1: Packed,
    pub l2: Packed,
    /// The penalty is one of the mean (Lasso, ElasticNet) and not of the sum (Ridge, logistic): it is not divided by `W`.
    pub of_mean: bool,
    /// The weight of earlier data, over which an L1 penalty of the mean is spread as well (an L2 penalty is in the prior).
    pub earlier: f64,
    pub prior: Option<Prior>,
    /// Parameters of one class to which the same number may be added in every class: softmax without a penalty on them.
    pub free: Vec<usize>,
    /// The unit of the label: its standard deviation, 1 for classes.
    pub unit: f64,
}

/// The objective at some parameters.
pub struct Point {
    pub value: f64,
    /// Of all but the L1 penalty.
    pub gradient: Vec<f64>,
    /// Of all but the L1 penalty.
    pub hessian: Option<Array2<f64>>,
    /// The L1 penalty by parameter.
    pub l1: Vec<f64>,
}

impl Problem {
    pub fn classes(&self) -> usize {
        match self.link {
            Link::Squared | Link::Logistic => 1,
            Link::Softmax { classes } => classes as usize,
        }
    }

    /// Parameters of one class.
    pub fn stride(&self) -> usize {
        self.width + usize::from(self.fit_intercept)
    }

    pub fn size(&self) -> usize {
        self.classes() * self.stride()
    }

    pub fn has_l1(&self) -> bool {
        self.l1.0.iter().any(|x| *x > 0.0)
    }

    /// Whether nothing but the data holds the coefficients.
    pub fn is_unpenalised(&self) -> bool {
        self.prior.is_none() && self.l1.0.iter().chain(&self.l2.0).all(|x| *x == 0.0)
    }

    pub fn ask(&self, parameters: Vec<f64>, hessian: bool) -> GlmRound {
        GlmRound { link: self.link, fit_intercept: self.fit_intercept, parameters: Packed(parameters), hessian }
    }

    /// The objective from the sums of all shards.
    pub fn point(&self, at: &[f64], sums: &GlmSums) -> Result<Point, Failure> {
        let size = self.size();
        if at.len() != size || sums.gradient.0.len() != size || self.l1.0.len() != size || self.l2.0.len() != size {
            return Err(Failure::internal("the sums of a round do not fit the parameters"));
        }
        let weight = sums.weight;
        if !(weight > 0.0 && weight.is_finite()) {
            return Err(Failure::bad_input("the weights of all rows are 0: there is nothing to learn from"));
        }
        let (share, earlier) =
            if self.of_mean { (1.0, 1.0 + self.earlier / weight) } else { (1.0 / weight, 1.0 / weight) };
        let l1: Vec<f64> = self.l1.0.iter().map(|x| x * earlier).collect();
        let l2: Vec<f64> = self.l2.0.iter().map(|x| x * share).collect();
        let mut value = sums.loss / weight;
        let mut gradient: Vec<f64> = sums.gradient.0.iter().map(|g| g / weight).collect();
        let mut hessian = match &sums.hessian {
            None => None,
            Some(upper) => {
                let whole = unpack(size, &upper.0)
                    .ok_or_else(|| Failure::internal("the Hessian of a round does not fit the parameters"))?;
                Some(whole / weight)
            }
        };
        for (j, u) in at.iter().enumerate() {
            value += 0.5 * l2[j] * u * u + l1[j] * u.abs();
            gradient[j] += l2[j] * u;
        }
        if let Some(prior) = &self.prior {
            if prior.center.0.len() != size || prior.slope.0.len() != size {
                return Err(Failure::internal("what is known of earlier data does not fit the parameters"));
            }
            let known = unpack(size, &prior.hessian.0)
                .ok_or_else(|| Failure::internal("the curvature does not fit the parameters"))?;
            let off = add_scaled(at, -1.0, &prior.center.0);
            let pull = times(&known, &off);
            value += (dot(&prior.slope.0, &off) + 0.5 * dot(&pull, &off)) / weight;
            let pulls = pull.iter().zip(&prior.slope.0);
            gradient.iter_mut().zip(pulls).for_each(|(g, (p, s))| *g += (p + s) / weight);
            if let Some(h) = &mut hessian {
                h.zip_mut_with(&known, |h, k| *h += k / weight);
            }
        }
        if let Some(h) = &mut hessian {
            h.diag_mut().iter_mut().zip(&l2).for_each(|(d, l)| *d += l);
            self.tie(h);
        }
        // Where the gradient cannot be told, the objective is of no use either: a line search turns back.
        if gradient.iter().any(|g| !g.is_finite()) {
            value = f64::INFINITY;
        }
        Ok(Point { value, gradient, hessian, l1 })
    }

    /// About the diagonal of the Hessian at the start, features having unit variance: what a method without a Hessian sets
    /// out with. The penalty on a feature that was scaled up is large, and would be felt only after many rounds.
    pub fn diagonal(&self, weight: f64) -> Vec<f64> {
        let data = match self.link {
            Link::Squared => 1.0,
            Link::Logistic => 0.25,
            Link::Softmax { classes } => (1.0 - 1.0 / f64::from(classes)) / f64::from(classes),
        };
        let share = if self.of_mean { 1.0 } else { 1.0 / weight };
        self.l2.0.iter().map(|l2| data + l2 * share).collect()
    }

    /// Gives the Hessian a curvature where the objective has none: a step then leaves the sum over the classes alone.
    fn tie(&self, hessian: &mut Array2<f64>) {
        let (classes, stride) = (self.classes(), self.stride());
        for j in self.free.iter().filter(|j| **j < stride) {
            let places: Vec<usize> = (0..classes).map(|c| c * stride + j).collect();
            let mean = places.iter().map(|p| hessian[(*p, *p)]).sum::<f64>() / classes as f64;
            let tie = if mean > 0.0 { mean } else { 1.0 };
            for a in &places {
                places.iter().for_each(|b| hessian[(*a, *b)] += tie);
            }
        }
    }

    /// Takes away what rounding added to the sum over the classes of parameters that are free.
    pub fn centre(&self, at: &mut [f64]) {
        let (classes, stride) = (self.classes(), self.stride());
        for j in self.free.iter().filter(|j| **j < stride) {
            let mean = (0..classes).map(|c| at[c * stride + j]).sum::<f64>() / classes as f64;
            (0..classes).for_each(|c| at[c * stride + j] -= mean);
        }
    }
}

impl Point {
    /// The subgradient of least norm: 0 at the optimum. Source: Andrew and Gao 2007, equation 4.
    pub fn pseudo_gradient(&self, at: &[f64]) -> Vec<f64> {
        let of = |((g, l1), u): ((&f64, &f64), &f64)| {
            if *u > 0.0 {
                g + l1
            } else if *u < 0.0 {
                g - l1
            } else {
                soft(*g, *l1)
            }
        };
        self.gradient.iter().zip(&self.l1).zip(at).map(of).collect()
    }
}

/// `x` brought nearer to 0 by `by`.
pub fn soft(x: f64, by: f64) -> f64 {
    if x > by {
        x - by
    } else if x < -by {
        x + by
    } else {
        0.0
    }
}
