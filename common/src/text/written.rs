//! Values as text: the same in files, on the terminal and where a column becomes text.

use std::io::Write;

use crate::schema::Unit;

const SECOND: i64 = 1_000_000_000;

/// The shortest text that reads back as the same number; whole numbers keep a `.0`.
pub fn float_text(x: f64) -> String {
    if x.is_nan() {
        "NaN".into()
    } else if x.is_infinite() {
        if x > 0.0 { "inf".into() } else { "-inf".into() }
    } else {
        format!("{x:?}")
    }
}

/// A decimal with all digits of its scale: `1.50`, `-0.05`.
pub fn write_decimal(value: i128, scale: u8, out: &mut Vec<u8>) {
    let digits = format!("{:0>1$}", value.unsigned_abs(), usize::from(scale) + 1);
    let (whole, part) = digits.split_at(digits.len() - usize::from(scale));
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(whole.as_bytes());
    if !part.is_empty() {
        out.push(b'.');
        out.extend_from_slice(part.as_bytes());
    }
}

/// `2024-01-31` from days since 1970.
pub fn write_date(days: i64, out: &mut Vec<u8>) {
    // The civil calendar in eras of 400 years (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let z = days.saturating_add(719_468);
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    if (0..=9999).contains(&year) {
        digits(year, 4, out);
    } else {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{year:+05}");
    }
    out.push(b'-');
    digits(month, 2, out);
    out.push(b'-');
    digits(day, 2, out);
}

/// `2024-01-31 12:00:00`, with as much of a fraction as there is, and `Z` for instants.
pub fn write_datetime(ticks: i64, unit: Unit, utc: bool, out: &mut Vec<u8>) {
    write_date(ticks.div_euclid(unit.per_day()), out);
    out.push(b' ');
    write_time(ticks.rem_euclid(unit.per_day()) * (SECOND / unit.per_second()), out);
    if utc {
        out.push(b'Z');
    }
}

/// `12:00:00` from nanoseconds since midnight, with six or nine digits of a fraction where there is one.
pub fn write_time(nanos: i64, out: &mut Vec<u8>) {
    let seconds = nanos / SECOND;
    digits(seconds / 3600, 2, out);
    for n in [seconds / 60 % 60, seconds % 60] {
        out.push(b':');
        digits(n, 2, out);
    }
    write_fraction(nanos % SECOND, out);
}

fn write_fraction(nanos: i64, out: &mut Vec<u8>) {
    if nanos > 0 {
        out.push(b'.');
        if nanos % 1000 == 0 { digits(nanos / 1000, 6, out) } else { digits(nanos, 9, out) }
    }
}

/// Nanoseconds as ISO 8601 has it: `P1DT2H3M4.500000S`, `-PT1S`, `PT0S`.
pub fn write_duration(nanos: i64, out: &mut Vec<u8>) {
    let size = nanos.unsigned_abs();
    let (seconds, fraction) = (size / SECOND as u64, (size % SECOND as u64) as i64);
    out.extend_from_slice(if nanos < 0 { b"-P" } else { b"P" });
    let part = |n: u64, name: &str, out: &mut Vec<u8>| {
        if n > 0 {
            let _ = write!(out, "{n}{name}");
        }
    };
    part(seconds / 86_400, "D", out);
    let (hours, minutes, seconds) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    if size == 0 || hours + minutes + seconds > 0 || fraction > 0 {
        out.push(b'T');
        part(hours, "H", out);
        part(minutes, "M", out);
        if seconds > 0 || fraction > 0 || size == 0 {
            let _ = write!(out, "{seconds}");
            write_fraction(fraction, out);
            out.push(b'S');
        }
    }
}

/// The last `width` decimal digits of `n`.
fn digits(n: i64, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        out.push(b'0' + (n / 10_i64.pow(place) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_are_civil() {
        let date = |days| shown(|out| write_date(days, out));
        let days = [0, -1, 19_753, 11_016, -719_468 - 366, 2_932_897].map(date);
        assert_eq!(days, ["1970-01-01", "1969-12-31", "2024-01-31", "2000-02-29", "-0001-03-01", "+10000-01-01"]);
    }

    #[test]
    fn times_show_what_is_there() {
        let micros = |n, utc| shown(|out| write_datetime(n, Unit::Micro, utc, out));
        assert_eq!(micros(1_706_702_400_000_000, false), "2024-01-31 12:00:00");
        assert_eq!(micros(1_706_702_400_000_001, true), "2024-01-31 12:00:00.000001Z");
        assert_eq!(micros(-1, false), "1969-12-31 23:59:59.999999");
        let nanos = |n| shown(|out| write_datetime(n, Unit::Nano, false, out));
        assert_eq!(nanos(-1), "1969-12-31 23:59:59.999999999");
        assert_eq!(nanos(1_500_000_000), "1970-01-01 00:00:01.500000");
        for (nanos, text) in [(0, "PT0S"), (SECOND, "PT1S"), (-90 * SECOND, "-PT1M30S"), (86_400 * SECOND, "P1D")] {
            assert_eq!(shown(|out| write_duration(nanos, out)), text);
        }
        assert_eq!(shown(|out| write_duration(i64::MIN, out)), "-P106751DT23H47M16.854775808S");
    }

    #[test]
    fn numbers_show_all_their_digits() {
        let decimal = |value, scale| shown(|out| write_decimal(value, scale, out));
        assert_eq!([decimal(150, 2), decimal(-5, 2), decimal(7, 0), decimal(0, 3)], ["1.50", "-0.05", "7", "0.000"]);
        assert_eq!(
            [1.0, 0.1, -0.0, f64::NAN, f64::NEG_INFINITY].map(float_text),
            ["1.0", "0.1", "-0.0", "NaN", "-inf"]
        );
    }
}
