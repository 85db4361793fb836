//! Parameters in the terms that exports share.

use shardmill_common::model::{Model, Parameters};

use super::Reason;

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

/// `squares / weight + epsilon` of each class and feature.
pub fn variances(weights: &[f64], squares: &[Vec<f64>], epsilon: f64) -> Vec<Vec<f64>> {
    let of = |(weight, row): (&f64, &Vec<f64>)| row.iter().map(|s| s / weight + epsilon).collect();
    weights.iter().zip(squares).map(of).collect()
}

impl Formula {
    pub fn of(model: &Model) -> Result<Self, Reason> {
        let width = model.features.width();
        let classes = model.target.classes().len();
        let formula = match &model.parameters {
            Parameters::Logistic { coefficients, intercept } => match (coefficients.as_slice(), intercept.as_slice()) {
                ([one], [b]) if classes == 2 => Formula::Binary { coefficients: one.clone(), intercept: *b },
                _ => Formula::Softmax { coefficients: coefficients.clone(), intercept: intercept.clone() },
            },
            Parameters::Linear { coefficients, intercept } => {
                Formula::Linear { coefficients: coefficients.clone(), intercept: *intercept }
            }
            Parameters::NaiveBayes { weights, priors, means, squares, epsilon } => Formula::Gaussian {
                log_priors: priors.iter().map(|p| p.ln()).collect(),
                priors: priors.clone(),
                means: means.clone(),
                variances: variances(weights, squares, *epsilon),
            },
            // The file itself is written in its own format, and in no other.
            Parameters::Onnx(_) => {
                return Err("it was imported from an ONNX file, and only --format onnx gives that back".to_owned());
            }
            Parameters::KMeans { centers, sizes, .. } => {
                Formula::Centers { centers: centers.clone(), sizes: sizes.clone() }
            }
        };
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
            return Err("its parameters do not fit its features and classes".to_owned());
        }
        if rows.iter().flat_map(|r| r.iter()).chain(constants).any(|x| !x.is_finite()) {
            return Err("a parameter is not a finite number".to_owned());
        }
        if let Formula::Gaussian { variances, .. } = self
            && variances.iter().flatten().any(|v| *v <= 0.0)
        {
            return Err(
                "a feature has no variance within a class (json can hold it); train with --var-smoothing".to_owned()
            );
        }
        Ok(())
    }
}
