//! The arguments that all training verbs share.

use clap::{Args, ValueEnum};
use shardmill_common::model::{Algorithm, ModelName, ModelRef, Unlabelled};

use super::Wanted;
use super::options::PreparationArgs;
use crate::commands::common::{DryRunArg, model_name};
use crate::commands::tables::Input;
use crate::error::CliError;

/// What every training needs.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs {
    /// The dataset to learn from, NAME or NAME@VERSION
    #[arg(value_name = "IN")]
    pub input: Input,
    #[command(flatten)]
    pub preparation: PreparationArgs,
    /// For whatever is random
    #[arg(long, env = "SHARDMILL_TRAIN_SEED", value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
    #[command(flatten)]
    pub dry_run: DryRunArg,
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

impl LabelArgs {
    /// A training of a label. An update goes on with what its version was trained with, so that none of `settled` may be given.
    pub fn wanted(
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
