//! The Open Inference Protocol (KServe v2, Triton's HTTP): a model is an endpoint, a version of it one of its variants.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};
use shardmill_common::watch::ErrorKind;

use super::common::{Question, choose, reply, request_id, set_header, text_header, unknown_endpoint};
use crate::dialect::{RequestError, metadata, parse_infer, write_infer};
use crate::live::LiveEndpoint;
use crate::node::Node;

const JSON: &str = "application/json";
/// How many bytes of a body or reply are JSON, where binary tensors follow.
const JSON_LENGTH: &str = "inference-header-content-length";

fn refused(status: u16, message: &str) -> Response {
    reply(status, JSON, json!({"error": message}).to_string().into_bytes())
}

fn answer(value: &Value) -> Response {
    reply(200, JSON, value.to_string().into_bytes())
}

/// The endpoint, and that it has the variant if one is named; or the reply that says what is wrong.
fn find(node: &Node, model: &str, version: Option<&str>) -> Result<Arc<LiveEndpoint>, Box<Response>> {
    let routes = node.live.routes();
    let Some(endpoint) = routes.endpoints.get(model) else {
        if !node.is_ready() {
            return Err(Box::new(refused(503, "this node does not know the endpoints yet; try again")));
        }
        return Err(Box::new(refused(404, &unknown_endpoint(&routes, model))));
    };
    choose(endpoint, version).map_err(|why| Box::new(refused(404, &why)))?;
    Ok(endpoint.clone())
}

pub async fn server() -> Response {
    answer(&json!({"name": "shardmill", "version": env!("CARGO_PKG_VERSION"), "extensions": ["binary_tensor_data"]}))
}

pub async fn live() -> Response {
    answer(&json!({"live": true}))
}

pub async fn ready(State(node): State<Arc<Node>>) -> Response {
    let ready = node.is_ready();
    reply(if ready { 200 } else { 503 }, JSON, json!({"ready": ready}).to_string().into_bytes())
}

fn described(node: &Node, model: &str, version: Option<&str>) -> Response {
    let endpoint = match find(node, model, version) {
        Ok(endpoint) => endpoint,
        Err(response) => return *response,
    };
    let versions: Vec<String> = endpoint.variants.iter().map(|v| v.variant.name.clone()).collect();
    match endpoint.variants.iter().find(|v| version.is_none_or(|name| v.variant.name == name)) {
        Some(variant) => answer(&metadata(model, &versions, &variant.predictor)),
        None => refused(404, &format!("endpoint `{model}` has no variants")),
    }
}

pub async fn model(State(node): State<Arc<Node>>, Path(model): Path<String>) -> Response {
    described(&node, &model, None)
}

pub async fn version(State(node): State<Arc<Node>>, Path((model, version)): Path<(String, String)>) -> Response {
    described(&node, &model, Some(&version))
}

fn is_ready(node: &Node, model: &str, version: Option<&str>) -> Response {
    match find(node, model, version) {
        Ok(_) => answer(&json!({"name": model, "ready": true})),
        Err(response) => *response,
    }
}

pub async fn model_ready(State(node): State<Arc<Node>>, Path(model): Path<String>) -> Response {
    is_ready(&node, &model, None)
}

pub async fn version_ready(State(node): State<Arc<Node>>, Path((model, version)): Path<(String, String)>) -> Response {
    is_ready(&node, &model, Some(&version))
}

pub async fn infer(State(node): State<Arc<Node>>, Path(model): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    inferred(&node, &model, None, &parts.headers, body).await
}

pub async fn infer_version(
    State(node): State<Arc<Node>>,
    Path((model, version)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    inferred(&node, &model, Some(&version), &parts.headers, body).await
}

async fn inferred(node: &Node, model: &str, version: Option<&str>, headers: &HeaderMap, body: Body) -> Response {
    let endpoint = match find(node, model, version) {
        Ok(endpoint) => endpoint,
        Err(response) => return *response,
    };
    let variant = match choose(&endpoint, version) {
        Ok(variant) => variant,
        Err(why) => return refused(404, &why),
    };
    let id = request_id();
    let question = Question { node, endpoint: &endpoint, variant, headers, request: &id };
    let json_length = match headers.get(JSON_LENGTH).map(|v| v.to_str().ok().and_then(|t| t.trim().parse().ok())) {
        None => None,
        Some(Some(length)) => Some(length),
        Some(None) => {
            variant.recorder.failed(ErrorKind::BadRequest);
            let given = text_header(headers, JSON_LENGTH).unwrap_or("what was given");
            return refused(
                400,
                &format!("Inference-Header-Content-Length is a number of bytes, not `{}`", super::common::shown(given)),
            );
        }
    };
    let answered = question.answer(
        body,
        |bytes, predictor| {
            let mut request = parse_infer(bytes, json_length, &predictor.model.features.columns())?;
            let table = std::mem::take(&mut request.table);
            Ok((table, request))
        },
        |variant, predicted, request| {
            write_infer(&request, model, &variant.variant.name, &variant.predictor, predicted)
        },
        |answer| answer.bytes.len(),
    );
    match answered.await {
        Ok(answer) => {
            let content_type = if answer.json_length.is_some() { "application/octet-stream" } else { JSON };
            let mut response = reply(200, content_type, answer.bytes);
            if let Some(length) = answer.json_length {
                set_header(&mut response, JSON_LENGTH, &length.to_string());
            }
            response.headers_mut().insert("x-shardmill-model", variant.model_header.clone());
            response
        }
        Err(e) => error(&e),
    }
}

fn error(error: &RequestError) -> Response {
    refused(error.status(), &error.message)
}
