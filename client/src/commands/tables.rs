//! Datasets on the command line, and files in their place: what a file holds is a dataset for as long as the command lasts, and `-`
//! prints what a verb makes.

use std::path::Path;
use std::str::FromStr;

use serde_json::{Value, json};
use shardmill_common::kinds::JobSpec;
use shardmill_common::name::{DatasetName, DatasetRef, NameError};
use shardmill_common::status::JobStatus;
use shardmill_common::units::show_count;
use shardmill_flows::query::take_file;
use shardmill_flows::temporary::Temporary;
use shardmill_flows::{Session, text};

use super::common::DryRunArg;
use super::dataset_head::first_rows;
use crate::cli::Context;
use crate::error::CliError;
use crate::{jobs, session};

/// Rows of a result that a table has, unless another number is asked for.
pub const ROWS_SHOWN: u64 = 100;

/// What a verb reads. A text that looks like a path, or is that of a file with an extension, is a file; all else names a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Dataset(DatasetRef),
    /// A path or a pattern.
    File(String),
}

impl FromStr for Input {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_path = text.contains(['/', '\\', '*', '?']) || (text.contains('.') && Path::new(text).is_file());
        if is_path {
            return Ok(Input::File(text.to_owned()));
        }
        let parsed = text.parse::<DatasetRef>();
        parsed.map(Input::Dataset).map_err(|e| format!("{e}; there is no file `{text}` either"))
    }
}

/// What a verb writes: a dataset, or `-` to print it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Printed,
    Dataset(DatasetName),
}

impl FromStr for Output {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "-" => Ok(Output::Printed),
            name => name.parse().map(Output::Dataset),
        }
    }
}

/// What a command reads besides datasets, and takes back in the end.
pub struct Tables {
    pub temporary: Temporary,
    /// What stands for a file in messages, and its path.
    files: Vec<(String, String)>,
}

impl Tables {
    /// Runs `work`, which may take files in, in a session of its own.
    pub async fn with<T>(
        context: &Context,
        command: &str,
        work: impl AsyncFnOnce(&Session, &mut Tables) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        session::with_own_interrupt(context, async |s| {
            let mut tables = Tables { temporary: Temporary::of(command), files: Vec::new() };
            let result = work(s, &mut tables).await;
            tables.temporary.remove(context, &s.client).await;
            result.map_err(|e| e.in_words_of(&tables.files))
        })
        .await
    }

    /// The dataset that an input is.
    pub async fn resolve(&mut self, context: &Context, s: &Session, input: &Input) -> Result<DatasetRef, CliError> {
        match input {
            Input::Dataset(dataset) => Ok(dataset.clone()),
            Input::File(path) => {
                let dataset = take_file(context, s, path, &mut self.temporary).await?;
                // A version first: its name begins with that of the dataset.
                self.files.push((format!("{}@1", dataset.name), path.clone()));
                self.files.push((dataset.name.to_string(), path.clone()));
                Ok(dataset)
            }
        }
    }
}

/// A job over datasets or files, into a dataset or onto the terminal.
pub struct Verb<'a> {
    pub name: &'a str,
    pub inputs: Vec<Input>,
    pub output: Output,
    pub dry_run: DryRunArg,
}

impl Verb<'_> {
    /// Runs the job that `make` describes, and shows what came of it. `after` has more to say of a dataset that was made.
    pub async fn run(
        self,
        context: &Context,
        make: impl FnOnce(&[DatasetRef], DatasetName) -> Result<JobSpec, CliError>,
        after: impl AsyncFnOnce(&Session, &JobStatus) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        Tables::with(context, self.name, async |s, tables| self.run_in(context, s, tables, make, after).await).await
    }

    async fn run_in(
        self,
        context: &Context,
        s: &Session,
        tables: &mut Tables,
        make: impl FnOnce(&[DatasetRef], DatasetName) -> Result<JobSpec, CliError>,
        after: impl AsyncFnOnce(&Session, &JobStatus) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            inputs.push(tables.resolve(context, s, input).await?);
        }
        let output = match &self.output {
            Output::Dataset(name) => name.clone(),
            Output::Printed => tables.temporary.name("result")?,
        };
        let order = self.dry_run.of(make(&inputs, output)?);
        let status = jobs::run(context, &s.client, order).await?;
        match self.output {
            Output::Printed => {
                let rows = if context.out.json { u64::MAX } else { ROWS_SHOWN };
                context.interrupt.or_interrupted(print_rows(context, s, &status, rows)).await
            }
            Output::Dataset(_) => {
                jobs::report(context, &status)?;
                after(s, &status).await
            }
        }
    }
}

/// The inputs of a verb that has so many.
pub fn only<const N: usize>(inputs: &[DatasetRef]) -> Result<[DatasetRef; N], CliError> {
    inputs.to_vec().try_into().map_err(|_| CliError::failed("the inputs were lost"))
}

/// Nothing more to say of a dataset that was made.
pub async fn nothing_more(_: &Session, _: &JobStatus) -> Result<(), CliError> {
    Ok(())
}

/// Prints the first rows of what a job made.
pub async fn print_rows(context: &Context, s: &Session, status: &JobStatus, rows: u64) -> Result<(), CliError> {
    let Some(dataset) = &status.dataset else { return Err(CliError::failed("the job was done and left no rows")) };
    let answer = first_rows(&s.client, dataset, 0, rows).await?;
    let seconds = text::round(jobs::seconds_of(status));
    let mut object = answer.to_json()?;
    if let Value::Object(object) = &mut object {
        for gone in ["dataset", "offset"] {
            object.remove(gone);
        }
        object.insert("job".to_owned(), json!(status.job));
        object.insert("seconds".to_owned(), json!(seconds));
    }
    context.out.result(object, || answer.to_table())?;
    let (shown, total) = (answer.count(), answer.total());
    let took = text::seconds(jobs::seconds_of(status));
    context.out.hint(&match total {
        1 => format!("1 row in {took}"),
        total if shown == total => format!("{} rows in {took}", show_count(total)),
        total => format!(
            "the first {} of {} rows, in {took}; --json prints all, and so does `shardmill sql` with --rows all",
            show_count(shown),
            show_count(total)
        ),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_names() {
        let is_file = |text: &str| matches!(text.parse::<Input>(), Ok(Input::File(_)));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "x\n1\n").unwrap();
        assert!(is_file(path.to_str().unwrap()) && is_file("./sales.csv") && is_file("data/*.csv"));
        assert!(!is_file("sales.csv") && !is_file("sales@3"), "no file of that name is here");
        assert!("what is this".parse::<Input>().unwrap_err().contains("there is no file `what is this` either"));
        assert_eq!("-".parse(), Ok(Output::Printed));
        assert!("a b".parse::<Output>().is_err());
    }
}
