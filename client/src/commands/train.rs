//! `train logistic|linear|naive-bayes|kmeans IN --model NAME`: a new version of a model, learnt by map/reduce rounds.

use clap::{Args, Subcommand, ValueEnum};
use shardmill_common::model::{
    Algorithm, ClassWeight, KMeansOptions, LinearOptions, LogisticOptions, ModelName, ModelRef, NaiveBayesOptions,
    Penalty, Solver, TrainSpec,
};
use shardmill_common::name::DatasetRef;
use shardmill_common::spec::JobSpec;

use super::train_options::{PreparationArgs, class_weight, priors};
use crate::cli::Context;
use crate::error::CliError;
use crate::session::Session;
use crate::{jobs, session};

#[derive(Clone, Debug, Subcommand)]
pub enum TrainCommand {
    /// Classes, by logistic regression
    Logistic(LogisticArgs),
    /// Numbers, by least squares, ridge, lasso or elastic net
    Linear(LinearArgs),
    /// Classes, by Gaussian naive Bayes
    NaiveBayes(NaiveBayesArgs),
    /// Clusters, by k-means
    Kmeans(KMeansArgs),
}

/// What every training needs.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs {
    /// The dataset to learn from, NAME or NAME@VERSION
    #[arg(value_name = "IN")]
    input: DatasetRef,
    #[command(flatten)]
    preparation: PreparationArgs,
    /// For whatever is random
    #[arg(long, env = "SHARDMILL_TRAIN_SEED", value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// What is learnt, where there is something to learn from.
#[derive(Clone, Debug, Args)]
pub struct LabelArgs {
    /// The model to write a new version of [with --update: that model]
    #[arg(long, env = "SHARDMILL_TRAIN_MODEL", value_name = "NAME", required_unless_present = "update")]
    model: Option<ModelName>,
    /// The column to learn [with --update: the one the model learnt]
    #[arg(long, env = "SHARDMILL_TRAIN_LABEL", value_name = "COLUMN", required_unless_present = "update")]
    label: Option<String>,
    /// A numeric column that says how much each row counts
    #[arg(long, env = "SHARDMILL_TRAIN_WEIGHT_COLUMN", value_name = "COLUMN")]
    weight_column: Option<String>,
    /// Continue from this version on the new rows of IN alone
    #[arg(long, env = "SHARDMILL_TRAIN_UPDATE", value_name = "MODEL@VERSION")]
    update: Option<ModelRef>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PenaltyArg {
    L2,
    L1,
    Elasticnet,
    None,
}

fn penalty(arg: PenaltyArg, l1_ratio: Option<f64>) -> Result<Penalty, CliError> {
    match (arg, l1_ratio) {
        (PenaltyArg::Elasticnet, Some(l1_ratio)) => Ok(Penalty::ElasticNet { l1_ratio }),
        (PenaltyArg::Elasticnet, None) => {
            Err(CliError::usage("--penalty elasticnet needs --l1-ratio, the share of l1 from 0 to 1"))
        }
        (_, Some(_)) => Err(CliError::usage("--l1-ratio goes with --penalty elasticnet")),
        (PenaltyArg::L2, None) => Ok(Penalty::L2),
        (PenaltyArg::L1, None) => Ok(Penalty::L1),
        (PenaltyArg::None, None) => Ok(Penalty::None),
    }
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
    /// The penalty on coefficients
    #[arg(long, env = "SHARDMILL_TRAIN_PENALTY", value_enum, default_value = "l2")]
    penalty: PenaltyArg,
    /// The share of l1 in an elastic net
    #[arg(long, env = "SHARDMILL_TRAIN_L1_RATIO", value_name = "0..1")]
    l1_ratio: Option<f64>,
    /// How much the data count against the penalty, as scikit-learn's C
    #[arg(long, env = "SHARDMILL_TRAIN_C", value_name = "C", default_value_t = 1.0)]
    c: f64,
    /// `balanced`, or weights by class: '{"yes": 3, "no": 1}' or yes=3,no=1
    #[arg(long, env = "SHARDMILL_TRAIN_CLASS_WEIGHT", value_name = "WEIGHTS", value_parser = class_weight, default_value = "none")]
    class_weight: ClassWeight,
    /// Learn an intercept
    #[arg(long, env = "SHARDMILL_TRAIN_FIT_INTERCEPT", value_name = "BOOL", num_args = 0..=1, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    fit_intercept: bool,
    /// Penalise the intercept as the coefficients are, as liblinear does
    #[arg(long, env = "SHARDMILL_TRAIN_PENALISE_INTERCEPT", alias = "penalize-intercept")]
    penalise_intercept: bool,
    /// How the optimum is found
    #[arg(long, env = "SHARDMILL_TRAIN_SOLVER", value_enum, default_value = "auto")]
    solver: SolverArg,
    /// Stop when no component of the mean objective's gradient is larger, features scaled to unit variance
    #[arg(long, env = "SHARDMILL_TRAIN_TOL", value_name = "TOL", default_value_t = 1e-8)]
    tol: f64,
    /// Stop after so many rounds at the latest
    #[arg(long, env = "SHARDMILL_TRAIN_MAX_ITER", value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
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
    /// The penalty on coefficients: l2 is ridge, l1 is lasso
    #[arg(long, env = "SHARDMILL_TRAIN_PENALTY", value_enum, default_value = "none")]
    penalty: PenaltyArg,
    /// The share of l1 in an elastic net
    #[arg(long, env = "SHARDMILL_TRAIN_L1_RATIO", value_name = "0..1")]
    l1_ratio: Option<f64>,
    /// The weight of the penalty, as scikit-learn's alpha
    #[arg(long, env = "SHARDMILL_TRAIN_ALPHA", value_name = "ALPHA", default_value_t = 1.0)]
    alpha: f64,
    /// Learn an intercept
    #[arg(long, env = "SHARDMILL_TRAIN_FIT_INTERCEPT", value_name = "BOOL", num_args = 0..=1, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    fit_intercept: bool,
    /// Stop when no component of the mean objective's gradient is larger, features and label scaled to unit variance
    #[arg(long, env = "SHARDMILL_TRAIN_TOL", value_name = "TOL", default_value_t = 1e-8)]
    tol: f64,
    /// Stop after so many rounds at the latest
    #[arg(long, env = "SHARDMILL_TRAIN_MAX_ITER", value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    max_iter: u32,
}

#[derive(Clone, Debug, Args)]
pub struct NaiveBayesArgs {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    label: LabelArgs,
    /// The share of the largest variance that is added to every variance
    #[arg(long, env = "SHARDMILL_TRAIN_VAR_SMOOTHING", value_name = "SHARE", default_value_t = 1e-9)]
    var_smoothing: f64,
    /// Probabilities of the classes before any row is seen, as yes=0.5,no=0.5 [default: as frequent as in the data]
    #[arg(long, env = "SHARDMILL_TRAIN_PRIORS", value_name = "PRIORS", value_parser = priors)]
    priors: Option<std::collections::BTreeMap<String, f64>>,
}

#[derive(Clone, Debug, Args)]
pub struct KMeansArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// The model to write a new version of
    #[arg(long, env = "SHARDMILL_TRAIN_MODEL", value_name = "NAME")]
    model: ModelName,
    /// How many clusters
    #[arg(long, env = "SHARDMILL_TRAIN_CLUSTERS", short = 'k', value_name = "K", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    clusters: u32,
    /// Stop when the centres moved less, as a share of the mean variance
    #[arg(long, env = "SHARDMILL_TRAIN_TOL", value_name = "TOL", default_value_t = 1e-4)]
    tol: f64,
    /// Stop after so many rounds at the latest
    #[arg(long, env = "SHARDMILL_TRAIN_MAX_ITER", value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    max_iter: u32,
    /// Rounds of k-means|| that choose the first centres
    #[arg(long, env = "SHARDMILL_TRAIN_SEEDING_ROUNDS", value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    seeding_rounds: u32,
}

/// What a verb's arguments come to.
struct Wanted {
    common: CommonArgs,
    model: Option<ModelName>,
    label: Option<String>,
    weight_column: Option<String>,
    algorithm: Algorithm,
    warm_start: Option<ModelRef>,
    update: Option<ModelRef>,
}

impl TrainCommand {
    pub async fn run(self, context: &Context) -> Result<(), CliError> {
        let wanted = self.wanted()?;
        let status = session::with_own_interrupt(context, async |s| {
            let spec = wanted.spec(s).await?;
            jobs::run(context, &s.client, JobSpec::Train(Box::new(spec))).await
        })
        .await?;
        jobs::report(context, &status)
    }

    fn wanted(self) -> Result<Wanted, CliError> {
        let labelled = |common: CommonArgs, label: LabelArgs, algorithm: Algorithm| Wanted {
            common,
            model: label.model,
            label: label.label,
            weight_column: label.weight_column,
            algorithm,
            warm_start: None,
            update: label.update,
        };
        Ok(match self {
            TrainCommand::Logistic(a) => {
                let options = LogisticOptions {
                    penalty: penalty(a.penalty, a.l1_ratio)?,
                    c: a.c,
                    class_weight: a.class_weight,
                    fit_intercept: a.fit_intercept,
                    penalise_intercept: a.penalise_intercept,
                    solver: match a.solver {
                        SolverArg::Auto => Solver::Auto,
                        SolverArg::Newton => Solver::Newton,
                        SolverArg::Lbfgs => Solver::Lbfgs,
                        SolverArg::Owlqn => Solver::Owlqn,
                        SolverArg::Linfa => Solver::Linfa,
                    },
                    tol: a.tol,
                    max_iter: a.max_iter,
                };
                Wanted { warm_start: a.warm_start, ..labelled(a.common, a.label, Algorithm::Logistic(options)) }
            }
            TrainCommand::Linear(a) => {
                let options = LinearOptions {
                    penalty: penalty(a.penalty, a.l1_ratio)?,
                    alpha: a.alpha,
                    fit_intercept: a.fit_intercept,
                    tol: a.tol,
                    max_iter: a.max_iter,
                };
                labelled(a.common, a.label, Algorithm::Linear(options))
            }
            TrainCommand::NaiveBayes(a) => {
                let options = NaiveBayesOptions { var_smoothing: a.var_smoothing, priors: a.priors };
                labelled(a.common, a.label, Algorithm::NaiveBayes(options))
            }
            TrainCommand::Kmeans(a) => {
                let options = KMeansOptions {
                    clusters: a.clusters,
                    max_iter: a.max_iter,
                    tol: a.tol,
                    seeding_rounds: a.seeding_rounds,
                };
                Wanted {
                    common: a.common,
                    model: Some(a.model),
                    label: None,
                    weight_column: None,
                    algorithm: Algorithm::KMeans(options),
                    warm_start: None,
                    update: None,
                }
            }
        })
    }
}

impl Wanted {
    /// The spec; what an update leaves unsaid is as in the version it continues.
    async fn spec(self, session: &Session) -> Result<TrainSpec, CliError> {
        let Wanted { common, mut model, mut label, mut weight_column, algorithm, warm_start, update } = self;
        if let Some(update) = &update {
            let base = session.client.model(update).await?;
            model.get_or_insert(base.name);
            label = label.or(base.spec.label);
            weight_column = weight_column.or(base.spec.weight_column);
        }
        let model = model.ok_or_else(|| CliError::usage("--model NAME says what the model is called"))?;
        Ok(TrainSpec {
            input: common.input,
            model,
            label,
            weight_column,
            preparation: common.preparation.preparation()?,
            algorithm,
            seed: common.seed,
            warm_start,
            update,
            base: None,
        })
    }
}
