//! `join LEFT RIGHT OUT`: joins two datasets on equal keys.

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::join::{JoinHow, JoinSpec};
use shardmill_common::lists;
use shardmill_common::name::{DatasetName, DatasetRef};
use shardmill_common::units::parse_bytes;

use super::common::{DryRunArg, ReplicasArg, suffixes};
use super::tables::{Input, Output, Verb, nothing_more, only};
use crate::cli::Context;
use crate::error::CliError;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum HowArg {
    /// Pairs of rows with equal keys
    Inner,
    /// These, and left rows without a partner
    Left,
    /// These, and right rows without a partner; in the right side's order
    Right,
    /// These, and the rows of either side without a partner
    Outer,
    /// Left rows with a partner, once each, without the right side's columns
    Semi,
    /// Left rows without a partner
    Anti,
}

#[derive(Clone, Debug, Args)]
pub struct JoinArgs {
    /// The left dataset, NAME or NAME@VERSION
    left: Input,
    /// The right dataset
    right: Input,
    /// The dataset to write a new version of; - prints the rows
    #[arg(value_name = "OUT")]
    output: Output,
    /// Key columns; LEFT=RIGHT where the two sides have different names for one
    #[arg(long, env = "SHARDMILL_JOIN_ON", value_name = "A,LEFT=RIGHT", value_delimiter = ',')]
    on: Vec<String>,
    /// Which rows to keep
    #[arg(long, env = "SHARDMILL_JOIN_HOW", value_enum, default_value = "inner")]
    how: HowArg,
    /// Rows without a value in a key match each other, as pandas has it; otherwise they match nothing, as in SQL
    #[arg(long, env = "SHARDMILL_JOIN_NULLS_EQUAL", value_parser = FalseyValueParser::new())]
    nulls_equal: bool,
    /// What is added to the names of other columns that both sides have
    #[arg(
        long,
        env = "SHARDMILL_JOIN_SUFFIXES",
        value_name = "_X,_Y",
        default_value = "_x,_y",
        allow_hyphen_values = true
    )]
    suffixes: String,
    /// A side of up to so many bytes is sent whole to the shards of the other; a larger one is shuffled
    #[arg(long, env = "SHARDMILL_JOIN_BROADCAST_LIMIT", value_name = "BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    broadcast_limit: u64,
    #[command(flatten)]
    replicas: ReplicasArg,
    #[command(flatten)]
    pub(super) dry_run: DryRunArg,
}

impl JoinArgs {
    fn spec(&self, left: DatasetRef, right: DatasetRef, output: DatasetName) -> Result<JoinSpec, CliError> {
        Ok(JoinSpec {
            left,
            right,
            output,
            on: keys(&self.on)?,
            how: match self.how {
                HowArg::Inner => JoinHow::Inner,
                HowArg::Left => JoinHow::Left,
                HowArg::Right => JoinHow::Right,
                HowArg::Outer => JoinHow::Outer,
                HowArg::Semi => JoinHow::Semi,
                HowArg::Anti => JoinHow::Anti,
            },
            nulls_equal: self.nulls_equal,
            numbers_match_text: false,
            suffixes: suffixes(&self.suffixes)?,
            broadcast_limit: self.broadcast_limit,
            replicas: self.replicas.replicas,
        })
    }
}

/// The keys, which were cut at every comma; without any, the coordinator says which there could be.
fn keys(given: &[String]) -> Result<Vec<(String, String)>, CliError> {
    match given {
        [] => Ok(Vec::new()),
        given => lists::parts(&given.join(",")).into_iter().map(key).collect(),
    }
}

/// `a`, or `a=b` where the right side calls it `b`.
pub(super) fn key(text: &str) -> Result<(String, String), CliError> {
    let (left, right) = lists::split_once(text, '=').unwrap_or((text, text));
    let (left, right) = (lists::name(left), lists::name(right));
    if left.is_empty() || right.is_empty() {
        return Err(CliError::usage(format!(
            "--on: `{text}` is not a key; write a, or a=b where the right side calls it b"
        )));
    }
    Ok((left, right))
}

pub async fn run(context: &Context, args: JoinArgs) -> Result<(), CliError> {
    let (inputs, output) = (vec![args.left.clone(), args.right.clone()], args.output.clone());
    let verb = Verb { name: "join", inputs, output, dry_run: args.dry_run };
    let make = |inputs: &[DatasetRef], output| {
        let [left, right] = only(inputs)?;
        Ok(JobSpec::Join(args.spec(left, right, output)?))
    };
    verb.run(context, make, nothing_more).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_may_have_two_names() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(key("id").unwrap(), pair("id", "id"));
        assert_eq!(key(" a = b ").unwrap(), pair("a", "b"));
        assert_eq!(key("\"a=b\"=c").unwrap(), pair("a=b", "c"));
        for bad in ["", "=b", "a=", "="] {
            assert_eq!(key(bad).unwrap_err().exit_status(), 2, "{bad}");
        }
    }
}
