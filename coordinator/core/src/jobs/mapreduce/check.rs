//! What of a user's job can be refused without an engine. The statements themselves are checked by a worker, in the first stage.

use std::collections::BTreeSet;

use shardmill_common::kinds::mapreduce::{MapReduceSpec, common_keys};

use crate::jobs::plan::ResolvedJob;

pub fn check(spec: &MapReduceSpec, job: &ResolvedJob) -> Result<(), String> {
    spec.check_parts()?;
    let plain = spec.inputs.iter().zip(&job.inputs).filter(|(input, _)| input.map.is_none());
    let plain: Vec<_> = plain.map(|(input, manifest)| (input.name.as_str(), &manifest.schema)).collect();
    common_keys(&spec.keys, &plain)?;
    if !spec.runs_programs() && !spec.work.files.is_empty() {
        return Err("files are for programs, and there is none".into());
    }
    let mut files = BTreeSet::new();
    for file in &spec.work.files {
        if file.name.is_empty() || file.name.contains(['/', '\0']) || matches!(file.name.as_str(), "." | "..") {
            return Err(format!("`{}` is not the name of a file", file.name.escape_debug()));
        }
        if !files.insert(&file.name) {
            return Err(format!("two files are named `{}`: programs see them in one folder", file.name));
        }
    }
    Ok(())
}
