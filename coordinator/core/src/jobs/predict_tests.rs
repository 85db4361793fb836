//! Plans of predictions, over inputs that exist on paper only.

use shardmill_common::ids::{JobId, ObjectId};
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::predict::PredictOutputs;
use shardmill_common::manifest::{ObjectRef, ShardEntry};
use shardmill_common::model::{
    ClassValue, Curvature, Encoder, Label, LinearParameters, Packed, Parameters, Target, Unknown, example,
};
use shardmill_common::task::{TaskKind, TaskOutput, TaskSpec};
use shardmill_common::time::Timestamp;

use super::*;

fn feature(column: &str, dtype: DataType) -> Feature {
    let encoding = match dtype {
        DataType::String => Encoding::OneHot { categories: vec!["a".into()], unknown: Unknown::Ignore },
        _ => Encoding::Numeric { scaling: None },
    };
    Feature { column: column.into(), dtype, encoding, fill: None, indicator: false }
}

fn model(target: Target) -> Model {
    let mut model = Model {
        name: "churn".parse().unwrap(),
        version: 3,
        algorithm: "linear".into(),
        target,
        features: Encoder { features: vec![feature("x", DataType::Float64), feature("city", DataType::String)] },
        parameters: Parameters::Linear(LinearParameters { coefficients: vec![1.0, 2.0], intercept: 0.0 }),
        curvature: Some(Curvature { size: 1, upper: Packed(vec![1.0]) }),
        ..example().unwrap()
    };
    let base = Some(Box::new(model.clone()));
    model.spec.as_mut().unwrap().base = base;
    model
}

fn classes() -> Target {
    let label = Label { column: "y".into(), dtype: DataType::Int64 };
    Target::Class { label, classes: vec![ClassValue::Int64(0), ClassValue::Int64(1)] }
}

fn number() -> Target {
    Target::Number { label: Label { column: "y".into(), dtype: DataType::Float64 } }
}

fn spec(target: Target, keep: Option<&[&str]>) -> PredictSpec {
    PredictSpec {
        model: "churn".parse().unwrap(),
        input: "orders".parse().unwrap(),
        output: "scored".parse().unwrap(),
        keep: keep.map(|names| names.iter().map(|n| (*n).to_owned()).collect()),
        outputs: PredictOutputs { label: true, probability: true },
        replicas: None,
        resolved: Some(Box::new(model(target))),
    }
}

fn job(spec: &PredictSpec, columns: &[(&str, DataType)], rows: &[u64]) -> ResolvedJob {
    let entry = |rows: &u64| ShardEntry {
        object: ObjectRef { id: ObjectId::fresh(), bytes: 100, checksum: String::new() },
        stored_rows: *rows,
        deletions: None,
    };
    let input = Manifest {
        name: "orders".parse().unwrap(),
        version: 2,
        schema: Schema::new(columns.iter().map(|(name, dtype)| Field::new(*name, *dtype)).collect()),
        shards: rows.iter().map(entry).collect(),
        replicas: 1,
        job: JobId(1),
        created: Timestamp::now(),
    };
    ResolvedJob { spec: JobSpec::Predict(spec.clone()), inputs: vec![input], replicas: 1 }
}

const FITTING: [(&str, DataType); 3] = [("city", DataType::String), ("id", DataType::Int64), ("x", DataType::Int64)];

#[test]
fn extra_columns_and_other_orders_are_fine() {
    let spec = spec(classes(), None);
    spec.check(&job(&spec, &FITTING, &[1])).unwrap();
}

#[test]
fn mistakes_are_told() {
    use DataType::{Date, Float64, Int64, String};
    let told = |spec: &PredictSpec, columns: &[(&str, DataType)]| {
        spec.check(&job(spec, columns, &[1])).unwrap_err().to_string()
    };
    let all = spec(classes(), None);
    let missing = told(&all, &[("id", Int64)]);
    assert!(missing.contains("churn@3 reads: `x`, `city`; its columns are id"), "{missing}");
    let unfit = told(&all, &[("city", Int64), ("x", Date)]);
    for part in
        ["`x` is date, and the model learnt it as float64", "`city` is int64, and the model learnt it as string"]
    {
        assert!(unfit.contains(part), "{unfit}");
    }
    let clash = [("city", String), ("x", Float64), ("prediction", Int64), ("probability_1", Int64)];
    let clashing = told(&all, &clash);
    assert!(clashing.contains("`prediction`, `probability_1`; leave them out"), "{clashing}");
    let some = spec(classes(), Some(&["x"]));
    some.check(&job(&some, &clash, &[1])).unwrap();
    assert!(told(&spec(classes(), Some(&["z"])), &FITTING).contains("no column `z` to keep; its columns are city"));
    assert!(told(&spec(classes(), Some(&["x", "x"])), &FITTING).contains("twice"));
    let mut nothing = spec(number(), None);
    nothing.outputs.label = false;
    assert!(told(&nothing, &FITTING).contains("no probabilities"));
    nothing.resolved = None;
    assert!(told(&nothing, &FITTING).contains("not looked up"));
}

#[test]
fn shards_are_predicted_and_published_with_their_rejects() {
    let spec = spec(classes(), Some(&["id"]));
    // Of the last three the first two are small enough to be read together.
    let job = job(&spec, &FITTING, &[1 << 20, 4, 3, 1 << 20]);
    let Next::Stage(planned) = spec.next(&job, &[]).unwrap() else { panic!("no stage") };
    let tasks: Vec<&PredictTask> = planned
        .tasks
        .iter()
        .map(|t: &TaskSpec| match &t.kind {
            TaskKind::Predict(task) => task,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(tasks.iter().map(|t| t.first_row).collect::<Vec<_>>(), [0, 1 << 20, (1 << 20) + 7]);
    assert_eq!(tasks.iter().map(|t| t.inputs.len()).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(tasks[2].inputs[0].ordinal, 3);
    assert_eq!((tasks[0].keep.as_slice(), tasks[0].source_name.as_str()), (&["id".to_owned()][..], "orders@2"));
    assert!(tasks[0].model.curvature.is_none() && tasks[0].model.spec.as_ref().unwrap().base.is_none());
    let entry = job.inputs[0].shards[0].clone();
    let outputs = [
        TaskOutput { shard: Some(entry.clone()), rejects: Some(entry), ..Default::default() },
        TaskOutput::default(),
        TaskOutput::default(),
    ];
    let tasks = planned.tasks.iter().map(|t| &t.kind).zip(outputs.iter().map(Some)).collect();
    let stages = [StageView { name: "predict", memo: None, seconds: 0.0, tasks }];
    let Next::Publish(publication) = spec.next(&job, &stages).unwrap() else { panic!("nothing is published") };
    let drafts: Vec<_> = publication.drafts.iter().map(|d| (d.name.as_str(), d.shards.len())).collect();
    assert_eq!(drafts, [("scored", 1), ("scored.rejects", 1)]);
    assert_eq!(publication.drafts[0].schema.names_joined(), "id, prediction, probability_0, probability_1");
}

#[test]
fn no_rows_give_a_dataset_with_columns() {
    let spec = spec(number(), None);
    let job = job(&spec, &FITTING, &[]);
    let stages = [StageView { name: "predict", memo: None, seconds: 0.0, tasks: vec![] }];
    let Next::Publish(publication) = spec.next(&job, &stages).unwrap() else { panic!("nothing is published") };
    assert_eq!(publication.drafts.len(), 1);
    assert_eq!(publication.drafts[0].schema.names_joined(), "city, id, x, prediction");
}
