//! `evaluate MODEL IN`: how well a model does on a dataset whose labels are known; `evaluate --captured ENDPOINT`: how well
//! what an endpoint answered was. The answer is kept with the model.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::evaluate::EvaluateSpec;
use shardmill_common::model::{Evaluation, ModelRef, Target};
use shardmill_common::name::DatasetRef;
use shardmill_common::status::JobStatus;

use super::common::DryRunArg;
use super::evaluate_captured::{self, CapturedArgs};
use super::evaluate_text as text;
use crate::cli::Context;
use crate::error::CliError;
use crate::plot::{self, Panel};
use crate::session::Session;
use crate::{jobs, session};

#[derive(Clone, Debug, Args)]
pub struct EvaluateArgs {
    /// The model: NAME (its latest version), NAME@VERSION or NAME@ALIAS
    #[arg(value_name = "MODEL", required_unless_present = "captured", conflicts_with = "captured")]
    model: Option<ModelRef>,
    /// The dataset to evaluate it on, NAME or NAME@VERSION
    #[arg(value_name = "IN", required_unless_present = "captured", conflicts_with = "captured")]
    input: Option<DatasetRef>,
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
    let spec = EvaluateSpec { model, input, label: args.label, served: None, resolved: None };
    let (status, evaluation) = session::with_own_interrupt(context, async |s| {
        if plot.is_some() {
            context.interrupt.or_interrupted(can_be_drawn(s, &spec.model)).await?;
        }
        let status = jobs::run(context, &s.client, args.dry_run.of(JobSpec::Evaluate(spec))).await?;
        let evaluation = evaluation_of(s, &status).await?;
        Ok((status, evaluation))
    })
    .await?;
    let plots = match &plot {
        Some(to) => to.write(&evaluation)?,
        None => Vec::new(),
    };
    report(context, &status, &evaluation, &plots)
}

/// What an evaluation found out.
pub(super) async fn evaluation_of(session: &Session, status: &JobStatus) -> Result<Evaluation, CliError> {
    let record = session.client.record(status.job).await?;
    record.evaluation.ok_or_else(|| CliError::failed(format!("the record of job {} has no evaluation", status.job)))
}

/// Only classifiers have curves; it is said before the work is done.
async fn can_be_drawn(session: &Session, model: &ModelRef) -> Result<(), CliError> {
    let found = session.client.model(model).await?;
    match found.target {
        Target::Class { .. } => Ok(()),
        Target::Number { .. } => Err(cannot_draw(&found.reference(), "numbers")),
        Target::Cluster { .. } => Err(cannot_draw(&found.reference(), "clusters")),
    }
}

fn cannot_draw(model: &ModelRef, what: &str) -> CliError {
    CliError::usage(format!("--plot draws models that predict classes, and {model} predicts {what}: leave --plot out"))
}

/// Where pictures go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PlotTo {
    File(PathBuf),
    Folder(PathBuf),
}

impl PlotTo {
    fn of(path: &Path) -> Result<Self, CliError> {
        let shown = path.display();
        if path.is_dir() || path.to_string_lossy().ends_with('/') {
            return Ok(PlotTo::Folder(path.to_owned()));
        }
        if !path.extension().is_some_and(|e| e.eq_ignore_ascii_case("svg")) {
            return Err(CliError::usage(format!(
                "--plot {shown}: pictures are SVG; name a file that ends in .svg, or a folder that exists"
            )));
        }
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
                Err(CliError::usage(format!("--plot {shown}: there is no folder {}", parent.display())))
            }
            _ => Ok(PlotTo::File(path.to_owned())),
        }
    }

    /// Draws; returns the files.
    pub(super) fn write(&self, evaluation: &Evaluation) -> Result<Vec<PathBuf>, CliError> {
        let failed = |path: &Path, e: &dyn std::fmt::Display| {
            CliError::failed(format!("the evaluation is done, but {} cannot be written: {e}", path.display()))
        };
        let pictures: Vec<(PathBuf, Vec<Panel>)> = match self {
            PlotTo::File(path) => vec![(path.clone(), Panel::ALL.to_vec())],
            PlotTo::Folder(folder) => {
                std::fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
                Panel::ALL.iter().map(|panel| (folder.join(panel.file()), vec![*panel])).collect()
            }
        };
        for (path, panels) in &pictures {
            let svg = plot::draw(evaluation, panels).map_err(|e| failed(path, &e))?;
            std::fs::write(path, svg).map_err(|e| failed(path, &e))?;
        }
        Ok(pictures.into_iter().map(|(path, _)| path).collect())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_svg_in_folders_that_exist() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert_eq!(PlotTo::of(folder.path()).unwrap(), PlotTo::Folder(folder.path().to_owned()));
        assert_eq!(PlotTo::of(&path("a.SVG")).unwrap(), PlotTo::File(path("a.SVG")));
        assert_eq!(PlotTo::of(Path::new("a.svg")).unwrap(), PlotTo::File("a.svg".into()));
        assert_eq!(PlotTo::of(&path("new/")).unwrap(), PlotTo::Folder(path("new/")));
        for bad in ["a.png", "a", "none/a.svg"] {
            let error = PlotTo::of(&path(bad)).unwrap_err();
            assert_eq!(error.exit_status(), 2);
            assert!(bad.ends_with(".svg") || error.to_string().contains("ends in .svg"), "{error}");
        }
    }

    #[test]
    fn a_folder_gets_a_picture_a_panel() {
        let folder = tempfile::tempdir().unwrap();
        let evaluation = text::sample();
        let files = PlotTo::Folder(folder.path().join("new/")).write(&evaluation).unwrap();
        assert_eq!(files.len(), 3);
        assert!(files.iter().all(|f| std::fs::read_to_string(f).unwrap().starts_with("<svg")));
        let one = PlotTo::File(folder.path().join("all.svg"));
        assert_eq!(one.write(&evaluation).unwrap(), [folder.path().join("all.svg")]);
    }
}
