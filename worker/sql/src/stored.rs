//! The types that tables are stored in, in the engine's terms: what a statement sees, and what may come out of it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType as ArrowType, Decimal128Type, Field as ArrowField, Schema as ArrowSchema, SchemaRef, TimeUnit,
    TimestampNanosecondType,
};
use arrow::error::ArrowError;
use shardmill_common::schema::{DataType, MAX_DIGITS, Schema, Unit};

const fn time_unit(unit: Unit) -> TimeUnit {
    match unit {
        Unit::Micro => TimeUnit::Microsecond,
        Unit::Nano => TimeUnit::Nanosecond,
    }
}

/// The engine's type for one of ours.
pub fn arrow_type(dtype: DataType) -> ArrowType {
    match dtype {
        DataType::Null => ArrowType::Null,
        DataType::Boolean => ArrowType::Boolean,
        DataType::Int64 => ArrowType::Int64,
        DataType::Float64 => ArrowType::Float64,
        DataType::Date => ArrowType::Date32,
        DataType::Decimal { precision, scale } => {
            ArrowType::Decimal128(precision, i8::try_from(scale).unwrap_or(i8::MAX))
        }
        DataType::Time => ArrowType::Time64(TimeUnit::Nanosecond),
        DataType::Datetime(unit) => ArrowType::Timestamp(time_unit(unit), None),
        DataType::DatetimeUtc(unit) => ArrowType::Timestamp(time_unit(unit), Some("UTC".into())),
        DataType::Duration => ArrowType::Duration(TimeUnit::Nanosecond),
        DataType::Binary => ArrowType::BinaryView,
        DataType::String => ArrowType::Utf8View,
    }
}

/// A table's columns as the engine sees them. Any may hold nulls.
pub fn arrow_schema(schema: &Schema) -> SchemaRef {
    let field = |f: &shardmill_common::schema::Field| ArrowField::new(&f.name, arrow_type(f.dtype), true);
    Arc::new(ArrowSchema::new(schema.fields.iter().map(field).collect::<Vec<_>>()))
}

/// Our type for what a statement puts out; `None` if it is not stored.
pub fn stored_type(dtype: &ArrowType) -> Option<DataType> {
    Some(match dtype {
        ArrowType::Null | ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => DataType::String,
        ArrowType::Boolean => DataType::Boolean,
        dtype if dtype.is_integer() => DataType::Int64,
        ArrowType::Float16 | ArrowType::Float32 | ArrowType::Float64 => DataType::Float64,
        ArrowType::Decimal32(precision, scale)
        | ArrowType::Decimal64(precision, scale)
        | ArrowType::Decimal128(precision, scale)
        | ArrowType::Decimal256(precision, scale)
            if (0..=MAX_DIGITS as i8).contains(scale) =>
        {
            DataType::Decimal { precision: (*precision).min(MAX_DIGITS), scale: *scale as u8 }
        }
        ArrowType::Date32 | ArrowType::Date64 => DataType::Date,
        ArrowType::Timestamp(TimeUnit::Nanosecond, None) => DataType::Datetime(Unit::Nano),
        ArrowType::Timestamp(TimeUnit::Nanosecond, Some(_)) => DataType::DatetimeUtc(Unit::Nano),
        ArrowType::Timestamp(_, None) => DataType::DATETIME,
        ArrowType::Timestamp(_, Some(_)) => DataType::DATETIME_UTC,
        ArrowType::Time32(_) | ArrowType::Time64(_) => DataType::Time,
        ArrowType::Duration(_) => DataType::Duration,
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        ArrowType::Dictionary(_, values) => stored_type(values)?,
        _ => return None,
    })
}

/// What to do about a column of a type that is not stored.
pub fn advice(dtype: &ArrowType) -> &'static str {
    match dtype {
        ArrowType::List(_)
        | ArrowType::LargeList(_)
        | ArrowType::FixedSizeList(..)
        | ArrowType::ListView(_)
        | ArrowType::LargeListView(_) => "unfold it with UNNEST, or join it with ARRAY_TO_STRING(…, ',')",
        ArrowType::Decimal128(..) | ArrowType::Decimal256(..) => "CAST it to DOUBLE, BIGINT or VARCHAR",
        ArrowType::Interval(_) | ArrowType::Duration(_) => {
            "take a number out of it with EXTRACT or DATE_PART, or count with DATE_DIFF"
        }
        _ => "CAST it to BIGINT, DOUBLE, BOOLEAN, DATE, TIMESTAMP or VARCHAR",
    }
}

/// The rows of a batch with its columns in these types; the error names a column with a value that does not fit.
pub fn to_stored(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| column_as(column, field)).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

fn column_as(column: &ArrayRef, field: &ArrowField) -> Result<ArrayRef, ArrowError> {
    let wanted = field.data_type();
    if column.data_type() == wanted {
        // Arithmetic of decimals may leave the digits that their type has.
        if let ArrowType::Decimal128(precision, _) = wanted {
            column.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision)?;
        }
        return Ok(column.clone());
    }
    let unfit = |what: &str| ArrowError::CastError(format!("the column `{}` holds {what}", field.name()));
    if let (ArrowType::Timestamp(TimeUnit::Nanosecond, _), ArrowType::Timestamp(TimeUnit::Microsecond, _)) =
        (column.data_type(), wanted)
    {
        let whole = column.as_primitive::<TimestampNanosecondType>().iter().flatten().all(|ns| ns % 1000 == 0);
        if !whole {
            return Err(unfit(
                "times finer than a microsecond, which is what is stored: use DATE_TRUNC('microsecond', …)",
            ));
        }
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, wanted, &strict)
        .map_err(|e| unfit(&format!("a value that does not become {wanted}: {e}; CAST it to a type that does")))
}
