//! Sums of whole numbers that would leave 64 bits: the engine begins again from the other end, without a word.

use polars::prelude::{Column, DataType as PolarsType, Field, PlSmallStr, PolarsError, PolarsResult};
use polars_plan::plans::expr_ir::{ExprIR, OutputName};
use polars_plan::prelude::{AExpr, Arena, BaseColumnUdf, FunctionOptions, IRAggExpr, Node, new_column_udf};

/// Lets a sum of a plan look at its numbers first.
pub fn guard_sum(node: Node, expressions: &mut Arena<AExpr>) {
    let AExpr::Agg(IRAggExpr::Sum(summed)) = expressions.get(node) else { return };
    let summed = ExprIR::new(*summed, OutputName::Alias(PlSmallStr::from_static("summed")));
    let field = |_: &polars::prelude::Schema, fields: &[Field]| {
        fields.first().cloned().ok_or_else(|| PolarsError::ComputeError("nothing to sum".into()))
    };
    let guarded = expressions.add(AExpr::AnonymousFunction {
        input: vec![summed],
        function: new_column_udf(BaseColumnUdf::new(look, field)),
        options: FunctionOptions::elementwise(),
        fmt_str: Box::new(PlSmallStr::from_static("sum")),
    });
    expressions.replace(node, AExpr::Agg(IRAggExpr::Sum(guarded)));
}

/// The numbers as they are, unless some of them could add up to more than 64 bits hold. All groups are looked at together,
/// which is what a pass over the column costs and no more.
fn look(columns: &mut [Column]) -> PolarsResult<Column> {
    let Some(column) = columns.first() else { return Ok(Column::default()) };
    if *column.dtype() == PolarsType::Int64 {
        let most: u128 = column.i64()?.iter().flatten().map(|n| u128::from(n.unsigned_abs())).sum();
        if i64::try_from(most).is_err() {
            return Err(PolarsError::ComputeError(
                "a SUM of whole numbers may go beyond 64 bits; SUM(CAST(… AS DOUBLE)) does not".into(),
            ));
        }
    }
    Ok(column.clone())
}
