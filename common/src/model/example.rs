//! A small model for tests of other crates: least squares on one column.

use super::encoder::{Encoder, Encoding, Feature};
use super::families::{Algorithm, LinearOptions, LinearParameters, Parameters, Penalty};
use super::spec::{Preparation, TrainSpec};
use super::version::{Label, Model, Target, Training};
use crate::ids::JobId;
use crate::name::{DatasetName, DatasetRef, ReferenceError};
use crate::schema::DataType;
use crate::time::Timestamp;

/// The version `m@1`: `y` is twice `x` and 1, learnt from `d@1`.
pub fn example() -> Result<Model, ReferenceError> {
    let name: DatasetName = "m".parse()?;
    let data: DatasetRef = "d@1".parse()?;
    let encoding = Encoding::Numeric { scaling: None };
    let x = Feature { column: "x".into(), dtype: DataType::Float64, encoding, fill: None, indicator: false };
    Ok(Model {
        name: name.clone(),
        version: 1,
        algorithm: "linear".into(),
        target: Target::Number { label: Label { column: "y".into(), dtype: DataType::Float64 } },
        features: Encoder { features: vec![x] },
        parameters: Parameters::Linear(LinearParameters { coefficients: vec![2.0], intercept: 1.0 }),
        curvature: None,
        baseline: None,
        training: Training {
            rows: 1,
            rows_skipped: 0,
            rounds: Vec::new(),
            converged: true,
            solver: "newton".into(),
            notices: Vec::new(),
        },
        data: Some(data.clone()),
        parent: None,
        spec: Some(TrainSpec {
            input: data,
            model: name,
            label: Some("y".into()),
            weight_column: None,
            preparation: Preparation::default(),
            algorithm: Algorithm::Linear(LinearOptions {
                penalty: Penalty::None,
                alpha: 1.0,
                fit_intercept: true,
                tol: 1e-8,
                max_iter: 10,
            }),
            seed: 0,
            warm_start: None,
            update: None,
            base: None,
        }),
        program: "0".into(),
        job: JobId(1),
        created: Timestamp(0),
    })
}
