//! The sums over a classifier's rows, and its scores in the order in which they are ranked.

use polars::prelude::{DataFrame, NamedFrom, Series};
use shardmill_common::failure::Failure;
use shardmill_common::model::{BinSums, CALIBRATION_BINS, CarefulSum, ClassSums};

/// The classes whose scores are ranked: of two classes the second one says all.
pub fn ranked(classes: usize) -> std::ops::Range<usize> {
    if classes == 2 { 1..2 } else { 0..classes }
}

/// Sums over rows, given as (row of `probabilities`, actual class); the counts of the shuffle are left empty.
pub fn sum(classes: usize, probabilities: &[f64], predicted: &[u32], actual: &[(usize, u32)]) -> ClassSums {
    let mut confusion = vec![vec![0u64; classes]; classes];
    let (mut log_loss, mut brier) = (CarefulSum::default(), CarefulSum::default());
    let mut bins = [(0u64, CarefulSum::default(), 0u64); CALIBRATION_BINS];
    for (row, class) in actual {
        let own = probabilities.get(row * classes..(row + 1) * classes).unwrap_or_default();
        let guess = predicted.get(*row).copied().unwrap_or_default();
        let class = *class as usize;
        if let Some(cell) = confusion.get_mut(class).and_then(|cells| cells.get_mut(guess as usize)) {
            *cell += 1;
        }
        let at = |n: usize| own.get(n).copied().unwrap_or_default();
        log_loss.add(-libm::log(at(class).clamp(f64::EPSILON, 1.0 - f64::EPSILON)));
        let (probability, hit) = if classes == 2 {
            let error = at(1) - f64::from(u8::from(class == 1));
            brier.add(error * error);
            (at(1), class == 1)
        } else {
            for (n, p) in own.iter().enumerate() {
                let error = p - f64::from(u8::from(class == n));
                brier.add(error * error);
            }
            (at(guess as usize), class == guess as usize)
        };
        if let Some((rows, predicted, hits)) = bins.get_mut(bin(probability)) {
            *rows += 1;
            predicted.add(probability);
            *hits += u64::from(hit);
        }
    }
    ClassSums {
        confusion,
        log_loss: log_loss.value(),
        brier: brier.value(),
        bins: bins.iter().map(|(rows, p, hits)| BinSums { rows: *rows, predicted: p.value(), hits: *hits }).collect(),
        ..Default::default()
    }
}

/// The calibration bin of a probability. A bin has its upper end, as in scikit-learn's `calibration_curve`.
fn bin(probability: f64) -> usize {
    (1..CALIBRATION_BINS).take_while(|edge| probability > *edge as f64 * 0.1).count()
}

/// Rows of one shard with the same score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tie {
    pub score: f64,
    pub positives: u32,
    pub negatives: u32,
}

impl Tie {
    pub fn to_frame(ties: &[Tie]) -> Result<DataFrame, Failure> {
        let score: Vec<f64> = ties.iter().map(|t| t.score).collect();
        let positives: Vec<u32> = ties.iter().map(|t| t.positives).collect();
        let negatives: Vec<u32> = ties.iter().map(|t| t.negatives).collect();
        let columns = vec![
            Series::new("score".into(), score).into(),
            Series::new("positives".into(), positives).into(),
            Series::new("negatives".into(), negatives).into(),
        ];
        DataFrame::new(ties.len(), columns).map_err(Failure::internal)
    }

    /// Reads what [`Tie::to_frame`] made.
    pub fn read(frame: &DataFrame, out: &mut Vec<Tie>) -> Result<(), Failure> {
        let scores = frame.column("score").and_then(|c| c.f64()).map_err(Failure::internal)?;
        let positives = frame.column("positives").and_then(|c| c.u32()).map_err(Failure::internal)?;
        let negatives = frame.column("negatives").and_then(|c| c.u32()).map_err(Failure::internal)?;
        let counts = positives.into_no_null_iter().zip(negatives.into_no_null_iter());
        out.extend(scores.into_no_null_iter().zip(counts).map(|(score, (positives, negatives))| Tie {
            score,
            positives,
            negatives,
        }));
        Ok(())
    }
}

/// The distinct probabilities of one class, the highest first, with the rows of that class and the others.
pub fn ties(class: usize, classes: usize, probabilities: &[f64], actual: &[(usize, u32)]) -> Vec<Tie> {
    let mut scores: Vec<(f64, bool)> = actual
        .iter()
        // There is one zero only.
        .map(|(row, of)| {
            (probabilities.get(row * classes + class).copied().unwrap_or_default() + 0.0, *of as usize == class)
        })
        .collect();
    scores.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut ties: Vec<Tie> = Vec::new();
    for (score, positive) in scores {
        let (positives, negatives) = (u32::from(positive), u32::from(!positive));
        match ties.last_mut() {
            Some(last) if last.score == score => {
                last.positives += positives;
                last.negatives += negatives;
            }
            _ => ties.push(Tie { score, positives, negatives }),
        }
    }
    ties
}

/// The partition of a score among those of its class: 0 has the highest ones. The borders are those of floating-point numbers
/// of p below a half and of 1 - p above, which is close to even steps of log(p / (1 - p)) and the same on every machine.
pub fn partition_of(score: f64, buckets: u32) -> u32 {
    if buckets < 2 {
        return 0;
    }
    let half = buckets / 2;
    if score < 0.5 { buckets - 1 - step(score, half) } else { step(1.0 - score, half) }
}

/// The step of a probability up to a half, out of `steps`.
fn step(p: f64, steps: u32) -> u32 {
    const LEAST: f64 = 1.0 / 16_777_216.0;
    let (from, to) = (LEAST.to_bits(), 0.5f64.to_bits());
    let place = p.clamp(LEAST, 0.5).to_bits() - from;
    let step = u128::from(place) * u128::from(steps) / u128::from(to - from);
    (step as u32).min(steps - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_fall_with_the_score_and_are_all_used() {
        for buckets in [1u32, 2, 4, 64, 1024] {
            let mut scores: Vec<f64> = (-4000..=4000).map(|n| 1.0 / (1.0 + (-f64::from(n) / 200.0).exp())).collect();
            scores.extend([0.0, 1.0, 0.5, 1e-300, 1.0 + f64::EPSILON, 0.5f64.next_down()]);
            scores.sort_by(f64::total_cmp);
            let places: Vec<u32> = scores.iter().map(|s| partition_of(*s, buckets)).collect();
            assert!(places.is_sorted_by(|a, b| a >= b), "{buckets}");
            assert_eq!((places.last(), places.first()), (Some(&0), Some(&(buckets - 1))));
            let mut used = places;
            used.dedup();
            assert_eq!(used.len(), buckets as usize);
        }
    }

    #[test]
    fn bins_have_their_upper_end() {
        let bins: Vec<usize> = [0.0, 0.1, 0.11, 0.5, 0.51, 0.9, 0.95, 1.0].map(bin).to_vec();
        assert_eq!(bins, [0, 0, 1, 4, 5, 8, 9, 9]);
    }

    #[test]
    fn two_classes_are_summed_as_by_hand() {
        let probabilities = [0.8, 0.2, 0.4, 0.6, 0.5, 0.5, 1.0, 0.0];
        let sums = sum(2, &probabilities, &[0, 1, 0, 0], &[(0, 0), (1, 1), (2, 1), (3, 1)]);
        assert_eq!(sums.confusion, [[1, 0], [2, 1]]);
        let losses = -(0.8f64.ln() + 0.6f64.ln() + 0.5f64.ln() + f64::EPSILON.ln());
        assert!((sums.log_loss - losses).abs() < 1e-12);
        assert!((sums.brier - (0.04 + 0.16 + 0.25 + 1.0)).abs() < 1e-12);
        assert_eq!(
            sums.bins.iter().map(|b| (b.rows, b.hits)).collect::<Vec<_>>()[..6],
            [(1, 1), (1, 0), (0, 0), (0, 0), (1, 1), (1, 1)]
        );
    }

    #[test]
    fn more_classes_sum_all_squares_and_bin_the_guess() {
        let probabilities = [0.7, 0.2, 0.1, 0.2, 0.35, 0.45];
        let sums = sum(3, &probabilities, &[0, 2], &[(0, 0), (1, 1)]);
        let expected = (0.09 + 0.04 + 0.01) + (0.04 + 0.4225 + 0.2025);
        assert!((sums.brier - expected).abs() < 1e-12);
        assert_eq!((sums.bins[6].rows, sums.bins[6].hits), (1, 1));
        assert_eq!((sums.bins[4].rows, sums.bins[4].hits), (1, 0));
    }

    #[test]
    fn equal_scores_are_one_tie() {
        let probabilities = [0.7, 0.3, 1.0, -0.0, 1.0, 0.0, 0.7, 0.3];
        let found = ties(1, 2, &probabilities, &[(0, 1), (1, 0), (2, 1), (3, 1)]);
        let tie = |score, positives, negatives| Tie { score, positives, negatives };
        assert_eq!(found, [tie(0.3, 2, 0), tie(0.0, 1, 1)]);
        let mut back = Vec::new();
        Tie::read(&Tie::to_frame(&found).unwrap(), &mut back).unwrap();
        assert_eq!(back, found);
    }
}
