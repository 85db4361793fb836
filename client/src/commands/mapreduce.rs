//! `mapreduce OUT`: the user's own map and reduce, in SQL or as programs.

use shardmill_common::counters::Counter;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::mapreduce::MapReduceSpec;
use shardmill_common::schema::Schema;
use shardmill_common::units::show_count;
use shardmill_worker::sql;

pub use super::mapreduce_args::MapReduceArgs;
use super::mapreduce_files::ship;
use crate::cli::Context;
use crate::error::CliError;
use crate::{jobs, session};
use shardmill_client::Client;

pub async fn run(context: &Context, args: MapReduceArgs) -> Result<(), CliError> {
    // Mistakes are told before anything is shipped.
    let mut spec = args.spec(Vec::new())?;
    spec.check_parts().map_err(CliError::usage)?;
    let status = session::with_own_interrupt(context, async |s| {
        let files = context.interrupt.or_interrupted(async {
            check(&s.client, &spec).await?;
            if args.dry_run.is_on() { Ok(Vec::new()) } else { ship(s, &args.files).await }
        });
        spec.work.files = files.await?;
        jobs::run(context, &s.client, args.dry_run.of(JobSpec::MapReduce(spec))).await
    })
    .await?;
    jobs::report(context, &status)?;
    let skipped = status.counters.get(&Counter::Skipped);
    if let Some(dataset) = status.dataset.as_ref().filter(|_| skipped > 0) {
        let records =
            if skipped == 1 { "1 record was".to_owned() } else { format!("{} records were", show_count(skipped)) };
        context.out.hint(&format!(
            "{records} skipped; to see them and why: shardmill dataset head {}",
            dataset.name.rejects()
        ));
    }
    Ok(())
}

/// The check that the job begins with, on this side: so a statement's mistake is one of usage, told before there is a job.
async fn check(client: &Client, spec: &MapReduceSpec) -> Result<(), CliError> {
    let mut schemas = Vec::with_capacity(spec.inputs.len());
    for input in &spec.inputs {
        schemas.push(client.locate(&input.dataset).await?.manifest.schema);
    }
    Schema::settle(&mut schemas.iter_mut().collect::<Vec<_>>());
    sql::check_job(spec, &schemas).map_err(CliError::usage)?;
    Ok(())
}
