//! What a statement means where the engine's own reading differs: as DuckDB has it, and PostgreSQL where those two agree.
//!
//! Some of it is a matter of writing, and is changed in the parsed query ([`rewrite`]); some depends on types, and is decided
//! where the engine asks how an operator is to be planned ([`Arithmetic`]).

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::DataType as ArrowType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr as Planned, ExprSchemable, Operator, ScalarUDF};
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType as SqlType, DuplicateTreatment, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, Join, JoinConstraint,
    JoinOperator, ObjectName, OrderByExpr, OrderByOptions, Query, Select, SelectItem, SetExpr, TableFactor,
    TimezoneInfo, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut,
};

use crate::functions::numbers;
use crate::using::merge_keys;

/// Makes of a query what the engine reads as it was meant.
pub fn rewrite(query: &mut Query) {
    let mut meaning = Meaning;
    // It never breaks off.
    let _: ControlFlow<()> = query.visit(&mut meaning);
}

struct Meaning;

impl VisitorMut for Meaning {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        name_columns(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        merge_keys(select);
        select.from.iter_mut().flat_map(|table| &mut table.joins).for_each(of_the_left);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            table_with_joins.joins.iter_mut().for_each(of_the_left);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(other) = meant(expr) {
            *expr = other;
        }
        ControlFlow::Continue(())
    }
}

/// SEMI and ANTI joins keep rows of the table before them.
fn of_the_left(join: &mut Join) {
    let nothing = JoinOperator::CrossJoin(JoinConstraint::None);
    join.join_operator = match std::mem::replace(&mut join.join_operator, nothing) {
        JoinOperator::Semi(constraint) => JoinOperator::LeftSemi(constraint),
        JoinOperator::Anti(constraint) => JoinOperator::LeftAnti(constraint),
        other => other,
    };
}

/// Columns without a name of their own are called what was written.
fn name_columns(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => name_select(select),
        SetExpr::SetOperation { left, right, .. } => {
            name_columns(left);
            name_columns(right);
        }
        _ => {}
    }
}

fn name_select(select: &mut Select) {
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. }) {
            continue;
        }
        let alias = Ident::with_quote('"', expr.to_string());
        let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("")));
        *item = SelectItem::ExprWithAlias { expr, alias };
    }
}

/// A call of the function of this name.
pub fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn meant(expr: &mut Expr) -> Option<Expr> {
    let nothing = || Expr::Identifier(Ident::new(""));
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::DuckIntegerDivide, right } => {
            Some(call("div", vec![std::mem::replace(left, nothing()), std::mem::replace(right, nothing())]))
        }
        Expr::Cast { kind, expr: inner, data_type, format: None, array: false } if is_integer(data_type) => {
            let name = match kind {
                CastKind::Cast | CastKind::DoubleColon => "cast_to_integer",
                CastKind::TryCast | CastKind::SafeCast => "try_cast_to_integer",
            };
            // The type still bounds what fits.
            let whole = call(name, vec![std::mem::replace(inner, nothing())]);
            Some(Expr::Cast {
                kind: kind.clone(),
                expr: Box::new(whole),
                data_type: data_type.clone(),
                format: None,
                array: false,
            })
        }
        Expr::Cast { kind, expr: inner, data_type, format: None, array: false } => {
            // The engine names a cast as what is cast: two of them in one GROUP BY would be one column.
            let name = match kind {
                CastKind::Cast | CastKind::DoubleColon => "arrow_cast",
                CastKind::TryCast | CastKind::SafeCast => "arrow_try_cast",
            };
            let to = Value::SingleQuotedString(engines_name(data_type)?.to_owned()).with_empty_span();
            Some(call(name, vec![std::mem::replace(inner, nothing()), Expr::Value(to)]))
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            escaped_as_usual(pattern, escape_char);
            None
        }
        Expr::InSubquery { expr: value, subquery, negated: true } if !names_a_column(value) => {
            constant_not_in(std::mem::replace(value, nothing()), subquery)
        }
        Expr::InList { expr: value, list, negated } if list.iter().any(|item| !is_literal(item)) => {
            Some(one_of(std::mem::replace(value, nothing()), std::mem::take(list), *negated))
        }
        Expr::Function(function) if counts(function) => {
            let to = Value::SingleQuotedString("Int64".to_owned()).with_empty_span();
            Some(call("arrow_cast", vec![std::mem::replace(expr, nothing()), Expr::Value(to)]))
        }
        Expr::Function(function) => meant_by_call(function),
        _ => None,
    }
}

fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) | Expr::TypedString(_) => true,
        Expr::UnaryOp { expr, .. } | Expr::Nested(expr) => is_literal(expr),
        _ => false,
    }
}

/// Whether a value is one of a list that has more than literals in it: literals as they are, each other item compared by itself.
/// The engine's own way loses a null among the items.
fn one_of(value: Expr, list: Vec<Expr>, negated: bool) -> Expr {
    let nested = |expr: Expr| Expr::Nested(Box::new(expr));
    let value = nested(value);
    let (literals, others): (Vec<Expr>, Vec<Expr>) = list.into_iter().partition(is_literal);
    let same =
        |item| Expr::BinaryOp { left: Box::new(value.clone()), op: BinaryOperator::Eq, right: Box::new(nested(item)) };
    let among = (!literals.is_empty())
        .then(|| nested(Expr::InList { expr: Box::new(value.clone()), list: literals, negated: false }));
    let any = among.into_iter().chain(others.into_iter().map(same)).reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::Or,
        right: Box::new(right),
    });
    match any.map(nested) {
        Some(any) if negated => nested(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(any) }),
        Some(any) => any,
        // A list without items was refused before.
        None => value,
    }
}

/// Whether an expression depends on a row.
fn names_a_column(expr: &Expr) -> bool {
    let mut found = false;
    let _: ControlFlow<()> = sqlparser::ast::visit_expressions(expr, |part| {
        found |= matches!(part, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        ControlFlow::Continue(())
    });
    found
}

/// A constant NOT IN a query: there is no row of it that is, or may be, the constant. The engine's own way loses what nulls say.
fn constant_not_in(value: Expr, subquery: &mut Query) -> Option<Expr> {
    const SHAPE: &str = "SELECT 1 FROM (SELECT 0) AS \"in query\"(\"in value\") WHERE (\"in value\" = 0) IS NOT FALSE";
    let mut query = crate::check::parse(SHAPE).ok()?;
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let TableFactor::Derived { subquery: rows, .. } = &mut select.from.first_mut()?.relation else { return None };
    std::mem::swap(rows.as_mut(), subquery);
    if let Some(Expr::IsNotFalse(compared)) = &mut select.selection
        && let Expr::Nested(compared) = compared.as_mut()
        && let Expr::BinaryOp { right, .. } = compared.as_mut()
    {
        **right = Expr::Nested(Box::new(value));
    }
    Some(Expr::Exists { subquery: Box::new(query), negated: true })
}

/// What the engine calls a type, of those that statements mostly cast to.
fn engines_name(dtype: &SqlType) -> Option<&'static str> {
    Some(match dtype {
        SqlType::Varchar(None) | SqlType::Text | SqlType::String(None) | SqlType::CharVarying(None) => "Utf8View",
        SqlType::Double(_) | SqlType::DoublePrecision | SqlType::Float8 | SqlType::Float64 => "Float64",
        SqlType::Boolean | SqlType::Bool => "Boolean",
        SqlType::Date => "Date32",
        SqlType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) | SqlType::Datetime(None) => {
            "Timestamp(Microsecond, None)"
        }
        _ => return None,
    })
}

/// A pattern with an escape of its own becomes one with the engine's, which is the backslash.
fn escaped_as_usual(pattern: &mut Expr, escape: &mut Option<ValueWithSpan>) {
    let Some(Value::SingleQuotedString(own)) = escape.as_ref().map(|value| &value.value) else { return };
    let mut own = own.chars();
    let (Some(own), None) = (own.next(), own.next()) else { return };
    let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = pattern else { return };
    let mut usual = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c == own => {
                usual.push('\\');
                // At the end there is nothing to escape: it stands for itself.
                usual.push(chars.next().unwrap_or(c));
            }
            '\\' => usual.push_str("\\\\"),
            c => usual.push(c),
        }
    }
    *text = usual;
    *escape = None;
}

fn is_integer(dtype: &SqlType) -> bool {
    matches!(
        dtype,
        SqlType::TinyInt(_)
            | SqlType::SmallInt(_)
            | SqlType::Int2(_)
            | SqlType::Int(_)
            | SqlType::Int4(_)
            | SqlType::Int8(_)
            | SqlType::Int16
            | SqlType::Int32
            | SqlType::Int64
            | SqlType::Integer(_)
            | SqlType::BigInt(_)
    )
}

/// Functions that count without a sign, which no table stores, and which makes decimals where they meet other whole numbers.
fn counts(function: &Function) -> bool {
    const COUNTS: [&str; 11] = [
        "row_number",
        "rank",
        "dense_rank",
        "ntile",
        "array_length",
        "list_length",
        "cardinality",
        "array_position",
        "array_ndims",
        "approx_distinct",
        "regr_count",
    ];
    COUNTS.contains(&function.name.to_string().to_lowercase().as_str())
}

/// Calls that have a form of their own in the engine.
fn meant_by_call(function: &mut Function) -> Option<Expr> {
    let name = function.name.to_string().to_lowercase();
    let FunctionArguments::List(list) = &mut function.args else { return None };
    if let ("array_agg" | "string_agg" | "list" | "group_concat" | "listagg", Some(DuplicateTreatment::Distinct)) =
        (name.as_str(), list.duplicate_treatment)
    {
        order_distinct(list);
    }
    if matches!(name.as_str(), "string_agg" | "group_concat" | "listagg") && function.over.is_none() {
        return ordered_string(function);
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    let mut args = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    let arguments = (args.next().flatten(), args.next().flatten(), args.next().flatten(), args.next().is_none());
    let cast_to = |expr: Expr, data_type| {
        let kind = CastKind::Cast;
        Some(Expr::Cast { kind, expr: Box::new(expr), data_type, format: None, array: false })
    };
    match (name.as_str(), arguments) {
        ("if", (Some(condition), Some(result), Some(other), true)) => Some(Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![CaseWhen { condition, result }],
            else_result: Some(Box::new(other)),
        }),
        ("mod", (Some(left), Some(right), None, true)) => {
            Some(Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::Modulo, right: Box::new(right) })
        }
        ("date", (Some(text), None, None, true)) => cast_to(text, SqlType::Date),
        ("timestamp", (Some(text), None, None, true)) => cast_to(text, SqlType::Timestamp(None, TimezoneInfo::None)),
        (name, (Some(value), Some(share), None, true)) if is_quantile(name) && function.over.is_none() => {
            Some(discrete_quantile(value, share))
        }
        _ => None,
    }
}

/// What is gathered without repeats comes in its own order: the engine's would be that of its hash table.
fn order_distinct(list: &mut FunctionArgumentList) {
    let ordered = list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)));
    if let (false, Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(value)))) = (ordered, list.args.first()) {
        list.clauses.push(ordered_by(value.clone()));
    }
}

/// The clause that puts what is gathered in the order of this, nulls last.
fn ordered_by(expr: Expr) -> FunctionArgumentClause {
    let options = OrderByOptions { asc: None, nulls_first: Some(false) };
    FunctionArgumentClause::OrderBy(vec![OrderByExpr { expr, options, with_fill: None }])
}

/// Texts that are joined in an order of their own. The engine joins in one order in a SELECT only; lists may have several.
fn ordered_string(function: &mut Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &mut function.args else { return None };
    let ordered = list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)));
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(text)), FunctionArg::Unnamed(FunctionArgExpr::Expr(separator))] =
        &list.args[..]
    else {
        return None;
    };
    if !ordered {
        return None;
    }
    let (text, separator) = (text.clone(), separator.clone());
    list.args.truncate(1);
    function.name = ObjectName::from(vec![Ident::new("array_agg")]);
    let there = Expr::IsNotNull(Box::new(text));
    let filter = match function.filter.take() {
        None => there,
        Some(own) => {
            Expr::BinaryOp { left: Box::new(Expr::Nested(own)), op: BinaryOperator::And, right: Box::new(there) }
        }
    };
    function.filter = Some(Box::new(filter));
    Some(call("array_to_string", vec![Expr::Function(function.clone()), separator]))
}

/// Whether a function is the quantile that is one of the values.
pub fn is_quantile(name: &str) -> bool {
    matches!(name.to_lowercase().as_str(), "quantile_disc" | "percentile_disc")
}

/// The smallest value that at least this share of all values does not exceed.
fn discrete_quantile(value: Expr, share: Expr) -> Expr {
    let mut all = call("array_agg", vec![value.clone()]);
    // A number there would be the place of a column.
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut all
        && !matches!(value, Expr::Value(_))
    {
        list.clauses.push(ordered_by(value.clone()));
    }
    let scaled = Expr::BinaryOp {
        left: Box::new(Expr::Nested(Box::new(share))),
        op: BinaryOperator::Multiply,
        right: Box::new(call("count", vec![value])),
    };
    let one = Expr::Value(Value::Number("1".into(), false).with_empty_span());
    let place = call("greatest", vec![call("cast_to_integer", vec![call("ceil", vec![scaled])]), one]);
    call("array_element", vec![all, place])
}

/// Operators of whole numbers: `/` gives a number with a fraction, and what leaves 64 bits is an error.
#[derive(Debug)]
pub struct Arithmetic;

impl ExprPlanner for Arithmetic {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let operator = match &expr.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Modulo => Operator::Modulo,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let (left, right) = (expr.left.get_type(schema)?, expr.right.get_type(schema)?);
        let whole = |dtype: &ArrowType| dtype.is_integer() || dtype.is_null();
        let number = |dtype: &ArrowType| whole(dtype) || dtype.is_floating();
        if !number(&left) || !number(&right) || (left.is_null() && right.is_null()) {
            return Ok(PlannerResult::Original(expr));
        }
        let function = match operator {
            Operator::Divide => Some(numbers::divided()),
            _ if whole(&left) && whole(&right) => numbers::checked(operator),
            _ => None,
        };
        let Some(function) = function else { return Ok(PlannerResult::Original(expr)) };
        let call = ScalarFunction::new_udf(Arc::new(function), vec![expr.left, expr.right]);
        Ok(PlannerResult::Planned(Planned::ScalarFunction(call)))
    }

    fn plan_substring(&self, args: Vec<Planned>) -> Result<PlannerResult<Vec<Planned>>> {
        let call = ScalarFunction::new_udf(Arc::new(crate::functions::text::substring()), args);
        Ok(PlannerResult::Planned(Planned::ScalarFunction(call)))
    }
}

/// The functions that stand for operators in plans. No statement can call them by their names.
pub fn operators() -> impl Iterator<Item = Arc<ScalarUDF>> {
    let whole = [Operator::Plus, Operator::Minus, Operator::Multiply, Operator::Modulo];
    whole.into_iter().filter_map(numbers::checked).chain([numbers::divided()]).map(Arc::new)
}

#[cfg(test)]
#[path = "dialect_tests.rs"]
mod tests;
