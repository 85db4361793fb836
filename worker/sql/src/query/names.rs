//! The tables that a query names: datasets (`orders`, `orders@3`, `orders.rejects`) and files (`'orders.csv'`).

use std::ops::ControlFlow;

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Query, Spanned, Visit, VisitMut, Visitor, VisitorMut};
use sqlparser::tokenizer::Span;

use crate::check::parse_statement;
use crate::error::SqlError;
use crate::guard::on_large_stack;
use crate::place::mark_span;

/// Programs that want tables to be in a schema of a catalog are told these, and may write them before a dataset's name.
pub const CATALOG: &str = "shardmill";
pub const SCHEMA: &str = "datasets";

/// A table that a query names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    pub name: String,
    /// It stands in single quotes: a file's path.
    pub is_file: bool,
}

/// Every table that a query names, once each, in the order in which it does.
pub fn table_names(statement: &str) -> Result<Vec<TableName>, SqlError> {
    on_large_stack(|| {
        let query = parse_statement(statement)?;
        let mut found = Found { statement, scopes: Vec::new(), tables: Vec::new() };
        match query.visit(&mut found) {
            ControlFlow::Break(why) => Err(SqlError::Refused(why)),
            ControlFlow::Continue(()) => Ok(found.tables),
        }
    })
}

/// The queries that a WITH names, as far as the walk has come.
struct Scope {
    /// By where each is in the parsed statement.
    to_come: Vec<(*const Query, String)>,
    known: Vec<String>,
}

struct Found<'a> {
    statement: &'a str,
    scopes: Vec<Scope>,
    tables: Vec<TableName>,
}

impl Found<'_> {
    fn named(&mut self, name: String, is_file: bool, span: Span) -> ControlFlow<String> {
        let own = || self.scopes.iter().flat_map(|scope| &scope.known);
        let is_own = own().any(|known| *known == name);
        if is_file && is_own {
            let what = format!("'{name}' is a file, and `{name}` is a query of the statement: write './{name}'");
            return ControlFlow::Break(mark_span(&what, self.statement, span));
        }
        if !is_file {
            if is_own {
                return ControlFlow::Continue(());
            }
            if let Some(close) = own().find(|known| known.eq_ignore_ascii_case(&name)) {
                let what =
                    format!("`{name}` is no query of the statement, and `{close}` is: write it in the same case");
                return ControlFlow::Break(mark_span(&what, self.statement, span));
            }
        }
        let table = TableName { name, is_file };
        if !self.tables.contains(&table) {
            self.tables.push(table);
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Found<'_> {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let with = query.with.as_ref();
        let recursive = with.is_some_and(|with| with.recursive);
        let named = with.into_iter().flat_map(|with| &with.cte_tables);
        let all = named.map(|cte| (&raw const *cte.query, cte.alias.name.value.clone())).collect::<Vec<_>>();
        let known = if recursive { all.iter().map(|(_, name)| name.clone()).collect() } else { Vec::new() };
        self.scopes.push(Scope { to_come: all, known });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        self.scopes.pop();
        // From here on its name is known to what follows in the same WITH.
        if let Some(scope) = self.scopes.last_mut()
            && let Some((_, name)) = scope.to_come.iter().find(|(place, _)| std::ptr::eq(*place, query))
        {
            scope.known.push(name.clone());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<String> {
        match one_name(relation) {
            Some(name) => self.named(name, is_file(relation), relation.span()),
            None => {
                let what = format!("`{relation}` is not the name of a dataset");
                ControlFlow::Break(mark_span(&what, self.statement, relation.span()))
            }
        }
    }
}

fn is_file(relation: &ObjectName) -> bool {
    matches!(relation.0.as_slice(), [ObjectNamePart::Identifier(name)] if name.quote_style == Some('\''))
}

/// The parts of a name as one: a dataset's name may have dots.
fn one_name(relation: &ObjectName) -> Option<String> {
    let parts = relation.0.iter().map(|part| part.as_ident().map(|name| name.value.as_str()));
    let parts = parts.collect::<Option<Vec<_>>>()?;
    Some(match parts.as_slice() {
        [CATALOG, SCHEMA, name] => (*name).to_owned(),
        parts => parts.join("."),
    })
}

/// Makes of every table's name one that the engine takes as it is.
pub fn name_tables(query: &mut Query) {
    // Nothing breaks this off.
    let _ = query.visit(&mut Naming);
}

struct Naming;

impl VisitorMut for Naming {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        let span = relation.span();
        if let Some(name) = one_name(relation).filter(|_| relation.0.len() > 1 || is_file(relation)) {
            *relation = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote_and_span('"', span, name))]);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(statement: &str) -> Vec<(String, bool)> {
        table_names(statement).unwrap().into_iter().map(|t| (t.name, t.is_file)).collect()
    }

    #[test]
    fn datasets_and_files_are_told_apart() {
        let statement = "WITH c AS (SELECT * FROM orders@3) SELECT * FROM c JOIN 'in/a b.csv' AS f USING (x) \
                         JOIN orders.rejects ON TRUE WHERE EXISTS (SELECT 1 FROM \"my-data\", orders@3)";
        let wanted = [("orders@3", false), ("in/a b.csv", true), ("orders.rejects", false), ("my-data", false)];
        assert_eq!(named(statement), wanted.map(|(name, file)| (name.to_owned(), file)));
        assert!(named("SELECT 1").is_empty());
        // As programs write names that want a table to be in a schema of a catalog.
        assert_eq!(named("SELECT 1 FROM \"shardmill\".\"datasets\".\"a.b\""), [("a.b".to_owned(), false)]);
    }

    #[test]
    fn queries_of_the_statement_hide_datasets_where_they_are_known() {
        let orders = [("orders".to_owned(), false)];
        assert_eq!(named("WITH orders AS (SELECT * FROM orders WHERE x) SELECT * FROM orders"), orders);
        assert_eq!(named("SELECT * FROM (WITH orders AS (SELECT 1 AS x) SELECT * FROM orders) t, orders"), orders);
        assert!(named("WITH a AS (SELECT 1 AS x), b AS (SELECT * FROM a) SELECT * FROM b").is_empty());
        let error = table_names("WITH Recent AS (SELECT 1 AS x) SELECT * FROM recent").unwrap_err().to_string();
        assert!(error.contains("write it in the same case"), "{error}");
        // The engine knows no quotes: it would read the query.
        let error = table_names("WITH a AS (SELECT 1 AS x) SELECT * FROM a JOIN 'a' ON TRUE").unwrap_err().to_string();
        assert!(error.contains("'a' is a file, and `a` is a query of the statement: write './a'"), "{error}");
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for (statement, said) in [
            ("DROP TABLE a", "is not a query"),
            ("SELECT 1; SELECT 2", "a second statement begins here"),
            ("SELEC", "this is not SQL"),
            ("", "empty"),
        ] {
            let error = table_names(statement).unwrap_err().to_string();
            assert!(error.contains(said), "{statement}: {error}");
        }
    }
}
