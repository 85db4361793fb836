//! End-to-end and fault tests: one binary, so that it is linked once.

mod bad_input;
mod faults;
mod flows;
mod jobs;
mod serving;
mod statements;
mod texts;
