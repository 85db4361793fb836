//! What encoding means, as cases that every encoder must pass: that of the workers (columns of shards) and that of requests (cells).

use super::encoder::{Encoder, Encoding, Feature, Filling, Scaling};
use super::spec::Unknown;
use crate::schema::DataType;

/// A value as a dataset has it. Points in time are written as datasets write them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Raw {
    Null,
    Boolean(bool),
    Int64(i64),
    Float64(f64),
    Text(&'static str),
}

/// One feature, called `x`, and values of it. Its categories are written as training writes them.
pub struct Case {
    pub what: &'static str,
    /// The type of the column that the values come from.
    pub stored: DataType,
    pub encoder: Encoder,
    /// Each with its encoded row; `None`: its row is refused.
    pub rows: Vec<(Raw, Option<Vec<f64>>)>,
}

fn case(
    what: &'static str,
    stored: DataType,
    feature: Feature,
    rows: impl IntoIterator<Item = (Raw, Option<&'static [f64]>)>,
) -> Case {
    let rows = rows.into_iter().map(|(raw, row)| (raw, row.map(<[f64]>::to_vec))).collect();
    Case { what, stored, encoder: Encoder { features: vec![feature] }, rows }
}

fn numeric(scaling: Option<Scaling>, fill: Option<f64>, indicator: bool) -> Feature {
    Feature {
        column: "x".into(),
        dtype: DataType::Float64,
        encoding: Encoding::Numeric { scaling },
        fill: fill.map(Filling::Number),
        indicator,
    }
}

fn one_hot(dtype: DataType, categories: &[&str], unknown: Unknown, fill: Option<&str>) -> Feature {
    let categories = categories.iter().map(|c| (*c).to_owned()).collect();
    Feature {
        column: "x".into(),
        dtype,
        encoding: Encoding::OneHot { categories, unknown },
        fill: fill.map(|text| Filling::Text(text.to_owned())),
        indicator: false,
    }
}

/// Every case.
pub fn cases() -> Vec<Case> {
    use DataType as T;
    use Raw::{Boolean, Float64, Int64, Null, Text};
    use Unknown::{Ignore, Refuse};
    let scaling = Some(Scaling { mean: 4.0, scale: 2.0 });
    let marked = |feature: Feature| Feature { indicator: true, ..feature };
    vec![
        case(
            "numbers stay what they are, and what is none is refused",
            T::Float64,
            numeric(None, None, false),
            [
                (Float64(1.5), Some(&[1.5][..])),
                (Float64(-0.0), Some(&[0.0])),
                (Float64(1e300), Some(&[1e300])),
                (Null, None),
                (Float64(f64::NAN), None),
                (Float64(f64::INFINITY), None),
                (Float64(f64::NEG_INFINITY), None),
            ],
        ),
        case(
            "what is missing is filled, then scaled, and marked",
            T::Float64,
            numeric(scaling, Some(8.0), true),
            [
                (Float64(4.0), Some(&[0.0, 0.0][..])),
                (Float64(5.0), Some(&[0.5, 0.0])),
                (Null, Some(&[2.0, 1.0])),
                (Float64(f64::NAN), Some(&[2.0, 1.0])),
                (Float64(f64::INFINITY), None),
            ],
        ),
        case(
            "whole numbers pass for numbers",
            T::Int64,
            numeric(scaling, None, false),
            [(Int64(6), Some(&[1.0][..])), (Int64(-2), Some(&[-3.0])), (Null, None)],
        ),
        case(
            "truth is a number, too",
            T::Boolean,
            numeric(None, Some(0.5), false),
            [(Boolean(true), Some(&[1.0][..])), (Boolean(false), Some(&[0.0])), (Null, Some(&[0.5]))],
        ),
        case(
            "a category that training did not see is none of them",
            T::String,
            marked(one_hot(T::String, &["", "Oslo", "Rome"], Ignore, Some("Oslo"))),
            [
                (Text("Rome"), Some(&[0.0, 0.0, 1.0, 0.0][..])),
                (Text("rome"), Some(&[0.0, 0.0, 0.0, 0.0])),
                (Text(" Rome"), Some(&[0.0, 0.0, 0.0, 0.0])),
                (Null, Some(&[0.0, 1.0, 0.0, 1.0])),
            ],
        ),
        case(
            "or its row is refused",
            T::String,
            one_hot(T::String, &["Oslo", "Rome"], Refuse, None),
            [(Text("Oslo"), Some(&[1.0, 0.0][..])), (Text("Ulm"), None), (Null, None)],
        ),
        case(
            "what stands in for a missing value need not be a category",
            T::String,
            one_hot(T::String, &["Oslo"], Ignore, Some("Ulm")),
            [(Null, Some(&[0.0][..])), (Text("Oslo"), Some(&[1.0]))],
        ),
        case(
            "whole numbers as categories",
            T::Int64,
            one_hot(T::Int64, &["-1", "2", "10"], Ignore, None),
            [
                (Int64(2), Some(&[0.0, 1.0, 0.0][..])),
                (Int64(-1), Some(&[1.0, 0.0, 0.0])),
                (Int64(1), Some(&[0.0, 0.0, 0.0])),
                (Null, None),
            ],
        ),
        case(
            "numbers as categories",
            T::Float64,
            one_hot(T::Float64, &["0.0", "0.5", "2.0"], Ignore, None),
            [
                (Float64(2.0), Some(&[0.0, 0.0, 1.0][..])),
                (Float64(0.5), Some(&[0.0, 1.0, 0.0])),
                (Float64(0.0), Some(&[1.0, 0.0, 0.0])),
                (Float64(f64::NAN), None),
                (Null, None),
            ],
        ),
        case(
            "truth as a category",
            T::Boolean,
            one_hot(T::Boolean, &["false", "true"], Ignore, None),
            [(Boolean(true), Some(&[0.0, 1.0][..])), (Boolean(false), Some(&[1.0, 0.0])), (Null, None)],
        ),
        case(
            "days as categories",
            T::Date,
            one_hot(T::Date, &["1969-12-31", "2024-02-29"], Ignore, None),
            [
                (Text("2024-02-29"), Some(&[0.0, 1.0][..])),
                (Text("1969-12-31"), Some(&[1.0, 0.0])),
                (Text("2024-03-01"), Some(&[0.0, 0.0])),
            ],
        ),
        case(
            "points in time as categories",
            T::DATETIME,
            one_hot(T::DATETIME, &["2024-02-29 12:30:00.000000", "2024-02-29 12:30:00.500000"], Ignore, None),
            [
                (Text("2024-02-29 12:30:00"), Some(&[1.0, 0.0][..])),
                (Text("2024-02-29 12:30:00.500"), Some(&[0.0, 1.0])),
                (Text("2024-02-29 12:30:01"), Some(&[0.0, 0.0])),
            ],
        ),
    ]
}
