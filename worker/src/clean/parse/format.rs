//! strftime formats, compiled to a reader that allocates nothing. Rare directives are left to chrono.

use chrono::format::{Item as ChronoItem, Parsed as ChronoParsed, StrftimeItems};
use chrono::{Datelike, Timelike};

/// A date and time of day as it was written, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Days since 1970.
    pub days: i32,
    pub micros: i64,
    /// Seconds east of UTC, if the text says so.
    pub offset: Option<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Literal(u8),
    /// One or more spaces.
    Space,
    Year,
    ShortYear,
    Month,
    MonthName,
    Day,
    Hour,
    Hour12,
    HalfOfDay,
    Minute,
    Second,
    Fraction,
    /// A point and digits, or nothing.
    PointFraction,
    Offset,
}

pub struct Format {
    items: Vec<Item>,
    /// The format for chrono, where it has directives that are not read here.
    chrono: Option<Vec<ChronoItem<'static>>>,
}

/// Why a format of times cannot be read with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("the format `{0}` has no year")]
    NoYear(String),
    #[error("`{0}` is not a strftime format")]
    NotStrftime(String),
}

impl Format {
    pub fn compile(format: &str) -> Result<Format, FormatError> {
        let mut items = Vec::new();
        if compile_items(format, &mut items).is_some() {
            if !items.iter().any(|i| matches!(i, Item::Year | Item::ShortYear)) {
                return Err(FormatError::NoYear(format.to_owned()));
            }
            return Ok(Format { items, chrono: None });
        }
        let chrono = StrftimeItems::new(format).parse_to_owned();
        let chrono = chrono.map_err(|_| FormatError::NotStrftime(format.to_owned()))?;
        Ok(Format { items: Vec::new(), chrono: Some(chrono) })
    }

    #[inline]
    pub fn read(&self, text: &str) -> Option<Moment> {
        match &self.chrono {
            None => read_items(&self.items, text.as_bytes()),
            Some(items) => read_with_chrono(items, text),
        }
    }
}

/// `None` where a directive is not read here.
fn compile_items(format: &str, items: &mut Vec<Item>) -> Option<()> {
    let mut bytes = format.bytes();
    while let Some(byte) = bytes.next() {
        if byte.is_ascii_whitespace() {
            items.push(Item::Space);
            continue;
        }
        if byte != b'%' {
            items.push(Item::Literal(byte));
            continue;
        }
        items.push(match bytes.next()? {
            b'Y' => Item::Year,
            b'y' => Item::ShortYear,
            b'm' => Item::Month,
            b'b' | b'B' | b'h' => Item::MonthName,
            b'd' | b'e' => Item::Day,
            b'H' => Item::Hour,
            b'I' => Item::Hour12,
            b'p' | b'P' => Item::HalfOfDay,
            b'M' => Item::Minute,
            b'S' => Item::Second,
            b'f' => Item::Fraction,
            b'.' if bytes.next()? == b'f' => Item::PointFraction,
            b'z' => Item::Offset,
            b'%' => Item::Literal(b'%'),
            b'T' => {
                compile_items("%H:%M:%S", items)?;
                continue;
            }
            b'R' => {
                compile_items("%H:%M", items)?;
                continue;
            }
            b'F' => {
                compile_items("%Y-%m-%d", items)?;
                continue;
            }
            b'D' => {
                compile_items("%m/%d/%y", items)?;
                continue;
            }
            _ => return None,
        });
    }
    Some(())
}

/// Takes one to `most` digits off the front.
#[inline]
fn digits(text: &mut &[u8], least: usize, most: usize) -> Option<u32> {
    let mut value = 0u32;
    let mut n = 0;
    while n < most
        && let Some(byte) = text.get(n)
        && byte.is_ascii_digit()
    {
        value = value * 10 + u32::from(byte - b'0');
        n += 1;
    }
    *text = text.get(n..)?;
    if n < least { None } else { Some(value) }
}

/// Takes up to nine digits of a fraction of a second; beyond microseconds they are cut.
fn fraction(text: &mut &[u8]) -> Option<i64> {
    let before = text.len();
    let value = i64::from(digits(text, 1, 9)?);
    let n = before - text.len();
    let power = |n: usize| 10i64.pow(n as u32);
    Some(if n <= 6 { value * power(6 - n) } else { value / power(n - 6) })
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

fn month_name(text: &mut &[u8]) -> Option<u32> {
    let starts = |word: &[u8]| text.get(..word.len()).is_some_and(|t| t.eq_ignore_ascii_case(word));
    let (index, name) = MONTHS.iter().enumerate().find(|(_, name)| starts(&name.as_bytes()[..3]))?;
    let taken = if starts(name.as_bytes()) { name.len() } else { 3 };
    *text = text.get(taken..)?;
    Some(index as u32 + 1)
}

/// `Z`, `+02`, `+0200` or `+02:00`.
fn offset(text: &mut &[u8]) -> Option<i32> {
    let (sign, rest) = text.split_first()?;
    *text = rest;
    let sign = match sign {
        b'Z' | b'z' => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = digits(text, 2, 2)?;
    if let Some((b':', rest)) = text.split_first() {
        *text = rest;
    }
    let minutes = if text.first().is_some_and(u8::is_ascii_digit) { digits(text, 2, 2)? } else { 0 };
    if hours > 23 || minutes > 59 { None } else { Some(sign * (hours * 3600 + minutes * 60) as i32) }
}

#[inline]
fn read_items(items: &[Item], mut text: &[u8]) -> Option<Moment> {
    let (mut year, mut month, mut day) = (0i32, 1u32, 1u32);
    let (mut hour, mut minute, mut second, mut micros) = (0u32, 0u32, 0u32, 0i64);
    let (mut half, mut twelve, mut zone) = (None, false, None);
    let text = &mut text;
    for item in items {
        match item {
            Item::Literal(byte) => {
                let (first, rest) = text.split_first()?;
                if first != byte {
                    return None;
                }
                *text = rest;
            }
            Item::Space => {
                let spaces = text.iter().take_while(|b| b.is_ascii_whitespace()).count();
                if spaces == 0 {
                    return None;
                }
                *text = text.get(spaces..)?;
            }
            Item::Year => year = digits(text, 4, 4)? as i32,
            Item::ShortYear => {
                let short = digits(text, 2, 2)? as i32;
                year = if short < 69 { 2000 + short } else { 1900 + short };
            }
            Item::Month => month = digits(text, 1, 2)?,
            Item::MonthName => month = month_name(text)?,
            Item::Day => day = digits(text, 1, 2)?,
            Item::Hour => hour = digits(text, 1, 2)?,
            Item::Hour12 => {
                hour = digits(text, 1, 2)?;
                twelve = true;
            }
            Item::HalfOfDay => {
                let (word, rest) = text.split_at_checked(2)?;
                half = match word {
                    w if w.eq_ignore_ascii_case(b"am") => Some(0),
                    w if w.eq_ignore_ascii_case(b"pm") => Some(12),
                    _ => return None,
                };
                *text = rest;
            }
            Item::Minute => minute = digits(text, 1, 2)?,
            Item::Second => second = digits(text, 1, 2)?,
            Item::Fraction => micros = fraction(text)?,
            Item::PointFraction => {
                if let Some((b'.', rest)) = text.split_first() {
                    *text = rest;
                    micros = fraction(text)?;
                }
            }
            Item::Offset => zone = Some(offset(text)?),
        }
    }
    if twelve {
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12 + half.unwrap_or(0);
    }
    if !text.is_empty() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_since_1970(year, month, day)?;
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some(Moment { days, micros: seconds * 1_000_000 + micros, offset: zone })
}

/// Howard Hinnant's `days_from_civil`; `None` if there is no such day.
#[inline]
fn days_since_1970(year: i32, month: u32, day: u32) -> Option<i32> {
    const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *LENGTHS.get(month.wrapping_sub(1) as usize)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if day == 0 || day > length || (month == 2 && day == 29 && !leap) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 } as i32;
    let day_of_year = (153 * month_from_march + 2) / 5 + day as i32 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn read_with_chrono(items: &[ChronoItem<'static>], text: &str) -> Option<Moment> {
    let mut parsed = ChronoParsed::new();
    chrono::format::parse(&mut parsed, text, items.iter()).ok()?;
    if let Ok(instant) = parsed.to_datetime() {
        let local = instant.naive_local();
        let micros =
            local.time().num_seconds_from_midnight() as i64 * 1_000_000 + i64::from(local.time().nanosecond()) / 1000;
        return Some(Moment { days: days_of(local.date())?, micros, offset: Some(instant.offset().local_minus_utc()) });
    }
    if let Some(seconds) = parsed.timestamp() {
        let days = i32::try_from(seconds.div_euclid(86_400)).ok()?;
        return Some(Moment { days, micros: seconds.rem_euclid(86_400) * 1_000_000, offset: Some(0) });
    }
    let date = parsed.to_naive_date().ok()?;
    let micros = match parsed.to_naive_time() {
        Ok(time) => i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(time.nanosecond()) / 1000,
        Err(_) => 0,
    };
    Some(Moment { days: days_of(date)?, micros, offset: None })
}

fn days_of(date: chrono::NaiveDate) -> Option<i32> {
    date.num_days_from_ce().checked_sub(719_163)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{NaiveDate, NaiveDateTime};

    fn read(format: &str, text: &str) -> Option<String> {
        let moment = Format::compile(format).unwrap().read(text)?;
        let micros = i64::from(moment.days) * 86_400_000_000 + moment.micros;
        let shown = chrono::DateTime::from_timestamp_micros(micros).unwrap().naive_utc().to_string();
        Some(match moment.offset {
            Some(offset) => format!("{shown} {offset:+}"),
            None => shown,
        })
    }

    #[test]
    fn formats_read_what_they_say() {
        for (format, text, want) in [
            ("%Y-%m-%d %H:%M:%S", "2024-02-29 23:59:58", Some("2024-02-29 23:59:58")),
            ("%Y-%m-%d %H:%M:%S", "2023-02-29 23:59:58", None),
            ("%Y-%m-%d %H:%M:%S", "2024-02-29 24:00:00", None),
            ("%Y-%m-%d %H:%M:%S", "2024-02-29 23:59:58x", None),
            ("%Y-%m-%d %H:%M:%S", "2024-02-29", None),
            ("%Y-%m-%d", "24-02-29", None),
            ("%d/%m/%Y %H:%M", "5/3/2024 7:05", Some("2024-03-05 07:05:00")),
            ("%Y%m%d", "20240305", Some("2024-03-05 00:00:00")),
            ("%d.%m.%y", "01.02.69", Some("1969-02-01 00:00:00")),
            ("%d.%m.%y", "01.02.68", Some("2068-02-01 00:00:00")),
            ("%d %b %Y", "05 mar 2024", Some("2024-03-05 00:00:00")),
            ("%B %d, %Y", "March 5, 2024", Some("2024-03-05 00:00:00")),
            ("%Y-%m-%d %I:%M %p", "2024-03-05 12:30 AM", Some("2024-03-05 00:30:00")),
            ("%Y-%m-%d %I:%M %p", "2024-03-05 12:30 pm", Some("2024-03-05 12:30:00")),
            ("%Y-%m-%d %I:%M %p", "2024-03-05 13:30 pm", None),
            ("%FT%T%.f", "2024-03-05T01:02:03.25", Some("2024-03-05 01:02:03.250")),
            ("%FT%T%.f", "2024-03-05T01:02:03", Some("2024-03-05 01:02:03")),
            ("%F %T,%f", "2024-03-05 01:02:03,123456789", Some("2024-03-05 01:02:03.123456")),
            ("%FT%T%z", "2024-03-05T01:02:03+02:00", Some("2024-03-05 01:02:03 +7200")),
            ("%FT%T%z", "2024-03-05T01:02:03Z", Some("2024-03-05 01:02:03 +0")),
            ("%FT%T%z", "2024-03-05T01:02:03-0130", Some("2024-03-05 01:02:03 -5400")),
            ("%Y-%j", "2024-060", Some("2024-02-29 00:00:00")),
            ("%a %d %b %Y", "Tue 05 Mar 2024", Some("2024-03-05 00:00:00")),
            ("%s", "86400", Some("1970-01-02 00:00:00 +0")),
            ("%Y-%m", "2024-03", Some("2024-03-01 00:00:00")),
        ] {
            assert_eq!(read(format, text).as_deref(), want, "{format} {text}");
        }
        assert_eq!(Format::compile("%H:%M").err(), Some(FormatError::NoYear("%H:%M".into())));
    }

    #[test]
    fn days_equal_chrono() {
        let mut date = NaiveDate::from_ymd_opt(1, 1, 1).unwrap();
        while date.year() < 4000 {
            let days = days_since_1970(date.year(), date.month(), date.day());
            assert_eq!(days, days_of(date), "{date}");
            date += chrono::TimeDelta::days(13);
        }
        assert_eq!(days_of(NaiveDate::default()), Some(0));
        let _: NaiveDateTime = NaiveDate::default().into();
    }
}
