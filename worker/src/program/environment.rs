//! The environment of a program: nothing of the worker's but where programs are, and nothing by which two workers differ.

use std::path::Path;

use shardmill_common::ids::AttemptId;

use super::{Role, command};

/// Libraries that would start a thread a core; the worker's slots are its threads.
const THREADS: [&str; 10] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "ARROW_IO_THREADS",
];

/// The variable that only the processes of one run have, so that they can be found.
pub(super) const RUN: &str = "SHARDMILL_RUN";

/// All variables of a program whose private folder is `home` in the folder `scratch` of its attempt.
pub(super) fn of(attempt: AttemptId, role: Role, home: &Path, scratch: &Path) -> Vec<(String, String)> {
    let role = if role == Role::Reduce { "reduce" } else { "map" };
    let home = home.to_string_lossy().into_owned();
    let mut all = vec![
        ("PATH", command::search_path()),
        ("HOME", home.clone()),
        ("TMPDIR", home),
        ("LANG", "C.UTF-8".to_owned()),
        // What a program makes must not depend on the worker it ran on, nor on chance.
        ("TZ", "UTC".to_owned()),
        ("PYTHONHASHSEED", "0".to_owned()),
        ("SHARDMILL_JOB", attempt.task.job.to_string()),
        ("SHARDMILL_STAGE", attempt.task.stage.to_string()),
        ("SHARDMILL_TASK", attempt.task.task.to_string()),
        ("SHARDMILL_ATTEMPT", attempt.number.to_string()),
        ("SHARDMILL_ROLE", role.to_owned()),
        (RUN, scratch.display().to_string()),
    ];
    all.extend(THREADS.map(|name| (name, "1".to_owned())));
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
