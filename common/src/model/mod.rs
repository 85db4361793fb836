//! Models: what a trained version is, how raw columns become its numbers, and what its parameters mean.

mod assessment;
// For tests of every crate. Behind a feature they would make two builds of all crates above: the program and its tests share one.
#[doc(hidden)]
pub mod conformance;
mod encoder;
mod evaluation;
mod example;
mod families;
mod learn;
mod onnx;
mod packed;
mod reference;
mod spec;
mod version;

pub use assessment::{
    Assessment, BinSums, CALIBRATION_BINS, CURVE_POINTS, CarefulSum, ClassSums, ClusterSums, NumberSums, Ranking, Sums,
};
pub use encoder::{Encoder, Encoding, Feature, Filling, OutputColumn, Scaling};
pub use evaluation::{CalibrationBin, Curve, Evaluation, Served};
#[doc(hidden)]
pub use example::example;
pub use families::{
    Algorithm, ClassWeight, KMeansOptions, KMeansParameters, LinearOptions, LinearParameters, LogisticOptions,
    LogisticParameters, NaiveBayesOptions, NaiveBayesParameters, Parameters, Penalty, Solver,
};
pub use learn::{
    CategoryCounts, CentroidSums, ClassMoments, GlmRound, GlmSums, LabelProfile, Learn, Learnt, LinfaFit, LinfaResult,
    Link, Moments, NumericProfile, Profile, SeedRound, Seeds,
};
pub use onnx::{MAX_GRAPH_BYTES, OnnxGraph, OnnxInput, OnnxOutput};
pub use packed::Packed;
pub use reference::{ModelName, ModelRef, Which, alias};
pub use spec::{Categories, ConstantFeature, Imputation, Preparation, TrainSpec, Unknown, Unlabelled};
pub use version::{ClassValue, Curvature, Label, Model, ModelDetail, ModelSummary, Round, Target, Training};
