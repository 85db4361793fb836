//! Arguments that say how columns become features.

use std::collections::BTreeMap;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use shardmill_common::model::{Categories, ConstantFeature, Imputation, Preparation, Unknown, Unlabelled};

use crate::commands::common::columns;
use crate::error::CliError;

/// More different values in one column are refused, if nothing else is said.
pub const MAX_CATEGORIES: u64 = 1000;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UnknownArg {
    /// All columns of the category's are 0; such rows are counted
    Ignore,
    /// The row is rejected
    Refuse,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ConstantArg {
    /// Leave it out, and say so
    Drop,
    /// Fail, and name it
    Refuse,
    /// Let it stay
    Keep,
}

/// What is left out was not given: an update takes it from its version, any other training by default.
#[derive(Clone, Debug, Default, Args)]
pub struct PreparationArgs {
    /// The columns to learn from [default: all but the label and the weights]
    #[arg(long, env = "SHARDMILL_TRAIN_FEATURES", value_name = "A,B", value_delimiter = ',')]
    features: Option<Vec<String>>,
    /// Bring all numeric features to mean 0 and variance 1, or some: write --standardise=a,b
    #[arg(long, env = "SHARDMILL_TRAIN_STANDARDISE", alias = "standardize", value_name = "A,B", value_delimiter = ',', num_args = 0.., require_equals = true)]
    standardise: Option<Vec<String>>,
    /// Columns to take as categories (a 0/1 feature a value) besides those of text
    #[arg(long, env = "SHARDMILL_TRAIN_CATEGORICAL", value_name = "A,B", value_delimiter = ',')]
    categorical: Option<Vec<String>>,
    /// Refuse a column with more different categories [default: 1000]
    #[arg(long, env = "SHARDMILL_TRAIN_MAX_CATEGORIES", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000), allow_negative_numbers = true)]
    max_categories: Option<u64>,
    /// What stands in for missing values: mean, median, mode, constant=V, drop-row or refuse; for one column: age=median
    #[arg(long, env = "SHARDMILL_TRAIN_IMPUTE", value_name = "[COLUMN=]HOW")]
    impute: Vec<String>,
    /// Add a feature COLUMN_missing for each column with missing values
    #[arg(long, env = "SHARDMILL_TRAIN_MISSING_INDICATOR", value_parser = FalseyValueParser::new())]
    missing_indicator: bool,
    /// What a category gets that training did not see [default: ignore]
    #[arg(long, env = "SHARDMILL_TRAIN_UNKNOWN", value_enum)]
    unknown: Option<UnknownArg>,
    /// What a feature gets that is the same in all rows [default: drop]
    #[arg(long, env = "SHARDMILL_TRAIN_CONSTANT_FEATURES", value_enum)]
    constant_features: Option<ConstantArg>,
}

impl PreparationArgs {
    /// The options, and whether they were given.
    pub fn given(&self) -> [(&'static str, bool); 8] {
        [
            ("--features", self.features.is_some()),
            ("--standardise", self.standardise.is_some()),
            ("--categorical", self.categorical.is_some()),
            ("--max-categories", self.max_categories.is_some()),
            ("--impute", !self.impute.is_empty()),
            ("--missing-indicator", self.missing_indicator),
            ("--unknown", self.unknown.is_some()),
            ("--constant-features", self.constant_features.is_some()),
        ]
    }

    pub fn preparation(&self, unlabelled: Unlabelled) -> Result<Preparation, CliError> {
        let (mut impute_default, mut impute) = (Imputation::Refuse, BTreeMap::new());
        for given in &self.impute {
            match imputation(given).map_err(CliError::usage)? {
                (None, how) => impute_default = how,
                (Some(column), how) => {
                    if impute.insert(column.clone(), how).is_some() {
                        return Err(CliError::usage(format!("--impute: column `{column}` is named twice")));
                    }
                }
            }
        }
        let standardise = self.standardise.as_ref().filter(|given| !given.is_empty());
        Ok(Preparation {
            features: columns("--features", self.features.as_deref())?,
            standardise: match standardise {
                Some(given) => columns("--standardise", Some(given))?,
                None => self.standardise.as_ref().map(|_| Vec::new()),
            },
            categorical: match columns("--categorical", self.categorical.as_deref())? {
                Some(names) => Categories::And(names),
                None => Categories::Text,
            },
            max_categories: self.max_categories.unwrap_or(MAX_CATEGORIES),
            impute_default,
            impute,
            indicator: self.missing_indicator,
            unknown: match self.unknown {
                Some(UnknownArg::Ignore) | None => Unknown::Ignore,
                Some(UnknownArg::Refuse) => Unknown::Refuse,
            },
            constant: match self.constant_features {
                Some(ConstantArg::Drop) | None => ConstantFeature::Drop,
                Some(ConstantArg::Refuse) => ConstantFeature::Refuse,
                Some(ConstantArg::Keep) => ConstantFeature::Keep,
            },
            unlabelled,
        })
    }
}

fn method(text: &str) -> Option<Imputation> {
    Some(match text {
        "mean" => Imputation::Mean,
        "median" => Imputation::Median,
        "mode" => Imputation::Mode,
        "refuse" => Imputation::Refuse,
        "drop-row" => Imputation::DropRow,
        _ => Imputation::Constant(text.strip_prefix("constant=")?.to_owned()),
    })
}

/// `HOW` for every column, or `COLUMN=HOW`.
fn imputation(text: &str) -> Result<(Option<String>, Imputation), String> {
    if let Some(how) = method(text) {
        return Ok((None, how));
    }
    // A column's name may hold an equals sign; the method's last one is known.
    let found = text.match_indices('=').find_map(|(at, _)| Some((&text[..at], method(&text[at + 1..])?)));
    match found {
        Some((column, how)) if !column.is_empty() => Ok((Some(column.to_owned()), how)),
        _ => Err(format!(
            "--impute {}: write mean, median, mode, constant=VALUE, drop-row or refuse, or the same for one column: age=median",
            text.escape_debug()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imputations_are_for_all_columns_or_one() {
        assert_eq!(imputation("mean").unwrap(), (None, Imputation::Mean));
        assert_eq!(imputation("constant=-1").unwrap(), (None, Imputation::Constant("-1".into())));
        assert_eq!(imputation("age=median").unwrap(), (Some("age".into()), Imputation::Median));
        assert_eq!(imputation("a=b=constant=x=y").unwrap(), (Some("a=b".into()), Imputation::Constant("x=y".into())));
        for bad in ["", "medain", "age=", "=mean", "age=medain"] {
            assert!(imputation(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn nothing_given_is_the_default() {
        let wanted = Preparation { max_categories: MAX_CATEGORIES, ..Preparation::default() };
        assert_eq!(PreparationArgs::default().preparation(Unlabelled::Refuse).unwrap(), wanted);
    }
}
