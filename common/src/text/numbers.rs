//! Numbers with another mark for the decimal point, or with marks between thousands.

use serde::{Deserialize, Serialize};

use super::cells::parse_float64;

/// How numbers are written: `1.234,5` has the decimal mark `,` and `.` between thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    pub decimal: char,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thousands: Option<char>,
}

impl Numbers {
    /// The number that is written so, as it is usually written; `None` if the cell is no such number. Thousands are all marked or
    /// none, by threes.
    pub fn usual<'a>(&self, cell: &str, out: &'a mut String) -> Option<&'a str> {
        out.clear();
        let (sign, rest) = match cell.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", cell),
        };
        out.push_str(sign);
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => rest.split_at_checked(at)?,
            None => (rest, ""),
        };
        let (whole, fraction) = match mantissa.split_once(self.decimal) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        self.whole(whole, out)?;
        if let Some(fraction) = fraction {
            out.push('.');
            push_digits(fraction, out)?;
        }
        if whole.is_empty() && fraction.is_none_or(str::is_empty) {
            return None;
        }
        if !exponent.is_empty() {
            let digits = exponent.get(1..)?;
            let digits = digits.strip_prefix(['-', '+']).unwrap_or(digits);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            out.push_str(exponent);
        }
        Some(out)
    }

    /// A cell as it is read where numbers are usual: a number of this notation as such, a number of the usual one as `None`, for it is
    /// none of this, anything else as it is.
    pub fn read<'a>(&self, cell: &'a str, out: &'a mut String) -> Option<&'a str> {
        if self.usual(cell, out).is_some() {
            return Some(out);
        }
        let number = cell.bytes().any(|b| b.is_ascii_digit()) && parse_float64(cell.as_bytes()).is_some();
        (!number).then_some(cell)
    }

    fn whole(&self, whole: &str, out: &mut String) -> Option<()> {
        let Some(mark) = self.thousands.filter(|mark| whole.contains(*mark)) else { return push_digits(whole, out) };
        for (at, group) in whole.split(mark).enumerate() {
            let fits = if at == 0 { (1..=3).contains(&group.len()) } else { group.len() == 3 };
            if !fits {
                return None;
            }
            push_digits(group, out)?;
        }
        Some(())
    }
}

fn push_digits(text: &str, out: &mut String) -> Option<()> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| out.push_str(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_another_notation() {
        let usual = |cell: &str, decimal, thousands| {
            Numbers { decimal, thousands }.usual(cell, &mut String::new()).map(str::to_owned)
        };
        let german = |cell| usual(cell, ',', Some('.'));
        for (cell, expected) in [
            ("1.234,5", Some("1234.5")),
            ("-1.234.567", Some("-1234567")),
            ("1234,5", Some("1234.5")),
            (",5", Some(".5")),
            ("5,", Some("5.")),
            ("1,5e-3", Some("1.5e-3")),
            ("007", Some("007")),
            ("1.23", None),
            ("1234.567", None),
            ("1,2,3", None),
            ("01.02.2024", None),
            ("", None),
            (",", None),
            ("-", None),
            ("1,5e", None),
            ("é1", None),
        ] {
            assert_eq!(german(cell).as_deref(), expected, "{cell}");
        }
        assert_eq!(usual("3.5", ',', None), None);
        assert_eq!(usual("1\u{a0}234", '.', Some('\u{a0}')).as_deref(), Some("1234"));
        assert_eq!(usual("1,234.5", '.', Some(',')).as_deref(), Some("1234.5"));
    }
}
