//! Arguments that say how columns become features, and the little languages of some values.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use shardmill_common::model::{Categories, ClassWeight, ConstantFeature, Imputation, Preparation, Unknown, Unlabelled};

use super::common::columns;
use crate::error::CliError;

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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UnlabelledArg {
    /// Fail, and say how many there are
    Refuse,
    /// Leave them out, and count them
    Skip,
}

#[derive(Clone, Debug, Args)]
pub struct PreparationArgs {
    /// The columns to learn from [default: all but the label and the weights]
    #[arg(long, env = "SHARDMILL_TRAIN_FEATURES", value_name = "A,B", value_delimiter = ',')]
    features: Option<Vec<String>>,
    /// Bring numeric features to mean 0 and variance 1: all, or these
    #[arg(long, env = "SHARDMILL_TRAIN_STANDARDISE", alias = "standardize", value_name = "A,B", value_delimiter = ',', num_args = 0.., require_equals = true)]
    standardise: Option<Vec<String>>,
    /// Columns to take as categories (a 0/1 feature a value) besides those of text
    #[arg(long, env = "SHARDMILL_TRAIN_CATEGORICAL", value_name = "A,B", value_delimiter = ',')]
    categorical: Option<Vec<String>>,
    /// Refuse a column with more different categories
    #[arg(long, env = "SHARDMILL_TRAIN_MAX_CATEGORIES", value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    max_categories: u64,
    /// What stands in for missing values: mean, median, mode, constant=V, drop-row or refuse; for one column: age=median
    #[arg(long, env = "SHARDMILL_TRAIN_IMPUTE", value_name = "[COLUMN=]HOW")]
    impute: Vec<String>,
    /// Add a feature COLUMN_missing for each column with missing values
    #[arg(long, env = "SHARDMILL_TRAIN_MISSING_INDICATOR")]
    missing_indicator: bool,
    /// What a category gets that training did not see
    #[arg(long, env = "SHARDMILL_TRAIN_UNKNOWN", value_enum, default_value = "ignore")]
    unknown: UnknownArg,
    /// What a feature gets that is the same in all rows
    #[arg(long, env = "SHARDMILL_TRAIN_CONSTANT_FEATURES", value_enum, default_value = "drop")]
    constant_features: ConstantArg,
    /// What rows without a label get
    #[arg(long, env = "SHARDMILL_TRAIN_UNLABELLED", alias = "unlabeled", value_enum, default_value = "refuse")]
    unlabelled: UnlabelledArg,
}

impl PreparationArgs {
    pub fn preparation(self) -> Result<Preparation, CliError> {
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
            max_categories: self.max_categories,
            impute_default,
            impute,
            indicator: self.missing_indicator,
            unknown: match self.unknown {
                UnknownArg::Ignore => Unknown::Ignore,
                UnknownArg::Refuse => Unknown::Refuse,
            },
            constant: match self.constant_features {
                ConstantArg::Drop => ConstantFeature::Drop,
                ConstantArg::Refuse => ConstantFeature::Refuse,
                ConstantArg::Keep => ConstantFeature::Keep,
            },
            unlabelled: match self.unlabelled {
                UnlabelledArg::Refuse => Unlabelled::Refuse,
                UnlabelledArg::Skip => Unlabelled::Skip,
            },
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

/// `name=number,...` or a JSON object.
fn numbers_by_name(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let shape = || {
        format!(
            "`{}` is not a list of numbers by class: write yes=3,no=1 or {{\"yes\": 3, \"no\": 1}}",
            text.escape_debug()
        )
    };
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|e| format!("{}: {e}", shape()));
    }
    let mut found = BTreeMap::new();
    for part in text.split(',') {
        let (name, number) = part.rsplit_once(['=', ':']).ok_or_else(shape)?;
        let number: f64 = number.trim().parse().map_err(|_| shape())?;
        if found.insert(name.trim().to_owned(), number).is_some() {
            return Err(format!("class `{}` is named twice", name.trim().escape_debug()));
        }
    }
    Ok(found)
}

pub fn class_weight(text: &str) -> Result<ClassWeight, String> {
    match text {
        "none" => Ok(ClassWeight::None),
        "balanced" => Ok(ClassWeight::Balanced),
        _ => numbers_by_name(text).map(ClassWeight::Of),
    }
}

pub fn priors(text: &str) -> Result<BTreeMap<String, f64>, String> {
    numbers_by_name(text)
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
    fn weights_are_pairs_or_json() {
        let wanted = BTreeMap::from([("0".to_owned(), 1.0), ("1".to_owned(), 2.5)]);
        for text in ["0=1,1=2.5", "{\"0\": 1, \"1\": 2.5}", "0:1, 1:2.5"] {
            assert_eq!(class_weight(text).unwrap(), ClassWeight::Of(wanted.clone()), "{text}");
        }
        assert_eq!(class_weight("balanced").unwrap(), ClassWeight::Balanced);
        for bad in ["", "x", "a=b", "{\"a\"}", "a=1,a=2"] {
            assert!(class_weight(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
