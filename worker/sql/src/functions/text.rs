//! Pieces of text: words, patterns, and substrings.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringViewArray, StringViewBuilder};
use arrow::datatypes::{DataType as ArrowType, Field as ArrowField, Int64Type};
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::logical_expr::ScalarUDF;
use regex::Regex;
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value};

use super::kernel::{Call, Kernel};

pub fn functions() -> Vec<ScalarUDF> {
    let list = |_: &[ArrowType]| ArrowType::List(Arc::new(ArrowField::new_list_field(ArrowType::Utf8View, true)));
    let text = |_: &[ArrowType]| ArrowType::Utf8View;
    let kernels = [
        Kernel { name: "words", coerce: texts, gives: list, run: words },
        Kernel { name: "regexp_split", coerce: texts, gives: list, run: split },
        Kernel { name: "string_to_array", coerce: texts, gives: list, run: parted },
        Kernel { name: "regexp_extract", coerce: text_and_group, gives: text, run: extract },
        Kernel { name: "regexp_replace", coerce: texts, gives: text, run: replace },
    ];
    kernels.into_iter().map(ScalarUDF::from).chain([substring()]).collect()
}

/// What SUBSTRING(… FROM … FOR …) calls, too.
pub fn substring() -> ScalarUDF {
    let kernel = Kernel {
        name: "substr",
        coerce: |types| match types {
            [_, _] => Ok(vec![ArrowType::Utf8View, ArrowType::Int64]),
            [_, _, _] => Ok(vec![ArrowType::Utf8View, ArrowType::Int64, ArrowType::Int64]),
            _ => plan_err!("SUBSTR is called as SUBSTR(text, start) or SUBSTR(text, start, length)"),
        },
        gives: |_| ArrowType::Utf8View,
        run: substrings,
    };
    ScalarUDF::from(kernel)
}

fn texts(types: &[ArrowType]) -> Result<Vec<ArrowType>> {
    Ok(vec![ArrowType::Utf8View; types.len()])
}

fn text_and_group(types: &[ArrowType]) -> Result<Vec<ArrowType>> {
    let mut all = texts(types)?;
    if let Some(group) = all.get_mut(2) {
        *group = ArrowType::Int64;
    }
    Ok(all)
}

/// How the functions that take patterns are called.
fn shape(name: &str) -> Option<&'static str> {
    Some(match name {
        "words" => "WORDS(text)",
        "regexp_split" => "REGEXP_SPLIT(text, 'pattern')",
        "regexp_extract" => "REGEXP_EXTRACT(text, 'pattern') or REGEXP_EXTRACT(text, 'pattern', group)",
        "regexp_replace" => "REGEXP_REPLACE(text, 'pattern', 'by'), every match",
        _ => return None,
    })
}

/// What is wrong with a call of one of these functions. Patterns are constants: one that differed from row to row would have to
/// be read for each.
pub fn check_call(function: &Function) -> Result<(), String> {
    let name = function.name.to_string().to_lowercase();
    let Some(shape) = shape(&name) else { return Ok(()) };
    let wrong = || format!("{} is called as {shape}", name.to_uppercase());
    let FunctionArguments::List(list) = &function.args else { return Err(wrong()) };
    let [_, constants @ ..] = &list.args[..] else { return Err(wrong()) };
    let constant = |arg: &FunctionArg| {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) = arg else { return None };
        match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            Value::Number(number, _) => Some(number.to_string()),
            _ => None,
        }
    };
    let constants = constants.iter().map(constant).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    match (name.as_str(), &constants[..]) {
        ("words", []) => Ok(()),
        ("regexp_split", [pattern]) => regex(pattern).map(|_| ()),
        ("regexp_replace", [pattern, by]) => replacement(by, &regex(pattern)?).map(|_| ()),
        // That every match is meant may be said, as others want it.
        ("regexp_replace", [pattern, by, flags]) if flags == "g" => replacement(by, &regex(pattern)?).map(|_| ()),
        ("regexp_extract", [pattern]) => regex(pattern).map(|_| ()),
        ("regexp_extract", [pattern, group]) => {
            let groups = regex(pattern)?.captures_len();
            match group.parse::<usize>() {
                Ok(group) if group < groups => Ok(()),
                _ => Err(format!("the pattern has no group {group}; its groups are 0 to {}", groups - 1)),
            }
        }
        _ => Err(wrong()),
    }
}

fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|_| format!("`{pattern}` is not a pattern"))
}

/// The constant text at a place among the arguments.
fn constant(call: &Call, at: usize) -> Result<&str> {
    match call.columns.get(at).and_then(|c| c.as_string_view_opt()) {
        Some(texts) if call.constant.get(at) == Some(&true) && !texts.is_empty() && texts.is_valid(0) => {
            Ok(texts.value(0))
        }
        _ => plan_err!("a pattern and what it is replaced by are constants"),
    }
}

fn pattern(call: &Call) -> Result<Regex> {
    regex(constant(call, 1)?).map_err(DataFusionError::Plan)
}

fn first(call: &Call) -> Result<&StringViewArray> {
    match call.columns.first().and_then(|c| c.as_string_view_opt()) {
        Some(texts) => Ok(texts),
        None => plan_err!("a text is missing"),
    }
}

fn lists(call: &Call, pieces: impl Fn(&str, &mut dyn FnMut(&str))) -> Result<ArrayRef> {
    let texts = first(call)?;
    let mut lists = ListBuilder::with_capacity(StringViewBuilder::new(), texts.len());
    for text in texts {
        if let Some(text) = text {
            pieces(text, &mut |piece| lists.values().append_value(piece));
        }
        lists.append(text.is_some());
    }
    Ok(Arc::new(lists.finish()))
}

fn words(call: &Call) -> Result<ArrayRef> {
    lists(call, |text, add| text.split_whitespace().for_each(add))
}

fn split(call: &Call) -> Result<ArrayRef> {
    let pattern = pattern(call)?;
    lists(call, |text, add| pattern.split(text).for_each(add))
}

/// The pieces between separators; without any, all of the text. By an empty separator, its characters.
fn parted(call: &Call) -> Result<ArrayRef> {
    let [_, separators, nulls @ ..] = &call.columns[..] else {
        return plan_err!("STRING_TO_ARRAY is called as STRING_TO_ARRAY(text, separator)");
    };
    let (texts, separators) = (first(call)?, separators.as_string_view());
    let null = nulls.first().map(|n| n.as_string_view());
    let mut lists = ListBuilder::with_capacity(StringViewBuilder::new(), texts.len());
    for (row, (text, separator)) in texts.iter().zip(separators).enumerate() {
        let both = text.zip(separator);
        let null = null.filter(|n| n.is_valid(row)).map(|n| n.value(row));
        let mut add = |piece: &str| lists.values().append_option(Some(piece).filter(|p| Some(*p) != null));
        match both {
            Some((text, "")) => {
                text.char_indices().for_each(|(at, c)| add(text.get(at..at + c.len_utf8()).unwrap_or_default()))
            }
            Some((text, separator)) => text.split(separator).for_each(add),
            None => {}
        }
        lists.append(both.is_some());
    }
    Ok(Arc::new(lists.finish()))
}

fn each(call: &Call, of: impl Fn(&str) -> Option<String>) -> Result<ArrayRef> {
    let made: StringViewArray = first(call)?.iter().map(|text| text.and_then(&of)).collect();
    Ok(Arc::new(made))
}

fn extract(call: &Call) -> Result<ArrayRef> {
    let pattern = pattern(call)?;
    let group = match call.columns.get(2) {
        None => 0,
        Some(group) => group.as_primitive::<Int64Type>().iter().next().flatten().unwrap_or(0),
    };
    let group = usize::try_from(group).unwrap_or(usize::MAX);
    each(call, |text| pattern.captures(text)?.get(group).map(|found| found.as_str().to_owned()))
}

fn replace(call: &Call) -> Result<ArrayRef> {
    let pattern = pattern(call)?;
    let by = replacement(constant(call, 2)?, &pattern).map_err(DataFusionError::Plan)?;
    each(call, |text| Some(pattern.replace_all(text, by.as_str()).into_owned()))
}

/// What matches are replaced by, in the words of the library: `\1` is a group, `\0` and `\&` are the whole match, and `\\` is a
/// backslash.
fn replacement(by: &str, pattern: &Regex) -> Result<String, String> {
    let mut made = String::with_capacity(by.len());
    let mut rest = by.chars().peekable();
    while let Some(c) = rest.next() {
        let group = |n: usize| format!("${{{n}}}");
        match (c, rest.peek()) {
            ('$', _) => made.push_str("$$"),
            ('\\', Some('\\')) => made.extend(rest.next()),
            ('\\', Some('&')) => {
                rest.next();
                made.push_str(&group(0));
            }
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                let (number, groups) = (*digit as usize - '0' as usize, pattern.captures_len());
                if number >= groups {
                    return Err(format!("the pattern has no group {number}; its groups are 0 to {}", groups - 1));
                }
                rest.next();
                made.push_str(&group(number));
            }
            _ => made.push(c),
        }
    }
    Ok(made)
}

/// Characters from a place on, the first being 1; a negative one counts from the end.
fn substrings(call: &Call) -> Result<ArrayRef> {
    let texts = first(call)?;
    let number = |at: usize| call.columns.get(at).map(|c| c.as_primitive::<Int64Type>());
    let (starts, lengths) = (number(1), number(2));
    let made = (0..texts.len()).map(|row| {
        let value = |of: Option<&arrow::array::Int64Array>| of.filter(|c| c.is_valid(row)).map(|c| c.value(row));
        if texts.is_null(row) {
            return None;
        }
        let length = match lengths {
            None => i64::MAX,
            Some(_) => value(lengths)?,
        };
        Some(substring_of(texts.value(row), value(starts)?, length))
    });
    Ok(Arc::new(made.collect::<StringViewArray>()))
}

fn substring_of(text: &str, start: i64, length: i64) -> &str {
    // Zero and negative places are only found by counting; so is the end of a negative length.
    let count = if start < 0 || length < 0 { text.chars().count() as i64 } else { 0 };
    let from = if start < 0 { count.saturating_add(start) } else { start - 1 };
    let (from, to) = if length < 0 { (from.saturating_add(length), from) } else { (from, from.saturating_add(length)) };
    let (from, to) = (from.max(0) as usize, to.max(0) as usize);
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let begin = places.clone().nth(from).unwrap_or(text.len());
    let end = places.nth(to).unwrap_or(text.len());
    text.get(begin..end.max(begin)).unwrap_or_default()
}
