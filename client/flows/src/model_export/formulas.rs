//! Parameters in the terms that exports share.

use shardmill_common::model::Model;

use super::Reason;
use super::families::exported;

/// What a file computes from the encoded numbers.
pub enum Formula {
    /// Two classes: the probability of the second is the logistic function of the sum.
    Binary {
        coefficients: Vec<f64>,
        intercept: f64,
    },
    /// A row a class; the probabilities are the softmax of the sums.
    Softmax {
        coefficients: Vec<Vec<f64>>,
        intercept: Vec<f64>,
    },
    Linear {
        coefficients: Vec<f64>,
        intercept: f64,
    },
    Gaussian {
        log_priors: Vec<f64>,
        priors: Vec<f64>,
        means: Vec<Vec<f64>>,
        variances: Vec<Vec<f64>>,
    },
    Centers {
        centers: Vec<Vec<f64>>,
        sizes: Vec<u64>,
    },
}

impl Formula {
    pub fn of(model: &Model) -> Result<Self, Reason> {
        let width = model.features.width();
        let classes = model.target.classes().len();
        let formula = exported(&model.parameters).formula(classes)?;
        formula.check(width, classes)?;
        Ok(formula)
    }

    /// Shapes agree, and every number can be written: a file that reads but computes nonsense must not be made.
    fn check(&self, width: usize, classes: usize) -> Result<(), Reason> {
        let rows: Vec<&Vec<f64>> = match self {
            Formula::Binary { coefficients, .. } | Formula::Linear { coefficients, .. } => vec![coefficients],
            Formula::Softmax { coefficients, .. } => coefficients.iter().collect(),
            Formula::Gaussian { means, variances, .. } => means.iter().chain(variances).collect(),
            Formula::Centers { centers, .. } => centers.iter().collect(),
        };
        let (outputs, constants): (usize, &[f64]) = match self {
            Formula::Binary { intercept, .. } => (2, std::slice::from_ref(intercept)),
            Formula::Linear { intercept, .. } => (classes, std::slice::from_ref(intercept)),
            Formula::Softmax { intercept, .. } => (intercept.len(), intercept),
            Formula::Gaussian { priors, .. } => (priors.len(), priors),
            Formula::Centers { .. } => (classes, &[]),
        };
        if rows.is_empty() || outputs != classes || rows.iter().any(|r| r.len() != width) {
            return Err(Reason::Parameters);
        }
        if rows.iter().flat_map(|r| r.iter()).chain(constants).any(|x| !x.is_finite()) {
            return Err(Reason::NotFinite);
        }
        if let Formula::Gaussian { variances, .. } = self
            && variances.iter().flatten().any(|v| *v <= 0.0)
        {
            return Err(Reason::NoVariance);
        }
        Ok(())
    }
}
