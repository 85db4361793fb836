//! Functions that statements have besides the engine's own, and those they may not have.
//!
//! The engine takes functions of others at the top of a statement only, not in its subqueries. So a call of one of ours
//! becomes a call of the engine's function of the same shape, with an argument that no statement has; where the plan is made,
//! such calls become ours.

use std::ops::ControlFlow;

use polars::prelude::{
    Column, DataType as PolarsType, Field, IntoColumn, ListBuilderTrait, ListStringChunkedBuilder, PlSmallStr,
    PolarsResult, StringChunked,
};
use polars_plan::prelude::{AExpr, Arena, BaseColumnUdf, FunctionOptions, Node, new_column_udf};
use regex::Regex;
use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, Spanned, Value,
    VisitMut, VisitorMut,
};

use super::place::mark_span;

/// Functions that give something else at every try: a task that is run again must give the same rows.
const VOLATILE: [&str; 19] = [
    "random",
    "rand",
    "randn",
    "uuid",
    "newid",
    "gen_random_uuid",
    "uuid_generate_v4",
    "now",
    "today",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "getdate",
    "sysdate",
    "statement_timestamp",
    "transaction_timestamp",
    "clock_timestamp",
];

/// Whether a function's result depends on more than its arguments.
pub fn is_volatile(name: &str) -> bool {
    VOLATILE.contains(&name.to_lowercase().as_str())
}

/// What the arguments of the engine's functions begin with where ours are meant.
const MARK: char = '\u{1}';

/// One of our functions with its constant arguments.
#[derive(Clone, Debug)]
enum Ours {
    Words,
    Split(Regex),
    Extract(Regex, usize),
    Replace(Regex, String),
}

impl Ours {
    /// The function of a name with the constants of a call.
    fn new(name: &str, constants: &[&str]) -> Result<Self, String> {
        let regex = |pattern: &str| Regex::new(pattern).map_err(|_| format!("`{pattern}` is not a pattern"));
        match (name, constants) {
            ("words", []) => Ok(Ours::Words),
            ("regexp_split", [pattern]) => Ok(Ours::Split(regex(pattern)?)),
            ("regexp_extract", [pattern]) => Ok(Ours::Extract(regex(pattern)?, 0)),
            ("regexp_extract", [pattern, group]) => {
                let pattern = regex(pattern)?;
                match group.parse::<usize>() {
                    Ok(group) if group < pattern.captures_len() => Ok(Ours::Extract(pattern, group)),
                    _ => Err(format!(
                        "the pattern has no group {group}; its groups are 0 to {}",
                        pattern.captures_len() - 1
                    )),
                }
            }
            ("regexp_replace", [pattern, by]) => Ok(Ours::Replace(regex(pattern)?, (*by).to_owned())),
            _ => Err(format!("{} is called as {}", name.to_uppercase(), shape(name))),
        }
    }

    const fn gives_list(&self) -> bool {
        matches!(self, Ours::Words | Ours::Split(_))
    }

    fn run(&self, column: &Column) -> PolarsResult<Column> {
        let each = |work: &dyn Fn(&str) -> Option<String>| -> PolarsResult<Column> {
            let made: StringChunked = column.str()?.iter().map(|text| text.and_then(work)).collect();
            Ok(made.with_name(column.name().clone()).into_column())
        };
        match self {
            Ours::Words => lists(column, |text, add| text.split_whitespace().for_each(add)),
            Ours::Split(pattern) => lists(column, |text, add| pattern.split(text).for_each(add)),
            Ours::Extract(pattern, group) => {
                each(&|text| pattern.captures(text)?.get(*group).map(|found| found.as_str().to_owned()))
            }
            Ours::Replace(pattern, by) => each(&|text| Some(pattern.replace_all(text, by.as_str()).into_owned())),
        }
    }
}

fn shape(name: &str) -> &'static str {
    match name {
        "words" => "WORDS(text)",
        "regexp_split" => "REGEXP_SPLIT(text, 'pattern')",
        "regexp_extract" => "REGEXP_EXTRACT(text, 'pattern') or REGEXP_EXTRACT(text, 'pattern', group)",
        _ => "REGEXP_REPLACE(text, 'pattern', 'by')",
    }
}

fn lists(column: &Column, split: impl Fn(&str, &mut dyn FnMut(&str))) -> PolarsResult<Column> {
    let texts = column.str()?;
    let mut lists = ListStringChunkedBuilder::new(column.name().clone(), texts.len(), texts.len().saturating_mul(4));
    let mut pieces: Vec<std::ops::Range<usize>> = Vec::new();
    for text in texts.iter() {
        let Some(text) = text else {
            lists.append_null();
            continue;
        };
        pieces.clear();
        let start = text.as_ptr() as usize;
        split(text, &mut |piece| {
            let from = piece.as_ptr() as usize - start;
            pieces.push(from..from + piece.len());
        });
        lists.append_values_iter(pieces.iter().filter_map(|range| text.get(range.clone())));
    }
    Ok(lists.finish().into_column())
}

/// Puts the engine's functions in the place of ours; whether there were any.
pub fn replace_ours(query: &mut Query, statement: &str) -> Result<bool, String> {
    let mut calls = Calls { statement, found: false };
    match query.visit(&mut calls) {
        ControlFlow::Break(why) => Err(why),
        ControlFlow::Continue(()) => Ok(calls.found),
    }
}

struct Calls<'a> {
    statement: &'a str,
    found: bool,
}

impl VisitorMut for Calls<'_> {
    type Break = String;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = function.name.to_string().to_lowercase();
        if !matches!(name.as_str(), "words" | "regexp_split" | "regexp_extract" | "regexp_replace") {
            return ControlFlow::Continue(());
        }
        self.found = true;
        match engines(&name, function) {
            Ok(()) => ControlFlow::Continue(()),
            Err(why) => ControlFlow::Break(mark_span(&why, self.statement, function.name.span())),
        }
    }
}

/// Makes a call of the engine's out of one of ours.
fn engines(name: &str, function: &mut Function) -> Result<(), String> {
    let wrong = || format!("{} is called as {}", name.to_uppercase(), shape(name));
    let FunctionArguments::List(list) = &mut function.args else { return Err(wrong()) };
    let expressions: Option<Vec<&Expr>> = list
        .args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect();
    let Some([text, constants @ ..]) = expressions.as_deref() else { return Err(wrong()) };
    let constants: Option<Vec<String>> = constants
        .iter()
        .map(|expr| match expr {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => Some(text.clone()),
                Value::Number(number, _) => Some(number.to_string()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    // A pattern that differed from row to row would have to be read for each.
    let constants = constants.ok_or_else(wrong)?;
    let ours = Ours::new(name, &constants.iter().map(String::as_str).collect::<Vec<_>>())?;
    let marked = std::iter::once(name).chain(constants.iter().map(String::as_str));
    let marked: String = marked.flat_map(|part| [MARK.to_string(), part.to_owned()]).collect();
    let literal = |text: String| {
        let value = Value::SingleQuotedString(text).with_empty_span();
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))
    };
    let text = FunctionArg::Unnamed(FunctionArgExpr::Expr((*text).clone()));
    let (engines, args) = match ours.gives_list() {
        true => ("string_to_array", vec![text, literal(marked)]),
        false => ("replace", vec![text, literal(marked), literal(String::new())]),
    };
    list.args = args;
    function.name = ObjectName::from(vec![Ident::new(engines)]);
    Ok(())
}

/// Puts ours in the place of the engine's function of a plan, if it is marked so.
pub fn restore_ours(node: Node, expressions: &mut Arena<AExpr>) {
    let AExpr::Function { input, .. } = expressions.get(node) else { return };
    let ours = input.get(1).and_then(|argument| {
        let AExpr::Literal(value) = expressions.get(argument.node()) else { return None };
        let mut parts = value.extract_str()?.strip_prefix(MARK)?.split(MARK);
        let name = parts.next()?;
        Ours::new(name, &parts.collect::<Vec<_>>()).ok()
    });
    let (Some(ours), Some(text)) = (ours, input.first().cloned()) else { return };
    let gives = if ours.gives_list() { PolarsType::List(Box::new(PolarsType::String)) } else { PolarsType::String };
    let field = move |_: &polars::prelude::Schema, fields: &[Field]| {
        Ok(Field::new(fields.first().map_or(PlSmallStr::EMPTY, |f| f.name().clone()), gives.clone()))
    };
    let run = move |columns: &mut [Column]| match columns.first() {
        Some(column) => ours.run(column),
        None => Ok(Column::default()),
    };
    let call = AExpr::AnonymousFunction {
        input: vec![text],
        function: new_column_udf(BaseColumnUdf::new(run, field)),
        options: FunctionOptions::elementwise(),
        fmt_str: Box::new(PlSmallStr::EMPTY),
    };
    expressions.replace(node, call);
}
