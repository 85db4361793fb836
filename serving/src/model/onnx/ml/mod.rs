//! The operators of `ai.onnx.ml` that are run here: each makes a row of numbers of a row of numbers. They are computed in one
//! order and with libm, so that they give the same bits on every machine, whatever rows are computed together.

mod attributes;
mod forest;
mod linear;
mod operator;
mod scale;
mod trees;
mod unary;

use tract_onnx::Onnx;
use tract_onnx::pb::NodeProto;

use crate::model::onnx::OnnxError;

pub use attributes::Attributes;
pub use operator::RowOperator;

/// Lets a reader of graphs make our operators.
pub fn register(onnx: &mut Onnx) {
    operator::register(onnx);
    unary::register(onnx);
}

/// The operators, for messages.
pub const OPERATORS: [&str; 9] = [
    "ArrayFeatureExtractor",
    "Imputer",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "Scaler",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
    "ZipMap",
];

/// Whether it is one of ours that makes a row of numbers of a row of numbers.
pub fn is_ours(op_type: &str) -> bool {
    OPERATORS.contains(&op_type) && !matches!(op_type, "ArrayFeatureExtractor" | "ZipMap")
}

/// The output of a node that holds its numbers: classifiers put out the label first.
pub fn numbers_output(op_type: &str) -> usize {
    usize::from(matches!(op_type, "LinearClassifier" | "TreeEnsembleClassifier"))
}

/// The operator of a node, ready to run; or what is wrong with it.
pub fn operator(node: &NodeProto) -> Result<Box<dyn RowOperator>, OnnxError> {
    let attributes = Attributes(node);
    match node.op_type.as_str() {
        "Imputer" => scale::Imputer::read(attributes).map(boxed),
        "LinearClassifier" => linear::Linear::classifier(attributes).map(boxed),
        "LinearRegressor" => linear::Linear::regressor(attributes).map(boxed),
        "Normalizer" => scale::Normalizer::read(attributes).map(boxed),
        "Scaler" => scale::Scaler::read(attributes).map(boxed),
        "TreeEnsembleClassifier" => trees::Trees::classifier(attributes).map(boxed),
        "TreeEnsembleRegressor" => trees::Trees::regressor(attributes).map(boxed),
        other => Err(OnnxError::operator(other, "is not supported")),
    }
}

fn boxed<T: RowOperator>(operator: T) -> Box<dyn RowOperator> {
    Box::new(operator)
}
