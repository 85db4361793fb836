//! `evaluate MODEL IN`: how well a model does on a dataset whose labels are known; `evaluate --captured ENDPOINT`: how well
//! what an endpoint answered was. The answer is kept with the model.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::evaluate::EvaluateSpec;
use shardmill_common::model::{Evaluation, ModelRef};
use shardmill_common::status::JobStatus;

use super::common::DryRunArg;
use super::evaluate_captured::{self, CapturedArgs};
use super::evaluate_text as text;
use super::tables::{Input, Tables};
use crate::cli::Context;
use crate::error::CliError;
use crate::jobs;
use shardmill_flows::evaluate::{PlotTo, can_be_drawn, evaluation_of};
use shardmill_flows::host::or_stopped;

#[derive(Clone, Debug, Args)]
pub struct EvaluateArgs {
    /// The model: NAME (its latest version), NAME@VERSION or NAME@ALIAS
    #[arg(value_name = "MODEL", required_unless_present = "captured", conflicts_with = "captured")]
    model: Option<ModelRef>,
    /// The dataset to evaluate it on, NAME or NAME@VERSION, or a file
    #[arg(value_name = "IN", required_unless_present = "captured", conflicts_with = "captured")]
    input: Option<Input>,
    #[command(flatten)]
    captured: CapturedArgs,
    /// The column of labels [default: the name of the column the model learnt]
    #[arg(long, env = "SHARDMILL_EVALUATE_LABEL", value_name = "COLUMN")]
    label: Option<String>,
    /// Draw ROC curve, confusion matrix and calibration: one picture FILE.svg, or one each into a folder
    #[arg(long, env = "SHARDMILL_EVALUATE_PLOT", value_name = "FILE.svg|DIR")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    pub(super) dry_run: DryRunArg,
}

pub async fn run(context: &Context, args: EvaluateArgs) -> Result<(), CliError> {
    let plot = args.plot.as_deref().map(PlotTo::of).transpose()?;
    let (model, input) = match (args.model, args.input) {
        (Some(model), Some(input)) => (model, input),
        _ => {
            if args.dry_run.is_on() {
                return Err(CliError::usage("--captured takes several jobs, one after another: leave --dry-run out"));
            }
            return evaluate_captured::run(context, args.captured, args.label, plot).await;
        }
    };
    let (status, evaluation) = Tables::with(context, "evaluate", async |s, tables| {
        let input = tables.resolve(context, s, &input).await?;
        let spec = EvaluateSpec { model, input, label: args.label, served: None, resolved: None };
        if plot.is_some() {
            or_stopped(context, can_be_drawn(&s.client, &spec.model)).await?;
        }
        let status = jobs::run(context, &s.client, args.dry_run.of(JobSpec::Evaluate(spec))).await?;
        let evaluation = evaluation_of(&s.client, &status).await?;
        Ok((status, evaluation))
    })
    .await?;
    let plots = match &plot {
        Some(to) => to.write(&evaluation)?,
        None => Vec::new(),
    };
    report(context, &status, &evaluation, &plots)
}

fn report(context: &Context, status: &JobStatus, evaluation: &Evaluation, plots: &[PathBuf]) -> Result<(), CliError> {
    let seconds = context.out.elapsed();
    let object = to_json(status, evaluation, plots, seconds);
    context.out.result(object, || text::summary(status, evaluation, plots, seconds))?;
    tables(context, evaluation)?;
    context.out.hint(&format!("every evaluation of the model: shardmill model show {}", evaluation.model));
    Ok(())
}

/// All that people read of an evaluation.
pub(super) fn tables(context: &Context, evaluation: &Evaluation) -> Result<(), CliError> {
    context.out.line(&text::metrics(evaluation).to_string())?;
    for table in [text::classes(evaluation), text::confusion(evaluation)].into_iter().flatten() {
        context.out.line(&table.to_string())?;
    }
    for notice in text::undefined(evaluation) {
        context.out.notice(&notice);
    }
    Ok(())
}

/// The object of the job with what was found out.
pub(super) fn to_json(status: &JobStatus, evaluation: &Evaluation, plots: &[PathBuf], seconds: f64) -> Value {
    let mut object = jobs::to_json(status, seconds);
    let found = json!({
        "model": evaluation.model,
        "dataset": evaluation.data,
        "served": evaluation.served,
        "label": evaluation.label,
        "rows": evaluation.rows,
        "rows_skipped": evaluation.rows_skipped,
        "metrics": evaluation.metrics,
        "classes": evaluation.classes,
        "confusion_matrix": evaluation.confusion_matrix,
        "calibration": evaluation.calibration,
        "roc": evaluation.roc,
        "notices": status.notices.iter().cloned().chain(text::undefined(evaluation)).collect::<Vec<_>>(),
        "plots": plots.iter().map(|p| p.display().to_string()).collect::<Vec<_>>(),
    });
    if let (Value::Object(all), Value::Object(found)) = (&mut object, found) {
        all.extend(found);
    }
    object
}
