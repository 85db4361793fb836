//! Cleaning rules: what `rules.toml` may say, read with the line of every mistake, and planned against a schema.

mod columns;
mod error;
mod options;
mod parse;
mod plan;
mod rule;
mod scalar;
mod statistics;

pub use columns::Columns;
pub use error::{ColumnsError, FileFault, RuleError, RuleFault, RuleFileError, Unsuited, ValueError};
pub use plan::{Shape, ShapeColumn, shape_after};
pub use rule::{Case, Cast, CastError, CastTo, CheckError, Fill, NormalForm, NullsIn, Op, Rule, RuleSet, Side};
pub use scalar::{Scalar, in_unit};
pub use statistics::{Carried, ColumnStatistics, Quartiles, RuleStatistics, Statistic};
