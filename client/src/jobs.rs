//! What every job verb shares: submit, follow with a progress bar, cancel on Ctrl-C, and show the result.

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Value, json};
use shardmill_common::ids::JobId;
use shardmill_common::kinds::{JobSpec, Submission};
use shardmill_common::model::Round;
use shardmill_common::name::DatasetRef;
use shardmill_common::status::{JobState, JobStatus};
use shardmill_common::units::show_count;

use crate::api::{Client, ClientError};
use crate::cli::Context;
use crate::error::CliError;
use crate::progress::Progress;
use crate::table::Table;
use crate::{machine, plan, text};

/// A coordinator that restarts is waited for this long while a job is followed.
const RECONNECT_FOR: Duration = Duration::from_secs(60);

/// A job to run or, with `--dry-run`, only to check and to explain.
pub struct Order {
    pub spec: JobSpec,
    pub dry_run: bool,
}

impl From<JobSpec> for Order {
    fn from(spec: JobSpec) -> Self {
        Self { spec, dry_run: false }
    }
}

/// Submits a job and follows it to its end; a job that did not end well is an error. Of a dry run the plan is shown, and the
/// command then ends early, by [`CliError::Explained`].
pub async fn run(context: &Context, client: &Client, order: impl Into<Order>) -> Result<JobStatus, CliError> {
    let Order { spec, dry_run } = order.into();
    let submission = Submission { spec, who: machine::who(), priority: 0, deadline_seconds: None };
    if dry_run {
        let plan = context.interrupt.or_interrupted(async { Ok(client.explain(&submission).await?) }).await?;
        plan::show(context, &plan)?;
        return Err(CliError::Explained);
    }
    let job = client.submit(&submission).await?;
    let status = follow(context, client, job, true).await?;
    match status.state {
        JobState::Done => Ok(status),
        _ => Err(CliError::Job(Box::new(status))),
    }
}

/// Follows a job to its end. With `own`, Ctrl-C cancels it; otherwise Ctrl-C only stops watching.
pub async fn follow(context: &Context, client: &Client, job: JobId, own: bool) -> Result<JobStatus, CliError> {
    let mut bar = context.out.progress();
    let mut told = 0;
    let mut rounds = 0;
    let mut seen = |status: &JobStatus| {
        show(&mut bar, status);
        for round in status.rounds.iter().skip(rounds) {
            bar.pause(|| context.out.hint(&round_line(round)));
        }
        rounds = rounds.max(status.rounds.len());
        for notice in status.notices.iter().skip(told) {
            bar.pause(|| context.out.notice(notice));
        }
        told = told.max(status.notices.len());
    };
    let watching = watch_to_end(client, job, &mut seen);
    tokio::pin!(watching);
    tokio::select! {
        result = &mut watching => return result,
        () = context.interrupt.wait() => {}
    }
    if !own {
        return Err(CliError::Interrupted);
    }
    context.out.notice(&format!("cancelling job {job}; press Ctrl-C again to leave at once"));
    match client.cancel(job).await {
        // A job that ended in the meantime cannot be cancelled; its end is told below.
        Ok(()) | Err(ClientError::Refused(_)) => watching.await,
        Err(e) => Err(e.into()),
    }
}

/// Watches until the job is final, through restarts of the coordinator.
async fn watch_to_end(client: &Client, job: JobId, seen: &mut impl FnMut(&JobStatus)) -> Result<JobStatus, CliError> {
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

fn show(bar: &mut Progress, status: &JobStatus) {
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

/// A round of a training, for people.
fn round_line(round: &Round) -> String {
    format!(
        "round {}: loss {:.9}, gradient {:.1e}, {}",
        round.round,
        round.loss,
        round.gradient,
        text::seconds(round.seconds)
    )
}

/// Prints the end of a job that was done: the object for programs, or a table and what to look at next for people.
pub fn report(context: &Context, status: &JobStatus) -> Result<(), CliError> {
    let seconds = context.out.elapsed();
    context.out.result(to_json(status, seconds), || to_table(status, seconds))?;
    hints(context, status);
    Ok(())
}

fn hints(context: &Context, status: &JobStatus) {
    let rejected = status.counters.get("rejected");
    if let Some(dataset) = status.dataset.as_ref().filter(|_| rejected > 0) {
        let rows = if rejected == 1 { "1 row was".to_owned() } else { format!("{} rows were", show_count(rejected)) };
        context
            .out
            .hint(&format!("{rows} rejected; to see them and why: shardmill dataset head {}", dataset.name.rejects()));
    }
    if let Some(model) = &status.model {
        context.out.hint(&format!("what it learnt: shardmill model show {model}"));
    }
    context.out.hint(&format!("how it was made: shardmill record show {}", status.job));
}

/// The one JSON object of a job.
pub fn to_json(status: &JobStatus, seconds: f64) -> Value {
    let mut object = json!({
        "job": status.job,
        "state": status.state,
        "dataset": status.dataset.as_ref().map(DatasetRef::to_string),
        "rows": status.rows,
        "counters": status.counters.to_json(),
        "seconds": text::round(seconds),
    });
    if let (Some(model), Value::Object(map)) = (&status.model, &mut object) {
        map.insert("model".to_owned(), model.to_string().into());
        map.insert("rounds".to_owned(), json!(status.rounds));
        map.insert("converged".to_owned(), json!(status.converged));
        map.insert("notices".to_owned(), json!(status.notices));
    }
    if let (Some(error), Value::Object(map)) = (&status.error, &mut object) {
        map.insert("error".to_owned(), error.clone().into());
    }
    object
}

pub fn to_table(status: &JobStatus, seconds: f64) -> Table {
    let mut table = Table::pairs();
    table.pair("job", format!("{} ({})", status.job, status.kind));
    if status.state != JobState::Done {
        table.pair("state", status.state.name());
    }
    if let Some(dataset) = &status.dataset {
        table.pair("dataset", dataset.to_string());
    }
    if let Some(model) = &status.model {
        table.pair("model", model.to_string());
    }
    if let Some(last) = status.rounds.last().filter(|_| status.model.is_some()) {
        table.pair("rounds", show_count(status.rounds.len() as u64));
        table.pair("loss", last.loss.to_string());
    }
    if let Some(rows) = status.rows {
        table.pair("rows", show_count(rows));
    }
    for (name, n) in status.counters.in_order() {
        if name != "rows" || status.rows != Some(n) {
            let shown = if name == "rows" { "rows read" } else { name };
            table.pair(&shown.replace('_', " ").replacen('/', ": ", 1), show_count(n));
        }
    }
    if let Some(error) = &status.error {
        table.wrapped_pair("error", error);
    }
    table.pair("time", text::seconds(seconds));
    table
}

/// Seconds between a job's submission and its end, or now.
pub fn seconds_of(status: &JobStatus) -> f64 {
    status.finished.unwrap_or_else(shardmill_common::time::Timestamp::now).seconds_since(status.submitted)
}
