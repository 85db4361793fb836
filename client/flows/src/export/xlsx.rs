//! Rows as a sheet of a workbook.

use arrow::record_batch::RecordBatch;
use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};
use shardmill_common::schema::Unit;
use shardmill_common::text::{decimal_float, is_beyond_float};

use super::cells::Cells;
use super::error::WriteError;

/// Rows and columns of a sheet, and characters of a cell.
const MOST_ROWS: u32 = 1_048_576;
const MOST_COLUMNS: usize = 16_384;
const MOST_CHARACTERS: usize = 32_767;
/// The first of January 1970 in the days of workbooks, and the first day that they all count alike: 1 March 1900.
const EPOCH: i64 = 25_569;
const FIRST_DAY: i64 = 61 - EPOCH;
/// The first day after the last, 1 January 10000.
const END_DAY: i64 = 2_932_897;

/// A workbook of one sheet, written row by row.
pub struct SheetWriter {
    book: Workbook,
    row: u32,
    formats: Formats,
}

struct Formats {
    day: Format,
    moment: Format,
    time: Format,
    span: Format,
}

impl SheetWriter {
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, WriteError> {
        let mut book = Workbook::new();
        let sheet = book.add_worksheet_with_constant_memory()?;
        let bold = Format::new().set_bold();
        for (column, name) in names.enumerate() {
            if column >= MOST_COLUMNS {
                return Err(WriteError::TooLarge("a sheet has room for 16,384 columns: use --format csv or parquet"));
            }
            sheet.write_string_with_format(0, column as u16, name, &bold)?;
        }
        sheet.set_freeze_panes(1, 0)?;
        let of = |pattern: &str| Format::new().set_num_format(pattern);
        let formats = Formats {
            day: of("yyyy-mm-dd"),
            moment: of("yyyy-mm-dd hh:mm:ss.000"),
            time: of("hh:mm:ss.000"),
            span: of("[h]:mm:ss.000"),
        };
        Ok(Self { book, row: 1, formats })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let columns: Vec<Cells<'_>> = batch.columns().iter().map(|c| Cells::of(c.as_ref())).collect();
        let sheet = self.book.worksheet_from_index(0)?;
        for row in 0..batch.num_rows() {
            if self.row >= MOST_ROWS {
                return Err(WriteError::TooLarge("a sheet has room for 1,048,575 rows: use --format csv or parquet"));
            }
            for (column, cells) in (0_u16..).zip(&columns) {
                if !cells.is_null(row) {
                    put(sheet, (self.row, column), cells, row, &self.formats)?;
                }
            }
            self.row += 1;
        }
        Ok(())
    }

    /// The bytes of the file.
    pub fn finish(mut self) -> Result<Vec<u8>, WriteError> {
        Ok(self.book.save_to_buffer()?)
    }
}

/// Writes a cell that is not null as what workbooks have for it; as text, where they have nothing.
fn put(
    sheet: &mut Worksheet,
    at: (u32, u16),
    cells: &Cells<'_>,
    row: usize,
    formats: &Formats,
) -> Result<(), WriteError> {
    let number = |sheet: &mut Worksheet, x: f64, format: Option<&Format>| -> Result<(), XlsxError> {
        match format {
            Some(format) => sheet.write_number_with_format(at.0, at.1, x, format).map(drop),
            None => sheet.write_number(at.0, at.1, x).map(drop),
        }
    };
    let days = |ticks: i64, unit: Unit| {
        let day = ticks.div_euclid(unit.per_day());
        let part = ticks.rem_euclid(unit.per_day()) as f64 / unit.per_day() as f64;
        (FIRST_DAY..END_DAY).contains(&day).then_some((day + EPOCH) as f64 + part)
    };
    let per_day = Unit::Nano.per_day() as f64;
    let written = match cells {
        Cells::Boolean(a) => {
            sheet.write_boolean(at.0, at.1, a.value(row))?;
            true
        }
        Cells::Int(a) if !is_beyond_float(a.value(row)) => {
            number(sheet, a.value(row) as f64, None)?;
            true
        }
        Cells::Float(a) if a.value(row).is_finite() => {
            number(sheet, a.value(row), None)?;
            true
        }
        Cells::Decimal { array, scale } => match decimal_float(array.value(row), *scale) {
            (x, true) => {
                let places = "0".repeat(usize::from(*scale));
                let pattern = if places.is_empty() { "0".to_owned() } else { format!("0.{places}") };
                number(sheet, x, Some(&Format::new().set_num_format(pattern)))?;
                true
            }
            _ => false,
        },
        Cells::Date(a) => match days(i64::from(a.value(row)) * Unit::Micro.per_day(), Unit::Micro) {
            Some(x) => {
                number(sheet, x, Some(&formats.day))?;
                true
            }
            None => false,
        },
        // Workbooks have no zones: an instant is text, with its Z.
        Cells::Micros { array, utc: false } => match days(array.value(row), Unit::Micro) {
            Some(x) => {
                number(sheet, x, Some(&formats.moment))?;
                true
            }
            None => false,
        },
        Cells::Time(a) => {
            number(sheet, a.value(row) as f64 / per_day, Some(&formats.time))?;
            true
        }
        Cells::Duration(a) if a.value(row) >= 0 => {
            number(sheet, a.value(row) as f64 / per_day, Some(&formats.span))?;
            true
        }
        _ => false,
    };
    if !written {
        let mut text = Vec::new();
        cells.write(row, &mut text);
        let text = String::from_utf8_lossy(&text);
        if text.chars().nth(MOST_CHARACTERS).is_some() {
            return Err(WriteError::TooLarge(
                "a cell of a sheet has room for 32,767 characters: use --format csv or parquet",
            ));
        }
        sheet.write_string(at.0, at.1, text)?;
    }
    Ok(())
}
