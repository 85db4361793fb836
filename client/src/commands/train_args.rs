//! The arguments of each training verb, and the training that they ask for.

use std::collections::BTreeMap;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use shardmill_common::model::{
    Algorithm, ClassWeight, KMeansOptions, LinearOptions, LogisticOptions, ModelName, ModelRef, NaiveBayesOptions,
    Solver, Unlabelled,
};
use shardmill_common::name::DatasetRef;

use super::common::{DryRunArg, model_name};
use super::numbers::{above_zero, class_weight, data_weight, not_negative, priors};
use super::train::Wanted;
use super::train_options::PreparationArgs;
use super::train_penalty::PenaltyArgs;
use crate::error::CliError;

/// What every training needs.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs {
    /// The dataset to learn from, NAME or NAME@VERSION
    #[arg(value_name = "IN")]
    input: DatasetRef,
    #[command(flatten)]
    preparation: PreparationArgs,
    /// For whatever is random
    #[arg(long, env = "SHARDMILL_TRAIN_SEED", value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    #[command(flatten)]
    dry_run: DryRunArg,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UnlabelledArg {
    /// Fail, and say how many there are
    Refuse,
    /// Leave them out, and count them
    Skip,
}

/// What is learnt, where there is something to learn from.
#[derive(Clone, Debug, Args)]
pub struct LabelArgs {
    /// The model to write a new version of [with --update: that model]
    #[arg(long, env = "SHARDMILL_TRAIN_MODEL", value_name = "NAME", value_parser = model_name, required_unless_present = "update")]
    model: Option<ModelName>,
    /// The column to learn [with --update: the one the model learnt]
    #[arg(long, env = "SHARDMILL_TRAIN_LABEL", value_name = "COLUMN", required_unless_present = "update")]
    label: Option<String>,
    /// What rows without a label get
    #[arg(long, env = "SHARDMILL_TRAIN_UNLABELLED", alias = "unlabeled", value_enum, default_value = "refuse")]
    unlabelled: UnlabelledArg,
    /// A numeric column that says how much each row counts
    #[arg(long, env = "SHARDMILL_TRAIN_WEIGHT_COLUMN", value_name = "COLUMN")]
    weight_column: Option<String>,
    /// Continue from this version on the new rows of IN alone
    #[arg(long, env = "SHARDMILL_TRAIN_UPDATE", value_name = "MODEL@VERSION")]
    update: Option<ModelRef>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SolverArg {
    /// Newton while Hessians are small, else L-BFGS, or OWL-QN with an L1 penalty
    Auto,
    /// Newton steps; with an L1 penalty by coordinate descent
    Newton,
    /// L-BFGS: gradients only
    Lbfgs,
    /// OWL-QN: L-BFGS for an L1 penalty
    Owlqn,
    /// linfa-logistic on one worker
    Linfa,
}

#[derive(Clone, Debug, Args)]
pub struct LogisticArgs {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    label: LabelArgs,
    #[command(flatten)]
    penalty: PenaltyArgs,
    /// How much the data count against the penalty, as scikit-learn's C [default: 1]
    #[arg(long, env = "SHARDMILL_TRAIN_C", value_name = "C", value_parser = data_weight, allow_hyphen_values = true)]
    c: Option<f64>,
    /// `balanced`, none, or weights by class: '{"yes": 3, "no": 1}' or yes=3,no=1 [default: none; with --update: the model's]
    #[arg(long, env = "SHARDMILL_TRAIN_CLASS_WEIGHT", value_name = "WEIGHTS", value_parser = class_weight)]
    class_weight: Option<ClassWeight>,
    /// Learn an intercept [default: true]
    #[arg(long, env = "SHARDMILL_TRAIN_FIT_INTERCEPT", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    fit_intercept: Option<bool>,
    /// Penalise the intercept as the coefficients are, as liblinear does
    #[arg(long, env = "SHARDMILL_TRAIN_PENALISE_INTERCEPT", alias = "penalize-intercept", value_parser = FalseyValueParser::new())]
    penalise_intercept: bool,
    /// How the optimum is found
    #[arg(long, env = "SHARDMILL_TRAIN_SOLVER", value_enum, default_value = "auto")]
    solver: SolverArg,
    /// Stop when no component of the mean objective's gradient is larger, features scaled to unit variance
    #[arg(long, env = "SHARDMILL_TRAIN_TOL", value_name = "TOL", default_value_t = 1e-8, value_parser = above_zero, allow_hyphen_values = true)]
    tol: f64,
    /// Stop after so many rounds at the latest
    #[arg(long, env = "SHARDMILL_TRAIN_MAX_ITER", value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    max_iter: u32,
    /// Start from the parameters of this version
    #[arg(long, env = "SHARDMILL_TRAIN_WARM_START", value_name = "MODEL@VERSION", conflicts_with = "update")]
    warm_start: Option<ModelRef>,
}

#[derive(Clone, Debug, Args)]
pub struct LinearArgs {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    label: LabelArgs,
    #[command(flatten)]
    penalty: PenaltyArgs,
    /// The weight of the penalty, as scikit-learn's alpha [default: 1]
    #[arg(long, env = "SHARDMILL_TRAIN_ALPHA", value_name = "ALPHA", value_parser = not_negative, allow_hyphen_values = true)]
    alpha: Option<f64>,
    /// Learn an intercept [default: true]
    #[arg(long, env = "SHARDMILL_TRAIN_FIT_INTERCEPT", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    fit_intercept: Option<bool>,
    /// Stop when no component of the mean objective's gradient is larger, features and label scaled to unit variance
    #[arg(long, env = "SHARDMILL_TRAIN_TOL", value_name = "TOL", default_value_t = 1e-8, value_parser = above_zero, allow_hyphen_values = true)]
    tol: f64,
    /// Stop after so many rounds at the latest
    #[arg(long, env = "SHARDMILL_TRAIN_MAX_ITER", value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    max_iter: u32,
}

#[derive(Clone, Debug, Args)]
pub struct NaiveBayesArgs {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    label: LabelArgs,
    /// The share of the largest variance that is added to every variance [default: 1e-9]
    #[arg(long, env = "SHARDMILL_TRAIN_VAR_SMOOTHING", value_name = "SHARE", value_parser = not_negative, allow_hyphen_values = true)]
    var_smoothing: Option<f64>,
    /// Probabilities of the classes before any row is seen, as yes=0.5,no=0.5 [default: as frequent as in the data]
    #[arg(long, env = "SHARDMILL_TRAIN_PRIORS", value_name = "PRIORS", value_parser = priors)]
    priors: Option<BTreeMap<String, f64>>,
}

#[derive(Clone, Debug, Args)]
pub struct KMeansArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// The model to write a new version of
    #[arg(long, env = "SHARDMILL_TRAIN_MODEL", value_name = "NAME", value_parser = model_name)]
    model: ModelName,
    /// How many clusters
    #[arg(long, env = "SHARDMILL_TRAIN_CLUSTERS", short = 'k', value_name = "K", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    clusters: u32,
    /// Stop when the centres moved less, as a share of the mean variance
    #[arg(long, env = "SHARDMILL_TRAIN_TOL", value_name = "TOL", default_value_t = 1e-4, value_parser = not_negative, allow_hyphen_values = true)]
    tol: f64,
    /// Stop after so many rounds at the latest
    #[arg(long, env = "SHARDMILL_TRAIN_MAX_ITER", value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    max_iter: u32,
    /// Rounds of k-means|| that choose the first centres
    #[arg(long, env = "SHARDMILL_TRAIN_SEEDING_ROUNDS", value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50), allow_negative_numbers = true)]
    seeding_rounds: u32,
}

impl LabelArgs {
    /// A training of a label. An update goes on with what its version was trained with, so that none of `settled` may be given.
    fn wanted(
        self,
        common: CommonArgs,
        settled: impl IntoIterator<Item = (&'static str, bool)>,
        algorithm: impl FnOnce() -> Result<Algorithm, CliError>,
    ) -> Result<Wanted, CliError> {
        if self.update.is_some() {
            let mut all = settled.into_iter().chain(common.preparation.given());
            if let Some((option, _)) = all.find(|(_, given)| *given) {
                return Err(CliError::usage(format!(
                    "{option} goes with the version that is updated and cannot be changed: leave it out"
                )));
            }
        }
        let unlabelled = match self.unlabelled {
            UnlabelledArg::Refuse => Unlabelled::Refuse,
            UnlabelledArg::Skip => Unlabelled::Skip,
        };
        Ok(Wanted {
            input: common.input,
            model: self.model,
            label: self.label,
            weight_column: self.weight_column,
            preparation: common.preparation.preparation(unlabelled)?,
            algorithm: algorithm()?,
            class_weight: None,
            seed: common.seed,
            warm_start: None,
            update: self.update,
            dry_run: common.dry_run,
        })
    }
}

impl LogisticArgs {
    pub fn wanted(self) -> Result<Wanted, CliError> {
        let own = [
            ("--c", self.c.is_some()),
            ("--fit-intercept", self.fit_intercept.is_some()),
            ("--penalise-intercept", self.penalise_intercept),
        ];
        let algorithm = || {
            Ok(Algorithm::Logistic(LogisticOptions {
                penalty: self.penalty.logistic(self.c)?,
                c: self.c.unwrap_or(1.0),
                class_weight: self.class_weight.clone().unwrap_or_default(),
                fit_intercept: self.fit_intercept.unwrap_or(true),
                penalise_intercept: self.penalise_intercept,
                solver: match self.solver {
                    SolverArg::Auto => Solver::Auto,
                    SolverArg::Newton => Solver::Newton,
                    SolverArg::Lbfgs => Solver::Lbfgs,
                    SolverArg::Owlqn => Solver::Owlqn,
                    SolverArg::Linfa => Solver::Linfa,
                },
                tol: self.tol,
                max_iter: self.max_iter,
            }))
        };
        let wanted = self.label.wanted(self.common, self.penalty.given().into_iter().chain(own), algorithm)?;
        Ok(Wanted { class_weight: self.class_weight, warm_start: self.warm_start, ..wanted })
    }
}

impl LinearArgs {
    pub fn wanted(self) -> Result<Wanted, CliError> {
        let own = [("--alpha", self.alpha.is_some()), ("--fit-intercept", self.fit_intercept.is_some())];
        let algorithm = || {
            Ok(Algorithm::Linear(LinearOptions {
                penalty: self.penalty.linear(self.alpha)?,
                alpha: self.alpha.unwrap_or(1.0),
                fit_intercept: self.fit_intercept.unwrap_or(true),
                tol: self.tol,
                max_iter: self.max_iter,
            }))
        };
        self.label.wanted(self.common, self.penalty.given().into_iter().chain(own), algorithm)
    }
}

impl NaiveBayesArgs {
    pub fn wanted(self) -> Result<Wanted, CliError> {
        let own = [("--var-smoothing", self.var_smoothing.is_some()), ("--priors", self.priors.is_some())];
        let var_smoothing = self.var_smoothing.unwrap_or(1e-9);
        let algorithm = || Ok(Algorithm::NaiveBayes(NaiveBayesOptions { var_smoothing, priors: self.priors }));
        self.label.wanted(self.common, own, algorithm)
    }
}

impl KMeansArgs {
    pub fn wanted(self) -> Result<Wanted, CliError> {
        Ok(Wanted {
            input: self.common.input,
            model: Some(self.model),
            label: None,
            weight_column: None,
            preparation: self.common.preparation.preparation(Unlabelled::default())?,
            algorithm: Algorithm::KMeans(KMeansOptions {
                clusters: self.clusters,
                max_iter: self.max_iter,
                tol: self.tol,
                seeding_rounds: self.seeding_rounds,
            }),
            class_weight: None,
            seed: self.common.seed,
            warm_start: None,
            update: None,
            dry_run: self.common.dry_run,
        })
    }
}
