//! Which rows a session has, and what is refused by name.

use std::sync::LazyLock;

use polars::df;
use shardmill_common::model::{ClassValue, Encoding, Feature, Label};
use shardmill_common::schema::DataType;

use super::*;

fn encoder() -> Encoder {
    let encoding = Encoding::Numeric { scaling: None };
    Encoder {
        features: vec![Feature {
            column: "x".into(),
            dtype: DataType::Float64,
            encoding,
            fill: None,
            indicator: false,
        }],
    }
}

fn class_target() -> Target {
    let classes = vec![ClassValue::String("no".into()), ClassValue::String("yes".into())];
    Target::Class { label: Label { column: "y".into(), dtype: DataType::String }, classes }
}

fn number_target() -> Target {
    Target::Number { label: Label { column: "x".into(), dtype: DataType::Float64 } }
}

const ORIGIN: Origin<'static> = Origin { source: "sales", first_row: 100 };

fn frame() -> DataFrame {
    df!(
        "x" => [Some(1.0), Some(2.0), None, Some(4.0), Some(5.0)],
        "y" => [Some("yes"), None, Some("no"), Some("no"), Some("yes")],
        "w" => [2.0, -5.0, -6.0, 0.5, 1.0]
    )
    .unwrap()
}

/// Ten for the first class, one for the second.
static WEIGHTS: LazyLock<Shared<Vec<f64>>> = LazyLock::new(|| vec![10.0, 1.0].into());
static NO_WEIGHTS: LazyLock<Shared<Vec<f64>>> = LazyLock::new(Shared::default);

fn recipe<'a>(encoder: &'a Shared<Encoder>, target: &'a Shared<Target>) -> Recipe<'a> {
    Recipe { encoder, target: Some(target), weight_column: Some("w"), class_weights: &WEIGHTS }
}

#[test]
fn rows_without_label_or_value_are_left_out() {
    let (encoder, target) = (encoder().into(), class_target().into());
    let session = prepare(frame(), recipe(&encoder, &target), ORIGIN).unwrap();
    assert_eq!(session.rows, Some(vec![0, 3, 4]));
    assert_eq!(session.matrix.values, [1.0, 4.0, 5.0]);
    assert_eq!(session.targets, Targets::Classes(vec![1, 0, 1]));
    assert_eq!(session.weights, Some(vec![2.0, 5.0, 1.0]));
    assert_eq!(session.shard_rows, 5);
}

#[test]
fn weights_of_one_are_left_out() {
    let (encoder, target) = (encoder().into(), class_target().into());
    let mut recipe = recipe(&encoder, &target);
    recipe.weight_column = None;
    let ones = vec![1.0, 1.0].into();
    recipe.class_weights = &ones;
    assert_eq!(prepare(frame(), recipe, ORIGIN).unwrap().weights, None);
    recipe.class_weights = &NO_WEIGHTS;
    recipe.target = None;
    let session = prepare(frame(), recipe, ORIGIN).unwrap();
    assert_eq!((session.rows, session.targets), (Some(vec![0, 1, 3, 4]), Targets::None));
}

#[test]
fn what_is_wrong_with_a_used_row_names_it() {
    let (encoder, target, number) = (encoder().into(), class_target().into(), number_target().into());
    let message = |frame: DataFrame, recipe: Recipe<'_>| prepare(frame, recipe, ORIGIN).unwrap_err().to_string();
    let with = |name: &str, values: Vec<f64>| frame().with_column(Column::new(name.into(), values)).unwrap().clone();
    use polars::prelude::Column;
    let weights = with("w", vec![1.0, 1.0, 1.0, -1.0, f64::NAN]);
    assert_eq!(
        message(weights, recipe(&encoder, &target)),
        "row 104 of sales: weight `w` is -1; weights are finite and not negative"
    );
    let weights = with("w", vec![1.0, 1.0, 1.0, 1.0, f64::NAN]);
    assert_eq!(
        message(weights, recipe(&encoder, &target)),
        "row 105 of sales: weight `w` is missing; weights are finite and not negative"
    );
    let infinite = with("x", vec![1.0, f64::INFINITY, 1.0, 1.0, f64::INFINITY]);
    assert_eq!(
        message(infinite, recipe(&encoder, &target)),
        "row 105 of sales: column `x` is infinite: clean it with a rule, or leave the column out"
    );
    let infinite = with("x", vec![1.0, f64::INFINITY, 1.0, 1.0, f64::INFINITY]);
    let nothing = Shared::default();
    assert_eq!(
        message(
            infinite,
            Recipe { encoder: &nothing, target: Some(&number), weight_column: None, class_weights: &NO_WEIGHTS }
        ),
        "row 102 of sales: label `x` is inf: clean it with a rule, or leave the column out"
    );
    let label = df!("x" => [1.0, 2.0], "w" => [1.0, 1.0], "y" => [None, Some("maybe")]).unwrap();
    assert_eq!(
        message(label, recipe(&encoder, &target)),
        "row 102 of sales: label `y` is `maybe`; the classes are no, yes"
    );
    let label = with("y", vec![0.5; 5]);
    assert_eq!(
        message(label, recipe(&encoder, &target)),
        "label `y` has the value 0.5; classes are boolean, whole numbers or string: cast it with a cleaning rule, or train `linear`"
    );
}

#[test]
fn the_digest_tells_what_matters() {
    let (encoder, target) = (encoder().into(), class_target().into());
    let one = recipe(&encoder, &target);
    let digest = |r: Recipe<'_>| r.digest().unwrap();
    assert_eq!(digest(one), digest(one));
    assert_ne!(digest(one), digest(Recipe { weight_column: None, ..one }));
    assert_ne!(digest(one), digest(Recipe { class_weights: &NO_WEIGHTS, ..one }));
    assert_ne!(digest(one), digest(Recipe { target: None, ..one }));
    assert_ne!(digest(one), digest(Recipe { encoder: &Shared::default(), ..one }));
    assert_eq!(one.columns(), ["x", "y", "w"]);
    assert_eq!(Recipe { weight_column: Some("x"), ..one }.columns(), ["x", "y"]);
}
