//! What a cell's text means, type by type, without allocation. Each function accepts exactly what a column of its type
//! may hold, so that text that would not come back the same (`007`, `+49`) stays text.

use super::bytes::parse_hex;
use super::decimals::parse_decimal;
use super::spans::{parse_duration, parse_time};
use crate::schema::{DataType, Unit};

/// Integers up to here are floats without loss.
const MAX_EXACT: u64 = 1 << 53;
const SECONDS_PER_DAY: i64 = 86_400;

/// Whether the cell is a value of the type, without loss. Text holds everything, null nothing.
pub fn fits(cell: &[u8], dtype: DataType) -> bool {
    match dtype {
        DataType::Null => false,
        DataType::Boolean => parse_boolean(cell).is_some(),
        DataType::Int64 => parse_int64(cell).is_some(),
        DataType::Decimal { precision, scale } => parse_decimal(cell, precision, scale).is_some(),
        DataType::Float64 => parse_float64_exact(cell).is_some(),
        DataType::Date => parse_date(cell).is_some(),
        DataType::Time => parse_time(cell).is_some(),
        DataType::Datetime(unit) => parse_datetime(cell, unit).is_some(),
        DataType::DatetimeUtc(unit) => parse_datetime_utc(cell, unit).is_some(),
        DataType::Duration => parse_duration(cell).is_some(),
        DataType::Binary => parse_hex(cell).is_some(),
        DataType::String => true,
    }
}

/// `0`, `-5`, `12`: no leading zero, no `+`, no `-0`, within 64 bits.
#[inline]
pub fn parse_int64(cell: &[u8]) -> Option<i64> {
    let (negative, digits) = match cell {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, cell),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // 19 digits always fit 64 bits without a sign.
    let mut value: u64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    if negative { 0_i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// Whether the cell is digits behind an optional `-`, of any length.
pub fn integer_literal(cell: &[u8]) -> bool {
    let digits = cell.strip_prefix(b"-").unwrap_or(cell);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Whether a column of floats would lose digits of this integer.
pub const fn is_beyond_float(value: i64) -> bool {
    value.unsigned_abs() > MAX_EXACT
}

/// As [`parse_float64`], but an integer that a float cannot hold exactly is refused.
#[inline]
pub fn parse_float64_exact(cell: &[u8]) -> Option<f64> {
    let value = parse_float64(cell)?;
    // The cheap comparison comes first: few cells are that large. 2^53 + 1 is rounded to 2^53, hence `>=`.
    if value.abs() >= MAX_EXACT as f64 && integer_literal(cell) && parse_int64(cell).is_none_or(is_beyond_float) {
        return None;
    }
    Some(value)
}

/// `1`, `-2.50`, `.5`, `1e-3`, `NaN`, `inf`, `-Infinity`: no leading `+` of a number, no leading zero before another digit, and
/// not so large that it would become infinite.
#[inline]
pub fn parse_float64(cell: &[u8]) -> Option<f64> {
    let (negative, rest) = match cell {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, cell),
    };
    match rest {
        [b'0', b'0'..=b'9', ..] => None,
        [b'0'..=b'9' | b'.', ..] => short_decimal(negative, rest).or_else(|| {
            let value: f64 = std::str::from_utf8(cell).ok()?.parse().ok()?;
            value.is_finite().then_some(value)
        }),
        _ => named_float(negative, rest),
    }
}

/// `inf`, `infinity` and `nan` in any case, the first two also with a `+`.
#[cold]
fn named_float(negative: bool, name: &[u8]) -> Option<f64> {
    let infinite = |name: &[u8]| name.eq_ignore_ascii_case(b"inf") || name.eq_ignore_ascii_case(b"infinity");
    match name {
        [b'+', rest @ ..] if !negative => infinite(rest).then_some(f64::INFINITY),
        name if infinite(name) => Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY }),
        name if name.eq_ignore_ascii_case(b"nan") => Some(f64::NAN),
        _ => None,
    }
}

/// Decimals of up to 15 digits: mantissa and power of ten are both exact as floats, so that one division rounds
/// correctly (Clinger 1990, "How to read floating point numbers accurately").
#[inline]
fn short_decimal(negative: bool, text: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    if text.len() > 16 {
        return None;
    }
    let (mut mantissa, mut digits, mut point) = (0_u64, 0_usize, None);
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            mantissa = mantissa * 10 + u64::from(digit);
            digits += 1;
        } else if *byte == b'.' && point.is_none() {
            point = Some(digits);
        } else {
            return None;
        }
    }
    if digits == 0 || digits > 15 {
        return None;
    }
    let value = mantissa as f64 / POWERS.get(digits - point.unwrap_or(digits))?;
    Some(if negative { -value } else { value })
}

/// `true` and `false` in any case.
#[inline]
pub fn parse_boolean(cell: &[u8]) -> Option<bool> {
    if cell.eq_ignore_ascii_case(b"true") {
        Some(true)
    } else if cell.eq_ignore_ascii_case(b"false") {
        Some(false)
    } else {
        None
    }
}

/// `YYYY-MM-DD` as days since 1970; with a sign, years of four to six digits.
#[inline]
pub fn parse_date(cell: &[u8]) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = cell else { return far_date(cell) };
    let year = i32::from(two(*y1, *y2)?) * 100 + i32::from(two(*y3, *y4)?);
    date_of(year, [*m1, *m2, *d1, *d2])
}

/// `-0044-03-15`, `+10000-01-01`: what is written of years that are not among 0000 to 9999.
#[cold]
fn far_date(cell: &[u8]) -> Option<i32> {
    let [sign @ (b'-' | b'+'), rest @ ..] = cell else { return None };
    let (years, [b'-', m1, m2, b'-', d1, d2]) = rest.split_last_chunk::<6>()? else { return None };
    if !(4..=6).contains(&years.len()) || !years.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let year = years.iter().fold(0, |year, digit| year * 10 + i32::from(digit - b'0'));
    date_of(if *sign == b'-' { -year } else { year }, [*m1, *m2, *d1, *d2])
}

#[inline]
fn date_of(year: i32, [m1, m2, d1, d2]: [u8; 4]) -> Option<i32> {
    let (month, day) = (two(m1, m2)?, two(d1, d2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u8::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    (1..=length).contains(&day).then(|| days_from_civil(year, i32::from(month), i32::from(day)))
}

/// `YYYY-MM-DD[T ]HH:MM[:SS[.f]]`, or a date alone (its midnight), in units since 1970.
#[inline]
pub fn parse_datetime(cell: &[u8], unit: Unit) -> Option<i64> {
    if cell.len() == 10 {
        return i64::from(parse_date(cell)?).checked_mul(unit.per_day());
    }
    match split_datetime(cell) {
        Some((seconds, nanos, [])) => ticks(seconds, nanos, unit),
        Some(_) => None,
        None => i64::from(far_date(cell)?).checked_mul(unit.per_day()),
    }
}

/// A date and time with `Z`, `+hh`, `+hhmm` or `+hh:mm`, in units since 1970 UTC.
#[inline]
pub fn parse_datetime_utc(cell: &[u8], unit: Unit) -> Option<i64> {
    let (seconds, nanos, zone) = split_datetime(cell)?;
    let (sign, hours, minutes) = match zone {
        b"Z" | b"z" => return ticks(seconds, nanos, unit),
        [sign, h1, h2] => (sign, two(*h1, *h2)?, 0),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, two(*h1, *h2)?, two(*m1, *m2)?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = i64::from(hours) * 3600 + i64::from(minutes) * 60;
    match sign {
        b'+' => ticks(seconds - offset, nanos, unit),
        b'-' => ticks(seconds + offset, nanos, unit),
        _ => None,
    }
}

/// Seconds and nanoseconds in units; nothing, where there are not enough of them or the unit is too coarse.
#[inline]
fn ticks(seconds: i64, nanos: u32, unit: Unit) -> Option<i64> {
    let part = match unit {
        Unit::Micro if !nanos.is_multiple_of(1000) => return None,
        Unit::Micro => nanos / 1000,
        Unit::Nano => nanos,
    };
    if seconds < 0 {
        // From the second after it: the one before may be out of range where the sum of both is not.
        return (seconds + 1).checked_mul(unit.per_second())?.checked_add(i64::from(part) - unit.per_second());
    }
    seconds.checked_mul(unit.per_second())?.checked_add(i64::from(part))
}

/// Seconds since 1970 by the clock on the wall, nanoseconds, and what follows the time.
#[inline]
fn split_datetime(cell: &[u8]) -> Option<(i64, u32, &[u8])> {
    let date = match cell {
        [b'-' | b'+', ..] => memchr::memchr2(b'T', b' ', cell)?,
        _ => 10,
    };
    let (date, rest) = cell.split_at_checked(date)?;
    let [b'T' | b' ', rest @ ..] = rest else { return None };
    let (seconds, nanos, rest) = split_time(rest)?;
    let days = i64::from(parse_date(date)?);
    Some((days * SECONDS_PER_DAY + i64::from(seconds), nanos, rest))
}

/// `HH:MM[:SS[.f]]` as seconds since midnight and nanoseconds, and what follows.
#[inline]
pub(super) fn split_time(text: &[u8]) -> Option<(u32, u32, &[u8])> {
    let [h1, h2, b':', m1, m2, rest @ ..] = text else { return None };
    let (hour, minute) = (two(*h1, *h2)?, two(*m1, *m2)?);
    let (mut second, mut nanos, mut rest) = (0, 0, rest);
    if let [b':', s1, s2, after @ ..] = rest {
        second = two(*s1, *s2)?;
        rest = after;
        if let [b'.', after @ ..] = rest {
            (nanos, rest) = fraction(after)?;
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((u32::from(hour) * 3600 + u32::from(minute) * 60 + u32::from(second), nanos, rest))
}

/// The nanoseconds of a fraction's digits, and what follows them. Digits beyond the ninth must be zeros.
#[inline]
pub(super) fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let count = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(count)?;
    if digits.is_empty() || digits.iter().skip(9).any(|b| *b != b'0') {
        return None;
    }
    let nanos = (0..9).fold(0, |sum, i| sum * 10 + u32::from(digits.get(i).map_or(0, |b| b - b'0')));
    Some((nanos, rest))
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<u8> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    // Not `then_some`: its argument is computed for any bytes, and the product of some overflows.
    (tens <= 9 && ones <= 9).then(|| tens * 10 + ones)
}

/// Days since 1970 of a date of the Gregorian calendar: `days_from_civil` of Howard Hinnant's
/// "chrono-Compatible Low-Level Date Algorithms".
const fn days_from_civil(year: i32, month: i32, day: i32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, NaiveDate};
    use proptest::prelude::*;

    fn int(text: &str) -> Option<i64> {
        parse_int64(text.as_bytes())
    }

    fn float(text: &str) -> Option<f64> {
        parse_float64(text.as_bytes())
    }

    #[test]
    fn integers() {
        assert_eq!(int("0"), Some(0));
        assert_eq!(int("-5"), Some(-5));
        assert_eq!(int("9223372036854775807"), Some(i64::MAX));
        assert_eq!(int("-9223372036854775808"), Some(i64::MIN));
        for no in [
            "",
            "-",
            "+1",
            "007",
            "-0",
            "00",
            "9223372036854775808",
            "-9223372036854775809",
            "1.0",
            " 1",
            "1e3",
            "99999999999999999999",
            "1:",
        ] {
            assert_eq!(int(no), None, "{no}");
        }
    }

    #[test]
    fn floats() {
        assert_eq!(float("1.50"), Some(1.5));
        assert_eq!(float("-.5"), Some(-0.5));
        assert_eq!(float("1."), Some(1.0));
        assert_eq!(float("0.1"), Some(0.1));
        assert_eq!(float("-1e-3"), Some(-0.001));
        assert_eq!(float("12345678901234567890.25"), Some(12345678901234567890.25));
        assert_eq!(float("-0").map(f64::to_bits), Some((-0.0f64).to_bits()));
        assert_eq!(float("-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(float("Infinity"), Some(f64::INFINITY));
        assert_eq!((float("+INF"), float("-inFinity")), (Some(f64::INFINITY), Some(f64::NEG_INFINITY)));
        assert!(["NaN", "nan", "NAN", "-nan"].iter().all(|text| float(text).unwrap().is_nan()));
        for no in [
            "", "-", ".", "-.", "+1.5", "007", "00.5", "1e400", "1,5", "info", "in", "e5", "1.2.3", "1_0", "0x1p3",
            "-+inf", "+nan1", "+",
        ] {
            assert_eq!(float(no), None, "{no}");
        }
        assert_eq!(parse_float64_exact(b"9007199254740992"), Some(9007199254740992.0));
        assert_eq!(parse_float64_exact(b"9007199254740993"), None);
        assert_eq!(parse_float64_exact(b"12345678901234567890"), None);
        assert_eq!(float("9007199254740993"), Some(9007199254740992.0));
    }

    #[test]
    fn booleans() {
        assert_eq!(parse_boolean(b"TRUE"), Some(true));
        assert_eq!(parse_boolean(b"False"), Some(false));
        assert_eq!(parse_boolean(b"yes"), None);
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(parse_date(b"1970-01-01"), Some(0));
        assert_eq!(parse_date(b"2024-02-29"), Some(19_782));
        for no in [
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "2024-01-00",
            "2024-04-31",
            "24-01-01",
            "2024/01/01",
            "2024-1-01",
        ] {
            assert_eq!(parse_date(no.as_bytes()), None, "{no}");
        }
        let micro = |text: &str| parse_datetime(text.as_bytes(), Unit::Micro);
        let utc = |text: &str| parse_datetime_utc(text.as_bytes(), Unit::Micro);
        let day = 86_400_000_000;
        assert_eq!(micro("1970-01-02"), Some(day));
        assert_eq!(micro("1970-01-01T00:01"), Some(60_000_000));
        assert_eq!(micro("1970-01-01 00:00:01.5"), Some(1_500_000));
        assert_eq!(micro("1969-12-31 23:59:59.999999000"), Some(-1));
        for no in [
            "1970-01-01 00:00:00.1234567",
            "1970-01-01 24:00",
            "1970-01-01 00:00:60",
            "1970-01-01 00:00:00.",
            "1970-01-01T00:00Z",
            "1970-01-01 ",
            "1970-01-01\0\0 \0\0:\0\0",
            "1970-01-01T\0\0:\0\0",
        ] {
            assert_eq!(micro(no), None, "{no}");
        }
        for zone in ["+01:00", "+0100", "+01"] {
            assert_eq!(utc(&format!("1970-01-01T01:00:00{zone}")), Some(0), "{zone}");
        }
        assert_eq!(utc("1970-01-01T00:00:00.25Z"), Some(250_000));
        assert_eq!(utc("1970-01-01 00:00-02:30"), Some(9_000_000_000));
        for no in [
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00+1",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00 Z",
            "1970-01-01Z",
        ] {
            assert_eq!(utc(no), None, "{no}");
        }
        let nano = |text: &str| parse_datetime(text.as_bytes(), Unit::Nano);
        assert_eq!(nano("1970-01-01 00:00:00.123456789"), Some(123_456_789));
        assert_eq!(nano("1970-01-01 00:00:00.1234567890"), Some(123_456_789));
        assert_eq!(nano("1969-12-31"), Some(-86_400_000_000_000));
        assert_eq!(
            (nano("9999-12-31"), nano("2300-01-01 00:00"), nano("1970-01-01 00:00:00.1234567891")),
            (None, None, None)
        );
        assert_eq!(parse_datetime_utc(b"1970-01-01 01:00:00.000000001+01", Unit::Nano), Some(1));
    }

    proptest! {
        #[test]
        fn far_days_come_back(days in -60_000_000_i32..60_000_000) {
            let mut text = Vec::new();
            super::super::written::write_date(i64::from(days), &mut text);
            prop_assert_eq!(parse_date(&text), Some(days), "{}", String::from_utf8_lossy(&text));
            let micros = i64::from(days) * 86_400_000_000 + 1;
            text.clear();
            super::super::written::write_datetime(micros, Unit::Micro, true, &mut text);
            prop_assert_eq!(parse_datetime_utc(&text, Unit::Micro), Some(micros));
        }

        #[test]
        fn every_date_is_chronos(days in -719_528i32..2_932_896) {
            let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
            let date = epoch.checked_add_signed(chrono::TimeDelta::days(i64::from(days))).unwrap();
            prop_assert_eq!(parse_date(date.format("%Y-%m-%d").to_string().as_bytes()), Some(days));
        }

        #[test]
        fn every_instant_is_chronos(micros in -62_000_000_000_000_000i64..250_000_000_000_000_000) {
            let text = DateTime::from_timestamp_micros(micros).unwrap().format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
            prop_assert_eq!(parse_datetime(text.as_bytes(), Unit::Micro), Some(micros));
        }

        #[test]
        fn decimals_are_stds(mantissa in 0u64..1_000_000_000_000_000, places in 0usize..16, negative: bool) {
            let digits = format!("{:0>1$}", mantissa, places + 1);
            let (whole, part) = digits.split_at(digits.len() - places);
            let text = format!("{}{whole}.{part}", if negative { "-" } else { "" });
            prop_assert_eq!(parse_float64(text.as_bytes()).map(f64::to_bits), Some(text.parse::<f64>().unwrap().to_bits()));
        }

        #[test]
        fn integers_are_stds(value: i64) {
            prop_assert_eq!(parse_int64(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn garbage_is_refused_quietly(cell in proptest::collection::vec(any::<u8>(), 0..32)) {
            for dtype in [
                "boolean", "int64", "float64", "decimal(38,19)", "date", "time", "datetime", "datetime_ns", "datetime_utc", "duration",
                "binary",
            ] {
                fits(&cell, dtype.parse().unwrap());
            }
        }
    }
}
