//! `sort IN OUT --by a,b`: brings the rows of a dataset into order.

use clap::Args;
use clap::builder::FalseyValueParser;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::sort::{SortKey, SortOrder, SortSpec};
use shardmill_common::name::DatasetRef;

use super::common::{DryRunArg, ReplicasArg, columns};
use super::tables::{Input, Output, Verb, nothing_more, only};
use crate::cli::Context;
use crate::error::CliError;

#[derive(Clone, Debug, Args)]
pub struct SortArgs {
    /// The dataset to read, NAME or NAME@VERSION, or a file
    #[arg(value_name = "IN")]
    input: Input,
    /// The dataset to write a new version of; - prints the rows
    #[arg(value_name = "OUT")]
    output: Output,
    /// Columns to sort by, the most important first; rows that are equal in all of them keep their order
    ///
    /// Text is compared by code point, false comes before true, and NaN is more than any number.
    #[arg(long, env = "SHARDMILL_SORT_BY", value_name = "A,B", value_delimiter = ',', required = true)]
    by: Vec<String>,
    /// Which of these columns to sort from high to low
    #[arg(long, env = "SHARDMILL_SORT_DESCENDING", value_name = "A,B", value_delimiter = ',')]
    descending: Option<Vec<String>>,
    /// Put rows without a value last, in either direction; otherwise they come first
    #[arg(long, env = "SHARDMILL_SORT_NULLS_LAST", value_parser = FalseyValueParser::new())]
    nulls_last: bool,
    #[command(flatten)]
    replicas: ReplicasArg,
    #[command(flatten)]
    pub(super) dry_run: DryRunArg,
}

impl SortArgs {
    fn order(&self) -> Result<SortOrder, CliError> {
        let by = columns("--by", Some(&self.by))?.unwrap_or_default();
        let descending = columns("--descending", self.descending.as_deref())?.unwrap_or_default();
        if let Some(other) = descending.iter().find(|name| !by.contains(name)) {
            return Err(CliError::usage(format!(
                "--descending: column `{other}` is not sorted by; --by names {}",
                by.join(", ")
            )));
        }
        let key = |column: String| SortKey { descending: descending.contains(&column), column };
        Ok(SortOrder { by: by.into_iter().map(key).collect(), nulls_last: self.nulls_last })
    }
}

pub async fn run(context: &Context, args: SortArgs) -> Result<(), CliError> {
    let (order, replicas) = (args.order()?, args.replicas.replicas);
    let verb = Verb { name: "sort", inputs: vec![args.input], output: args.output, dry_run: args.dry_run };
    let make = |inputs: &[DatasetRef], output| {
        let [input] = only(inputs)?;
        Ok(JobSpec::Sort(SortSpec { input, output, order, replicas }))
    };
    verb.run(context, make, nothing_more).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: SortArgs,
    }

    fn order(options: &[&str]) -> Result<SortOrder, String> {
        let words = ["sort", "a", "b"].iter().chain(options);
        let parsed = Alone::try_parse_from(words).map_err(|e| e.to_string())?;
        parsed.args.order().map_err(|e| e.to_string())
    }

    #[test]
    fn columns_have_their_directions() {
        let order = order(&["--by", "x,y", "--descending", "y", "--nulls-last"]).unwrap();
        let by: Vec<_> = order.by.iter().map(|k| (k.column.as_str(), k.descending)).collect();
        assert_eq!((by, order.nulls_last), (vec![("x", false), ("y", true)], true));
    }

    #[test]
    fn mistakes_name_the_column() {
        for (options, said) in [
            (&["--by", "x,x"][..], "`x` is named twice"),
            (&["--by", "x,"][..], "empty"),
            (&["--by", "x", "--descending", "z"][..], "`z` is not sorted by"),
            (&[][..], "--by"),
        ] {
            let error = order(options).unwrap_err();
            assert!(error.contains(said), "{options:?}: {error}");
        }
    }
}
