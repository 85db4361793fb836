//! SageMaker's runtime: `POST /endpoints/NAME/invocations`, so that boto3's `sagemaker-runtime` works unmodified. Bodies are
//! CSV without a header line, columns in the model's order, or JSON; errors are JSON with their name in a header.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde_json::json;
use shardmill_common::watch::ErrorKind;

use super::common::{MediaType, Question, choose, reply, request_id, set_header, shown, text_header, unknown_endpoint};
use crate::dialect::{JsonForm, RequestError, parse_csv, parse_json};
use crate::node::Node;

const TARGET_VARIANT: &str = "x-amzn-sagemaker-target-variant";
const CUSTOM_ATTRIBUTES: &str = "x-amzn-sagemaker-custom-attributes";
const CSV: &str = "text/csv";
const JSON: &str = "application/json";
/// Headers that ask for what one model behind a variant cannot do.
const UNSUPPORTED: [&str; 3] = [
    "x-amzn-sagemaker-target-model",
    "x-amzn-sagemaker-target-container-hostname",
    "x-amzn-sagemaker-enable-explanations",
];

/// An error as the service itself makes it.
fn refused(status: u16, name: &'static str, message: &str) -> Response {
    let mut response = reply(status, JSON, json!({"Message": message}).to_string().into_bytes());
    response.headers_mut().insert("x-amzn-ErrorType", HeaderValue::from_static(name));
    response
}

/// An error as a model's container makes it: the service passes it on with the status that it had there.
fn model_error(status: u16, message: &str) -> Response {
    let body = json!({
        "Message": format!("the model answered with status {status}: {message}"),
        "OriginalStatusCode": status,
        "OriginalMessage": message,
        "LogStreamArn": "",
    });
    let mut response = reply(424, JSON, body.to_string().into_bytes());
    response.headers_mut().insert("x-amzn-ErrorType", HeaderValue::from_static("ModelError"));
    response
}

fn error(error: &RequestError) -> Response {
    let message = &error.message;
    match error.kind {
        ErrorKind::BadRequest | ErrorKind::BadRow => model_error(400, message),
        ErrorKind::BadContentType => model_error(415, message),
        ErrorKind::TooLarge => refused(413, "ValidationError", message),
        ErrorKind::Incomplete => refused(408, "ValidationError", message),
        ErrorKind::QueueFull => refused(429, "ModelNotReadyException", message),
        ErrorKind::Internal => refused(500, "InternalFailure", message),
    }
}

/// What the body is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv { header: bool },
    Json,
}

fn form(headers: &HeaderMap) -> Result<Form, RequestError> {
    match MediaType::of(headers, header::CONTENT_TYPE) {
        None => Ok(Form::Csv { header: false }),
        Some(m) if m.essence == CSV => Ok(Form::Csv { header: m.header_present }),
        Some(m) if m.essence == JSON => Ok(Form::Json),
        Some(m) => Err(RequestError::new(
            ErrorKind::BadContentType,
            format!("the content type `{}` is not spoken here; send {CSV} or {JSON}", shown(&m.essence)),
        )),
    }
}

/// Whether the reply is JSON: as `Accept` says, else as the request was.
fn wants_json(headers: &HeaderMap, form: Form) -> Result<bool, RequestError> {
    let Some(accept) = text_header(headers, header::ACCEPT.as_str()) else { return Ok(form == Form::Json) };
    let essences = accept.split(',').map(|a| a.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    for essence in essences {
        match essence.as_str() {
            CSV => return Ok(false),
            JSON => return Ok(true),
            "*/*" | "" | "text/*" | "application/*" => return Ok(form == Form::Json),
            _ => {}
        }
    }
    Err(RequestError::new(
        ErrorKind::BadContentType,
        format!("`Accept: {}` asks for what is not spoken here; accept {CSV} or {JSON}", shown(accept)),
    ))
}

pub async fn invoke(State(node): State<Arc<Node>>, Path(name): Path<String>, request: Request) -> Response {
    let id = request_id();
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let mut response = invoked(&node, &name, &headers, body, &id).await;
    set_header(&mut response, "x-amzn-requestid", &id);
    if let Some(attributes) = headers.get(CUSTOM_ATTRIBUTES) {
        response.headers_mut().insert(CUSTOM_ATTRIBUTES, attributes.clone());
    }
    response
}

async fn invoked(node: &Node, name: &str, headers: &HeaderMap, body: axum::body::Body, id: &str) -> Response {
    let routes = node.live.routes();
    let Some(endpoint) = routes.endpoints.get(name) else {
        if !node.is_ready() {
            return refused(503, "ServiceUnavailable", "this node does not know the endpoints yet; try again");
        }
        return refused(400, "ValidationError", &unknown_endpoint(&routes, name));
    };
    if let Some(header) = UNSUPPORTED.iter().find(|h| headers.contains_key(**h)) {
        return refused(400, "ValidationError", &format!("the header {header} is not supported"));
    }
    let variant = match choose(endpoint, text_header(headers, TARGET_VARIANT)) {
        Ok(variant) => variant,
        Err(why) => return refused(400, "ValidationError", &why),
    };
    let question = Question { node, endpoint, variant, headers, request: id };
    let forms = form(headers).and_then(|form| Ok((form, wants_json(headers, form)?)));
    let (form, as_json) = match forms {
        Ok(forms) => forms,
        Err(e) => {
            variant.recorder.failed(e.kind);
            return error(&e);
        }
    };
    let answered = question.answer(
        body,
        |bytes, _| {
            Ok((
                match form {
                    Form::Csv { header } => parse_csv(bytes, header)?,
                    Form::Json => parse_json(bytes, JsonForm::Any)?,
                },
                (),
            ))
        },
        |variant, predicted, ()| {
            Ok(if as_json { variant.answers.json(predicted) } else { variant.answers.csv(predicted) })
        },
        Vec::len,
    );
    let mut response = match answered.await {
        Ok(bytes) => reply(200, if as_json { JSON } else { CSV }, bytes),
        Err(e) => error(&e),
    };
    response.headers_mut().insert("x-amzn-invoked-production-variant", variant.variant_header.clone());
    response.headers_mut().insert("x-shardmill-model", variant.model_header.clone());
    response
}
