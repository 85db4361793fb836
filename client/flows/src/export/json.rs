//! JSON lines: one object a row, every column in it, nulls explicit.

use arrow::record_batch::RecordBatch;

use super::cells::Cells;

pub fn rows(batch: &RecordBatch, out: &mut Vec<u8>) {
    let schema = batch.schema();
    let columns: Vec<(Vec<u8>, Cells<'_>)> = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .enumerate()
        .map(|(at, (field, column))| {
            let mut key = vec![if at == 0 { b'{' } else { b',' }];
            // A string always serialises.
            let _ = serde_json::to_writer(&mut key, field.name());
            key.push(b':');
            (key, Cells::of(column.as_ref()))
        })
        .collect();
    for row in 0..batch.num_rows() {
        for (key, cells) in &columns {
            out.extend_from_slice(key);
            cells.write_json(row, out);
        }
        if columns.is_empty() {
            out.push(b'{');
        }
        out.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, LargeStringArray};
    use std::sync::Arc;

    #[test]
    fn every_row_has_every_column() {
        let batch = RecordBatch::try_from_iter([
            ("a\"b", Arc::new(LargeStringArray::from(vec![Some("x\n"), None])) as ArrayRef),
            ("n", Arc::new(Int64Array::from(vec![None, Some(2)])) as ArrayRef),
        ])
        .unwrap();
        let mut out = Vec::new();
        rows(&batch, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "{\"a\\\"b\":\"x\\n\",\"n\":null}\n{\"a\\\"b\":null,\"n\":2}\n");
    }
}
