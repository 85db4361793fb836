//! What a statement reaches for, at any nesting: its tables, and nothing else.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, ObjectName, Query, Select, SetExpr, Spanned, Statement as Parsed, TableFactor, Visit, Visitor,
};
use sqlparser::tokenizer::Span;

use crate::error::SqlError;
use crate::functions::is_volatile;
use crate::place::mark_span;

/// Expressions that are nested deeper, as a sum of very many terms is, and statements of more queries are refused likewise.
pub const DEEPEST: usize = 1_000;
const MOST_QUERIES: usize = 500;

/// Whether a statement's own queries may have the names of tables, which they hide.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hiding {
    Refused,
    Allowed,
}

/// Refuses whatever reaches beyond the tables, at any nesting.
pub fn look_through(query: &Query, statement: &str, tables: &[&str], hiding: Hiding) -> Result<(), SqlError> {
    let mut names = Names { statement, tables, hiding, made: HashSet::new() };
    stopped(query.visit(&mut names))?;
    let mut reach = Reach { statement, tables, made: names.made, depth: 0, queries: 0 };
    stopped(query.visit(&mut reach))
}

fn stopped(flow: ControlFlow<String>) -> Result<(), SqlError> {
    match flow {
        ControlFlow::Break(why) => Err(SqlError::Refused(why)),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Gathers the names that the statement gives to its own parts.
struct Names<'a> {
    statement: &'a str,
    tables: &'a [&'a str],
    hiding: Hiding,
    made: HashSet<String>,
}

impl Visitor for Names<'_> {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = &cte.alias.name;
            // One name would mean two things.
            if self.hiding == Hiding::Refused && self.tables.iter().any(|table| *table == name.value) {
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
    tables: &'a [&'a str],
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
        self.made.contains(name) || self.tables.contains(&name)
    }

    fn unknown(&self, name: &str) -> String {
        let tables: Vec<String> = self.tables.iter().map(|name| format!("`{name}`")).collect();
        let seen = if tables.is_empty() { "none".to_owned() } else { tables.join(", ") };
        format!("there is no table `{name}`; the statement sees {seen}")
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
            Some(name) if relation.0.len() == 1 => self.no(&self.unknown(&name.value), name.span),
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

/// What a statement begins with, for messages.
pub fn first_word(text: &str) -> String {
    text.split_whitespace().next().unwrap_or_default().chars().take(30).collect()
}
