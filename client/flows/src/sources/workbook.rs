//! Workbooks (xlsx, xlsb, xls, ods): a sheet as delimited text, which is then read like any other.

use std::fmt::Write;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use calamine::{Data, DataRef, Error, ExcelDateTime, Reader, Sheets, Xlsb, Xlsx, open_workbook};
use shardmill_common::damaged::unless_damaged;
use shardmill_common::misread::Misread;
use shardmill_common::text::{write_duration, write_time};

use super::error::SourceError;
use super::expand::{Found, Origin};

/// Cells of a sheet, the empty ones between others included.
const MOST_CELLS: u64 = 200_000_000;
const NANOS_PER_DAY: f64 = 86_400e9;

/// A sheet, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    pub workbook: PathBuf,
    /// Its rows between commas, as UTF-8.
    pub text: Arc<[u8]>,
    /// Rows of the sheet above the first of them.
    pub above: u64,
    /// Of each column, whether all its cells are texts: they are no numbers then, whatever they look like.
    pub texts: Vec<bool>,
    pub notices: Vec<String>,
}

/// Which sheets of workbooks are read, and which part of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pick {
    pub sheet: SheetName,
    pub range: Option<CellRange>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SheetName {
    /// The first, and the others are told of.
    #[default]
    First,
    All,
    /// By name, or else by number from 1.
    Named(String),
}

impl From<&str> for SheetName {
    fn from(text: &str) -> Self {
        if text == "all" { SheetName::All } else { SheetName::Named(text.to_owned()) }
    }
}

/// `A1:D20`, `B3:C` or `A:D`: rows and columns from 0, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellRange {
    rows: (u32, u32),
    columns: (u32, u32),
}

impl FromStr for CellRange {
    type Err = Misread;

    fn from_str(text: &str) -> Result<Self, Misread> {
        let wrong = || Misread::new(text, "not a range of cells: write it as A1:D20, or A:D for whole columns");
        let (from, to) = text.split_once(':').ok_or_else(wrong)?;
        let ((left, top), (right, bottom)) = corner(from).zip(corner(to)).ok_or_else(wrong)?;
        let range = Self { rows: (top.unwrap_or(0), bottom.unwrap_or(u32::MAX)), columns: (left, right) };
        if range.rows.0 > range.rows.1 || left > right { Err(wrong()) } else { Ok(range) }
    }
}

/// The column, and the row if there is one.
fn corner(text: &str) -> Option<(u32, Option<u32>)> {
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (letters, digits) = text.split_at_checked(letters)?;
    if letters.is_empty() || letters.len() > 3 {
        return None;
    }
    let column = letters.bytes().fold(0, |n, b| n * 26 + u32::from(b.to_ascii_uppercase() - b'A') + 1) - 1;
    match digits {
        "" => Some((column, None)),
        digits => digits.parse().ok().filter(|n| *n > 0).map(|n: u32| (column, Some(n - 1))),
    }
}

impl CellRange {
    fn has(&self, row: u32, column: u32) -> bool {
        (self.rows.0..=self.rows.1).contains(&row) && (self.columns.0..=self.columns.1).contains(&column)
    }
}

/// The sheets of a workbook that are asked for, each a source; `None` if the file is none.
pub fn sheets(name: &str, path: &Path, pick: &Pick) -> Result<Option<Vec<Found>>, SourceError> {
    let Some(kind) = kind_of(path).map_err(SourceError::unreadable(name))? else { return Ok(None) };
    let damaged = || SourceError::Damaged { name: name.to_owned() };
    unless_damaged(|| read(name, path, kind, pick)).unwrap_or_else(|| Err(damaged())).map(Some)
}

/// The formats, told by what is in the file: names are not to be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Xlsx,
    Xlsb,
    Xls,
    Ods,
}

fn kind_of(path: &Path) -> std::io::Result<Option<Kind>> {
    let mut file = File::open(path)?;
    let mut start = [0; 4];
    let n = file.read(&mut start)?;
    file.rewind()?;
    let of_part = |inner: &str| match inner {
        "xl/workbook.xml" => Some(Kind::Xlsx),
        "xl/workbook.bin" => Some(Kind::Xlsb),
        "content.xml" => Some(Kind::Ods),
        _ => None,
    };
    Ok(match start.get(..n) {
        Some([0xd0, 0xcf, 0x11, 0xe0]) => Some(Kind::Xls),
        Some([b'P', b'K', 3, 4]) => zip::ZipArchive::new(file)
            .ok()
            .and_then(|archive| archive.file_names().find_map(|inner| of_part(inner.ok()?.as_ref()))),
        _ => None,
    })
}

fn open(path: &Path, kind: Kind) -> Result<Sheets<BufReader<File>>, Error> {
    Ok(match kind {
        Kind::Xlsx => Sheets::Xlsx(open_workbook(path).map_err(Error::Xlsx)?),
        Kind::Xlsb => Sheets::Xlsb(open_workbook(path).map_err(Error::Xlsb)?),
        Kind::Xls => Sheets::Xls(open_workbook(path).map_err(Error::Xls)?),
        Kind::Ods => Sheets::Ods(open_workbook(path).map_err(Error::Ods)?),
    })
}

fn read(name: &str, path: &Path, kind: Kind, pick: &Pick) -> Result<Vec<Found>, SourceError> {
    let broken = |error: Error| SourceError::Workbook { name: name.to_owned(), error: Box::new(error) };
    let mut book = open(path, kind).map_err(broken)?;
    let all = book.sheet_names();
    let known = || all.join(", ");
    let wanted: Vec<&String> = match &pick.sheet {
        SheetName::First => all.iter().take(1).collect(),
        SheetName::All => all.iter().collect(),
        SheetName::Named(text) => {
            let by_number = || text.parse::<usize>().ok().and_then(|n| all.get(n.checked_sub(1)?));
            all.iter().find(|s| *s == text).or_else(by_number).into_iter().collect()
        }
    };
    if wanted.is_empty() {
        let asked = match &pick.sheet {
            SheetName::Named(text) => text.clone(),
            SheetName::First | SheetName::All => String::new(),
        };
        return Err(SourceError::NoSheet { name: name.to_owned(), asked, known: known() });
    }
    let mut found = Vec::with_capacity(wanted.len());
    for sheet in wanted {
        let source = format!("{name}/{sheet}");
        let mut read = Rows::of(&mut book, sheet, pick.range).map_err(broken)?.sheet(&source, path)?;
        if pick.sheet == SheetName::First && all.len() > 1 {
            let others =
                format!("the workbook has the sheets {}: this is the first; --sheet names another, or all", known());
            read.notices.push(others);
        }
        found.push(Found::new(source, Origin::Sheet(read)));
    }
    Ok(found)
}

/// Cells that are not empty, in the order of rows.
#[derive(Default)]
struct Rows {
    cells: Vec<(u32, u32, Data)>,
    merged: Vec<((u32, u32), (u32, u32))>,
}

impl Rows {
    fn of(book: &mut Sheets<BufReader<File>>, sheet: &str, range: Option<CellRange>) -> Result<Self, Error> {
        let mut rows = Self::default();
        let inside = |row, column| range.is_none_or(|range| range.has(row, column));
        let mut push = |row: u32, column: u32, value: Data| {
            if value != Data::Empty && inside(row, column) {
                rows.cells.push((row, column, value));
            }
        };
        // What lies far apart in a sheet is a table of nothing in between: formats that can are read cell by cell.
        match book {
            Sheets::Xlsx(book) => rows_of_xlsx(book, sheet, &mut push)?,
            Sheets::Xlsb(book) => rows_of_xlsb(book, sheet, &mut push)?,
            Sheets::Xls(book) => dense(book.worksheet_range(sheet).map_err(Error::Xls)?, &mut push),
            Sheets::Ods(book) => dense(book.worksheet_range(sheet).map_err(Error::Ods)?, &mut push),
        }
        rows.cells.sort_by_key(|(row, column, _)| (*row, *column));
        rows.merged = merged(book, sheet);
        rows.merged.retain(|(start, _)| inside(start.0, start.1));
        Ok(rows)
    }

    /// The rows as text.
    fn sheet(self, name: &str, workbook: &Path) -> Result<Sheet, SourceError> {
        let Some(first) = self.cells.first().map(|(row, _, _)| *row) else {
            return Err(SourceError::Empty { name: name.to_owned() });
        };
        let last = self.cells.last().map_or(first, |(row, _, _)| *row);
        let left = self.cells.iter().map(|(_, column, _)| *column).min().unwrap_or(0);
        let right = self.cells.iter().map(|(_, column, _)| *column).max().unwrap_or(0);
        let width = u64::from(right - left) + 1;
        if (u64::from(last - first) + 1).saturating_mul(width) > MOST_CELLS {
            return Err(SourceError::FarApart { name: name.to_owned() });
        }
        let (mut text, mut errors, mut others) = (String::new(), Vec::new(), vec![false; width as usize]);
        let (mut row, mut column) = (first, left);
        for (at, place, value) in &self.cells {
            while row < *at {
                end_row(&mut text, right - column, width);
                (row, column) = (row + 1, left);
            }
            while column < *place {
                text.push(',');
                column += 1;
            }
            if !matches!(value, Data::String(_)) {
                others[(*place - left) as usize] = true;
            }
            match value {
                Data::Error(kind) => errors.push((row, *place, kind.to_string())),
                value => write_cell(value, &mut text),
            }
        }
        end_row(&mut text, right - column, width);
        let mut notices = Vec::new();
        if let Some((row, column, kind)) = errors.first() {
            let (n, at) = (errors.len(), cell_name(*row, *column));
            notices.push(format!("{n} cells hold errors such as {kind} in {at}, and are null"));
        }
        if let Some((start, end)) = self.merged.first() {
            let (from, to) = (cell_name(start.0, start.1), cell_name(end.0, end.1));
            let n = self.merged.len();
            notices.push(format!(
                "{n} ranges of cells are merged, such as {from}:{to}: only the first cell of each has the value"
            ));
        }
        let texts = others.into_iter().map(|other| !other).collect();
        Ok(Sheet {
            workbook: workbook.to_owned(),
            text: text.into_bytes().into(),
            above: u64::from(first),
            texts,
            notices,
        })
    }
}

fn rows_of_xlsx(
    book: &mut Xlsx<BufReader<File>>,
    sheet: &str,
    push: &mut impl FnMut(u32, u32, Data),
) -> Result<(), Error> {
    let mut cells = book.worksheet_cells_reader(sheet).map_err(Error::Xlsx)?;
    while let Some(cell) = cells.next_cell().map_err(Error::Xlsx)? {
        let (row, column) = cell.get_position();
        push(row, column, owned(cell.get_value()));
    }
    Ok(())
}

fn rows_of_xlsb(
    book: &mut Xlsb<BufReader<File>>,
    sheet: &str,
    push: &mut impl FnMut(u32, u32, Data),
) -> Result<(), Error> {
    let mut cells = book.worksheet_cells_reader(sheet).map_err(Error::Xlsb)?;
    while let Some(cell) = cells.next_cell().map_err(Error::Xlsb)? {
        let (row, column) = cell.get_position();
        push(row, column, owned(cell.get_value()));
    }
    Ok(())
}

fn owned(value: &DataRef<'_>) -> Data {
    value.clone().into()
}

fn dense(range: calamine::Range<Data>, push: &mut impl FnMut(u32, u32, Data)) {
    let (top, left) = range.start().unwrap_or_default();
    for (row, cells) in (top..).zip(range.rows()) {
        for (column, value) in (left..).zip(cells) {
            push(row, column, value.clone());
        }
    }
}

/// Ranges of merged cells, of formats that tell them; a book that does not is none the worse.
fn merged(book: &mut Sheets<BufReader<File>>, sheet: &str) -> Vec<((u32, u32), (u32, u32))> {
    let all = match book {
        Sheets::Xlsx(book) => book.merge_cells_by_sheet_name(sheet).unwrap_or_default(),
        Sheets::Xls(book) => book.merge_cells_by_sheet_name(sheet).unwrap_or_default(),
        Sheets::Xlsb(_) | Sheets::Ods(_) => Vec::new(),
    };
    all.into_iter().map(|d| (d.start, d.end)).collect()
}

/// Commas up to the last column, and the end of the row. A row of a single empty cell is no blank line.
fn end_row(text: &mut String, missing: u32, width: u64) {
    if width == 1 && (text.is_empty() || text.ends_with('\n')) {
        text.push_str("\"\"");
    }
    text.extend((0..missing).map(|_| ','));
    text.push('\n');
}

fn write_cell(value: &Data, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = match value {
        Data::Empty | Data::Error(_) => Ok(()),
        Data::Int(n) => write!(out, "{n}"),
        // Workbooks have no whole numbers: what is whole was meant so.
        Data::Float(x) if x.fract() == 0.0 && x.abs() < 9_007_199_254_740_992.0 => write!(out, "{}", *x as i64),
        Data::Float(x) => write!(out, "{x:?}"),
        Data::Bool(b) => write!(out, "{b}"),
        Data::DateTime(moment) => {
            out.push_str(&moment_text(moment));
            Ok(())
        }
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => {
            if text.contains([',', '"', '\n', '\r']) || text.is_empty() || text.trim() != text {
                out.push('"');
                out.push_str(&text.replace('"', "\"\""));
                out.push('"');
            } else {
                out.push_str(text);
            }
            Ok(())
        }
    };
}

/// A day, a day with a time, a time of day, or a duration: whatever the number and its format mean.
fn moment_text(moment: &ExcelDateTime) -> String {
    let mut out = Vec::new();
    let nanos = |days: f64| {
        // Milliseconds are what workbooks keep.
        ((days * NANOS_PER_DAY / 1e6).round() * 1e6) as i64
    };
    if moment.is_duration() {
        write_duration(nanos(moment.as_f64()), &mut out);
    } else if (0.0..1.0).contains(&moment.as_f64()) {
        write_time(nanos(moment.as_f64()).min(86_399_999_000_000), &mut out);
    } else {
        let (year, month, day, hour, minute, second, milli) = moment.to_ymd_hms_milli();
        let mut text = format!("{year:04}-{month:02}-{day:02}");
        if (hour, minute, second, milli) != (0, 0, 0, 0) {
            text.push_str(&format!(" {hour:02}:{minute:02}:{second:02}"));
            if milli > 0 {
                text.push_str(&format!(".{milli:03}"));
            }
        }
        return text;
    }
    String::from_utf8(out).unwrap_or_default()
}

/// `B3`.
fn cell_name(row: u32, column: u32) -> String {
    let (mut letters, mut n) = (Vec::new(), column + 1);
    while n > 0 {
        letters.push(char::from(b'A' + ((n - 1) % 26) as u8));
        n = (n - 1) / 26;
    }
    let letters: String = letters.into_iter().rev().collect();
    format!("{letters}{}", row + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(cells: &[(u32, u32, Data)]) -> Sheet {
        Rows { cells: cells.to_vec(), merged: Vec::new() }.sheet("b.xlsx/S", Path::new("b.xlsx")).unwrap()
    }

    fn text(text: &str) -> Data {
        Data::String(text.to_owned())
    }

    #[test]
    fn cells_become_text_in_their_places() {
        let sheet = rows(&[
            (2, 1, text("id")),
            (2, 2, text("a, \"b\"")),
            (3, 1, Data::Float(1.0)),
            (3, 3, Data::Bool(true)),
            (5, 2, Data::Float(0.1)),
        ]);
        assert_eq!(std::str::from_utf8(&sheet.text).unwrap(), "id,\"a, \"\"b\"\"\",\n1,,true\n,,\n,0.1,\n");
        assert_eq!((sheet.above, sheet.texts), (2, vec![false, false, false]));
        assert!(Rows::default().sheet("x", Path::new("x")).is_err());
        let one = rows(&[(0, 0, text("x")), (2, 0, text("007"))]);
        assert_eq!(std::str::from_utf8(&one.text).unwrap(), "x\n\"\"\n007\n");
        assert_eq!(one.texts, [true]);
        let far = Rows { cells: vec![(0, 0, text("x")), (1_048_575, 16_383, text("y"))], merged: Vec::new() };
        assert!(matches!(far.sheet("x", Path::new("x")), Err(SourceError::FarApart { .. })));
    }

    #[test]
    fn ranges_and_names_of_cells() {
        assert_eq!("A1:D20".parse(), Ok(CellRange { rows: (0, 19), columns: (0, 3) }));
        assert_eq!("b3:AA".parse(), Ok(CellRange { rows: (2, u32::MAX), columns: (1, 26) }));
        for no in ["A1", "A0:B1", "B1:A1", "A5:B1", "1:2", "A1:B2:C3", "AAAA1:B2", ":"] {
            assert!(no.parse::<CellRange>().is_err(), "{no}");
        }
        assert_eq!([cell_name(0, 0), cell_name(2, 25), cell_name(9, 26)], ["A1", "Z3", "AA10"]);
    }
}
