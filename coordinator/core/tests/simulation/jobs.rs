//! The jobs that the simulation runs: every shape of stages that planners make.

use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::aggregate::{Aggregate, AggregateSpec, Function};
use shardmill_common::kinds::clean::CleanSpec;
use shardmill_common::kinds::compact::CompactSpec;
use shardmill_common::kinds::compare::{CompareSpec, How, Validate};
use shardmill_common::kinds::dedup::{DedupOptions, DedupSpec, Keep};
use shardmill_common::kinds::evaluate::EvaluateSpec;
use shardmill_common::kinds::import::ImportSpec;
use shardmill_common::kinds::ingest::{Chunk, ChunkPlace, IngestSpec, Source, SourceFormat};
use shardmill_common::kinds::join::{JoinHow, JoinSpec};
use shardmill_common::kinds::mapreduce::step::{Program, Step, Work};
use shardmill_common::kinds::mapreduce::{MapInput, MapReduceSpec};
use shardmill_common::kinds::predict::{PredictOutputs, PredictSpec};
use shardmill_common::kinds::sort::{SortKey, SortOrder, SortSpec};
use shardmill_common::kinds::split::{SplitSide, SplitSpec};
use shardmill_common::kinds::sql::{SqlSpec, SqlTable};
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{
    ClassValue, Encoder, Encoding, Feature, Label, OnnxGraph, OnnxInput, OnnxOutput, Target,
};
use shardmill_common::rules::{Columns, Fill, Op, Rule, RuleSet};
use shardmill_common::schema::DataType;
use shardmill_common::text::Dialect;

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
        sources: vec![Source {
            name: "x".into(),
            location: "x".into(),
            size: 1,
            modified: None,
            checksum: "c".into(),
            compression: None,
            format: SourceFormat::Csv {
                dialect: Dialect::default(),
                columns: vec![Some("k".into()), Some("v".into())],
            },
            read_as: None,
            constants: Vec::new(),
            notices: Vec::new(),
            rows: None,
        }],
        chunks: (0..7).map(chunk).collect(),
        schema: schema(),
        dedup: Some(DedupOptions { keys: None, keep: Keep::First }),
        ..IngestSpec::new("ingested".parse().unwrap())
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
        per_shard: false,
        work: Work::default(),
        replicas: None,
    }
}

fn sql() -> Option<Step> {
    Some(Step::Sql("SELECT k, v FROM t0".into()))
}

/// Maps of two inputs, and reduces over both.
pub fn co_group(left: &Manifest, right: &Manifest) -> JobSpec {
    JobSpec::MapReduce(map_reduce("grouped", &[left, right], sql()))
}

/// One global group, combined in a tree.
pub fn global(input: &Manifest) -> JobSpec {
    let combine = Some("SELECT * FROM input".to_owned());
    JobSpec::MapReduce(MapReduceSpec { keys: vec![], combine, ..map_reduce("global", &[input], sql()) })
}

fn program() -> Option<Step> {
    Some(Step::Program(Program { command: "x".into(), format: Default::default(), columns: None }))
}

/// A program maps: shards in, shards out, several a task, of which some need another schema.
pub fn map_only(input: &Manifest) -> JobSpec {
    let mut spec = MapReduceSpec { keys: vec![], ..map_reduce("mapped", &[input], None) };
    spec.inputs[0].map = program();
    JobSpec::MapReduce(spec)
}

/// Programs map and reduce; a record is skipped.
pub fn programs(input: &Manifest) -> JobSpec {
    let mut spec = map_reduce("made", &[input], program());
    spec.inputs[0].map = program();
    spec.work.skip_bad = 1;
    JobSpec::MapReduce(spec)
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

/// A rule that must know all rows first.
pub fn clean(input: &Manifest) -> JobSpec {
    let rule = Rule {
        label: "1 fill".into(),
        file: "rules.toml".into(),
        line: 1,
        columns: Columns::Listed(vec!["k".into()]),
        op: Op::Fill { with: Fill::Median },
    };
    JobSpec::Clean(CleanSpec {
        input: input.reference(),
        output: "cleaned".parse().unwrap(),
        rules: RuleSet { rules: vec![rule] },
        replicas: None,
    })
}

/// Strata are counted, then both sides written.
pub fn split(input: &Manifest) -> JobSpec {
    let side = |output: &str, share| SplitSide { output: output.parse().unwrap(), share };
    JobSpec::Split(SplitSpec {
        input: input.reference(),
        into: vec![side("most", 0.75), side("rest", 0.25)],
        stratify: Some("v".into()),
        seed: 1,
        replicas: None,
    })
}

/// The right side goes to every shard of the left one, unless it is larger than `broadcast_limit`.
pub fn join(left: &Manifest, right: &Manifest, how: JoinHow, broadcast_limit: u64) -> JobSpec {
    JobSpec::Join(JoinSpec {
        left: left.reference(),
        right: right.reference(),
        output: format!("joined-{broadcast_limit}").parse().unwrap(),
        on: vec![("k".into(), "k".into())],
        how,
        nulls_equal: false,
        numbers_match_text: false,
        suffixes: ("_x".into(), "_y".into()),
        broadcast_limit,
        replicas: None,
    })
}

/// A query over both.
pub fn query(a: &Manifest, b: &Manifest) -> JobSpec {
    let table = |name: &str, of: &Manifest| SqlTable { name: name.into(), dataset: of.reference() };
    JobSpec::Sql(SqlSpec {
        statement: "SELECT a.k FROM a JOIN b USING (k)".into(),
        tables: vec![table("a", a), table("b", b)],
        output: "queried".parse().unwrap(),
        replicas: None,
        memory: None,
    })
}

/// A model of two classes from elsewhere, which reads `k`.
pub fn import(large: bool) -> JobSpec {
    let encoding = Encoding::Numeric { scaling: None };
    let k = Feature { column: "k".into(), dtype: DataType::Int64, encoding, fill: None, indicator: false };
    JobSpec::Import(ImportSpec {
        model: "foreign".parse().unwrap(),
        location: "file://here/foreign.onnx".into(),
        graph: OnnxGraph {
            file: "foreign.onnx".into(),
            bytes: 100,
            digest: "0".repeat(32),
            producer: "somebody".into(),
            inputs: vec![OnnxInput { name: "X".into(), columns: 1 }],
            output: OnnxOutput::Probabilities { name: "p".into() },
        },
        features: Encoder { features: vec![k] },
        target: Target::Class {
            label: Label { column: "v".into(), dtype: DataType::String },
            classes: vec![ClassValue::String("a".into()), ClassValue::String("b".into())],
        },
        // As large as models of many numbers are.
        notices: if large { vec!["notice".repeat((10 << 20) / 6)] } else { vec![] },
    })
}

pub fn predict(input: &Manifest) -> JobSpec {
    JobSpec::Predict(PredictSpec {
        model: "foreign".parse().unwrap(),
        input: input.reference(),
        output: "predicted".parse().unwrap(),
        keep: None,
        outputs: PredictOutputs { label: true, probability: true },
        replicas: None,
        resolved: None,
    })
}

/// Classes are assessed, then ranked.
pub fn evaluate(input: &Manifest) -> JobSpec {
    JobSpec::Evaluate(EvaluateSpec {
        model: "foreign".parse().unwrap(),
        input: input.reference(),
        label: None,
        served: None,
        resolved: None,
    })
}

/// Small shards become larger ones.
pub fn compact(input: &Manifest) -> JobSpec {
    JobSpec::Compact(CompactSpec { input: input.reference(), output: "compacted".parse().unwrap(), replicas: None })
}
