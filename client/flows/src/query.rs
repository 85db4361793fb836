//! A question in SQL: the datasets it names are looked up, the files it names are taken in for as long as it lasts, the statement
//! is checked, and then a job answers it with a dataset.

use std::sync::Arc;

use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::ingest::IngestSpec;
use shardmill_common::kinds::sql::{SqlSpec, SqlTable};
use shardmill_common::name::{DatasetName, DatasetRef, ReferenceError};
use shardmill_common::schema::Schema;
use shardmill_common::status::JobStatus;
use shardmill_common::units::RejectLimit;
use shardmill_sql::{QueriedTable, SqlError, TableName, check_query, explain_query, table_names};

use crate::error::FlowError;
use crate::host::{Host, or_stopped};
use crate::ingest::{self, Ingested, Way, inspect};
use crate::jobs;
use crate::session::Session;
use crate::sources::ReadOptions;
use crate::temporary::Temporary;

/// Why a question cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Statement(#[from] SqlError),
    #[error("FROM {table}: {why}; a file's path stands in single quotes, as 'data/{table}.csv'")]
    Table { table: String, why: ReferenceError },
    #[error("'{0}' has nothing to read")]
    NothingIn(String),
    #[error("{dataset} has no column `{column}`; {}", .schema.listed())]
    NoColumn { column: String, dataset: DatasetRef, schema: Box<Schema> },
    /// The thread that looked at the statement is gone.
    #[error("the statement could not be looked at: {0}")]
    Thread(tokio::task::JoinError),
}

impl QueryError {
    /// What was asked for makes no sense.
    pub const fn is_mistake(&self) -> bool {
        !matches!(self, QueryError::Thread(_))
    }
}

/// What may be used for an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Bytes on each worker; see [`SqlSpec::memory`].
    pub memory: Option<u64>,
    /// Seconds after which it is given up.
    pub seconds: Option<u64>,
    pub replicas: Option<u32>,
}

/// A statement that can run, with its tables as they are now.
pub struct Question {
    statement: String,
    tables: Vec<QueriedTable>,
    versions: Vec<DatasetRef>,
    /// What the answer's columns will be.
    pub schema: Schema,
}

/// Looks up what a statement names, and checks it.
pub async fn prepare(
    host: &dyn Host,
    session: &Session,
    statement: &str,
    temporary: &mut Temporary,
) -> Result<Question, FlowError> {
    let statement = statement.to_owned();
    let names = {
        let statement = statement.clone();
        looked_at(move || table_names(&statement)).await?
    };
    let (mut tables, mut versions) = (Vec::with_capacity(names.len()), Vec::with_capacity(names.len()));
    for TableName { name, is_file } in names {
        let dataset = match is_file {
            true => take_file(host, session, &name, temporary).await?,
            false => name.parse().map_err(|why| QueryError::Table { table: name.clone(), why })?,
        };
        let manifest = or_stopped(host, async { Ok(session.client.locate(&dataset).await?) }).await?.manifest;
        versions.push(manifest.reference());
        tables.push(QueriedTable { name, schema: manifest.schema.published(), shards: Arc::new(manifest.shards) });
    }
    let schema = {
        let (statement, tables) = (statement.clone(), tables.clone());
        looked_at(move || check_query(&statement, &tables)).await?
    };
    Ok(Question { statement, tables, versions, schema })
}

async fn looked_at<T: Send + 'static>(
    look: impl FnOnce() -> Result<T, SqlError> + Send + 'static,
) -> Result<T, QueryError> {
    Ok(tokio::task::spawn_blocking(look).await.map_err(QueryError::Thread)??)
}

/// A file, or all that a pattern means, as a dataset.
pub async fn take_file(
    host: &dyn Host,
    session: &Session,
    path: &str,
    temporary: &mut Temporary,
) -> Result<DatasetRef, FlowError> {
    let options = ReadOptions::default();
    let looked = inspect(host, vec![path.to_owned()], &options).await?;
    let output = temporary.name("file")?;
    let spec = IngestSpec { max_rejects: RejectLimit::Rows(0), ..IngestSpec::new(output.clone()) };
    let way = Way { options, shard_size: None, new_only: false };
    match ingest::run(host, session, looked, way, spec).await? {
        Ingested::Done { .. } => Ok(DatasetRef { name: output, version: None }),
        Ingested::NothingNew { .. } => Err(QueryError::NothingIn(path.to_owned()).into()),
    }
}

impl Question {
    /// How it would be answered by so many threads, in the engine's words.
    pub async fn explain(&self, threads: usize) -> Result<String, FlowError> {
        let (statement, tables) = (self.statement.clone(), self.tables.clone());
        Ok(looked_at(move || explain_query(&statement, &tables, threads)).await?)
    }

    /// Answers it with a new version of this dataset.
    pub async fn answer(
        &self,
        host: &dyn Host,
        session: &Session,
        output: DatasetName,
        bounds: Bounds,
    ) -> Result<JobStatus, FlowError> {
        let tables = self.tables.iter().zip(&self.versions);
        let tables = tables.map(|(table, dataset)| SqlTable { name: table.name.clone(), dataset: dataset.clone() });
        let spec = SqlSpec {
            statement: self.statement.clone(),
            tables: tables.collect(),
            output,
            replicas: bounds.replicas,
            memory: bounds.memory,
        };
        let mut submission = jobs::submission(JobSpec::Sql(spec));
        submission.deadline_seconds = bounds.seconds;
        jobs::run_submission(host, &session.client, &submission).await
    }
}
