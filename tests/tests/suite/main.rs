//! End-to-end, fault and simulation tests: one binary, so that it is linked once.

mod bad_input;
mod faults;
mod jobs;
mod serving;
mod simulation;
mod training;
