//! The HTTP door: requests to endpoints, health for a supervisor, metrics for Prometheus, and what there is as JSON.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use shardmill_common::failure::Refusal;
use shardmill_common::message::Page;
use shardmill_common::status::{JobState, NodeState};

use shardmill_serving::live::Live;
use shardmill_serving::node::Node;

use crate::driver::{Driver, Handle};
use crate::history;

pub fn router(handle: Handle, node: Arc<Node>) -> Router {
    let live = node.live.clone();
    let own = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(move |State(h): State<Handle>| metrics(h, live)))
        .route("/v1/nodes", get(|State(h): State<Handle>| async move { answer(&h, |d| Ok(d.core().nodes())).await }))
        .route("/v1/jobs", get(jobs))
        .route(
            "/v1/datasets",
            get(|State(h): State<Handle>| async move { answer(&h, |d| Ok(d.core().catalog().summaries())).await }),
        )
        .route("/v1/records", get(records))
        .with_state(handle);
    shardmill_serving::http::router(node).merge(own)
}

async fn answer<T: serde::Serialize + Send + 'static>(
    handle: &Handle,
    f: impl FnOnce(&mut Driver) -> Result<T, Refusal> + Send + 'static,
) -> Response {
    shown(handle.ask(f).await)
}

fn shown<T: serde::Serialize>(answer: Result<T, Refusal>) -> Response {
    match answer {
        Ok(value) => Json(value).into_response(),
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n")).into_response(),
    }
}

async fn jobs(State(handle): State<Handle>, Query(page): Query<Page>) -> Response {
    shown(history::jobs(&handle, page).await)
}

async fn records(State(handle): State<Handle>, Query(page): Query<Page>) -> Response {
    shown(history::records(&handle, page).await)
}

async fn ready(State(handle): State<Handle>) -> Response {
    match handle.ask(|d| Ok(d.core().nodes().iter().filter(|n| n.state == NodeState::Alive).count())).await {
        Ok(0) => (StatusCode::SERVICE_UNAVAILABLE, "no worker is alive\n").into_response(),
        Ok(n) => format!("{n} workers\n").into_response(),
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n")).into_response(),
    }
}

async fn metrics(handle: Handle, live: Arc<Live>) -> Response {
    let facts = handle.ask(|d| {
        let core = d.core();
        let running = core.scheduler().jobs().filter(|job| job.is_journalled()).count();
        Ok((core.nodes(), core.catalog().summaries().len(), core.scheduler().under_replicated(), running))
    });
    let facts = (facts.await, history::jobs(&handle, Page::default()).await);
    let (nodes, datasets, lacking, running, jobs) = match facts {
        (Ok((nodes, datasets, lacking, running)), Ok(jobs)) => (nodes, datasets, lacking, running, jobs.items),
        (Err(refusal), _) | (_, Err(refusal)) => {
            return (StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n")).into_response();
        }
    };
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, rows: &[(String, u64)]| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in rows {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let by_state: Vec<(String, u64)> = NodeState::ALL
        .iter()
        .map(|s| (format!("{{state=\"{}\"}}", s.name()), nodes.iter().filter(|n| n.state == *s).count() as u64))
        .collect();
    gauge("shardmill_workers", "Workers by state.", &by_state);
    let per_node = |f: fn(&shardmill_common::status::NodeStatus) -> u64| -> Vec<(String, u64)> {
        nodes.iter().map(|n| (format!("{{worker=\"{}\"}}", n.worker), f(n))).collect()
    };
    gauge("shardmill_worker_running_attempts", "Attempts running on a worker.", &per_node(|n| u64::from(n.running)));
    gauge("shardmill_worker_stored_bytes", "Bytes of published objects on a worker.", &per_node(|n| n.bytes));
    let ended = |state: JobState| jobs.iter().filter(|j| j.state == state).count();
    let by_state: Vec<(String, u64)> = [JobState::Running, JobState::Done, JobState::Failed, JobState::Cancelled]
        .map(|state| (state.name(), if state == JobState::Running { running } else { ended(state) }))
        .map(|(state, count)| (format!("{{state=\"{state}\"}}"), count as u64))
        .to_vec();
    gauge("shardmill_jobs", "Jobs that run, and those of the newest thousand that are over, by state.", &by_state);
    gauge("shardmill_datasets", "Datasets.", &[(String::new(), datasets as u64)]);
    gauge(
        "shardmill_under_replicated_objects",
        "Objects with fewer copies than wanted.",
        &[(String::new(), lacking as u64)],
    );
    shardmill_serving::metrics::render(&live, &mut text);
    match crate::drift_metrics::render(&handle).await {
        Ok(drift) => text.push_str(&drift),
        Err(refusal) => return (StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n")).into_response(),
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
