//! Every form of JSON, and every way in which one can be wrong.

use super::*;

fn any(body: &str) -> Table<'static> {
    parse_json(body.as_bytes(), JsonForm::Any).unwrap()
}

fn fault(body: &str) -> String {
    parse_json(body.as_bytes(), JsonForm::Any).unwrap_err().message
}

fn mlflow_fault(body: &str) -> String {
    parse_json(body.as_bytes(), JsonForm::Mlflow).unwrap_err().message
}

fn names(table: &Table<'_>) -> Vec<String> {
    table.names.clone().unwrap().iter().map(|n| n.to_string()).collect()
}

#[test]
fn every_form_gives_the_same_rows() {
    let cells = [Cell::Integer(1), Cell::Text("u".into()), Cell::Float(2.5), Cell::Null];
    for body in [
        r#"{"dataframe_split": {"columns": ["a", "b"], "index": [0, 1], "data": [[1, "u"], [2.5, null]]}}"#,
        r#"{"dataframe_records": [{"a": 1, "b": "u"}, {"a": 2.5}]}"#,
        r#"{"instances": [{"a": 1, "b": "u"}, {"a": 2.5, "b": null}]}"#,
        r#"{"inputs": {"a": [1, 2.5], "b": ["u", null]}}"#,
        r#"{"inputs": {"a": [[1], [2.5]], "b": ["u", null]}, "params": {"x": 1}}"#,
        r#"[{"a": 1, "b": "u"}, {"a": 2.5}]"#,
    ] {
        let table = any(body);
        assert_eq!((table.rows, table.width, names(&table)), (2, 2, vec!["a".to_owned(), "b".to_owned()]), "{body}");
        assert_eq!(table.cells, cells, "{body}");
    }
    for body in [
        r#"{"instances": [[1, "u"], [2.5, null]]}"#,
        r#"{"inputs": [[1, "u"], [2.5, null]]}"#,
        r#"{"dataframe_split": {"data": [[1, "u"], [2.5, null]]}}"#,
        r#"{"instances": [{"features": [1, "u"]}, {"features": [2.5, null]}]}"#,
        r#"[[1, "u"], [2.5, null]]"#,
    ] {
        let table = any(body);
        assert_eq!((table.rows, table.width, table.names.is_none()), (2, 2, true), "{body}");
        assert_eq!(table.cells, cells, "{body}");
    }
}

#[test]
fn one_row_may_stand_alone() {
    assert_eq!(any("[1, true]").cells, [Cell::Integer(1), Cell::Boolean(true)]);
    assert_eq!(any(r#"{"a": 1}"#).rows, 1);
    assert_eq!(any(r#"{"inputs": {"a": 4}}"#).rows, 1);
    let single = any(r#"{"instances": [1, 2, 3]}"#);
    assert_eq!((single.rows, single.width), (3, 1));
}

#[test]
fn what_is_wrong_is_said() {
    assert!(fault("{").starts_with("the body is not JSON: EOF"));
    assert!(fault("3").starts_with("the body is not an object with one of"));
    assert!(mlflow_fault("[[1]]").starts_with("the body is not an object with one of"));
    assert!(mlflow_fault(r#"{"a": 1}"#).starts_with("the body has none of dataframe_split"));
    assert_eq!(
        mlflow_fault(r#"{"inputs": [], "instances": []}"#),
        "the body has instances and inputs; give one of them"
    );
    assert_eq!(fault(r#"{"instances": []}"#), "the body has no rows");
    assert_eq!(fault(r#"{"instances": 4}"#), "instances is not a list");
    assert_eq!(fault(r#"{"instances": [[1, 2], [3]]}"#), "row 2 of instances has 1 values, the first row has 2");
    assert_eq!(fault(r#"{"instances": [[1], 3]}"#), "row 2 of instances is not a list");
    assert_eq!(fault(r#"{"instances": [{"a": 1}, 3]}"#), "row 2 of instances is not an object, as the first is");
    assert!(
        fault(r#"{"instances": [[{"a": 1}]]}"#).starts_with("row 1 of instances, value 1 is an object; a value is")
    );
    assert!(fault(r#"{"dataframe_records": [{"a": [1]}]}"#).starts_with("row 1: column `a` is a list; a value is"));
    assert_eq!(fault(r#"{"dataframe_split": {"columns": ["a"]}}"#), "dataframe_split has no data");
    assert!(fault(r#"{"dataframe_split": {"column": ["a"], "data": []}}"#).starts_with("dataframe_split has `column`"));
    assert_eq!(
        fault(r#"{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}"#),
        "row 1 of dataframe_split.data has 2 values, columns has 1"
    );
    assert_eq!(fault(r#"{"inputs": {"a": [1], "b": [1, 2]}}"#), "column `b` of inputs has 2 values, column `a` has 1");
}

#[test]
fn rows_that_share_no_columns_are_bounded() {
    let rows: Vec<String> = (0..3000).map(|n| format!(r#"{{"c{n}": 1}}"#)).collect();
    let body = format!("[{}]", rows.join(","));
    assert!(fault(&body).starts_with("the 3000 rows have 3000 different columns and only 3000 values"));
}

#[test]
fn deep_nesting_is_no_stack_overflow() {
    assert!(fault(&"[".repeat(100_000)).starts_with("the body is not JSON: recursion limit"));
}

#[test]
fn missing_numbers_as_python_writes_them() {
    let read = |body: &str| {
        parse_json(body.as_bytes(), JsonForm::Mlflow).map(|t| format!("{t:?}")).map_err(|e| format!("{e:?}"))
    };
    let nan = r#"{"dataframe_split": {"index": [0, 1], "columns": ["x", "NaN"], "data": [[3.0, "a NaN \" NaN"], [NaN, "b"]]}}"#;
    assert_eq!(read(nan), read(&nan.replace("[NaN", "[null")));
    assert!(read(nan).is_ok());
    assert!(read(r#"{"instances": [[Infinity]]}"#).is_err() && read(r#"{"instances": [[NaNa]]}"#).is_err());
}
