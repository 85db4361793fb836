//! What one training round asks of a shard, and what comes back: statistics that the coordinator adds up in shard order.

use serde::{Deserialize, Serialize};

use super::packed::Packed;
use super::version::ClassValue;
use crate::watch::Sample;

/// Count, mean and sum of squared deviations of some numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    pub count: f64,
    pub mean: f64,
    pub squares: f64,
}

impl Moments {
    /// The moments of both lots together. Formula: Chan, Golub, LeVeque 1979.
    pub fn merge(self, other: Moments) -> Moments {
        if self.count == 0.0 {
            return other;
        }
        if other.count == 0.0 {
            return self;
        }
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        Moments {
            count,
            mean: self.mean + delta * (other.count / count),
            squares: self.squares + other.squares + delta * delta * (self.count * other.count / count),
        }
    }

    /// Population variance; 0 of nothing.
    pub fn variance(self) -> f64 {
        if self.count == 0.0 { 0.0 } else { self.squares / self.count }
    }
}

/// A numeric column over the rows that training uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NumericProfile {
    /// Of the values that are there.
    pub moments: Moments,
    /// Nulls and NaN.
    pub missing: u64,
    pub min: Option<f64>,
    pub max: Option<f64>,
}

/// A categorical column over the rows that training uses: its distinct values as text with their numbers of rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CategoryCounts {
    /// Sorted by the column's own order (numbers by value).
    pub values: Vec<(String, u64)>,
    pub missing: u64,
    /// There were more than the task was allowed to report.
    pub too_many: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelProfile {
    None,
    /// Rows of each class, and the sum of their row weights (1 a row without a weight column), sorted by class.
    Classes(Vec<(ClassValue, u64, f64)>),
    Number(Moments),
}

/// A shard before training: what the encoder is learnt from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Rows that training uses.
    pub rows: u64,
    pub rows_without_label: u64,
    /// Rows left out because a column that says so had no value.
    pub rows_with_missing: u64,
    /// Sum of the weights of the rows that training uses.
    pub weight: f64,
    /// In the order of the task's columns.
    pub numeric: Vec<NumericProfile>,
    pub categorical: Vec<CategoryCounts>,
    pub label: LabelProfile,
    /// Of the rows that training uses, if the task asks for it.
    #[serde(default)]
    pub sample: Option<Sample>,
}

/// The loss of one row, `z` being linear in the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// `(y - z)^2 / 2`.
    Squared,
    /// `log(1 + exp(z)) - t z`, `t` being 1 for the second of two classes and 0 for the first.
    Logistic,
    /// `log sum_c exp(z_c) - z_y`.
    Softmax { classes: u32 },
}

/// Loss, gradient and, if asked for, the Hessian at some parameters.
///
/// Parameters are class by class (one class for `Squared` and `Logistic`), each class its coefficients in the order of
/// `Encoder::outputs` and then, with `fit_intercept`, its intercept. The features are those of the task's encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlmRound {
    pub link: Link,
    pub fit_intercept: bool,
    pub parameters: Packed,
    pub hessian: bool,
}

/// Sums over a shard's rows, each times its weight (row weight times class weight). No penalty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlmSums {
    pub rows: u64,
    pub weight: f64,
    pub loss: f64,
    pub gradient: Packed,
    /// The upper triangle, row by row.
    pub hessian: Option<Packed>,
    /// The smallest, over rows with a positive weight, of the right class's `z` less the largest other (for two classes
    /// `z` of the right sign). Positive in every shard: the parameters separate the classes. `None` without such rows or classes.
    pub margin: Option<f64>,
    /// The largest `|z|`.
    pub reach: f64,
}

/// Weighted moments of each feature by class, for naive Bayes, and over all classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassMoments {
    pub rows: u64,
    /// A class, a feature: `moments[class][feature]`; the count is the weight.
    pub moments: Vec<Vec<Moments>>,
    /// Unweighted, of all rows: `var_smoothing` refers to their largest variance.
    pub all: Vec<Moments>,
}

/// A round of k-means|| (Bahmani et al. 2012).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedRound {
    pub seed: u64,
    pub round: u32,
    /// Candidates so far. Without any, the shard offers its row with the smallest random number.
    pub centers: Vec<Packed>,
    /// A row at squared distance d from its nearest candidate is chosen with probability `rate * d`.
    pub rate: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seeds {
    pub rows: u64,
    /// Sum of squared distances to the nearest candidate.
    pub cost: f64,
    /// Rows that were chosen, with the random number of each, in row order.
    pub chosen: Vec<(u64, Packed)>,
}

/// Rows assigned to their nearest centres.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CentroidSums {
    pub counts: Vec<u64>,
    /// Of each centre, the sum of its rows less the centre.
    pub sums: Vec<Packed>,
    pub inertia: f64,
    /// The row that is farthest from its centre, and its squared distance: takes the place of a centre without rows.
    pub farthest: Option<(f64, Packed)>,
}

/// What a training task does with its shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "learn", rename_all = "snake_case")]
pub enum Learn {
    Glm(GlmRound),
    ClassMoments,
    Seeds(SeedRound),
    Centroids { centers: Vec<Packed> },
}

/// What it found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "learnt", rename_all = "snake_case")]
pub enum Learnt {
    Glm(GlmSums),
    ClassMoments(ClassMoments),
    Seeds(Seeds),
    Centroids(CentroidSums),
}

/// Fits with linfa-logistic on one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinfaFit {
    /// linfa's `alpha`, which is `1 / C`.
    pub alpha: f64,
    pub fit_intercept: bool,
    pub max_iter: u64,
    pub gradient_tolerance: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinfaResult {
    pub rows: u64,
    /// As `GlmRound::parameters`: one class for two classes, else one each.
    pub parameters: Packed,
}
