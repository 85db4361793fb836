//! What keeps coefficients small.

use serde::{Deserialize, Serialize};

/// The penalty on coefficients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Penalty {
    None,
    #[default]
    L2,
    L1,
    /// `l1_ratio` of L1, the rest L2.
    ElasticNet {
        l1_ratio: f64,
    },
}

impl Penalty {
    /// The share of L1: 0 for L2, 1 for L1. `None` without a penalty.
    pub const fn l1_ratio(self) -> Option<f64> {
        match self {
            Penalty::None => None,
            Penalty::L2 => Some(0.0),
            Penalty::L1 => Some(1.0),
            Penalty::ElasticNet { l1_ratio } => Some(l1_ratio),
        }
    }
}
