//! What a statement may be: exactly one query over the tables it is given, at any nesting, and what it puts out.

use std::borrow::Cow;

use polars::prelude::{Column, DataFrame, IntoLazy};
use polars_sql::SQLContext;
use shardmill_common::schema::{Field, Schema};
use sqlparser::ast::{Expr, OrderByKind, Query, Spanned, Statement as Parsed, Value};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError, ParserOptions};

use super::functions::replace_ours;
use super::guard::on_large_stack;
use super::place::{mark, mark_span, offender, parser_place};
use super::reach::{first_word, look_through};
use super::run::{first_line, unstored};
use crate::frame::{our_type, polars_type, to_stored};

/// Longer statements are refused: parser and engine walk them recursively.
const LONGEST: usize = 32_768;
/// Columns are listed in a message if they are no more than these.
const LISTED: usize = 40;

/// What is known of a statement before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it puts out, in stored types.
    pub schema: Schema,
    /// Its own order, where that is of columns it puts out: column, descending, nulls last.
    pub order: Vec<(String, bool, bool)>,
}

/// The statement as far as it is known before it runs, or what is wrong with it and where.
pub fn check(statement: &str, tables: &[(&str, &Schema)]) -> Result<Statement, String> {
    if statement.len() > LONGEST {
        return Err(format!("the statement is longer than {LONGEST} bytes"));
    }
    if statement.trim().is_empty() {
        return Err("the statement is empty".to_owned());
    }
    on_large_stack(|| {
        let mut query = parse(statement)?;
        look_through(&query, statement, tables)?;
        let schema = resolve(&for_engine(&mut query, statement)?, statement, tables)?;
        let order = order_of(&query, &schema);
        Ok(Statement { schema, order })
    })
}

/// The statement as the engine is to see it.
fn for_engine<'a>(query: &mut Query, statement: &'a str) -> Result<Cow<'a, str>, String> {
    Ok(if replace_ours(query, statement)? { Cow::Owned(query.to_string()) } else { Cow::Borrowed(statement) })
}

/// A statement that was checked as the engine is to see it.
pub(super) fn prepared(statement: &str) -> Result<Cow<'_, str>, String> {
    for_engine(&mut parse(statement)?, statement)
}

/// The one query that a text is. Parsed as the engine does.
pub(super) fn parse(statement: &str) -> Result<Query, String> {
    let parsed = Parser::new(&GenericDialect {})
        .with_options(parser_options())
        .try_with_sql(statement)
        .and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(|e| told(&e, "this is not SQL", statement))?;
    match (statements.pop(), statements.first()) {
        (Some(Parsed::Query(query)), None) => Ok(*query),
        (None, _) => Err("the statement is empty".to_owned()),
        (Some(second), Some(_)) => {
            Err(mark_span("a second statement begins here; one query is wanted", statement, second.span()))
        }
        (Some(other), None) => Err(mark_span(
            &format!("`{}` is not a query; write SELECT …", first_word(&other.to_string())),
            statement,
            other.span(),
        )),
    }
}

pub(super) fn parser_options() -> ParserOptions {
    ParserOptions { trailing_commas: true, ..Default::default() }
}

/// The parser's error behind a few words of ours, with the place.
pub(super) fn told(error: &ParserError, what: &str, statement: &str) -> String {
    let text = error.to_string();
    let text = text.trim_start_matches("sql parser error: ");
    match parser_place(text) {
        Some((why, at)) => mark(&format!("{what}: {}", lower_first(why)), statement, at),
        None => format!("{what}: {}", lower_first(text)),
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// What the statement puts out, found by resolving it over tables without rows.
fn resolve(prepared: &str, statement: &str, tables: &[(&str, &Schema)]) -> Result<Schema, String> {
    let mut context = SQLContext::new();
    for (name, schema) in tables {
        context.register(name, empty(schema)?.lazy());
    }
    let found = context.execute(prepared).and_then(|mut frame| frame.collect_schema());
    let found = found.map_err(|e| explain(&e, statement, tables))?;
    let mut fields = Vec::with_capacity(found.len());
    for (name, dtype) in found.iter() {
        if name.trim().is_empty() {
            return Err("a column has no name; name it with AS".to_owned());
        }
        let stored = to_stored(&Column::new_empty(name.clone(), dtype)).and_then(|c| our_type(c.dtype()));
        let Some(stored) = stored else {
            let what = unstored(name, &dtype.to_string());
            return Err(match offender(&format!("`{name}`"), statement) {
                Some((_, at)) => mark(&what, statement, at),
                None => what,
            });
        };
        fields.push(Field::new(name.as_str(), stored));
    }
    if fields.is_empty() {
        return Err("the statement puts out no column".to_owned());
    }
    Ok(Schema::new(fields))
}

/// A table without rows.
pub fn empty(schema: &Schema) -> Result<DataFrame, String> {
    let columns =
        schema.fields.iter().map(|f| Column::new_empty(f.name.as_str().into(), &polars_type(f.dtype))).collect();
    DataFrame::new(0, columns).map_err(|e| e.to_string())
}

/// The engine's error in a user's words, with the place.
fn explain(error: &polars::error::PolarsError, statement: &str, tables: &[(&str, &Schema)]) -> String {
    use polars::error::PolarsError as E;
    let text = error.to_string();
    let text = first_line(text.split("\n\nResolved plan").next().unwrap_or_default());
    let found = offender(&text, statement);
    // A name that was quoted in the message but is not in the statement is the engine's own.
    let what = match (&found, root(error)) {
        (Some((name, _)), E::ColumnNotFound(_)) => {
            format!("there is no column `{name}`; {}", listed(tables))
        }
        (Some((name, _)), E::Duplicate(_)) => {
            format!("two columns of the result have the name `{name}`; give one another name with AS")
        }
        (None, E::Duplicate(_)) => format!("two columns of the result have the same name; name them with AS ({text})"),
        (Some((name, _)), _) if text.contains("unsupported function") => {
            // Some names are calls without parentheses.
            let column = tables.iter().flat_map(|(_, schema)| schema.names()).find(|c| c.eq_ignore_ascii_case(name));
            let advice =
                column.map_or_else(String::new, |c| format!("; the column is written \"{c}\", in double quotes"));
            format!("there is no function `{}`{advice}", name.to_uppercase())
        }
        (Some((name, _)), _) if text.contains("relation") && text.contains("not found") => {
            format!("the query `{name}` cannot be seen from here")
        }
        _ => text,
    };
    match found {
        Some((_, at)) => mark(&what, statement, at),
        None => what,
    }
}

fn root(error: &polars::error::PolarsError) -> &polars::error::PolarsError {
    match error {
        polars::error::PolarsError::Context { error, .. } => root(error),
        other => other,
    }
}

fn listed(tables: &[(&str, &Schema)]) -> String {
    let of = |(name, schema): &(&str, &Schema)| {
        if schema.len() > LISTED {
            format!("`{name}` has {} columns", schema.len())
        } else {
            format!("the columns of `{name}` are {}", schema.names_joined())
        }
    };
    tables.iter().map(of).collect::<Vec<_>>().join("; ")
}

/// The order a query asks for itself, where it is of columns that it puts out; otherwise none.
fn order_of(query: &Query, schema: &Schema) -> Vec<(String, bool, bool)> {
    let Some(OrderByKind::Expressions(expressions)) = query.order_by.as_ref().map(|order| &order.kind) else {
        return Vec::new();
    };
    let column = |expr: &Expr| match expr {
        Expr::Identifier(name) => schema.get(&name.value).map(|f| f.name.clone()),
        Expr::Value(value) => match &value.value {
            Value::Number(n, _) => {
                let place = n.to_string().parse::<usize>().ok()?.checked_sub(1)?;
                schema.fields.get(place).map(|f| f.name.clone())
            }
            _ => None,
        },
        _ => None,
    };
    let resolved = expressions.iter().map(|by| {
        let descending = by.options.asc == Some(false);
        // As the engine has it, and Postgres.
        let nulls_first = by.options.nulls_first.unwrap_or(descending);
        Some((column(&by.expr)?, descending, !nulls_first))
    });
    resolved.collect::<Option<Vec<_>>>().unwrap_or_default()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
