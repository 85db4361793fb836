//! Data for tests: generated from a seed, or real files that may lie beside the repository.

use std::path::PathBuf;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Lines `id,name,amount` with duplicates; about a tenth repeat an earlier line. No header.
pub fn pseudo_rows(seed: u64, rows: usize) -> Vec<String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut lines: Vec<String> = Vec::with_capacity(rows);
    for n in 0..rows {
        if n > 0 && rng.random_ratio(1, 10) {
            let earlier = rng.random_range(0..n);
            lines.push(lines[earlier].clone());
        } else {
            let amount = f64::from(rng.random_range(0..1_000_000)) / 100.0;
            lines.push(format!("{},name {},{amount:?}", rng.random_range(0..rows * 2), rng.random_range(0..500)));
        }
    }
    lines
}

/// The folder of real datasets, where there is one; a test that needs it is skipped, and says so, where there is not.
pub fn shared_data() -> Option<PathBuf> {
    let dir = std::env::var_os("SHARDMILL_TEST_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"));
    if dir.is_dir() {
        Some(dir)
    } else {
        eprintln!("skipped: the folder of real datasets is not there (SHARDMILL_TEST_DATA)");
        None
    }
}
