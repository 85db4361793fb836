//! What `encode` makes of columns of every kind.

use polars::df;
use polars::prelude::{NamedFrom, Series};
use shardmill_common::counters::Counter;
use shardmill_common::model::conformance::{self, Raw};
use shardmill_common::model::{Encoder, Encoding, Feature, Filling, Scaling, Unknown};
use shardmill_common::schema::DataType;
use shardmill_common::text as cells;

use super::*;
use crate::frame::polars_type;

fn numeric(column: &str) -> Feature {
    let encoding = Encoding::Numeric { scaling: None };
    Feature { column: column.into(), dtype: DataType::Float64, encoding, fill: None, indicator: false }
}

fn one_hot(column: &str, dtype: DataType, categories: &[&str]) -> Feature {
    let categories = categories.iter().map(|c| (*c).to_owned()).collect();
    let encoding = Encoding::OneHot { categories, unknown: Unknown::Ignore };
    Feature { column: column.into(), dtype, encoding, fill: None, indicator: false }
}

fn encoder(features: impl IntoIterator<Item = Feature>) -> Encoder {
    Encoder { features: features.into_iter().collect() }
}

#[test]
fn numbers_of_every_type_are_filled_scaled_and_marked() {
    let frame = df!(
        "flag" => [Some(true), Some(false), None],
        "whole" => [Some(4i64), None, Some(6)],
        "x" => [Some(f64::NAN), Some(1.5), None]
    )
    .unwrap();
    let mut whole = numeric("whole");
    whole.encoding = Encoding::Numeric { scaling: Some(Scaling { mean: 4.0, scale: 2.0 }) };
    whole.fill = Some(Filling::Number(8.0));
    let mut x = numeric("x");
    x.fill = Some(Filling::Number(-1.0));
    x.indicator = true;
    let mut flag = numeric("flag");
    flag.fill = Some(Filling::Number(0.5));
    let encoded = encode(&frame, &encoder([x, whole, flag])).unwrap();
    assert_eq!(encoded.matrix.dense, [0, 1, 2, 3]);
    assert_eq!(encoded.matrix.width, 4);
    assert_eq!(encoded.matrix.values, [-1.0, 1.0, 0.0, 1.0, 1.5, 0.0, 2.0, 0.0, -1.0, 1.0, 1.0, 0.5]);
    assert_eq!((encoded.kept, encoded.unusable), (None, vec![]));
}

#[test]
fn categories_become_codes() {
    let frame = df!("city" => [Some("Rome"), Some("Oslo"), None, Some("Ulm")], "x" => [1.0, 2.0, 3.0, 4.0]).unwrap();
    let mut city = one_hot("city", DataType::String, &["Oslo", "Rome"]);
    city.fill = Some(Filling::Text("Oslo".into()));
    city.indicator = true;
    let encoded = encode(&frame, &encoder([city, numeric("x")])).unwrap();
    let codes = Codes { first: 0, categories: 2, codes: vec![1, 0, 0, NO_CODE] };
    assert_eq!(encoded.matrix.codes, [codes]);
    assert_eq!(encoded.matrix.dense, [2, 3]);
    assert_eq!(encoded.matrix.values, [0.0, 1.0, 0.0, 2.0, 1.0, 3.0, 0.0, 4.0]);
    assert_eq!(encoded.counters.get(&Counter::UnknownCategories("city".into())), 1);
    let mut row = [9.0; 4];
    encoded.matrix.expand(2, &mut row);
    assert_eq!(row, [1.0, 0.0, 1.0, 3.0]);
    encoded.matrix.expand(3, &mut row);
    assert_eq!(row, [0.0, 0.0, 0.0, 4.0]);
}

#[test]
fn rows_that_cannot_be_encoded_are_named_and_left_out() {
    let frame = df!(
        "x" => [Some(1.0), None, Some(f64::INFINITY), Some(4.0), Some(f64::NEG_INFINITY)],
        "city" => [Some("a"), Some("b"), Some("a"), Some("c"), None]
    )
    .unwrap();
    let mut city = one_hot("city", DataType::String, &["a"]);
    if let Encoding::OneHot { unknown, .. } = &mut city.encoding {
        *unknown = Unknown::Refuse;
    }
    let encoded = encode(&frame, &encoder([numeric("x"), city])).unwrap();
    assert_eq!(encoded.kept, Some(vec![0]));
    assert_eq!(encoded.matrix.values, [1.0]);
    assert_eq!(encoded.matrix.codes[0].codes, [0]);
    let unusable = |row, column: &str, reason| Unusable { row, column: column.into(), reason };
    let expected = [
        unusable(1, "x", Reason::Missing),
        unusable(2, "x", Reason::Infinite),
        unusable(3, "city", Reason::Unknown("c".into())),
        // Missing comes before infinite: training leaves such a row out.
        unusable(4, "city", Reason::Missing),
    ];
    assert_eq!(encoded.unusable, expected);
}

#[test]
fn columns_that_are_absent_or_of_a_wrong_type_are_refused() {
    let frame = df!("x" => ["1", "2"], "none" => [None::<&str>, None]).unwrap();
    let message = |e: Encoder| encode(&frame, &e).unwrap_err().to_string();
    assert_eq!(message(encoder([numeric("x")])), "column `x` has the type string; the model was trained on float64");
    assert_eq!(message(encoder([numeric("y")])), "there is no column `y`, which the model needs");
    // A column without values has the type string, and no value that is one.
    let mut none = numeric("none");
    none.fill = Some(Filling::Number(7.0));
    assert_eq!(encode(&frame, &encoder([none])).unwrap().matrix.values, [7.0, 7.0]);
}

#[test]
fn categories_of_a_wider_or_narrower_type_are_recognised() {
    let frame = df!("i" => [1i64, 2], "f" => [2.0, 1.0]).unwrap();
    let features = [one_hot("i", DataType::Float64, &["1.0", "2.0"]), one_hot("f", DataType::Int64, &["1", "2"])];
    let encoded = encode(&frame, &encoder(features)).unwrap();
    assert_eq!(encoded.matrix.codes[0].codes, [0, 1]);
    assert_eq!(encoded.matrix.codes[1].codes, [1, 0]);
    assert_eq!(encoded.matrix.codes[1].first, 2);
    assert!(encoded.matrix.values.is_empty());
}

#[test]
fn blocks_and_chunks_do_not_show() {
    let part = |from: i64, to: i64| df!("x" => (from..to).map(|n| n as f64).collect::<Vec<_>>()).unwrap();
    let mut frame = part(0, 300);
    frame.vstack_mut(&part(300, 1000)).unwrap();
    let encoded = encode(&frame, &encoder([numeric("x"), numeric("x")])).unwrap();
    let expected: Vec<f64> = (0..1000).flat_map(|n| [f64::from(n), f64::from(n)]).collect();
    assert_eq!(encoded.matrix.values, expected);
    assert_eq!(encode(&frame.head(Some(0)), &encoder([numeric("x")])).unwrap().matrix.rows, 0);
    assert_eq!(encode(&frame, &encoder([])).unwrap().matrix.rows, 1000);
}

/// What requests are encoded to is what shards are encoded to.
mod requests {
    use super::*;
    use shardmill_serving::encode::Plan;
    use shardmill_serving::table::{Cell, Table};

    fn features() -> Encoder {
        let mut age = numeric("age");
        age.encoding = Encoding::Numeric { scaling: Some(Scaling { mean: 30.5, scale: 7.25 }) };
        age.fill = Some(Filling::Number(28.0));
        age.indicator = true;
        let mut city = one_hot("city", DataType::String, &["Oslo", "Rome", "5"]);
        city.fill = Some(Filling::Text("Rome".into()));
        city.indicator = true;
        let mut zip = one_hot("zip", DataType::Int64, &["-2", "3", "7"]);
        zip.fill = Some(Filling::Number(9.0));
        let mut half = one_hot("half", DataType::Float64, &["-0.5", "0.0", "2.0"]);
        half.fill = Some(Filling::Number(2.0));
        let mut flag = one_hot("flag", DataType::Boolean, &["false", "true"]);
        flag.fill = Some(Filling::Text("true".into()));
        let mut day = one_hot("day", DataType::Date, &["2024-02-29", "1999-12-31"]);
        day.fill = Some(Filling::Text("1999-12-31".into()));
        encoder([age, city, zip, half, flag, day])
    }

    fn raw<'a>(rows: &[[&'a str; 6]]) -> Table<'a> {
        let cells = rows.iter().flatten().map(|text| Cell::Raw((*text).into())).collect();
        Table { names: None, width: 6, rows: rows.len(), cells }
    }

    #[test]
    fn cells_of_every_kind_mean_the_same() {
        let days = df!("day" => [Some(19_782i32), None, Some(10_956), Some(0)]).unwrap();
        let mut frame = df!(
            "age" => [Some(4.0), None, Some(f64::NAN), Some(-1.5e300)],
            "city" => [Some("Rome"), None, Some("Ulm"), Some("5")],
            "zip" => [Some(3i64), None, Some(7), Some(8)],
            "half" => [Some(0.0), None, Some(-0.5), Some(2.5)],
            "flag" => [Some(true), None, Some(false), Some(true)]
        )
        .unwrap();
        let days = days.column("day").unwrap().cast(&polars::prelude::DataType::Date).unwrap();
        frame.with_column(days).unwrap();
        let wanted = encode(&frame, &features()).unwrap().matrix;
        let plan = Plan::new(&features());
        let rows = [
            ["4.0", "Rome", "3", "0.0", "TRUE", "2024-02-29"],
            ["", "", "", "", "", ""],
            ["NaN", "Ulm", "7.0", "-0.5", "false", "1999-12-31"],
            ["-1.5e300", "5", "8", "2.5", "true", "1970-01-01"],
        ];
        assert_eq!(plan.encode(&raw(&rows)).unwrap().matrix, wanted);
        let (int, float, text) = (Cell::Integer, Cell::Float, |t: &'static str| Cell::Text(t.into()));
        let typed = vec![
            [int(4), text("Rome"), float(3.0), int(0), Cell::Boolean(true), text("2024-02-29")],
            [Cell::Null, Cell::Null, Cell::Null, Cell::Null, Cell::Null, Cell::Null],
            [float(f64::NAN), text("Ulm"), int(7), float(-0.5), Cell::Boolean(false), text("1999-12-31")],
            [float(-1.5e300), int(5), int(8), float(2.5), text("true"), text("1970-01-01")],
        ];
        let cells: Vec<Cell<'_>> = typed.into_iter().flatten().collect();
        let names = ["age", "city", "zip", "half", "flag", "day"].map(Into::into).to_vec();
        let table = Table { names: Some(names), width: 6, rows: 4, cells };
        assert_eq!(plan.encode(&table).unwrap().matrix, wanted);
    }

    #[test]
    fn what_a_shard_rejects_a_request_is_refused_for() {
        let mut strict = features();
        for feature in &mut strict.features {
            feature.fill = None;
            if let Encoding::OneHot { unknown, .. } = &mut feature.encoding {
                *unknown = Unknown::Refuse;
            }
        }
        let plan = Plan::new(&strict);
        let good = ["4", "Rome", "3", "0.0", "true", "2024-02-29"];
        assert!(plan.encode(&raw(&[good])).is_ok());
        let refused = |place: usize, text: &'static str| {
            let mut row = good;
            row[place] = text;
            plan.encode(&raw(&[good, row])).unwrap_err().to_string()
        };
        assert!(refused(0, "").starts_with("row 2: column `age` has no value"));
        assert!(refused(3, "").starts_with("row 2: column `half` has no value"));
        assert_eq!(refused(0, "-inf"), "row 2: column `age` is infinite");
        assert_eq!(refused(0, "old"), "row 2: column `age` is a number, and `old` is none");
        assert_eq!(refused(1, "Ulm"), "row 2: `Ulm` is no category of `city` that the model knows");
        let twice =
            Table { names: Some(vec!["age".into(), "age".into()]), width: 2, rows: 1, cells: vec![Cell::Null; 2] };
        assert!(plan.encode(&twice).unwrap_err().to_string().contains("`age` is there twice"));
        let narrow = Table { names: None, width: 2, rows: 1, cells: vec![Cell::Null; 2] };
        assert!(
            plan.encode(&narrow)
                .unwrap_err()
                .to_string()
                .starts_with("the rows have 2 columns and no names; the model takes 6")
        );
    }
}

/// A column of these values, of the type that they have in their dataset.
fn column(stored: DataType, values: impl Iterator<Item = Raw>) -> Column {
    let values: Vec<Raw> = values.collect();
    let text = |raw: &Raw| if let Raw::Text(text) = raw { Some(*text) } else { None };
    let name = "x".into();
    let series = match stored {
        DataType::Boolean => Series::new(
            name,
            values.iter().map(|v| if let Raw::Boolean(b) = v { Some(*b) } else { None }).collect::<Vec<_>>(),
        ),
        DataType::Int64 => Series::new(
            name,
            values.iter().map(|v| if let Raw::Int64(n) = v { Some(*n) } else { None }).collect::<Vec<_>>(),
        ),
        DataType::Float64 => Series::new(
            name,
            values.iter().map(|v| if let Raw::Float64(x) = v { Some(*x) } else { None }).collect::<Vec<_>>(),
        ),
        DataType::Date => {
            let days = values.iter().map(|v| text(v).and_then(|t| cells::parse_date(t.as_bytes())));
            Series::new(name, days.collect::<Vec<_>>()).cast(&polars_type(stored)).unwrap()
        }
        DataType::Datetime(unit) => {
            let moments = values.iter().map(|v| text(v).and_then(|t| cells::parse_datetime(t.as_bytes(), unit)));
            Series::new(name, moments.collect::<Vec<_>>()).cast(&polars_type(stored)).unwrap()
        }
        _ => Series::new(name, values.iter().map(text).collect::<Vec<_>>()),
    };
    series.into()
}

#[test]
fn shards_are_encoded_as_requests_are() {
    for case in conformance::cases() {
        let column = column(case.stored, case.rows.iter().map(|(raw, _)| *raw));
        let frame = DataFrame::new(case.rows.len(), vec![column]).unwrap();
        let encoded = encode(&frame, &case.encoder).unwrap();
        let kept = encoded.kept.unwrap_or_else(|| (0..case.rows.len() as u32).collect());
        for (n, (raw, expected)) in (0u32..).zip(&case.rows) {
            let row = kept.iter().position(|k| *k == n).map(|at| {
                let mut row = vec![f64::NAN; case.encoder.width()];
                encoded.matrix.expand(at, &mut row);
                row
            });
            assert_eq!(row, *expected, "{}: {raw:?}", case.what);
        }
    }
}
