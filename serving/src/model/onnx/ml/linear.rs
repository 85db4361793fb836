//! `LinearClassifier` and `LinearRegressor`: weighted sums of a row's numbers, summed in float64.

use super::attributes::{Attributes, PostTransform, logistic};
use super::operator::RowOperator;
use crate::model::onnx::OnnxError;

#[derive(Debug)]
pub struct Linear {
    /// A row a sum.
    coefficients: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
    post: PostTransform,
    /// One sum speaks for two classes: it is that of the second.
    two_of_one: bool,
}

impl Linear {
    pub fn classifier(node: Attributes<'_>) -> Result<Self, OnnxError> {
        let ints = node.ints("classlabels_ints").len();
        let classes = if ints > 0 { ints } else { node.texts("classlabels_strings").len() };
        let intercepts = node.floats("intercepts").len();
        let sums = if intercepts > 0 { intercepts } else { classes };
        let linear = Self::read(node, sums)?;
        match (sums, classes) {
            (1, 2) if linear.post != PostTransform::Softmax => Ok(Self { two_of_one: true, ..linear }),
            (sums, classes) if sums == classes => Ok(linear),
            _ => Err(node.fault(format!("it has {sums} sums for {classes} classes"))),
        }
    }

    pub fn regressor(node: Attributes<'_>) -> Result<Self, OnnxError> {
        let targets = usize::try_from(node.int("targets").unwrap_or(1));
        Self::read(node, targets.map_err(|_| node.fault("`targets` is negative"))?)
    }

    fn read(node: Attributes<'_>, sums: usize) -> Result<Self, OnnxError> {
        let all = node.floats("coefficients");
        if sums == 0 || all.is_empty() || !all.len().is_multiple_of(sums) {
            return Err(node.fault(format!("{} coefficients cannot make {sums} sums", all.len())));
        }
        let intercepts: Vec<f64> = node.floats("intercepts").iter().map(|x| f64::from(*x)).collect();
        if !intercepts.is_empty() && intercepts.len() != sums {
            return Err(node.fault(format!("it has {} intercepts for {sums} sums", intercepts.len())));
        }
        let row = |row: &[f32]| row.iter().map(|x| f64::from(*x)).collect();
        Ok(Self {
            coefficients: all.chunks_exact(all.len() / sums).map(row).collect(),
            intercepts,
            post: node.post_transform()?,
            two_of_one: false,
        })
    }
}

impl RowOperator for Linear {
    fn outputs(&self, width: usize) -> Result<usize, OnnxError> {
        let wanted = self.coefficients.first().map_or(0, Vec::len);
        if wanted != width {
            let what = format!("a linear operator is made for rows of {wanted} numbers, and is given {width}");
            return Err(OnnxError::Width(what));
        }
        Ok(if self.two_of_one { 2 } else { self.coefficients.len() })
    }

    fn row(&self, x: &[f64], _single: bool, out: &mut [f32]) {
        let sum = |n: usize, row: &Vec<f64>| {
            let products: f64 = row.iter().zip(x).map(|(w, x)| w * x).sum();
            products + self.intercepts.get(n).copied().unwrap_or(0.0)
        };
        let mut scores: Vec<f64> = self.coefficients.iter().enumerate().map(|(n, row)| sum(n, row)).collect();
        match (self.two_of_one, scores.first().copied(), self.post) {
            (true, Some(z), PostTransform::Logistic) => scores = vec![logistic(-z), logistic(z)],
            (true, Some(z), _) => scores = vec![-z, z],
            _ => self.post.apply(&mut scores),
        }
        out.iter_mut().zip(scores).for_each(|(slot, x)| *slot = x as f32);
    }
}
