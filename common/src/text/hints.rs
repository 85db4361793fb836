//! Columns that became text for the sake of a few cells, as a sample shows them.

use std::fmt;

use super::infer::{ColumnState, classify};
use super::nulls::Nulls;
use super::numbers::Numbers;
use super::scan::{Grammar, MAX_RECORD_BYTES, split_record};
use crate::kinds::ingest::SourceFormat;
use crate::schema::DataType;

/// Texts of a column that are looked at; one with more of them is text.
const MAX_MARKS: usize = 2;
/// Cells of numbers that it takes.
const LEAST: u64 = 3;

/// A column that would have another type but for something that can be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Numbers, but for these marks and how often each comes.
    Marks { column: String, numbers: u64, dtype: DataType, marks: Vec<(String, u64)> },
    /// Numbers with a comma for a decimal point.
    Comma { column: String, numbers: u64, example: String },
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hint::Marks { column, numbers, dtype, marks } => {
                write!(f, "`{column}` is text: {numbers} numbers")?;
                marks.iter().try_for_each(|(mark, times)| write!(f, " and {times} \"{mark}\""))?;
                f.write_str(";")?;
                marks.iter().try_for_each(|(mark, _)| write!(f, " --null '{mark}'"))?;
                write!(f, " makes it {dtype}")
            }
            Hint::Comma { column, numbers, example } => {
                write!(f, "`{column}` is text: {numbers} cells such as {example}; --decimal , makes it float64")
            }
        }
    }
}

#[derive(Default)]
struct Column {
    numbers: u64,
    state: ColumnState,
    marks: Vec<(String, u64)>,
    commas: u64,
    example: String,
    text: bool,
}

impl Column {
    fn observe(&mut self, cell: &str) {
        const COMMA: Numbers = Numbers { decimal: ',', thousands: None };
        if self.text {
            return;
        }
        if matches!(classify(cell), DataType::Int64 | DataType::Float64) {
            self.numbers += 1;
            self.state.observe(cell);
        } else if COMMA.usual(cell, &mut String::new()).is_some() && cell.contains(',') {
            self.commas += 1;
            if self.example.is_empty() {
                cell.clone_into(&mut self.example);
            }
        } else if let Some((_, times)) = self.marks.iter_mut().find(|(mark, _)| mark == cell) {
            *times += 1;
        } else if self.marks.len() < MAX_MARKS && cell.len() <= 20 {
            self.marks.push((cell.to_owned(), 1));
        } else {
            self.text = true;
        }
    }

    fn hint(self, column: &str) -> Option<Hint> {
        let column = column.to_owned();
        let marked: u64 = self.marks.iter().map(|(_, times)| times).sum();
        let marks = !self.marks.is_empty();
        if self.text || self.state.dtype() == DataType::String {
            None
        } else if self.commas >= LEAST && !marks {
            Some(Hint::Comma { column, numbers: self.numbers + self.commas, example: self.example })
        } else if self.commas == 0 && marks && self.numbers >= LEAST.max(2 * marked) {
            Some(Hint::Marks { column, numbers: self.numbers, dtype: self.state.dtype(), marks: self.marks })
        } else {
            None
        }
    }
}

/// What a sample of delimited text, which begins behind the header, suggests.
pub fn guess_hints(data: &[u8], format: &SourceFormat, nulls: &[String]) -> Vec<Hint> {
    let SourceFormat::Csv { dialect, columns } = format else { return Vec::new() };
    let (Ok(grammar), None) = (Grammar::of(dialect), dialect.numbers) else { return Vec::new() };
    let nulls = Nulls::new(nulls);
    let mut seen: Vec<Column> = columns.iter().map(|_| Column::default()).collect();
    let (mut at, mut fields) = (0, Vec::with_capacity(columns.len()));
    while at < data.len() {
        fields.clear();
        let Some(record) = split_record(data, at, grammar, MAX_RECORD_BYTES, false, |f| fields.push(f)) else { break };
        at = record.end;
        if record.defect.is_some() || record.is_blank() || fields.len() > columns.len() {
            continue;
        }
        for (column, field) in seen.iter_mut().zip(&fields) {
            let cell = data.get(field.start..field.end).unwrap_or_default();
            if let Ok(cell) = std::str::from_utf8(cell)
                && !cell.is_empty()
                && !nulls.has(cell.as_bytes())
            {
                column.observe(cell);
            }
        }
    }
    let named = seen.into_iter().zip(columns);
    named.filter_map(|(column, name)| column.hint(name.as_deref()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::*;

    fn hints(data: &str, columns: &[&str], delimiter: u8) -> Vec<String> {
        let dialect = Dialect { delimiter, ..Dialect::default() };
        let columns = columns.iter().map(|c| Some((*c).to_owned())).collect();
        let format = SourceFormat::Csv { dialect, columns };
        guess_hints(data.as_bytes(), &format, &["-".to_owned()]).iter().map(Hint::to_string).collect()
    }

    #[test]
    fn a_few_marks_among_numbers() {
        assert_eq!(
            hints("41,x\n42,y\nNA,z\n-,z\n43,NA\n44,1\n", &["age", "t"], b','),
            ["`age` is text: 4 numbers and 1 \"NA\"; --null 'NA' makes it int64"]
        );
        assert!(hints("1\n2\nx\ny\nz\n3\n4\n5\n6\n7\n", &["a"], b',').is_empty());
        assert!(hints("1\n2\n3\n4.5\n", &["a"], b',').is_empty());
        assert!(hints("1\nNA\n", &["a"], b',').is_empty());
    }

    #[test]
    fn decimal_commas() {
        assert_eq!(
            hints("1;3,5\n2;4\n3;4,0\n3;1,0\n", &["id", "v"], b';'),
            ["`v` is text: 4 cells such as 3,5; --decimal , makes it float64"]
        );
    }
}
