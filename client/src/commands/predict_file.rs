//! `predict MODEL --from FILE --to FILE`: batch transform. The file becomes a temporary dataset, its predictions another, and
//! the output appears only if all rows (or all but as many as the user allows) have one.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::json;
use shardmill_common::failure::Refusal;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::ingest::{IngestSpec, SourceFormat};
use shardmill_common::kinds::predict::PredictOutputs;
use shardmill_common::kinds::predict::PredictSpec;
use shardmill_common::model::{Model, ModelRef};
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::prediction::added_columns;
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::status::JobStatus;
use shardmill_common::text::Encoding;
use shardmill_common::units::{RejectLimit, show_bytes, show_count};

use super::export::{export, shown_path};
use super::ingest::{joined, prepare};
use super::predict_rejects::{Rejects, rejects_path};
use crate::api::{Client, ClientError};
use crate::cli::Context;
use crate::error::CliError;
use crate::export::{Compression, Exported, Format, Settings, Target};
use crate::read::arrow_schema;
use crate::session::Session;
use crate::sources::{Kind, Looked, Plan, Pulse, ReadOptions, RowFinder, Uploader, look};
use crate::table::Table;
use crate::{jobs, session, text};

/// What is asked for.
pub struct FileJob {
    pub model: ModelRef,
    pub from: String,
    pub to: String,
    /// `None`: all columns.
    pub keep: Option<Vec<String>>,
    pub outputs: PredictOutputs,
    pub format: Option<Format>,
    pub delimiter: Option<u8>,
    pub nulls: Vec<String>,
    pub max_rejects: RejectLimit,
    pub force: bool,
    pub replicas: Option<u32>,
}

/// What came of it.
struct Done {
    model: ModelRef,
    format: Format,
    exported: Exported,
    rejected: u64,
    rejects: Option<PathBuf>,
}

pub async fn run(context: &Context, job: FileJob) -> Result<(), CliError> {
    let target = Target::of(&job.to, false);
    if !matches!(target, Target::File(_) | Target::Device(_)) {
        return Err(CliError::usage("--to must name a file"));
    }
    keep_input(&job.from, &job.to)?;
    target.check(job.force)?;
    Target::File(rejects_path(&job.to)).check(job.force)?;
    let options = job.read_options();
    let looking = {
        let (sources, options) = ([job.from.clone()], options.clone());
        tokio::task::spawn_blocking(move || look(&sources, &options, &Pulse::default()))
    };
    let looked = context.interrupt.or_interrupted(async { joined(looking.await) }).await?;
    if looked.sources.len() != 1 {
        let found = looked.sources.len();
        return Err(CliError::usage(format!(
            "--from must name one file; {} are {found}: ingest them, and predict the dataset",
            job.from
        )));
    }
    let done = session::with_own_interrupt(context, async |s| {
        let temporary = Temporary::new()?;
        let result = work(context, s, &job, options, looked, target, &temporary).await;
        temporary.remove(context, &s.client).await;
        result
    })
    .await?;
    report(context, &job, &done)
}

/// Neither the predictions nor their rejects may take the place of the rows they are of.
fn keep_input(from: &str, to: &str) -> Result<(), CliError> {
    // Only files that are there are compared; pipes and devices may well be one.
    let file = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    let Some(input) = file(Path::new(from)) else { return Ok(()) };
    if file(Path::new(to)).as_ref() == Some(&input) {
        return Err(CliError::usage(format!(
            "--from and --to are one file, {}: give --to another name",
            input.display()
        )));
    }
    if file(&rejects_path(to)).as_ref() == Some(&input) {
        return Err(CliError::usage(format!(
            "rows without a prediction would be written over --from, {}: give --to another name",
            input.display()
        )));
    }
    Ok(())
}

impl FileJob {
    fn read_options(&self) -> ReadOptions {
        let kind = self.format.map(|format| match format {
            Format::Csv => Kind::Csv,
            Format::Tsv => Kind::Tsv,
            Format::Jsonl => Kind::Jsonl,
            Format::Lines => Kind::Lines,
            Format::Parquet => Kind::Parquet,
            Format::Arrow => Kind::Arrow,
        });
        ReadOptions {
            kind,
            delimiter: self.delimiter,
            quote: Some(b'"'),
            header: true,
            encoding: Encoding::Utf8,
            schema: None,
            nulls: self.nulls.clone(),
        }
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
    fn schema(&self, model: &Model, format: &SourceFormat, seen: &Schema) -> Result<Schema, CliError> {
        let features = &model.features.features;
        let learnt = |name: &str| features.iter().find(|f| f.column == name).map(|f| f.dtype);
        let is_json = *format == SourceFormat::JsonLines;
        let is_text = is_json || matches!(format, SourceFormat::Csv { .. });
        let as_read = |field: &Field| match learnt(&field.name) {
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
            let names: Vec<String> = absent.iter().map(|f| format!("`{}`", f.column)).collect();
            return Err(CliError::failed(format!(
                "{} lacks columns that {} reads: {}; its columns are {}",
                self.from,
                model.reference(),
                names.join(", "),
                seen.names_joined()
            )));
        }
        if let Some(unknown) = self.keep.iter().flatten().find(|name| schema.get(name).is_none()) {
            return Err(CliError::failed(format!(
                "{} has no column `{unknown}` to keep; its columns are {}",
                self.from,
                seen.names_joined()
            )));
        }
        let added = added_columns(&model.target, self.outputs);
        if let Some(clash) = added.iter().find(|f| schema.get(&f.name).is_some() && self.keeps(&f.name)) {
            return Err(CliError::failed(format!(
                "the prediction adds a column `{}`, which {} already has: leave it out with --keep, or rename it",
                clash.name, self.from
            )));
        }
        Ok(schema)
    }
}

async fn work(
    context: &Context,
    s: &Session,
    job: &FileJob,
    mut options: ReadOptions,
    looked: Looked,
    target: Target,
    temporary: &Temporary,
) -> Result<Done, CliError> {
    let model = context.interrupt.or_interrupted(async { Ok(s.client.model(&job.model).await?) }).await?;
    let source = looked.sources.first().ok_or_else(|| CliError::failed("there is nothing to read"))?;
    let (format, compression) = job.output_format(&source.format);
    let finder = RowFinder::of(source);
    let schema = job.schema(&model, &source.format, &source.schema)?;
    options.schema = Some(schema);
    let ingested = ingest(context, s, job, options, looked, &temporary.rows).await?;
    let predict = PredictSpec {
        model: model.reference(),
        input: DatasetRef { name: temporary.rows.clone(), version: None },
        output: temporary.predictions.clone(),
        keep: job.keep.clone(),
        outputs: job.outputs,
        replicas: job.replicas,
        resolved: None,
    };
    let predicted = jobs::run(context, &s.client, JobSpec::Predict(predict)).await?;
    let (unread, unpredicted) = (ingested.counters.get("rejected"), predicted.counters.get("rejected"));
    let total = ingested.counters.get("rows") + unread;
    let rejected = unread + unpredicted;
    let mut rejects = Rejects::new(&job.from);
    if unread > 0 {
        rejects.add_unread(context, &s.client, &temporary.rows.rejects()).await?;
    }
    if unpredicted > 0 {
        rejects.add_unpredicted(context, &s.client, &temporary.predictions.rejects(), finder).await?;
    }
    if job.max_rejects.is_exceeded(rejected, total) {
        return Err(CliError::failed(format!(
            "{rejected} of {total} rows have no prediction, more than the {} allowed (--max-rejects), so nothing was written; \
             the first: {}",
            job.max_rejects,
            rejects.first()
        )));
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
    let result = write(context, &s.client, &temporary.predictions, target, format, compression).await;
    if let (Err(_), Some(path)) = (&result, &place) {
        let _ = std::fs::remove_file(path);
    }
    Ok(Done { model: model.reference(), format, exported: result?, rejected, rejects: place })
}

/// The file as a dataset.
async fn ingest(
    context: &Context,
    s: &Session,
    job: &FileJob,
    options: ReadOptions,
    looked: Looked,
    output: &DatasetName,
) -> Result<JobStatus, CliError> {
    let uploader = match looked.needs_upload(s.local_files) {
        true => Some(context.interrupt.or_interrupted(Uploader::new(&s.client, job.replicas)).await?),
        false => None,
    };
    let (taken, pulse) = (HashSet::new(), Pulse::default());
    let plan = Plan { options, shard_size: None, local_files: s.local_files, uploader, taken, pulse };
    let prepared = prepare(context, looked, plan).await?;
    let spec = IngestSpec {
        output: output.clone(),
        sources: prepared.sources,
        chunks: prepared.chunks,
        schema: prepared.schema,
        schema_is_fixed: true,
        nulls: job.nulls.clone(),
        max_rejects: job.max_rejects,
        append: false,
        refuse_taken: false,
        base: None,
        replicas: job.replicas,
        clean: None,
        dedup: None,
    };
    jobs::run(context, &s.client, JobSpec::Ingest(spec)).await
}

async fn write(
    context: &Context,
    client: &Client,
    dataset: &DatasetName,
    target: Target,
    format: Format,
    compression: Compression,
) -> Result<Exported, CliError> {
    let dataset = DatasetRef { name: dataset.clone(), version: None };
    let located = context.interrupt.or_interrupted(async { Ok(client.locate(&dataset).await?) }).await?;
    let schema = arrow_schema(&located.manifest.schema);
    let settings = Settings { format, compression, null: String::new(), schema };
    export(context, client, located, target, settings).await
}

/// Datasets that live as long as the command.
struct Temporary {
    rows: DatasetName,
    predictions: DatasetName,
}

impl Temporary {
    fn new() -> Result<Self, CliError> {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let named = |name: String| name.parse().map_err(CliError::failed);
        Ok(Self {
            rows: named(format!("predict.tmp-{unique}"))?,
            predictions: named(format!("predict.tmp-{unique}.out"))?,
        })
    }

    /// Takes back whatever of them there is; a failure of that does not spoil what was done.
    async fn remove(&self, context: &Context, client: &Client) {
        for name in [&self.rows, &self.predictions] {
            for name in [name.clone(), name.rejects()] {
                match client.remove(&DatasetRef { name: name.clone(), version: None }).await {
                    Ok(_) | Err(ClientError::Refused(Refusal::NotFound(_))) => {}
                    Err(e) => {
                        context.out.notice(&format!("the temporary dataset {name} could not be removed: {e}"));
                    }
                }
            }
        }
    }
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

#[cfg(test)]
#[path = "predict_file_tests.rs"]
mod tests;
