//! `model list|show|compare|alias|rollback|import|export|rm`: the registry of models.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::json;
use shardmill_client::Client;
use shardmill_common::model::{ModelName, ModelRef, ModelSummary, Which, alias as check_alias};
use shardmill_common::units::show_count;
use shardmill_flows::text::to_the_second;

use super::common::model_name;
use super::{model_compare, model_export, model_import, model_show, model_text};
use crate::cli::Context;
use crate::error::CliError;
use crate::session;
use crate::table::Table;

#[derive(Clone, Debug, Subcommand)]
pub enum ModelCommand {
    /// List every version of every model, or of one
    List {
        /// A model's name
        #[arg(value_parser = model_name)]
        name: Option<ModelName>,
    },
    /// Show a version: how it was trained, what it learnt, how well it did
    Show(model_show::ShowArgs),
    /// Show versions side by side: data, options, metrics, coefficients
    Compare(model_compare::CompareArgs),
    /// List a model's aliases, point them at versions, or take them away
    Alias(AliasArgs),
    /// Point an alias at the version it pointed at before
    Rollback {
        #[arg(value_parser = model_name)]
        model: ModelName,
        #[arg(default_value = "champion", value_parser = check_alias)]
        alias: String,
    },
    /// Make an ONNX file of scikit-learn or XGBoost a model version that predicts like any other
    Import(model_import::ImportArgs),
    /// Write a version to a file for other programs: ONNX, PMML, PFA, MLflow or JSON
    Export(model_export::ExportArgs),
    /// Remove a version, or with a bare name the model; records stay
    Rm {
        /// NAME, NAME@VERSION or NAME@ALIAS
        model: ModelRef,
    },
}

#[derive(Clone, Debug, Args)]
pub struct AliasArgs {
    #[arg(value_parser = model_name)]
    model: ModelName,
    /// What points where, such as champion=3
    #[arg(value_name = "ALIAS=VERSION", value_parser = assignment)]
    set: Vec<(String, u32)>,
    /// Take this alias away
    #[arg(long, env = "SHARDMILL_MODEL_ALIAS_REMOVE", value_name = "ALIAS", value_parser = check_alias)]
    remove: Vec<String>,
}

/// `champion=3`.
fn assignment(text: &str) -> Result<(String, u32), String> {
    let wrong = || format!("`{}` is not ALIAS=VERSION, such as champion=3", text.escape_debug());
    let (alias, version) = text.split_once('=').ok_or_else(wrong)?;
    match version.parse::<u32>() {
        Ok(version) if version > 0 => Ok((check_alias(alias).map_err(|e| e.to_string())?, version)),
        _ => Err(wrong()),
    }
}

impl ModelCommand {
    pub async fn run(self, context: &Context) -> Result<(), CliError> {
        if let ModelCommand::Export(args) = self {
            return model_export::run(context, args).await;
        }
        if let ModelCommand::Import(args) = self {
            return model_import::run(context, args).await;
        }
        session::with(context, async |s| match self {
            ModelCommand::List { name } => list(context, &s.client, name.as_ref()).await,
            ModelCommand::Show(args) => model_show::run(context, &s.client, args).await,
            ModelCommand::Compare(args) => model_compare::run(context, &s.client, args).await,
            ModelCommand::Alias(args) => alias(context, &s.client, args).await,
            ModelCommand::Rollback { model, alias } => rollback(context, &s.client, &model, &alias).await,
            ModelCommand::Export(_) | ModelCommand::Import(_) => Ok(()),
            ModelCommand::Rm { model } => remove(context, &s.client, &model).await,
        })
        .await
    }
}

async fn list(context: &Context, client: &Client, name: Option<&ModelName>) -> Result<(), CliError> {
    let all = client.models(name).await?;
    context.out.result(json!({"models": all}), || {
        let mut table = Table::new(&[
            "model",
            "algorithm",
            "aliases",
            "data",
            ">rows",
            ">features",
            "latest evaluation",
            "created",
        ]);
        for m in &all {
            table.row([
                m.model.to_string(),
                m.algorithm.clone(),
                m.aliases.join(", "),
                m.data.as_ref().map(ToString::to_string).or_else(|| m.file.clone()).unwrap_or_default(),
                m.rows.map(show_count).unwrap_or_default(),
                show_count(m.features),
                m.evaluation.as_ref().map(model_text::main_metrics).unwrap_or_default(),
                to_the_second(m.created),
            ]);
        }
        table
    })
}

async fn alias(context: &Context, client: &Client, args: AliasArgs) -> Result<(), CliError> {
    if let Some(both) = args.remove.iter().find(|alias| args.set.iter().any(|(set, _)| set == *alias)) {
        return Err(CliError::usage(format!("alias `{both}` cannot be set and removed at once")));
    }
    for (alias, version) in &args.set {
        client.set_alias(&args.model, alias, Some(*version)).await?;
    }
    for alias in &args.remove {
        client.set_alias(&args.model, alias, None).await?;
    }
    let aliases = aliases(&client.models(Some(&args.model)).await?);
    context.out.result(json!({"model": args.model, "aliases": aliases}), || {
        let mut table = Table::new(&["alias", "model"]);
        for (alias, version) in &aliases {
            table.row([alias.clone(), format!("{}@{version}", args.model)]);
        }
        table
    })
}

/// Alias to version.
fn aliases(versions: &[ModelSummary]) -> BTreeMap<String, u32> {
    let of = |m: &ModelSummary| match m.model.which {
        Which::Version(version) => m.aliases.iter().map(|a| (a.clone(), version)).collect::<Vec<_>>(),
        Which::Latest | Which::Alias(_) => Vec::new(),
    };
    versions.iter().flat_map(of).collect()
}

async fn rollback(context: &Context, client: &Client, model: &ModelName, alias: &str) -> Result<(), CliError> {
    let version = client.rollback(model, alias).await?;
    context.out.result(json!({"model": model, "alias": alias, "version": version}), || {
        let mut table = Table::pairs();
        table.pair(&format!("{model}@{alias}"), format!("{model}@{version}"));
        table
    })
}

async fn remove(context: &Context, client: &Client, model: &ModelRef) -> Result<(), CliError> {
    let removed = client.remove_model(model).await?;
    context.out.result(json!({"removed": removed}), || {
        let mut table = Table::new(&["removed"]);
        for version in &removed {
            table.row([version.to_string()]);
        }
        table
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_point_at_versions() {
        assert_eq!(assignment("champion=3"), Ok(("champion".to_owned(), 3)));
        for bad in ["champion", "champion=", "champion=0", "champion=x", "=3", "3=4"] {
            assert!(assignment(bad).is_err(), "{bad} was accepted");
        }
    }
}
