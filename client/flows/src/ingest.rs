//! Files into a dataset: a look at the sources, the pass over them with its uploads, and the job.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use shardmill_client::ClientError;
use shardmill_common::failure::Refusal;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::ingest::{Fixed, IngestSpec, Source};
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
    Done { status: Box<JobStatus>, skipped: u64, readings: Vec<Reading>, notices: Vec<String> },
    /// All of the sources were taken before: nothing was done.
    NothingNew { skipped: u64 },
}

/// How sources were read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reading {
    pub read_as: String,
    /// One of them.
    pub source: String,
    pub sources: usize,
}

/// How these sources are read, in the order of the first of each kind.
fn readings(sources: &[Source]) -> Vec<Reading> {
    let mut all: Vec<Reading> = Vec::new();
    for source in sources {
        let Some(read_as) = &source.read_as else { continue };
        match all.iter_mut().find(|r| r.read_as == *read_as) {
            Some(known) => known.sources += 1,
            None => all.push(Reading { read_as: read_as.clone(), source: source.name.clone(), sources: 1 }),
        }
    }
    all
}

/// Tells what is remarkable, each thing once: `a.csv and 2 others: read as semicolon, header`.
fn tell(host: &dyn Host, told: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut all: Vec<(String, String, usize)> = Vec::new();
    for (source, text) in told {
        match all.iter_mut().find(|(_, known, _)| *known == text) {
            Some((_, _, sources)) => *sources += 1,
            None => all.push((source, text, 1)),
        }
    }
    let line = |(source, text, sources): (String, String, usize)| {
        let others = match sources {
            1 => String::new(),
            2 => " and another".to_owned(),
            n => format!(" and {} others", show_count(n as u64 - 1)),
        };
        let notice = format!("{source}{others}: {text}");
        host.notice(&notice);
        notice
    };
    all.into_iter().map(line).collect()
}

/// Opens the sources as far as it takes to know what they are. A host that stops stops the reader.
pub async fn inspect(host: &dyn Host, sources: Vec<String>, options: &ReadOptions) -> Result<Looked, FlowError> {
    let options = options.clone();
    let looked = reading(host, move |pulse| look(&sources, &options, pulse)).await?;
    for name in &looked.twice {
        host.notice(&format!("{name} was named twice; it is taken once"));
    }
    if !looked.passed_over.is_empty() {
        host.notice(&passed_over(&looked.passed_over));
    }
    let remarkable = looked.sources.iter().filter(|s| s.remarkable);
    let read_as = remarkable.filter_map(|s| Some((s.name.clone(), format!("read as {}", s.read_as.as_ref()?))));
    tell(host, read_as);
    Ok(looked)
}

/// Names a few of the files that were passed over.
fn passed_over(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => format!("passed over, as no data: {shown}"),
        more => format!("passed over, as no data: {shown} and {} more", show_count(more as u64)),
    }
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
    spec.fixed = match (&way.options.schema, way.options.types.is_empty()) {
        (Some(_), _) => Fixed::All,
        (None, true) => Fixed::None,
        (None, false) => Fixed::Only(way.options.types.names().map(str::to_owned).collect()),
    };
    spec.bytes = way.options.bytes;
    spec.wanted = way.options.wanted.clone();
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
    let notices = spec.sources.iter().flat_map(|s| s.notices.iter().map(|notice| (s.name.clone(), notice.clone())));
    let mut notices = tell(host, notices);
    let readings = readings(&spec.sources);
    let status = Box::new(jobs::run(host, &session.client, JobSpec::Ingest(spec)).await?);
    // Those were told while the job was followed.
    notices.extend(status.notices.iter().cloned());
    Ok(Ingested::Done { status, skipped, readings, notices })
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
