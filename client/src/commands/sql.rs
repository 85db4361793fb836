//! `sql "SELECT ..."`: a question over datasets and files, answered as a table, as a file or as a dataset; without a statement, a
//! prompt, or the statements that come on standard input.

use std::io::{IsTerminal, Read};

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use serde_json::json;
use shardmill_common::misread::Misread;
use shardmill_common::name::DatasetName;
use shardmill_common::status::JobStatus;
use shardmill_common::units::{parse_bytes, show_count};
use shardmill_flows::download::export;
use shardmill_flows::export::{Format, Settings, Target};
use shardmill_flows::query::{Bounds, Question, prepare};
use shardmill_flows::read::arrow_schema;
use shardmill_flows::temporary::Temporary;
use shardmill_flows::{Session, machine, text};

use super::common::ReplicasArg;
use super::export::{compression_of, shown_path};
use super::formats::FormatArg;
use super::sql_prompt;
use super::tables::{ROWS_SHOWN, print_rows};
use crate::cli::Context;
use crate::error::CliError;
use crate::{jobs, session};

#[derive(Clone, Debug, Args)]
pub struct SqlArgs {
    /// One query, or several with `;` between them; `-` reads them from standard input. Without it: a prompt
    ///
    /// A table is a dataset (orders, orders@3, "my-data") or, in single quotes, a file ('data/orders.csv').
    statement: Option<String>,
    #[command(flatten)]
    pub(super) way: SqlWay,
}

/// What becomes of an answer.
#[derive(Clone, Debug, Args)]
pub struct SqlWay {
    /// How the answer is written [default: table, or by the extension of --to]
    #[arg(long, env = "SHARDMILL_SQL_FORMAT", value_enum)]
    format: Option<AnswerFormat>,
    /// Write the answer to a file, or - for standard output
    #[arg(long, env = "SHARDMILL_SQL_TO", value_name = "PATH")]
    to: Option<String>,
    /// Replace a file that exists
    #[arg(long, env = "SHARDMILL_SQL_FORCE", value_parser = FalseyValueParser::new())]
    force: bool,
    /// Keep the answer as a new version of this dataset
    #[arg(long, env = "SHARDMILL_SQL_INTO", value_name = "NAME")]
    into: Option<DatasetName>,
    /// Show how one worker would run the query, without running it
    #[arg(long, env = "SHARDMILL_SQL_EXPLAIN", value_parser = FalseyValueParser::new())]
    explain: bool,
    /// Rows of the answer to show in a table: a number, or `all` [default: 100; all with --json]
    #[arg(long, env = "SHARDMILL_SQL_ROWS", value_name = "N", value_parser = parse_rows)]
    rows: Option<u64>,
    /// Memory that sorts, groups and joins may hold on the worker that leads the query, such as 2GiB; what can uses the disk beyond it
    /// [default: a task's share of the worker's]
    #[arg(long, env = "SHARDMILL_SQL_MEMORY", value_name = "BYTES", value_parser = parse_memory)]
    query_memory: Option<u64>,
    /// Give the query up after so many seconds
    #[arg(long, env = "SHARDMILL_SQL_TIMEOUT", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    #[command(flatten)]
    replicas: ReplicasArg,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    /// For people
    Table,
    /// Comma-separated; null is an empty cell, an empty string is ""
    Csv,
    /// Tab-separated, quoted like CSV
    Tsv,
    /// One JSON object a line
    Jsonl,
    /// Parquet, compressed with zstd
    Parquet,
    /// Arrow IPC file (Feather 2), compressed with LZ4
    Arrow,
    /// A sheet of an Excel workbook
    #[value(alias = "excel")]
    Xlsx,
}

impl AnswerFormat {
    /// The format of a file. `None`: a table.
    const fn of_file(self) -> Option<FormatArg> {
        Some(match self {
            AnswerFormat::Table => return None,
            AnswerFormat::Csv => FormatArg::Csv,
            AnswerFormat::Tsv => FormatArg::Tsv,
            AnswerFormat::Jsonl => FormatArg::Jsonl,
            AnswerFormat::Parquet => FormatArg::Parquet,
            AnswerFormat::Arrow => FormatArg::Arrow,
            AnswerFormat::Xlsx => FormatArg::Xlsx,
        })
    }
}

fn parse_rows(text: &str) -> Result<u64, Misread> {
    match text {
        "all" => Ok(u64::MAX),
        _ => text.parse().map_err(|_| Misread::new(text, "neither a number of rows nor `all`")),
    }
}

fn parse_memory(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 16 << 20;
    let bytes = parse_bytes(text).map_err(|e| e.to_string())?;
    if bytes < LEAST { Err(format!("`{text}` is too little: a query needs at least 16MiB")) } else { Ok(bytes) }
}

/// Where an answer goes.
enum Goal {
    Plan,
    Table { rows: u64 },
    File { target: Target, settings: FileSettings },
    Dataset(DatasetName),
}

/// How a file of it is written.
struct FileSettings {
    to: String,
    format: Format,
    compression: shardmill_flows::export::Compression,
}

impl SqlWay {
    fn goal(&self, json: bool) -> Result<Goal, CliError> {
        if self.explain {
            return Ok(Goal::Plan);
        }
        if let Some(name) = &self.into {
            if self.to.is_some() {
                return Err(CliError::usage(
                    "--into keeps the answer as a dataset, and --to writes it to a file: give one of them",
                ));
            }
            return Ok(Goal::Dataset(name.clone()));
        }
        let to = match (&self.to, self.format.and_then(AnswerFormat::of_file)) {
            (None, None) => {
                let rows = self.rows.unwrap_or(if json { u64::MAX } else { ROWS_SHOWN });
                return Ok(Goal::Table { rows });
            }
            (to, _) => to.clone().unwrap_or_else(|| "-".to_owned()),
        };
        if self.format == Some(AnswerFormat::Table) {
            return Err(CliError::usage("--to writes a file: give --format csv, tsv, jsonl, parquet or arrow"));
        }
        if self.rows.is_some() {
            return Err(CliError::usage("--rows is of tables; a file has all rows: write LIMIT in the statement"));
        }
        let target = Target::of(&to, false);
        if matches!(target, Target::Folder(_)) {
            return Err(CliError::usage("--to must name a file, or - for standard output"));
        }
        let format = self.format.and_then(AnswerFormat::of_file).map(Format::from);
        let (format, compression) = compression_of(format, &target)?;
        target.check(self.force)?;
        Ok(Goal::File { target, settings: FileSettings { to, format, compression } })
    }

    /// Refuses what only one answer can become.
    fn several(&self, json: bool) -> Result<(), CliError> {
        let one = |what: &str| Err(CliError::usage(format!("{what}: give one statement")));
        match (&self.to, self.format) {
            _ if json => one("--json prints one object"),
            (Some(to), _) if to != "-" => one("--to writes one answer to one file"),
            (_, Some(AnswerFormat::Parquet | AnswerFormat::Arrow | AnswerFormat::Xlsx)) => {
                one("such a file holds one answer")
            }
            _ => Ok(()),
        }
    }

    const fn bounds(&self) -> Bounds {
        Bounds { memory: self.query_memory, seconds: self.timeout, replicas: self.replicas.replicas }
    }
}

pub async fn run(context: &Context, args: SqlArgs) -> Result<(), CliError> {
    // What makes no sense is refused before a cluster is started or asked.
    args.way.goal(context.out.json)?;
    let text = match args.statement.as_deref() {
        Some("-") => Some(read_all()?),
        None if !std::io::stdin().is_terminal() => Some(read_all()?),
        other => other.map(str::to_owned),
    };
    let Some(text) = text else {
        return session::with_own_interrupt(context, async |s| sql_prompt::run(context, s, &args.way).await).await;
    };
    let (mut statements, rest) = shardmill_sql::split(&text);
    statements.extend(Some(rest).filter(|rest| !rest.trim().is_empty()));
    if statements.is_empty() {
        return Err(CliError::usage("there is no statement; write one, such as SELECT COUNT(*) FROM orders"));
    }
    if statements.len() > 1 {
        args.way.several(context.out.json)?;
    }
    session::with_own_interrupt(context, async |s| {
        for statement in &statements {
            answer(context, s, statement, &args.way).await?;
        }
        Ok(())
    })
    .await
}

fn read_all() -> Result<String, CliError> {
    let mut text = String::new();
    match std::io::stdin().read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(e) => Err(CliError::usage(format!("standard input cannot be read as text: {e}"))),
    }
}

/// Answers one question. Whatever was made for it alone is taken back.
pub async fn answer(context: &Context, s: &Session, statement: &str, way: &SqlWay) -> Result<(), CliError> {
    let mut temporary = Temporary::of("sql");
    let result = answer_with(context, s, statement, way, &mut temporary).await;
    temporary.remove(context, &s.client).await;
    result
}

async fn answer_with(
    context: &Context,
    s: &Session,
    statement: &str,
    way: &SqlWay,
    temporary: &mut Temporary,
) -> Result<(), CliError> {
    let goal = way.goal(context.out.json)?;
    let question = prepare(context, s, statement, temporary).await?;
    let output = match &goal {
        Goal::Plan => return explain(context, &question).await,
        Goal::Dataset(name) => name.clone(),
        Goal::Table { .. } | Goal::File { .. } => temporary.name("answer")?,
    };
    let status = question.answer(context, s, output, way.bounds()).await?;
    match goal {
        Goal::Plan | Goal::Dataset(_) => jobs::report(context, &status),
        Goal::Table { rows } => context.interrupt.or_interrupted(print_rows(context, s, &status, rows)).await,
        Goal::File { target, settings } => write(context, s, &status, target, settings).await,
    }
}

async fn explain(context: &Context, question: &Question) -> Result<(), CliError> {
    let plan = question.explain(machine::default_slots(1) as usize).await?;
    if context.out.json {
        return context.out.object(&json!({ "plan": plan, "columns": question.schema }));
    }
    context.out.line(&plan)
}

async fn write(
    context: &Context,
    s: &Session,
    status: &JobStatus,
    target: Target,
    settings: FileSettings,
) -> Result<(), CliError> {
    let Some(dataset) = &status.dataset else { return Err(no_answer()) };
    let located = context.interrupt.or_interrupted(async { Ok(s.client.locate(dataset).await?) }).await?;
    let schema = arrow_schema(&located.manifest.schema);
    let FileSettings { to, format, compression } = settings;
    let to_stdout = matches!(target, Target::Stdout);
    let settings = Settings { format, compression, null: String::new(), schema };
    let done = export(context, &s.client, located, target, settings).await?;
    if to_stdout {
        return Ok(());
    }
    let place = shown_path(&to);
    let object = json!({
        "job": status.job, "to": place, "format": format.extension(), "rows": done.rows, "bytes": done.bytes,
        "seconds": text::round(context.out.elapsed()),
    });
    context.out.result(object, || {
        let mut table = crate::table::Table::pairs();
        table.pair("written to", &place);
        table.pair("format", format.extension());
        table.pair("rows", show_count(done.rows));
        table.pair("size", shardmill_common::units::show_bytes(done.bytes));
        table.pair("time", text::seconds(context.out.elapsed()));
        table
    })
}

fn no_answer() -> CliError {
    CliError::failed("the job was done and left no answer")
}
