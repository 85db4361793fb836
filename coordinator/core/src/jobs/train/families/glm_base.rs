//! The model that a regression starts from or updates.
//!
//! An update is the recursive Laplace approximation (Spiegelhalter and Lauritzen 1990): of the old data it knows the optimum
//! `w0` and the second derivatives `H0` there, penalty included, and minimises the new data's loss plus
//! `1/2 (w - w0)' H0 (w - w0)`. For least squares that is training on all data. With an L1 penalty `l1` the old objective but
//! for `l1 |w|` has at `w0` the slope `-l1 sign(w0)`, which is added; of coefficients at 0, whose slope is not known, none is.

use shardmill_common::failure::Failure;
use shardmill_common::model::{
    Encoder, Encoding, LinearParameters, Link, LogisticParameters, Model, Packed, Parameters, Scaling, Target,
};

use super::glm::{Objective, link};
use crate::jobs::train::base::{misfit, places};
use crate::train::{Prior, Problem, Space, scalings};

/// The parameters class by class, each its coefficients and then, with `intercept`, its intercept.
fn parameters(base: &Model, with_intercept: bool) -> Result<Vec<Vec<f64>>, Failure> {
    let joined = |w: &[f64], b: f64| w.iter().copied().chain(with_intercept.then_some(b)).collect::<Vec<f64>>();
    let classes: Vec<Vec<f64>> = match &base.parameters {
        Parameters::Logistic(LogisticParameters { coefficients, intercept }) => {
            let intercepts = intercept.iter().copied().chain(std::iter::repeat(0.0));
            coefficients.iter().zip(intercepts).map(|(w, b)| joined(w, b)).collect()
        }
        Parameters::Linear(LinearParameters { coefficients, intercept }) => vec![joined(coefficients, *intercept)],
        _ => return Err(misfit(base)),
    };
    let stride = base.features.width() + usize::from(with_intercept);
    if classes.iter().any(|c| c.len() != stride) {
        return Err(misfit(base));
    }
    Ok(classes)
}

/// Means and variances of the base's numeric features, as its curvature knows them: the new data's encoder is settled before
/// a look at them, and they only serve to condition the problem.
pub fn spreads(base: &Model, with_intercept: bool, shifts: bool) -> Result<Vec<Option<(f64, f64)>>, Failure> {
    let curvature = base.curvature.as_ref().ok_or_else(|| misfit(base))?;
    let (size, width) = (curvature.size as usize, base.features.width());
    let stride = width + usize::from(with_intercept);
    if size < stride || curvature.upper.0.len() != size * (size + 1) / 2 {
        return Err(misfit(base));
    }
    // Row i of the upper triangle begins after those of lengths size, size - 1, ...
    let at = |i: usize, j: usize| curvature.upper.0[i * size - i * (i + 1) / 2 + j];
    let mut place = 0;
    let mut spreads = Vec::new();
    for feature in &base.features.features {
        let square = at(place, place);
        spreads.push(match feature.encoding {
            Encoding::OneHot { .. } => None,
            Encoding::Numeric { .. } if shifts => {
                let weight = at(width, width);
                let mean = at(place, width) / weight;
                Some((mean, (square / weight - mean * mean).max(0.0)))
            }
            Encoding::Numeric { .. } => Some((0.0, square / base.training.rows.max(1) as f64)),
        });
        place += feature.width();
    }
    Ok(spreads.into_iter().map(|s| s.filter(|(m, v)| m.is_finite() && v.is_finite())).collect())
}

/// Makes the problem one of the new data given what the base knows of the old.
pub fn update(base: &Model, objective: &Objective, space: &Space, problem: &mut Problem) -> Result<(), Failure> {
    let curvature = base.curvature.as_ref().ok_or_else(|| misfit(base))?;
    let (size, stride) = (problem.size(), problem.stride());
    let mut upper = curvature.upper.0.clone();
    if curvature.size as usize != size || upper.len() != size * (size + 1) / 2 {
        return Err(misfit(base));
    }
    // Without an intercept, the weight of the old rows is taken to be their number.
    let earlier = match (problem.link, problem.fit_intercept) {
        (Link::Squared, true) => upper.last().copied().unwrap_or_default(),
        _ => base.training.rows as f64,
    };
    let (_, l2) = objective.strengths();
    let l2 = if problem.of_mean { l2 * earlier } else { l2 };
    let mut diagonal = 0;
    for j in 0..size {
        let is_intercept = problem.fit_intercept && j % stride == stride - 1;
        if !is_intercept || objective.penalise_intercept {
            upper[diagonal] += l2;
        }
        diagonal += size - j;
    }
    let center = space.inverse().to_model(&parameters(base, problem.fit_intercept)?.concat());
    let hessian = space.pull_back(size, &upper).ok_or_else(|| misfit(base))?;
    if center.len() != size {
        return Err(misfit(base));
    }
    let share = if problem.of_mean { earlier } else { 1.0 };
    let slope = problem.l1.0.iter().zip(&center).map(|(l1, u)| match u {
        u if *u > 0.0 => -l1 * share,
        u if *u < 0.0 => l1 * share,
        _ => 0.0,
    });
    let slope = Packed(slope.collect());
    problem.prior = Some(Prior { center: Packed(center), slope, hessian: Packed(hessian) });
    problem.earlier = earlier;
    // The L2 penalty is in the prior: one of the sum wholly, one of the mean as far as the old rows bear it.
    if !problem.of_mean {
        problem.l2 = Packed(vec![0.0; size]);
    }
    Ok(())
}

/// The base's parameters in working space.
pub fn start(base: &Model, target: &Target, working: &Encoder, with_intercept: bool) -> Result<Vec<f64>, Failure> {
    if link(&base.target) != link(target) || base.target.classes() != target.classes() {
        return Err(Failure::bad_input(format!(
            "a warm start needs the same classes, and those of {} are others",
            base.reference()
        )));
    }
    let places = places(base, working)?;
    let (theirs, ours) = (scalings(&base.features), scalings(working));
    let mut out = Vec::new();
    for class in parameters(base, true)? {
        let mut intercept = class.last().copied().unwrap_or_default();
        for (place, our) in places.iter().zip(&ours) {
            // w (x - m) / s = (w S / s) (x - M) / S + w (M - m) / s
            let Scaling { mean, scale } = theirs[*place];
            let w = class[*place] / scale;
            intercept += w * (our.mean - mean);
            out.push(w * our.scale);
        }
        out.extend(with_intercept.then_some(intercept));
    }
    Ok(out)
}
