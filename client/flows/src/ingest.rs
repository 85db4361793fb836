//! Files into a dataset: a look at the sources, the pass over them with its uploads, and the job.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shardmill_client::ClientError;
use shardmill_common::failure::Refusal;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::ingest::IngestSpec;
use shardmill_common::name::DatasetName;
use shardmill_common::status::JobStatus;
use shardmill_common::units::show_count;

use crate::error::FlowError;
use crate::host::{Host, or_stopped};
use crate::jobs;
use crate::session::Session;
use crate::sources::error::TakeError;
use crate::sources::{Looked, Plan, Prepared, Pulse, ReadOptions, Uploader, assemble, look, pass, total_bytes};

/// How an ingest goes about it.
#[derive(Clone, Debug)]
pub struct Way {
    pub options: ReadOptions,
    /// Bytes of input that make a shard. `None`: by the size of the input.
    pub shard_size: Option<u64>,
    /// Leave out sources whose content an earlier ingest of the dataset took.
    pub new_only: bool,
}

/// What came of it.
pub enum Ingested {
    /// The job, and how many sources were left out because an earlier ingest took them.
    Done { status: Box<JobStatus>, skipped: u64 },
    /// All of the sources were taken before: nothing was done.
    NothingNew { skipped: u64 },
}

/// Opens the sources as far as it takes to know what they are. A host that stops stops the reader.
pub async fn inspect(host: &dyn Host, sources: Vec<String>, options: &ReadOptions) -> Result<Looked, FlowError> {
    let options = options.clone();
    let looked = reading(host, move |pulse| look(&sources, &options, pulse)).await?;
    for name in &looked.twice {
        host.notice(&format!("{name} was named twice; it is taken once"));
    }
    Ok(looked)
}

/// Reads sources on a thread of its own, and makes it give up where the host stops.
pub(crate) async fn reading<T: Send + 'static>(
    host: &dyn Host,
    read: impl FnOnce(&Pulse) -> Result<T, FlowError> + Send + 'static,
) -> Result<T, FlowError> {
    let pulse = Pulse::default();
    let work = tokio::task::spawn_blocking({
        let pulse = pulse.clone();
        move || read(&pulse)
    });
    let read = or_stopped(host, async { joined(work.await) }).await;
    if matches!(read, Err(FlowError::Stopped)) {
        pulse.stop.store(true, Ordering::Relaxed);
    }
    read
}

/// Reads the sources and runs the job; `spec` says everything but what they and the options of reading tell.
pub async fn run(
    host: &dyn Host,
    session: &Session,
    looked: Looked,
    way: Way,
    mut spec: IngestSpec,
) -> Result<Ingested, FlowError> {
    let taken = if way.new_only { taken(session, &spec.output).await? } else { HashSet::new() };
    let uploader = match looked.needs_upload(session.local_files) {
        true => Some(or_stopped(host, Uploader::new(&session.client, spec.replicas)).await?),
        false => None,
    };
    spec.nulls.clone_from(&way.options.nulls);
    spec.schema_is_fixed = way.options.schema.is_some();
    let plan = Plan {
        options: way.options,
        shard_size: way.shard_size,
        local_files: session.local_files,
        uploader,
        taken,
        pulse: Pulse::default(),
    };
    let prepared = prepare(host, looked, plan).await?;
    let skipped = prepared.skipped as u64;
    if skipped > 0 {
        host.hint(&format!("{} source(s) left out: an earlier ingest took them", show_count(skipped)));
    }
    if prepared.sources.is_empty() {
        return Ok(Ingested::NothingNew { skipped });
    }
    (spec.sources, spec.chunks, spec.schema) = (prepared.sources, prepared.chunks, prepared.schema);
    let status = Box::new(jobs::run(host, &session.client, JobSpec::Ingest(spec)).await?);
    Ok(Ingested::Done { status, skipped })
}

fn joined<T>(result: Result<Result<T, FlowError>, tokio::task::JoinError>) -> Result<T, FlowError> {
    result.map_err(TakeError::Thread)?
}

async fn taken(session: &Session, name: &DatasetName) -> Result<HashSet<String>, FlowError> {
    match session.client.taken_sources(name).await {
        Ok(checksums) => Ok(checksums.into_iter().collect()),
        Err(ClientError::Refused(Refusal::NotFound(_))) => Ok(HashSet::new()),
        Err(e) => Err(e.into()),
    }
}

/// The pass over the sources, with its progress bar; a host that stops stops the readers.
async fn prepare(host: &dyn Host, looked: Looked, plan: Plan) -> Result<Prepared, FlowError> {
    let (found, total, pulse) = (looked.sources.len(), total_bytes(&looked.sources), plan.pulse.clone());
    let mut work = tokio::spawn(async move {
        let (passed, plan) = joined(tokio::task::spawn_blocking(move || Ok((pass(looked, &plan)?, plan))).await)?;
        assemble(passed, &plan, found).await
    });
    let mut bar = host.progress();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            done = &mut work => return joined(done),
            _ = tick.tick() => bar.bytes("reading", None, pulse.bytes.load(Ordering::Relaxed), total),
            () = host.stopped() => {
                pulse.stop.store(true, Ordering::Relaxed);
                return Err(FlowError::Stopped);
            }
        }
    }
}
