//! Sizes and shares as people write them: `64MiB`, `2GB`, `1%`, and how they are shown.

use serde::{Deserialize, Serialize};

use crate::misread::Misread;

/// Parses a number of bytes: `123`, `64MiB`, `2GB`, `1.5g`. `K`, `M`, `G`, `T` alone mean powers of 1024.
pub fn parse_bytes(text: &str) -> Result<u64, Misread> {
    let bad = || Misread::new(text, "not a size: write it as 64MiB, 2GB or a number of bytes");
    let text_ = text.trim();
    let split = text_.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text_.len());
    let (number, unit) = text_.split_at(split);
    let number: f64 = number.parse().map_err(|_| bad())?;
    let factor: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "ki" | "kib" => 1024.0,
        "m" | "mi" | "mib" => 1024.0 * 1024.0,
        "g" | "gi" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "ti" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => return Err(bad()),
    };
    let bytes = number * factor;
    if !(0.0..9e18).contains(&bytes) {
        return Err(bad());
    }
    Ok(bytes as u64)
}

/// A stretch of time such as `45s`, `30m`, `12h` or `90d`.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, Misread> {
    let wrong = || Misread::new(text, "no stretch of time: write it as 45s, 30m, 12h or 90d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = text.strip_suffix(unit).and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
    number.checked_mul(seconds).map(std::time::Duration::from_secs).ok_or_else(wrong)
}

/// `1.5 GiB`, for people.
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `5,250,000`, for people.
pub fn show_count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// How many rows may be rejected before the job fails.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectLimit {
    Rows(u64),
    /// Of all rows read, in percent.
    Percent(f64),
}

impl Default for RejectLimit {
    fn default() -> Self {
        RejectLimit::Percent(1.0)
    }
}

impl RejectLimit {
    /// Whether `rejected` of `total` rows are more than allowed.
    pub fn is_exceeded(self, rejected: u64, total: u64) -> bool {
        match self {
            RejectLimit::Rows(limit) => rejected > limit,
            RejectLimit::Percent(p) => rejected as f64 > total as f64 * p / 100.0,
        }
    }
}

impl std::fmt::Display for RejectLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RejectLimit::Rows(n) => write!(f, "{n}"),
            RejectLimit::Percent(p) => write!(f, "{p}%"),
        }
    }
}

impl std::str::FromStr for RejectLimit {
    type Err = Misread;
    fn from_str(text: &str) -> Result<Self, Misread> {
        let bad = || Misread::new(text, "not a limit: write a count such as 100, or a percentage such as 1%");
        match text.strip_suffix('%') {
            Some(p) => match p.trim().parse::<f64>() {
                Ok(p) if (0.0..=100.0).contains(&p) => Ok(RejectLimit::Percent(p)),
                _ => Err(bad()),
            },
            None => text.trim().parse().map(RejectLimit::Rows).map_err(|_| bad()),
        }
    }
}

/// At most `limit` characters, with an ellipsis where something was cut.
pub fn clip(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(limit.saturating_sub(1)).collect();
            format!("{kept}…")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        assert_eq!(parse_bytes("64MiB").unwrap(), 64 << 20);
        assert_eq!(parse_bytes("2GB").unwrap(), 2_000_000_000);
        assert_eq!(parse_bytes("1.5k").unwrap(), 1536);
        assert_eq!(parse_bytes("0").unwrap(), 0);
        for bad in ["", "MiB", "-1", "1x", "1e99GB", "."] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(show_bytes(1536), "1.5 KiB");
        assert_eq!(show_count(5_250_000), "5,250,000");
        assert_eq!(show_count(12), "12");
    }

    #[test]
    fn limits_are_counts_or_shares() {
        let one: RejectLimit = "1%".parse().unwrap();
        assert!(!one.is_exceeded(1, 100));
        assert!(one.is_exceeded(2, 100));
        let none: RejectLimit = "0".parse().unwrap();
        assert!(none.is_exceeded(1, 1_000_000));
        assert!("101%".parse::<RejectLimit>().is_err());
        assert!("x".parse::<RejectLimit>().is_err());
    }
}
