//! Times of day and durations, as text.

use super::cells::{fraction, split_time};

const SECOND: i64 = 1_000_000_000;

/// `HH:MM[:SS[.f]]` as nanoseconds since midnight.
pub fn parse_time(cell: &[u8]) -> Option<i64> {
    match split_time(cell)? {
        (seconds, nanos, []) => Some(i64::from(seconds) * SECOND + i64::from(nanos)),
        _ => None,
    }
}

/// A duration in nanoseconds, as ISO 8601 (`P1DT2H3M4.5S`, without years, months and weeks), as clocks (`26:03:04.5`) or as
/// pandas (`1 days 02:03:04.5`) writes it.
pub fn parse_duration(cell: &[u8]) -> Option<i64> {
    let (negative, rest) = match cell {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, cell),
    };
    let nanos = match rest {
        [b'P', rest @ ..] => iso(rest)?,
        _ => match memchr::memmem::find(rest, b" day") {
            // The sign is that of the days; the clock behind them goes forward.
            Some(at) => {
                let (days, clock) = rest.split_at_checked(at)?;
                let clock = clock.strip_prefix(b" days").or_else(|| clock.strip_prefix(b" day"))?;
                let days = whole(days)?.checked_mul(86_400 * SECOND as i128)?;
                let clock = match clock {
                    [] => 0,
                    [b' ', b'+', clock @ ..] | [b' ', clock @ ..] => self::clock(clock)?,
                    _ => return None,
                };
                return i64::try_from(if negative { clock - days } else { clock + days }).ok();
            }
            None => clock(rest)?,
        },
    };
    i64::try_from(if negative { -nanos } else { nanos }).ok()
}

/// What follows the `P`.
fn iso(text: &[u8]) -> Option<i128> {
    let (mut sum, mut rest, mut in_time, mut last) = (0_i128, text, false, 0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        if let [b'T', after @ ..] = rest
            && !in_time
            && !after.is_empty()
        {
            (in_time, rest) = (true, after);
        }
        let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, after) = rest.split_at_checked(count)?;
        let (part, after) = match after {
            [b'.', after @ ..] => fraction(after)?,
            _ => (0, after),
        };
        let [name, after @ ..] = after else { return None };
        // Parts come once each, from large to small.
        let (place, unit) = match (name, in_time) {
            (b'D', false) => (1, 86_400),
            (b'H', true) => (2, 3600),
            (b'M', true) => (3, 60),
            (b'S', true) => (4, 1),
            _ => return None,
        };
        if place <= last || (part > 0 && *name != b'S') {
            return None;
        }
        last = place;
        sum = sum.checked_add(whole(digits)?.checked_mul(unit * i128::from(SECOND))?)?.checked_add(i128::from(part))?;
        rest = after;
    }
    Some(sum)
}

/// `H…:MM:SS[.f]`.
fn clock(text: &[u8]) -> Option<i128> {
    let colon = memchr::memchr(b':', text)?;
    let (hours, rest) = text.split_at_checked(colon)?;
    let [b':', m1, m2, b':', s1, s2, rest @ ..] = rest else { return None };
    let pair = |a: &u8, b: &u8| whole(&[*a, *b]).filter(|n| *n < 60);
    let nanos = match rest {
        [] => 0,
        [b'.', rest @ ..] => match fraction(rest)? {
            (nanos, []) => nanos,
            _ => return None,
        },
        _ => return None,
    };
    let seconds = whole(hours)?.checked_mul(3600)? + pair(m1, m2)? * 60 + pair(s1, s2)?;
    seconds.checked_mul(i128::from(SECOND))?.checked_add(i128::from(nanos))
}

fn whole(digits: &[u8]) -> Option<i128> {
    // More would not fit in what is counted in nanoseconds.
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |n, d| n * 10 + i128::from(d - b'0')))
}

#[cfg(test)]
mod tests {
    use super::super::written::{write_duration, write_time};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_of_day() {
        assert_eq!(parse_time(b"00:00"), Some(0));
        assert_eq!(parse_time(b"23:59:59.999999999"), Some(86_400 * SECOND - 1));
        for no in ["24:00", "1:00", "00:60", "00:00:00.", "00:00Z", "00", "", "00:00:00.0000000001"] {
            assert_eq!(parse_time(no.as_bytes()), None, "{no}");
        }
    }

    #[test]
    fn durations_of_several_kinds() {
        let read = |text: &str| parse_duration(text.as_bytes());
        let day = 86_400 * SECOND;
        for (text, nanos) in [
            ("PT0S", 0),
            ("P1D", day),
            ("-P1DT2H3M4.5S", -(day + 7384 * SECOND + 500_000_000)),
            ("PT36H", 36 * 3600 * SECOND),
            ("26:03:04.5", 26 * 3600 * SECOND + 184 * SECOND + 500_000_000),
            ("-00:00:01", -SECOND),
            ("1 days 00:00:01", day + SECOND),
            ("0 days", 0),
            ("1 day 00:00:00.000000001", day + 1),
            // One second less than nothing, as pandas writes it.
            ("-1 days +23:59:59", -SECOND),
        ] {
            assert_eq!(read(text), Some(nanos), "{text}");
        }
        for no in [
            "",
            "P",
            "PT",
            "P1",
            "P1Y",
            "P1M",
            "PT1M1H",
            "PT1.5H",
            "1:00",
            "00:61:00",
            "5",
            "days",
            "P99999999D",
            "1 days x",
        ] {
            assert_eq!(read(no), None, "{no}");
        }
    }

    proptest! {
        #[test]
        fn durations_and_times_come_back(nanos: i64, whole in 0i64..2_000_000) {
            for nanos in [nanos, whole * SECOND, -whole * SECOND, nanos % SECOND] {
                let mut text = Vec::new();
                write_duration(nanos, &mut text);
                prop_assert_eq!(parse_duration(&text), Some(nanos), "{}", String::from_utf8_lossy(&text));
            }
            let of_day = nanos.rem_euclid(86_400 * SECOND);
            let mut text = Vec::new();
            write_time(of_day, &mut text);
            prop_assert_eq!(parse_time(&text), Some(of_day));
        }

        #[test]
        fn garbage_is_refused_quietly(cell in "[P0-9:.+TDHMS -]{0,24}") {
            parse_duration(cell.as_bytes());
            parse_time(cell.as_bytes());
        }
    }
}
