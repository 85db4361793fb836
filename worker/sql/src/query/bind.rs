//! Parameters of a statement: `?`, or `$1` and so on, in the places of values that are given when it runs.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType as ArrowType;
use arrow::util::display::array_value_to_string;
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Span, Token, Tokenizer};

use super::split::byte_at;
use crate::error::SqlError;
use crate::place::mark_span;

/// More than anybody writes.
const MOST: usize = 1000;

/// A place in a statement, and which value it is given, counted from 0.
struct Parameter {
    span: Span,
    value: usize,
}

fn all(statement: &str) -> Result<Vec<Parameter>, SqlError> {
    let mut tokens = Vec::new();
    // What is not SQL is told where the statement is looked at.
    let _ = Tokenizer::new(&GenericDialect {}, statement).tokenize_with_location_into_buf(&mut tokens);
    let (mut found, mut by_order, mut by_number) = (Vec::new(), false, false);
    for token in tokens {
        let Token::Placeholder(name) = &token.token else { continue };
        let refused = |what: &str| Err(SqlError::Refused(mark_span(what, statement, token.span)));
        let value = match name.strip_prefix('$') {
            None if name == "?" => {
                by_order = true;
                found.len()
            }
            Some(number) => {
                by_number = true;
                match number.parse::<usize>() {
                    Ok(number @ 1..=MOST) => number - 1,
                    _ => return refused(&format!("a parameter is written ? or $1 to ${MOST}, not {name}")),
                }
            }
            None => return refused(&format!("a parameter is written ? or $1, not {name}")),
        };
        if by_order && by_number {
            return refused("parameters are written either ? or with numbers, not both in one statement");
        }
        found.push(Parameter { span: token.span, value });
    }
    Ok(found)
}

/// How many values a statement is to be given.
pub fn parameters(statement: &str) -> Result<usize, SqlError> {
    Ok(all(statement)?.iter().map(|parameter| parameter.value + 1).max().unwrap_or(0))
}

/// The statement with values in the places of its parameters: those of the only row, in the order of its columns.
pub fn bind(statement: &str, values: &RecordBatch) -> Result<String, SqlError> {
    let (wanted, given) = (parameters(statement)?, values.num_columns());
    if wanted != given || values.num_rows() != 1 {
        let rows = values.num_rows();
        return Err(SqlError::Refused(format!(
            "the statement wants {wanted} values and was given {rows} rows of {given}"
        )));
    }
    let literals = values.columns().iter().enumerate().map(|(n, column)| literal(column, n));
    write_in(statement, &literals.collect::<Result<Vec<_>, _>>()?)
}

/// The statement with NULL for every parameter.
pub fn bind_nulls(statement: &str) -> Result<String, SqlError> {
    write_in(statement, &vec!["NULL".to_owned(); parameters(statement)?])
}

/// The statement with numbers for all of its parameters, from `$1` on.
pub(super) fn numbered(statement: &str) -> Result<String, SqlError> {
    let names = (1..=parameters(statement)?).map(|n| format!("${n}")).collect::<Vec<_>>();
    write_in(statement, &names)
}

fn write_in(statement: &str, literals: &[String]) -> Result<String, SqlError> {
    let mut written = String::with_capacity(statement.len());
    let mut from = 0;
    for parameter in all(statement)? {
        let places = byte_at(statement, parameter.span.start).zip(byte_at(statement, parameter.span.end));
        let (start, end) = places.ok_or_else(|| SqlError::Engine("a parameter has no place".to_owned()))?;
        written.push_str(statement.get(from..start).unwrap_or_default());
        written.push_str(literals.get(parameter.value).map_or("NULL", String::as_str));
        from = end;
    }
    written.push_str(statement.get(from..).unwrap_or_default());
    Ok(written)
}

/// A value as SQL writes it.
fn literal(column: &ArrayRef, number: usize) -> Result<String, SqlError> {
    if column.logical_null_count() > 0 {
        return Ok("NULL".to_owned());
    }
    if let ArrowType::Dictionary(..) = column.data_type() {
        let values = column.as_any_dictionary();
        let key = values.normalized_keys().first().copied().unwrap_or(0);
        return literal(&values.values().slice(key, 1), number);
    }
    let shown = array_value_to_string(column, 0).map_err(|e| SqlError::Engine(e.to_string()))?;
    let quoted = format!("'{}'", shown.replace('\'', "''"));
    let cast = |sql: &str| format!("CAST({quoted} AS {sql})");
    Ok(match column.data_type() {
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => quoted,
        ArrowType::Boolean => shown,
        // A sign would be an operator, and the smallest number has none without it.
        dtype if dtype.is_integer() => cast("BIGINT"),
        ArrowType::Float16 | ArrowType::Float32 | ArrowType::Float64 => cast("DOUBLE"),
        ArrowType::Decimal32(..) | ArrowType::Decimal64(..) | ArrowType::Decimal128(..) => cast("DOUBLE"),
        ArrowType::Date32 | ArrowType::Date64 => format!("CAST({} AS DATE)", day(&quoted)),
        ArrowType::Timestamp(_, None) => cast("TIMESTAMP"),
        ArrowType::Timestamp(_, Some(_)) => cast("TIMESTAMP WITH TIME ZONE"),
        other => {
            let number = number + 1;
            return Err(SqlError::Refused(format!(
                "value {number} is of type {other}, which statements are not given"
            )));
        }
    })
}

/// Without the time of day, which one of the two types of dates has.
fn day(quoted: &str) -> String {
    match quoted.split_once('T') {
        Some((day, _)) => format!("{day}'"),
        None => quoted.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Date32Array, Float64Array, Int8Array, Int64Array, NullArray, StringArray,
        TimestampMicrosecondArray,
    };

    use crate::testing::run;

    fn row<const N: usize>(values: [ArrayRef; N]) -> RecordBatch {
        let named = values.into_iter().enumerate().map(|(n, value)| (format!("p{n}"), value, true));
        RecordBatch::try_from_iter_with_nullable(named).unwrap()
    }

    #[test]
    fn values_come_back_as_they_were_given() {
        let given = row([
            Arc::new(Int64Array::from(vec![i64::MIN])),
            Arc::new(Int8Array::from(vec![-5])),
            Arc::new(Float64Array::from(vec![-1.5e-300])),
            Arc::new(Float64Array::from(vec![f64::NEG_INFINITY])),
            Arc::new(StringArray::from(vec!["it's ? \\ $1 -- é\n''"])),
            Arc::new(BooleanArray::from(vec![true])),
            Arc::new(Date32Array::from(vec![-1])),
            Arc::new(TimestampMicrosecondArray::from(vec![1_234_567_890_123_456])),
            Arc::new(TimestampMicrosecondArray::from(vec![1_234_567_890_123_456]).with_timezone("+02:00")),
            Arc::new(NullArray::new(1)),
        ]);
        let columns = (0..10).map(|n| format!("? AS c{n}")).collect::<Vec<_>>().join(", ");
        let statement = bind(&format!("SELECT {columns} FROM one"), &given).unwrap();
        let one = row([Arc::new(Int64Array::from(vec![1]))]);
        let made = run(&statement, &[("one", one)], 1 << 20).unwrap();
        let shown = |n: usize| array_value_to_string(made.column(n), 0).unwrap();
        let expected = [
            "-9223372036854775808",
            "-5",
            "-1.5e-300",
            "-inf",
            "it's ? \\ $1 -- é\n''",
            "true",
            "1969-12-31",
            "2009-02-13T23:31:30.123456",
            "2009-02-13T23:31:30.123456Z",
            "",
        ];
        assert_eq!((0..10).map(shown).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn parameters_are_found_where_they_are_and_not_in_quotes() {
        let one = |n: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![n])) };
        let of = "SELECT '?' AS \"$1\", $2 + $1 -- ?\nFROM t WHERE a > $2";
        assert_eq!(parameters(of).unwrap(), 2);
        let bound = bind(of, &row([one(7), one(8)])).unwrap();
        let eight = "CAST('8' AS BIGINT)";
        assert_eq!(
            bound,
            format!("SELECT '?' AS \"$1\", {eight} + CAST('7' AS BIGINT) -- ?\nFROM t WHERE a > {eight}")
        );
        assert_eq!(bind_nulls("SELECT ?, ?").unwrap(), "SELECT NULL, NULL");
        assert_eq!(parameters("SELECT 1").unwrap(), 0);
        for (statement, said) in [
            ("SELECT ?, $1", "not both"),
            ("SELECT $0", "not $0"),
            ("SELECT $x", "not $x"),
            ("SELECT ?1", "not ?1"),
            ("SELECT $99999999999999999999", "not $9"),
        ] {
            let error = parameters(statement).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("line 1"), "{statement}: {error}");
        }
        let error = bind("SELECT ?, ?", &row([one(1)])).unwrap_err().to_string();
        assert!(error.contains("wants 2 values and was given 1 rows of 1"), "{error}");
        let times = arrow::array::Time64MicrosecondArray::from(vec![1]);
        assert!(bind("SELECT ?", &row([Arc::new(times)])).unwrap_err().to_string().contains("value 1 is of type"));
    }
}
