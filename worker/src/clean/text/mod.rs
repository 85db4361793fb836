//! Text rules: compiled to programs, and run cell by cell.

mod column;
mod ops;
mod program;

pub use column::run_column;
pub use program::{Step, compile_regex, whole_cell};
