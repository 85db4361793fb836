//! Reads texts as numbers and booleans.

use super::Parsed;

/// How numbers are written.
#[derive(Clone, Copy, Debug)]
pub struct NumberForm {
    pub thousands: Option<char>,
    pub decimal: char,
}

impl NumberForm {
    fn is_plain(&self) -> bool {
        self.thousands.is_none() && self.decimal == '.'
    }

    /// Calls `read` with the number as a program writes it: no thousands, a point.
    #[inline]
    fn plain<T>(&self, text: &str, read: impl Fn(&str) -> Parsed<T>) -> Parsed<T> {
        let text = text.trim();
        if text.is_empty() {
            return Parsed::Missing;
        }
        if self.is_plain() { read(text) } else { self.rewritten(text).map_or(Parsed::Wrong, |text| read(&text)) }
    }

    /// `None` if a thousands mark is not between digits before the decimal mark, or a point has no meaning.
    fn rewritten(&self, text: &str) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut after_mark = false;
        let mut in_fraction = false;
        for c in text.chars() {
            if after_mark && !c.is_ascii_digit() {
                return None;
            }
            after_mark = false;
            if c == self.decimal {
                in_fraction = true;
                out.push('.');
            } else if Some(c) == self.thousands {
                if in_fraction || !out.ends_with(|last: char| last.is_ascii_digit()) {
                    return None;
                }
                after_mark = true;
            } else if c == '.' {
                return None;
            } else {
                out.push(c);
            }
        }
        if after_mark { None } else { Some(out) }
    }

    #[inline]
    pub fn float(&self, text: &str) -> Parsed<f64> {
        self.plain(text, |text| match text.parse::<f64>() {
            // NaN is how programs write that there is no number.
            Ok(x) if x.is_nan() => Parsed::Missing,
            Ok(x) => Parsed::Value(x),
            Err(_) => Parsed::Wrong,
        })
    }

    #[inline]
    pub fn integer(&self, text: &str) -> Parsed<i64> {
        self.plain(text, |text| match text.parse::<i64>() {
            Ok(n) => Parsed::Value(n),
            Err(_) => whole_decimal(text),
        })
    }
}

/// `3.0` and `3.` are whole numbers too.
fn whole_decimal(text: &str) -> Parsed<i64> {
    if text.eq_ignore_ascii_case("nan") {
        return Parsed::Missing;
    }
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') && !whole.is_empty() => {
            whole.parse().map_or(Parsed::Wrong, Parsed::Value)
        }
        _ => Parsed::Wrong,
    }
}

/// Reads true, t, yes, y, on, 1 and their opposites, in any case.
pub fn boolean(text: &str) -> Parsed<bool> {
    let text = text.trim();
    if text.is_empty() {
        return Parsed::Missing;
    }
    let is = |words: [&str; 6]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "t", "yes", "y", "on", "1"]) {
        Parsed::Value(true)
    } else if is(["false", "f", "no", "n", "off", "0"]) {
        Parsed::Value(false)
    } else {
        Parsed::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: NumberForm = NumberForm { thousands: None, decimal: '.' };
    const GERMAN: NumberForm = NumberForm { thousands: Some('.'), decimal: ',' };
    const ENGLISH: NumberForm = NumberForm { thousands: Some(','), decimal: '.' };

    #[test]
    fn floats() {
        for (form, text, value) in [
            (PLAIN, " 1.5 ", Parsed::Value(1.5)),
            (PLAIN, "-1e3", Parsed::Value(-1000.0)),
            (PLAIN, "+.5", Parsed::Value(0.5)),
            (PLAIN, "  ", Parsed::Missing),
            (PLAIN, "NaN", Parsed::Missing),
            (PLAIN, "inf", Parsed::Value(f64::INFINITY)),
            (PLAIN, "1,5", Parsed::Wrong),
            (PLAIN, "0x10", Parsed::Wrong),
            (GERMAN, "1.234,5", Parsed::Value(1234.5)),
            (GERMAN, "1,2.3", Parsed::Wrong),
            (ENGLISH, "-1,234,567.25", Parsed::Value(-1_234_567.25)),
            (ENGLISH, ",1", Parsed::Wrong),
            (ENGLISH, "1,", Parsed::Wrong),
            (ENGLISH, "1,,2", Parsed::Wrong),
            (NumberForm { thousands: None, decimal: ',' }, "1.5", Parsed::Wrong),
        ] {
            assert_eq!(form.float(text), value, "{form:?} {text}");
        }
    }

    #[test]
    fn integers() {
        for (text, value) in [
            ("12", Parsed::Value(12)),
            (" -7 ", Parsed::Value(-7)),
            ("+7", Parsed::Value(7)),
            ("3.0", Parsed::Value(3)),
            ("3.5", Parsed::Wrong),
            (".0", Parsed::Wrong),
            ("1e3", Parsed::Wrong),
            ("9223372036854775807", Parsed::Value(i64::MAX)),
            ("9223372036854775808", Parsed::Wrong),
            ("", Parsed::Missing),
        ] {
            assert_eq!(PLAIN.integer(text), value, "{text}");
        }
        assert_eq!(ENGLISH.integer("1,234"), Parsed::Value(1234));
    }

    #[test]
    fn booleans() {
        assert_eq!(boolean(" Yes"), Parsed::Value(true));
        assert_eq!(boolean("OFF"), Parsed::Value(false));
        assert_eq!(boolean("2"), Parsed::Wrong);
        assert_eq!(boolean(""), Parsed::Missing);
    }
}
