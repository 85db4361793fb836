//! The stage that ranks scores: neighbouring buckets of one class make a task, by the numbers that the shards reported.

use shardmill_common::failure::Failure;
use shardmill_common::kinds::evaluate::RankTask;
use shardmill_common::model::{ClassSums, Ranking};
use shardmill_common::task::{TaskKind, TaskRange, TaskSpec};

use crate::jobs::plan::{READ_AHEAD, StageView, output, whole};

/// Distinct scores of one task: worth a task, and few enough for its memory.
const SCORES: u64 = 500_000;

/// One class' curves.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    pub class: usize,
    pub positives: u64,
    pub negatives: u64,
    /// `None` without positives: then nothing was ranked.
    pub ranking: Option<Ranking>,
}

/// The class of a partition: of two classes the second one is ranked alone.
fn class_of(slot: usize, sums: &ClassSums) -> usize {
    if sums.confusion.len() == 2 { 1 } else { slot }
}

fn totals(sums: &ClassSums, buckets: u32) -> impl Iterator<Item = (usize, u64, u64)> {
    let buckets = buckets.max(1) as usize;
    let slots = sums.positives.chunks(buckets).zip(sums.negatives.chunks(buckets)).enumerate();
    slots.map(|(slot, (positives, negatives))| (slot, positives.iter().sum(), negatives.iter().sum()))
}

/// The tasks of the stage; none where no class has rows.
pub fn tasks(
    runs: TaskRange,
    sums: &ClassSums,
    stages: &[StageView<'_>],
    buckets: u32,
) -> Result<Vec<TaskSpec>, Failure> {
    let mut scores = vec![0u64; sums.positives.len()];
    for (stage, task) in runs.tasks() {
        let sizes = output(stages, stage, task)?.shuffle.iter().flatten();
        scores.iter_mut().zip(sizes).for_each(|(sum, size)| *sum += size.rows);
    }
    let mut tasks = Vec::new();
    for (slot, positives, negatives) in totals(sums, buckets) {
        if positives == 0 {
            continue;
        }
        let (mut positives_above, mut negatives_above) = (0, 0);
        for (from, to, count) in groups(&scores, slot, buckets) {
            let task =
                RankTask { runs, partitions: (from, to), positives_above, negatives_above, positives, negatives };
            let range = from as usize..to as usize;
            positives_above += sums.positives.get(range.clone()).unwrap_or_default().iter().sum::<u64>();
            negatives_above += sums.negatives.get(range).unwrap_or_default().iter().sum::<u64>();
            if count > 0 {
                tasks.push(TaskSpec {
                    kind: task.into(),
                    reads: vec![runs],
                    objects: Vec::new(),
                    memory: count * 64 + READ_AHEAD,
                });
            }
        }
    }
    Ok(tasks)
}

/// Groups the partitions of one class up to about `SCORES` each: from, to and number of scores.
fn groups(scores: &[u64], slot: usize, buckets: u32) -> Vec<(u32, u32, u64)> {
    let first = slot as u32 * buckets;
    let mut groups = Vec::new();
    let (mut from, mut sum) = (first, 0);
    for partition in first..first + buckets {
        let n = scores.get(partition as usize).copied().unwrap_or_default();
        if sum > 0 && sum + n > SCORES {
            groups.push((from, partition, sum));
            (from, sum) = (partition, 0);
        }
        sum += n;
    }
    groups.push((from, first + buckets, sum));
    groups
}

/// What the tasks of the stage found, class by class, added up from the highest scores to the lowest.
pub fn collect(stages: &[StageView<'_>], stage: u32, sums: &ClassSums, buckets: u32) -> Result<Vec<Ranked>, Failure> {
    let mut ranked: Vec<Ranked> = totals(sums, buckets)
        .map(|(slot, positives, negatives)| Ranked { class: class_of(slot, sums), positives, negatives, ranking: None })
        .collect();
    let Some(view) = stages.get(stage as usize) else { return Ok(ranked) };
    for (_, task) in whole(stages, stage).tasks() {
        let Some((TaskKind::Rank(kind), _)) = view.tasks.get(task as usize) else {
            return Err(Failure::internal("a task that ranks is missing"));
        };
        let found: Ranking = output(stages, stage, task)?.report::<RankTask>()?;
        let slot = (kind.partitions.0 / buckets.max(1)) as usize;
        if let Some(class) = ranked.get_mut(slot) {
            class.ranking.get_or_insert_default().merge(&found);
        }
    }
    Ok(ranked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_common::task::{PartitionSize, TaskOutput};

    fn sums(positives: Vec<u64>, negatives: Vec<u64>, classes: usize) -> ClassSums {
        ClassSums { confusion: vec![vec![0; classes]; classes], positives, negatives, ..Default::default() }
    }

    #[test]
    fn buckets_are_grouped_within_their_class() {
        let scores = [300_000, 100_000, 200_000, 900_000, 10, 0, 0, 0];
        assert_eq!(groups(&scores, 0, 4), [(0, 2, 400_000), (2, 3, 200_000), (3, 4, 900_000)]);
        assert_eq!(groups(&scores, 1, 4), [(4, 8, 10)]);
    }

    #[test]
    fn tasks_know_what_is_above_them() {
        let rows = [400_000u64, 400_000, 5, 5];
        let shuffle = rows.iter().map(|r| PartitionSize { rows: *r, bytes: 0 }).collect();
        let task = TaskOutput { shuffle: Some(shuffle), ..Default::default() };
        let kind = TaskKind::Copy(Default::default());
        let view = StageView { name: "assess", memo: None, seconds: 0.0, tasks: vec![(&kind, Some(&task))] };
        let sums = sums(vec![7, 2, 0, 0], vec![3, 4, 9, 9], 3);
        let tasks = tasks(TaskRange::one(0, 0), &sums, &[view], 2).unwrap();
        let found: Vec<_> = tasks
            .iter()
            .map(|t| match &t.kind {
                TaskKind::Rank(r) => (r.partitions, r.positives_above, r.negatives_above, r.positives, r.negatives),
                _ => panic!("{t:?}"),
            })
            .collect();
        // The class without rows of its own is not ranked.
        assert_eq!(found, [((0, 1), 0, 0, 9, 7), ((1, 2), 7, 3, 9, 7)]);
    }

    #[test]
    fn of_two_classes_the_second_is_ranked() {
        let sums = sums(vec![1, 2], vec![3, 4], 2);
        assert_eq!(totals(&sums, 2).collect::<Vec<_>>(), [(0, 3, 7)]);
        assert_eq!(collect(&[], 0, &sums, 2).unwrap()[0].class, 1);
    }
}
