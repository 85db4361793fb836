//! `train logistic|linear|naive-bayes|kmeans IN --model NAME`: a new version of a model, learnt by map/reduce rounds.

mod args;
pub mod family;
mod kmeans;
mod linear;
mod logistic;
mod naive_bayes;
pub mod options;
mod penalty;

use clap::Subcommand;
use shardmill_common::kinds::JobSpec;
use shardmill_common::model::{Algorithm, ClassWeight, ModelName, ModelRef, Preparation, TrainSpec};
use shardmill_common::name::DatasetRef;

use self::family::shown_mut;
use self::kmeans::KMeansArgs;
use self::linear::LinearArgs;
use self::logistic::LogisticArgs;
use self::naive_bayes::NaiveBayesArgs;
use super::common::DryRunArg;
use super::tables::{Input, Tables};
use crate::cli::Context;
use crate::error::CliError;
use crate::jobs;
use shardmill_flows::Session;

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

/// What a verb's arguments come to.
#[derive(Debug)]
pub struct Wanted {
    pub input: Input,
    pub model: Option<ModelName>,
    pub label: Option<String>,
    pub weight_column: Option<String>,
    pub preparation: Preparation,
    pub algorithm: Algorithm,
    /// If it was given: an update may change it.
    pub class_weight: Option<ClassWeight>,
    pub seed: u64,
    pub warm_start: Option<ModelRef>,
    pub update: Option<ModelRef>,
    pub dry_run: DryRunArg,
}

impl TrainCommand {
    pub async fn run(self, context: &Context) -> Result<(), CliError> {
        run(self.wanted()?, context).await
    }

    /// The same command, as a dry run.
    pub async fn explain(self, context: &Context) -> Result<(), CliError> {
        run(Wanted { dry_run: DryRunArg::ON, ..self.wanted()? }, context).await
    }

    fn wanted(self) -> Result<Wanted, CliError> {
        match self {
            TrainCommand::Logistic(args) => args.wanted(),
            TrainCommand::Linear(args) => args.wanted(),
            TrainCommand::NaiveBayes(args) => args.wanted(),
            TrainCommand::Kmeans(args) => args.wanted(),
        }
    }
}

async fn run(wanted: Wanted, context: &Context) -> Result<(), CliError> {
    let status = Tables::with(context, "train", async |s, tables| {
        let dry_run = wanted.dry_run;
        let input = tables.resolve(context, s, &wanted.input).await?;
        if let Input::File(path) = &wanted.input {
            let kept = "to keep what the model learnt from, ingest it first and train on the dataset";
            context.out.notice(&format!("the rows of {path} are read for this training alone; {kept}"));
        }
        let spec = wanted.spec(s, input).await?;
        jobs::run(context, &s.client, dry_run.of(JobSpec::Train(spec))).await
    })
    .await?;
    jobs::report(context, &status)
}

impl Wanted {
    async fn spec(mut self, session: &Session, input: DatasetRef) -> Result<TrainSpec, CliError> {
        if let Some(update) = &self.update {
            let base = session.client.model(update).await?;
            let reference = base.reference();
            let spec = base.spec.ok_or_else(|| {
                CliError::failed(format!(
                    "{reference} was imported from an ONNX file, and nothing is known of how it was trained: it cannot be updated"
                ))
            })?;
            self.go_on(base.name, spec);
        }
        let model = self.model.ok_or_else(|| CliError::usage("--model NAME says what the model is called"))?;
        Ok(TrainSpec {
            input,
            model,
            label: self.label,
            weight_column: self.weight_column,
            preparation: self.preparation,
            algorithm: self.algorithm,
            seed: self.seed,
            warm_start: self.warm_start,
            update: self.update,
            base: None,
        })
    }

    /// What an update leaves unsaid is as in the version it continues. How the optimum is found, and what rows without a label
    /// get, are its own.
    fn go_on(&mut self, name: ModelName, base: TrainSpec) {
        self.model.get_or_insert(name);
        self.label = self.label.take().or(base.label);
        self.weight_column = self.weight_column.take().or(base.weight_column);
        self.preparation = Preparation { unlabelled: self.preparation.unlabelled, ..base.preparation };
        shown_mut(&mut self.algorithm).go_on(base.algorithm, self.class_weight.take());
    }
}

#[cfg(test)]
mod tests;
