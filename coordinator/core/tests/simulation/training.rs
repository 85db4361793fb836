//! A training as the simulation carries it out: least squares over made-up rows, done as a worker would. Whatever happens to
//! workers, the parameters must be the same bits in every run.

use std::sync::OnceLock;

use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::train::LearnTask;
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{
    Algorithm, Encoding, GlmSums, LabelProfile, Learn, Learnt, LinearOptions, Moments, NumericProfile, Packed, Penalty,
    Preparation, Profile, TrainSpec,
};
use shardmill_common::schema::{DataType, Field, Schema};

/// The parameters of the first run.
pub static BITS: OnceLock<String> = OnceLock::new();

const ROWS: u32 = 20;

pub fn schema() -> Schema {
    Schema::new(vec![Field::new("x", DataType::Float64), Field::new("y", DataType::Float64)])
}

pub fn spec(data: &Manifest) -> JobSpec {
    JobSpec::Train(TrainSpec {
        input: data.reference(),
        model: "m".parse().unwrap(),
        label: Some("y".into()),
        weight_column: None,
        preparation: Preparation { max_categories: 10, ..Default::default() },
        // The penalty and the tolerance make it take some rounds.
        algorithm: Algorithm::Linear(LinearOptions {
            penalty: Penalty::ElasticNet { l1_ratio: 0.5 },
            alpha: 0.1,
            fit_intercept: true,
            tol: 1e-12,
            max_iter: 50,
        }),
        seed: 0,
        warm_start: None,
        update: None,
        base: None,
    })
}

fn row(shard: u32, n: u32) -> (f64, f64) {
    let x = f64::from((shard * 37 + n * 11) % 29) / 7.0 + 5.0;
    (x, 3.0 * x - 1.0 + f64::from((n * 7 + shard) % 13) / 10.0)
}

fn rows(shard: u32) -> impl Iterator<Item = (f64, f64)> {
    (0..ROWS).map(move |n| row(shard, n))
}

fn moments(values: impl Iterator<Item = f64>) -> Moments {
    values.fold(Moments::default(), |sum, x| sum.merge(Moments { count: 1.0, mean: x, squares: 0.0 }))
}

pub fn profile(shard: u32) -> Profile {
    let x = NumericProfile { moments: moments(rows(shard).map(|r| r.0)), missing: 0, min: Some(0.0), max: Some(9.0) };
    Profile {
        rows: u64::from(ROWS),
        rows_without_label: 0,
        rows_with_missing: 0,
        weight: f64::from(ROWS),
        numeric: vec![x],
        categorical: vec![],
        label: LabelProfile::Number(moments(rows(shard).map(|r| r.1))),
        sample: None,
    }
}

pub fn learn(task: &LearnTask) -> Learnt {
    let Learn::Glm(round) = &*task.learn else { panic!("least squares take no other round") };
    let Encoding::Numeric { scaling } = &task.encoder.features[0].encoding else { panic!("x is a number") };
    let (w, b) = (round.parameters.0[0], round.parameters.0[1]);
    let (mut loss, mut gradient, mut hessian) = (0.0, vec![0.0; 2], vec![0.0; 3]);
    let mut reach: f64 = 0.0;
    for (x, y) in rows(task.input.ordinal) {
        let x = scaling.map_or(x, |s| (x - s.mean) / s.scale);
        let z = w * x + b;
        reach = reach.max(z.abs());
        loss += (z - y) * (z - y) / 2.0;
        for (sum, part) in gradient.iter_mut().zip([(z - y) * x, z - y]) {
            *sum += part;
        }
        for (sum, part) in hessian.iter_mut().zip([x * x, x, 1.0]) {
            *sum += part;
        }
    }
    Learnt::Glm(GlmSums {
        rows: u64::from(ROWS),
        weight: f64::from(ROWS),
        loss,
        gradient: Packed(gradient),
        hessian: round.hessian.then_some(Packed(hessian)),
        margin: None,
        reach,
    })
}
