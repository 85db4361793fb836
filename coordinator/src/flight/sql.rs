//! Flight SQL, for ADBC and whatever else speaks it: statements become jobs, and their answers are read from the workers
//! that hold them.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::sql::server::{DoPutError, FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    Any, CommandGetCatalogs, CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
    CommandGetXdbcTypeInfo, CommandPreparedStatementQuery, CommandStatementQuery, CommandStatementUpdate,
    DoPutPreparedStatementResult, ProstMessageExt, SqlInfo,
};
use arrow_flight::{Action, FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, PutResult, SchemaAsIpc, Ticket};
use futures::TryStreamExt;
use shardmill_common::kinds::sql::{SqlSpec, SqlTable};
use shardmill_common::kinds::{JobSpec, Submission};
use shardmill_common::message::LocatedManifest;
use shardmill_common::name::{DatasetName, DatasetRef, NameError, ReferenceError};
use shardmill_common::schema::Schema;
use shardmill_common::status::JobState;
use shardmill_core::Command;
use shardmill_proto::refusal_to_status;
use shardmill_sql::{QueriedTable, SqlError, bind, bind_nulls, check_query, parameter_types, parameters, table_names};
use tonic::{Request, Response, Status};

use super::metadata::{CATALOG, SCHEMA, TABLE, sql_info, types};
use super::{Out, arrow_schema, flight_info, not_written_here};
use crate::driver::Handle;

/// What the names of answers begin with. Nobody says when one was read, so they go some time later.
const ANSWER: &str = "flightsql.tmp-";
const KEPT_FOR: Duration = Duration::from_secs(600);

#[derive(Clone)]
pub struct SqlDoor {
    pub handle: Handle,
}

/// A statement that can run.
struct Prepared {
    tables: Vec<SqlTable>,
    schema: Schema,
}

fn mistaken(error: &SqlError) -> Status {
    Status::invalid_argument(error.to_string())
}

fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}

/// Looks at a statement on a thread that may block.
async fn looked_at<T: Send + 'static>(
    look: impl FnOnce() -> Result<T, SqlError> + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(look).await.map_err(internal)?.map_err(|e| mistaken(&e))
}

impl SqlDoor {
    /// Takes back the answers that an earlier coordinator left.
    pub async fn sweep(&self) {
        let left = self.handle.ask(|d| {
            let names = d.core().catalog().latest().map(|manifest| &manifest.name);
            Ok(names.filter(|name| name.as_str().starts_with(ANSWER)).cloned().collect::<Vec<_>>())
        });
        for name in left.await.unwrap_or_default() {
            self.remove(name).await;
        }
    }

    async fn remove(&self, name: DatasetName) {
        let dataset = DatasetRef { name: name.clone(), version: None };
        if let Err(why) = self.handle.ask(move |d| d.command::<Vec<DatasetRef>>(Command::Remove(dataset))).await {
            tracing::warn!(%name, %why, "the answer of a statement could not be removed");
        }
    }

    /// The datasets that a statement reads.
    async fn tables_of(&self, statement: &str) -> Result<(Vec<SqlTable>, Vec<QueriedTable>), Status> {
        let text = statement.to_owned();
        let names = looked_at(move || table_names(&text)).await?;
        let (mut tables, mut queried) = (Vec::with_capacity(names.len()), Vec::with_capacity(names.len()));
        for table in names {
            if table.is_file {
                return Err(Status::invalid_argument(format!(
                    "'{}' is a file, and files are read where `shardmill sql` runs: ingest it, and name the dataset",
                    table.name
                )));
            }
            let dataset: DatasetRef =
                table.name.parse().map_err(|e: ReferenceError| Status::invalid_argument(e.to_string()))?;
            let found = self.handle.ask(move |d| d.core().catalog().find(&dataset).cloned()).await;
            let manifest = found.map_err(refusal_to_status)?;
            tables.push(SqlTable { name: table.name.clone(), dataset: manifest.reference() });
            queried.push(QueriedTable {
                name: table.name,
                schema: manifest.schema.published(),
                shards: Arc::new(manifest.shards),
            });
        }
        Ok((tables, queried))
    }

    async fn prepare(&self, statement: &str) -> Result<Prepared, Status> {
        let (tables, queried) = self.tables_of(statement).await?;
        let text = statement.to_owned();
        let schema = looked_at(move || check_query(&text, &queried)).await?;
        Ok(Prepared { tables, schema })
    }

    /// What a statement puts out, and what it is to be given. What it puts out may depend on that, and is then not known before.
    async fn described(&self, statement: &str) -> Result<(Schema, ArrowSchema), Status> {
        let text = statement.to_owned();
        let wanted = looked_at(move || parameters(&text)).await?;
        if wanted == 0 {
            return Ok((self.prepare(statement).await?.schema, ArrowSchema::empty()));
        }
        let (_, queried) = self.tables_of(statement).await?;
        let text = statement.to_owned();
        looked_at(move || {
            let schema = check_query(&bind_nulls(&text)?, &queried).unwrap_or_default();
            let of = |(n, known): (usize, Option<ArrowType>)| {
                // In the older of the two forms of text, which every client has.
                let dtype = known.filter(|dtype| *dtype != ArrowType::Utf8View).unwrap_or(ArrowType::Utf8);
                ArrowField::new(format!("{}", n + 1), dtype, true)
            };
            let types = parameter_types(&text, &queried)?;
            Ok((schema, ArrowSchema::new(types.into_iter().enumerate().map(of).collect::<Vec<_>>())))
        })
        .await
    }

    /// Answers a statement. A caller that goes away before has its job cancelled.
    async fn answer(&self, statement: &str) -> Result<LocatedManifest, Status> {
        let Prepared { tables, .. } = self.prepare(statement).await?;
        let name = format!("{ANSWER}{}", uuid::Uuid::new_v4().simple());
        let output: DatasetName = name.parse().map_err(|e: NameError| internal(e))?;
        let spec = SqlSpec {
            statement: statement.to_owned(),
            tables,
            output: output.clone(),
            replicas: Some(1),
            memory: None,
        };
        let submission =
            Submission { spec: JobSpec::Sql(spec), who: "flight sql".to_owned(), priority: 0, deadline_seconds: None };
        let job = self.handle.ask(move |d| d.submit(submission)).await.map_err(refusal_to_status)?;
        let mut watched = self.handle.ask(move |d| d.watch(job)).await.map_err(refusal_to_status)?;
        let mut unless_done = CancelOnDrop { handle: self.handle.clone(), job: Some(job) };
        let status = watched.wait_for(|status| status.state.is_final()).await.map_err(internal)?.clone();
        unless_done.job = None;
        match (status.state, status.error) {
            (JobState::Done, _) => {}
            (_, Some(why)) => return Err(Status::failed_precondition(format!("job {job}: {why}"))),
            (state, None) => return Err(Status::cancelled(format!("job {job} was {}", state.name()))),
        }
        let door = self.clone();
        let answer = output.clone();
        tokio::spawn(async move {
            tokio::time::sleep(KEPT_FOR).await;
            door.remove(answer).await;
        });
        let dataset = DatasetRef { name: output, version: None };
        self.handle.ask(move |d| d.core().locate(&dataset)).await.map_err(refusal_to_status)
    }

    async fn info_of(&self, statement: &str, descriptor: FlightDescriptor) -> Result<Response<FlightInfo>, Status> {
        let located = self.answer(statement).await?;
        Ok(Response::new(flight_info(&located)?.with_descriptor(descriptor)))
    }
}

/// A job whose asker may go away.
struct CancelOnDrop {
    handle: Handle,
    job: Option<shardmill_common::ids::JobId>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            let handle = self.handle.clone();
            // A job that ended meanwhile cannot be cancelled, and need not be.
            tokio::spawn(async move { handle.ask(move |d| d.cancel(job)).await });
        }
    }
}

/// What is known at once is read from here, by the command itself as the ticket.
fn here(
    command: &impl ProstMessageExt,
    schema: &SchemaRef,
    request: Request<FlightDescriptor>,
) -> Result<Response<FlightInfo>, Status> {
    use prost::Message;
    let ticket = Ticket::new(command.as_any().encode_to_vec());
    let info = FlightInfo::new()
        .try_with_schema(schema)
        .map_err(internal)?
        .with_endpoint(FlightEndpoint::new().with_ticket(ticket))
        .with_descriptor(request.into_inner());
    Ok(Response::new(info))
}

fn rows(
    schema: SchemaRef,
    batch: Result<RecordBatch, impl std::fmt::Display>,
) -> Result<Response<Out<arrow_flight::FlightData>>, Status> {
    let batch = batch.map_err(internal)?;
    let stream = FlightDataEncoderBuilder::new().with_schema(schema).build(futures::stream::iter([Ok(batch)]));
    Ok(Response::new(Box::pin(stream.map_err(Status::from))))
}

/// The statement that a handle stands for: itself, so that nothing is kept of it.
fn statement_of(handle: &[u8]) -> Result<&str, Status> {
    std::str::from_utf8(handle).map_err(|_| Status::invalid_argument("this is not the handle of a prepared statement"))
}

#[tonic::async_trait]
impl FlightSqlService for SqlDoor {
    type FlightService = super::FlightDoor;

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.info_of(&query.query, request.into_inner()).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        _: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let (made, given) = self.described(&query.query).await?;
        let options = arrow::ipc::writer::IpcWriteOptions::default();
        let message = |schema: &ArrowSchema| -> Result<bytes::Bytes, Status> {
            let message: Result<IpcMessage, arrow::error::ArrowError> = SchemaAsIpc::new(schema, &options).try_into();
            Ok(message.map_err(internal)?.0)
        };
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: query.query.into_bytes().into(),
            dataset_schema: message(&arrow_schema(&made))?,
            parameter_schema: message(&given)?,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        _: ActionClosePreparedStatementRequest,
        _: Request<Action>,
    ) -> Result<(), Status> {
        Ok(())
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.info_of(statement_of(&query.prepared_statement_handle)?, request.into_inner()).await
    }

    /// The handle of the statement with its values is the statement with its values.
    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let statement = statement_of(&query.prepared_statement_handle)?.to_owned();
        let data = request.into_inner().map_err(FlightError::from);
        let mut batches = FlightRecordBatchStream::new_from_flight_data(data);
        let mut values: Option<RecordBatch> = None;
        while let Some(batch) = batches.try_next().await.map_err(|e| Status::invalid_argument(e.to_string()))? {
            if batch.num_rows() > 1 || batch.num_rows() == 1 && values.is_some() {
                return Err(Status::invalid_argument(
                    "a statement is given one row of values at a time: run it once for each",
                ));
            }
            values = values.or((batch.num_rows() == 1).then_some(batch));
        }
        let bound = looked_at(move || match values {
            Some(values) => bind(&statement, &values),
            None if parameters(&statement)? == 0 => Ok(statement),
            None => Err(SqlError::Refused("no values came for the statement's parameters".to_owned())),
        });
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(bound.await?.into_bytes().into()) })
    }

    async fn do_put_fallback(
        &self,
        _: Request<PeekableFlightDataStream>,
        _: Any,
    ) -> Result<Response<Out<PutResult>>, Status> {
        Err(not_written_here())
    }

    async fn do_put_error_callback(
        &self,
        _: Request<PeekableFlightDataStream>,
        _: DoPutError,
    ) -> Result<Response<Out<PutResult>>, Status> {
        Err(not_written_here())
    }

    async fn do_put_statement_update(
        &self,
        _: CommandStatementUpdate,
        _: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(Status::invalid_argument(
            "statements only read here; `shardmill sql --into NAME` makes a dataset of an answer",
        ))
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        here(&query, &query.into_builder().schema(), request)
    }

    async fn do_get_catalogs(
        &self,
        query: CommandGetCatalogs,
        _: Request<Ticket>,
    ) -> Result<Response<Out<arrow_flight::FlightData>>, Status> {
        let mut found = query.into_builder();
        found.append(CATALOG);
        rows(found.schema(), found.build())
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        here(&query, &query.clone().into_builder().schema(), request)
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        _: Request<Ticket>,
    ) -> Result<Response<Out<arrow_flight::FlightData>>, Status> {
        let mut found = query.into_builder();
        found.append(CATALOG, SCHEMA);
        rows(found.schema(), found.build())
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        here(&query, &query.clone().into_builder().schema(), request)
    }

    async fn do_get_tables(
        &self,
        query: CommandGetTables,
        _: Request<Ticket>,
    ) -> Result<Response<Out<arrow_flight::FlightData>>, Status> {
        let all = self.handle.ask(|d| {
            let all = d.core().catalog().latest();
            Ok(all.map(|m| (m.name.clone(), m.schema.clone())).collect::<Vec<_>>())
        });
        let mut found = query.into_builder();
        for (name, schema) in all.await.map_err(refusal_to_status)? {
            if !name.as_str().contains(".tmp-") {
                found.append(CATALOG, SCHEMA, name.as_str(), TABLE, &arrow_schema(&schema)).map_err(internal)?;
            }
        }
        rows(found.schema(), found.build())
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        here(&query, &query.into_builder().schema(), request)
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        _: Request<Ticket>,
    ) -> Result<Response<Out<arrow_flight::FlightData>>, Status> {
        let mut found = query.into_builder();
        found.append(TABLE);
        rows(found.schema(), found.build())
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        here(&query, &query.clone().into_builder(&sql_info().map_err(internal)?).schema(), request)
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        _: Request<Ticket>,
    ) -> Result<Response<Out<arrow_flight::FlightData>>, Status> {
        let info = sql_info().map_err(internal)?;
        let found = query.into_builder(&info);
        rows(found.schema(), found.build())
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        here(&query, &query.into_builder(&types().map_err(internal)?).schema(), request)
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        _: Request<Ticket>,
    ) -> Result<Response<Out<arrow_flight::FlightData>>, Status> {
        let types = types().map_err(internal)?;
        let found = query.into_builder(&types);
        rows(found.schema(), found.build())
    }

    async fn register_sql_info(&self, _: i32, _: &SqlInfo) {}
}
