//! What sort of thing a cell is, to tell names of columns from what stands below them.

use super::super::cells::{parse_boolean, parse_date, parse_datetime, parse_datetime_utc, parse_float64, parse_int64};
use super::super::nulls::COMMON_NULLS;
use crate::schema::Unit;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Empty,
    /// What people write where they have no value.
    Mark,
    Integer(i64),
    Fraction(f64),
    Boolean,
    /// A day or a time of day, in one of the usual ways of writing.
    Time,
    /// A value that is neither: an amount, a percentage, a number with leading zeros, an address, an identifier.
    Odd,
    Text,
}

impl Kind {
    pub fn of(cell: &str) -> Self {
        let cell = cell.trim();
        let bytes = cell.as_bytes();
        if cell.is_empty() {
            Kind::Empty
        } else if is_mark(cell) {
            Kind::Mark
        } else if let Some(number) = parse_int64(bytes) {
            Kind::Integer(number)
        } else if let Some(number) = parse_float64(bytes) {
            Kind::Fraction(number)
        } else if parse_boolean(bytes).is_some() {
            Kind::Boolean
        } else if is_time(cell) {
            Kind::Time
        } else if let Some(number) = decimal_comma(cell) {
            Kind::Fraction(number)
        } else if is_odd(cell) {
            Kind::Odd
        } else {
            Kind::Text
        }
    }

    /// Whether it is a value rather than a word.
    pub const fn is_value(self) -> bool {
        !matches!(self, Kind::Empty | Kind::Mark | Kind::Text)
    }

    pub const fn is_number(self) -> bool {
        matches!(self, Kind::Integer(_) | Kind::Fraction(_))
    }

    pub const fn number(self) -> Option<f64> {
        match self {
            Kind::Integer(n) => Some(n as f64),
            Kind::Fraction(x) => Some(x),
            _ => None,
        }
    }
}

fn is_mark(cell: &str) -> bool {
    COMMON_NULLS.contains(&cell)
        || matches!(cell, "-" | "--" | "?" | "." | "*" | "\\N" | ":")
        || ["nan", "none", "nil", "missing"].iter().any(|mark| cell.eq_ignore_ascii_case(mark))
}

fn is_time(cell: &str) -> bool {
    let bytes = cell.as_bytes();
    let of_unit = |unit| parse_datetime(bytes, unit).is_some() || parse_datetime_utc(bytes, unit).is_some();
    if parse_date(bytes).is_some() || [Unit::Micro, Unit::Nano].into_iter().any(of_unit) {
        return true;
    }
    // 1/22/20, 01.02.2024, 10:00:01, 20240101T100000Z, 01/02/2024 10:00 AM: groups of digits, and nothing else but AM, PM, T, Z.
    let groups: Vec<&str> = cell.split(|c: char| !c.is_ascii_digit()).filter(|g| !g.is_empty()).collect();
    let marks: Vec<char> = cell.chars().filter(|c| !c.is_ascii_digit()).collect();
    let is_mark = |c: &char| matches!(c, '.' | '/' | '-' | ':' | ' ' | 'T' | 'Z' | 'A' | 'P' | 'M' | 'a' | 'p' | 'm');
    if !marks.iter().all(is_mark) || !cell.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let dated = groups.len() >= 3 && marks.iter().filter(|c| matches!(c, '.' | '/' | '-')).count() == 2;
    let timed = groups.len() >= 2 && groups.iter().all(|g| g.len() <= 4) && marks.contains(&':');
    let compact = groups.len() == 2 && marks.contains(&'T') && groups.first().is_some_and(|g| g.len() == 8);
    let short = groups.iter().all(|g| g.len() <= 4);
    (dated && short) || timed || compact
}

/// `3,5` and `1.234,56`.
fn decimal_comma(cell: &str) -> Option<f64> {
    if !cell.contains(',') {
        return None;
    }
    let numbers = super::super::numbers::Numbers { decimal: ',', thousands: Some('.') };
    numbers.usual(cell, &mut String::new())?.parse().ok()
}

fn is_odd(cell: &str) -> bool {
    let digits = cell.bytes().filter(u8::is_ascii_digit).count();
    let figures = |c: char| {
        c.is_ascii_digit()
            || matches!(c, ' ' | '.' | ',' | ':' | '/' | '+' | '-' | '%' | '$' | '€' | '£' | '¥' | '\'' | '(' | ')')
    };
    let blank = cell.contains(char::is_whitespace);
    let uuid = cell.len() == 36 && cell.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (digits > 0 && cell.chars().all(figures))
        || (!blank && cell.contains("://"))
        || (!blank && cell.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.')))
        || uuid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_of_cells() {
        for (cell, kind) in [
            ("", Kind::Empty),
            ("NA", Kind::Mark),
            ("\\N", Kind::Mark),
            ("7", Kind::Integer(7)),
            ("1.5", Kind::Fraction(1.5)),
            ("3,5", Kind::Fraction(3.5)),
            ("1.234,50", Kind::Fraction(1234.5)),
            ("True", Kind::Boolean),
            ("2024-01-31", Kind::Time),
            ("1/22/20", Kind::Time),
            ("01.02.2024 10:00", Kind::Time),
            ("01/02/2024 10:00 AM", Kind::Time),
            ("10:00:01", Kind::Time),
            ("20240101T100000Z", Kind::Time),
            ("00123", Kind::Odd),
            ("+491234567", Kind::Odd),
            ("$3.50", Kind::Odd),
            ("5%", Kind::Odd),
            ("10.0.0.1", Kind::Odd),
            ("http://a.com/x", Kind::Odd),
            ("bob@x.com", Kind::Odd),
            ("550e8400-e29b-41d4-a716-446655440000", Kind::Odd),
            ("name", Kind::Text),
            ("1st", Kind::Text),
            ("Q1 2024", Kind::Text),
            ("3-5 years", Kind::Text),
        ] {
            assert_eq!(Kind::of(cell), kind, "{cell}");
        }
    }
}
