//! Submitting jobs and following them to their ends.

use std::time::{Duration, Instant};

use futures::StreamExt;
use shardmill_client::{Client, ClientError};
use shardmill_common::ids::JobId;
use shardmill_common::kinds::{JobSpec, Submission};
use shardmill_common::status::{JobState, JobStatus};

use crate::error::FlowError;
use crate::host::{Host, Progress};
use crate::machine;

/// A coordinator that restarts is waited for this long while a job is followed.
const RECONNECT_FOR: Duration = Duration::from_secs(60);

/// A request of this user on this machine.
pub fn submission(spec: JobSpec) -> Submission {
    Submission { spec, who: machine::who(), priority: 0, deadline_seconds: None }
}

/// Submits a job and follows it to its end; a job that did not end well is an error.
pub async fn run(host: &dyn Host, client: &Client, spec: JobSpec) -> Result<JobStatus, FlowError> {
    run_submission(host, client, &submission(spec)).await
}

/// The same of a request of whatever priority and deadline.
pub async fn run_submission(host: &dyn Host, client: &Client, submission: &Submission) -> Result<JobStatus, FlowError> {
    let job = client.submit(submission).await?;
    let status = follow(host, client, job, true).await?;
    match status.state {
        JobState::Done => Ok(status),
        _ => Err(FlowError::Job(Box::new(status))),
    }
}

/// Follows a job to its end. With `own`, a host that stops has it cancelled; otherwise only the watching ends.
pub async fn follow(host: &dyn Host, client: &Client, job: JobId, own: bool) -> Result<JobStatus, FlowError> {
    let mut bar = host.progress();
    let mut told = 0;
    let mut rounds = 0;
    let mut seen = |status: &JobStatus| {
        show(bar.as_mut(), status);
        for round in status.rounds.iter().skip(rounds) {
            bar.round(round);
        }
        rounds = rounds.max(status.rounds.len());
        for notice in status.notices.iter().skip(told) {
            bar.notice(notice);
        }
        told = told.max(status.notices.len());
    };
    let watching = watch_to_end(client, job, &mut seen);
    tokio::pin!(watching);
    tokio::select! {
        result = &mut watching => return result,
        () = host.stopped() => {}
    }
    if !own {
        return Err(FlowError::Stopped);
    }
    host.notice(&format!("cancelling job {job}; press Ctrl-C again to leave at once"));
    match client.cancel(job).await {
        // A job that ended in the meantime cannot be cancelled; its end is told below.
        Ok(()) | Err(ClientError::Refused(_)) => watching.await,
        Err(e) => Err(e.into()),
    }
}

/// Watches until the job is final, through restarts of the coordinator.
async fn watch_to_end(client: &Client, job: JobId, seen: &mut impl FnMut(&JobStatus)) -> Result<JobStatus, FlowError> {
    let mut lost_since: Option<Instant> = None;
    loop {
        let error = match client.watch(job).await {
            Ok(stream) => {
                tokio::pin!(stream);
                loop {
                    match stream.next().await {
                        Some(Ok(status)) => {
                            lost_since = None;
                            seen(&status);
                            if status.state.is_final() {
                                return Ok(status);
                            }
                        }
                        Some(Err(e)) => break e,
                        None => {
                            break ClientError::Unreachable {
                                url: client.url().to_owned(),
                                message: format!("it stopped telling about job {job}; see `shardmill job show {job}`"),
                            };
                        }
                    }
                }
            }
            Err(e) => e,
        };
        let since = *lost_since.get_or_insert_with(Instant::now);
        if matches!(error, ClientError::Refused(_)) || since.elapsed() > RECONNECT_FOR {
            return Err(error.into());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn show(bar: &mut dyn Progress, status: &JobStatus) {
    let stage = status.stages.iter().find(|s| s.done < s.tasks);
    match stage {
        _ if status.state.is_final() => {}
        Some(stage) if status.bytes_total == 0 || status.bytes_done >= status.bytes_total => {
            bar.count(&format!("{} · {}", status.kind, stage.name), stage.done, stage.tasks);
        }
        stage => {
            let name = stage.map_or("waiting", |s| s.name.as_str());
            bar.bytes(
                &format!("{} · {name}", status.kind),
                Some(status.rows_done),
                status.bytes_done,
                status.bytes_total,
            );
        }
    }
}
