//! Columns as text, written as exports write their values.

use polars::prelude::{Column, DataType as PolarsType, IntoColumn, PlSmallStr, PolarsResult, StringChunked};
use shardmill_common::text::{
    float_text, write_date, write_datetime, write_decimal, write_duration, write_hex, write_time,
};

use super::unit_of;

/// The values of a column as text. Text stays what it is.
pub fn texts_of(column: &Column) -> PolarsResult<Column> {
    let series = column.as_materialized_series();
    let name = column.name().clone();
    let physical = series.to_physical_repr();
    let ticks = |write: &dyn Fn(i64, &mut Vec<u8>)| -> PolarsResult<StringChunked> {
        Ok(written(name.clone(), physical.i64()?.iter(), write))
    };
    let text = match series.dtype() {
        PolarsType::String => return Ok(column.clone()),
        PolarsType::Boolean => {
            let word = |b: bool| if b { "true" } else { "false" };
            series.bool()?.iter().map(|b| b.map(word)).collect::<StringChunked>().with_name(name)
        }
        PolarsType::Float64 => {
            series.f64()?.iter().map(|x| x.map(float_text)).collect::<StringChunked>().with_name(name)
        }
        PolarsType::Decimal(_, scale) => {
            let scale = u8::try_from(*scale).unwrap_or(u8::MAX);
            written(name, physical.i128()?.iter(), |units, out| write_decimal(units, scale, out))
        }
        PolarsType::Date => written(name, physical.i32()?.iter(), |days, out| write_date(i64::from(days), out)),
        PolarsType::Time => ticks(&write_time)?,
        PolarsType::Duration(_) => ticks(&write_duration)?,
        PolarsType::Datetime(unit, zone) => {
            let (unit, utc) = (unit_of(*unit), zone.is_some());
            ticks(&|n, out| write_datetime(n, unit, utc, out))?
        }
        PolarsType::Binary => written(name, series.binary()?.iter(), write_hex),
        _ => return column.cast(&PolarsType::String),
    };
    Ok(text.into_column())
}

/// One value of a column as text; nothing, where there is none.
pub fn value_text(column: &Column, row: usize) -> String {
    let text = texts_of(&column.slice(i64::try_from(row).unwrap_or(i64::MAX), 1));
    text.ok().and_then(|text| Some(text.str().ok()?.get(0)?.to_owned())).unwrap_or_default()
}

/// Values as what `write` makes of them, which is UTF-8.
fn written<T>(
    name: PlSmallStr,
    values: impl Iterator<Item = Option<T>>,
    write: impl Fn(T, &mut Vec<u8>),
) -> StringChunked {
    let mut out = Vec::new();
    let text = values.map(|value| {
        out.clear();
        value.map(|value| {
            write(value, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        })
    });
    text.collect::<StringChunked>().with_name(name)
}

#[cfg(test)]
mod tests {
    use super::super::of_physical;
    use super::*;
    use polars::prelude::{NamedFrom, Series};

    #[test]
    fn every_type_is_written_as_exports_write_it() {
        let ints = Series::new("x".into(), [Some(1_500_000i64), None]);
        let shown = |dtype: &str| {
            let column = of_physical(&ints, dtype.parse().unwrap()).unwrap().into_column();
            texts_of(&column).unwrap().str().unwrap().iter().map(|t| t.unwrap_or("~").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(shown("int64"), ["1500000", "~"]);
        assert_eq!(shown("decimal(10,4)"), ["150.0000", "~"]);
        assert_eq!(shown("datetime"), ["1970-01-01 00:00:01.500000", "~"]);
        assert_eq!(shown("datetime_utc"), ["1970-01-01 00:00:01.500000Z", "~"]);
        assert_eq!(shown("datetime_ns"), ["1970-01-01 00:00:00.001500", "~"]);
        assert_eq!(shown("time"), ["00:00:00.001500", "~"]);
        assert_eq!(shown("duration"), ["PT0.001500S", "~"]);
        let bytes = Column::new("x".into(), [Some(&b"\x00\xff"[..]), None]);
        assert_eq!(texts_of(&bytes).unwrap().str().unwrap().get(0), Some("00ff"));
        assert_eq!(texts_of(&Column::new("x".into(), [true, false])).unwrap().str().unwrap().get(1), Some("false"));
        assert_eq!(texts_of(&Column::new("x".into(), [1.0])).unwrap().str().unwrap().get(0), Some("1.0"));
        let day = of_physical(&Series::new("x".into(), [19_753]), shardmill_common::schema::DataType::Date).unwrap();
        assert_eq!(texts_of(&day.into_column()).unwrap().str().unwrap().get(0), Some("2024-01-31"));
    }
}
