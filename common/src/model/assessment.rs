//! What an evaluation finds in one shard, and how the shards' findings are added up, in their order.

use serde::{Deserialize, Serialize};

use super::learn::Moments;
use super::packed::Packed;

/// Bins of the calibration.
pub const CALIBRATION_BINS: usize = 10;

/// The most points of a ROC curve that is kept.
pub const CURVE_POINTS: u64 = 200;

/// A sum that keeps what rounding takes away. Method: Neumaier 1974.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CarefulSum {
    sum: f64,
    lost: f64,
}

impl CarefulSum {
    #[inline]
    pub fn add(&mut self, x: f64) {
        let next = self.sum + x;
        self.lost += if self.sum.abs() >= x.abs() { (self.sum - next) + x } else { (x - next) + self.sum };
        self.sum = next;
    }

    /// Takes in another sum.
    pub fn merge(&mut self, other: Self) {
        self.add(other.sum);
        self.lost += other.lost;
    }

    /// The sum as it was rounded, and what that took from it.
    pub const fn parts(self) -> (f64, f64) {
        (self.sum, self.lost)
    }

    pub const fn of_parts(sum: f64, lost: f64) -> Self {
        Self { sum, lost }
    }

    pub fn value(self) -> f64 {
        // Beyond the largest number the correction is infinity less infinity.
        if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

impl FromIterator<f64> for CarefulSum {
    fn from_iter<I: IntoIterator<Item = f64>>(numbers: I) -> Self {
        let mut sum = Self::default();
        numbers.into_iter().for_each(|x| sum.add(x));
        sum
    }
}

/// Rows of one calibration bin: of the positive class' probability for two classes, of the most probable class' for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BinSums {
    pub rows: u64,
    /// Sum of the probabilities.
    pub predicted: f64,
    /// Rows that were positive, or whose most probable class was right.
    pub hits: u64,
}

/// Sums over the rows of a classifier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassSums {
    /// `confusion[actual][predicted]`.
    pub confusion: Vec<Vec<u64>>,
    pub log_loss: f64,
    /// Of two classes the squared error of the positive one's probability, of more the sum over the classes.
    pub brier: f64,
    pub bins: Vec<BinSums>,
    /// Of each partition of the shuffle: rows of its class, and of all others. Partitions go class by class (the last class
    /// only where there are two), each from the highest scores to the lowest.
    pub positives: Vec<u64>,
    pub negatives: Vec<u64>,
}

/// Sums over the rows of a regression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NumberSums {
    pub label: Moments,
    /// Label less prediction.
    pub residual: Moments,
    pub squared: f64,
    pub absolute: f64,
    pub largest: f64,
}

/// Sums over the rows of a clustering, by cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterSums {
    pub counts: Vec<u64>,
    /// Rows less their centre, feature by feature.
    pub offsets: Vec<Packed>,
    /// Squared distances to the centre.
    pub squares: Vec<f64>,
    /// Distances to the centre.
    pub distance: f64,
    /// `(b - a) / max(a, b)` of each row: a its distance to its centre, b to the nearest other one.
    pub silhouette: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Sums {
    Classes(ClassSums),
    Numbers(NumberSums),
    Clusters(ClusterSums),
}

/// The `result` of an assess task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    pub rows: u64,
    pub rows_skipped: u64,
    /// `None` without rows.
    pub sums: Option<Sums>,
}

/// The `result` of a rank task: what its scores add to the areas under the curves of their class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Twice the number of pairs of a positive and a negative, the positive's score being higher; a tie is half a pair.
    #[serde(with = "decimal")]
    pub twice_pairs: u128,
    /// Sum over positives of the precision at their score.
    pub precision: f64,
    /// Sum over positives of the mean of the precisions at their score and at the next higher one.
    pub trapezoids: f64,
    /// Points of the ROC curve that are kept: negatives and positives at or above a score.
    pub points: Vec<(u64, u64)>,
}

/// JSON readers keep 64 bits of a number.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(n: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(n)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn add_counts(mine: &mut Vec<u64>, other: &[u64]) {
    mine.resize(mine.len().max(other.len()), 0);
    mine.iter_mut().zip(other).for_each(|(a, b)| *a += b);
}

impl ClassSums {
    /// Adds the sums of the next shard.
    pub fn merge(&mut self, next: &ClassSums) {
        self.confusion.resize(self.confusion.len().max(next.confusion.len()), Vec::new());
        self.confusion.iter_mut().zip(&next.confusion).for_each(|(a, b)| add_counts(a, b));
        self.log_loss += next.log_loss;
        self.brier += next.brier;
        self.bins.resize(self.bins.len().max(next.bins.len()), BinSums::default());
        for (a, b) in self.bins.iter_mut().zip(&next.bins) {
            *a = BinSums { rows: a.rows + b.rows, predicted: a.predicted + b.predicted, hits: a.hits + b.hits };
        }
        add_counts(&mut self.positives, &next.positives);
        add_counts(&mut self.negatives, &next.negatives);
    }
}

impl NumberSums {
    pub fn merge(&mut self, next: &NumberSums) {
        *self = NumberSums {
            label: self.label.merge(next.label),
            residual: self.residual.merge(next.residual),
            squared: self.squared + next.squared,
            absolute: self.absolute + next.absolute,
            largest: self.largest.max(next.largest),
        };
    }

    /// Whether every sum is a number that JSON knows.
    pub fn is_finite(&self) -> bool {
        let Moments { mean, squares, .. } = self.label;
        let residual = self.residual;
        [mean, squares, residual.mean, residual.squares, self.squared, self.absolute, self.largest]
            .iter()
            .all(|x| x.is_finite())
    }
}

impl ClusterSums {
    pub fn merge(&mut self, next: &ClusterSums) {
        add_counts(&mut self.counts, &next.counts);
        self.offsets.resize(self.offsets.len().max(next.offsets.len()), Packed::default());
        for (a, b) in self.offsets.iter_mut().zip(&next.offsets) {
            a.0.resize(a.0.len().max(b.0.len()), 0.0);
            a.0.iter_mut().zip(&b.0).for_each(|(x, y)| *x += y);
        }
        self.squares.resize(self.squares.len().max(next.squares.len()), 0.0);
        self.squares.iter_mut().zip(&next.squares).for_each(|(x, y)| *x += y);
        self.distance += next.distance;
        self.silhouette += next.silhouette;
    }

    pub fn is_finite(&self) -> bool {
        self.squares.iter().chain(self.offsets.iter().flat_map(|o| &o.0)).all(|x| x.is_finite())
            && self.distance.is_finite()
            && self.silhouette.is_finite()
    }
}

impl Ranking {
    /// Adds the next lower scores of the same class.
    pub fn merge(&mut self, next: &Ranking) {
        self.twice_pairs += next.twice_pairs;
        self.precision += next.precision;
        self.trapezoids += next.trapezoids;
        self.points.extend_from_slice(&next.points);
    }
}

impl Assessment {
    /// Adds the findings of the next shard; false where it was found for another kind of model.
    pub fn merge(&mut self, next: Assessment) -> bool {
        self.rows += next.rows;
        self.rows_skipped += next.rows_skipped;
        match (&mut self.sums, next.sums) {
            (_, None) => {}
            (sums @ None, found) => *sums = found,
            (Some(Sums::Classes(a)), Some(Sums::Classes(b))) => a.merge(&b),
            (Some(Sums::Numbers(a)), Some(Sums::Numbers(b))) => a.merge(&b),
            (Some(Sums::Clusters(a)), Some(Sums::Clusters(b))) => a.merge(&b),
            (Some(_), Some(_)) => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_counts_survive_json() {
        let ranking = Ranking { twice_pairs: u128::MAX, points: vec![(1, 2)], ..Default::default() };
        let value = serde_json::to_value(&ranking).unwrap();
        assert_eq!(serde_json::from_value::<Ranking>(value).unwrap(), ranking);
    }

    #[test]
    fn small_addends_are_not_lost() {
        let sum: CarefulSum = [1e100, 1.0, -1e100, 1e-3].into_iter().collect();
        assert_eq!(sum.value(), 1.0 + 1e-3);
    }

    #[test]
    fn shards_add_up() {
        let one = |rows, confusion: [[u64; 2]; 2]| Assessment {
            rows,
            rows_skipped: 1,
            sums: Some(Sums::Classes(ClassSums {
                confusion: confusion.iter().map(|r| r.to_vec()).collect(),
                positives: vec![rows, 1],
                ..Default::default()
            })),
        };
        let mut all = Assessment { rows: 0, rows_skipped: 0, sums: None };
        for shard in
            [one(3, [[1, 0], [0, 2]]), Assessment { rows: 0, rows_skipped: 2, sums: None }, one(1, [[0, 1], [0, 0]])]
        {
            assert!(all.merge(shard));
        }
        assert_eq!((all.rows, all.rows_skipped), (4, 4));
        let Some(Sums::Classes(sums)) = &all.sums else { panic!("{all:?}") };
        assert_eq!(sums.confusion, [[1, 1], [0, 2]]);
        assert_eq!(sums.positives, [4, 2]);
        assert!(!all.merge(Assessment { rows: 1, rows_skipped: 0, sums: Some(Sums::Numbers(NumberSums::default())) }));
    }
}
