//! Counting of requests.

use std::sync::Arc;

use shardmill_common::model::{
    ClassValue, Encoder, Encoding, Feature, Filling, Label, LogisticParameters, Parameters, Unknown, example,
};
use shardmill_common::schema::DataType;
use shardmill_common::watch::Baseline;

use super::*;
use crate::predictor::Predictor;
use crate::table::{Cell, Table};

fn feature(column: &str, encoding: Encoding, fill: Filling) -> Feature {
    let dtype = if matches!(fill, Filling::Number(_)) { DataType::Float64 } else { DataType::String };
    Feature { column: column.into(), dtype, encoding, fill: Some(fill), indicator: false }
}

fn categories(known: &[&str]) -> Encoding {
    Encoding::OneHot { categories: known.iter().map(|c| (*c).to_owned()).collect(), unknown: Unknown::Ignore }
}

/// Two classes by `x`, whose deciles begin at 0 and 10, and a city.
pub(crate) fn classes() -> Model {
    let label = Label { column: "y".into(), dtype: DataType::Int64 };
    Model {
        target: Target::Class { label, classes: vec![ClassValue::Int64(0), ClassValue::Int64(1)] },
        features: Encoder {
            features: vec![
                feature("city", categories(&["Bonn", "Rome"]), Filling::Text("Bonn".into())),
                feature("x", Encoding::Numeric { scaling: None }, Filling::Number(0.0)),
            ],
        },
        parameters: Parameters::Logistic(LogisticParameters {
            coefficients: vec![vec![0.0, 0.0, 1.0]],
            intercept: vec![0.0],
        }),
        baseline: Some(Baseline {
            rows: 10,
            features: vec![
                FeatureBaseline::Categories { counts: vec![5, 5], missing: 0, unseen: 0 },
                FeatureBaseline::Numeric { edges: vec![0.0, 10.0], counts: vec![3, 3, 3], missing: 1 },
            ],
            label_edges: Vec::new(),
        }),
        ..example().unwrap()
    }
}

fn table<'a>(names: &[&'a str], cells: Vec<Cell<'a>>) -> Table<'a> {
    let width = names.len();
    Table { names: Some(names.iter().map(|n| (*n).into()).collect()), width, rows: cells.len() / width, cells }
}

/// Answers rows of (x, city).
pub(crate) fn answer(recorder: &Recorder, model: &Model, rows: &[(Option<f64>, &str)], micros: u64) {
    let cells = rows.iter().flat_map(|(x, city)| {
        let city = if city.is_empty() { Cell::Null } else { Cell::Text((*city).into()) };
        [x.map_or(Cell::Null, Cell::Float), city]
    });
    let predictor = Predictor::new(Arc::new(model.clone()), &Default::default()).unwrap();
    let predicted = predictor.predict(&table(&["x", "city"], cells.collect())).unwrap();
    recorder.answered(&predicted, Duration::from_micros(micros));
}

#[test]
fn every_row_is_counted_where_it_belongs() {
    let model = classes();
    let recorder = Recorder::new(&model);
    assert_eq!(recorder.take(), Tally::default());
    answer(&recorder, &model, &[(Some(-3.0), "Rome"), (Some(10.0), "Oslo"), (None, "")], 40);
    answer(&recorder, &model, &[(Some(9.9), "Bonn")], 60);
    let tally = recorder.take();
    assert_eq!((tally.requests, tally.rows, tally.latency.sum_micros), (2, 4, 100));
    assert_eq!(tally.features[0], FeatureTally { bins: vec![1, 1], missing: 1, unseen: 1 });
    assert_eq!(tally.features[1], FeatureTally { bins: vec![1, 1, 1], missing: 1, unseen: 0 });
    // The logistic function of -3, 10, 0 and 9.9; of a tie the first class is predicted.
    assert_eq!(tally.outcomes.counts, [2, 2]);
    assert_eq!(tally.outcomes.probabilities, [1, 0, 0, 0, 1, 0, 0, 0, 0, 2]);
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    assert!((tally.outcomes.sum - logistic(-3.0) - logistic(10.0) - 0.5 - logistic(9.9)).abs() < 1e-12);
}

#[test]
fn large_requests_are_counted_as_small_ones_are() {
    let model = classes();
    let rows: Vec<(Option<f64>, &str)> = (0..3 * FEW_ROWS)
        .map(|n| ((n % 5 > 0).then_some(n as f64 / 7.0 - 3.0), ["Bonn", "Rome", "Oslo", ""][n % 4]))
        .collect();
    let (one, many) = (Recorder::new(&model), Recorder::new(&model));
    answer(&one, &model, &rows, 10);
    rows.iter().for_each(|row| answer(&many, &model, &[*row], 10));
    let (one, many) = (one.take(), many.take());
    assert_eq!((one.requests, one.rows, &one.features), (1, many.rows, &many.features));
    assert_eq!(
        (&one.outcomes.counts, &one.outcomes.probabilities),
        (&many.outcomes.counts, &many.outcomes.probabilities)
    );
    assert!((one.outcomes.sum - many.outcomes.sum).abs() < 1e-9);
}

#[test]
fn what_was_taken_is_not_told_again_and_stays_in_the_total() {
    let model = classes();
    let recorder = Recorder::new(&model);
    answer(&recorder, &model, &[(Some(1.0), "Rome")], 7);
    recorder.failed(ErrorKind::BadRow);
    recorder.capture_dropped(3);
    let first = recorder.take();
    assert_eq!((first.requests, first.failed(), first.capture_dropped), (1, 1, 3));
    assert_eq!(recorder.take(), Tally::default());
    assert_eq!(recorder.total(), first);
    answer(&recorder, &model, &[(Some(1.0), "Rome"), (Some(2.0), "Rome")], 7);
    assert_eq!(recorder.total().rows, 3, "the total does not wait for a taking");
    let second = recorder.take();
    assert_eq!((second.requests, second.rows, second.failed()), (1, 2, 0));
    let mut both = first;
    both.merge(&second);
    assert_eq!(recorder.total(), both);
    recorder.failed(ErrorKind::QueueFull);
    assert_eq!(recorder.take().errors.into_iter().collect::<Vec<_>>(), [(ErrorKind::QueueFull, 1)]);
}

#[test]
fn numbers_are_counted_by_the_labels_deciles() {
    let mut model = example().unwrap();
    let answered = |model: &Model, xs: &[f64]| {
        let recorder = Recorder::new(model);
        let predictor = Predictor::new(Arc::new(model.clone()), &Default::default()).unwrap();
        let cells = xs.iter().map(|x| Cell::Float(*x)).collect();
        recorder.answered(&predictor.predict(&table(&["x"], cells)).unwrap(), Duration::ZERO);
        recorder.take()
    };
    // Predictions 3, 5, 7 and 9.
    let xs = [1.0, 2.0, 3.0, 4.0];
    let plain = answered(&model, &xs);
    assert_eq!((plain.outcomes.counts.as_slice(), plain.outcomes.sum), ([].as_slice(), 24.0));
    assert_eq!(plain.features, [FeatureTally::default()], "an imported model has no bins");
    let numeric = FeatureBaseline::Numeric { edges: vec![2.5], counts: vec![1, 1], missing: 0 };
    model.baseline = Some(Baseline { rows: 2, features: vec![numeric], label_edges: vec![5.0, 8.0] });
    let told = answered(&model, &xs);
    assert_eq!(
        (told.outcomes.counts.as_slice(), told.features[0].bins.as_slice()),
        ([2, 1, 1].as_slice(), [2, 2].as_slice())
    );
}

#[test]
fn counting_takes_no_new_room() {
    let model = classes();
    let recorder = Recorder::new(&model);
    let room = |r: &Recorder| {
        let counts = r.counts();
        let fresh = &counts.fresh;
        (fresh.latency.counts.as_ptr(), fresh.outcomes.counts.as_ptr(), fresh.features[1].bins.as_ptr())
    };
    let before = room(&recorder);
    for _ in 0..3 {
        answer(&recorder, &model, &[(Some(1.0), "Rome")], 7);
        assert_eq!(recorder.take().requests, 1);
    }
    assert_eq!(room(&recorder), before);
}
