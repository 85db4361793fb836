//! Reads a dataset version from the workers that hold it: in order, a shard ahead, never all of it in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType as ArrowType, Field, Schema as ArrowSchema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use futures::StreamExt;
use shardmill_common::message::LocatedManifest;
use shardmill_common::schema::{DataType, Schema};
use shardmill_common::task::Peer;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::FlowError;
use crate::read_error::{ReadError, ReadFault, told};
use shardmill_client::{Client, ClientError};
use shardmill_common::name::DatasetRef;

/// Batches of one shard that wait for whoever reads them.
const BATCHES_AHEAD: usize = 2;
/// Shards that are read at once: the current one and the next.
const SHARDS_AHEAD: usize = 2;
/// Times each holder of a shard is asked before the shard is given up.
const ROUNDS: usize = 2;

/// Rows of one shard that are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slice {
    ordinal: usize,
    skip: u64,
    rows: u64,
}

/// Which rows of which shards make up `limit` rows from `offset` on.
fn slices(shard_rows: impl Iterator<Item = u64>, offset: u64, limit: u64) -> VecDeque<Slice> {
    let (mut skip, mut left) = (offset, limit);
    let mut out = VecDeque::new();
    for (ordinal, rows) in shard_rows.enumerate() {
        let wanted = rows.saturating_sub(skip).min(left);
        if wanted > 0 {
            out.push_back(Slice { ordinal, skip, rows: wanted });
        }
        skip = skip.saturating_sub(rows);
        left -= wanted;
    }
    out
}

/// The types in which rows are handed on, whatever their workers send.
pub fn arrow_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields.iter().map(|f| Field::new(&f.name, arrow_type(f.dtype), true));
    Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()))
}

fn arrow_type(dtype: DataType) -> ArrowType {
    match dtype {
        DataType::Null | DataType::String => ArrowType::LargeUtf8,
        DataType::Binary => ArrowType::LargeBinary,
        other => shardmill_sql::arrow_type(other),
    }
}

/// The batch with the columns of `schema`, in its order and types.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ReadFault> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = batch
            .column_by_name(field.name())
            .ok_or_else(|| ReadFault::ColumnMissing { column: field.name().clone() })?;
        let column = if column.data_type() == field.data_type() {
            column.clone()
        } else {
            arrow::compute::cast(column, field.data_type())
                .map_err(|error| ReadFault::Column { column: field.name().clone(), error })?
        };
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// A version being read, shard by shard.
pub struct Reader {
    client: Client,
    located: Arc<LocatedManifest>,
    schema: SchemaRef,
    wanted: VecDeque<Slice>,
    started: VecDeque<ShardRows>,
}

/// The rows of one shard as they arrive.
pub struct ShardRows {
    batches: mpsc::Receiver<Result<RecordBatch, FlowError>>,
    task: JoinHandle<()>,
}

impl ShardRows {
    pub async fn next_batch(&mut self) -> Option<Result<RecordBatch, FlowError>> {
        self.batches.recv().await
    }
}

impl Drop for ShardRows {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reader {
    pub fn new(client: Client, located: Arc<LocatedManifest>, offset: u64, limit: u64) -> Self {
        let schema = arrow_schema(&located.manifest.schema);
        let wanted = slices(located.manifest.shards.iter().map(|s| s.rows()), offset, limit);
        Self { client, located, schema, wanted, started: VecDeque::new() }
    }

    /// The next shard that has rows; the one after it begins to arrive meanwhile.
    pub fn next_shard(&mut self) -> Option<ShardRows> {
        while self.started.len() < SHARDS_AHEAD {
            let Some(slice) = self.wanted.pop_front() else { break };
            let (send, batches) = mpsc::channel(BATCHES_AHEAD);
            let (client, located, schema) = (self.client.clone(), self.located.clone(), self.schema.clone());
            let task = tokio::spawn(async move {
                if let Err(e) = read_shard(&client, &located, &schema, slice, &send).await {
                    // Nobody listens any more where this fails.
                    let _ = send.send(Err(e)).await;
                }
            });
            self.started.push_back(ShardRows { batches, task });
        }
        self.started.pop_front()
    }
}

type Sender = mpsc::Sender<Result<RecordBatch, FlowError>>;

/// Sends the rows of a shard, going on at another holder where one fails.
async fn read_shard(
    client: &Client,
    located: &LocatedManifest,
    schema: &SchemaRef,
    slice: Slice,
    send: &Sender,
) -> Result<(), FlowError> {
    let dataset = located.manifest.reference();
    let Some((ticket, mut holders)) = located.ticket(slice.ordinal) else {
        return Err(ReadError::NoShard { dataset, shard: slice.ordinal }.into());
    };
    if holders.is_empty() {
        return Err(ReadError::NoHolder { dataset, shard: slice.ordinal }.into());
    }
    // Neighbouring shards are asked of different holders, which spreads the load.
    let first = slice.ordinal % holders.len();
    holders.rotate_left(first);
    let mut sent = 0;
    let mut why = None;
    for holder in holders.iter().cycle().take(holders.len() * ROUNDS) {
        let mut rest = ticket.clone();
        rest.skip = slice.skip + sent;
        rest.limit = Some(slice.rows - sent);
        let ticket = serde_json::to_vec(&rest).map_err(ReadError::Ticket)?;
        match read_from(client, holder, ticket, schema, send, &mut sent).await {
            Ok(()) if sent == slice.rows => return Ok(()),
            Ok(()) => why = Some(ReadFault::Rows { worker: holder.worker, sent, expected: slice.rows }),
            Err(Trouble::NobodyListens) => return Ok(()),
            Err(Trouble::Worker(e)) => why = Some(e),
        }
        if sent > slice.rows {
            break;
        }
        tracing::warn!(shard = slice.ordinal, why = %told(&why), "a shard could not be read; trying again");
    }
    Err(ReadError::Shard { dataset, shard: slice.ordinal, why }.into())
}

enum Trouble {
    Worker(ReadFault),
    NobodyListens,
}

impl From<ClientError> for Trouble {
    fn from(e: ClientError) -> Self {
        Trouble::Worker(e.into())
    }
}

/// One try at one holder; `sent` counts the rows that were handed on, whatever comes after.
async fn read_from(
    client: &Client,
    holder: &Peer,
    ticket: Vec<u8>,
    schema: &SchemaRef,
    send: &Sender,
    sent: &mut u64,
) -> Result<(), Trouble> {
    let stream = client.worker(holder).await?.read(ticket).await?;
    tokio::pin!(stream);
    while let Some(batch) = stream.next().await {
        let batch = conform(&batch?, schema).map_err(Trouble::Worker)?;
        *sent += batch.num_rows() as u64;
        if send.send(Ok(batch)).await.is_err() {
            return Err(Trouble::NobodyListens);
        }
    }
    Ok(())
}

/// The first rows of a version.
pub async fn batches(client: &Client, dataset: &DatasetRef, limit: u64) -> Result<Vec<RecordBatch>, FlowError> {
    let located = Arc::new(client.locate(dataset).await?);
    let mut reader = Reader::new(client.clone(), located, 0, limit);
    let mut batches = Vec::new();
    while let Some(mut shard) = reader.next_shard() {
        while let Some(batch) = shard.next_batch().await {
            batches.push(batch?);
        }
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, Int64Array, StringViewArray};

    #[test]
    fn slices_cover_exactly_the_rows_asked_for() {
        let of = |offset, limit| Vec::from(slices([3, 0, 5, 2].into_iter(), offset, limit));
        let slice = |ordinal, skip, rows| Slice { ordinal, skip, rows };
        assert_eq!(of(0, u64::MAX), [slice(0, 0, 3), slice(2, 0, 5), slice(3, 0, 2)]);
        assert_eq!(of(4, 5), [slice(2, 1, 4), slice(3, 0, 1)]);
        assert_eq!(of(0, 2), [slice(0, 0, 2)]);
        assert_eq!(of(10, 1), []);
    }

    #[test]
    fn batches_are_brought_to_one_set_of_types() {
        let sent = RecordBatch::try_from_iter([
            ("b", Arc::new(StringViewArray::from(vec![Some("x"), None])) as ArrayRef),
            ("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ])
        .unwrap();
        let wanted = Schema::new(vec![
            shardmill_common::schema::Field::new("a", DataType::Int64),
            shardmill_common::schema::Field::new("b", DataType::String),
        ]);
        let got = conform(&sent, &arrow_schema(&wanted)).unwrap();
        assert_eq!(got.column(1).data_type(), &ArrowType::LargeUtf8);
        assert!(got.column(1).is_null(1));
        let more = Schema::new(vec![shardmill_common::schema::Field::new("c", DataType::Int64)]);
        assert!(conform(&sent, &arrow_schema(&more)).unwrap_err().to_string().contains("`c`"));
    }
}
