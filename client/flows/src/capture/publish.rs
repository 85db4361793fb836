//! One publication: complete files into a version of their dataset, by an ingest that appends. A file goes in once, whatever
//! breaks on the way: the coordinator refuses a source that it took before.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::StreamExt;
use shardmill_client::{Client, ClientError};
use shardmill_common::counters::Counter;
use shardmill_common::failure::Refusal;
use shardmill_common::kinds::ingest::{BytesAs, Fixed, IngestSpec};
use shardmill_common::kinds::{JobSpec, Submission};
use shardmill_common::layout::CaptureLayout;
use shardmill_common::name::DatasetName;
use shardmill_common::schema::Schema;
use shardmill_common::status::{JobState, JobStatus};
use shardmill_common::units::RejectLimit;

use super::files::{self, Sealed};
use crate::error::FlowError;
use crate::export::Format;
use crate::machine;
use crate::sources::{Plan, Prepared, Pulse, ReadOptions, TextEncoding, Uploader, assemble, look, pass};

/// A dataset that someone else writes is waited for this long.
const BUSY_FOR: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Why rows were not published, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error("they cannot be written to disk")]
    Unwritten,
    #[error("{0}")]
    Files(std::io::Error),
    #[error("they are published, but their files cannot be removed: {0}")]
    Unremoved(std::io::Error),
    #[error("reading them was stopped: {0}")]
    Thread(tokio::task::JoinError),
    #[error(transparent)]
    Flow(#[from] FlowError),
}

impl Failed {
    /// Nobody answered: the channel is of no use any more.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Failed::Flow(error) if error.is_unreachable())
    }
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        Failed::Flow(error.into())
    }
}

/// Puts the files into the dataset, but for those that are in it. Returns the rows that went in.
pub async fn publish(
    client: &Client,
    layout: &CaptureLayout,
    dataset: &DatasetName,
    found: &[Sealed],
) -> Result<u64, Failed> {
    let known = found.iter().fold(Schema::default(), |sum, f| sum.join(&files::read_schema(layout, dataset, f.id)));
    // Refused at once where there is no worker to publish to.
    client.upload_targets(None).await?;
    let begun = Instant::now();
    let mut spec = None;
    loop {
        // What an attempt that broke off has put in is found out anew each time.
        let taken: HashSet<String> = client.taken_sources(dataset).await?.into_iter().collect();
        let is_stale = |spec: &IngestSpec| spec.sources.iter().any(|s| taken.contains(&s.checksum));
        let ready = match spec.take().filter(|s| !is_stale(s)) {
            Some(ready) => ready,
            None => ingest(dataset, prepare(client, found, taken).await?, &known),
        };
        if ready.sources.is_empty() {
            return Ok(0);
        }
        match submit(client, &ready).await {
            Err(ClientError::Refused(Refusal::Conflict(_))) if begun.elapsed() < BUSY_FOR => {
                tokio::time::sleep(ASK_EVERY).await;
                spec = Some(ready);
            }
            Err(e) => return Err(e.into()),
            Ok(status) if status.state == JobState::Done => {
                let rejected = status.counters.get(&Counter::Rejected);
                if rejected > 0 {
                    tracing::warn!(%dataset, rejected, "captured rows were rejected: see `{}`", dataset.rejects());
                }
                return Ok(status.counters.get(&Counter::Rows));
            }
            Ok(status) => return Err(FlowError::Job(Box::new(status)).into()),
        }
    }
}

async fn prepare(client: &Client, found: &[Sealed], taken: HashSet<String>) -> Result<Prepared, Failed> {
    let options = ReadOptions { kind: Some(Format::Jsonl), encoding: Some(TextEncoding::Utf8), ..Default::default() };
    let uploader = Uploader::new(client, None).await?;
    let names: Vec<String> = found.iter().map(|f| f.path.to_string_lossy().into_owned()).collect();
    let prepared = tokio::task::spawn_blocking(move || {
        let pulse = Pulse::default();
        let looked = look(&names, &options, &pulse)?;
        let found = looked.sources.len();
        let plan = Plan { options, shard_size: None, local_files: false, uploader: Some(uploader), taken, pulse };
        Ok::<_, FlowError>((pass(looked, &plan)?, plan, found))
    });
    let (passed, plan, found) = prepared.await.map_err(Failed::Thread)??;
    Ok(assemble(passed, &plan, found).await?)
}

fn ingest(dataset: &DatasetName, prepared: Prepared, known: &Schema) -> IngestSpec {
    IngestSpec {
        sources: prepared.sources,
        chunks: prepared.chunks,
        schema: schema(known, &prepared.schema),
        // A value that does not fit widens its column: nothing that was served is turned away.
        fixed: Fixed::None,
        bytes: BytesAs::Binary,
        widen: true,
        max_rejects: RejectLimit::Percent(100.0),
        append: true,
        refuse_taken: true,
        ..IngestSpec::new(dataset.clone())
    }
}

/// Hands the ingest in and waits for its end.
async fn submit(client: &Client, spec: &IngestSpec) -> Result<JobStatus, ClientError> {
    let who = format!("capture@{}", machine::hostname());
    let submission = Submission { spec: JobSpec::Ingest(spec.clone()), who, priority: 0, deadline_seconds: None };
    let job = client.submit(&submission).await?;
    let mut statuses = Box::pin(client.watch(job).await?);
    while let Some(status) = statuses.next().await {
        let status = status?;
        if status.state.is_final() {
            return Ok(status);
        }
    }
    let message = format!("it stopped telling about job {job}");
    Err(ClientError::Unreachable { url: client.url().to_owned(), message })
}

/// The known types, widened by what the values need; then the columns that are known by their values alone. Of these, one
/// without any value is left out: it would become text, and text it would stay.
fn schema(known: &Schema, sampled: &Schema) -> Schema {
    use shardmill_common::schema::DataType;
    let mut schema = known.join(sampled);
    schema.fields.retain(|f| f.dtype != DataType::Null);
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_common::schema::{DataType, Field};

    #[test]
    fn known_types_hold_where_there_is_no_value() {
        let of = |fields: &[(&str, DataType)]| Schema::new(fields.iter().map(|(n, t)| Field::new(*n, *t)).collect());
        let known = of(&[("age", DataType::Int64), ("code", DataType::String)]);
        let sampled = of(&[
            ("age", DataType::Null),
            ("code", DataType::Date),
            ("id", DataType::Int64),
            ("nothing", DataType::Null),
        ]);
        assert_eq!(
            schema(&known, &sampled),
            of(&[("age", DataType::Int64), ("code", DataType::String), ("id", DataType::Int64)])
        );
    }
}
