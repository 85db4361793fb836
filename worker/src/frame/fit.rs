//! Brings columns of one stored type to another, and tells which values do not fit.

use polars::prelude::{
    BinaryChunked, BooleanChunked, ChunkAgg, Column, Float64Chunked, Int64Chunked, Int128Chunked, IntoColumn,
    IntoSeries, PolarsResult, Series,
};
use shardmill_common::failure::Failure;
use shardmill_common::rules::in_unit;
use shardmill_common::schema::{DataType, Unit};
use shardmill_common::text::{
    FLOAT_DIGITS, decimal_float, decimal_of_float, is_beyond_float, parse_boolean, parse_date, parse_datetime,
    parse_datetime_utc, parse_decimal, parse_duration, parse_float64, parse_float64_exact, parse_hex, parse_int64,
    parse_time, rescale,
};

use super::{of_physical, our_type, polars_type, texts_of, value_text};

/// A column of the wanted type, null in the rows whose values do not fit it.
pub struct Fitted {
    pub column: Column,
    pub misfits: Vec<usize>,
}

/// Brings a column to another type; `None` where values of the one are never values of the other. `rounds`: a number may become
/// the nearest float, even if that has fewer digits.
pub fn fit(column: &Column, to: DataType, rounds: bool) -> Result<Option<Fitted>, Failure> {
    fitted(column, to, rounds).map_err(|e| {
        Failure::internal(format!("column `{}` of type {} cannot become {to}: {e}", column.name(), column.dtype()))
    })
}

/// Brings a column to a wider type of the lattice, without loss or not at all.
pub fn widen(column: &Column, to: DataType) -> Result<Column, Failure> {
    let unfit = |what: String| {
        let (name, to) = (column.name(), to.with_article());
        Failure::bad_input(format!("column `{name}` holds {what}, which {to} cannot hold: write it as string"))
    };
    let Some(Fitted { column: widened, misfits }) = fit(column, to, false)? else {
        return Err(unfit(format!("values of the type {}", column.dtype())));
    };
    match misfits.first() {
        None => Ok(widened),
        Some(row) => Err(unfit(value_text(column, *row))),
    }
}

/// Whether a value of a column has more digits than a float tells apart.
pub fn loses_digits(column: &Column) -> bool {
    let physical = column.as_materialized_series().to_physical_repr();
    match our_type(column.dtype()) {
        Some(DataType::Int64) => physical.i64().is_ok_and(|values| {
            values.min_max().is_some_and(|(low, high)| is_beyond_float(low) || is_beyond_float(high))
        }),
        Some(DataType::Decimal { precision, scale }) if u32::from(precision) > FLOAT_DIGITS => {
            physical.i128().is_ok_and(|values| values.iter().flatten().any(|units| !decimal_float(units, scale).1))
        }
        _ => false,
    }
}

fn fitted(column: &Column, to: DataType, rounds: bool) -> PolarsResult<Option<Fitted>> {
    use DataType::{Date, Datetime, DatetimeUtc, Decimal, Float64, Int64, Null, String};
    let from = our_type(column.dtype()).unwrap_or(String);
    let (name, height) = (column.name().clone(), column.len());
    let whole = |column| Ok(Some(Fitted { column, misfits: Vec::new() }));
    let physical = column.as_materialized_series().to_physical_repr();
    let (values, misfits) = match (from, to) {
        (a, b) if a == b => return whole(column.clone()),
        (Null, _) => return whole(Column::full_null(name, height, &polars_type(to))),
        _ if column.null_count() == height => return whole(Column::full_null(name, height, &polars_type(to))),
        (_, String) => return whole(texts_of(column)?),
        (String, _) => return from_text(column, to, rounds).map(Some),
        (Int64, Float64) => {
            each(physical.i64()?.iter(), |n| (rounds || !is_beyond_float(n)).then_some(n as f64)).floats()
        }
        (Decimal { scale, .. }, Float64) => {
            let float = |units| match decimal_float(units, scale) {
                (float, kept) if kept || rounds => Some(float),
                _ => None,
            };
            each(physical.i128()?.iter(), float).floats()
        }
        (Int64, Decimal { precision, scale }) => {
            each(physical.i64()?.iter(), |n| in_scale(n.into(), 0, precision, scale)).wide()
        }
        (Decimal { scale: from, .. }, Decimal { precision, scale }) => {
            each(physical.i128()?.iter(), |n| in_scale(n, from, precision, scale)).wide()
        }
        (Float64, Decimal { precision, scale }) => {
            each(physical.f64()?.iter(), |x| decimal_of_float(x, precision, scale)).wide()
        }
        (Decimal { scale, .. }, Int64) => {
            each(physical.i128()?.iter(), |n| rescale(n, scale, 0).and_then(|n| i64::try_from(n).ok())).ints()
        }
        // Whole floats below 2^63 are integers exactly.
        (Float64, Int64) => {
            each(physical.f64()?.iter(), |x| (x.fract() == 0.0 && x.abs() < 9.2e18).then_some(x as i64)).ints()
        }
        (Date, Datetime(unit)) => each(physical.i32()?.iter(), |day| i64::from(day).checked_mul(unit.per_day())).ints(),
        (Datetime(unit), Date) => each(physical.i64()?.iter(), |n| whole_days(n, unit)).ints(),
        (Datetime(from), Datetime(to)) | (DatetimeUtc(from), DatetimeUtc(to)) => {
            each(physical.i64()?.iter(), |n| in_unit(n, from, to)).ints()
        }
        _ => return Ok(None),
    };
    finish(column, &values, to, misfits).map(Some)
}

fn in_scale(units: i128, from: u8, precision: u8, scale: u8) -> Option<i128> {
    let most = 10_u128.pow(u32::from(precision));
    rescale(units, from, scale).filter(|n| n.unsigned_abs() < most)
}

fn whole_days(ticks: i64, unit: Unit) -> Option<i64> {
    (ticks.rem_euclid(unit.per_day()) == 0).then(|| ticks.div_euclid(unit.per_day()))
}

fn from_text(column: &Column, to: DataType, rounds: bool) -> PolarsResult<Fitted> {
    let cells = column.str()?;
    let ints = |parse: &dyn Fn(&[u8]) -> Option<i64>| each(cells.iter(), |c| parse(c.as_bytes())).ints();
    let (values, misfits) = match to {
        DataType::Int64 => ints(&parse_int64),
        DataType::Date => ints(&|cell| parse_date(cell).map(i64::from)),
        DataType::Time => ints(&parse_time),
        DataType::Datetime(unit) => ints(&|cell| parse_datetime(cell, unit)),
        DataType::DatetimeUtc(unit) => ints(&|cell| parse_datetime_utc(cell, unit)),
        DataType::Duration => ints(&parse_duration),
        DataType::Boolean => {
            let Each { values, misfits } = each(cells.iter(), |c| parse_boolean(c.as_bytes()));
            (BooleanChunked::from_iter(values).into_series(), misfits)
        }
        DataType::Float64 if rounds => each(cells.iter(), |c| parse_float64(c.as_bytes())).floats(),
        DataType::Float64 => each(cells.iter(), |c| parse_float64_exact(c.as_bytes())).floats(),
        DataType::Decimal { precision, scale } => {
            each(cells.iter(), |c| parse_decimal(c.as_bytes(), precision, scale)).wide()
        }
        DataType::Binary => {
            let Each { values, misfits } = each(cells.iter(), |c| parse_hex(c.as_bytes()));
            (BinaryChunked::from_iter(values).into_series(), misfits)
        }
        DataType::String | DataType::Null => (column.as_materialized_series().clone(), Vec::new()),
    };
    finish(column, &values, to, misfits)
}

/// The values that fit, and the rows of those that do not.
struct Each<T> {
    values: Vec<Option<T>>,
    misfits: Vec<usize>,
}

fn each<T, U>(values: impl Iterator<Item = Option<T>>, fit: impl Fn(T) -> Option<U>) -> Each<U> {
    let mut misfits = Vec::new();
    let fitted = values.enumerate().map(|(row, value)| {
        let value = fit(value?);
        if value.is_none() {
            misfits.push(row);
        }
        value
    });
    let values = fitted.collect();
    Each { values, misfits }
}

impl Each<i64> {
    fn ints(self) -> (Series, Vec<usize>) {
        (Int64Chunked::from_iter(self.values).into_series(), self.misfits)
    }
}

impl Each<i128> {
    fn wide(self) -> (Series, Vec<usize>) {
        (Int128Chunked::from_iter(self.values).into_series(), self.misfits)
    }
}

impl Each<f64> {
    fn floats(self) -> (Series, Vec<usize>) {
        (Float64Chunked::from_iter(self.values).into_series(), self.misfits)
    }
}

/// Gives physical values their name and type.
fn finish(like: &Column, values: &Series, to: DataType, misfits: Vec<usize>) -> PolarsResult<Fitted> {
    let column = of_physical(values, to)?.with_name(like.name().clone()).into_column();
    Ok(Fitted { column, misfits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::NamedFrom;

    fn typed(column: Column, dtype: &str) -> Column {
        let Fitted { column, misfits } = fit(&column, dtype.parse().unwrap(), false).unwrap().unwrap();
        assert!(misfits.is_empty(), "{misfits:?}");
        column
    }

    fn shown(column: &Column, to: &str) -> Vec<String> {
        let Some(fitted) = fit(column, to.parse().unwrap(), false).unwrap() else { return vec!["never".into()] };
        assert_eq!(our_type(fitted.column.dtype()).unwrap().to_string(), to);
        let cell =
            |row| if fitted.misfits.contains(&row) { "misfit".to_owned() } else { value_text(&fitted.column, row) };
        (0..column.len()).map(cell).collect()
    }

    fn texts(values: &[Option<&str>]) -> Column {
        Series::new("x".into(), values).into_column()
    }

    #[test]
    fn decimals_meet_other_numbers_without_loss() {
        let prices = typed(texts(&[Some("1.50"), Some("-0.05"), None]), "decimal(10,2)");
        assert_eq!(shown(&prices, "decimal(12,4)"), ["1.5000", "-0.0500", ""]);
        assert_eq!(shown(&prices, "decimal(3,1)"), ["1.5", "misfit", ""]);
        assert_eq!(shown(&prices, "float64"), ["1.5", "-0.05", ""]);
        assert_eq!(shown(&prices, "string"), ["1.50", "-0.05", ""]);
        assert_eq!(shown(&prices, "int64"), ["misfit", "misfit", ""]);
        assert_eq!(shown(&prices, "date"), ["never"]);
        let long = typed(texts(&[Some("12345678901234567.89"), Some("1")]), "decimal(19,2)");
        assert!(loses_digits(&long) && !loses_digits(&prices));
        assert_eq!(shown(&long, "float64"), ["misfit", "1.0"]);
        assert_eq!(fit(&long, DataType::Float64, true).unwrap().unwrap().misfits.len(), 0);
        let error = widen(&long, DataType::Float64).unwrap_err().to_string();
        assert!(error.contains("column `x` holds 12345678901234567.89, which a float64 cannot hold"), "{error}");
        let ints = Series::new("x".into(), [5i64, 9_007_199_254_740_993]).into_column();
        assert_eq!(shown(&ints, "decimal(21,2)"), ["5.00", "9007199254740993.00"]);
        assert_eq!(shown(&ints, "float64"), ["5.0", "misfit"]);
        let floats = Series::new("x".into(), [0.1, 0.125, 1e20, f64::NAN]).into_column();
        assert_eq!(shown(&floats, "decimal(10,2)"), ["0.10", "misfit", "misfit", "misfit"]);
        assert_eq!(shown(&floats, "int64"), ["misfit", "misfit", "misfit", "misfit"]);
    }

    #[test]
    fn times_change_their_unit_where_they_can() {
        let micros = typed(texts(&[Some("2024-01-05 10:00"), Some("9999-12-31"), None]), "datetime");
        assert_eq!(shown(&micros, "datetime_ns"), ["2024-01-05 10:00:00", "misfit", ""]);
        assert_eq!(shown(&micros, "date"), ["misfit", "9999-12-31", ""]);
        assert_eq!(shown(&micros, "datetime_utc"), ["never"]);
        let nanos = typed(texts(&[Some("2024-01-05 10:00:00.123456789"), Some("2024-01-05")]), "datetime_ns");
        assert_eq!(shown(&nanos, "datetime"), ["misfit", "2024-01-05 00:00:00"]);
        assert_eq!(shown(&typed(texts(&[Some("2024-01-05")]), "date"), "datetime_ns"), ["2024-01-05 00:00:00"]);
    }

    #[test]
    fn texts_become_values_that_come_back() {
        for (text, dtype) in [
            ("true", "boolean"),
            ("10:00:01.5", "time"),
            ("PT1.5S", "duration"),
            ("00ff", "binary"),
            ("2024-01-05T10:00:00+02:00", "datetime_utc"),
        ] {
            let column = typed(texts(&[Some(text), None]), dtype);
            let back = typed(widen(&column, DataType::String).unwrap(), dtype);
            assert!(back.get(0).unwrap() == column.get(0).unwrap(), "{text}");
            assert_eq!(shown(&texts(&[Some("nothing of the kind")]), dtype), ["misfit"]);
        }
        assert_eq!(shown(&typed(texts(&[Some("true")]), "boolean"), "int64"), ["never"]);
    }
}
