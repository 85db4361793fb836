//! `compare LEFT RIGHT OUT`: a merge with the side each row came from, or what changed for keys in both.

use clap::{Args, ValueEnum};
use shardmill_common::counters::Counter;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::compare::{CompareSpec, How, Validate};
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::status::JobStatus;
use shardmill_common::units::show_count;
use shardmill_flows::Session;

use super::common::{DryRunArg, ReplicasArg, columns, suffixes};
use super::dataset_head::first_rows;
use super::tables::{Input, Output, Verb, only};
use crate::cli::Context;
use crate::error::CliError;
use crate::table::Table;

/// Rows of a report of changes that are shown as examples.
const EXAMPLES: u64 = 5;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum HowArg {
    /// Rows of either side
    Outer,
    /// Rows in both
    Inner,
    /// Every row of the left side
    Left,
    /// Every row of the right side
    Right,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ValidateArg {
    /// Keys are unique on both sides
    #[value(name = "1:1")]
    OneToOne,
    /// Keys are unique on the left
    #[value(name = "1:m")]
    OneToMany,
    /// Keys are unique on the right
    #[value(name = "m:1")]
    ManyToOne,
    /// No check
    #[value(name = "m:m")]
    ManyToMany,
}

#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// The left dataset, NAME or NAME@VERSION
    left: Input,
    /// The right dataset; exact duplicates in it count once
    right: Input,
    /// The dataset to write a new version of; - prints the rows
    #[arg(value_name = "OUT")]
    output: Output,
    /// Key columns [default: every column that both have]
    #[arg(long, env = "SHARDMILL_COMPARE_ON", value_name = "A,B", value_delimiter = ',')]
    on: Option<Vec<String>>,
    /// Which rows to keep
    #[arg(long, env = "SHARDMILL_COMPARE_HOW", value_enum, default_value = "outer")]
    how: HowArg,
    /// Fail where keys are not unique as this says
    #[arg(long, env = "SHARDMILL_COMPARE_VALIDATE", value_enum, default_value = "m:m")]
    validate: ValidateArg,
    /// What is added to the names of other columns that both sides have
    #[arg(
        long,
        env = "SHARDMILL_COMPARE_SUFFIXES",
        value_name = "_X,_Y",
        default_value = "_x,_y",
        allow_hyphen_values = true
    )]
    suffixes: String,
    /// Report, for keys in both, which columns differ
    #[arg(long, env = "SHARDMILL_COMPARE_CHANGES", value_parser = clap::builder::FalseyValueParser::new())]
    changes: bool,
    #[command(flatten)]
    replicas: ReplicasArg,
    #[command(flatten)]
    pub(super) dry_run: DryRunArg,
}

impl CompareArgs {
    fn spec(&self, left: DatasetRef, right: DatasetRef, output: DatasetName) -> Result<CompareSpec, CliError> {
        Ok(CompareSpec {
            left,
            right,
            output,
            on: columns("--on", self.on.as_deref())?,
            how: match self.how {
                HowArg::Outer => How::Outer,
                HowArg::Inner => How::Inner,
                HowArg::Left => How::Left,
                HowArg::Right => How::Right,
            },
            validate: match self.validate {
                ValidateArg::OneToOne => Validate::OneToOne,
                ValidateArg::OneToMany => Validate::OneToMany,
                ValidateArg::ManyToOne => Validate::ManyToOne,
                ValidateArg::ManyToMany => Validate::ManyToMany,
            },
            suffixes: suffixes(&self.suffixes)?,
            changes: self.changes,
            replicas: self.replicas.replicas,
        })
    }
}

pub async fn run(context: &Context, args: CompareArgs) -> Result<(), CliError> {
    let (inputs, output) = (vec![args.left.clone(), args.right.clone()], args.output.clone());
    let verb = Verb { name: "compare", inputs, output, dry_run: args.dry_run };
    let make = |inputs: &[DatasetRef], output| {
        let [left, right] = only(inputs)?;
        Ok(JobSpec::Compare(args.spec(left, right, output)?))
    };
    let changes = args.changes && !context.out.json;
    let after = async |s: &Session, status: &JobStatus| {
        if changes { show_changes(context, s, status).await } else { Ok(()) }
    };
    verb.run(context, make, after).await
}

/// Changes by column, and the first changed rows.
async fn show_changes(context: &Context, session: &Session, status: &JobStatus) -> Result<(), CliError> {
    let mut table = Table::new(&["column", ">changed"]);
    for (counter, n) in &status.counters.0 {
        if let Counter::Changed(column) = counter {
            table.row([column, &show_count(*n)]);
        }
    }
    if !table.is_empty() {
        context.out.line(&table.to_string())?;
    }
    if let Some(dataset) = status.dataset.as_ref().filter(|_| status.rows.unwrap_or(0) > 0) {
        let rows = context.interrupt.or_interrupted(first_rows(&session.client, dataset, 0, EXAMPLES)).await?;
        context.out.line(&rows.to_table().to_string())?;
    }
    Ok(())
}
