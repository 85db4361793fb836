//! The model that a training starts from or updates, as far as all families look at it.

use shardmill_common::failure::Failure;
use shardmill_common::model::{Encoder, Model, OutputColumn};

pub fn misfit(base: &Model) -> Failure {
    Failure::internal(format!("the parameters of {} do not fit its features", base.reference()))
}

/// Of each column of `encoder` its place in the base's, if they are the same columns in whatever order.
pub fn places(base: &Model, encoder: &Encoder) -> Result<Vec<usize>, Failure> {
    let (theirs, ours) = (base.features.outputs(), encoder.outputs());
    let names = |of: &[OutputColumn], not_in: &[OutputColumn]| -> String {
        let missing: Vec<&str> =
            of.iter().map(|o| o.name.as_str()).filter(|n| !not_in.iter().any(|o| o.name == *n)).take(10).collect();
        if missing.is_empty() { "nothing".to_owned() } else { missing.join(", ") }
    };
    let found: Option<Vec<usize>> = ours.iter().map(|o| theirs.iter().position(|t| t.name == o.name)).collect();
    found.filter(|found| found.len() == theirs.len()).ok_or_else(|| {
        Failure::bad_input(format!(
            "a warm start needs the same features: {} has besides {}, and this training has besides {}",
            base.reference(),
            names(&theirs, &ours),
            names(&ours, &theirs)
        ))
    })
}
