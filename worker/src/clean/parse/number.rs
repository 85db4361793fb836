//! Reads texts as numbers and booleans.

use shardmill_common::text::parse_decimal;

use super::Parsed;

/// How numbers are written. See [`shardmill_common::rules::Cast`].
#[derive(Clone, Copy, Debug)]
pub struct NumberForm {
    pub thousands: Option<char>,
    pub decimal: char,
    pub currency: bool,
    pub percent: bool,
    pub accounting: bool,
}

impl NumberForm {
    const fn is_plain(&self) -> bool {
        self.thousands.is_none() && self.decimal == '.' && !self.currency && !self.percent && !self.accounting
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

    /// `None` if it is not written in this form.
    fn rewritten(&self, text: &str) -> Option<String> {
        let (mut negative, mut text) = (false, text);
        if self.accounting {
            if let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
                (negative, text) = (true, inner.trim());
            } else if let Some(before) = text.strip_suffix('-') {
                (negative, text) = (true, before.trim_end());
            }
        }
        if self.percent {
            text = text.strip_suffix('%')?.trim_end();
        }
        let mut sign = "";
        if self.currency {
            // The sign stands before or behind the currency.
            if let Some(rest) = text.strip_prefix(['-', '+']) {
                (sign, text) = text.split_at(text.len() - rest.len());
                text = text.trim_start();
            }
            text = without_currency(text);
        }
        let number = self.digits(text)?;
        let signed = number.starts_with(['-', '+']);
        if (negative || !sign.is_empty()) && signed || negative && !sign.is_empty() {
            return None;
        }
        let number = if self.percent { hundredth(&number) } else { number };
        Some(if negative { format!("-{number}") } else { format!("{sign}{number}") })
    }

    /// `None` if a thousands mark is not between digits before the decimal mark, or a point has no meaning.
    fn digits(&self, text: &str) -> Option<String> {
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

    /// A decimal of so many digits: more behind the point than there is room for are wrong.
    pub fn decimal(&self, text: &str, precision: u8, scale: u8) -> Parsed<i128> {
        self.plain(text, |text| {
            if text.eq_ignore_ascii_case("nan") {
                return Parsed::Missing;
            }
            let (sign, digits) = match text.strip_prefix(['-', '+']) {
                Some(digits) => (text.starts_with('-'), digits),
                None => (false, text),
            };
            let bare = digits.trim_start_matches('0');
            // One zero is left where nothing else is before the point.
            let digits = if bare.len() < digits.len() && !bare.starts_with(|c: char| c.is_ascii_digit()) {
                digits.get(digits.len() - bare.len() - 1..).unwrap_or_default()
            } else {
                bare
            };
            match parse_decimal(digits.as_bytes(), precision, scale) {
                Some(_) if digits.starts_with('-') => Parsed::Wrong,
                Some(units) => Parsed::Value(if sign { -units } else { units }),
                None => Parsed::Wrong,
            }
        })
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

/// Without a currency sign or a code of three letters before or behind the number, and the blanks between.
fn without_currency(text: &str) -> &str {
    let is_sign = |c: char| matches!(c, '$' | '¢' | '£' | '¤' | '¥' | '\u{20a0}'..='\u{20cf}');
    let code = |code: Option<&str>| code.is_some_and(|code| code.bytes().all(|b| b.is_ascii_uppercase()));
    if let Some(rest) = text.strip_prefix(is_sign) {
        return rest.trim_start();
    }
    if let Some(rest) = text.strip_suffix(is_sign) {
        return rest.trim_end();
    }
    if code(text.get(..3)) {
        return text.get(3..).unwrap_or_default().trim_start();
    }
    let end = text.len().saturating_sub(3);
    if code(text.get(end..)) { text.get(..end).unwrap_or_default().trim_end() } else { text }
}

/// A number with its point two places further left.
fn hundredth(number: &str) -> String {
    let (sign, number) = match number.strip_prefix(['-', '+']) {
        Some(rest) => number.split_at(number.len() - rest.len()),
        None => ("", number),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if !whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit()) || whole.len() + part.len() == 0 {
        // Whatever it is, it is no number that could be moved, and is told as it is.
        return format!("{sign}{number}%");
    }
    let whole = format!("{whole:0>3}");
    let (left, moved) = whole.split_at(whole.len() - 2);
    format!("{sign}{left}.{moved}{part}")
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

    const PLAIN: NumberForm =
        NumberForm { thousands: None, decimal: '.', currency: false, percent: false, accounting: false };
    const GERMAN: NumberForm = NumberForm { thousands: Some('.'), decimal: ',', ..PLAIN };
    const ENGLISH: NumberForm = NumberForm { thousands: Some(','), ..PLAIN };

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
            (NumberForm { decimal: ',', ..PLAIN }, "1.5", Parsed::Wrong),
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
    fn decimals() {
        for (text, value) in [
            (" 1.5 ", Parsed::Value(150)),
            ("-007.05", Parsed::Value(-705)),
            ("+0", Parsed::Value(0)),
            ("00.5", Parsed::Value(50)),
            (".5", Parsed::Value(50)),
            ("1.500", Parsed::Value(150)),
            ("1.005", Parsed::Wrong),
            ("1000", Parsed::Wrong),
            ("1e2", Parsed::Wrong),
            ("--1", Parsed::Wrong),
            ("nan", Parsed::Missing),
            ("", Parsed::Missing),
        ] {
            assert_eq!(PLAIN.decimal(text, 5, 2), value, "{text}");
        }
    }

    #[test]
    fn money_percent_and_brackets() {
        let money = NumberForm { currency: true, accounting: true, ..ENGLISH };
        for (text, value) in [
            ("$1,234.50", 1234.5),
            ("-$5", -5.0),
            ("$-5", -5.0),
            ("(1,234.50)", -1234.5),
            ("($5)", -5.0),
            ("$(5)", f64::NAN),
            ("5-", -5.0),
            ("USD 7", 7.0),
            ("7 EUR", 7.0),
            ("7\u{a0}€", 7.0),
            ("12", 12.0),
            ("(-5)", f64::NAN),
            ("-(5)", f64::NAN),
            ("-$-5", f64::NAN),
            ("usd 7", f64::NAN),
            ("$", f64::NAN),
        ] {
            let wanted = if value.is_nan() { Parsed::Wrong } else { Parsed::Value(value) };
            assert_eq!(money.float(text), wanted, "{text}");
        }
        let percent = NumberForm { percent: true, ..GERMAN };
        for (text, value) in [("12,5%", 0.125), ("5 %", 0.05), ("-100%", -1.0), ("1.000%", 10.0), ("0,1%", 0.001)] {
            assert_eq!(percent.float(text), Parsed::Value(value), "{text}");
        }
        for wrong in ["12,5", "%", "x%", "1e3%"] {
            assert_eq!(percent.float(wrong), Parsed::Wrong, "{wrong}");
        }
        assert_eq!(percent.decimal("12,5%", 6, 4), Parsed::Value(1250));
    }

    #[test]
    fn booleans() {
        assert_eq!(boolean(" Yes"), Parsed::Value(true));
        assert_eq!(boolean("OFF"), Parsed::Value(false));
        assert_eq!(boolean("2"), Parsed::Wrong);
        assert_eq!(boolean(""), Parsed::Missing);
    }
}
