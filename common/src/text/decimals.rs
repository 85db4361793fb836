//! Decimals: their text, their digits, and how they meet floats.

use super::written::write_decimal;
use crate::schema::MAX_DIGITS;

/// Decimals of up to so many digits are all told apart by a float.
pub const FLOAT_DIGITS: u32 = 15;

/// `1`, `-2.50`, `.5`: as floats are written without an exponent, of at most `precision` digits, at most `scale` of them behind
/// the point but for zeros; in units of 10^-scale.
#[inline]
pub fn parse_decimal(cell: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let (negative, whole, part) = split(cell)?;
    let (kept, cut) = part.split_at_checked(usize::from(scale)).unwrap_or((part, &[]));
    if cut.iter().any(|d| *d != b'0') {
        return None;
    }
    let mut value: i128 = 0;
    for digit in whole.iter().chain(kept) {
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    value = value.checked_mul(power(usize::from(scale) - kept.len())?)?;
    (value < power(usize::from(precision))?).then_some(if negative { -value } else { value })
}

/// How many digits a number has before and behind its point, if it is written so that [`parse_decimal`] reads it.
pub fn decimal_digits(cell: &[u8]) -> Option<(u8, u8)> {
    let (_, whole, part) = split(cell)?;
    let whole = whole.iter().skip_while(|d| **d == b'0').count();
    let behind = part.len() - part.iter().rev().take_while(|d| **d == b'0').count();
    (whole + behind <= usize::from(MAX_DIGITS)).then_some((whole as u8, behind as u8))
}

/// The sign, the digits before the point and those behind it.
#[inline]
fn split(cell: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let (negative, rest) = match cell {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, cell),
    };
    if let [b'0', b'0'..=b'9', ..] = rest {
        return None;
    }
    let point = memchr::memchr(b'.', rest).unwrap_or(rest.len());
    let (whole, part) = (rest.get(..point)?, rest.get(point + 1..).unwrap_or_default());
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    (whole.len() + part.len() > 0 && digits(whole) && digits(part)).then_some((negative, whole, part))
}

/// 10^n, where 128 bits hold it.
const fn power(n: usize) -> Option<i128> {
    if n > MAX_DIGITS as usize { None } else { Some(10_i128.pow(n as u32)) }
}

/// The same number in units of 10^-to; nothing, where digits would be lost or there are too many.
#[inline]
pub fn rescale(value: i128, from: u8, to: u8) -> Option<i128> {
    if to >= from {
        return value.checked_mul(power(usize::from(to - from))?);
    }
    let by = power(usize::from(from - to))?;
    (value % by == 0).then(|| value / by)
}

/// The float nearest to a decimal, and whether the decimal comes back from it.
pub fn decimal_float(value: i128, scale: u8) -> (f64, bool) {
    // The text is read as the nearest float.
    let nearest = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
    const EXACT: u128 = 1 << 53;
    let size = value.unsigned_abs();
    // Both are exact as floats, so that one division rounds correctly (Clinger 1990).
    let float = if size <= EXACT && scale <= 22 {
        value as f64 / 10_f64.powi(i32::from(scale))
    } else {
        let mut text = Vec::new();
        write_decimal(value, scale, &mut text);
        nearest(&text)
    };
    let digits = size.checked_ilog10().map_or(0, |n| n + 1);
    (float, digits <= FLOAT_DIGITS || decimal_of_float(float, MAX_DIGITS, scale) == Some(value))
}

/// The decimal that a float is written as, if it has as many digits as that.
pub fn decimal_of_float(value: f64, precision: u8, scale: u8) -> Option<i128> {
    // The shortest text that reads back as the same float.
    value.is_finite().then(|| parse_decimal(format!("{value}").as_bytes(), precision, scale)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_decimals_of_their_digits() {
        let read = |text: &str| parse_decimal(text.as_bytes(), 5, 2);
        assert_eq!(read("1.5"), Some(150));
        assert_eq!(read("-.05"), Some(-5));
        assert_eq!(read("1."), Some(100));
        assert_eq!(read("999.99"), Some(99_999));
        assert_eq!(read("1.5000"), Some(150));
        assert_eq!(read("-0"), Some(0));
        for no in ["1000", "1.005", "1e3", "+1", "007", "", "-", ".", "-.", "1.2.3", "1,5", "NaN", "1 ", "\u{661}"] {
            assert_eq!(read(no), None, "{no}");
        }
        let most = "9".repeat(38);
        assert_eq!(parse_decimal(most.as_bytes(), 38, 0), Some(10_i128.pow(38) - 1));
        assert_eq!(parse_decimal(format!("{most}0").as_bytes(), 38, 0), None);
        assert_eq!(parse_decimal(format!("0.{most}").as_bytes(), 38, 38), Some(10_i128.pow(38) - 1));
        assert_eq!(decimal_digits(b"-12.3450"), Some((2, 3)));
        assert_eq!(decimal_digits(b"0.5"), Some((0, 1)));
        assert_eq!((decimal_digits(b"1e5"), decimal_digits(format!("{most}0").as_bytes())), (None, None));
    }

    #[test]
    fn scales_change_without_loss_or_not_at_all() {
        assert_eq!(rescale(150, 2, 4), Some(15_000));
        assert_eq!(rescale(150, 2, 1), Some(15));
        assert_eq!(rescale(155, 2, 1), None);
        assert_eq!(rescale(10_i128.pow(37), 0, 38), None);
    }

    #[test]
    fn floats_hold_fifteen_digits_and_some_decimals_of_more() {
        assert_eq!(decimal_float(150, 2), (1.5, true));
        assert_eq!(decimal_float(10, 2), (0.1, true));
        assert_eq!(decimal_float(9_007_199_254_740_993, 0), (9_007_199_254_740_992.0, false));
        assert_eq!(decimal_float(10_i128.pow(30), 0), (1e30, true));
        assert_eq!(decimal_of_float(0.1, 10, 2), Some(10));
        assert_eq!(decimal_of_float(1e20, 38, 2), Some(10_i128.pow(22)));
        assert_eq!((decimal_of_float(0.125, 10, 2), decimal_of_float(f64::INFINITY, 10, 2)), (None, None));
    }

    proptest! {
        #[test]
        fn decimals_come_back_from_their_text(value in -10_i128.pow(38) + 1..10_i128.pow(38), scale in 0u8..=38) {
            let mut text = Vec::new();
            write_decimal(value, scale, &mut text);
            prop_assert_eq!(parse_decimal(&text, 38, scale), Some(value));
        }

        #[test]
        fn what_a_float_keeps_comes_back(value in -10_i128.pow(17)..10_i128.pow(17), scale in 0u8..=10) {
            let (float, kept) = decimal_float(value, scale);
            prop_assert_eq!(kept, decimal_of_float(float, 38, scale) == Some(value));
            let mut text = Vec::new();
            write_decimal(value, scale, &mut text);
            prop_assert_eq!(float.to_bits(), std::str::from_utf8(&text).unwrap().parse::<f64>().unwrap().to_bits());
        }
    }
}
