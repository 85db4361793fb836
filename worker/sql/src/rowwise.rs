//! What looks at one row at a time: the expressions of rules always do; a map without a reduce had better, since it is given one
//! shard at a time, and what it says of several rows would be said once a shard.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Distinct, Expr, Function, GroupByExpr, LimitClause, Query, Select, SetExpr, SetOperator, SetQuantifier, Spanned,
    TableFactor, Visit, Visitor,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Span, Token};

use crate::check::{parse, parser_options, told};
use crate::dialect::is_quantile;
use crate::engine::Engine;
use crate::error::SqlError;
use crate::guard::on_large_stack;
use crate::place::mark_span;
use crate::reach::DEEPEST;

/// Longer expressions are refused: parser and engine walk them recursively.
const LONGEST_EXPRESSION: usize = 10_000;

/// Refuses a statement of which the answer for a row depends on other rows.
pub fn one_row_at_a_time(statement: &str) -> Result<(), SqlError> {
    on_large_stack(|| {
        let ControlFlow::Break((what, span)) = parse(statement)?.visit(&mut AcrossRows) else { return Ok(()) };
        let told = format!(
            "{what} does not go row by row, and a map without a reduce is given one shard at a time: there would be an answer a shard. \
             Let a --reduce do it (with --key, or --key \"\" for all rows together), or say --per-shard if that is meant"
        );
        Err(SqlError::Refused(mark_span(&told, statement, span)))
    })
}

/// Finds what looks at several rows, and where it is.
struct AcrossRows;

type Found = (String, Span);

fn found(what: impl Into<String>, span: Span) -> ControlFlow<Found> {
    ControlFlow::Break((what.into(), span))
}

fn set_operation(body: &SetExpr) -> ControlFlow<Found> {
    match body {
        SetExpr::SetOperation { op, set_quantifier, left, right } => {
            let is_all = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
            if *op != SetOperator::Union || !is_all {
                return found(op.to_string(), body.span());
            }
            set_operation(left)?;
            set_operation(right)
        }
        SetExpr::Values(_) => found("VALUES", body.span()),
        _ => ControlFlow::Continue(()),
    }
}

/// Whether a function is of several rows: the engine knows its own, and those that become one of them are few.
fn is_across_rows(function: &Function) -> bool {
    let name = function.name.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| Engine::get().looks_at_rows(&name.value) || is_quantile(&name.value))
}

impl Visitor for AcrossRows {
    type Break = Found;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Found> {
        let limit = match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
                let first = limit.as_ref().or(limit_by.first()).or(offset.as_ref().map(|offset| &offset.value));
                Some(first.map_or_else(|| query.span(), Spanned::span))
            }
            Some(LimitClause::OffsetCommaLimit { limit, .. }) => Some(limit.span()),
            None => query.fetch.as_ref().map(|_| query.span()),
        };
        match limit {
            Some(span) => found("LIMIT", span),
            None => set_operation(&query.body),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Found> {
        let is_grouped = match &select.group_by {
            GroupByExpr::All(_) => true,
            GroupByExpr::Expressions(by, modifiers) => !by.is_empty() || !modifiers.is_empty(),
        };
        if is_grouped {
            return found("GROUP BY", select.group_by.span());
        }
        if select.distinct.as_ref().is_some_and(|distinct| !matches!(distinct, Distinct::All)) {
            return found("DISTINCT", select.span());
        }
        if select.top.is_some() {
            return found("TOP", select.span());
        }
        let is_table = |factor: &TableFactor| !matches!(factor, TableFactor::UNNEST { .. });
        let tables = select
            .from
            .iter()
            .flat_map(|table| std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)));
        let mut tables = tables.filter(|factor| is_table(factor));
        match (tables.next(), tables.next()) {
            (None, _) => found("a SELECT without FROM", select.span()),
            (Some(_), Some(second)) => found("a join", second.span()),
            (Some(_), None) => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Found> {
        match factor {
            TableFactor::NestedJoin { .. } => found("a join", factor.span()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Found> {
        match expr {
            Expr::Function(function) if function.over.is_some() => {
                found(format!("{} OVER", function.name), function.name.span())
            }
            Expr::Function(function) if is_across_rows(function) => {
                found(function.name.to_string(), function.name.span())
            }
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                found("a query within it", expr.span())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Checks an expression of a rule: it sees one row, and calls none but these functions. The error says where it does not.
pub fn check_expression(text: &str, functions: &[&str]) -> Result<(), SqlError> {
    on_large_stack(|| expression(text, functions).map(|_| ()))
}

/// What an expression of a rule calls columns.
pub fn named_columns(text: &str, functions: &[&str]) -> Result<HashSet<String>, SqlError> {
    struct Names(HashSet<String>);
    impl Visitor for Names {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(name) => drop(self.0.insert(name.value.clone())),
                Expr::CompoundIdentifier(parts) => self.0.extend(parts.iter().map(|part| part.value.clone())),
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    on_large_stack(|| {
        let mut names = Names(HashSet::new());
        let _ = expression(text, functions)?.visit(&mut names);
        Ok(names.0)
    })
}

/// The expression that a text is, if it keeps to one row.
pub(crate) fn expression(text: &str, functions: &[&str]) -> Result<Expr, SqlError> {
    if text.len() > LONGEST_EXPRESSION {
        return Err(SqlError::Refused(format!("the expression is longer than {LONGEST_EXPRESSION} bytes")));
    }
    let parsed =
        Parser::new(&GenericDialect {}).with_options(parser_options()).try_with_sql(text).and_then(|mut parser| {
            let expr = parser.parse_expr()?;
            parser.expect_token(&Token::EOF)?;
            Ok(expr)
        });
    let expr = parsed.map_err(|e| SqlError::Refused(told(&e, "this is not a SQL expression", text)))?;
    match expr.visit(&mut OneRow { text, functions, depth: 0 }) {
        ControlFlow::Break(why) => Err(SqlError::Refused(why)),
        ControlFlow::Continue(()) => Ok(expr),
    }
}

/// Looks at every part of an expression for what it could reach.
struct OneRow<'a> {
    text: &'a str,
    functions: &'a [&'a str],
    depth: usize,
}

impl OneRow<'_> {
    fn no(&self, what: &str, span: Span) -> ControlFlow<String> {
        ControlFlow::Break(mark_span(what, self.text, span))
    }
}

impl Visitor for OneRow<'_> {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        self.no("a query has no place in an expression, which sees one row at a time", query.span())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return ControlFlow::Break(format!("the expression is nested more than {DEEPEST} deep"));
        }
        match expr {
            Expr::Function(function) => {
                let name = function.name.to_string();
                if function.over.is_some() {
                    return self.no(
                        "OVER looks at other rows, and an expression sees one row at a time",
                        function.name.span(),
                    );
                }
                if !self.functions.contains(&name.to_lowercase().as_str()) {
                    let mut known = self.functions.to_vec();
                    known.sort_unstable();
                    let known = known.join(", ");
                    return self.no(
                        &format!(
                            "the function `{name}` is not allowed in a rule, which sees one row at a time; allowed: {known}"
                        ),
                        function.name.span(),
                    );
                }
                ControlFlow::Continue(())
            }
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => {
                self.no("`*` has no place in an expression: name a column", expr.span())
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<String> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_at_one_row_is_a_map() {
        for statement in [
            "SELECT * FROM input",
            "SELECT a + 1 AS b, UPPER(t) AS t FROM input WHERE a > 1 ORDER BY a",
            "SELECT UNNEST(WORDS(line)) AS word FROM input",
            "WITH x AS (SELECT a FROM input) SELECT a FROM x",
            "SELECT a FROM (SELECT a, b FROM input) AS t WHERE b",
            "SELECT a FROM input UNION ALL SELECT b AS a FROM input",
            "SELECT GREATEST(a, b) AS m, COALESCE(a, 0) AS a, a & 4 AS f FROM input",
            "SELECT ALL a FROM input",
        ] {
            assert_eq!(one_row_at_a_time(statement), Ok(()), "{statement}");
        }
    }

    #[test]
    fn what_looks_at_more_is_not() {
        for (statement, what) in [
            ("SELECT origin, COUNT(*) AS n FROM input GROUP BY origin", "GROUP BY"),
            ("SELECT COUNT(*) AS n FROM input", "COUNT"),
            ("SELECT a - AVG(a) OVER () AS d FROM input", "AVG OVER"),
            ("SELECT LAG(a) OVER (ORDER BY b) AS d FROM input", "LAG OVER"),
            ("SELECT DISTINCT a FROM input", "DISTINCT"),
            ("SELECT a FROM input ORDER BY a LIMIT 3", "LIMIT"),
            ("SELECT a FROM input OFFSET 3", "LIMIT"),
            ("SELECT a FROM input UNION SELECT a FROM input", "UNION"),
            ("SELECT a FROM input EXCEPT SELECT b FROM input", "EXCEPT"),
            ("SELECT x.a FROM input AS x JOIN input AS y ON x.a = y.b", "a join"),
            ("SELECT x.a FROM input AS x, input AS y", "a join"),
            ("SELECT a FROM input WHERE a IN (SELECT b FROM input)", "a query within it"),
            ("SELECT a FROM input WHERE EXISTS (SELECT 1 FROM input)", "a query within it"),
            ("WITH x AS (SELECT a FROM input LIMIT 1) SELECT a FROM x", "LIMIT"),
            ("SELECT a FROM (SELECT DISTINCT a FROM input) AS t", "DISTINCT"),
            ("SELECT ROW_NUMBER() AS id, a FROM input", "ROW_NUMBER"),
            ("SELECT BIT_AND(a) AS b FROM input", "BIT_AND"),
            ("SELECT REGR_SLOPE(a, b) AS s FROM input", "REGR_SLOPE"),
            ("SELECT APPROX_MEDIAN(a) AS m FROM input", "APPROX_MEDIAN"),
            ("SELECT QUANTILE_DISC(a, 0.5) AS m FROM input", "QUANTILE_DISC"),
            ("SELECT VARIANCE(a) AS v FROM input", "VARIANCE"),
            ("SELECT \"count\"(*) AS n FROM input", "\"count\""),
            ("SELECT a FROM (input AS x JOIN input AS y ON x.k = y.k)", "a join"),
            ("SELECT 1 AS n", "a SELECT without FROM"),
            ("SELECT a FROM input UNION ALL SELECT 0 AS a", "a SELECT without FROM"),
            ("SELECT x FROM UNNEST(ARRAY[1, 2]) AS t(x)", "a SELECT without FROM"),
            ("VALUES (1)", "VALUES"),
            ("SELECT a FROM input UNION ALL VALUES (1)", "VALUES"),
            ("SELECT column_0 FROM (VALUES (1)) AS t", "VALUES"),
            ("WITH q AS (VALUES (1)) SELECT * FROM q", "VALUES"),
        ] {
            let error = one_row_at_a_time(statement).expect_err(statement).to_string();
            assert!(
                error.starts_with(&format!("{what} does not go row by row, and a map without a reduce")),
                "{statement}: {error}"
            );
            assert!(error.contains("(line 1, column"), "{statement}: {error}");
        }
    }
}
