//! The penalty on coefficients as the command line has it: a kind, a weight, and a share of l1, which must go together.

use clap::{Args, ValueEnum};
use shardmill_common::model::Penalty;

use super::family::{Rows, number};
use crate::commands::numbers::share;
use crate::error::CliError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PenaltyArg {
    L2,
    L1,
    Elasticnet,
    None,
}

/// What logistic and linear regression share of the penalty; their defaults differ.
#[derive(Clone, Debug, Args)]
pub struct PenaltyArgs {
    /// The penalty on coefficients: l2 is ridge, l1 is lasso [default: l2 for classes, none for numbers]
    #[arg(long, env = "SHARDMILL_TRAIN_PENALTY", value_enum)]
    penalty: Option<PenaltyArg>,
    /// The share of l1 in an elastic net
    #[arg(long, env = "SHARDMILL_TRAIN_L1_RATIO", value_name = "0..1", value_parser = share, allow_hyphen_values = true)]
    l1_ratio: Option<f64>,
}

impl PenaltyArgs {
    /// The options, and whether they were given.
    pub fn given(&self) -> [(&'static str, bool); 2] {
        [("--penalty", self.penalty.is_some()), ("--l1-ratio", self.l1_ratio.is_some())]
    }

    /// Of classes: C weighs the data against the penalty.
    pub fn logistic(&self, c: Option<f64>) -> Result<Penalty, CliError> {
        match self.penalty(PenaltyArg::L2)? {
            Penalty::None if c.is_some() => Err(CliError::usage(
                "--c weighs the data against a penalty, and with --penalty none there is none: leave one out",
            )),
            penalty => Ok(penalty),
        }
    }

    /// Of numbers: alpha weighs the penalty.
    pub fn linear(&self, alpha: Option<f64>) -> Result<Penalty, CliError> {
        match self.penalty(PenaltyArg::None)? {
            Penalty::None if alpha.is_some() => Err(CliError::usage(
                "--alpha is the weight of a penalty: add --penalty l2 (ridge), l1 (lasso) or elasticnet",
            )),
            penalty => Ok(penalty),
        }
    }

    fn penalty(&self, default: PenaltyArg) -> Result<Penalty, CliError> {
        match (self.penalty.unwrap_or(default), self.l1_ratio) {
            (PenaltyArg::Elasticnet, Some(l1_ratio)) => Ok(Penalty::ElasticNet { l1_ratio }),
            (PenaltyArg::Elasticnet, None) => {
                Err(CliError::usage("--penalty elasticnet needs --l1-ratio, the share of l1 from 0 to 1"))
            }
            (_, Some(_)) => Err(CliError::usage("--l1-ratio goes with --penalty elasticnet")),
            (PenaltyArg::L2, None) => Ok(Penalty::L2),
            (PenaltyArg::L1, None) => Ok(Penalty::L1),
            (PenaltyArg::None, None) => Ok(Penalty::None),
        }
    }
}

/// Without a penalty its weight says nothing.
pub fn rows(penalty: Penalty, weight: (&'static str, f64)) -> Rows {
    let weight = (weight.0, number(weight.1));
    let kind = |name: &str| ("penalty", name.to_owned());
    match penalty {
        Penalty::None => vec![kind("none")],
        Penalty::L2 => vec![kind("l2"), weight],
        Penalty::L1 => vec![kind("l1"), weight],
        Penalty::ElasticNet { l1_ratio } => vec![kind("elasticnet"), ("l1-ratio", number(l1_ratio)), weight],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_need_a_penalty() {
        let args = |penalty, l1_ratio| PenaltyArgs { penalty, l1_ratio };
        assert_eq!(args(None, None).logistic(Some(5.0)).unwrap(), Penalty::L2);
        assert_eq!(args(None, None).linear(None).unwrap(), Penalty::None);
        assert_eq!(args(Some(PenaltyArg::L1), None).linear(Some(5.0)).unwrap(), Penalty::L1);
        let error = args(None, None).linear(Some(5.0)).unwrap_err();
        assert!(error.exit_status() == 2 && error.to_string().contains("--penalty l2 (ridge)"), "{error}");
        assert!(args(Some(PenaltyArg::None), None).logistic(Some(5.0)).is_err());
        assert!(args(Some(PenaltyArg::Elasticnet), None).linear(None).is_err());
        assert!(args(None, Some(0.5)).logistic(None).is_err());
    }
}
