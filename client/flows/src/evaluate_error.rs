//! Why an evaluation could not be made, or drawn.

use std::path::PathBuf;

use shardmill_common::endpoint::EndpointName;
use shardmill_common::ids::JobId;
use shardmill_common::model::ModelRef;
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::schema::Schema;

use crate::plot::DrawError;

#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    #[error("the record of job {0} has no evaluation")]
    NoEvaluation(JobId),
    /// `what` it predicts, in the plural.
    #[error("--plot draws models that predict classes, and {model} predicts {what}: leave --plot out")]
    NoCurves { model: ModelRef, what: &'static str },
    #[error("--plot {}: pictures are SVG; name a file that ends in .svg, or a folder that exists", .0.display())]
    NotSvg(PathBuf),
    #[error("--plot {}: there is no folder {}", .plot.display(), .folder.display())]
    NoFolder { plot: PathBuf, folder: PathBuf },
    #[error("the evaluation is done, but {} cannot be written: {error}", .path.display())]
    Unwritten { path: PathBuf, error: std::io::Error },
    #[error("the evaluation is done, but {} cannot be drawn: {error}", .path.display())]
    Undrawn { path: PathBuf, error: DrawError },
    #[error("endpoint `{0}` does not capture what it is asked: shardmill endpoint update {0} --capture DATASET")]
    NoCapture(EndpointName),
    #[error("endpoint `{endpoint}` has captured nothing yet: there is no dataset `{dataset}`")]
    NothingCaptured { endpoint: EndpointName, dataset: DatasetName },
    /// `inference_id` is the captured column of the header's values.
    #[error(
        "no captured request had a column `{column}`; the columns of {captured} are {}. Requests must carry the key: as an additional \
         column, which the model does not read, or in the header X-Amzn-SageMaker-Inference-Id (then --on {inference_id}={label_key})",
        .schema.names_joined()
    )]
    KeyNotCaptured {
        column: String,
        captured: DatasetRef,
        schema: Schema,
        inference_id: &'static str,
        label_key: String,
    },
    #[error("--on: {labels} has no column `{column}`; its columns are {}", .schema.names_joined())]
    NoKey { column: String, labels: DatasetRef, schema: Schema },
    #[error("{labels} has no column `{column}` of labels; name it with --label: its columns are {}", .schema.names_joined())]
    NoLabel { column: String, labels: DatasetRef, schema: Schema },
    #[error("{captured} has no row that {}endpoint `{endpoint}` answered", of_variant(.variant))]
    NobodyAnswered { captured: DatasetRef, endpoint: EndpointName, variant: Option<String> },
    #[error("--plot: there are {count} evaluations ({answered}): name a folder, or one of them with --variant")]
    SeveralPictures { count: usize, answered: String },
    #[error("{dataset} has no text in column `{column}`: it is not what an endpoint captured")]
    NotCaptured { dataset: DatasetRef, column: &'static str },
    /// `job`: what kind it is.
    #[error("the {job} made no dataset")]
    NoDataset { job: &'static str },
}

impl EvaluateError {
    /// What was asked for makes no sense.
    pub const fn is_mistake(&self) -> bool {
        use EvaluateError::*;
        matches!(
            self,
            NoCurves { .. }
                | NotSvg(_)
                | NoFolder { .. }
                | KeyNotCaptured { .. }
                | NoKey { .. }
                | NoLabel { .. }
                | SeveralPictures { .. }
        )
    }
}

fn of_variant(variant: &Option<String>) -> String {
    variant.as_ref().map(|variant| format!("variant `{variant}` of ")).unwrap_or_default()
}
