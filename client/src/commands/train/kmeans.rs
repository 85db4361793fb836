//! `train kmeans`, and what is shown of k-means.

use clap::Args;
use shardmill_common::model::{Algorithm, ClassValue, KMeansOptions, KMeansParameters, ModelName, Unlabelled};

use super::Wanted;
use super::args::CommonArgs;
use super::family::per_class;
use super::family::{Columns, Learnt, Rows, Shown, ends};
use crate::commands::common::model_name;
use crate::commands::numbers::not_negative;
use crate::error::CliError;

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

impl Shown for KMeansOptions {
    fn rows(&self) -> Rows {
        let mut rows =
            vec![("clusters", self.clusters.to_string()), ("seeding-rounds", self.seeding_rounds.to_string())];
        rows.extend(ends(self.tol, self.max_iter));
        rows
    }
}

impl Learnt for KMeansParameters {
    fn columns(&self, classes: &[ClassValue]) -> Columns {
        per_class("centre", &self.centers, classes)
    }
}
