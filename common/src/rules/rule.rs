//! A rule as a value: what it does, to which columns, and where it was written.

use serde::{Deserialize, Serialize};

use super::columns::Columns;
use super::scalar::{Scalar, exact};
use crate::schema::DataType;

/// The rules of one file, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleSet {
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// `1 trim`: the rule's place (from 1) and operation; names its counters.
    pub label: String,
    /// The file it was read from, for messages.
    pub file: String,
    /// The line of its `[[rule]]`, from 1.
    pub line: u32,
    pub columns: Columns,
    pub op: Op,
}

impl Rule {
    /// Whether it must know something of the whole dataset before it can be applied.
    pub fn needs_statistics(&self) -> bool {
        match &self.op {
            Op::Fill { with } => !matches!(with, Fill::Value(_)),
            Op::Zscore { .. } | Op::Iqr { .. } | Op::Standardise => true,
            _ => false,
        }
    }

    /// Whether its statistics need every distinct value with its count, and so a shuffle, rather than a few sums a shard.
    pub fn needs_values(&self) -> bool {
        matches!(&self.op, Op::Iqr { .. } | Op::Fill { with: Fill::Median | Fill::Mode })
    }

    /// Whether rows can be dropped, so that fewer come out than went in.
    pub fn may_drop_rows(&self) -> bool {
        match &self.op {
            Op::DropNulls { .. } | Op::Filter { .. } => true,
            Op::Range { on_error, .. } | Op::Pattern { on_error, .. } => *on_error == CheckError::Drop,
            Op::Zscore { on_error, .. } | Op::Iqr { on_error, .. } => *on_error == CheckError::Drop,
            _ => false,
        }
    }

    /// Whether rows can be rejected, so that they go to the dataset of rejects.
    pub fn may_reject_rows(&self) -> bool {
        match &self.op {
            Op::Cast(cast) => cast.on_error == CastError::Reject,
            Op::Range { on_error, .. } | Op::Pattern { on_error, .. } => *on_error == CheckError::Reject,
            Op::Zscore { on_error, .. } | Op::Iqr { on_error, .. } => *on_error == CheckError::Reject,
            _ => false,
        }
    }

    /// `rules.toml:12: trim`: how messages about the rule begin.
    pub fn place(&self) -> String {
        format!("{}:{}: {}", self.file, self.line, self.op.name())
    }
}

/// What a rule does to each of its columns, or to rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    Trim {
        side: Side,
    },
    Collapse,
    Case {
        to: Case,
    },
    Normalize {
        form: NormalForm,
    },
    Replace {
        find: String,
        with: String,
        regex: bool,
        whole: bool,
    },
    NullIf {
        values: Vec<Scalar>,
        ignore_case: bool,
    },
    Cast(Cast),
    Fill {
        with: Fill,
    },
    Clip {
        min: Option<Scalar>,
        max: Option<Scalar>,
    },
    Range {
        min: Option<Scalar>,
        max: Option<Scalar>,
        on_error: CheckError,
    },
    Pattern {
        pattern: String,
        on_error: CheckError,
    },
    Zscore {
        #[serde(with = "exact")]
        limit: f64,
        on_error: CheckError,
    },
    Iqr {
        #[serde(with = "exact")]
        factor: f64,
        on_error: CheckError,
    },
    /// Old and new names.
    Rename {
        names: Vec<(String, String)>,
    },
    Keep,
    Drop,
    DropNulls {
        how: NullsIn,
    },
    Filter {
        sql: String,
    },
    Derive {
        column: String,
        sql: String,
    },
    Standardise,
}

impl Op {
    /// As it is written in `rules.toml`.
    pub const fn name(&self) -> &'static str {
        match self {
            Op::Trim { .. } => "trim",
            Op::Collapse => "collapse",
            Op::Case { .. } => "case",
            Op::Normalize { .. } => "normalize",
            Op::Replace { .. } => "replace",
            Op::NullIf { .. } => "null_if",
            Op::Cast(_) => "cast",
            Op::Fill { .. } => "fill",
            Op::Clip { .. } => "clip",
            Op::Range { .. } => "range",
            Op::Pattern { .. } => "pattern",
            Op::Zscore { .. } => "zscore",
            Op::Iqr { .. } => "iqr",
            Op::Rename { .. } => "rename",
            Op::Keep => "keep",
            Op::Drop => "drop",
            Op::DropNulls { .. } => "drop_nulls",
            Op::Filter { .. } => "filter",
            Op::Derive { .. } => "derive",
            Op::Standardise => "standardise",
        }
    }
}

/// Where `trim` takes white space away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Both,
    Start,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    Lower,
    Upper,
    /// The first letter of each word upper, the others lower.
    Title,
}

/// A Unicode normal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormalForm {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cast {
    pub to: CastTo,
    /// strftime formats, tried in order; empty means the ISO forms.
    pub formats: Vec<String>,
    /// The zone in which texts without an offset are read; the result is then `datetime_utc`.
    pub timezone: Option<String>,
    pub thousands: Option<char>,
    pub decimal: char,
    /// A currency sign or code stands beside the number.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub currency: bool,
    /// The number is in percent, and ends with the sign.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub percent: bool,
    /// Negative numbers stand in brackets, or have their sign at the end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accounting: bool,
    pub on_error: CastError,
}

impl Cast {
    /// The type of the column afterwards.
    pub fn result(&self) -> DataType {
        match self.to {
            CastTo::Integer => DataType::Int64,
            CastTo::Float => DataType::Float64,
            CastTo::Decimal { precision, scale } => DataType::Decimal { precision, scale },
            CastTo::Boolean => DataType::Boolean,
            CastTo::Date => DataType::Date,
            CastTo::Datetime if self.timezone.is_some() || self.formats.iter().any(|f| has_offset(f)) => {
                DataType::DATETIME_UTC
            }
            CastTo::Datetime => DataType::DATETIME,
            CastTo::Time => DataType::Time,
            CastTo::Duration => DataType::Duration,
            CastTo::Binary => DataType::Binary,
            CastTo::String => DataType::String,
        }
    }
}

/// Whether texts of this format say their offset from UTC themselves.
pub(super) fn has_offset(format: &str) -> bool {
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c == '%' {
            match chars.next() {
                Some('z' | '+' | 's') => return true,
                Some(':' | '#') if chars.as_str().trim_start_matches(':').starts_with('z') => return true,
                _ => {}
            }
        }
    }
    false
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CastTo {
    Integer,
    Float,
    Decimal { precision: u8, scale: u8 },
    Boolean,
    Date,
    Datetime,
    Time,
    Duration,
    Binary,
    String,
}

/// What happens to a cell that cannot be cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CastError {
    Null,
    Reject,
    Fail,
}

/// What happens to a cell that does not pass a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckError {
    Null,
    Reject,
    Drop,
}

/// What `fill` puts in the place of nulls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    Value(Scalar),
    Mean,
    Median,
    Mode,
    /// The last value above.
    Forward,
}

/// Which rows `drop_nulls` drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NullsIn {
    Any,
    All,
}

#[cfg(test)]
mod tests {
    use super::has_offset;

    #[test]
    fn offsets_are_seen_in_formats() {
        for (format, yes) in [
            ("%Y-%m-%d", false),
            ("%H:%M%z", true),
            ("%H %:z", true),
            ("%%z", false),
            ("%H:%M %#z", true),
            ("%+", true),
        ] {
            assert_eq!(has_offset(format), yes, "{format}");
        }
    }
}
