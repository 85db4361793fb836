//! Plans of evaluations, over inputs that exist on paper only.

use shardmill_common::ids::ObjectId;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::evaluate::RankTask;
use shardmill_common::manifest::{ObjectRef, ShardEntry};
use shardmill_common::model::{ClassSums, ClassValue, Label, NumberSums, Ranking, Served, example};
use shardmill_common::schema::Field;
use shardmill_common::task::{PartitionSize, TaskKind, TaskOutput};

use super::*;

fn model(target: Target) -> Model {
    Model { name: "churn".parse().unwrap(), version: 3, target, ..example().unwrap() }
}

fn label(dtype: DataType) -> Label {
    Label { column: "y".into(), dtype }
}

fn classes() -> Target {
    Target::Class { label: label(DataType::Int64), classes: vec![ClassValue::Int64(0), ClassValue::Int64(1)] }
}

fn job(target: Target, asked: Option<&str>, columns: &[(&str, DataType)], rows: &[u64]) -> (EvaluateSpec, ResolvedJob) {
    let spec = EvaluateSpec {
        model: "churn@3".parse().unwrap(),
        input: "test@1".parse().unwrap(),
        label: asked.map(str::to_owned),
        served: None,
        resolved: Some(Box::new(model(target))),
    };
    let shard = |rows: &u64| ShardEntry {
        object: ObjectRef { id: ObjectId::fresh(), bytes: 100, checksum: String::new() },
        stored_rows: *rows,
        deletions: None,
    };
    let manifest = Manifest {
        name: "test".parse().unwrap(),
        version: 1,
        schema: Schema::new(columns.iter().map(|(name, dtype)| Field::new(*name, *dtype)).collect()),
        shards: rows.iter().map(shard).collect(),
        replicas: 1,
        job: JobId(1),
        created: Timestamp(0),
    };
    let job = ResolvedJob { spec: JobSpec::Evaluate(spec.clone()), inputs: vec![manifest], replicas: 1 };
    (spec, job)
}

fn refused(target: Target, asked: Option<&str>, columns: &[(&str, DataType)], rows: &[u64]) -> String {
    let (spec, job) = job(target, asked, columns, rows);
    spec.check(&job).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_evaluated_is_refused() {
    use DataType::{Float64, Int64, String};
    let fits = [("x", Float64), ("y", Int64)];
    let (spec, good) = job(classes(), None, &fits, &[1]);
    spec.check(&good).unwrap();
    assert_eq!(refused(classes(), None, &fits, &[0]), "test@1 has no rows");
    assert!(refused(classes(), None, &[("x", Float64)], &[1]).contains("no column `y`"));
    assert!(refused(classes(), Some("z"), &fits, &[1]).contains("no column `z`"));
    assert!(refused(classes(), None, &[("y", Int64)], &[1]).contains("`x`"));
    let text = refused(classes(), None, &[("x", Float64), ("y", String)], &[1]);
    assert_eq!(text, "column `y` of test@1 is string; churn@3 predicts classes of type int64");
    let number = || Target::Number { label: label(Float64) };
    let (spec, numbers) = job(number(), None, &fits, &[1]);
    spec.check(&numbers).unwrap();
    assert!(refused(number(), None, &[("x", Float64), ("y", String)], &[1]).contains("predicts numbers"));
    assert!(refused(Target::Cluster { clusters: 2 }, Some("y"), &fits, &[1]).contains("clusters"));
}

#[test]
fn buckets_are_a_power_of_two_and_few_where_classes_are_many() {
    let of = |classes: i64, rows: u64| {
        let all = (0..classes).map(ClassValue::Int64).collect();
        let target = Target::Class { label: label(DataType::Int64), classes: all };
        let (_, job) = job(target.clone(), None, &[], &[rows]);
        buckets(&model(target), &job.inputs[0])
    };
    assert_eq!(
        [of(2, 10), of(2, 150_000), of(2, u64::MAX / 2), of(3, u64::MAX / 2), of(5000, 1 << 40)],
        [1, 4, 1024, 512, 1]
    );
}

fn found(rows: u64, sums: Option<Sums>) -> TaskOutput {
    let output = TaskOutput { shuffle: Some(vec![PartitionSize { rows, bytes: 1 }]), ..Default::default() };
    output.and_reports::<AssessTask>(&Assessment { rows, rows_skipped: 1, sums }).unwrap()
}

fn class_sums(confusion: [[u64; 2]; 2]) -> Option<Sums> {
    let positives = confusion[1].iter().sum();
    let negatives = confusion[0].iter().sum();
    Some(Sums::Classes(ClassSums {
        confusion: confusion.iter().map(|r| r.to_vec()).collect(),
        log_loss: 1.0,
        positives: vec![positives],
        negatives: vec![negatives],
        ..Default::default()
    }))
}

fn stage<'a>(name: &'a str, tasks: &'a [TaskKind], outputs: &'a [TaskOutput]) -> StageView<'a> {
    StageView { name, memo: None, seconds: 0.0, tasks: tasks.iter().zip(outputs.iter().map(Some)).collect() }
}

fn kinds(next: Next) -> Vec<TaskKind> {
    match next {
        Next::Stage(planned) => planned.tasks.into_iter().map(|t| t.kind).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn shards_are_assessed_scores_ranked_and_the_findings_published() {
    let (spec, job) = job(classes(), None, &[("x", DataType::Float64), ("y", DataType::Int64)], &[3, 4]);
    let assess = kinds(spec.next(&job, &[]).unwrap());
    let TaskKind::Assess(second) = &assess[1] else { panic!("{assess:?}") };
    assert_eq!((second.first_row, second.label.as_deref(), second.buckets), (3, Some("y"), 1));
    let outputs = [found(2, class_sums([[1, 0], [0, 1]])), found(3, class_sums([[1, 1], [0, 1]]))];
    let rank = kinds(spec.next(&job, &[stage("assess", &assess, &outputs)]).unwrap());
    let TaskKind::Rank(task) = &rank[0] else { panic!("{rank:?}") };
    assert_eq!((task.positives, task.negatives, task.partitions), (2, 3, (0, 1)));
    let ranking = Ranking { twice_pairs: 9, precision: 1.5, trapezoids: 1.0, points: vec![(1, 1), (3, 2)] };
    let ranked = [TaskOutput::reporting::<RankTask>(&ranking).unwrap()];
    let stages = [stage("assess", &assess, &outputs), stage("rank", &rank, &ranked)];
    let Next::Publish(publication) = spec.next(&job, &stages).unwrap() else { panic!() };
    let evaluation = publication.evaluation.unwrap();
    assert_eq!((evaluation.rows, evaluation.rows_skipped), (5, 2));
    assert_eq!(evaluation.confusion_matrix, [[2, 1], [0, 2]]);
    assert_eq!(evaluation.metrics["roc_auc"], 0.75);
    assert_eq!(evaluation.metrics["accuracy"], 0.8);
    assert_eq!(evaluation.roc[0].false_positive_rate, [0.0, 1.0 / 3.0, 1.0]);
}

#[test]
fn numbers_need_no_ranking_and_rows_are_needed() {
    let target = Target::Number { label: label(DataType::Float64) };
    let (spec, job) = job(target, None, &[("x", DataType::Float64), ("y", DataType::Float64)], &[3]);
    let assess = kinds(spec.next(&job, &[]).unwrap());
    let sums = NumberSums {
        label: shardmill_common::model::Moments { count: 2.0, mean: 1.0, squares: 4.0 },
        squared: 1.0,
        ..Default::default()
    };
    let outputs = [found(2, Some(Sums::Numbers(sums)))];
    let Next::Publish(publication) = spec.next(&job, &[stage("assess", &assess, &outputs)]).unwrap() else { panic!() };
    assert_eq!(publication.evaluation.unwrap().metrics["r2"], 0.75);
    let failure = spec.next(&job, &[stage("assess", &assess, &[found(0, None)])]).unwrap_err();
    assert!(matches!(failure, Failure::BadInput { .. }), "{failure}");
}

#[test]
fn what_was_served_needs_the_columns_of_the_answer_and_no_others() {
    use DataType::{Float64, Int64, String};
    let served = |target: Target, columns: &[(&str, DataType)]| {
        let (spec, job) = job(target, None, columns, &[3]);
        let served = Some(Served { endpoint: "churn".parse().unwrap(), variant: "a".into() });
        let spec = EvaluateSpec { served, ..spec };
        spec.check(&job).map(|()| (spec, job)).map_err(|e| e.to_string())
    };
    let who = [("_endpoint", String), ("_variant", String), ("_model", String), ("y", Int64)];
    let answers = [("prediction", Int64), ("probability_0", Float64), ("probability_1", Float64)];
    let all = [&who[..], &answers].concat();
    let (spec, good) = served(classes(), &all).unwrap();
    let assess = kinds(spec.next(&good, &[]).unwrap());
    let TaskKind::Assess(task) = &assess[0] else { panic!("{assess:?}") };
    assert_eq!(task.served, spec.served);
    let text = served(classes(), &all[..6]).unwrap_err();
    assert!(text.contains("lacks `probability_1`"), "{text}");
    let text = served(classes(), &[&who[..], &[("prediction", Float64)], &answers[1..]].concat()).unwrap_err();
    assert!(text.contains("`prediction` of test@1 is float64"), "{text}");
    served(classes(), &[&who[..], &[("prediction", String)], &answers[1..]].concat()).unwrap();
    let text = served(Target::Cluster { clusters: 2 }, &all).unwrap_err();
    assert!(text.contains("clusters"), "{text}");
    // No row of this variant.
    let nothing = Assessment { rows: 0, rows_skipped: 0, sums: None };
    let output = TaskOutput::reporting::<AssessTask>(&nothing).unwrap();
    let failure = spec.next(&good, &[stage("assess", &assess, &[output])]).unwrap_err();
    assert_eq!(failure.to_string(), "test@1 has no row that variant `a` of endpoint `churn` with churn@3 answered");
}
