//! `split IN --into train=0.8,test=0.2`: every row into one of several datasets.

use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::split::{SplitSide, SplitSpec};
use shardmill_common::name::NameError;
use shardmill_common::record::OutputRecord;
use shardmill_common::status::JobStatus;
use shardmill_common::units::show_count;
use shardmill_flows::text;

use super::common::{DryRunArg, ReplicasArg};
use super::tables::{Input, Tables};
use crate::cli::Context;
use crate::error::CliError;
use crate::jobs;
use crate::table::Table;

#[derive(Clone, Debug, Args)]
pub struct SplitArgs {
    /// The dataset to read, NAME or NAME@VERSION
    #[arg(value_name = "IN")]
    input: Input,
    /// The datasets to write new versions of, each with its share of the rows; the shares sum to 1
    #[arg(long, env = "SHARDMILL_SPLIT_INTO", value_name = "NAME=SHARE,...", value_delimiter = ',', required = true)]
    into: Vec<Side>,
    /// Split the rows of each value of this column by these shares
    #[arg(long, env = "SHARDMILL_SPLIT_STRATIFY", value_name = "COLUMN")]
    stratify: Option<String>,
    /// What the choice of rows follows from; the same seed chooses the same rows
    #[arg(long, env = "SHARDMILL_SPLIT_SEED", value_name = "N", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    replicas: ReplicasArg,
    #[command(flatten)]
    pub(super) dry_run: DryRunArg,
}

/// `train=0.8`.
#[derive(Clone, Debug)]
struct Side(SplitSide);

impl FromStr for Side {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, share) =
            text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=SHARE; write it as train=0.8"))?;
        match share.trim().parse::<f64>() {
            Ok(number) if number > 0.0 && number <= 1.0 => {
                let output = name.trim().parse().map_err(|e: NameError| e.to_string())?;
                Ok(Side(SplitSide { output, share: number }))
            }
            _ => Err(format!("`{}` is not a share: write a number between 0 and 1, such as 0.8", share.trim())),
        }
    }
}

pub async fn run(context: &Context, args: SplitArgs) -> Result<(), CliError> {
    let (status, sides) = Tables::with(context, "split", async |s, tables| {
        let spec = SplitSpec {
            input: tables.resolve(context, s, &args.input).await?,
            into: args.into.into_iter().map(|side| side.0).collect(),
            stratify: args.stratify,
            seed: args.seed,
            replicas: args.replicas.replicas,
        };
        let status = jobs::run(context, &s.client, args.dry_run.of(JobSpec::Split(spec))).await?;
        // The status tells one dataset; the record tells them all.
        let record = s.client.record(status.job).await?;
        Ok((status, record.outputs))
    })
    .await?;
    report(context, &status, &sides)
}

fn report(context: &Context, status: &JobStatus, sides: &[OutputRecord]) -> Result<(), CliError> {
    let seconds = context.out.elapsed();
    let mut object = jobs::to_json(status, seconds);
    if let Value::Object(map) = &mut object {
        let sides: Vec<Value> = sides.iter().map(|o| json!({"dataset": o.dataset, "rows": o.rows})).collect();
        map.insert("datasets".to_owned(), sides.into());
    }
    context.out.result(object, || {
        let mut table = Table::pairs();
        table.pair("job", format!("{} ({})", status.job, status.kind));
        for side in sides {
            table.pair(&side.dataset.to_string(), format!("{} rows", show_count(side.rows)));
        }
        table.pair("rows", show_count(sides.iter().map(|s| s.rows).sum()));
        table.pair("time", text::seconds(seconds));
        table
    })?;
    context.out.hint(&format!("how it was made: shardmill record show {}", status.job));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_a_name_and_a_share() {
        let side: Side = "train = 0.8".parse().unwrap();
        assert_eq!((side.0.output.as_str(), side.0.share), ("train", 0.8));
        for bad in ["train", "train=", "train=x", "train=0", "train=-1", "train=1.5", "train=NaN", "a/b=0.5", "=0.5"] {
            assert!(bad.parse::<Side>().is_err(), "{bad}");
        }
    }
}
