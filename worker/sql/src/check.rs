//! What a statement may be: exactly one query over the tables it is given, at any nesting, and what it puts out.

use std::collections::HashSet;
use std::ops::ControlFlow;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use shardmill_common::schema::{Field, Schema};
use sqlparser::ast::{
    Expr, Function, OrderByKind, Query, SelectItem, SetExpr, Spanned, Statement as Parsed, Value, Visit, Visitor,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError, ParserOptions};

use crate::dialect::rewrite;
use crate::engine::{Engine, Table};
use crate::error::SqlError;
use crate::evaluate::ROWS;
use crate::functions::text::check_call;
use crate::guard::on_large_stack;
use crate::place::{first_line, mark, mark_name, mark_span, offender, parser_place};
use crate::reach::{Hiding, first_word, look_through};
use crate::stored::{advice, arrow_schema, stored_type};

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
pub fn check(statement: &str, tables: &[(&str, &Schema)]) -> Result<Statement, SqlError> {
    on_large_stack(|| {
        let empty =
            tables.iter().map(|(name, schema)| Ok((*name, Table::of(&RecordBatch::new_empty(arrow_schema(schema)))?)));
        let empty = empty.collect::<Result<Vec<_>, DataFusionError>>();
        let plan = planned(statement, &empty.map_err(|e| SqlError::Engine(e.to_string()))?)?;
        let order = order_of(&plan.query, &plan.schema);
        Ok(Statement { schema: plan.schema, order })
    })
}

/// A statement that may run.
pub struct Plan {
    /// As it was written.
    query: Query,
    pub logical: LogicalPlan,
    /// What it puts out, in stored types: ours and the engine's.
    schema: Schema,
    pub stored: SchemaRef,
}

impl Plan {
    /// What it puts out, in stored types.
    pub fn into_schema(self) -> Schema {
        self.schema
    }
}

/// Looks at everything that can be looked at before a statement runs.
pub fn planned(statement: &str, tables: &[(&str, Table)]) -> Result<Plan, SqlError> {
    let query = parse_statement(statement)?;
    let names: Vec<&str> = tables.iter().map(|(name, _)| *name).collect();
    look_through(&query, statement, &names, Hiding::Refused)?;
    plan_of(query, statement, tables, &Engine::get().state)
}

/// The one query that a statement is, if it is not too long to be looked at.
pub fn parse_statement(statement: &str) -> Result<Query, SqlError> {
    if statement.len() > LONGEST {
        return Err(SqlError::Refused(format!("the statement is longer than {LONGEST} bytes")));
    }
    if statement.trim().is_empty() {
        return Err(SqlError::Refused("the statement is empty".to_owned()));
    }
    parse(statement)
}

/// The plan of a query that reaches for nothing but its tables.
pub fn plan_of(
    query: Query,
    statement: &str,
    tables: &[(&str, Table)],
    state: &SessionState,
) -> Result<Plan, SqlError> {
    named_once(&query, statement)?;
    if let ControlFlow::Break(why) = query.visit(&mut Calls { statement }) {
        return Err(SqlError::Refused(why));
    }
    let engine = Engine::get();
    let mut meant = query.clone();
    rewrite(&mut meant);
    let logical = engine
        .plan(meant, tables)
        .and_then(|plan| state.optimize(&plan))
        .map_err(|e| SqlError::Refused(explain(&e, statement, tables)))?;
    let (schema, stored) = put_out(&logical, statement)?;
    Ok(Plan { query, logical, schema, stored })
}

/// Two columns of one name would be told as an ambiguity of something else.
fn named_once(query: &Query, statement: &str) -> Result<(), SqlError> {
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(()) };
    let mut seen = HashSet::new();
    for item in &select.projection {
        let name = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias,
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => name,
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => match parts.last() {
                Some(name) => name,
                None => continue,
            },
            _ => continue,
        };
        if !seen.insert(&name.value) {
            return Err(SqlError::Refused(mark_span(&twice(&name.value), statement, name.span)));
        }
    }
    Ok(())
}

/// Looks at the calls of functions whose arguments are constants, and for values that are missing.
struct Calls<'a> {
    statement: &'a str,
}

impl Visitor for Calls<'_> {
    type Break = String;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        let checked = |function: &Function| check_call(function).map_err(|why| (why, function.name.span()));
        match expr {
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
                let what = "a parameter has no value here; write the value itself";
                ControlFlow::Break(mark_span(what, self.statement, value.span))
            }
            Expr::Function(function) => match checked(function) {
                Ok(()) => ControlFlow::Continue(()),
                Err((why, span)) => ControlFlow::Break(mark_span(&why, self.statement, span)),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The one query that a text is.
pub(crate) fn parse(statement: &str) -> Result<Query, SqlError> {
    let parsed = Parser::new(&GenericDialect {})
        .with_options(parser_options())
        .try_with_sql(statement)
        .and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(|e| SqlError::Refused(told(&e, "this is not SQL", statement)))?;
    Err(SqlError::Refused(match (statements.pop(), statements.first()) {
        (Some(Parsed::Query(query)), None) => return Ok(*query),
        (None, _) => "the statement is empty".to_owned(),
        (Some(second), Some(_)) => {
            mark_span("a second statement begins here; one query is wanted", statement, second.span())
        }
        (Some(other), None) => mark_span(
            &format!("`{}` is not a query; write SELECT …", first_word(&other.to_string())),
            statement,
            other.span(),
        ),
    }))
}

pub(crate) fn parser_options() -> ParserOptions {
    ParserOptions { trailing_commas: true, ..Default::default() }
}

/// The parser's error behind a few words of ours, with the place.
pub(crate) fn told(error: &ParserError, what: &str, statement: &str) -> String {
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

/// What a plan puts out, in stored types.
fn put_out(plan: &LogicalPlan, statement: &str) -> Result<(Schema, SchemaRef), SqlError> {
    let refused = |what: &str, name: &str| Err(SqlError::Refused(mark_name(what, name, statement)));
    let mut seen = HashSet::new();
    let mut fields = Vec::with_capacity(plan.schema().fields().len());
    for field in plan.schema().fields() {
        let name = field.name();
        if name.trim().is_empty() {
            return Err(SqlError::Refused("a column has no name; name it with AS".to_owned()));
        }
        if !seen.insert(name) {
            return refused(&twice(name), name);
        }
        let Some(stored) = stored_type(field.data_type()) else {
            let (dtype, advice) = (field.data_type(), advice(field.data_type()));
            return refused(&format!("the column `{name}` is of type {dtype}, which is not stored; {advice}"), name);
        };
        fields.push(Field::new(name, stored));
    }
    if fields.is_empty() {
        return Err(SqlError::Refused("the statement puts out no column".to_owned()));
    }
    let schema = Schema::new(fields);
    let stored = arrow_schema(&schema);
    Ok((schema, stored))
}

fn twice(name: &str) -> String {
    format!("two columns of the result have the name `{name}`; give one another name with AS")
}

/// The engine's error in a user's words, with the place.
fn explain(error: &DataFusionError, statement: &str, tables: &[(&str, Table)]) -> String {
    let marked = |what: String, name: &str| mark_name(&what, name, statement);
    match error.find_root() {
        DataFusionError::SchemaError(fault, _) => match fault.as_ref() {
            SchemaError::FieldNotFound { field, .. } => {
                let name = &field.name;
                marked(format!("there is no column `{name}`; {}", listed(tables)), name)
            }
            SchemaError::AmbiguousReference { field } => {
                let name = &field.name;
                marked(
                    format!("`{name}` may be one of several columns; write TABLE.{name}, or use another name with AS"),
                    name,
                )
            }
            SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
                marked(twice(name), name)
            }
        },
        DataFusionError::Plan(text) | DataFusionError::NotImplemented(text) => planning(text, statement, tables),
        other => planning(&other.strip_backtrace(), statement, tables),
    }
}

/// What planning says in words only.
fn planning(text: &str, statement: &str, tables: &[(&str, Table)]) -> String {
    if let Some(name) = text.strip_prefix("Invalid function '").and_then(|rest| rest.split('\'').next()) {
        // Some names are calls without parentheses.
        let column = tables
            .iter()
            .flat_map(|(_, table)| table.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>())
            .find(|column| column.eq_ignore_ascii_case(name));
        let advice = column.map_or_else(String::new, |c| format!("; the column is written \"{c}\", in double quotes"));
        return mark_name(&format!("there is no function `{}`{advice}", name.to_uppercase()), name, statement);
    }
    if text.contains("unique expression names")
        && let Some(name) = text.split(" at position").next().and_then(|t| t.rsplit([' ', '.']).next())
    {
        let name = name.trim_matches('"');
        return mark_name(&twice(name), name, statement);
    }
    let what = in_sql(&first_line(text));
    match offender(text, statement) {
        Some((_, at)) => mark(&what, statement, at),
        None => what,
    }
}

/// A message with the engine's types as SQL has them.
fn in_sql(text: &str) -> String {
    const TYPES: [(&str, &str); 6] = [
        ("Utf8View", "VARCHAR"),
        ("LargeUtf8", "VARCHAR"),
        ("Utf8", "VARCHAR"),
        ("Int64", "BIGINT"),
        ("Float64", "DOUBLE"),
        ("Date32", "DATE"),
    ];
    let shown = TYPES.iter().fold(text.to_owned(), |text, (engines, sql)| text.replace(engines, sql));
    match shown
        .strip_prefix("Cannot coerce arithmetic expression ")
        .and_then(|rest| rest.strip_suffix(" to valid types"))
    {
        Some(expression) => format!("{expression} cannot be computed; CAST one of the two"),
        None => shown,
    }
}

fn listed(tables: &[(&str, Table)]) -> String {
    let of = |(name, table): &(&str, Table)| {
        let schema = table.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        if *name == ROWS {
            format!("the columns are {}", names.join(", "))
        } else if names.len() > LISTED {
            format!("`{name}` has {} columns", names.len())
        } else {
            format!("the columns of `{name}` are {}", names.join(", "))
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
