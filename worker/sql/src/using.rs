//! RIGHT and FULL joins with USING: the key of a row is that of the side that has the row. The engine takes the left's, which is null
//! where there is none.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, Query, Select, SelectItem, TableFactor, VisitMut,
    VisitorMut,
};

use crate::dialect::call;

/// Writes such joins with ON, and their keys as the one or the other.
pub fn merge_keys(select: &mut Select) {
    let mut merged = BTreeMap::new();
    for table in &mut select.from {
        if let [join] = &mut table.joins[..]
            && let Some(keys) = keys_of(&table.relation, join)
        {
            merged.extend(keys);
        }
    }
    if merged.is_empty() {
        return;
    }
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item
            && merged.contains_key(&name.value)
        {
            *item = SelectItem::ExprWithAlias { expr: Expr::Identifier(name.clone()), alias: name.clone() };
        }
    }
    // It never breaks off.
    let _: ControlFlow<()> = select.visit(&mut Merge { merged, depth: 0 });
}

/// The keys of a join that are to be merged, by their name. The join then has ON.
fn keys_of(left: &TableFactor, join: &mut Join) -> Option<Vec<(String, Expr)>> {
    let (JoinOperator::FullOuter(constraint) | JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint)) =
        &mut join.join_operator
    else {
        return None;
    };
    let JoinConstraint::Using(columns) = constraint else { return None };
    let (left, right) = (name_of(left)?, name_of(&join.relation)?);
    let names = columns.iter().map(|c| c.0.first()?.as_ident().cloned()).collect::<Option<Vec<Ident>>>()?;
    let of = |table: &Ident, column: &Ident| Expr::CompoundIdentifier(vec![table.clone(), column.clone()]);
    let equal = names.iter().map(|name| Expr::BinaryOp {
        left: Box::new(of(&left, name)),
        op: BinaryOperator::Eq,
        right: Box::new(of(&right, name)),
    });
    let all = equal.reduce(|a, b| Expr::BinaryOp { left: Box::new(a), op: BinaryOperator::And, right: Box::new(b) })?;
    *constraint = JoinConstraint::On(all);
    let merged = |name: &Ident| (name.value.clone(), call("coalesce", vec![of(&left, name), of(&right, name)]));
    Some(names.iter().map(merged).collect())
}

/// What the columns of a table are called by.
fn name_of(table: &TableFactor) -> Option<Ident> {
    match table {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        TableFactor::Table { name, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}

/// Puts the merged keys where they are named, but in queries within, which have columns of their own.
struct Merge {
    merged: BTreeMap<String, Expr>,
    depth: usize,
}

impl VisitorMut for Merge {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let (0, Expr::Identifier(name)) = (self.depth, &*expr)
            && let Some(merged) = self.merged.get(&name.value)
        {
            *expr = merged.clone();
        }
        ControlFlow::Continue(())
    }
}
