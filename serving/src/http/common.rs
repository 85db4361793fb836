//! What the dialects share: from a request's headers and body to predictions, counted and captured.

use std::borrow::Cow;
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use shardmill_common::time::Timestamp;
use shardmill_common::watch::ErrorKind;

use crate::capture::Event;
use crate::dialect::RequestError;
use crate::live::{LiveEndpoint, LiveVariant, Routes};
use crate::node::Node;
use crate::predictor::{Predicted, Predictor};
use crate::table::Table;

/// The header in which a client names a request, so that the truth can be matched with it later.
const INFERENCE_ID: &str = "x-amzn-sagemaker-inference-id";
/// Names in messages are cut to this many characters.
const SHOWN: usize = 80;
/// A client's name for a request may be this long, as SageMaker's may.
const INFERENCE_ID_BYTES: usize = 64;

/// Text of a client as messages show it.
pub fn shown(text: &str) -> String {
    text.escape_debug().take(SHOWN).collect()
}

/// A header's text; `None` where it is not there or not text.
pub fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// What a body is said to be: type and subtype in lower case, and whether parameters say that it has a header line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    pub essence: Cow<'static, str>,
    pub header_present: bool,
}

impl MediaType {
    /// `None`: the header is not there.
    pub fn of(headers: &HeaderMap, name: HeaderName) -> Option<Self> {
        let text = headers.get(name)?.to_str().unwrap_or("?");
        // As nearly all are written.
        if let Some(plain) = ["text/csv", "application/json"].into_iter().find(|plain| *plain == text) {
            return Some(Self { essence: Cow::Borrowed(plain), header_present: false });
        }
        let mut parts = text.split(';').map(|p| p.trim().to_ascii_lowercase());
        let essence = Cow::Owned(parts.next().unwrap_or_default());
        Some(Self { essence, header_present: parts.any(|p| p == "header=present") })
    }
}

/// Refuses bodies that are compressed: nobody would unpack them.
pub fn check_encoding(headers: &HeaderMap) -> Result<(), RequestError> {
    match text_header(headers, header::CONTENT_ENCODING.as_str()) {
        None | Some("identity") => Ok(()),
        Some(other) => Err(RequestError::new(
            ErrorKind::BadContentType,
            format!("the content encoding `{}` is not taken; send the body as it is", shown(other)),
        )),
    }
}

/// The client's own name for the request, if it gave one.
fn inference_id(headers: &HeaderMap) -> Result<Option<&str>, RequestError> {
    let Some(value) = headers.get(INFERENCE_ID) else { return Ok(None) };
    match value.to_str() {
        Ok(id) if id.len() <= INFERENCE_ID_BYTES => Ok(Some(id)),
        Ok(id) => Err(RequestError::bad(format!(
            "the inference id has {} bytes; at most {INFERENCE_ID_BYTES} are taken",
            id.len()
        ))),
        Err(_) => Err(RequestError::bad("the inference id is not plain text".into())),
    }
}

pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    text_header(headers, header::CONTENT_LENGTH.as_str())?.parse().ok()
}

/// Says that there is no such endpoint, and which there are.
pub fn unknown_endpoint(routes: &Routes, name: &str) -> String {
    let names = routes.names();
    match names.len() {
        0 => format!("there is no endpoint `{}`, and no other", shown(name)),
        1..=10 => format!("there is no endpoint `{}`; there are {}", shown(name), names.join(", ")),
        n => format!("there is no endpoint `{}` among the {n} that there are", shown(name)),
    }
}

/// Says that there is no such variant, and which there are.
pub fn unknown_variant(endpoint: &LiveEndpoint, name: &str) -> String {
    let names: Vec<&str> = endpoint.variants.iter().map(|v| v.variant.name.as_str()).collect();
    format!("endpoint `{}` has no variant `{}`; it has {}", endpoint.endpoint.name, shown(name), names.join(", "))
}

/// The variant that is named, or one drawn by weight.
pub fn choose<'a>(endpoint: &'a LiveEndpoint, named: Option<&str>) -> Result<&'a LiveVariant, String> {
    match named {
        Some(name) => endpoint.variant(name).ok_or_else(|| unknown_variant(endpoint, name)),
        None => endpoint
            .choose(rand::random::<f64>())
            .ok_or_else(|| format!("endpoint `{}` has no variants", endpoint.endpoint.name)),
    }
}

/// A request's own name, a random UUID.
pub fn request_id() -> String {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string()
}

/// What a prediction is for.
pub struct Question<'a> {
    pub node: &'a Node,
    pub endpoint: &'a LiveEndpoint,
    pub variant: &'a LiveVariant,
    pub headers: &'a HeaderMap,
    pub request: &'a str,
}

impl Question<'_> {
    /// Reads the body, predicts and renders the reply; counts the request, and captures it if it is one of those to keep.
    pub async fn answer<X, T>(
        &self,
        body: Body,
        parse: impl for<'b> FnOnce(&'b [u8], &Predictor) -> Result<(Table<'b>, X), RequestError>,
        render: impl FnOnce(&LiveVariant, &Predicted, X) -> Result<T, RequestError>,
        size: impl FnOnce(&T) -> usize,
    ) -> Result<T, RequestError> {
        let answered = async {
            check_encoding(self.headers)?;
            inference_id(self.headers)?;
            let body = self.node.read(content_length(self.headers), body).await?;
            let began = Instant::now();
            let bytes = &body.bytes;
            self.node
                .in_turn(bytes.len(), || {
                    let (table, extra) = parse(bytes, &self.variant.predictor)?;
                    let predicted = self.variant.predictor.predict(&table)?;
                    let reply = render(self.variant, &predicted, extra)?;
                    let (size, limit) = (size(&reply), self.node.limits.body);
                    if size > limit {
                        let message =
                            format!("the reply would have {size} bytes; at most {limit} are sent: ask for fewer rows");
                        return Err(RequestError::new(ErrorKind::TooLarge, message));
                    }
                    self.capture(&table, &predicted);
                    self.variant.recorder.answered(&predicted, began.elapsed());
                    Ok(reply)
                })
                .await
        }
        .await;
        if let Err(error) = &answered {
            self.variant.recorder.failed(error.kind);
        }
        answered
    }

    fn capture(&self, table: &Table<'_>, predicted: &Predicted) {
        let (Some(capture), Some(sink)) = (&self.endpoint.endpoint.capture, &self.node.sink) else { return };
        if capture.rate < 1.0 && rand::random::<f64>() >= capture.rate {
            return;
        }
        let kept = sink.keep(&Event {
            dataset: &capture.dataset,
            endpoint: &self.endpoint.endpoint.name,
            variant: &self.variant.variant.name,
            model: &self.variant.variant.model,
            time: Timestamp::now(),
            request: self.request,
            inference_id: inference_id(self.headers).ok().flatten(),
            table,
            predictor: &self.variant.predictor,
            answers: &self.variant.answers,
            predicted,
        });
        if !kept {
            self.variant.recorder.capture_dropped(table.rows as u64);
        }
    }
}

/// A reply of these bytes.
pub fn reply(status: u16, content_type: &'static str, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = axum::http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if status == 429 || status == 503 {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Text as the value of a header; what cannot be one is left empty.
pub fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Sets a header to a text that is one; others are left out.
pub fn set_header(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}
