//! The plans of cleaning, deduplication, comparison, splitting and joining, in words.

use shardmill_common::mapreduce::{JoinHow, JoinSpec};
use shardmill_common::spec::{CleanSpec, CompareSpec, DedupSpec, Keep, SplitSpec};
use shardmill_common::task::Matching;
use shardmill_common::units::show_bytes;

use super::super::pairs::{DELIVER, DROP, HASH, MATCH, MERGE, Pairs};
use super::super::plan::{ResolvedJob, partitions_for};
use super::super::{compare as comparing, join as joining};
use super::{Outline, groups, groups_in, listed, number, read_all, shards};

pub fn clean(spec: &CleanSpec, job: &ResolvedJob, outline: &mut Outline) {
    let rules = &spec.rules.rules;
    for rule in rules.iter().filter(|rule| rule.needs_statistics()) {
        let what =
            format!("read {} and summarise them for rule {}, which must know all rows", read_all(job), rule.label);
        outline.stage("summarise", shards(job), what);
        outline.stage("merge statistics", 1, "put the summaries together");
    }
    let does = format!("apply {} to every row of {}, and write them", number(rules.len(), "rule"), read_all(job));
    outline.stage("clean", shards(job), does);
}

pub fn dedup(spec: &DedupSpec, job: &ResolvedJob, outline: &mut Outline) {
    let rows = job.inputs.iter().map(|m| m.rows()).sum();
    let by = match &spec.options.keys {
        None => "whole rows".to_owned(),
        Some(keys) => format!("the columns {}", listed(keys)),
    };
    outline.stage(
        "hash",
        groups(job),
        format!(
            "hash {by} of {}; hashes and positions go to {}",
            read_all(job),
            number(partitions_for(rows) as usize, "partition")
        ),
    );
    let keep = match spec.options.keep {
        Keep::First => "but the first",
        Keep::Last => "but the last",
        Keep::None => "and keep none of them",
    };
    outline.later("find duplicates", format!("find rows with equal hashes, all {keep}"));
    outline.later(
        "drop duplicates",
        "mark them as dropped in the shards that have any; the other shards stay as they are",
    );
}

pub fn compare(spec: &CompareSpec, job: &ResolvedJob, outline: &mut Outline) {
    let Ok(pairs) = comparing::plan(spec, job) else { return };
    let does = if spec.changes { "report the cells that differ" } else { "write the merged rows" };
    shuffled(&pairs, job, outline, does);
}

pub fn split(spec: &SplitSpec, job: &ResolvedJob, outline: &mut Outline) {
    if let Some(column) = &spec.stratify {
        outline.stage("count", shards(job), format!("count the values of {column} in {}", read_all(job)));
    }
    let does = format!("put every row of {} into one of {}", read_all(job), number(spec.into.len(), "dataset"));
    outline.stage("split", shards(job) * spec.into.len(), does);
}

pub fn join(spec: &JoinSpec, job: &ResolvedJob, outline: &mut Outline) {
    let Ok(plan) = joining::plan(spec, job) else { return };
    let pairs = &plan.pairs;
    let (driver, other) = if pairs.driver_is_left { (pairs.left, pairs.right) } else { (pairs.right, pairs.left) };
    let (limit, size) = (show_bytes(spec.broadcast_limit), show_bytes(other.bytes()));
    if plan.broadcast {
        let what = match spec.how {
            JoinHow::Semi => "drop those without a partner where they lie",
            JoinHow::Anti => "drop those with a partner where they lie",
            _ => "write the joined rows",
        };
        outline.stage(
            joining::LOOKUP,
            driver.shards.len(),
            format!(
                "look the rows of each shard of {} up in the whole of {} and {what}",
                driver.reference(),
                other.reference()
            ),
        );
        outline.note(format!(
            "{} is broadcast: it has {size}, and up to {limit} are (--broadcast-limit); a worker without the memory for it has \
             the sides shuffled instead",
            other.reference()
        ));
        return;
    }
    shuffled(pairs, job, outline, "write the joined rows");
    outline.note(if spec.how == JoinHow::Outer {
        "both sides are shuffled: rows that only one side has are found by looking at all of both".to_owned()
    } else {
        format!(
            "both sides are shuffled: {} has {size}, more than the {limit} up to which it would be broadcast \
             (--broadcast-limit)",
            other.reference()
        )
    });
}

fn shuffled(pairs: &Pairs<'_>, job: &ResolvedJob, outline: &mut Outline, does: &str) {
    let names = |keys: &[shardmill_common::task::HashColumn]| {
        let names: Vec<String> = keys.iter().map(|k| k.name.clone()).collect();
        listed(&names)
    };
    let (left, right) = (names(&pairs.left_keys), names(&pairs.right_keys));
    let keys = if left == right { left } else { format!("{left} of the left and {right} of the right side") };
    let partitions = number(pairs.partitions() as usize, "partition");
    outline.stage(
        HASH,
        groups(job),
        format!("hash the keys ({keys}) of {}; hashes and positions go to {partitions}", read_all(job)),
    );
    match pairs.matching {
        Matching::Semi | Matching::Anti => {
            let which = if pairs.matching == Matching::Semi { "without" } else { "with" };
            outline.later(MATCH, format!("find the left rows {which} a partner"));
            outline.later(DROP, "mark them as dropped in the shards that have any; the other shards stay as they are");
        }
        Matching::Join | Matching::Comparison => {
            let (driver, other) =
                if pairs.driver_is_left { (pairs.left, pairs.right) } else { (pairs.right, pairs.left) };
            outline.later(MATCH, "find the rows with equal keys");
            if !pairs.payload.is_empty() {
                outline.stage(
                    DELIVER,
                    groups_in(other),
                    format!(
                        "send {} of the rows of {} that have partners to where these lie",
                        number(pairs.payload.len(), "column"),
                        other.reference()
                    ),
                );
            }
            let both = pairs.how == shardmill_common::spec::How::Outer && pairs.changes.is_none();
            let tasks = groups_in(driver) + if both { groups_in(other) } else { 0 };
            outline.stage(MERGE, tasks, format!("{does}, in the order of {}", driver.reference()));
        }
    }
}
