//! The plans of a user's own map and reduce, of sorting and of grouping, in words.

use shardmill_common::mapreduce::{AggregateSpec, MapReduceSpec, SortOrder, SortSpec, Step};

use super::super::plan::{Next, ResolvedJob};
use super::{Outline, groups, listed, read, read_all, shards};

/// What a step runs, short enough for a line.
fn step(step: &Step) -> String {
    const SHOWN: usize = 60;
    let (what, text) = match step {
        Step::Sql(statement) => ("SQL", statement.split_whitespace().collect::<Vec<_>>().join(" ")),
        Step::Program(program) => ("the program", program.command.clone()),
    };
    let cut: String = text.chars().take(SHOWN).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{what} `{cut}{dots}`")
}

pub fn mapreduce(spec: &MapReduceSpec, job: &ResolvedJob, outline: &mut Outline) {
    let tried = if spec.combine.is_some() { "; try the combiner on a sample" } else { "" };
    outline.stage("check", 1, format!("resolve every statement against the columns it sees{tried}"));
    let inputs: Vec<String> = spec
        .inputs
        .iter()
        .zip(&job.inputs)
        .map(|(input, manifest)| match &input.map {
            None => format!("{} as they are", read(manifest)),
            Some(map) => format!("{} by {}", read(manifest), step(map)),
        })
        .collect();
    let (keys, combined) = (listed(&spec.keys), if spec.combine.is_some() { ", combined" } else { "" });
    let goes = match (&spec.reduce, spec.keys.is_empty()) {
        (None, _) => "written in order".to_owned(),
        (Some(_), true) => format!("sent to one partition{combined}"),
        (Some(_), false) => format!("sent to partitions by the hash of {keys}{combined}"),
    };
    outline.stage("map", shards(job), format!("map {}; the rows are {goes}", inputs.join(", ")));
    let Some(reduce) = &spec.reduce else { return };
    if spec.combine.is_some() && spec.keys.is_empty() {
        outline.later(
            "combine",
            "combine the rows of several maps into fewer, again and again, until one task can take them",
        );
    }
    let by = if spec.keys.is_empty() { "all rows together".to_owned() } else { format!("the rows by {keys}") };
    outline.later("reduce", format!("reduce {by} by {}", step(reduce)));
    match (&spec.combine, reduce) {
        (Some(_), _) => outline.note("the combiner runs over the rows of every map before the shuffle"),
        (None, Step::Sql(_)) => outline.note("no combiner: all rows of the maps are shuffled"),
        (None, Step::Program(_)) => {}
    }
}

fn shown(order: &SortOrder) -> String {
    let key = |k: &shardmill_common::mapreduce::SortKey| {
        if k.descending { format!("{} (descending)", k.column) } else { k.column.clone() }
    };
    let keys: Vec<String> = order.by.iter().map(key).collect();
    format!("{}, rows without a value {}", listed(&keys), if order.nulls_last { "last" } else { "first" })
}

pub fn sort(spec: &SortSpec, job: &ResolvedJob, outline: &mut Outline) {
    let order = shown(&spec.order);
    let first = super::super::next(job, &[], 1);
    if matches!(&first, Ok(Next::Stage(planned)) if planned.name == "sort") {
        outline.stage("sort", 1, format!("sort {} by {order}", read_all(job)));
        outline.note("one task sorts it all: it is small");
        return;
    }
    outline.stage("sample", groups(job), format!("take a sample of the keys ({order}) of {}", read_all(job)));
    outline.stage("bounds", 1, "cut the keys into ranges of equal share; a key that repeats is cut too");
    outline.stage("range", groups(job), format!("send every row of {} to its range", read_all(job)));
    outline.later("merge", "sort each range; what does not fit in memory is spilled and merged");
}

pub fn aggregate(spec: &AggregateSpec, job: &ResolvedJob, outline: &mut Outline) {
    let names: Vec<String> = spec.aggregates.iter().map(|a| a.name.clone()).collect();
    let names = listed(&names);
    let by = if spec.by.is_empty() { "over all rows".to_owned() } else { format!("by {}", listed(&spec.by)) };
    outline.stage(
        "aggregate",
        groups(job),
        format!("compute parts of {names} {by} in each shard of {}", read_all(job)),
    );
    outline.later("groups", "put the parts of each group together");
    if !spec.by.is_empty() {
        outline.note(format!("every shard's groups are computed before the shuffle; the result is sorted {by}"));
    }
}
