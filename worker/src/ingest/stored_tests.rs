//! Every type of Arrow and what it is stored as.

use std::collections::HashMap;

use arrow::array::{
    BinaryArray, Date64Array, Decimal32Array, Decimal128Array, Decimal256Array, DurationSecondArray,
    FixedSizeBinaryArray, Float16Array, Int32Array, Int64Builder, IntervalYearMonthArray, LargeBinaryArray, ListArray,
    MapBuilder, RunArray, StringArray, StringBuilder, StructArray, Time32SecondArray, Time64MicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{Field, Int32Type, i256};
use arrow::util::display::array_value_to_string;

use super::*;

fn stored_as(field: Field, pieces: Vec<ArrayRef>, bytes: BytesAs) -> Result<(String, Vec<String>), Failure> {
    let field: FieldRef = Arc::new(field);
    let incoming = Incoming { field: &field, source: "a.parquet", bytes };
    let stored = incoming.stored(pieces)?;
    let dtype = stored[0].data_type().to_string();
    assert!(stored.iter().all(|piece| piece.data_type() == stored[0].data_type()));
    let cell = |piece: &ArrayRef, row| {
        if piece.is_null(row) { "~".into() } else { array_value_to_string(piece, row).unwrap() }
    };
    Ok((dtype, stored.iter().flat_map(|piece| (0..piece.len()).map(move |row| cell(piece, row))).collect()))
}

fn stored(array: impl Array + 'static) -> (String, Vec<String>) {
    stored_as(Field::new("x", array.data_type().clone(), true), vec![Arc::new(array)], BytesAs::Binary).unwrap()
}

fn refused(array: impl Array + 'static) -> String {
    let field = Field::new("x", array.data_type().clone(), true);
    stored_as(field, vec![Arc::new(array)], BytesAs::Binary).unwrap_err().to_string()
}

#[test]
fn numbers_keep_their_value() {
    let shown = |(dtype, cells): (String, Vec<String>)| format!("{dtype}: {}", cells.join(" "));
    assert_eq!(shown(stored(Int32Array::from(vec![Some(1), None]))), "Int64: 1 ~");
    assert_eq!(shown(stored(UInt64Array::from(vec![1, i64::MAX as u64]))), "Int64: 1 9223372036854775807");
    assert_eq!(shown(stored(UInt64Array::from(vec![1, u64::MAX]))), "Decimal128(20, 0): 1 18446744073709551615");
    assert_eq!(shown(stored(arrow::array::Float32Array::from(vec![0.5]))), "Float64: 0.5");
    let small = arrow::compute::cast(&arrow::array::Float32Array::from(vec![1.5, -0.25]), &ArrowType::Float16).unwrap();
    assert_eq!(shown(stored(small.as_any().downcast_ref::<Float16Array>().unwrap().clone())), "Float64: 1.5 -0.25");
    let cents = Decimal128Array::from(vec![Some(150), None]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(shown(stored(cents)), "Decimal128(10, 2): 1.50 ~");
    assert_eq!(
        shown(stored(Decimal32Array::from(vec![-5]).with_precision_and_scale(4, 1).unwrap())),
        "Decimal128(4, 1): -0.5"
    );
    let thousands = Decimal128Array::from(vec![12]).with_precision_and_scale(3, -3).unwrap();
    assert_eq!(shown(stored(thousands)), "Decimal128(6, 0): 12000");
    let wide = |n| Decimal256Array::from(vec![n]).with_precision_and_scale(50, 2).unwrap();
    assert_eq!(shown(stored(wide(i256::from_i128(-5)))), "Decimal128(38, 2): -0.05");
    let beyond = wide(i256::from_string("12345678901234567890123456789012345678901").unwrap());
    assert_eq!(shown(stored(beyond)), "Utf8View: 123456789012345678901234567890123456789.01");
}

#[test]
fn pieces_of_a_column_share_a_type() {
    let nanos = |ticks: Vec<i64>| Arc::new(TimestampNanosecondArray::from(ticks)) as ArrayRef;
    let field = Field::new("x", ArrowType::Timestamp(TimeUnit::Nanosecond, None), true);
    let (dtype, cells) = stored_as(field.clone(), vec![nanos(vec![2000]), nanos(vec![1])], BytesAs::Binary).unwrap();
    assert_eq!((dtype.as_str(), cells[1].as_str()), ("Timestamp(ns)", "1970-01-01T00:00:00.000000001"));
    let (dtype, _) = stored_as(field, vec![nanos(vec![2000]), nanos(vec![-1000])], BytesAs::Binary).unwrap();
    assert_eq!(dtype, "Timestamp(µs)");
}

#[test]
fn times_keep_their_clock() {
    let shown = |(dtype, cells): (String, Vec<String>)| format!("{dtype}: {}", cells.join(" "));
    assert_eq!(shown(stored(Date64Array::from(vec![-1]))), "Timestamp(µs): 1969-12-31T23:59:59.999");
    let berlin = TimestampMillisecondArray::from(vec![1]).with_timezone("Europe/Berlin");
    assert_eq!(shown(stored(berlin)), "Timestamp(µs, \"UTC\"): 1970-01-01T00:00:00.001Z");
    assert_eq!(shown(stored(Time32SecondArray::from(vec![3661]))), "Time64(ns): 01:01:01");
    assert_eq!(shown(stored(Time64MicrosecondArray::from(vec![1]))), "Time64(ns): 00:00:00.000001");
    assert_eq!(shown(stored(DurationSecondArray::from(vec![-90]))), "Duration(ns): -PT90S");
    assert!(
        refused(Time32SecondArray::from(vec![86_400])).contains("a.parquet: column `x` has a time of day that is none")
    );
    assert!(refused(DurationSecondArray::from(vec![i64::MAX])).contains("out of range"));
    assert!(refused(TimestampMillisecondArray::from(vec![i64::MAX])).contains("out of range"));
    assert!(refused(IntervalYearMonthArray::from(vec![1])).contains("which Shardmill does not store"));
}

#[test]
fn bytes_and_texts() {
    let shown = |(dtype, cells): (String, Vec<String>)| format!("{dtype}: {}", cells.join(" "));
    assert_eq!(shown(stored(BinaryArray::from(vec![&b"\x00\xff"[..]]))), "BinaryView: 00ff");
    assert_eq!(shown(stored(LargeBinaryArray::from(vec![&b"a"[..]]))), "BinaryView: 61");
    let sixteen = FixedSizeBinaryArray::try_from_iter([[0x12_u8; 16]].into_iter()).unwrap();
    assert_eq!(stored(sixteen.clone()).0, "BinaryView");
    let marked = HashMap::from([("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned())]);
    let field = Field::new("x", ArrowType::FixedSizeBinary(16), true).with_metadata(marked);
    let (_, cells) = stored_as(field, vec![Arc::new(sixteen)], BytesAs::Binary).unwrap();
    assert_eq!(cells, ["12121212-1212-1212-1212-121212121212"]);
    let runs =
        RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2, 3]), &StringArray::from(vec!["a", "b"])).unwrap();
    assert_eq!(shown(stored(runs)), "Utf8View: a a b");
}

#[test]
fn what_is_nested_is_json() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    assert_eq!(stored(list).1, ["[1,null]", "~", "[]"]);
    let point = StructArray::from(vec![
        (
            Arc::new(Field::new("x", ArrowType::Int32, true)),
            Arc::new(Int32Array::from(vec![Some(1), None])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("a \"b\"", ArrowType::Utf8, true)),
            Arc::new(StringArray::from(vec!["é", "y"])) as ArrayRef,
        ),
    ]);
    assert_eq!(stored(point).1, [r#"{"x":1,"a \"b\"":"é"}"#, r#"{"x":null,"a \"b\"":"y"}"#]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    map.keys().append_value("a");
    map.values().append_value(1);
    map.append(true).unwrap();
    assert_eq!(stored(map.finish()).1, [r#"{"a":1}"#]);
}
