//! Brings the columns of Parquet and Arrow files to the types that are stored.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringViewBuilder};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType as ArrowType, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, FieldRef, Int64Type, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
};
use arrow::error::ArrowError;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::ingest::BytesAs;
use shardmill_common::schema::MAX_DIGITS;
use shardmill_common::text::write_hex;

use super::nested;

const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// Whether there is a stored type for this one.
pub(super) fn is_stored(dtype: &ArrowType) -> bool {
    match dtype {
        ArrowType::Dictionary(_, values) => is_stored(values),
        ArrowType::RunEndEncoded(_, values) => is_stored(values.data_type()),
        ArrowType::Interval(_) | ArrowType::Union(..) => false,
        _ => true,
    }
}

pub(super) fn not_stored(source: &str, name: &str, dtype: &str) -> Failure {
    Failure::bad_input(format!(
        "{source}: column `{name}` has the type {dtype}, which Shardmill does not store; \
         write it as another one, or leave it out (--drop '{name}')"
    ))
}

/// A column of a file on its way into the store.
pub(super) struct Incoming<'a> {
    pub(super) field: &'a FieldRef,
    pub(super) source: &'a str,
    pub(super) bytes: BytesAs,
}

impl Incoming<'_> {
    fn refuse(&self, why: &dyn std::fmt::Display) -> Failure {
        Failure::bad_input(format!("{}: column `{}` {why}", self.source, self.field.name()))
    }

    fn unreadable(&self, error: &ArrowError) -> Failure {
        self.refuse(&format!("cannot be read: {error}"))
    }

    fn cast(&self, array: &ArrayRef, dtype: &ArrowType) -> Result<ArrayRef, Failure> {
        strict(array, dtype).map_err(|e| self.unreadable(&e))
    }

    /// The pieces of the column in the one stored type that holds all their values.
    pub(super) fn stored(&self, pieces: Vec<ArrayRef>) -> Result<Vec<ArrayRef>, Failure> {
        self.stored_as(pieces, self.field.data_type())
    }

    fn stored_as(&self, pieces: Vec<ArrayRef>, dtype: &ArrowType) -> Result<Vec<ArrayRef>, Failure> {
        let all_to = |to: &ArrowType| pieces.iter().map(|piece| self.cast(piece, to)).collect();
        let each = |make: &dyn Fn(&ArrayRef) -> Result<ArrayRef, Failure>| pieces.iter().map(make).collect();
        match dtype {
            ArrowType::Null
            | ArrowType::Boolean
            | ArrowType::Int64
            | ArrowType::Float64
            | ArrowType::Date32
            | ArrowType::Utf8View => Ok(pieces),
            ArrowType::Dictionary(_, values) => {
                let plain = pieces.iter().map(|piece| self.cast(piece, values)).collect::<Result<_, _>>()?;
                self.stored_as(plain, values)
            }
            ArrowType::RunEndEncoded(_, values) => {
                let values = values.data_type();
                let plain = pieces.iter().map(|piece| self.cast(piece, values)).collect::<Result<_, _>>()?;
                self.stored_as(plain, values)
            }
            ArrowType::UInt64 => {
                let fits = |piece: &ArrayRef| {
                    piece.as_primitive::<UInt64Type>().iter().flatten().all(|n| i64::try_from(n).is_ok())
                };
                all_to(&if pieces.iter().all(fits) { ArrowType::Int64 } else { ArrowType::Decimal128(20, 0) })
            }
            dtype if dtype.is_integer() => all_to(&ArrowType::Int64),
            dtype if dtype.is_floating() => all_to(&ArrowType::Float64),
            ArrowType::Utf8 | ArrowType::LargeUtf8 => all_to(&ArrowType::Utf8View),
            ArrowType::Decimal32(precision, scale)
            | ArrowType::Decimal64(precision, scale)
            | ArrowType::Decimal128(precision, scale)
            | ArrowType::Decimal256(precision, scale) => self.decimals(&pieces, *precision, *scale),
            // Milliseconds, which need not be whole days.
            ArrowType::Date64 => each(&|piece| {
                let millis = piece.as_primitive::<arrow::datatypes::Date64Type>();
                self.micros(&(Arc::new(millis.reinterpret_cast::<TimestampMillisecondType>()) as ArrayRef), false)
            }),
            ArrowType::Timestamp(unit, zone) => {
                if *unit == TimeUnit::Nanosecond && !pieces.iter().all(whole_micros) {
                    return each(&|piece| {
                        let nanos = piece.as_primitive::<TimestampNanosecondType>().clone();
                        Ok(Arc::new(nanos.with_timezone_opt(zone.is_some().then_some("UTC"))))
                    });
                }
                each(&|piece| self.micros(piece, zone.is_some()))
            }
            ArrowType::Time32(_) | ArrowType::Time64(_) => each(&|piece| self.times(piece)),
            ArrowType::Duration(_) => each(&|piece| self.durations(piece)),
            ArrowType::FixedSizeBinary(16) if self.is_uuid() => each(&|piece| self.uuids(piece)),
            ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => {
                each(&|piece| self.bytes(piece))
            }
            ArrowType::List(_)
            | ArrowType::LargeList(_)
            | ArrowType::FixedSizeList(..)
            | ArrowType::ListView(_)
            | ArrowType::LargeListView(_)
            | ArrowType::Struct(_)
            | ArrowType::Map(..) => each(&|piece| nested::json(self.field, piece).map_err(|e| self.unreadable(&e))),
            other => Err(not_stored(self.source, self.field.name(), &other.to_string().to_lowercase())),
        }
    }

    fn is_uuid(&self) -> bool {
        self.field.extension_type_name() == Some("arrow.uuid")
    }

    /// Decimals in as many digits as they have; as text, where those are more than 38.
    fn decimals(&self, pieces: &[ArrayRef], precision: u8, scale: i8) -> Result<Vec<ArrayRef>, Failure> {
        // Units of tens and hundreds are written out.
        let whole = i16::from(precision) - i16::from(scale).min(0);
        let scale = scale.max(0);
        let fitting = ArrowType::Decimal128(u8::try_from(whole).unwrap_or(u8::MAX).min(MAX_DIGITS), scale);
        let narrow = u8::try_from(scale).is_ok_and(|scale| scale <= MAX_DIGITS);
        if narrow && let Ok(all) = pieces.iter().map(|piece| strict(piece, &fitting)).collect() {
            return Ok(all);
        }
        pieces.iter().map(|piece| self.cast(piece, &ArrowType::Utf8View)).collect()
    }

    /// Timestamps as microseconds by the same clock.
    fn micros(&self, array: &ArrayRef, utc: bool) -> Result<ArrayRef, Failure> {
        let micros: PrimitiveArray<TimestampMicrosecondType> = match array.data_type() {
            ArrowType::Timestamp(TimeUnit::Second, _) => self.scaled::<TimestampSecondType, _>(array, 1_000_000)?,
            ArrowType::Timestamp(TimeUnit::Millisecond, _) => {
                self.scaled::<TimestampMillisecondType, _>(array, 1000)?
            }
            ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
                array.as_primitive::<TimestampNanosecondType>().unary(|nanos| nanos / 1000)
            }
            _ => array.as_primitive::<TimestampMicrosecondType>().clone(),
        };
        Ok(Arc::new(micros.with_timezone_opt(utc.then_some("UTC"))))
    }

    fn scaled<T, U>(&self, array: &ArrayRef, by: i64) -> Result<PrimitiveArray<U>, Failure>
    where
        T: ArrowPrimitiveType<Native = i64>,
        U: ArrowPrimitiveType<Native = i64>,
    {
        let ticks: PrimitiveArray<Int64Type> = array.as_primitive::<T>().reinterpret_cast();
        let scaled = ticks.try_unary::<_, Int64Type, _>(|t| {
            t.checked_mul(by).ok_or_else(|| self.refuse(&"has a time that is out of range"))
        })?;
        Ok(scaled.reinterpret_cast())
    }

    fn times(&self, array: &ArrayRef) -> Result<ArrayRef, Failure> {
        let nanos = self.cast(array, &ArrowType::Time64(TimeUnit::Nanosecond))?;
        let of_day = |n: i64| (0..NANOS_PER_DAY).contains(&n);
        if nanos.as_primitive::<Time64NanosecondType>().iter().flatten().all(of_day) {
            return Ok(nanos);
        }
        Err(self.refuse(&"has a time of day that is none: it is before 00:00 or after 24:00"))
    }

    fn durations(&self, array: &ArrayRef) -> Result<ArrayRef, Failure> {
        let nanos: PrimitiveArray<DurationNanosecondType> = match array.data_type() {
            ArrowType::Duration(TimeUnit::Second) => self.scaled::<DurationSecondType, _>(array, 1_000_000_000)?,
            ArrowType::Duration(TimeUnit::Millisecond) => {
                self.scaled::<DurationMillisecondType, _>(array, 1_000_000)?
            }
            ArrowType::Duration(TimeUnit::Microsecond) => self.scaled::<DurationMicrosecondType, _>(array, 1000)?,
            _ => array.as_primitive::<DurationNanosecondType>().clone(),
        };
        Ok(Arc::new(nanos))
    }

    fn bytes(&self, array: &ArrayRef) -> Result<ArrayRef, Failure> {
        let binary = self.cast(array, &ArrowType::Binary)?;
        match self.bytes {
            BytesAs::Binary => self.cast(&binary, &ArrowType::BinaryView),
            BytesAs::Text => {
                let text = strict(&binary, &ArrowType::Utf8View);
                text.map_err(|_| self.refuse(&"has bytes that are no UTF-8 text; --binary hex reads them as digits"))
            }
            BytesAs::Hex => texts(&binary, write_hex),
        }
    }

    fn uuids(&self, array: &ArrayRef) -> Result<ArrayRef, Failure> {
        let binary = self.cast(array, &ArrowType::Binary)?;
        texts(&binary, |bytes, out| {
            let mut digits = Vec::with_capacity(32);
            write_hex(bytes, &mut digits);
            for (at, digit) in digits.into_iter().enumerate() {
                if matches!(at, 8 | 12 | 16 | 20) {
                    out.push(b'-');
                }
                out.push(digit);
            }
        })
    }
}

/// A cast that fails where a value does not fit.
fn strict(array: &ArrayRef, dtype: &ArrowType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, dtype, &CastOptions { safe: false, ..CastOptions::default() })
}

fn whole_micros(piece: &ArrayRef) -> bool {
    piece.as_primitive::<TimestampNanosecondType>().iter().flatten().all(|nanos| nanos % 1000 == 0)
}

/// What `write`, which writes ASCII, makes of bytes.
fn texts(binary: &ArrayRef, write: impl Fn(&[u8], &mut Vec<u8>)) -> Result<ArrayRef, Failure> {
    let mut texts = StringViewBuilder::with_capacity(binary.len());
    let mut text = Vec::new();
    for bytes in binary.as_binary::<i32>() {
        text.clear();
        match bytes {
            Some(bytes) => {
                write(bytes, &mut text);
                texts.append_value(String::from_utf8_lossy(&text));
            }
            None => texts.append_null(),
        }
    }
    Ok(Arc::new(texts.finish()))
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
