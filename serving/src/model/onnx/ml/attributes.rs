//! The attributes of a node, by name, with errors that say which node lacks what.

use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

use crate::model::onnx::OnnxError;

/// A node whose attributes are read.
#[derive(Clone, Copy)]
pub struct Attributes<'a>(pub &'a NodeProto);

impl<'a> Attributes<'a> {
    fn get(self, name: &str) -> Option<&'a AttributeProto> {
        self.0.attribute.iter().find(|a| a.name == name)
    }

    /// What is wrong with this node.
    pub fn fault(self, what: impl std::fmt::Display) -> OnnxError {
        OnnxError::Attributes { op: self.0.op_type.clone(), what: what.to_string() }
    }

    pub fn int(self, name: &str) -> Option<i64> {
        self.get(name).map(|a| a.i)
    }

    pub fn float(self, name: &str) -> Option<f32> {
        self.get(name).map(|a| a.f)
    }

    pub fn text(self, name: &str) -> Option<String> {
        self.get(name).map(|a| String::from_utf8_lossy(&a.s).into_owned())
    }

    pub fn ints(self, name: &str) -> &'a [i64] {
        self.get(name).map(|a| a.ints.as_slice()).unwrap_or_default()
    }

    pub fn floats(self, name: &str) -> &'a [f32] {
        self.get(name).map(|a| a.floats.as_slice()).unwrap_or_default()
    }

    /// Numbers as a list of float32, or as the tensor `NAME_as_tensor` of float32 or float64.
    pub fn numbers(self, name: &str) -> Result<Vec<f64>, OnnxError> {
        match self.get(&format!("{name}_as_tensor")).and_then(|a| a.t.as_ref()) {
            None => Ok(self.floats(name).iter().map(|x| f64::from(*x)).collect()),
            Some(tensor) => numbers_of(tensor)
                .ok_or_else(|| self.fault(format!("`{name}_as_tensor` holds no floating-point numbers"))),
        }
    }

    pub fn texts(self, name: &str) -> Vec<String> {
        let strings = self.get(name).map(|a| a.strings.as_slice()).unwrap_or_default();
        strings.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect()
    }

    /// What becomes of the sums at the end.
    pub fn post_transform(self) -> Result<PostTransform, OnnxError> {
        match self.text("post_transform").as_deref() {
            None | Some("" | "NONE") => Ok(PostTransform::None),
            Some("LOGISTIC") => Ok(PostTransform::Logistic),
            Some("SOFTMAX") => Ok(PostTransform::Softmax),
            Some(other) => Err(self.fault(format!(
                "the post_transform {} is not supported; supported are NONE, LOGISTIC and SOFTMAX",
                other.escape_debug()
            ))),
        }
    }
}

/// A tensor's numbers, if they are float32 or float64.
pub fn numbers_of(tensor: &TensorProto) -> Option<Vec<f64>> {
    const FLOAT: i32 = 1;
    const DOUBLE: i32 = 11;
    match tensor.data_type {
        FLOAT if tensor.raw_data.is_empty() => Some(tensor.float_data.iter().map(|x| f64::from(*x)).collect()),
        FLOAT => Some(tensor.raw_data.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()),
        DOUBLE if tensor.raw_data.is_empty() => Some(tensor.double_data.clone()),
        DOUBLE => Some(tensor.raw_data.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
        _ => None,
    }
}

/// What turns sums into probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostTransform {
    None,
    Logistic,
    Softmax,
}

/// `1 / (1 + exp(-z))`, without overflow.
pub fn logistic(z: f64) -> f64 {
    let e = libm::exp(-z.abs());
    if z < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

impl PostTransform {
    pub fn apply(self, scores: &mut [f64]) {
        match self {
            PostTransform::None => {}
            PostTransform::Logistic => scores.iter_mut().for_each(|z| *z = logistic(*z)),
            PostTransform::Softmax => {
                let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                scores.iter_mut().for_each(|z| *z = libm::exp(*z - most));
                let sum: f64 = scores.iter().sum();
                scores.iter_mut().for_each(|z| *z /= sum);
            }
        }
    }
}
