//! What an evaluation found out, and its pictures as files.

use std::path::{Path, PathBuf};

use shardmill_client::Client;
use shardmill_common::model::{Evaluation, ModelRef, Target};
use shardmill_common::status::JobStatus;

use crate::error::FlowError;
use crate::evaluate_error::EvaluateError;
use crate::plot::{self, Panel};

/// What an evaluation found out.
pub async fn evaluation_of(client: &Client, status: &JobStatus) -> Result<Evaluation, FlowError> {
    let record = client.record(status.job).await?;
    Ok(record.evaluation.ok_or(EvaluateError::NoEvaluation(status.job))?)
}

/// Only classifiers have curves; it is said before the work is done.
pub async fn can_be_drawn(client: &Client, model: &ModelRef) -> Result<(), FlowError> {
    let found = client.model(model).await?;
    match found.target {
        Target::Class { .. } => Ok(()),
        Target::Number { .. } => Err(EvaluateError::NoCurves { model: found.reference(), what: "numbers" }.into()),
        Target::Cluster { .. } => Err(EvaluateError::NoCurves { model: found.reference(), what: "clusters" }.into()),
    }
}

/// Where pictures go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlotTo {
    File(PathBuf),
    Folder(PathBuf),
}

impl PlotTo {
    pub fn of(path: &Path) -> Result<Self, EvaluateError> {
        if path.is_dir() || path.to_string_lossy().ends_with('/') {
            return Ok(PlotTo::Folder(path.to_owned()));
        }
        if !path.extension().is_some_and(|e| e.eq_ignore_ascii_case("svg")) {
            return Err(EvaluateError::NotSvg(path.to_owned()));
        }
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
                Err(EvaluateError::NoFolder { plot: path.to_owned(), folder: parent.to_owned() })
            }
            _ => Ok(PlotTo::File(path.to_owned())),
        }
    }

    /// Draws; returns the files.
    pub fn write(&self, evaluation: &Evaluation) -> Result<Vec<PathBuf>, EvaluateError> {
        let unwritten = |path: &Path| {
            let path = path.to_owned();
            |error| EvaluateError::Unwritten { path, error }
        };
        let pictures: Vec<(PathBuf, Vec<Panel>)> = match self {
            PlotTo::File(path) => vec![(path.clone(), Panel::ALL.to_vec())],
            PlotTo::Folder(folder) => {
                std::fs::create_dir_all(folder).map_err(unwritten(folder))?;
                Panel::ALL.iter().map(|panel| (folder.join(panel.file()), vec![*panel])).collect()
            }
        };
        for (path, panels) in &pictures {
            let svg =
                plot::draw(evaluation, panels).map_err(|error| EvaluateError::Undrawn { path: path.clone(), error })?;
            std::fs::write(path, svg).map_err(unwritten(path))?;
        }
        Ok(pictures.into_iter().map(|(path, _)| path).collect())
    }
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
            assert!(error.is_mistake());
            assert!(bad.ends_with(".svg") || error.to_string().contains("ends in .svg"), "{error}");
        }
    }

    #[test]
    fn a_folder_gets_a_picture_a_panel() {
        let folder = tempfile::tempdir().unwrap();
        let evaluation = serde_json::from_value(serde_json::json!({
            "model": "churn@3", "data": "test@1", "label": "y", "rows": 6, "rows_skipped": 1, "metrics": {"accuracy": 0.5},
            "classes": [0, 1], "confusion_matrix": [[2, 1], [2, 1]],
            "calibration": [{"from": 0.2, "to": 0.3, "rows": 6, "predicted": 0.25, "observed": 0.5}],
            "roc": [{"class": "1", "false_positive_rate": [0.0, 1.0], "true_positive_rate": [0.0, 1.0]}],
            "job": "j1", "created": "2026-01-01T00:00:00.000Z",
        }))
        .unwrap();
        let files = PlotTo::Folder(folder.path().join("new/")).write(&evaluation).unwrap();
        assert_eq!(files.len(), 3);
        assert!(files.iter().all(|f| std::fs::read_to_string(f).unwrap().starts_with("<svg")));
        let one = PlotTo::File(folder.path().join("all.svg"));
        assert_eq!(one.write(&evaluation).unwrap(), [folder.path().join("all.svg")]);
    }
}
