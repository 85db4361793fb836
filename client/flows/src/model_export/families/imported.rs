//! A graph of another program's making: its file is written in its own format, and in no other.

use serde_json::{Value, json};
use shardmill_common::model::OnnxGraph;

use super::Exported;
use crate::model_export::Reason;
use crate::model_export::formulas::Formula;

impl Exported for OnnxGraph {
    fn object(&self) -> Value {
        json!({"graph": self})
    }

    fn formula(&self, _classes: usize) -> Result<Formula, Reason> {
        Err(Reason::Imported)
    }
}
