//! What is wrong with a training alone.

use shardmill_common::model::ModelRef;
use shardmill_common::schema::DataType;
use shardmill_common::unfit::{OwnUnfit, Unfit};

#[derive(Debug, thiserror::Error)]
pub enum TrainUnfit {
    /// `wanted` as in "must be above 0".
    #[error("{option} must be {wanted}, not {value}")]
    Range { option: &'static str, wanted: &'static str, value: f64 },
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    #[error("--class-weight: the weight of `{class}` must be 0 or more, not {weight}")]
    ClassWeight { class: String, weight: f64 },
    #[error("--class-weight names no class")]
    NoClassWeights,
    #[error("--priors: the prior of `{class}` must be from 0 to 1, not {prior}")]
    Prior { class: String, prior: f64 },
    #[error("--priors must add up to 1, not {0}")]
    Priors(f64),
    #[error("the solver lbfgs cannot take an L1 penalty: use --solver owlqn, or --solver newton")]
    LbfgsWithL1,
    #[error("the solver linfa cannot take {0}: leave --solver out")]
    Linfa(&'static str),

    #[error("{verb} learns without a label: leave `{label}` out")]
    NeedsNoLabel { verb: &'static str, label: String },
    #[error("{verb} cannot take row weights")]
    NoWeights { verb: &'static str },
    #[error("which column is to be learnt? Name it with --label")]
    NoLabel,
    #[error("the label `{label}` is {dtype}, and {}", label_hint(*dtype, *classes, title))]
    LabelType { label: String, dtype: DataType, classes: bool, title: &'static str },
    #[error("the weights `{column}` are {dtype}: they must be int64 or float64")]
    WeightType { column: String, dtype: DataType },
    #[error("`{0}` cannot be the label and the weights at once")]
    LabelIsWeight(String),
    #[error("`{0}` holds the weights and cannot be a feature, too")]
    WeightIsFeature(String),
    #[error("`{0}` is the label and cannot be a feature, too")]
    LabelIsFeature(String),
    #[error("there are no features: {of} has no column but the label and the weights")]
    NoFeatures { of: String },
    #[error("{option} names `{column}`, which is not a feature; the features are {features}")]
    NotAFeature { option: &'static str, column: String, features: String },
    /// `chosen`: the features were named.
    #[error("points in time are no numbers: {columns}; {}", time_hint(*chosen))]
    Times { columns: String, chosen: bool },
    #[error("--standardise names `{0}`, which is taken as categories")]
    StandardisedCategories(String),
    /// `why` as in "is string".
    #[error("--impute: `{column}` {why} and has no mean or median; use mode, constant=VALUE or drop-row")]
    NoMean { column: String, why: String },
    #[error("--impute {column}=constant={text}: `{text}` is not a number")]
    Constant { column: String, text: String },

    #[error("a training starts from a version or updates one, not both")]
    TwoBases,
    #[error("model {0} is missing")]
    BaseMissing(ModelRef),
    #[error(
        "{0} was imported from an ONNX file, and nothing is known of how it was trained: a training cannot go on from it"
    )]
    Imported(ModelRef),
    #[error("{base} is a model of {theirs}, and this is a training of {ours}")]
    OtherFamily { base: ModelRef, theirs: String, ours: String },
    #[error("{base} has learnt `{learnt}`, not `{asked}`")]
    OtherLabel { base: ModelRef, learnt: String, asked: String },
    #[error("{base} reads `{column}`, and {why}")]
    BaseReads { base: ModelRef, column: String, why: Box<Unfit> },
    #[error("{base} was trained with `{column}` as {trained}, and in {of} it is {found}")]
    FeatureType { base: ModelRef, column: String, trained: DataType, of: String, found: DataType },
    #[error("{base} has learnt `{column}` as {trained}, and in {of} it is {found}")]
    LearntType { base: ModelRef, column: String, trained: DataType, of: String, found: DataType },
    #[error(
        "{0} does not know the curvature of its objective and cannot be updated: that is kept by models of up to 500 parameters \
         trained with the solver newton (the default)"
    )]
    NoCurvature(ModelRef),
    #[error("a k-means model cannot be updated: train it anew (with --warm-start from it, if you like)")]
    KMeansUpdate,
    #[error("naive Bayes takes no warm start: it needs one round; to learn on from a model use --update")]
    BayesWarmStart,
}

impl OwnUnfit for TrainUnfit {}

fn label_hint(dtype: DataType, classes: bool, title: &str) -> String {
    match (classes, dtype) {
        (true, _) => "classes are boolean, whole numbers or string".to_owned(),
        (false, DataType::String) => format!("{title} learns a number: learn its classes with `train logistic`"),
        (false, _) => format!("{title} learns numbers or booleans"),
    }
}

const fn time_hint(chosen: bool) -> &'static str {
    if chosen {
        "leave them out of --features, name them with --categorical, or derive numbers from them (`shardmill clean`, rule \
         `derive`)"
    } else {
        "say with --features which columns to learn from, name these with --categorical, or derive numbers from them \
         (`shardmill clean`, rule `derive`)"
    }
}

/// Whether a number is what an option wants: above 0.
pub fn above_zero(option: &'static str, value: f64) -> Result<(), TrainUnfit> {
    range(option, "above 0", value, value > 0.0 && value.is_finite())
}

/// 0 or more.
pub fn not_negative(option: &'static str, value: f64) -> Result<(), TrainUnfit> {
    range(option, "0 or more", value, value >= 0.0 && value.is_finite())
}

/// From 0 to 1.
pub fn share(option: &'static str, value: f64) -> Result<(), TrainUnfit> {
    range(option, "from 0 to 1", value, (0.0..=1.0).contains(&value))
}

fn range(option: &'static str, wanted: &'static str, value: f64, fits: bool) -> Result<(), TrainUnfit> {
    if fits { Ok(()) } else { Err(TrainUnfit::Range { option, wanted, value }) }
}

/// At least 1.
pub fn not_zero(option: &'static str, value: u32) -> Result<(), TrainUnfit> {
    if value == 0 { Err(TrainUnfit::Zero(option)) } else { Ok(()) }
}
