//! What a statement may be: exactly one query over the tables it is given, at any nesting, and what it puts out.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::ControlFlow;

use polars::prelude::{Column, DataFrame, IntoLazy};
use polars_sql::SQLContext;
use shardmill_common::schema::{Field, Schema};
use sqlparser::ast::{
    Expr, GroupByExpr, ObjectName, OrderByKind, Query, Select, SetExpr, Spanned, Statement as Parsed, TableFactor,
    Value, Visit, Visitor,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserOptions};
use sqlparser::tokenizer::Span;

use super::functions::{is_volatile, replace_ours};
use super::guard::on_large_stack;
use super::place::{mark, mark_span, offender, parser_place};
use super::run::{first_line, unstored};
use crate::frame::{our_type, polars_type, to_stored};

/// Longer statements are refused: parser and engine walk them recursively.
const LONGEST: usize = 32_768;
/// Expressions that are nested deeper, as a sum of very many terms is, and statements of more queries are refused likewise.
const DEEPEST: usize = 1_000;
const MOST_QUERIES: usize = 500;
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
fn parse(statement: &str) -> Result<Query, String> {
    let options = ParserOptions { trailing_commas: true, ..Default::default() };
    let parsed = Parser::new(&GenericDialect {})
        .with_options(options)
        .try_with_sql(statement)
        .and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(|e| {
        let text = e.to_string();
        let text = text.trim_start_matches("sql parser error: ");
        match parser_place(text) {
            Some((what, at)) => mark(&format!("this is not SQL: {}", lower_first(what)), statement, at),
            None => format!("this is not SQL: {}", lower_first(text)),
        }
    })?;
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

fn first_word(text: &str) -> String {
    text.split_whitespace().next().unwrap_or_default().chars().take(30).collect()
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// Refuses whatever reaches beyond the tables, at any nesting.
fn look_through(query: &Query, statement: &str, tables: &[(&str, &Schema)]) -> Result<(), String> {
    let mut names = Names { statement, tables, made: HashSet::new() };
    stopped(query.visit(&mut names))?;
    let mut reach = Reach { statement, tables, made: names.made, depth: 0, queries: 0 };
    stopped(query.visit(&mut reach))
}

fn stopped(flow: ControlFlow<String>) -> Result<(), String> {
    match flow {
        ControlFlow::Break(why) => Err(why),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Gathers the names that the statement gives to its own parts.
struct Names<'a> {
    statement: &'a str,
    tables: &'a [(&'a str, &'a Schema)],
    made: HashSet<String>,
}

impl Visitor for Names<'_> {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = &cte.alias.name;
            // The engine would quietly take the table.
            if self.tables.iter().any(|(table, _)| *table == name.value) {
                let what = format!("`{}` is the name of a table already; give this query another name", name.value);
                return ControlFlow::Break(mark_span(&what, self.statement, name.span));
            }
            if !self.made.insert(name.value.clone()) {
                let what = format!("two queries have the name `{}`", name.value);
                return ControlFlow::Break(mark_span(&what, self.statement, name.span));
            }
        }
        ControlFlow::Continue(())
    }
}

/// Looks at every part for what it could reach.
struct Reach<'a> {
    statement: &'a str,
    tables: &'a [(&'a str, &'a Schema)],
    made: HashSet<String>,
    depth: usize,
    queries: usize,
}

impl Reach<'_> {
    fn no(&self, what: &str, span: Span) -> ControlFlow<String> {
        ControlFlow::Break(mark_span(what, self.statement, span))
    }

    fn body(&self, body: &SetExpr) -> ControlFlow<String> {
        match body {
            SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) | SetExpr::Merge(inner) => self
                .no(
                    &format!("`{}` changes data; a statement may only read", first_word(&inner.to_string())),
                    inner.span(),
                ),
            SetExpr::SetOperation { left, right, .. } => match self.body(left) {
                ControlFlow::Continue(()) => self.body(right),
                stop => stop,
            },
            SetExpr::Table(table) => {
                let name = table.table_name.as_deref().unwrap_or_default();
                if table.schema_name.is_none() && self.is_known(name) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(self.unknown(name))
                }
            }
            SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => ControlFlow::Continue(()),
        }
    }

    fn is_known(&self, name: &str) -> bool {
        self.made.contains(name) || self.tables.iter().any(|(table, _)| *table == name)
    }

    fn unknown(&self, name: &str) -> String {
        let tables: Vec<String> = self.tables.iter().map(|(name, _)| format!("`{name}`")).collect();
        format!("there is no table `{name}`; the statement sees {}", tables.join(", "))
    }
}

impl Visitor for Reach<'_> {
    type Break = String;

    fn pre_visit_statement(&mut self, inner: &Parsed) -> ControlFlow<String> {
        self.no("a statement within a query may only be a query", inner.span())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        if !query.locks.is_empty() {
            return self.no("FOR UPDATE and FOR SHARE have no meaning here", query.span());
        }
        if query.for_clause.is_some() || query.format_clause.is_some() || query.settings.is_some() {
            return self.no("FOR, FORMAT and SETTINGS have no meaning here", query.span());
        }
        if !query.pipe_operators.is_empty() {
            return self.no("pipes (`|>`) are not supported", query.span());
        }
        if let Some(span) = aggregate_in_order(query) {
            return self
                .no("ORDER BY takes the name of a column here: give this an AS in SELECT, and order by that", span);
        }
        self.body(&query.body)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        self.queries += 1;
        if self.queries > MOST_QUERIES {
            return ControlFlow::Break(format!("the statement has more than {MOST_QUERIES} queries in it"));
        }
        if select.into.is_some() {
            return self.no("SELECT … INTO makes a table; a statement may only read", select.span());
        }
        if !select.lateral_views.is_empty() {
            return self.no("LATERAL VIEW is not supported; use UNNEST", select.span());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<String> {
        let part = relation.0.first().and_then(|part| part.as_ident());
        match part {
            Some(name) if relation.0.len() == 1 && name.quote_style == Some('\'') => {
                self.no("files cannot be read here; ingest them and name the dataset with --input", name.span)
            }
            Some(name) if relation.0.len() == 1 && self.is_known(&name.value) => ControlFlow::Continue(()),
            _ => self.no(&self.unknown(&relation.to_string()), relation.span()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } => self.no(
                &format!("`{name}` is a table function; a statement sees its tables and nothing else"),
                name.span(),
            ),
            TableFactor::Table { .. }
            | TableFactor::Derived { lateral: false, .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::UNNEST { .. } => ControlFlow::Continue(()),
            TableFactor::Derived { .. } => self.no("LATERAL is not supported", factor.span()),
            TableFactor::TableFunction { .. } | TableFactor::Function { .. } => self
                .no("table functions are not supported; a statement sees its tables and nothing else", factor.span()),
            _ => self.no("this kind of table is not supported", factor.span()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return ControlFlow::Break(format!("an expression is nested more than {DEEPEST} deep"));
        }
        match expr {
            Expr::Function(function) if is_volatile(&function.name.to_string()) => self.no(
                &format!(
                    "`{}` gives something else at every try; a statement must give the same rows for the same rows",
                    function.name
                ),
                function.name.span(),
            ),
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<String> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// The engine orders groups by what they put out only.
fn aggregate_in_order(query: &Query) -> Option<Span> {
    const AGGREGATES: [&str; 8] = ["count", "sum", "avg", "min", "max", "median", "stddev", "variance"];
    let SetExpr::Select(select) = &*query.body else { return None };
    let is_grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(by, _) => !by.is_empty(),
    };
    let OrderByKind::Expressions(by) = query.order_by.as_ref().filter(|_| is_grouped).map(|o| &o.kind)? else {
        return None;
    };
    by.iter().find_map(|by| match &by.expr {
        Expr::Function(function) if AGGREGATES.contains(&function.name.to_string().to_lowercase().as_str()) => {
            Some(function.name.span())
        }
        _ => None,
    })
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
            format!("there is no function `{}`", name.to_uppercase())
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
