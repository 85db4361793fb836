//! `ingest NAME SOURCE...`: files into a dataset.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use serde_json::json;
use shardmill_common::kinds::ingest::{BytesAs, IngestSpec, Wanted};
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::schema::Schema;
use shardmill_common::status::JobStatus;
use shardmill_common::text::COMMON_NULLS;
use shardmill_common::units::{RejectLimit, parse_bytes, show_count};
use shardmill_flows::export::Format;
use shardmill_flows::ingest::{self, Ingested, Reading, Way};
use shardmill_flows::sources::{CellRange, Pick, ReadOptions, SheetName, parse_schema};
use shardmill_flows::{Session, text};

use super::common::{DedupOptionsArgs, ReplicasArg, columns, rules};
use super::writing::WritingArgs;
use crate::cli::Context;
use crate::error::CliError;
use crate::table::Table;
use crate::{jobs, session};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// By the name and the first bytes
    Auto,
    /// Delimited text; commas unless --delimiter says otherwise
    Csv,
    /// Delimited text with tabs
    Tsv,
    /// One JSON object a line
    Jsonl,
    /// Lines of text as they are, each a row of one column, `line`
    #[value(alias = "text")]
    Lines,
    /// Parquet
    Parquet,
    /// An Arrow IPC file (Feather 2)
    Arrow,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BinaryArg {
    /// They stay bytes
    Binary,
    /// They are UTF-8 text
    Text,
    /// Text of their hexadecimal digits
    Hex,
}

#[derive(Clone, Debug, Args)]
pub struct IngestArgs {
    /// The dataset to write a new version of
    #[arg(value_name = "NAME")]
    output: DatasetName,
    /// Files, folders (taken with all below them), patterns such as 'data/*.csv', or - for standard input
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,
    /// The format of the sources
    #[arg(long, env = "SHARDMILL_INGEST_FORMAT", value_enum, default_value = "auto")]
    format: FormatArg,
    #[command(flatten)]
    writing: WritingArgs,
    /// The sheet of a workbook, by name or number, or `all` [default: the first]
    #[arg(long, env = "SHARDMILL_INGEST_SHEET", value_name = "NAME")]
    sheet: Option<String>,
    /// The part of a sheet that is the table: A1:D20, or A:D for whole columns
    #[arg(long, env = "SHARDMILL_INGEST_RANGE", value_name = "CELLS")]
    range: Option<CellRange>,
    /// Read only these columns; of other ones nothing is read. May be repeated, or separated by commas
    #[arg(
        long,
        env = "SHARDMILL_INGEST_COLUMNS",
        value_name = "COLUMN",
        value_delimiter = ',',
        conflicts_with = "drop"
    )]
    columns: Vec<String>,
    /// Read all columns but these
    #[arg(long, env = "SHARDMILL_INGEST_DROP", value_name = "COLUMN", value_delimiter = ',')]
    drop: Vec<String>,
    /// All columns and their types, a=int64,b=string or @FILE (JSON or TOML); a cell that does not fit rejects its row
    #[arg(long, env = "SHARDMILL_INGEST_SCHEMA", value_name = "SCHEMA")]
    schema: Option<String>,
    /// The types of some columns, a=string,b=decimal(10,2) or @FILE; the others' are found out
    #[arg(long, env = "SHARDMILL_INGEST_TYPES", value_name = "TYPES", conflicts_with = "schema")]
    types: Option<String>,
    /// What becomes of columns of bytes in Parquet and Arrow files
    #[arg(long, env = "SHARDMILL_INGEST_BINARY", value_enum, default_value = "binary")]
    binary: BinaryArg,
    /// A text that means null, besides the empty cell; may be repeated. `common`: what pandas takes for missing (NA, N/A, NULL, ...)
    #[arg(long, env = "SHARDMILL_INGEST_NULL", value_name = "MARK", allow_hyphen_values = true)]
    null: Vec<String>,
    /// Rows that may be rejected before the job fails: a count or a percentage
    #[arg(long, env = "SHARDMILL_INGEST_MAX_REJECTS", value_name = "LIMIT", default_value = "1%")]
    max_rejects: RejectLimit,
    /// Add to the latest version instead of starting anew
    #[arg(long, env = "SHARDMILL_INGEST_APPEND", value_parser = FalseyValueParser::new())]
    append: bool,
    /// With --append: a column of the dataset may become text, with the values that it has written as exports write them
    #[arg(long, env = "SHARDMILL_INGEST_WIDEN", value_parser = FalseyValueParser::new(), requires = "append")]
    widen: bool,
    /// Leave out files whose content an earlier ingest of this dataset took
    #[arg(long, env = "SHARDMILL_INGEST_NEW_ONLY", value_parser = FalseyValueParser::new())]
    new_only: bool,
    /// Bytes of input that make a shard, such as 64MiB [default: by the size of the input]
    #[arg(long, env = "SHARDMILL_INGEST_SHARD_SIZE", value_name = "BYTES", value_parser = parse_shard_size)]
    shard_size: Option<u64>,
    /// Clean in the same pass, by the rules in this TOML file
    #[arg(long, env = "SHARDMILL_INGEST_CLEAN", value_name = "RULES")]
    clean: Option<PathBuf>,
    /// Drop duplicate rows in the same pass
    #[arg(long, env = "SHARDMILL_INGEST_DEDUP", value_parser = FalseyValueParser::new())]
    dedup: bool,
    #[command(flatten)]
    dedup_options: DedupOptionsArgs,
    #[command(flatten)]
    replicas: ReplicasArg,
}

/// The columns and types that an option names.
fn types_of(option: &str, text: Option<&str>) -> Result<Option<Schema>, CliError> {
    text.map(parse_schema).transpose().map_err(|e| CliError::usage(format!("{option}: {e}")))
}

fn parse_shard_size(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 1 << 10;
    const MOST: u64 = 512 << 20;
    match parse_bytes(text).map_err(|e| e.to_string())? {
        bytes if (LEAST..=MOST).contains(&bytes) => Ok(bytes),
        _ => Err(format!("`{text}` is not a size between 1KiB and 512MiB")),
    }
}

impl IngestArgs {
    fn read_options(&self) -> Result<ReadOptions, CliError> {
        let kind = match self.format {
            FormatArg::Auto => None,
            FormatArg::Csv => Some(Format::Csv),
            FormatArg::Tsv => Some(Format::Tsv),
            FormatArg::Jsonl => Some(Format::Jsonl),
            FormatArg::Lines => Some(Format::Lines),
            FormatArg::Parquet => Some(Format::Parquet),
            FormatArg::Arrow => Some(Format::Arrow),
        };
        if kind == Some(Format::Lines) {
            let of_cells = [
                ("--delimiter", self.writing.delimiter.is_some()),
                ("--no-header", self.writing.no_header),
                ("--schema", self.schema.is_some()),
                ("--types", self.types.is_some()),
                ("--null", !self.null.is_empty()),
            ];
            if let Some((option, _)) = of_cells.iter().find(|(_, given)| *given) {
                return Err(CliError::usage(format!(
                    "{option} does not go with --format lines: every line becomes a text in the column `line`, as it is"
                )));
            }
        }
        let names = |option, given: &[String]| columns(option, (!given.is_empty()).then_some(given));
        let wanted = match (names("--columns", &self.columns)?, names("--drop", &self.drop)?) {
            (None, None) => Wanted::All,
            (Some(names), _) => Wanted::Only(names),
            (None, Some(names)) => Wanted::AllBut(names),
        };
        let mut nulls = Vec::new();
        for mark in &self.null {
            if mark == "common" {
                nulls.extend(COMMON_NULLS.map(str::to_owned));
            } else {
                nulls.push(mark.clone());
            }
        }
        Ok(ReadOptions {
            kind,
            told: self.writing.told()?,
            encoding: self.writing.encoding,
            numbers: self.writing.numbers()?,
            ragged: self.writing.ragged(),
            strict: self.writing.strict,
            drop_unnamed: self.writing.drop_unnamed,
            wanted,
            pick: Pick { sheet: self.sheet.as_deref().map(SheetName::from).unwrap_or_default(), range: self.range },
            skip_unstored: false,
            schema: types_of("--schema", self.schema.as_deref())?,
            types: types_of("--types", self.types.as_deref())?.unwrap_or_default(),
            bytes: match self.binary {
                BinaryArg::Binary => BytesAs::Binary,
                BinaryArg::Text => BytesAs::Text,
                BinaryArg::Hex => BytesAs::Hex,
            },
            nulls,
        })
    }

    /// Everything of the job but what the sources and the options of reading tell.
    fn spec(&self) -> Result<IngestSpec, CliError> {
        if !self.dedup && self.dedup_options.keys.is_some() {
            return Err(CliError::usage("--keys says how to find duplicates: add --dedup"));
        }
        Ok(IngestSpec {
            max_rejects: self.max_rejects,
            append: self.append,
            widen: self.widen,
            replicas: self.replicas.replicas,
            clean: self.clean.as_deref().map(rules).transpose()?,
            dedup: if self.dedup { Some(self.dedup_options.options()?) } else { None },
            ..IngestSpec::new(self.output.clone())
        })
    }
}

pub async fn run(context: &Context, args: IngestArgs) -> Result<(), CliError> {
    let options = args.read_options()?;
    let spec = args.spec()?;
    let looked = ingest::inspect(context, args.sources.clone(), &options).await?;
    session::with_own_interrupt(context, async |s| {
        let way = Way { options, shard_size: args.shard_size, new_only: args.new_only };
        match ingest::run(context, s, looked, way, spec).await? {
            Ingested::Done { status, readings, notices, .. } => report(context, &status, &readings, &notices),
            Ingested::NothingNew { .. } => nothing_new(context, s, &args.output).await,
        }
    })
    .await
}

/// The job, and how its sources were read.
fn report(context: &Context, status: &JobStatus, readings: &[Reading], notices: &[String]) -> Result<(), CliError> {
    let seconds = context.out.elapsed();
    let mut object = jobs::to_json(status, seconds);
    if let Some(map) = object.as_object_mut() {
        map.insert("read_as".to_owned(), json!(readings));
        map.insert("notices".to_owned(), json!(notices));
    }
    context.out.result(object, || {
        let mut table = jobs::to_table(status, seconds);
        for reading in readings {
            let of = if readings.len() > 1 {
                format!(" ({} files)", show_count(reading.sources as u64))
            } else {
                String::new()
            };
            table.pair("read as", format!("{}{of}", reading.read_as));
        }
        table
    })?;
    jobs::hints(context, status);
    Ok(())
}

/// `--new-only` found nothing new: the dataset stays as it is, which is what was asked for.
async fn nothing_new(context: &Context, session: &Session, name: &DatasetName) -> Result<(), CliError> {
    let manifest = session.client.locate(&DatasetRef { name: name.clone(), version: None }).await?.manifest;
    let object = json!({
        "job": null, "state": "done", "dataset": manifest.reference(), "rows": manifest.rows(), "counters": {"files": 0},
        "seconds": text::round(context.out.elapsed()),
    });
    context.out.result(object, || {
        let mut table = Table::pairs();
        table.pair("dataset", format!("{} (nothing new)", manifest.reference()));
        table.pair("rows", show_count(manifest.rows()));
        table.pair("files", "0");
        table
    })
}
