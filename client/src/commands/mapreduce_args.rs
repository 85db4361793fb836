//! The options of `mapreduce`, and the job they ask for.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use shardmill_common::kinds::mapreduce::step::{Format, Limits, Program, ShippedFile, Step, Work};
use shardmill_common::kinds::mapreduce::{MapInput, MapReduceSpec};
use shardmill_common::kinds::sort::SortKey;
use shardmill_common::lists;
use shardmill_common::misread::Misread;
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::units::parse_bytes;

use super::common::{DryRunArg, ReplicasArg, columns};
use crate::error::CliError;

/// How rows travel to a program and back.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// Lines of cells with tabs between them
    Tsv,
    /// A JSON object a line
    Jsonl,
    /// Arrow IPC streams
    Arrow,
}

#[derive(Clone, Debug, Args)]
pub struct MapReduceArgs {
    /// The dataset to write a new version of
    #[arg(value_name = "OUT")]
    output: DatasetName,
    /// A dataset to read, and the table that the reduce sees it as [default name: input, or the dataset's own if there are several]
    #[arg(long = "input", env = "SHARDMILL_MAPREDUCE_INPUT", value_name = "[NAME=]DATASET", required = true)]
    inputs: Vec<String>,
    /// A statement over one shard, the table `input`; with several inputs, say of which
    #[arg(long = "map", env = "SHARDMILL_MAPREDUCE_MAP", value_name = "[NAME=]SQL|@FILE")]
    maps: Vec<String>,
    /// A program that is given the rows of one shard
    #[arg(long = "map-program", env = "SHARDMILL_MAPREDUCE_MAP_PROGRAM", value_name = "[NAME=]COMMAND")]
    map_programs: Vec<String>,
    /// Columns whose equal values bring rows together; "" brings all rows together
    #[arg(long, env = "SHARDMILL_MAPREDUCE_KEY", value_name = "A,B")]
    key: Option<String>,
    /// A statement that makes fewer rows of a map's rows, before they travel
    #[arg(long, env = "SHARDMILL_MAPREDUCE_COMBINE", value_name = "SQL|@FILE")]
    combine: Option<String>,
    /// A statement over all rows of some keys, a table for each input
    #[arg(long, env = "SHARDMILL_MAPREDUCE_REDUCE", value_name = "SQL|@FILE", conflicts_with = "reduce_program")]
    reduce: Option<String>,
    /// A program that is given all rows of some keys, sorted by key
    #[arg(long, env = "SHARDMILL_MAPREDUCE_REDUCE_PROGRAM", value_name = "COMMAND")]
    reduce_program: Option<String>,
    /// A file that programs find in their folder; may be given several times
    #[arg(long = "file", env = "SHARDMILL_MAPREDUCE_FILE", value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// How rows travel to programs and back
    #[arg(long, env = "SHARDMILL_MAPREDUCE_FORMAT", value_enum, default_value = "tsv")]
    format: FormatArg,
    /// The columns that map programs write, such as word,n=int64 [default for tsv: key,value]
    #[arg(long, env = "SHARDMILL_MAPREDUCE_MAP_COLUMNS", value_name = "A,B=TYPE")]
    map_columns: Option<String>,
    /// The columns that the last program writes, such as word,n=int64 [default for tsv: key,value]
    #[arg(long, env = "SHARDMILL_MAPREDUCE_COLUMNS", value_name = "A,B=TYPE")]
    columns: Option<String>,
    /// The order in which a reduce program sees the rows of a key, :desc for from high to low
    #[arg(long, env = "SHARDMILL_MAPREDUCE_THEN_BY", value_name = "A,B:desc", value_delimiter = ',')]
    then_by: Option<Vec<String>>,
    /// Without a reduce: a statement may look at all rows of a shard together, with an answer a shard
    #[arg(long, env = "SHARDMILL_MAPREDUCE_PER_SHARD", value_parser = FalseyValueParser::new())]
    per_shard: bool,
    /// Records that may be skipped because a map or a reduce fails on them; they are kept in OUT.rejects
    #[arg(long, env = "SHARDMILL_MAPREDUCE_SKIP_BAD", value_name = "N", default_value_t = 0)]
    skip_bad: u64,
    #[command(flatten)]
    limits: LimitsArgs,
    #[command(flatten)]
    replicas: ReplicasArg,
    #[command(flatten)]
    pub(super) dry_run: DryRunArg,
}

/// What one run of a program may use.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits of each run of a program")]
struct LimitsArgs {
    /// Seconds on the clock [default: none]
    #[arg(long, env = "SHARDMILL_MAPREDUCE_TASK_TIMEOUT", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    task_timeout: Option<u64>,
    /// Seconds of processor time [default: none]
    #[arg(long, env = "SHARDMILL_MAPREDUCE_PROGRAM_CPU", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    program_cpu: Option<u64>,
    /// Memory of all its processes, such as 512MiB [default: a slot's share of the worker's]
    #[arg(long, env = "SHARDMILL_MAPREDUCE_PROGRAM_MEMORY", value_name = "BYTES", value_parser = parse_bytes)]
    program_memory: Option<u64>,
    /// Bytes it may write to its output, and to any file [default: 16GiB]
    #[arg(long, env = "SHARDMILL_MAPREDUCE_MAX_OUTPUT", value_name = "BYTES", value_parser = parse_bytes)]
    max_output: Option<u64>,
    /// Processes at one time [default: 64]
    #[arg(long, env = "SHARDMILL_MAPREDUCE_MAX_PROCESSES", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_processes: Option<u32>,
    /// Open files of each of its processes [default: 256]
    #[arg(long, env = "SHARDMILL_MAPREDUCE_MAX_OPEN_FILES", value_name = "N", value_parser = clap::value_parser!(u32).range(8..))]
    max_open_files: Option<u32>,
}

impl LimitsArgs {
    fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            timeout: self.task_timeout,
            cpu: self.program_cpu,
            memory: self.program_memory,
            output: self.max_output.unwrap_or(default.output),
            processes: self.max_processes.unwrap_or(default.processes),
            open_files: self.max_open_files.unwrap_or(default.open_files),
        }
    }
}

impl MapReduceArgs {
    /// The job, with the files that were shipped for it.
    pub fn spec(&self, files: Vec<ShippedFile>) -> Result<MapReduceSpec, CliError> {
        let mut inputs = self.inputs.iter().map(|text| self.input(text)).collect::<Result<Vec<_>, _>>()?;
        let map_columns = self.map_columns.as_deref().map(|c| typed_columns("--map-columns", c)).transpose()?;
        let final_columns = self.columns.as_deref().map(|c| typed_columns("--columns", c)).transpose()?;
        let has_reduce = self.reduce.is_some() || self.reduce_program.is_some();
        for text in &self.maps {
            let (input, statement) = of_input("--map", text, &mut inputs)?;
            set_map("--map", input, Step::Sql(statement_of("--map", statement)?))?;
        }
        for text in &self.map_programs {
            let (input, command) = of_input("--map-program", text, &mut inputs)?;
            // The only program's columns may be named either way.
            let columns = map_columns.clone().or_else(|| final_columns.clone().filter(|_| !has_reduce));
            set_map("--map-program", input, self.program("--map-program", command, columns)?)?;
        }
        if self.map_columns.is_some() && self.map_programs.is_empty() {
            return Err(CliError::usage("--map-columns is for --map-program, and there is none"));
        }
        if self.columns.is_some() && self.reduce_program.is_none() && (has_reduce || self.map_programs.is_empty()) {
            return Err(CliError::usage("--columns names what the last program writes, and the last step is none"));
        }
        let reduce = match (&self.reduce, &self.reduce_program) {
            (Some(statement), _) => Some(Step::Sql(statement_of("--reduce", statement)?)),
            (None, Some(command)) => Some(self.program("--reduce-program", command, final_columns)?),
            (None, None) => None,
        };
        if has_reduce && self.key.is_none() {
            return Err(CliError::usage(
                "say by which columns rows come together: --key a,b, or --key \"\" for all rows in one group",
            ));
        }
        let keys = match self.key.as_deref().map(str::trim) {
            None | Some("") => Vec::new(),
            Some(text) => columns("--key", Some(&[text.to_owned()]))?.unwrap_or_default(),
        };
        Ok(MapReduceSpec {
            output: self.output.clone(),
            inputs,
            keys,
            then_by: self.then_by()?,
            combine: self.combine.as_deref().map(|c| statement_of("--combine", c)).transpose()?,
            reduce,
            per_shard: self.per_shard,
            work: Work { files, limits: self.limits.limits(), skip_bad: self.skip_bad },
            replicas: self.replicas.replicas,
        })
    }

    fn input(&self, text: &str) -> Result<MapInput, CliError> {
        let (name, dataset) = match text.split_once('=') {
            Some((name, dataset)) => (Some(name.trim()), dataset.trim()),
            None => (None, text.trim()),
        };
        let dataset: DatasetRef = dataset.parse().map_err(|e| CliError::usage(format!("--input {text}: {e}")))?;
        let name = match name {
            Some(name) => name.to_owned(),
            None if self.inputs.len() == 1 => "input".to_owned(),
            None => dataset.name.to_string(),
        };
        Ok(MapInput { name, dataset, map: None })
    }

    fn program(&self, option: &str, command: &str, columns: Option<Schema>) -> Result<Step, CliError> {
        if command.trim().is_empty() {
            return Err(CliError::usage(format!("{option}: the command is empty")));
        }
        let format = match self.format {
            FormatArg::Tsv => Format::Tsv,
            FormatArg::Jsonl => Format::Jsonl,
            FormatArg::Arrow => Format::Arrow,
        };
        Ok(Step::Program(Program { command: command.to_owned(), format, columns }))
    }

    fn then_by(&self) -> Result<Vec<SortKey>, CliError> {
        let Some(given) = &self.then_by else { return Ok(Vec::new()) };
        let given = given.join(",");
        let given = lists::parts(&given).into_iter().map(|text| match text.trim() {
            text if text.ends_with(":desc") => (text.trim_end_matches(":desc"), true),
            text => (text.trim_end_matches(":asc"), false),
        });
        let (names, descending): (Vec<String>, Vec<bool>) = given.map(|(name, desc)| (name.to_owned(), desc)).unzip();
        let names = columns("--then-by", Some(&names))?.unwrap_or_default();
        Ok(names.into_iter().zip(descending).map(|(column, descending)| SortKey { column, descending }).collect())
    }
}

/// The input that `NAME=TEXT` is about, and the text; a lone input need not be named.
fn of_input<'a, 't>(
    option: &str,
    text: &'t str,
    inputs: &'a mut [MapInput],
) -> Result<(&'a mut MapInput, &'t str), CliError> {
    let named = text.split_once('=').and_then(|(name, rest)| {
        let n = inputs.iter().position(|i| i.name == name.trim())?;
        Some((n, rest))
    });
    let alone = inputs.len() == 1;
    let (n, text) = match named {
        Some(found) => found,
        None if alone => (0, text),
        None => {
            let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
            return Err(CliError::usage(format!(
                "{option}: say which of the inputs it maps, as {option} NAME=...; they are {}",
                names.join(", ")
            )));
        }
    };
    let input = inputs.get_mut(n).ok_or_else(|| CliError::usage("no --input is named"))?;
    Ok((input, text))
}

fn set_map(option: &str, input: &mut MapInput, step: Step) -> Result<(), CliError> {
    if input.map.is_some() {
        return Err(CliError::usage(format!("{option}: the input `{}` has a map already", input.name)));
    }
    input.map = Some(step);
    Ok(())
}

/// A statement as it was given, or the file that holds it.
fn statement_of(option: &str, text: &str) -> Result<String, CliError> {
    let Some(path) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    std::fs::read_to_string(path).map_err(|e| CliError::usage(format!("{option}: cannot read {path}: {e}")))
}

/// `word,n=int64` or `word,n:int64`: columns with their types; text where none is named.
fn typed_columns(option: &str, text: &str) -> Result<Schema, CliError> {
    let wrong = |e: String| CliError::usage(format!("{option}: {e}"));
    let mut schema = Schema::default();
    for part in lists::parts(text) {
        // The last sign parts them: a column's name may have one, a type has none.
        let typed = match part.rfind([':', '=']) {
            Some(at) if part[at..].starts_with(':') => lists::rsplit_once(part, ':'),
            _ => lists::rsplit_once(part, '='),
        };
        let (name, dtype) = match typed {
            Some((name, dtype)) => {
                let name = lists::name(name);
                let dtype = dtype.trim().parse().map_err(|e: Misread| wrong(format!("column `{name}`: {e}")))?;
                (name, dtype)
            }
            None => (lists::name(part), DataType::String),
        };
        if name.is_empty() {
            return Err(wrong("a column has no name; write them as a,b=int64".into()));
        }
        if schema.get(&name).is_some() {
            return Err(wrong(format!("column `{name}` is named twice")));
        }
        schema.fields.push(Field::new(name, dtype));
    }
    Ok(schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: MapReduceArgs,
    }

    fn spec(words: &[&str]) -> Result<MapReduceSpec, String> {
        let parsed = Alone::try_parse_from(["mapreduce"].iter().chain(words)).map_err(|e| e.to_string())?;
        parsed.args.spec(Vec::new()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_lone_input_is_called_input() {
        let spec = spec(&["out", "--input", "text@3", "--map", "SELECT a = b AS c FROM input"]).unwrap();
        assert_eq!((spec.inputs[0].name.as_str(), spec.inputs[0].dataset.version), ("input", Some(3)));
        assert_eq!(spec.inputs[0].map, Some(Step::Sql("SELECT a = b AS c FROM input".into())));
        assert!(spec.keys.is_empty() && spec.reduce.is_none());
    }

    #[test]
    fn maps_are_told_apart_by_the_names_of_inputs() {
        let spec = spec(&[
            "out",
            "--input",
            "l=left",
            "--input",
            "right",
            "--key",
            "a, b",
            "--map",
            "right=SELECT 1 AS a",
            "--map-program",
            "l=python3 x.py --a=b",
            "--map-columns",
            "a,b:int64",
            "--reduce",
            "SELECT 1",
        ])
        .unwrap();
        let names: Vec<&str> = spec.inputs.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["l", "right"]);
        let Some(Step::Program(program)) = &spec.inputs[0].map else { panic!("no program") };
        assert_eq!(program.command, "python3 x.py --a=b");
        assert_eq!(program.columns.as_ref().unwrap().get("b").unwrap().dtype, DataType::Int64);
        assert_eq!(spec.inputs[1].map, Some(Step::Sql("SELECT 1 AS a".into())));
        assert_eq!(spec.keys, ["a", "b"]);
    }

    #[test]
    fn columns_have_types() {
        let columns = typed_columns("--columns", "a, n:int64,x=float64").unwrap();
        let types: Vec<(&str, DataType)> = columns.fields.iter().map(|f| (f.name.as_str(), f.dtype)).collect();
        assert_eq!(types, [("a", DataType::String), ("n", DataType::Int64), ("x", DataType::Float64)]);
    }

    #[test]
    fn the_rows_of_a_key_have_an_order() {
        let words = ["out", "--input", "a", "--reduce-program", "x", "--key", "", "--then-by", "at:desc,page,n:asc"];
        let spec = spec(&words).unwrap();
        let order: Vec<(&str, bool)> = spec.then_by.iter().map(|k| (k.column.as_str(), k.descending)).collect();
        assert_eq!(order, [("at", true), ("page", false), ("n", false)]);
    }

    #[test]
    fn mistakes_are_told() {
        for (words, said) in [
            (&["out", "--input", "a", "--reduce", "x"][..], "--key"),
            (&["out", "--input", "a", "--input", "b", "--map", "SELECT 1", "--key", ""][..], "say which"),
            (&["out", "--input", "a", "--map", "x", "--map", "y"][..], "has a map already"),
            (&["out", "--input", "a", "--map", "@/no/such/file"][..], "/no/such/file"),
            (&["out", "--input", "a", "--map", "x", "--columns", "a"][..], "--columns"),
            (&["out", "--input", "a", "--map-program", "x", "--columns", "a:real"][..], "`real` is not a type"),
            (&["out", "--input", "a", "--map-program", "x", "--columns", "a,a"][..], "twice"),
            (&["out", "--input", "a", "--map-program", " "][..], "empty"),
            (&["out", "--input", "a", "--reduce-program", "x", "--key", "k,k"][..], "twice"),
            (&["out", "--input", "a", "--reduce-program", "x", "--key", "k", "--then-by", "z,z:desc"][..], "twice"),
        ] {
            let error = spec(words).unwrap_err();
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }
}
