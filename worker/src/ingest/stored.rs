//! Brings the columns of Parquet and Arrow files to the types that are stored.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray, TimestampNanosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType as ArrowType, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use shardmill_common::failure::Failure;
use shardmill_common::schema::DataType;

/// Whether there is a stored type for this one. `wanted` is the schema's type where the user fixed it.
pub(super) fn is_stored(dtype: &ArrowType, wanted: Option<DataType>) -> bool {
    match dtype {
        ArrowType::Null
        | ArrowType::Boolean
        | ArrowType::Date32
        | ArrowType::Date64
        | ArrowType::Timestamp(..)
        | ArrowType::Utf8
        | ArrowType::LargeUtf8
        | ArrowType::Utf8View => true,
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView => wanted == Some(DataType::String),
        ArrowType::Dictionary(_, values) => is_stored(values, wanted),
        other => other.is_integer() || other.is_floating(),
    }
}

pub(super) fn not_stored(source: &str, name: &str, dtype: &str) -> Failure {
    Failure::bad_input(format!(
        "{source}: column `{name}` has the type {dtype}, which Shardmill does not store; \
         write it as int64, float64, boolean, date, datetime or string, or leave it out (--drop '{name}')"
    ))
}

/// The column in the stored type that holds its values.
pub(super) fn stored(
    array: &ArrayRef,
    name: &str,
    source: &str,
    wanted: Option<DataType>,
) -> Result<ArrayRef, Failure> {
    let cast = |array: &ArrayRef, dtype: &ArrowType| {
        cast_with_options(array, dtype, &CastOptions { safe: false, ..CastOptions::default() })
    };
    let refuse = |why: &dyn std::fmt::Display| Failure::bad_input(format!("{source}: column `{name}` {why}"));
    let unreadable = |e: arrow::error::ArrowError| refuse(&format!("cannot be read: {e}"));
    match array.data_type() {
        ArrowType::Null
        | ArrowType::Boolean
        | ArrowType::Int64
        | ArrowType::Float64
        | ArrowType::Date32
        | ArrowType::Utf8View => Ok(array.clone()),
        ArrowType::Dictionary(_, values) => {
            let plain = cast(array, values).map_err(unreadable)?;
            stored(&plain, name, source, wanted)
        }
        ArrowType::UInt64 => cast(array, &ArrowType::Int64)
            .map_err(|_| refuse(&"has a value beyond the range of int64; write it as text")),
        dtype if dtype.is_integer() => cast(array, &ArrowType::Int64).map_err(unreadable),
        dtype if dtype.is_floating() => cast(array, &ArrowType::Float64).map_err(unreadable),
        ArrowType::Utf8 | ArrowType::LargeUtf8 => cast(array, &ArrowType::Utf8View).map_err(unreadable),
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView if wanted == Some(DataType::String) => {
            let text = cast(array, &ArrowType::LargeUtf8).map_err(unreadable)?;
            cast(&text, &ArrowType::Utf8View).map_err(unreadable)
        }
        // Milliseconds, which need not be whole days.
        ArrowType::Date64 => {
            let millis =
                array.as_primitive::<arrow::datatypes::Date64Type>().reinterpret_cast::<TimestampMillisecondType>();
            in_micros(&(Arc::new(millis) as ArrayRef), TimeUnit::Millisecond).map_err(|why| refuse(&why))
        }
        ArrowType::Timestamp(unit, zone) => {
            let micros = in_micros(array, *unit).map_err(|why| refuse(&why))?;
            let micros = micros.as_primitive::<TimestampMicrosecondType>().clone();
            Ok(Arc::new(if zone.is_some() { micros.with_timezone("UTC") } else { micros }))
        }
        other => Err(not_stored(source, name, &other.to_string().to_lowercase())),
    }
}

/// Timestamps as microseconds by the same clock, or why they cannot be.
fn in_micros(array: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef, &'static str> {
    const RANGE: &str = "has a time that is out of range";
    let scaled = |ticks: &arrow::array::PrimitiveArray<Int64Type>, by: i64| -> Result<ArrayRef, &'static str> {
        let micros = ticks.try_unary::<_, Int64Type, &'static str>(|t| t.checked_mul(by).ok_or(RANGE))?;
        Ok(Arc::new(micros.reinterpret_cast::<TimestampMicrosecondType>()))
    };
    match unit {
        TimeUnit::Second => scaled(&array.as_primitive::<TimestampSecondType>().reinterpret_cast(), 1_000_000),
        TimeUnit::Millisecond => scaled(&array.as_primitive::<TimestampMillisecondType>().reinterpret_cast(), 1000),
        TimeUnit::Microsecond => {
            let micros: TimestampMicrosecondArray = array.as_primitive::<TimestampMicrosecondType>().clone();
            Ok(Arc::new(micros.with_timezone_opt::<Arc<str>>(None)))
        }
        TimeUnit::Nanosecond => {
            const NANOS: &str =
                "has times with nanoseconds, of which datetime keeps only microseconds; round them first";
            let nanos: &TimestampNanosecondArray = array.as_primitive::<TimestampNanosecondType>();
            let micros = nanos.try_unary::<_, TimestampMicrosecondType, &'static str>(|t| {
                if t % 1000 == 0 { Ok(t / 1000) } else { Err(NANOS) }
            })?;
            Ok(Arc::new(micros))
        }
    }
}
