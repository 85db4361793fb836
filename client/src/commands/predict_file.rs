//! `predict MODEL --from FILE --to FILE`: batch transform.

use serde_json::json;
use shardmill_common::units::{show_bytes, show_count};
use shardmill_flows::predict_file::{Done, FileJob, open, run as predict};
use shardmill_flows::text;

use super::export::shown_path;
use crate::cli::Context;
use crate::error::CliError;
use crate::session;
use crate::table::Table;

pub async fn run(context: &Context, job: FileJob) -> Result<(), CliError> {
    let opened = open(context, &job).await?;
    let done = session::with_own_interrupt(context, async |s| Ok(predict(context, s, &job, opened).await?)).await?;
    report(context, &job, &done)
}

fn report(context: &Context, job: &FileJob, done: &Done) -> Result<(), CliError> {
    let place = shown_path(&job.to);
    let rejects = done.rejects.as_ref().map(|p| shown_path(&p.to_string_lossy()));
    let object = json!({
        "model": done.model, "from": job.from, "to": place, "format": done.format.extension(), "rows": done.exported.rows,
        "rejected": done.rejected, "rejects": rejects, "bytes": done.exported.bytes,
        "seconds": text::round(context.out.elapsed()),
    });
    context.out.result(object, || {
        let mut table = Table::pairs();
        table.pair("model", done.model.to_string());
        table.pair("written to", &place);
        table.pair("format", done.format.extension());
        table.pair("rows", show_count(done.exported.rows));
        table.pair("rejected", show_count(done.rejected));
        if let Some(rejects) = &rejects {
            table.pair("rejects", rejects);
        }
        table.pair("size", show_bytes(done.exported.bytes));
        table.pair("time", text::seconds(context.out.elapsed()));
        table
    })
}
