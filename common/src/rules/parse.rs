//! Reads `rules.toml`.

use chrono::format::{Item, StrftimeItems};
use regex::Regex;
use toml::de::{DeTable, DeValue};

use super::columns::{Columns, did_you_mean};
use super::error::{FileFault, RuleFileError};
use super::options::{Options, Source, kind};
use super::plan::all_numbers;
use super::rule::{
    Case, Cast, CastError, CastTo, CheckError, Fill, NormalForm, NullsIn, Op, Rule, RuleSet, Side, has_offset,
};
use super::scalar::Scalar;
use crate::schema::DataType;

/// Every operation, as it is written.
const OPS: [&str; 20] = [
    "trim",
    "collapse",
    "case",
    "normalize",
    "replace",
    "null_if",
    "cast",
    "fill",
    "clip",
    "range",
    "pattern",
    "zscore",
    "iqr",
    "rename",
    "keep",
    "drop",
    "drop_nulls",
    "filter",
    "derive",
    "standardise",
];

impl RuleSet {
    /// Reads the rules of a file; `file` is its name for messages.
    pub fn parse(text: &str, file: &str) -> Result<RuleSet, RuleFileError> {
        let source = Source { file, text };
        let document = DeTable::parse(text).map_err(|e| {
            let line = source.line(e.span().map_or(0, |span| span.start));
            source.error(line, FileFault::NotToml(e.message().lines().collect::<Vec<_>>().join("; ")))
        })?;
        let mut rules = Vec::new();
        let mut entries: Vec<_> = document.get_ref().iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let line = source.line(key.span().start);
            let name = key.get_ref().as_ref();
            if name != "rule" {
                let hint = did_you_mean(name, &["rule"]);
                return Err(source.error(line, FileFault::UnknownKey { key: name.to_owned(), hint }));
            }
            let DeValue::Array(items) = value.get_ref() else {
                let found = kind(value.get_ref());
                return Err(source.error(line, FileFault::NotTables { found }));
            };
            for item in items.iter() {
                let line = source.line(item.span().start);
                let DeValue::Table(table) = item.get_ref() else {
                    let found = kind(item.get_ref());
                    return Err(source.error(line, FileFault::NotATable { found }));
                };
                rules.push(read_rule(Options::new(source, line, table), file, rules.len() + 1)?);
            }
        }
        if rules.is_empty() {
            return Err(RuleFileError::NoRules { file: file.to_owned() });
        }
        Ok(RuleSet { rules })
    }
}

fn read_rule(mut options: Options<'_>, file: &str, number: usize) -> Result<Rule, RuleFileError> {
    let name = options.take_op(&OPS)?;
    let (op, columns) = read_op(&options, name)?;
    Ok(Rule { label: format!("{number} {}", op.name()), file: file.to_owned(), line: options.line, columns, op })
}

/// Whether `columns` may be left out.
#[derive(Clone, Copy, PartialEq)]
enum Need {
    Required,
    Optional,
}

fn read_columns(options: &Options<'_>, need: Need) -> Result<Columns, RuleFileError> {
    let Some(columns) = options.strings("columns")? else {
        return match need {
            Need::Optional => Ok(Columns::Applicable),
            Need::Required => {
                Err(options.missing("`columns`, a list of names or globs such as [\"price\", \"addr_*\"]"))
            }
        };
    };
    if columns.iter().any(String::is_empty) {
        return Err(options.wrong(options.line_of("columns"), "columns", "has an empty name"));
    }
    Ok(Columns::Listed(columns))
}

fn read_op(options: &Options<'_>, name: &str) -> Result<(Op, Columns), RuleFileError> {
    let columns = |need| read_columns(options, need);
    Ok(match name {
        "trim" => {
            options.allow(&["columns", "side"])?;
            let sides = [("both", Side::Both), ("start", Side::Start), ("end", Side::End)];
            (Op::Trim { side: options.choice("side", &sides)?.unwrap_or(Side::Both) }, columns(Need::Optional)?)
        }
        "collapse" => {
            options.allow(&["columns"])?;
            (Op::Collapse, columns(Need::Optional)?)
        }
        "case" => {
            options.allow(&["columns", "to"])?;
            let cases = [("lower", Case::Lower), ("upper", Case::Upper), ("title", Case::Title)];
            let to = options.choice("to", &cases)?.ok_or_else(|| options.missing("`to`: lower, upper or title"))?;
            (Op::Case { to }, columns(Need::Optional)?)
        }
        "normalize" => {
            options.allow(&["columns", "form"])?;
            let forms = [
                ("nfc", NormalForm::Nfc),
                ("nfd", NormalForm::Nfd),
                ("nfkc", NormalForm::Nfkc),
                ("nfkd", NormalForm::Nfkd),
            ];
            (
                Op::Normalize { form: options.choice("form", &forms)?.unwrap_or(NormalForm::Nfc) },
                columns(Need::Optional)?,
            )
        }
        "replace" => (read_replace(options)?, columns(Need::Optional)?),
        "null_if" => (read_null_if(options)?, columns(Need::Optional)?),
        "cast" => (Op::Cast(read_cast(options)?), columns(Need::Required)?),
        "fill" => (Op::Fill { with: read_fill(options)? }, columns(Need::Required)?),
        "clip" => {
            options.allow(&["columns", "min", "max"])?;
            let (min, max) = read_bounds(options)?;
            (Op::Clip { min, max }, columns(Need::Required)?)
        }
        "range" => {
            options.allow(&["columns", "min", "max", "on_error"])?;
            let (min, max) = read_bounds(options)?;
            (Op::Range { min, max, on_error: read_check_error(options)? }, columns(Need::Required)?)
        }
        "pattern" => {
            options.allow(&["columns", "pattern", "on_error"])?;
            let pattern = options.required_string("pattern")?;
            check_regex(options, "pattern", &pattern)?;
            (Op::Pattern { pattern, on_error: read_check_error(options)? }, columns(Need::Required)?)
        }
        "zscore" => {
            options.allow(&["columns", "limit", "on_error"])?;
            (
                Op::Zscore { limit: options.positive("limit", 3.0)?, on_error: read_check_error(options)? },
                columns(Need::Required)?,
            )
        }
        "iqr" => {
            options.allow(&["columns", "factor", "on_error"])?;
            (
                Op::Iqr { factor: options.positive("factor", 1.5)?, on_error: read_check_error(options)? },
                columns(Need::Required)?,
            )
        }
        "rename" => {
            options.allow(&["columns"])?;
            (Op::Rename { names: options.pairs("columns")? }, Columns::Applicable)
        }
        "keep" => {
            options.allow(&["columns"])?;
            (Op::Keep, columns(Need::Required)?)
        }
        "drop" => {
            options.allow(&["columns"])?;
            (Op::Drop, columns(Need::Required)?)
        }
        "drop_nulls" => {
            options.allow(&["columns", "how"])?;
            let how = options.choice("how", &[("any", NullsIn::Any), ("all", NullsIn::All)])?.unwrap_or(NullsIn::Any);
            (Op::DropNulls { how }, columns(Need::Optional)?)
        }
        "filter" => {
            options.allow(&["sql"])?;
            (Op::Filter { sql: options.required_string("sql")? }, Columns::Applicable)
        }
        "derive" => {
            options.allow(&["column", "sql"])?;
            let column = options.required_string("column")?;
            if column.is_empty() {
                return Err(options.wrong(options.line_of("column"), "column", "must not be empty"));
            }
            (Op::Derive { column, sql: options.required_string("sql")? }, Columns::Applicable)
        }
        _ => {
            options.allow(&["columns"])?;
            (Op::Standardise, columns(Need::Required)?)
        }
    })
}

fn read_replace(options: &Options<'_>) -> Result<Op, RuleFileError> {
    options.allow(&["columns", "find", "with", "regex", "whole"])?;
    let find = options.required_string("find")?;
    let with = options.required_string("with")?;
    let (regex, whole) = (options.boolean("regex")?, options.boolean("whole")?);
    if regex {
        check_regex(options, "find", &find)?;
    } else if find.is_empty() && !whole {
        return Err(options.wrong(options.line_of("find"), "find", "must not be empty unless `whole = true`"));
    }
    Ok(Op::Replace { find, with, regex, whole })
}

fn read_null_if(options: &Options<'_>) -> Result<Op, RuleFileError> {
    options.allow(&["columns", "values", "ignore_case"])?;
    let values =
        options.scalars("values")?.ok_or_else(|| options.missing("`values`, a list such as [\"\", \"n/a\"]"))?;
    let ignore_case = options.boolean("ignore_case")?;
    let texts = values.iter().all(|v| matches!(v, Scalar::Text(_)));
    if !texts && !all_numbers(&values) {
        return Err(options.wrong(options.line_of("values"), "values", "must be all strings or all numbers"));
    }
    if ignore_case && !texts {
        return Err(options.wrong(options.line_of("ignore_case"), "ignore_case", "is for strings only"));
    }
    Ok(Op::NullIf { values, ignore_case })
}

fn read_cast(options: &Options<'_>) -> Result<Cast, RuleFileError> {
    options.allow(&[
        "columns",
        "to",
        "formats",
        "timezone",
        "thousands",
        "decimal",
        "currency",
        "percent",
        "accounting",
        "on_error",
    ])?;
    let to = read_cast_to(options)?;
    let only = |name: &str, kinds: &[CastTo], what: &str| {
        if options.has(name) && !kinds.contains(&to) {
            Err(options.wrong(options.line_of(name), name, &format!("is for casts to {what} only")))
        } else {
            Ok(())
        }
    };
    only("formats", &[CastTo::Date, CastTo::Datetime, CastTo::String], "date, datetime or string")?;
    only("timezone", &[CastTo::Datetime], "datetime")?;
    let number = matches!(to, CastTo::Integer | CastTo::Float | CastTo::Decimal { .. });
    for name in ["thousands", "decimal", "currency", "percent", "accounting"] {
        if options.has(name) && !number {
            return Err(options.wrong(options.line_of(name), name, "is for casts to integer, float or decimal only"));
        }
    }
    let formats = options.strings("formats")?.unwrap_or_default();
    for format in &formats {
        check_format(options, format)?;
    }
    if to == CastTo::String && formats.len() > 1 {
        return Err(options.wrong(
            options.line_of("formats"),
            "formats",
            "must be a single format for a cast to string",
        ));
    }
    let timezone = options.string("timezone")?;
    let zoned = formats.iter().filter(|f| has_offset(f)).count();
    if to == CastTo::Datetime && timezone.is_none() && zoned > 0 && zoned < formats.len() {
        return Err(options.wrong(
            options.line_of("formats"),
            "formats",
            "has some with an offset (%z) and some without; say with `timezone` how to read those without",
        ));
    }
    let (thousands, decimal) = (options.character("thousands")?, options.character("decimal")?.unwrap_or('.'));
    if thousands == Some(decimal) {
        let line = options.line_of("thousands");
        return Err(options.wrong(line, "thousands", &format!("and `decimal` are both `{decimal}`")));
    }
    let errors = [("null", CastError::Null), ("reject", CastError::Reject), ("fail", CastError::Fail)];
    let on_error = options.choice("on_error", &errors)?.unwrap_or(CastError::Fail);
    let (currency, percent) = (options.boolean("currency")?, options.boolean("percent")?);
    let accounting = options.boolean("accounting")?;
    Ok(Cast { to, formats, timezone, thousands, decimal, currency, percent, accounting, on_error })
}

fn read_cast_to(options: &Options<'_>) -> Result<CastTo, RuleFileError> {
    let types = [
        ("integer", CastTo::Integer),
        ("float", CastTo::Float),
        ("boolean", CastTo::Boolean),
        ("date", CastTo::Date),
        ("datetime", CastTo::Datetime),
        ("time", CastTo::Time),
        ("duration", CastTo::Duration),
        ("binary", CastTo::Binary),
        ("string", CastTo::String),
    ];
    if let Some(text) = options.string("to")?
        && text.starts_with("decimal")
    {
        return match text.parse() {
            Ok(DataType::Decimal { precision, scale }) => Ok(CastTo::Decimal { precision, scale }),
            _ => Err(options.wrong(
                options.line_of("to"),
                "to",
                "must say how many digits there are, and how many of them behind the point: decimal(10,2)",
            )),
        };
    }
    options.choice("to", &types)?.ok_or_else(|| {
        options
            .missing("`to`: integer, float, decimal(10,2), boolean, date, datetime, time, duration, binary or string")
    })
}

fn read_fill(options: &Options<'_>) -> Result<Fill, RuleFileError> {
    options.allow(&["columns", "value", "with"])?;
    #[derive(Clone, Copy)]
    enum With {
        Mean,
        Median,
        Mode,
        Forward,
    }
    let withs = [("mean", With::Mean), ("median", With::Median), ("mode", With::Mode), ("forward", With::Forward)];
    match (options.scalar("value")?, options.choice("with", &withs)?) {
        (Some(value), None) => Ok(Fill::Value(value)),
        (None, Some(With::Mean)) => Ok(Fill::Mean),
        (None, Some(With::Median)) => Ok(Fill::Median),
        (None, Some(With::Mode)) => Ok(Fill::Mode),
        (None, Some(With::Forward)) => Ok(Fill::Forward),
        (Some(_), Some(_)) => Err(options.wrong(options.line_of("with"), "with", "and `value` exclude each other")),
        (None, None) => Err(options.missing("`value`, or `with`: mean, median, mode or forward")),
    }
}

fn read_bounds(options: &Options<'_>) -> Result<(Option<Scalar>, Option<Scalar>), RuleFileError> {
    let (min, max) = (options.scalar("min")?, options.scalar("max")?);
    for (name, bound) in [("min", &min), ("max", &max)] {
        let what = match bound {
            Some(Scalar::Boolean(b)) => b.to_string(),
            Some(Scalar::Float(x)) if x.is_nan() => "nan".to_owned(),
            _ => continue,
        };
        return Err(options.wrong(
            options.line_of(name),
            name,
            &format!("must be a number, date or datetime, not {what}"),
        ));
    }
    if min.is_none() && max.is_none() {
        return Err(options.missing("`min`, `max` or both"));
    }
    if let (Some(low), Some(high)) = (&min, &max)
        && let (Some(a), Some(b)) = (low.as_float(), high.as_float())
        && a > b
    {
        return Err(options.wrong(options.line_of("min"), "min", &format!("is {low}, above `max`, {high}")));
    }
    Ok((min, max))
}

fn read_check_error(options: &Options<'_>) -> Result<CheckError, RuleFileError> {
    let errors = [("null", CheckError::Null), ("reject", CheckError::Reject), ("drop", CheckError::Drop)];
    Ok(options.choice("on_error", &errors)?.unwrap_or(CheckError::Null))
}

fn check_regex(options: &Options<'_>, name: &str, pattern: &str) -> Result<(), RuleFileError> {
    Regex::new(pattern).map(|_| ()).map_err(|e| {
        // The message draws the pattern over several lines; its last line says what is wrong.
        let message = e.to_string();
        let why = message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        options.wrong(options.line_of(name), name, &format!("is not a regular expression: {why}"))
    })
}

fn check_format(options: &Options<'_>, format: &str) -> Result<(), RuleFileError> {
    let bad = format.is_empty() || StrftimeItems::new(format).any(|item| matches!(item, Item::Error));
    if bad {
        let line = options.line_of("formats");
        return Err(options.wrong(
            line,
            "formats",
            &format!("has `{format}`, which is not a strftime format such as %Y-%m-%d %H:%M:%S"),
        ));
    }
    Ok(())
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
