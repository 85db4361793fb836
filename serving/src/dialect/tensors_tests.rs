//! Tensors as JSON and as binary, and what can be wrong with them.

use super::*;

fn columns() -> Vec<String> {
    vec!["x".into(), "city".into()]
}

fn json(body: &str) -> Result<InferRequest, String> {
    parse_infer(body.as_bytes(), None, &columns()).map_err(|e| e.message)
}

fn binary(head: &str, tail: &[u8]) -> Result<InferRequest, String> {
    let mut body = head.as_bytes().to_vec();
    body.extend_from_slice(tail);
    parse_infer(&body, Some(head.len()), &columns()).map_err(|e| e.message)
}

fn input(parts: &str) -> String {
    format!(r#"{{"inputs": [{{{parts}}}]}}"#)
}

#[test]
fn named_tensors_are_columns() {
    let request = json(
        r#"{"id": "7", "inputs": [{"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [[0.1], [2]]},
            {"name": "city", "shape": [2], "datatype": "BYTES", "data": ["Rome", null]},
            {"name": "id", "shape": [2], "datatype": "UINT8", "data": [5, 6]}],
            "outputs": [{"name": "label", "parameters": {"binary_data": true}}]}"#,
    )
    .unwrap();
    assert_eq!(request.id.as_deref(), Some("7"));
    assert_eq!(request.table.names.unwrap(), ["x", "city", "id"]);
    let x = Cell::Float(f64::from(0.1f32));
    assert_eq!(request.table.cells[..3], [x, Cell::Text("Rome".into()), Cell::Integer(5)]);
    assert_eq!(request.table.cells[3..], [Cell::Float(2.0), Cell::Null, Cell::Integer(6)]);
    assert_eq!(request.outputs, [WantedOutput { name: "label".into(), binary: true }]);
}

#[test]
fn one_tensor_has_the_models_columns() {
    let request = json(&input(r#""name": "in", "shape": [2, 2], "datatype": "INT32", "data": [1, 2, 3, 4]"#)).unwrap();
    let table = request.table;
    assert_eq!((table.names, table.rows, table.width), (None, 2, 2));
    assert_eq!(table.cells[2], Cell::Integer(3));
    let request = json(&input(r#""name": "x", "shape": [1], "datatype": "INT32", "data": [1]"#)).unwrap();
    assert_eq!(request.table.names.unwrap(), ["x"]);
}

#[test]
fn binary_tensors_follow_the_json() {
    let head = r#"{"parameters": {"binary_data_output": true}, "inputs": [
        {"name": "x", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}},
        {"name": "city", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 13}}]}"#;
    let mut tail: Vec<u8> = [1.5f64, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    for text in ["Bonn", "\u{e9}"] {
        tail.extend((text.len() as u32).to_le_bytes());
        tail.extend(text.as_bytes());
    }
    tail.truncate(16 + 4 + 4 + 4 + 2);
    let head = head.replace("13", "14");
    let request = binary(&head, &tail).unwrap();
    assert!(request.binary);
    let cells = [Cell::Float(1.5), Cell::Text("Bonn".into()), Cell::Float(-2.0), Cell::Text("\u{e9}".into())];
    assert_eq!(request.table.cells, cells);
    assert!(binary(&head, &tail[..20]).unwrap_err().contains("4 bytes of binary data are left"));
    tail.push(0);
    assert_eq!(binary(&head, &tail).unwrap_err(), "1 bytes of binary data belong to no input");
}

#[test]
fn every_binary_type_is_read() {
    let read = |datatype: &str, bytes: &[u8]| {
        let size = bytes.len();
        let head = input(&format!(
            r#""name": "x", "shape": [1], "datatype": "{datatype}", "parameters": {{"binary_data_size": {size}}}"#
        ));
        binary(&head, bytes).map(|r| r.table.cells[0].clone())
    };
    assert_eq!(read("BOOL", &[1]), Ok(Cell::Boolean(true)));
    assert_eq!(read("INT8", &[255]), Ok(Cell::Integer(-1)));
    assert_eq!(read("UINT8", &[255]), Ok(Cell::Integer(255)));
    assert_eq!(read("INT16", &[254, 255]), Ok(Cell::Integer(-2)));
    assert_eq!(read("UINT16", &[254, 255]), Ok(Cell::Integer(65534)));
    assert_eq!(read("INT32", &(-3i32).to_le_bytes()), Ok(Cell::Integer(-3)));
    assert_eq!(read("UINT32", &u32::MAX.to_le_bytes()), Ok(Cell::Integer(i64::from(u32::MAX))));
    assert_eq!(read("INT64", &i64::MIN.to_le_bytes()), Ok(Cell::Integer(i64::MIN)));
    assert_eq!(read("FP32", &0.1f32.to_le_bytes()), Ok(Cell::Float(f64::from(0.1f32))));
    assert!(read("UINT64", &u64::MAX.to_le_bytes()).unwrap_err().contains("beyond a signed integer"));
    assert!(read("FP64", &[0; 4]).unwrap_err().contains("1 values take 8 bytes, and binary_data_size is 4"));
    assert!(read("BYTES", &[9, 0, 0, 0, 65]).unwrap_err().contains("a text is cut off"));
    assert!(read("BYTES", &[1, 0, 0, 0, 255]).unwrap_err().contains("not valid UTF-8"));
    assert!(read("FP16", &[0; 2]).unwrap_err().contains("the datatype FP16 is not one of BOOL"));
}

#[test]
fn what_is_wrong_is_said() {
    let fault = |parts: &str| json(&input(parts)).unwrap_err();
    assert!(json("{}").unwrap_err().starts_with("the body is not an inference request: missing field `inputs`"));
    assert_eq!(json(r#"{"inputs": []}"#).unwrap_err(), "the request has no inputs");
    assert!(fault(r#""name": "x", "shape": [], "datatype": "FP64", "data": []"#).contains("its shape is not"));
    assert!(fault(r#""name": "x", "shape": [1, 2, 2], "datatype": "FP64", "data": []"#).contains("[1, 2, 2] is not"));
    assert!(fault(r#""name": "x", "shape": [0], "datatype": "FP64", "data": []"#).contains("have no rows"));
    assert!(fault(r#""name": "x", "shape": [2], "datatype": "FP64", "data": [1]"#).contains("2 values, and it has 1"));
    assert!(
        fault(r#""name": "x", "shape": [1], "datatype": "FP64", "data": [1, 2]"#).contains("more than the 1 values")
    );
    assert!(fault(r#""name": "x", "shape": [1], "datatype": "FP64""#).contains("neither data nor"));
    assert!(fault(r#""name": "x", "shape": [1], "datatype": "INT64", "data": [1.5]"#).contains("1.5 is no value of"));
    assert!(fault(r#""name": "x", "shape": [1], "datatype": "FP64", "data": ["a"]"#).contains("is no value of"));
    let huge = r#""name": "x", "shape": [9223372036854775807, 9], "datatype": "FP64", "data": []"#;
    assert!(fault(huge).contains("its shape is too large"));
    let two = r#"{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1]},
        {"name": "y", "shape": [SHAPE], "datatype": "FP64", "data": [1, 2]}]}"#;
    assert!(json(&two.replace("SHAPE", "2")).unwrap_err().contains("input `y` has 2 rows, input `x` has 1"));
    assert!(json(&two.replace("SHAPE", "1, 2")).unwrap_err().contains("input `y` has 2 columns"));
    assert!(parse_infer(b"{}", Some(9), &[]).unwrap_err().message.contains("is 9, and the body has 2 bytes"));
}
