//! What every job verb shares: run it, and show the result.

use serde_json::{Value, json};
use shardmill_client::Client;
use shardmill_common::counters::Counter;
use shardmill_common::ids::JobId;
use shardmill_common::kinds::JobSpec;
use shardmill_common::model::Round;
use shardmill_common::name::DatasetRef;
use shardmill_common::status::{JobState, JobStatus};
use shardmill_common::units::show_count;
use shardmill_flows::{jobs as flows, text};

use crate::cli::Context;
use crate::error::CliError;
use crate::plan;
use crate::table::Table;

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
    if dry_run {
        let asked = flows::submission(spec);
        let plan = context.interrupt.or_interrupted(async { Ok(client.explain(&asked).await?) }).await?;
        plan::show(context, &plan)?;
        return Err(CliError::Explained);
    }
    Ok(flows::run(context, client, spec).await?)
}

/// Follows a job to its end. With `own`, Ctrl-C cancels it; otherwise Ctrl-C only stops watching.
pub async fn follow(context: &Context, client: &Client, job: JobId, own: bool) -> Result<JobStatus, CliError> {
    Ok(flows::follow(context, client, job, own).await?)
}

/// A round of a training, for people.
pub fn round_line(round: &Round) -> String {
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

/// What to look at next.
pub fn hints(context: &Context, status: &JobStatus) {
    let rejected = status.counters.get(&Counter::Rejected);
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
    for (counter, n) in status.counters.in_order() {
        if *counter != Counter::Rows || status.rows != Some(n) {
            let shown = if *counter == Counter::Rows { "rows read".into() } else { counter.name() };
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
