//! The demo's question to its endpoint: rows over HTTP, as `curl` would send them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shardmill_common::endpoint::{EndpointName, EndpointRequest, EndpointStatus};
use shardmill_serving::node::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cli::{Context, Global};
use crate::embedded::{Embedded, Setup, any_loopback_port};
use crate::error::CliError;
use shardmill_client::Client;

/// Serves the data folder for as long as the question takes (or asks the cluster that serves already), shows the commands
/// that would do the same, and the answer.
pub async fn ask(context: &Context, global: &Global, endpoint: &str, rows: &str) -> Result<Value, CliError> {
    if let Some(cluster) = &global.cluster {
        let client = Client::connect(cluster, global.token.as_deref()).await?;
        let name: EndpointName = endpoint.parse().map_err(CliError::usage)?;
        let status: EndpointStatus = client.endpoints(&EndpointRequest::Show { name, seconds: 0 }).await?;
        let url = status.nodes.first().map(|n| n.url.clone());
        let url = url.ok_or_else(|| CliError::failed("no process of the cluster serves endpoints"))?;
        return question(context, &url, endpoint, rows).await;
    }
    let cluster = Embedded::start(Setup {
        data_dir: global.data_dir(),
        workers: global.workers,
        slots: global.slots,
        memory: global.memory,
        listen: any_loopback_port(),
        http: Some(any_loopback_port()),
        token: Some(uuid::Uuid::new_v4().simple().to_string()),
        local_files: true,
        retention: shardmill_coordinator::Retention::default(),
        limits: Limits::default(),
        allow_programs: false,
    })
    .await?;
    let answered = match cluster.http {
        Some(http) => {
            context.out.line(&format!("$ shardmill local --http {http} &"))?;
            question(context, &format!("http://{http}"), endpoint, rows).await
        }
        None => Err(CliError::failed("the data folder is not served over HTTP")),
    };
    cluster.stop().await;
    answered
}

async fn question(context: &Context, url: &str, endpoint: &str, rows: &str) -> Result<Value, CliError> {
    let path = format!("/endpoints/{endpoint}/invocations");
    let command = format!("curl -H 'Content-Type: text/csv' --data-binary '{rows}' {url}{path}");
    context.out.line(&format!("$ {command}"))?;
    let failed = |why: AskError| CliError::failed(format!("{url}{path}: {why}"));
    let answer = answer_of(url, &path, rows).await.map_err(failed)?;
    context.out.line(answer.trim_end())?;
    Ok(json!({"command": command, "answer": answer}))
}

/// A process that has just started knows its endpoints a moment later, and says until then that it does not.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(50);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("it is no URL")]
    NoUrl,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the reply has no end of its head")]
    NoHead,
    #[error("status {status}: {body}")]
    Status { status: String, body: String },
}

/// The answer, once the process is ready to give one.
async fn answer_of(url: &str, path: &str, body: &str) -> Result<String, AskError> {
    let begun = Instant::now();
    loop {
        match post(url, path, body).await {
            Err(AskError::Status { status, .. }) if status == "503" && begun.elapsed() < PATIENCE => {
                tokio::time::sleep(AGAIN).await;
            }
            answer => return answer,
        }
    }
}

/// Posts CSV and returns the body of the reply, which must have status 200.
async fn post(url: &str, path: &str, body: &str) -> Result<String, AskError> {
    let host = url.strip_prefix("http://").ok_or(AskError::NoUrl)?;
    let mut stream = TcpStream::connect(host).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/csv\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let (head, body) = reply.split_once("\r\n\r\n").ok_or(AskError::NoHead)?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        status => {
            let status = status.unwrap_or("unknown").to_owned();
            Err(AskError::Status { status, body: body.to_owned() })
        }
    }
}
