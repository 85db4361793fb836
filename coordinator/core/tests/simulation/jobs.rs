//! The jobs that the simulation runs: every shape of stages that planners make.

use shardmill_common::manifest::Manifest;
use shardmill_common::mapreduce::{
    Aggregate, AggregateSpec, Function, MapInput, MapReduceSpec, Program, SortKey, SortOrder, SortSpec, Step, Work,
};
use shardmill_common::spec::{
    Chunk, ChunkPlace, CompareSpec, DedupOptions, DedupSpec, How, IngestSpec, JobSpec, Keep, Source, SourceFormat,
    Validate,
};
use shardmill_common::text::Dialect;
use shardmill_common::units::RejectLimit;

use super::world::schema;

pub fn ingest() -> JobSpec {
    let chunk = |_| Chunk {
        source: 0,
        place: ChunkPlace::File { path: "x".into(), offset: 0 },
        bytes: 1000,
        first_line: 1,
        groups: None,
    };
    JobSpec::Ingest(IngestSpec {
        output: "ingested".parse().unwrap(),
        sources: vec![Source {
            name: "x".into(),
            location: "x".into(),
            size: 1,
            modified: None,
            checksum: "c".into(),
            compression: None,
            format: SourceFormat::Csv { dialect: Dialect::default(), columns: vec!["k".into(), "v".into()] },
            rows: None,
        }],
        chunks: (0..7).map(chunk).collect(),
        schema: schema(),
        schema_is_fixed: false,
        nulls: vec![],
        max_rejects: RejectLimit::default(),
        append: false,
        refuse_taken: false,
        base: None,
        replicas: None,
        clean: None,
        dedup: Some(DedupOptions { keys: None, keep: Keep::First }),
    })
}

pub fn dedup(input: &Manifest, output: &str) -> JobSpec {
    JobSpec::Dedup(DedupSpec {
        input: input.reference(),
        output: output.parse().unwrap(),
        options: DedupOptions::default(),
        replicas: None,
    })
}

pub fn compare(left: &Manifest, right: &Manifest) -> JobSpec {
    JobSpec::Compare(CompareSpec {
        left: left.reference(),
        right: right.reference(),
        output: "merged".parse().unwrap(),
        on: Some(vec!["k".into()]),
        how: How::Outer,
        validate: Validate::ManyToMany,
        suffixes: ("_x".into(), "_y".into()),
        changes: false,
        replicas: None,
    })
}

fn map_reduce(output: &str, inputs: &[&Manifest], reduce: Option<Step>) -> MapReduceSpec {
    let input = |(n, manifest): (usize, &&Manifest)| MapInput {
        name: format!("t{n}"),
        dataset: manifest.reference(),
        map: Some(Step::Sql("SELECT * FROM input".into())),
    };
    MapReduceSpec {
        output: output.parse().unwrap(),
        inputs: inputs.iter().enumerate().map(input).collect(),
        keys: vec!["k".into()],
        then_by: vec![],
        combine: None,
        reduce,
        work: Work::default(),
        replicas: None,
    }
}

fn sql() -> Option<Step> {
    Some(Step::Sql("SELECT k, v FROM t0".into()))
}

/// Maps of two inputs, and reduces over both.
pub fn co_group(left: &Manifest, right: &Manifest) -> JobSpec {
    JobSpec::MapReduce(Box::new(map_reduce("grouped", &[left, right], sql())))
}

/// One global group, combined in a tree.
pub fn global(input: &Manifest) -> JobSpec {
    let combine = Some("SELECT * FROM input".to_owned());
    JobSpec::MapReduce(Box::new(MapReduceSpec { keys: vec![], combine, ..map_reduce("global", &[input], sql()) }))
}

fn program() -> Option<Step> {
    Some(Step::Program(Program { command: "x".into(), format: Default::default(), columns: None }))
}

/// A program maps: shards in, shards out, several a task, of which some need another schema.
pub fn map_only(input: &Manifest) -> JobSpec {
    let mut spec = MapReduceSpec { keys: vec![], ..map_reduce("mapped", &[input], None) };
    spec.inputs[0].map = program();
    JobSpec::MapReduce(Box::new(spec))
}

/// Programs map and reduce; a record is skipped.
pub fn programs(input: &Manifest) -> JobSpec {
    let mut spec = map_reduce("made", &[input], program());
    spec.inputs[0].map = program();
    spec.work.skip_bad = 1;
    JobSpec::MapReduce(Box::new(spec))
}

/// Sample, bounds, range, merge.
pub fn sort(input: &Manifest) -> JobSpec {
    JobSpec::Sort(SortSpec {
        input: input.reference(),
        output: "sorted".parse().unwrap(),
        order: SortOrder { by: vec![SortKey { column: "k".into(), descending: false }], nulls_last: false },
        replicas: None,
    })
}

/// Partial groups, then whole ones.
pub fn aggregate(input: &Manifest) -> JobSpec {
    JobSpec::Aggregate(AggregateSpec {
        input: input.reference(),
        output: "groups".parse().unwrap(),
        by: vec!["k".into()],
        aggregates: vec![Aggregate { name: "n".into(), function: Function::Count, column: None }],
        replicas: None,
    })
}
