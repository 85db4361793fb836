//! `aggregate IN OUT --by city --agg "n=count(), mean_amount=mean(amount)"`: groups a dataset.

use clap::Args;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::aggregate::{Aggregate, AggregateSpec};
use shardmill_common::name::DatasetRef;

use super::aggregate_text::parse;
use super::common::{DryRunArg, ReplicasArg, columns};
use super::tables::{Input, Output, Verb, nothing_more, only};
use crate::cli::Context;
use crate::error::CliError;

#[derive(Clone, Debug, Args)]
pub struct AggregateArgs {
    /// The dataset to read, NAME or NAME@VERSION, or a file
    #[arg(value_name = "IN")]
    input: Input,
    /// The dataset to write a new version of: a row a group, in the order of the groups' keys
    #[arg(value_name = "OUT")]
    output: Output,
    /// Columns to group by; rows without a value there are a group too. Without it, everything is one group
    #[arg(long, env = "SHARDMILL_AGGREGATE_BY", value_name = "A,B", value_delimiter = ',')]
    by: Option<Vec<String>>,
    /// What to compute of each group: count() of rows, or of a column's values count(COLUMN), sum, mean, min, max, variance,
    /// stddev, median, quantile(COLUMN, 0.95), distinct and approx_distinct; may be given several times
    ///
    /// Rows without a value are left out, except by count(); where none has one, the counts are 0 and everything else is null.
    /// NaN is a value, and more than any number, as in SQL and where rows are sorted: sums, means and variances with one are NaN.
    /// Sums of whole numbers and decimals are exact, and refused where int64, or 38 digits, cannot hold them. variance and stddev
    /// divide by n - 1. Quantiles are exact, and lie on a line between neighbours. distinct is exact; approx_distinct takes little memory
    /// and has a standard error of 1.2 %.
    #[arg(long, env = "SHARDMILL_AGGREGATE_AGG", value_name = "NAME=FUNCTION(COLUMN),...", required = true)]
    agg: Vec<String>,
    #[command(flatten)]
    replicas: ReplicasArg,
    #[command(flatten)]
    pub(super) dry_run: DryRunArg,
}

impl AggregateArgs {
    fn aggregates(&self) -> Result<Vec<Aggregate>, CliError> {
        let mut all: Vec<Aggregate> = Vec::new();
        for text in &self.agg {
            all.extend(parse(text).map_err(|e| CliError::usage(format!("--agg: {e}")))?);
        }
        for (n, one) in all.iter().enumerate() {
            if all[..n].iter().any(|other| other.name == one.name) {
                return Err(CliError::usage(format!("--agg: two columns of the result are named `{}`", one.name)));
            }
        }
        Ok(all)
    }
}

pub async fn run(context: &Context, args: AggregateArgs) -> Result<(), CliError> {
    let (by, aggregates) = (columns("--by", args.by.as_deref())?.unwrap_or_default(), args.aggregates()?);
    let replicas = args.replicas.replicas;
    let verb = Verb { name: "aggregate", inputs: vec![args.input], output: args.output, dry_run: args.dry_run };
    let make = |inputs: &[DatasetRef], output| {
        let [input] = only(inputs)?;
        Ok(JobSpec::Aggregate(AggregateSpec { input, output, by, aggregates, replicas }))
    };
    verb.run(context, make, nothing_more).await
}
