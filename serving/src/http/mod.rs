//! The HTTP doors of a node that serves: one dialect a file.

mod common;
mod infer;
mod mlflow;
mod sagemaker;
mod server;

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};

pub use common::header_value;
pub use server::{raise_open_files, serve};

use crate::node::Node;

/// The routes of all dialects.
pub fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/endpoints/{endpoint}/invocations", post(sagemaker::invoke))
        .route("/invocations", post(mlflow::invoke))
        .route("/ping", get(mlflow::ping))
        .route("/health", get(mlflow::ping))
        .route("/version", get(mlflow::version))
        .route("/v2", get(infer::server))
        .route("/v2/health/live", get(infer::live))
        .route("/v2/health/ready", get(infer::ready))
        .route("/v2/models/{model}", get(infer::model))
        .route("/v2/models/{model}/ready", get(infer::model_ready))
        .route("/v2/models/{model}/infer", post(infer::infer))
        .route("/v2/models/{model}/versions/{version}", get(infer::version))
        .route("/v2/models/{model}/versions/{version}/ready", get(infer::version_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer::infer_version))
        .fallback(nothing_there)
        .with_state(node)
}

/// For paths that lead nowhere.
async fn nothing_there(uri: Uri) -> (StatusCode, String) {
    let told = format!(
        "there is nothing at {}; predictions are at /endpoints/NAME/invocations, /invocations and /v2/models/NAME/infer\n",
        common::shown(uri.path())
    );
    (StatusCode::NOT_FOUND, told)
}
