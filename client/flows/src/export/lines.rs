//! Lines of text: the values of one column as they are; a null is an empty line.

use arrow::array::Array;
use arrow::record_batch::RecordBatch;

use super::cells::Cells;
use super::error::WriteError;

/// Appends the values of the first column. A value that holds a line break could not be read back, and is refused.
pub fn rows(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), WriteError> {
    let Some(column) = batch.columns().first() else { return Ok(()) };
    let Cells::Text(texts) = Cells::of(column.as_ref()) else { return Err(WriteError::NotText) };
    out.reserve(texts.value_data().len() + texts.len());
    for text in texts {
        let text = text.unwrap_or_default().as_bytes();
        if text.contains(&b'\n') {
            return Err(WriteError::LineBreak);
        }
        out.extend_from_slice(text);
        out.push(b'\n');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, LargeStringArray};

    use super::*;

    fn written(texts: Vec<Option<&str>>) -> Result<String, String> {
        let array: ArrayRef = Arc::new(LargeStringArray::from(texts));
        let batch = RecordBatch::try_from_iter_with_nullable([("t", array, true)]).unwrap();
        let mut out = Vec::new();
        rows(&batch, &mut out).map_err(|e| e.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn values_are_lines() {
        assert_eq!(written(vec![Some("a,\"b"), Some(""), None, Some("z")]).unwrap(), "a,\"b\n\n\nz\n");
        assert!(written(vec![Some("a\nb")]).unwrap_err().contains("line break"));
    }
}
