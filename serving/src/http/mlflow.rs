//! MLflow's scoring protocol: `POST /invocations`, and `/ping`. It names no endpoint: the default one answers, or the only one.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::Response;
use serde_json::json;
use shardmill_common::watch::ErrorKind;

use super::common::{MediaType, Question, choose, reply, request_id, shown};
use crate::dialect::{JsonForm, RequestError, parse_csv, parse_json};
use crate::node::Node;

const JSON: &str = "application/json";

fn refused(status: u16, code: &str, message: &str) -> Response {
    reply(status, JSON, json!({"error_code": code, "message": message}).to_string().into_bytes())
}

fn error(error: &RequestError) -> Response {
    let code = match error.kind {
        ErrorKind::BadRequest | ErrorKind::BadRow | ErrorKind::BadContentType | ErrorKind::Incomplete => "BAD_REQUEST",
        ErrorKind::TooLarge => "INVALID_PARAMETER_VALUE",
        ErrorKind::QueueFull => "REQUEST_LIMIT_EXCEEDED",
        ErrorKind::Internal => "INTERNAL_ERROR",
    };
    refused(error.status(), code, &error.message)
}

fn no_default(node: &Node) -> Response {
    let routes = node.live.routes();
    if !node.is_ready() {
        return refused(503, "TEMPORARILY_UNAVAILABLE", "this node does not know the endpoints yet; try again");
    }
    let names = routes.names();
    let message = if names.is_empty() {
        "there are no endpoints; `shardmill endpoint create` makes one".to_owned()
    } else {
        format!(
            "there are {} endpoints and none of them is the default: say which is with `shardmill endpoint update NAME --default`, or \
             post to /endpoints/NAME/invocations",
            names.len()
        )
    };
    refused(404, "ENDPOINT_NOT_FOUND", &message)
}

pub async fn invoke(State(node): State<Arc<Node>>, request: Request) -> Response {
    let routes = node.live.routes();
    let Some(endpoint) = routes.default_endpoint() else { return no_default(&node) };
    let variant = match choose(endpoint, None) {
        Ok(variant) => variant,
        Err(why) => return refused(500, "INTERNAL_ERROR", &why),
    };
    let id = request_id();
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let csv = match MediaType::of(&headers, header::CONTENT_TYPE) {
        Some(m) if m.essence == "text/csv" => true,
        Some(m) if m.essence == JSON => false,
        other => {
            let given = other.map_or("no content type is given".to_owned(), |m| {
                format!("the content type `{}` is not spoken here", shown(&m.essence))
            });
            let e = RequestError::new(ErrorKind::BadContentType, format!("{given}; send text/csv or {JSON}"));
            variant.recorder.failed(e.kind);
            return error(&e);
        }
    };
    let question = Question { node: &node, endpoint, variant, headers: &headers, request: &id };
    let answered = question.answer(
        body,
        |bytes, _| Ok((if csv { parse_csv(bytes, true)? } else { parse_json(bytes, JsonForm::Mlflow)? }, ())),
        |variant, predicted, ()| Ok(variant.answers.json(predicted)),
        Vec::len,
    );
    let mut response = match answered.await {
        Ok(bytes) => reply(200, JSON, bytes),
        Err(e) => error(&e),
    };
    response.headers_mut().insert("x-shardmill-variant", variant.variant_header.clone());
    response.headers_mut().insert("x-shardmill-model", variant.model_header.clone());
    response
}

/// Whether the default endpoint can be asked.
pub async fn ping(State(node): State<Arc<Node>>) -> Response {
    match node.live.routes().default_endpoint() {
        Some(_) => reply(200, JSON, b"{}".to_vec()),
        None => no_default(&node),
    }
}

/// The version of this program.
pub async fn version() -> Response {
    reply(200, "text/plain; charset=utf-8", env!("CARGO_PKG_VERSION").as_bytes().to_vec())
}
