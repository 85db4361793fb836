//! Whole tasks over shards on a disk: what is assessed is what is ranked.

use std::sync::Arc;

use polars::df;
use polars::prelude::DataFrame;
use shardmill_common::ids::{AttemptId, JobId, TaskId, WorkerId};
use shardmill_common::kinds::evaluate::RankTask;
use shardmill_common::layout::WorkerLayout;
use shardmill_common::model::{
    ClassValue, KMeansParameters, Label, LinearParameters, LogisticParameters, Model, Parameters, Ranking, Served,
    example,
};
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::task::{ShardInput, ShardRef, TaskPlace, TaskRange};
use shardmill_proto::auth::AddToken;

use super::*;
use crate::fetch::Fetcher;
use crate::store::Store;

fn model(target: Target, parameters: Parameters) -> Model {
    Model { target, parameters, ..example().unwrap() }
}

fn logistic() -> Model {
    let label = Label { column: "y".into(), dtype: DataType::String };
    let classes = ["no", "yes"].map(|c| ClassValue::String(c.into())).to_vec();
    let parameters = Parameters::Logistic(LogisticParameters { coefficients: vec![vec![1.0]], intercept: vec![0.0] });
    model(Target::Class { label, classes }, parameters)
}

/// A worker without a network.
struct Bench {
    fetch: Arc<Fetcher>,
    me: WorkerId,
    _folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let me = WorkerId::fresh();
        let store = Arc::new(Store::open(WorkerLayout::new(folder.path()), me).unwrap());
        let token = AddToken::new(None).unwrap();
        let fetch = Arc::new(Fetcher::new(store, me, String::new(), token, runtime.handle().clone()));
        Self { fetch, me, _folder: folder, _runtime: runtime }
    }

    fn attempt(job: u64, stage: u32, task: u32) -> AttemptId {
        AttemptId { task: TaskId { job: JobId(job), stage, task }, epoch: 1, number: 1 }
    }

    fn context(&self, attempt: AttemptId, places: Vec<TaskPlace>) -> Context {
        let (place, cancelled) = Default::default();
        Context::new(attempt, self.fetch.clone(), place, places, cancelled, Arc::default(), false)
    }

    /// Assesses shards as one job; the findings and the places of the scores.
    fn assess(&self, job: u64, model: &Model, buckets: u32, frames: &[DataFrame]) -> Result<Found, Failure> {
        self.assess_served(job, model, None, buckets, frames)
    }

    fn assess_served(
        &self,
        job: u64,
        model: &Model,
        served: Option<Served>,
        buckets: u32,
        frames: &[DataFrame],
    ) -> Result<Found, Failure> {
        let label = model.target.label().map(|l| l.column.clone());
        let mut all = Assessment { rows: 0, rows_skipped: 0, sums: None };
        let (mut places, mut counters, mut first_row) =
            (Vec::new(), shardmill_common::counters::Counters::default(), 0);
        for (n, frame) in (0u32..).zip(frames) {
            let attempt = Self::attempt(job, 0, n);
            let context = self.context(attempt, Vec::new());
            let entry = context.write_shard(&mut frame.clone()).unwrap();
            let task = AssessTask {
                input: ShardInput { shard: ShardRef::Stored(entry), ordinal: n },
                schema: crate::frame::schema_of(frame).unwrap().into(),
                model: model.clone().into(),
                label: label.clone(),
                served: served.clone(),
                buckets,
                source_name: "test@1".into(),
                first_row,
            };
            first_row += frame.height() as u64;
            let output = run(&context, &task)?;
            assert_eq!(output.shuffle.as_ref().map(Vec::len), label.as_ref().map(|_| buckets as usize));
            counters.merge(&output.counters);
            assert!(all.merge(output.report::<AssessTask>().unwrap()));
            places.push(TaskPlace { attempt, worker: self.me, shards: Vec::new() });
        }
        Ok(Found { all, places, counters })
    }
}

impl Bench {
    fn assess_served_numbers(&self, model: &Model, served: Served, frame: DataFrame) -> Assessment {
        let context = self.context(Bench::attempt(9, 0, 0), Vec::new());
        let entry = context.write_shard(&mut frame.clone()).unwrap();
        let task = AssessTask {
            input: ShardInput { shard: ShardRef::Stored(entry), ordinal: 0 },
            schema: crate::frame::schema_of(&frame).unwrap().into(),
            model: model.clone().into(),
            label: model.target.label().map(|l| l.column.clone()),
            served: Some(served),
            buckets: 1,
            source_name: "test@1".into(),
            first_row: 0,
        };
        run(&context, &task).unwrap().report::<AssessTask>().unwrap()
    }
}

struct Found {
    all: Assessment,
    places: Vec<TaskPlace>,
    counters: shardmill_common::counters::Counters,
}

const X: [f64; 8] = [-2.0, -1.0, 0.5, 0.5, 0.5, 1.5, 3.0, 0.0];
const Y: [&str; 8] = ["no", "yes", "no", "yes", "yes", "no", "yes", "no"];

#[test]
fn shards_and_buckets_do_not_change_what_is_found() {
    let bench = Bench::new();
    let whole = df!("x" => X, "y" => Y).unwrap();
    let mut seen: Vec<(ClassSums, Ranking)> = Vec::new();
    for (job, buckets, cuts) in [(1, 1, vec![8]), (2, 16, vec![8]), (3, 16, vec![3, 0, 5]), (4, 2, vec![1; 8])] {
        let mut at = 0;
        let frames: Vec<DataFrame> = cuts
            .iter()
            .map(|rows| {
                at += *rows as i64;
                whole.slice(at - *rows as i64, *rows)
            })
            .collect();
        let found = bench.assess(job, &logistic(), buckets, &frames).unwrap();
        assert_eq!((found.all.rows, found.all.rows_skipped), (8, 0));
        let Some(Sums::Classes(sums)) = found.all.sums else { panic!() };
        let task = RankTask {
            runs: TaskRange { stage: 0, from: 0, to: frames.len() as u32 },
            partitions: (0, buckets),
            positives_above: 0,
            negatives_above: 0,
            positives: sums.positives.iter().sum(),
            negatives: sums.negatives.iter().sum(),
        };
        let context = bench.context(Bench::attempt(job, 1, 0), found.places);
        let output = crate::tasks::rank::run(&context, &task).unwrap();
        seen.push((sums, output.report::<RankTask>().unwrap()));
    }
    // roc_auc_score, average_precision_score, auc(recall, precision), log_loss and brier_score_loss of scikit-learn 1.9.
    let (sums, ranking) = &seen[0];
    assert_eq!(ranking.twice_pairs, 20);
    assert!((ranking.precision / 4.0 - 0.6928571428571428).abs() < 1e-12, "{}", ranking.precision / 4.0);
    assert!((ranking.trapezoids / 4.0 - 0.6589285714285714).abs() < 1e-12, "{}", ranking.trapezoids / 4.0);
    assert!((sums.log_loss / 8.0 - 0.7256960576522443).abs() < 1e-12, "{}", sums.log_loss / 8.0);
    assert!((sums.brier / 8.0 - 0.2677328439713077).abs() < 1e-12, "{}", sums.brier / 8.0);
    assert_eq!(sums.confusion, [[2, 2], [1, 3]]);
    for (other_sums, other) in &seen {
        assert_eq!((other.twice_pairs, &other.points), (ranking.twice_pairs, &ranking.points));
        assert_eq!(other_sums.confusion, sums.confusion);
        assert!((other.precision - ranking.precision).abs() < 1e-12);
    }
}

#[test]
fn rows_without_values_are_skipped_and_counted() {
    let bench = Bench::new();
    let x = [Some(1.0), None, Some(2.0), Some(-1.0), Some(f64::NAN)];
    let y = [Some("yes"), Some("yes"), None, Some("no"), None];
    let found = bench.assess(1, &logistic(), 1, &[df!("x" => x, "y" => y).unwrap()]).unwrap();
    assert_eq!((found.all.rows, found.all.rows_skipped), (2, 3));
    let counted = |name: &str| found.counters.get(&name.parse().unwrap());
    assert_eq!((counted("rows_in"), counted("rows_skipped/x missing"), counted("rows_skipped/no label")), (5, 2, 1));
    let Some(Sums::Classes(sums)) = found.all.sums else { panic!() };
    assert_eq!(sums.confusion, [[1, 0], [0, 1]]);
}

#[test]
fn a_label_that_the_model_does_not_know_is_named() {
    let bench = Bench::new();
    let frames = [df!("x" => [1.0], "y" => ["no"]).unwrap(), df!("x" => [1.0, 2.0], "y" => ["no", "maybe"]).unwrap()];
    let failure = bench.assess(1, &logistic(), 1, &frames).err().unwrap();
    let Failure::BadInput { message } = failure else { panic!("{failure}") };
    assert_eq!(message, "test@1, row 3: the label `y` is `maybe`, which is none of the model's classes: `no`, `yes`");
}

#[test]
fn numbers_take_integers_and_refuse_infinity() {
    let bench = Bench::new();
    let label = Label { column: "y".into(), dtype: DataType::Float64 };
    let model = model(
        Target::Number { label },
        Parameters::Linear(LinearParameters { coefficients: vec![2.0], intercept: 1.0 }),
    );
    let assess = |frame: DataFrame| {
        let context = bench.context(Bench::attempt(1, 0, 0), Vec::new());
        let entry = context.write_shard(&mut frame.clone()).unwrap();
        let task = AssessTask {
            input: ShardInput { shard: ShardRef::Stored(entry), ordinal: 0 },
            schema: Schema::new(vec![
                Field::new("x", DataType::Float64),
                crate::frame::schema_of(&frame).unwrap().get("y").unwrap().clone(),
            ])
            .into(),
            model: model.clone().into(),
            label: Some("y".into()),
            served: None,
            buckets: 1,
            source_name: "test@1".into(),
            first_row: 10,
        };
        run(&context, &task).map(|o| o.report::<AssessTask>().unwrap())
    };
    let found = assess(df!("x" => [1.0, 2.0], "y" => [Some(4i64), None]).unwrap()).unwrap();
    let Some(Sums::Numbers(sums)) = found.sums else { panic!() };
    assert_eq!((found.rows, sums.squared, sums.largest, sums.label.mean), (1, 1.0, 1.0, 4.0));
    let failure = assess(df!("x" => [1.0, 2.0], "y" => [4.0, f64::INFINITY]).unwrap()).unwrap_err();
    assert_eq!(failure, Failure::bad_input("test@1, row 12: the label `y` is infinite"));
}

#[test]
fn clusters_need_no_label_and_write_no_scores() {
    let bench = Bench::new();
    let parameters =
        Parameters::KMeans(KMeansParameters { centers: vec![vec![0.0], vec![10.0]], inertia: 0.0, sizes: vec![1, 1] });
    let frame = df!("x" => [1.0, 9.0, 12.0]).unwrap();
    let found = bench.assess(1, &model(Target::Cluster { clusters: 2 }, parameters), 1, &[frame]).unwrap();
    let Some(Sums::Clusters(sums)) = found.all.sums else { panic!() };
    assert_eq!((sums.counts, sums.squares), (vec![1, 2], vec![1.0, 5.0]));
}

/// Rows as they are captured: of variant `a`, of variant `b`, of another version, and of another endpoint.
fn captured() -> DataFrame {
    df!(
        "_endpoint" => ["e", "e", "e", "other", "e", "e"],
        "_variant" => ["a", "b", "a", "a", "a", "a"],
        "_model" => ["m@1", "m@1", "m@2", "m@1", "m@1", "m@1"],
        "prediction" => [Some("yes"), Some("no"), Some("no"), Some("no"), Some("no"), None],
        "probability_no" => [0.25, 1.0, 1.0, 1.0, 0.75, 0.5],
        "probability_yes" => [0.75, 0.0, 0.0, 0.0, 0.25, 0.5],
        "y" => [Some("yes"), Some("yes"), Some("yes"), Some("yes"), None, Some("no")],
    )
    .unwrap()
}

#[test]
fn what_was_served_is_taken_from_the_rows_of_its_variant_and_version() {
    let bench = Bench::new();
    let served = Served { endpoint: "e".parse().unwrap(), variant: "a".into() };
    let (first, second) = (captured(), captured().slice(0, 2));
    // The features are not there: nothing is predicted again.
    let found = bench.assess_served(1, &logistic(), Some(served.clone()), 4, &[first, second]).unwrap();
    assert_eq!((found.all.rows, found.all.rows_skipped), (2, 2));
    let counted = |name: &str| found.counters.get(&name.parse().unwrap());
    let skipped = (counted("rows_skipped/no prediction"), counted("rows_skipped/no label"));
    assert_eq!((counted("rows_in"), skipped), (4, (1, 1)));
    let Some(Sums::Classes(sums)) = found.all.sums else { panic!() };
    assert_eq!(sums.confusion, [[0, 0], [0, 2]]);
    assert!((sums.log_loss - 2.0 * -(0.75f64.ln())).abs() < 1e-12, "{}", sums.log_loss);

    let unknown = df!(
        "_endpoint" => ["e"], "_variant" => ["a"], "_model" => ["m@1"], "prediction" => ["maybe"],
        "probability_no" => [0.5], "probability_yes" => [0.5], "y" => ["yes"],
    );
    let failure = bench.assess_served(2, &logistic(), Some(served.clone()), 1, &[unknown.unwrap()]).err().unwrap();
    assert_eq!(failure, Failure::bad_input("test@1, row 1: the prediction `maybe` is none of the classes of m@1"));

    let label = Label { column: "y".into(), dtype: DataType::Float64 };
    let regression = model(
        Target::Number { label },
        Parameters::Linear(LinearParameters { coefficients: vec![2.0], intercept: 1.0 }),
    );
    let numbers = df!(
        "_endpoint" => ["e", "e"], "_variant" => ["a", "b"], "_model" => ["m@1", "m@1"],
        "prediction" => [4.0, 0.0], "y" => [1.0, 1.0],
    );
    let found = bench.assess_served_numbers(&regression, served, numbers.unwrap());
    let Some(Sums::Numbers(sums)) = found.sums else { panic!() };
    assert_eq!((found.rows, sums.squared), (1, 9.0));
}
