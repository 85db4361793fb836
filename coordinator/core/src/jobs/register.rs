//! Registration: shards that a client wrote straight to workers become a version.

use shardmill_common::failure::Failure;
use shardmill_common::spec::RegisterSpec;

use super::plan::{Draft, Next, Publication};

pub fn check(spec: &RegisterSpec) -> Result<(), String> {
    if spec.schema.is_empty() {
        return Err("the dataset has no columns".into());
    }
    Ok(())
}

pub fn next(spec: &RegisterSpec) -> Result<Next, Failure> {
    let draft = Draft { name: spec.output.clone(), schema: spec.schema.clone(), shards: spec.shards.clone() };
    Ok(Next::Publish(Box::new(Publication { drafts: vec![draft], ..Default::default() })))
}
