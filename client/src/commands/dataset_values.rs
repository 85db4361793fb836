//! `dataset values`: the values of a column, the most frequent first.

use clap::Args;
use shardmill_flows::query::{Bounds, prepare};

use super::dataset_head::first_rows;
use super::tables::{Input, Tables};
use crate::cli::Context;
use crate::error::CliError;
use crate::jobs;
use shardmill_common::units::show_count;

#[derive(Clone, Debug, Args)]
pub struct ValuesArgs {
    /// NAME or NAME@VERSION, or a file
    dataset: Input,
    /// The column
    column: String,
    /// Values to show
    #[arg(short = 'n', long, env = "SHARDMILL_VALUES_ROWS", value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rows: u64,
}

pub async fn run(context: &Context, args: ValuesArgs) -> Result<(), CliError> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let rows = Tables::with(context, "values", async |s, tables| {
        let dataset = tables.resolve(context, s, &args.dataset).await?;
        let column = quoted(&args.column);
        let statement = format!(
            "SELECT {column}, COUNT(*) AS {} FROM {} GROUP BY {column} ORDER BY 2 DESC, 1",
            quoted(if args.column == "rows" { "count" } else { "rows" }),
            quoted(&dataset.to_string())
        );
        let question = prepare(context, s, &statement, &mut tables.temporary).await?;
        let status = question.answer(context, s, tables.temporary.name("answer")?, Bounds::default()).await?;
        let Some(answer) = &status.dataset else { return Err(CliError::failed("the job was done and left no rows")) };
        let seconds = jobs::seconds_of(&status);
        let rows = context.interrupt.or_interrupted(first_rows(&s.client, answer, 0, args.rows)).await?;
        Ok((rows, seconds))
    })
    .await?;
    let (rows, seconds) = rows;
    context.out.result(rows.to_json()?, || rows.to_table())?;
    context.out.hint(&format!(
        "{} of {} different values, in {}",
        show_count(rows.count()),
        show_count(rows.total()),
        shardmill_flows::text::seconds(seconds)
    ));
    Ok(())
}
