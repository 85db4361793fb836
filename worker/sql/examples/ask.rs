//! Runs statements that come as lines of JSON, `{"statement": "...", "tables": {"name": "path of an Arrow file"}}`, and answers each
//! with a line: `{"columns": [...], "rows": [[...]]}` with all values as text, or `{"error": "..."}`. For comparisons with other engines.
//! With `--queries`, statements are run as queries over shards by several threads, with `--spread` by three workers that ask each other
//! over sockets, otherwise as those of a map or a reduce.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::DataType;
use arrow::ipc::reader::FileReader;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{ChannelResolver, Worker, WorkerChannel};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use serde_json::{Value, json};
use shardmill_common::ids::ObjectId;
use shardmill_common::manifest::{ObjectRef, ShardEntry};
use shardmill_common::schema::{DataType as Stored, Field, Schema};
use shardmill_sql::{
    EngineError, Limits, QueriedTable, QueryLimits, ShardFile, ShardSource, SourceError, Sources, Team, arrow_schema,
    check, check_query, environment, query_worker, run, run_query,
};
use tokio::runtime::Runtime;
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;
use url::Url;

#[derive(serde::Deserialize)]
struct Question {
    statement: String,
    tables: BTreeMap<String, String>,
}

/// The file's rows in stored types.
fn table(path: &str) -> Result<(Schema, RecordBatch), Box<dyn Error>> {
    let reader = FileReader::try_new(File::open(path)?, None)?;
    let found = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    let rows = concat_batches(&found, &batches)?;
    let stored = |dtype: &DataType| match dtype {
        DataType::Boolean => Stored::Boolean,
        DataType::Date32 => Stored::Date,
        DataType::Timestamp(_, None) => Stored::DATETIME,
        dtype if dtype.is_integer() => Stored::Int64,
        dtype if dtype.is_floating() => Stored::Float64,
        _ => Stored::String,
    };
    let fields = found.fields().iter().map(|f| Field::new(f.name().as_str(), stored(f.data_type())));
    let schema = Schema::new(fields.collect());
    let wanted = arrow_schema(&schema);
    let columns = rows.columns().iter().zip(wanted.fields()).map(|(column, field)| cast(column, field.data_type()));
    Ok((schema, RecordBatch::try_new(wanted.clone(), columns.collect::<Result<_, _>>()?)?))
}

/// Shards in memory.
#[derive(Clone, Debug, Default)]
struct Shards(HashMap<ObjectId, ShardFile>);

/// The shards of the statement that runs, which all workers see.
#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Shards>>);

impl Sources for Shared {
    fn at(&self, _: &str) -> Option<Arc<dyn ShardSource>> {
        Some(Arc::new(self.0.lock().ok()?.clone()))
    }
}

/// The ways to all workers.
struct Ways(HashMap<Url, BoxCloneSyncChannel>);

#[async_trait::async_trait]
impl ChannelResolver for Ways {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>, EngineError> {
        match self.0.get(url) {
            Some(channel) => Ok(create_worker_client(channel.clone())),
            None => Err(EngineError::Internal(format!("no way to {url}"))),
        }
    }
}

/// Three workers in this process, each behind a door of its own.
struct Spread {
    // Held, not used: the doors are open as long as it lives.
    _runtime: Runtime,
    workers: Vec<(Worker, Url)>,
    channels: Arc<Ways>,
    shared: Shared,
    _scratch: tempfile::TempDir,
}

impl Spread {
    fn new() -> Result<Self, Box<dyn Error>> {
        const WORKERS: usize = 3;
        let runtime = Runtime::new()?;
        let entered = runtime.enter();
        let (mut listeners, mut ways) = (Vec::new(), HashMap::new());
        for _ in 0..WORKERS {
            let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
            let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
            let channel = Channel::from_shared(url.to_string())?.connect_lazy();
            ways.insert(url.clone(), BoxCloneSyncChannel::new(channel));
            listeners.push((listener, url));
        }
        let (shared, channels) = (Shared::default(), Arc::new(Ways(ways)));
        let scratch = tempfile::tempdir()?;
        let mut workers = Vec::new();
        for (listener, url) in listeners {
            let environment = environment(1 << 30, scratch.path().to_owned())?;
            let worker = query_worker(environment, Arc::new(shared.clone()), channels.clone());
            let server = tonic::transport::Server::builder().add_service(worker.clone().into_worker_server());
            runtime.spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
            workers.push((worker, url));
        }
        drop(entered);
        Ok(Self { _runtime: runtime, workers, channels, shared, _scratch: scratch })
    }

    /// All of them, with the shards dealt out among them.
    fn team(&self, shards: &Shards, tables: &[QueriedTable]) -> Option<Team> {
        *self.shared.0.lock().ok()? = shards.clone();
        let entries = tables.iter().flat_map(|table| table.shards.iter());
        let holders = entries.enumerate().map(|(n, shard)| (shard.object.id, vec![n % self.workers.len()])).collect();
        let (worker, own) = self.workers.first()?;
        let urls = self.workers.iter().map(|(_, url)| url.clone()).collect();
        let local = worker.to_local_worker_context(own.clone());
        Some(Team { urls, holders, channels: self.channels.clone(), local, small: 0 })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is no such shard")]
struct NoShard;

impl ShardSource for Shards {
    fn open(&self, shard: &ShardEntry) -> Result<ShardFile, SourceError> {
        self.0.get(&shard.object.id).cloned().ok_or_else(|| SourceError::new(NoShard))
    }

    fn place(&self, _: &[ShardEntry]) -> String {
        String::new()
    }

    fn widen(&self, rows: RecordBatch, _: &Schema) -> Result<RecordBatch, SourceError> {
        Ok(rows)
    }
}

/// Pieces of a table's rows as Parquet.
fn stored(rows: &RecordBatch, shards: &mut Shards) -> Result<Vec<ShardEntry>, Box<dyn Error>> {
    const PIECES: usize = 5;
    let size = rows.num_rows().div_ceil(PIECES).max(1);
    let mut entries = Vec::new();
    for at in (0..rows.num_rows()).step_by(size) {
        let piece = rows.slice(at, size.min(rows.num_rows() - at));
        let mut data = Vec::new();
        let options = ArrowWriterOptions::new().with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(&mut data, piece.schema(), options)?;
        writer.write(&piece)?;
        writer.close()?;
        let object = ObjectRef { id: ObjectId::fresh(), bytes: data.len() as u64, checksum: String::new() };
        shards.0.insert(object.id, ShardFile { data: data.into(), dropped: None });
        entries.push(ShardEntry { object, stored_rows: piece.num_rows() as u64, deletions: None });
    }
    Ok(entries)
}

/// Runs a statement as a query.
fn queried(
    statement: &str,
    tables: &[(&str, &(Schema, RecordBatch))],
    spread: Option<&Spread>,
) -> Result<RecordBatch, Box<dyn Error>> {
    let mut shards = Shards::default();
    let mut found = Vec::with_capacity(tables.len());
    for (name, (schema, rows)) in tables {
        let entries = stored(rows, &mut shards)?;
        found.push(QueriedTable { name: (*name).to_owned(), schema: schema.clone(), shards: Arc::new(entries) });
    }
    let schema = arrow_schema(&check_query(statement, &found)?);
    let scratch = tempfile::tempdir()?;
    let limits = QueryLimits { memory: 1 << 30, threads: 3, scratch: scratch.path().to_owned(), stop: &|| false };
    let mut batches = Vec::new();
    let team = spread.and_then(|spread| spread.team(&shards, &found));
    run_query(statement, &found, Arc::new(shards), &limits, team, &mut |rows| {
        batches.push(rows);
        Ok(())
    })?;
    Ok(concat_batches(&schema, &batches)?)
}

/// How statements are run.
enum Way {
    Map,
    Query,
    Spread(Box<Spread>),
}

fn answer(
    question: &Question,
    known: &mut HashMap<String, (Schema, RecordBatch)>,
    way: &Way,
) -> Result<Value, Box<dyn Error>> {
    for path in question.tables.values() {
        if !known.contains_key(path) {
            known.insert(path.clone(), table(path)?);
        }
    }
    let tables: Vec<(&str, &(Schema, RecordBatch))> =
        question.tables.iter().filter_map(|(name, path)| Some((name.as_str(), known.get(path)?))).collect();
    let made = match way {
        Way::Map => mapped(&question.statement, &tables)?,
        Way::Query => queried(&question.statement, &tables, None)?,
        Way::Spread(spread) => queried(&question.statement, &tables, Some(spread))?,
    };
    shown(&made)
}

/// Runs a statement as a map's or a reduce's.
fn mapped(statement: &str, tables: &[(&str, &(Schema, RecordBatch))]) -> Result<RecordBatch, Box<dyn Error>> {
    let schemas: Vec<(&str, &Schema)> = tables.iter().map(|(name, table)| (*name, &table.0)).collect();
    check(statement, &schemas)?;
    let rows: Vec<(&str, RecordBatch)> = tables.iter().map(|(name, table)| (*name, table.1.clone())).collect();
    let mut made = Vec::new();
    run(statement, &rows, Limits { memory: 1 << 30, spills: false }, &mut |batch| {
        made.push(batch);
        Ok(())
    })?;
    let schema = made.first().ok_or("no batch")?.schema();
    Ok(concat_batches(&schema, &made)?)
}

fn shown(made: &RecordBatch) -> Result<Value, Box<dyn Error>> {
    let options = FormatOptions::default();
    let shown = made.columns().iter().map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<Vec<_>, _>>()?;
    let cell = |row: usize, column: usize| match (made.columns().get(column), shown.get(column)) {
        (Some(cells), Some(shown)) if cells.is_valid(row) => json!(shown.value(row).to_string()),
        _ => Value::Null,
    };
    let all = (0..made.num_rows()).map(|row| (0..made.num_columns()).map(|c| cell(row, c)).collect::<Vec<_>>());
    let columns: Vec<String> = made.schema().fields().iter().map(|f| f.name().clone()).collect();
    Ok(json!({"columns": columns, "rows": all.collect::<Vec<_>>()}))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut known = HashMap::new();
    let asked = |way: &str| std::env::args().any(|argument| argument == way);
    let way = match () {
        () if asked("--spread") => Way::Spread(Box::new(Spread::new()?)),
        () if asked("--queries") => Way::Query,
        () => Way::Map,
    };
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let question: Question = serde_json::from_str(&line?)?;
        let said = answer(&question, &mut known, &way).unwrap_or_else(|e| json!({"error": e.to_string()}));
        writeln!(out, "{said}")?;
        out.flush()?;
    }
    Ok(())
}
