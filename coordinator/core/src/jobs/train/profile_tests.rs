//! The look at the columns, and the sample for the baseline.

use shardmill_common::model::{Algorithm, Encoding, Imputation, Model, Penalty};
use shardmill_common::watch::{FeatureBaseline, bin};

use super::super::harness::{Table, linear, spec as plain, train};
use super::*;

fn table(rows: usize) -> Table {
    let columns = [
        ("x", DataType::Float64),
        ("member", DataType::Boolean),
        ("city", DataType::String),
        ("same", DataType::Int64),
        ("y", DataType::Float64),
    ];
    let row = |n: usize| {
        let x = if n % 10 == 3 { String::new() } else { format!("{:?}", ((n * 7919) % 1009) as f64) };
        let city = ["Bonn", "Oslo", "Oslo", ""][n % 4].to_owned();
        vec![x, format!("{}", n.is_multiple_of(5)), city, "7".into(), format!("{:?}", (n % 100) as f64)]
    };
    Table::new(&columns, (0..rows).map(row).collect())
}

fn spec() -> TrainSpec {
    let mut spec = plain(Algorithm::Linear(linear(Penalty::L2, 1.0)), Some("y"));
    spec.preparation.impute.insert("x".into(), Imputation::Mean);
    spec.preparation.impute.insert("city".into(), Imputation::Constant("nowhere".into()));
    spec
}

fn numbers<'a>(model: &'a Model, column: &str) -> (&'a [f64], &'a [u64], u64) {
    let place = model.features.features.iter().position(|f| f.column == column).unwrap();
    match &model.baseline.as_ref().unwrap().features[place] {
        FeatureBaseline::Numeric { edges, counts, missing } => (edges, counts, *missing),
        FeatureBaseline::Categories { .. } => panic!("{column} is a category"),
    }
}

#[test]
fn a_training_knows_its_rows_again() {
    let table = table(1000);
    let model = train(&table, &spec(), 1).unwrap().model;
    let baseline = model.baseline.as_ref().unwrap();
    assert_eq!((baseline.rows, baseline.features.len()), (1000, model.features.features.len()));
    let (edges, counts, missing) = numbers(&model, "x");
    let mut by_hand = vec![0; edges.len() + 1];
    let known = table.rows.iter().filter(|r| !r[0].is_empty());
    known.for_each(|r| by_hand[bin(edges, r[0].parse().unwrap())] += 1);
    assert_eq!((counts, missing, edges.len()), (by_hand.as_slice(), 100, 9));
    assert_eq!((numbers(&model, "member").1, numbers(&model, "member").2), ([0, 800, 200, 0].as_slice(), 0));
    let place = model.features.features.iter().position(|f| f.column == "city").unwrap();
    let Encoding::OneHot { categories, .. } = &model.features.features[place].encoding else { panic!() };
    assert_eq!(categories, &["Bonn", "Oslo", "nowhere"]);
    let city = FeatureBaseline::Categories { counts: vec![250, 500, 0], missing: 250, unseen: 0 };
    assert_eq!(baseline.features[place], city, "what is filled in is missing, and not its filling");
    assert_eq!(baseline.label_edges, (1..10).map(|n| f64::from(n * 10)).collect::<Vec<_>>());
}

#[test]
fn shards_do_not_change_a_baseline_and_nothing_is_found_in_a_lean_model() {
    let table = table(900);
    let [one, four] = [1, 4].map(|shards| train(&table, &spec(), shards).unwrap().model);
    assert_eq!(one.baseline, four.baseline);
    assert_eq!(one.lean().baseline, None);
}

#[test]
fn an_update_keeps_the_baseline_of_its_base() {
    let table = table(900);
    let base = Box::new(Model { version: 1, ..train(&table, &spec(), 2).unwrap().model });
    let known = base.baseline.clone();
    let update = TrainSpec { update: Some(base.reference()), base: Some(base), label: None, ..spec() };
    let fewer = Table { rows: table.rows[..300].to_vec(), ..table.clone() };
    assert!(known.is_some());
    assert_eq!(train(&fewer, &update, 2).unwrap().model.baseline, known);
}

#[test]
fn a_sample_is_enough_for_deciles_and_fits_into_a_message() {
    assert_eq!(sample_every(5, 3), 1);
    assert_eq!(sample_every(10_000, 3), 1);
    assert_eq!(sample_every(1_000_000, 0), 100);
    assert_eq!(sample_every(1_000_000, 1000), 1000);
    assert_eq!(sample_every(1_000_000, 8000), 5000, "at least 200 rows");
    assert_eq!(sample_every(1_000_000, 100_000), 50_000, "but no more than two million values");
    assert_eq!(sample_every(1_000_000, 3_000_000), 0);
}
