//! CSV and TSV in which a null and an empty string stay apart: null is bare, an empty string is `""`.

use arrow::record_batch::RecordBatch;

use super::cells::Cells;

/// How the text is written.
#[derive(Clone, Debug)]
pub struct CsvStyle {
    pub delimiter: u8,
    /// What stands for null.
    pub null: String,
}

impl CsvStyle {
    /// The header line.
    pub fn header<'a>(&self, names: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
        for (at, name) in names.enumerate() {
            if at > 0 {
                out.push(self.delimiter);
            }
            self.text(name.as_bytes(), false, out);
        }
        out.push(b'\n');
    }

    pub fn rows(&self, batch: &RecordBatch, out: &mut Vec<u8>) {
        let columns: Vec<Cells<'_>> = batch.columns().iter().map(|c| Cells::of(c.as_ref())).collect();
        let mut cell = Vec::new();
        for row in 0..batch.num_rows() {
            for (at, cells) in columns.iter().enumerate() {
                if at > 0 {
                    out.push(self.delimiter);
                }
                if cells.is_null(row) {
                    if columns.len() == 1 && self.null.is_empty() {
                        // Readers skip blank lines, which would lose the row. pandas writes a lone null this way too.
                        out.extend_from_slice(b"\"\"");
                    } else {
                        out.extend_from_slice(self.null.as_bytes());
                    }
                    continue;
                }
                match cells {
                    Cells::Text(array) => self.text(array.value(row).as_bytes(), true, out),
                    // No bytes are not null.
                    Cells::Bytes(array) if array.value(row).is_empty() => self.text(b"", true, out),
                    // Other types have no character that needs quotes, unless the null mark looks like one of them.
                    _ if self.null.is_empty()
                        && self.delimiter.is_ascii_punctuation()
                        && !b".-+:".contains(&self.delimiter) =>
                    {
                        cells.write(row, out);
                    }
                    _ => {
                        cell.clear();
                        cells.write(row, &mut cell);
                        self.text(&cell, true, out);
                    }
                }
            }
            out.push(b'\n');
        }
    }

    /// Appends `text`, in quotes where it would otherwise be read as something else.
    fn text(&self, text: &[u8], may_be_null: bool, out: &mut Vec<u8>) {
        let special = |b: &u8| *b == self.delimiter || matches!(*b, b'"' | b'\n' | b'\r');
        let looks_null = may_be_null && (text.is_empty() || text == self.null.as_bytes());
        if !looks_null && !text.iter().any(special) {
            out.extend_from_slice(text);
            return;
        }
        out.push(b'"');
        for byte in text {
            if *byte == b'"' {
                out.push(b'"');
            }
            out.push(*byte);
        }
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Float64Array, Int64Array, LargeStringArray};
    use std::sync::Arc;

    fn written(style: &CsvStyle, columns: Vec<(&str, ArrayRef)>) -> String {
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
        let mut out = Vec::new();
        let schema = batch.schema();
        style.header(schema.fields().iter().map(|f| f.name().as_str()), &mut out);
        style.rows(&batch, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn comma(null: &str) -> CsvStyle {
        CsvStyle { delimiter: b',', null: null.to_owned() }
    }

    #[test]
    fn nulls_and_empty_strings_stay_apart() {
        let texts: ArrayRef =
            Arc::new(LargeStringArray::from(vec![None, Some(""), Some("NA"), Some("a,b"), Some("q\"\n")]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4), Some(5)]));
        let columns = vec![("t,x", texts), ("n", numbers)];
        assert_eq!(written(&comma(""), columns.clone()), "\"t,x\",n\n,1\n\"\",\nNA,3\n\"a,b\",4\n\"q\"\"\n\",5\n");
        assert_eq!(written(&comma("NA"), columns), "\"t,x\",n\nNA,1\n\"\",NA\n\"NA\",3\n\"a,b\",4\n\"q\"\"\n\",5\n");
    }

    #[test]
    fn a_lone_null_is_not_a_blank_line() {
        let texts: ArrayRef = Arc::new(LargeStringArray::from(vec![None, Some("x")]));
        assert_eq!(written(&comma(""), vec![("t", texts)]), "t\n\"\"\nx\n");
    }

    #[test]
    fn a_number_that_looks_like_the_null_mark_is_quoted() {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(-1.0), None]));
        assert_eq!(written(&comma("-1.0"), vec![("n", numbers)]), "n\n\"-1.0\"\n-1.0\n");
    }
}
