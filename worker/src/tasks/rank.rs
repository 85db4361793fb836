//! The curves over the scores of one class: a walk over the distinct scores of all shards, the highest first.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::evaluate::RankTask;
use shardmill_common::model::{CURVE_POINTS, CarefulSum, Ranking};
use shardmill_common::task::TaskOutput;

use super::Context;
use super::assess::Tie;

pub fn run(context: &Context, task: &RankTask) -> Result<TaskOutput, Failure> {
    let mut walk = Walk::new(task);
    let (from, to) = task.partitions;
    let mut input = context.shuffle(&[task.runs], from, to);
    for _ in from..to {
        let mut ties = Vec::new();
        for data in input.by_ref().take((task.runs.to - task.runs.from) as usize) {
            for frame in crate::shuffle::frames(data?) {
                Tie::read(&frame?, &mut ties)?;
            }
        }
        context.advance(ties.len() as u64, 0);
        walk.partition(ties);
    }
    TaskOutput::reporting::<RankTask>(&walk.finish())
}

/// How far the walk has come, and what it found.
struct Walk {
    /// Rows at or above the score that was reached, and of all scores.
    positives: u64,
    negatives: u64,
    all_positives: u64,
    all_negatives: u64,
    twice_pairs: u128,
    precision: CarefulSum,
    trapezoids: CarefulSum,
    points: Vec<(u64, u64)>,
}

impl Walk {
    fn new(task: &RankTask) -> Self {
        Self {
            positives: task.positives_above,
            negatives: task.negatives_above,
            all_positives: task.positives,
            all_negatives: task.negatives,
            twice_pairs: 0,
            precision: CarefulSum::default(),
            trapezoids: CarefulSum::default(),
            points: Vec::new(),
        }
    }

    /// The scores of one partition, of all shards and in any order.
    fn partition(&mut self, mut ties: Vec<Tie>) {
        ties.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
        for same in ties.chunk_by(|a, b| a.score == b.score) {
            let count = |of: fn(&Tie) -> u32| same.iter().map(|t| u64::from(of(t))).sum();
            self.step(count(|t| t.positives), count(|t| t.negatives));
        }
    }

    /// Goes on to the next lower score.
    fn step(&mut self, positives: u64, negatives: u64) {
        let (precision_before, cell_before) = (self.precision_here(), self.cell());
        self.twice_pairs += u128::from(negatives) * (2 * u128::from(self.positives) + u128::from(positives));
        self.positives += positives;
        self.negatives += negatives;
        if positives > 0 {
            let precision = self.precision_here();
            self.precision.add(positives as f64 * precision);
            self.trapezoids.add(positives as f64 * (precision + precision_before) / 2.0);
        }
        if self.all_positives + self.all_negatives < CURVE_POINTS || self.cell() != cell_before {
            self.points.push((self.negatives, self.positives));
        }
    }

    /// The share of positives among the rows so far; 1 before the first, as scikit-learn has it.
    fn precision_here(&self) -> f64 {
        if self.positives + self.negatives == 0 {
            return 1.0;
        }
        self.positives as f64 / (self.positives + self.negatives) as f64
    }

    /// Where the ROC curve is, in even steps along its way from (0, 0) to (1, 1). One point of every step is kept: which one
    /// does not depend on how the scores were divided among tasks.
    fn cell(&self) -> u128 {
        let steps = u128::from(CURVE_POINTS - 4);
        let (p, n) = (u128::from(self.all_positives), u128::from(self.all_negatives));
        (u128::from(self.positives) * n + u128::from(self.negatives) * p) * steps / (2 * p * n).max(1)
    }

    fn finish(self) -> Ranking {
        Ranking {
            twice_pairs: self.twice_pairs,
            precision: self.precision.value(),
            trapezoids: self.trapezoids.value(),
            points: self.points,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::assess::{partition_of, ties};
    use super::*;
    use shardmill_common::task::TaskRange;

    /// Scores with heavy ties, from a small generator of its own.
    fn sample(rows: usize, levels: u64) -> Vec<(f64, bool)> {
        let mut state = 42u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        (0..rows)
            .map(|_| {
                let score = (next() % levels) as f64 / (levels - 1) as f64;
                (score, (next() % 1000) as f64 / 1000.0 < 0.2 + 0.6 * score)
            })
            .collect()
    }

    /// What the cluster does: shards, then partitions in groups, then the sum.
    fn distributed(rows: &[(f64, bool)], shards: usize, buckets: u32, groups: u32) -> Ranking {
        let mut partitions: Vec<Vec<Tie>> = vec![Vec::new(); buckets as usize];
        for shard in rows.chunks(rows.len().div_ceil(shards)) {
            let probabilities: Vec<f64> = shard.iter().flat_map(|(p, _)| [1.0 - p, *p]).collect();
            let actual: Vec<(usize, u32)> = shard.iter().enumerate().map(|(n, (_, y))| (n, u32::from(*y))).collect();
            for tie in ties(1, 2, &probabilities, &actual) {
                partitions[partition_of(tie.score, buckets) as usize].push(tie);
            }
        }
        let positives = rows.iter().filter(|(_, y)| *y).count() as u64;
        let mut task = RankTask {
            runs: TaskRange::one(0, 0),
            partitions: (0, 0),
            positives_above: 0,
            negatives_above: 0,
            positives,
            negatives: rows.len() as u64 - positives,
        };
        let mut sum = Ranking::default();
        for group in partitions.chunks(buckets.div_ceil(groups) as usize) {
            let mut walk = Walk::new(&task);
            group.iter().for_each(|ties| walk.partition(ties.clone()));
            (task.positives_above, task.negatives_above) = (walk.positives, walk.negatives);
            sum.merge(&walk.finish());
        }
        sum
    }

    /// Every positive against every negative.
    fn naive_twice_pairs(rows: &[(f64, bool)]) -> u128 {
        let mut sum = 0;
        for (p, _) in rows.iter().filter(|(_, y)| *y) {
            for (n, _) in rows.iter().filter(|(_, y)| !*y) {
                sum += if p > n { 2 } else { u128::from(p == n) };
            }
        }
        sum
    }

    #[test]
    fn pairs_are_counted_whatever_the_shards_and_buckets() {
        for (rows, levels) in [(1, 2), (2, 2), (57, 3), (700, 9), (700, 100_000)] {
            let rows = sample(rows, levels);
            let one = distributed(&rows, 1, 1, 1);
            assert_eq!(one.twice_pairs, naive_twice_pairs(&rows));
            for (shards, buckets, groups) in [(3, 1, 1), (1, 8, 8), (7, 64, 5), (2, 1024, 1024)] {
                let other = distributed(&rows, shards, buckets, groups);
                assert_eq!(other.twice_pairs, one.twice_pairs);
                assert_eq!(other.points, one.points);
                assert!((other.precision - one.precision).abs() < 1e-9);
                assert!((other.trapezoids - one.trapezoids).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn precision_is_summed_as_scikit_learn_does() {
        // average_precision_score([0, 0, 1, 1], [.1, .4, .35, .8]) = 0.8333..., auc(recall, precision) = 0.79166...
        let sum = distributed(&[(0.1, false), (0.4, false), (0.35, true), (0.8, true)], 2, 4, 2);
        assert!((sum.precision / 2.0 - 0.8333333333333333).abs() < 1e-12);
        assert!((sum.trapezoids / 2.0 - 0.7916666666666666).abs() < 1e-12);
        assert_eq!(sum.twice_pairs, 6);
        assert_eq!(sum.points, [(0, 1), (1, 1), (1, 2), (2, 2)]);
    }

    #[test]
    fn curves_are_thinned_to_what_a_picture_needs() {
        let rows = sample(20_000, 1_000_000);
        let points = distributed(&rows, 4, 64, 9).points;
        assert!((150..=196).contains(&points.len()), "{}", points.len());
        let positives = rows.iter().filter(|(_, y)| *y).count() as u64;
        assert_eq!(points.last(), Some(&(rows.len() as u64 - positives, positives)));
        assert!(points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
        let few = sample(150, 1_000_000);
        assert!(distributed(&few, 4, 64, 9).points.len() > 140);
    }
}
