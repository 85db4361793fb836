//! Operators that treat the numbers of a row one by one, or scale the row: `Scaler`, `Imputer`, `Normalizer`.

use super::attributes::Attributes;
use super::operator::RowOperator;
use crate::model::onnx::OnnxError;

/// One for all columns, or one of each.
fn fits(of: &str, have: usize, width: usize) -> Result<(), OnnxError> {
    if have == 1 || have == width {
        Ok(())
    } else {
        Err(OnnxError::operator(of, format!("is made for rows of {have} numbers, and is given {width}")))
    }
}

fn at(values: &[f32], column: usize) -> f32 {
    values.get(if values.len() == 1 { 0 } else { column }).copied().unwrap_or_default()
}

/// `(x - offset) * scale`.
#[derive(Debug)]
pub struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Scaler {
    pub fn read(node: Attributes<'_>) -> Result<Self, OnnxError> {
        let (offset, scale) = (node.floats("offset").to_vec(), node.floats("scale").to_vec());
        if offset.is_empty() || scale.is_empty() {
            return Err(node.fault("`offset` or `scale` is missing"));
        }
        Ok(Self { offset, scale })
    }
}

impl RowOperator for Scaler {
    fn outputs(&self, width: usize) -> Result<usize, OnnxError> {
        fits("Scaler", self.offset.len(), width)?;
        fits("Scaler", self.scale.len(), width)?;
        Ok(width)
    }

    fn row(&self, x: &[f64], single: bool, out: &mut [f32]) {
        for (column, (x, slot)) in x.iter().zip(out).enumerate() {
            let (offset, scale) = (at(&self.offset, column), at(&self.scale, column));
            *slot =
                if single { (*x as f32 - offset) * scale } else { ((x - f64::from(offset)) * f64::from(scale)) as f32 };
        }
    }
}

/// Puts a number in the place of one that stands for a missing value.
#[derive(Debug)]
pub struct Imputer {
    values: Vec<f32>,
    replaced: f32,
}

impl Imputer {
    pub fn read(node: Attributes<'_>) -> Result<Self, OnnxError> {
        let values = node.floats("imputed_value_floats").to_vec();
        if values.is_empty() {
            return Err(node.fault("`imputed_value_floats` is missing: only floating-point numbers are imputed"));
        }
        Ok(Self { values, replaced: node.float("replaced_value_float").unwrap_or(0.0) })
    }
}

impl RowOperator for Imputer {
    fn outputs(&self, width: usize) -> Result<usize, OnnxError> {
        fits("Imputer", self.values.len(), width).map(|()| width)
    }

    fn row(&self, x: &[f64], _single: bool, out: &mut [f32]) {
        for (column, (x, slot)) in x.iter().zip(out).enumerate() {
            let x = *x as f32;
            let missing = if self.replaced.is_nan() { x.is_nan() } else { x == self.replaced };
            *slot = if missing { at(&self.values, column) } else { x };
        }
    }

    fn takes_missing(&self) -> bool {
        self.replaced.is_nan()
    }
}

#[derive(Clone, Copy, Debug)]
enum Norm {
    Max,
    L1,
    L2,
}

/// Divides a row by its norm; a row of zeros stays as it is.
#[derive(Debug)]
pub struct Normalizer(Norm);

impl Normalizer {
    pub fn read(node: Attributes<'_>) -> Result<Self, OnnxError> {
        match node.text("norm").as_deref() {
            None | Some("MAX") => Ok(Self(Norm::Max)),
            Some("L1") => Ok(Self(Norm::L1)),
            Some("L2") => Ok(Self(Norm::L2)),
            Some(other) => {
                Err(node
                    .fault(format!("the norm {} is not supported; supported are MAX, L1 and L2", other.escape_debug())))
            }
        }
    }
}

impl RowOperator for Normalizer {
    fn outputs(&self, width: usize) -> Result<usize, OnnxError> {
        Ok(width)
    }

    fn row(&self, x: &[f64], _single: bool, out: &mut [f32]) {
        let norm = match self.0 {
            Norm::Max => x.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Norm::L1 => x.iter().map(|x| x.abs()).sum(),
            Norm::L2 => x.iter().map(|x| x * x).sum::<f64>().sqrt(),
        };
        for (x, slot) in x.iter().zip(out) {
            *slot = if norm == 0.0 { *x as f32 } else { (x / norm) as f32 };
        }
    }
}
