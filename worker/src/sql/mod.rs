//! Users' statements: one query over the tables it is given, checked before anything runs, and run so that the same rows
//! give the same result in the same order every time.

mod check;
mod functions;
mod guard;
mod job;
mod place;
mod reach;
mod rowwise;
mod run;
mod sums;

pub use check::{Statement, check, empty};
pub use job::{INPUT, check_job};
pub use rowwise::check_expression;
pub use run::run;
