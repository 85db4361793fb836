//! Batch transform from file to file. The file becomes a temporary dataset, its predictions another, and
//! the output appears only if all rows (or all but as many as the user allows) have one.

use std::path::{Path, PathBuf};

use shardmill_client::Client;
use shardmill_common::counters::Counter;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::ingest::{IngestSpec, SourceFormat, Wanted};
use shardmill_common::kinds::predict::{PredictOutputs, PredictSpec};
use shardmill_common::model::{Encoding, Model, ModelRef};
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::prediction::added_columns;
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::status::JobStatus;
use shardmill_common::text::{Delimiter, Told};
use shardmill_common::units::RejectLimit;

use crate::download::export;
use crate::error::FlowError;
use crate::export::{Compression, Exported, Format, Settings, Target};
use crate::host::{Host, or_stopped};
use crate::ingest::{self, Ingested, Way, inspect};
use crate::jobs;
use crate::predict_error::PredictError;
use crate::predict_rejects::{Rejects, rejects_path};
use crate::read::arrow_schema;
use crate::session::Session;
use crate::sources::{Looked, ReadOptions, RowFinder};
use crate::temporary::Temporary;

/// What is asked for.
pub struct FileJob {
    pub model: ModelRef,
    pub from: String,
    pub to: String,
    /// `None`: all columns.
    pub keep: Option<Vec<String>>,
    pub outputs: PredictOutputs,
    pub format: Option<Format>,
    pub delimiter: Option<Delimiter>,
    pub nulls: Vec<String>,
    pub max_rejects: RejectLimit,
    pub force: bool,
    pub replicas: Option<u32>,
}

/// What came of it.
pub struct Done {
    pub model: ModelRef,
    pub format: Format,
    pub exported: Exported,
    /// Rows without a prediction, and the file that has them.
    pub rejected: u64,
    pub rejects: Option<PathBuf>,
}

/// A file that was looked into, and where its predictions will go.
pub struct Opened {
    target: Target,
    options: ReadOptions,
    looked: Looked,
}

/// Refuses what could not be written or read, before anything is asked of a cluster.
pub async fn open(host: &dyn Host, job: &FileJob) -> Result<Opened, FlowError> {
    let target = Target::of(&job.to, false);
    if !matches!(target, Target::File(_) | Target::Device(_)) {
        return Err(PredictError::NotAFile.into());
    }
    keep_input(&job.from, &job.to)?;
    target.check(job.force)?;
    Target::File(rejects_path(&job.to)).check(job.force)?;
    let options = job.read_options();
    let looked = inspect(host, vec![job.from.clone()], &options).await?;
    if looked.sources.len() != 1 {
        let found = looked.sources.len();
        return Err(PredictError::SeveralFiles { from: job.from.clone(), files: found }.into());
    }
    Ok(Opened { target, options, looked })
}

/// Ingests, predicts, and writes all or nothing.
pub async fn run(host: &dyn Host, session: &Session, job: &FileJob, opened: Opened) -> Result<Done, FlowError> {
    let mut temporary = Temporary::of("predict");
    let Opened { target, options, looked } = opened;
    let result = work(host, session, job, options, looked, target, &mut temporary).await;
    temporary.remove(host, &session.client).await;
    result
}

/// Neither the predictions nor their rejects may take the place of the rows they are of.
fn keep_input(from: &str, to: &str) -> Result<(), PredictError> {
    // Only files that are there are compared; pipes and devices may well be one.
    let file = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    let Some(input) = file(Path::new(from)) else { return Ok(()) };
    if file(Path::new(to)).as_ref() == Some(&input) {
        return Err(PredictError::OneFile(input));
    }
    if file(&rejects_path(to)).as_ref() == Some(&input) {
        return Err(PredictError::RejectsOverInput(input));
    }
    Ok(())
}

impl FileJob {
    fn read_options(&self) -> ReadOptions {
        let told = Told { delimiter: self.delimiter.clone(), ..Told::default() };
        ReadOptions { kind: self.format, told, nulls: self.nulls.clone(), skip_unstored: true, ..Default::default() }
    }

    /// The output's format: as asked for, by its name, or the input's.
    fn output_format(&self, input: &SourceFormat) -> (Format, Compression) {
        let (compression, inner) = Compression::of_name(Path::new(&self.to));
        let by_name = inner.extension().and_then(|e| e.to_str()).and_then(Format::of_extension);
        let format = self.format.or(by_name).unwrap_or(match input {
            SourceFormat::Csv { dialect, .. } if dialect.delimiter == b'\t' => Format::Tsv,
            SourceFormat::Csv { .. } | SourceFormat::Lines { .. } => Format::Csv,
            SourceFormat::JsonLines => Format::Jsonl,
            SourceFormat::Parquet => Format::Parquet,
            SourceFormat::Arrow => Format::Arrow,
        });
        (format, if format.is_text() { compression } else { Compression::None })
    }

    fn keeps(&self, column: &str) -> bool {
        self.keep.as_ref().is_none_or(|names| names.iter().any(|n| n == column))
    }

    /// The types in which the file is read: the model's columns as the model learnt them, others so that no cell can be wrong.
    fn schema(&self, model: &Model, format: &SourceFormat, seen: &Schema) -> Result<Schema, PredictError> {
        let features = &model.features.features;
        let learnt = |name: &str| {
            let feature = features.iter().find(|f| f.column == name)?;
            Some(match (feature.dtype, &feature.encoding) {
                // A number is a number, however many digits it has.
                (DataType::Decimal { .. }, Encoding::Numeric { .. }) => DataType::Float64,
                (dtype, _) => dtype,
            })
        };
        let is_json = *format == SourceFormat::JsonLines;
        let is_text = is_json || matches!(format, SourceFormat::Csv { .. });
        let as_read = |field: &Field| match learnt(&field.name) {
            // Whole numbers that came with fractions since: as the model takes them of a dataset.
            Some(DataType::Int64) if field.dtype == DataType::Float64 => DataType::Float64,
            Some(dtype) => dtype,
            // JSON tells numbers from texts, and what is kept should stay what it is.
            None if is_json && self.keeps(&field.name) => match field.dtype {
                plain @ (DataType::Boolean | DataType::Int64 | DataType::Float64) => plain,
                _ => DataType::String,
            },
            None if is_text || field.dtype == DataType::Null => DataType::String,
            None => field.dtype,
        };
        let mut schema = Schema::new(seen.fields.iter().map(|f| Field::new(f.name.as_str(), as_read(f))).collect());
        let absent: Vec<_> = features.iter().filter(|f| seen.get(&f.column).is_none()).collect();
        if is_json {
            // A key may come late, so its absence in a sample says nothing.
            schema.fields.extend(absent.iter().map(|f| Field::new(f.column.as_str(), f.dtype)));
        } else if !absent.is_empty() {
            return Err(PredictError::Lacks {
                from: self.from.clone(),
                model: model.reference(),
                lacking: absent.iter().map(|f| f.column.clone()).collect(),
                schema: seen.clone(),
            });
        }
        if let Some(unknown) = self.keep.iter().flatten().find(|name| schema.get(name).is_none()) {
            return Err(PredictError::NothingToKeep {
                from: self.from.clone(),
                column: unknown.clone(),
                schema: seen.clone(),
            });
        }
        let added = added_columns(&model.target, self.outputs);
        if let Some(clash) = added.iter().find(|f| schema.get(&f.name).is_some() && self.keeps(&f.name)) {
            return Err(PredictError::Clash { from: self.from.clone(), column: clash.name.clone() });
        }
        Ok(schema)
    }
}

async fn work(
    host: &dyn Host,
    s: &Session,
    job: &FileJob,
    mut options: ReadOptions,
    mut looked: Looked,
    target: Target,
    temporary: &mut Temporary,
) -> Result<Done, FlowError> {
    let (rows, predictions) = (temporary.name("rows")?, temporary.name("predictions")?);
    let model = or_stopped(host, async { Ok(s.client.model(&job.model).await?) }).await?;
    let source = looked.sources.first_mut().ok_or_else(|| PredictError::Nothing { from: job.from.clone() })?;
    let features: Vec<String> = model.features.features.iter().map(|f| f.column.clone()).collect();
    if source.call_columns(&features) {
        host.notice(&format!("{} has no header: its columns are taken for {}", job.from, features.join(", ")));
    }
    if !source.left_out.is_empty() {
        // Of a type that is not stored; a model has learnt from no such column.
        if let Some(column) = source.left_out.iter().find(|column| job.keeps(column)) {
            return Err(PredictError::CannotKeep { from: job.from.clone(), column: column.clone() }.into());
        }
        options.wanted = Wanted::AllBut(source.left_out.clone());
    }
    let (format, compression) = job.output_format(&source.format);
    let finder = RowFinder::of(source);
    let schema = job.schema(&model, &source.format, &source.schema)?;
    options.schema = Some(schema);
    let ingested = ingest_file(host, s, job, options, looked, &rows).await?;
    let predict = PredictSpec {
        model: model.reference(),
        input: DatasetRef { name: rows.clone(), version: None },
        output: predictions.clone(),
        keep: job.keep.clone(),
        outputs: job.outputs,
        replicas: job.replicas,
        resolved: None,
    };
    let predicted = jobs::run(host, &s.client, JobSpec::Predict(predict)).await?;
    let (unread, unpredicted) = (ingested.counters.get(&Counter::Rejected), predicted.counters.get(&Counter::Rejected));
    let total = ingested.counters.get(&Counter::Rows) + unread;
    let rejected = unread + unpredicted;
    let mut rejects = Rejects::new(&job.from);
    if unread > 0 {
        rejects.add_unread(host, &s.client, &rows.rejects()).await?;
    }
    if unpredicted > 0 {
        rejects.add_unpredicted(host, &s.client, &predictions.rejects(), finder).await?;
    }
    if job.max_rejects.is_exceeded(rejected, total) {
        let (allowed, first) = (job.max_rejects, rejects.first());
        return Err(PredictError::TooManyRejects { rejected, total, allowed, first }.into());
    }
    let path = rejects_path(&job.to);
    let place = if rejected > 0 {
        rejects.write(&path).await?;
        Some(path)
    } else {
        // One of an earlier run, which --force replaces, would be taken for this one's.
        let _ = std::fs::remove_file(&path);
        None
    };
    let result = write(host, &s.client, &predictions, target, format, compression).await;
    if let (Err(_), Some(path)) = (&result, &place) {
        let _ = std::fs::remove_file(path);
    }
    Ok(Done { model: model.reference(), format, exported: result?, rejected, rejects: place })
}

/// The file as a dataset. What the spec says of the schema and of nulls comes from the options.
async fn ingest_file(
    host: &dyn Host,
    s: &Session,
    job: &FileJob,
    options: ReadOptions,
    looked: Looked,
    output: &DatasetName,
) -> Result<JobStatus, FlowError> {
    let spec = IngestSpec { max_rejects: job.max_rejects, replicas: job.replicas, ..IngestSpec::new(output.clone()) };
    let way = Way { options, shard_size: None, new_only: false };
    match ingest::run(host, s, looked, way, spec).await? {
        Ingested::Done { status, .. } => Ok(*status),
        Ingested::NothingNew { .. } => Err(PredictError::Nothing { from: job.from.clone() }.into()),
    }
}

async fn write(
    host: &dyn Host,
    client: &Client,
    dataset: &DatasetName,
    target: Target,
    format: Format,
    compression: Compression,
) -> Result<Exported, FlowError> {
    let dataset = DatasetRef { name: dataset.clone(), version: None };
    let located = or_stopped(host, async { Ok(client.locate(&dataset).await?) }).await?;
    let schema = arrow_schema(&located.manifest.schema);
    let settings = Settings { format, compression, null: String::new(), schema };
    export(host, client, located, target, settings).await
}

#[cfg(test)]
#[path = "predict_file_tests.rs"]
mod tests;
