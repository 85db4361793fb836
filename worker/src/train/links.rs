//! What each link makes of the rows of a block: loss, derivative by `z`, curvature and margin.

use super::kernel::{BLOCK, Lane};
use super::math::{exp_neg, log1p_unit};

/// Of each row of a block, weights included (the margin excepted).
pub struct Derivatives {
    pub loss: Lane,
    /// By class, the derivative of the loss by `z`.
    pub residuals: Vec<Lane>,
    /// By class: the second derivative for one `z`, probabilities for softmax.
    pub curvature: Vec<Lane>,
    /// Infinite in rows without weight.
    pub margin: Lane,
}

impl Derivatives {
    pub fn new(classes: usize) -> Self {
        let zero = [0.0; BLOCK];
        Self {
            loss: zero,
            residuals: vec![zero; classes],
            curvature: vec![zero; classes],
            margin: [f64::INFINITY; BLOCK],
        }
    }
}

/// `(y - z)^2 / 2`.
#[inline(always)]
pub fn squared(z: &[Lane], y: &Lane, weight: &Lane, out: &mut Derivatives) {
    let ([z], [residual], [curvature]) = (z, &mut out.residuals[..], &mut out.curvature[..]) else { return };
    for r in 0..BLOCK {
        let error = z[r] - y[r];
        residual[r] = weight[r] * error;
        out.loss[r] = 0.5 * weight[r] * (error * error);
        curvature[r] = weight[r];
    }
}

/// `log(1 + exp(z)) - t z`, computed from `exp(-|z|)` so that nothing overflows or cancels.
#[inline(always)]
pub fn logistic(z: &[Lane], t: &Lane, weight: &Lane, out: &mut Derivatives) {
    let ([z], [residual], [curvature]) = (z, &mut out.residuals[..], &mut out.curvature[..]) else { return };
    for r in 0..BLOCK {
        // `z` with the sign of the right class: positive where the prediction is right.
        let right = if t[r] > 0.5 { z[r] } else { -z[r] };
        let e = exp_neg(right.abs());
        let high = 1.0 / (1.0 + e);
        let low = e * high;
        // The probability of the wrong class: small where `right` is large, and exact there.
        let wrong = if right >= 0.0 { low } else { high };
        let excess = if right >= 0.0 { 0.0 } else { -right };
        residual[r] = weight[r] * (if t[r] > 0.5 { -wrong } else { wrong });
        out.loss[r] = weight[r] * (log1p_unit(e) + excess);
        curvature[r] = weight[r] * (high * low);
        out.margin[r] = if weight[r] > 0.0 { right } else { f64::INFINITY };
    }
}

/// `log sum_c exp(z_c) - z_y`.
#[inline(always)]
pub fn softmax(z: &[Lane], y: &[u32; BLOCK], weight: &Lane, out: &mut Derivatives) {
    let mut highest = [f64::NEG_INFINITY; BLOCK];
    let mut own = [0.0; BLOCK];
    let mut other = [f64::NEG_INFINITY; BLOCK];
    for (c, z) in z.iter().enumerate() {
        for r in 0..BLOCK {
            highest[r] = if z[r] > highest[r] { z[r] } else { highest[r] };
            if y[r] == c as u32 {
                own[r] = z[r];
            } else if z[r] > other[r] {
                other[r] = z[r];
            }
        }
    }
    // The largest term is exactly 1; it is left out of the sum once, so that a small rest keeps its digits.
    let mut rest = [0.0; BLOCK];
    let mut seen = [0.0; BLOCK];
    for (z, e) in z.iter().zip(&mut out.curvature) {
        for r in 0..BLOCK {
            e[r] = exp_neg(highest[r] - z[r]);
            let is_highest = z[r] == highest[r] && seen[r] == 0.0;
            rest[r] += if is_highest { 0.0 } else { e[r] };
            seen[r] = if is_highest { 1.0 } else { seen[r] };
        }
    }
    for (c, (probability, residual)) in out.curvature.iter_mut().zip(&mut out.residuals).enumerate() {
        for r in 0..BLOCK {
            probability[r] /= 1.0 + rest[r];
            residual[r] = weight[r] * (probability[r] - if y[r] == c as u32 { 1.0 } else { 0.0 });
        }
    }
    for r in 0..BLOCK {
        out.loss[r] = weight[r] * (libm::log1p(rest[r]) + (highest[r] - own[r]));
        out.margin[r] = if weight[r] > 0.0 { own[r] - other[r] } else { f64::INFINITY };
    }
}
