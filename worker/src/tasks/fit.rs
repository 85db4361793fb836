//! Fitting with linfa on one worker.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_logistic::{LogisticRegression, MultiLogisticRegression};
use ndarray::{Array1, Array2};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::train::FitTask;
use shardmill_common::model::{GlmRound, LinfaFit, LinfaResult, Link, Packed, Target};
use shardmill_common::shared::Shared;
use shardmill_common::task::TaskOutput;
use shardmill_serving::model::Matrix;

use super::Context;
use crate::origin::Origin;
use crate::train::{self, Recipe, Session, Targets};

pub fn run(context: &Context, task: &FitTask) -> Result<TaskOutput, Failure> {
    let Target::Class { classes, .. } = &*task.target else {
        return Err(Failure::internal("linfa fits classes"));
    };
    let unweighted = Shared::default();
    let recipe =
        Recipe { encoder: &task.encoder, target: Some(&task.target), weight_column: None, class_weights: &unweighted };
    let width = task.encoder.width();
    let (mut values, mut targets): (Vec<f64>, Vec<usize>) = Default::default();
    let mut first_row = 0;
    for input in &task.inputs {
        let origin = Origin { source: &task.source_name, first_row };
        let session = train::load(context, input, &task.schema, recipe, origin)?;
        first_row += session.shard_rows;
        let Targets::Classes(found) = &session.targets else { continue };
        let before = values.len();
        values.resize(before + found.len() * width, 0.0);
        for (row, out) in values[before..].chunks_exact_mut(width.max(1)).enumerate() {
            session.matrix.expand(row, out);
        }
        targets.extend(found.iter().map(|class| *class as usize));
    }
    context.check()?;
    for (n, class) in classes.iter().enumerate() {
        if !targets.contains(&n) {
            return Err(Failure::bad_input(format!("class `{class}` of `{}` has no rows", task.source_name)));
        }
    }
    let result = fit(values, targets, width, classes.len(), &task.fit)?;
    TaskOutput::reporting::<FitTask>(&result)
}

/// Every class has a row.
fn fit(
    values: Vec<f64>,
    targets: Vec<usize>,
    width: usize,
    classes: usize,
    options: &LinfaFit,
) -> Result<LinfaResult, Failure> {
    let rows = targets.len();
    let refused = |e: linfa_logistic::error::Error| Failure::bad_input(format!("linfa: {e}"));
    let records = Array2::from_shape_vec((rows, width), values).map_err(Failure::internal)?;
    let data = DatasetBase::new(records, Array1::from_vec(targets));
    let mut parameters = Vec::with_capacity(classes * (width + 1));
    if classes == 2 {
        let model = LogisticRegression::default()
            .alpha(options.alpha)
            .with_intercept(options.fit_intercept)
            .max_iterations(options.max_iter)
            .gradient_tolerance(options.gradient_tolerance)
            .fit(&data)
            .map_err(refused)?;
        // linfa calls the more frequent class positive; ours is the second.
        let sign = if model.labels().pos.class == 1 { 1.0 } else { -1.0 };
        parameters.extend(model.params().iter().map(|w| sign * w));
        parameters.extend(options.fit_intercept.then_some(sign * model.intercept()));
    } else {
        let model = MultiLogisticRegression::default()
            .alpha(options.alpha)
            .with_intercept(options.fit_intercept)
            .max_iterations(options.max_iter)
            .gradient_tolerance(options.gradient_tolerance)
            .fit(&data)
            .map_err(refused)?;
        for (w, intercept) in model.params().columns().into_iter().zip(model.intercept()) {
            parameters.extend(w.iter());
            parameters.extend(options.fit_intercept.then_some(*intercept));
        }
    }
    let result = LinfaResult { rows: rows as u64, parameters: Packed(parameters) };
    check_converged(data, width, classes, options, &result)?;
    Ok(result)
}

/// linfa does not say whether it converged or ran out of iterations, so the gradient is looked at.
fn check_converged(
    data: DatasetBase<Array2<f64>, Array1<usize>>,
    width: usize,
    classes: usize,
    options: &LinfaFit,
    result: &LinfaResult,
) -> Result<(), Failure> {
    let rows = data.targets.len();
    let targets = data.targets.iter().map(|class| *class as u32).collect();
    let (values, _) = data.records.into_raw_vec_and_offset();
    let matrix = Matrix { rows, width, dense: (0..width as u32).collect(), values, codes: Vec::new() };
    let session = Session {
        matrix,
        rows: None,
        targets: Targets::Classes(targets),
        weights: None,
        shard_rows: rows as u64,
        counters: Default::default(),
    };
    let round = GlmRound {
        link: if classes == 2 { Link::Logistic } else { Link::Softmax { classes: classes as u32 } },
        fit_intercept: options.fit_intercept,
        parameters: result.parameters.clone(),
        hessian: false,
    };
    let sums = train::glm(&session, &round, &|| Ok(()))?;
    let size = width + usize::from(options.fit_intercept);
    let squares: f64 = sums
        .gradient
        .0
        .iter()
        .zip(&round.parameters.0)
        .enumerate()
        .map(|(n, (g, w))| if n % size.max(1) < width { g + options.alpha * w } else { *g })
        .map(|g| g * g)
        .sum();
    let norm = squares.sqrt();
    // linfa also ends where the cost no longer changes: the gradient is then as small as rounding lets it be.
    let rounding = 1e-12 * rows as f64 * sums.loss.max(1.0);
    if norm <= options.gradient_tolerance || squares <= rounding {
        return Ok(());
    }
    Err(Failure::bad_input(format!(
        "linfa did not converge in {} iterations: its gradient is {norm:.3e}, not {:.3e}; allow more, standardise the features, or choose another solver",
        options.max_iter, options.gradient_tolerance
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> LinfaFit {
        LinfaFit { alpha: 1.0, fit_intercept: true, max_iter: 200, gradient_tolerance: 1e-6 }
    }

    /// Class 2n/3 of 60 rows whose second feature leans towards the class.
    fn data(classes: usize) -> (Vec<f64>, Vec<usize>) {
        let targets: Vec<usize> = (0..60).map(|n| if n % 5 == 0 { 0 } else { n % classes }).collect();
        let values = targets.iter().enumerate().flat_map(|(n, c)| [(n % 7) as f64 / 7.0, *c as f64 + (n % 3) as f64]);
        (values.collect(), targets)
    }

    #[test]
    fn the_second_class_is_positive_whichever_is_more_frequent() {
        let (values, targets) = data(2);
        let found = fit(values.clone(), targets.clone(), 2, 2, &options()).unwrap();
        assert_eq!(found.rows, 60);
        assert!(found.parameters.0[1] > 0.1, "{found:?}");
        // The classes' names swapped: every sign turns.
        let swapped = fit(values, targets.iter().map(|c| 1 - c).collect(), 2, 2, &options()).unwrap();
        for (a, b) in found.parameters.0.iter().zip(&swapped.parameters.0) {
            assert!((a + b).abs() < 1e-5, "{a} {b}");
        }
    }

    #[test]
    fn several_classes_have_their_parameters_class_by_class() {
        let (values, targets) = data(3);
        let found = fit(values, targets, 2, 3, &options()).unwrap().parameters.0;
        assert_eq!(found.len(), 9);
        assert!(found[1] < found[4] && found[4] < found[7], "{found:?}");
    }

    #[test]
    fn no_convergence_is_told() {
        let (values, targets) = data(2);
        let failure = fit(values.clone(), targets.clone(), 2, 2, &LinfaFit { max_iter: 1, ..options() }).unwrap_err();
        assert!(failure.to_string().contains("did not converge in 1 iterations"), "{failure}");
        let failure = fit(values, targets, 2, 2, &LinfaFit { alpha: -1.0, ..options() }).unwrap_err();
        assert!(matches!(failure, Failure::BadInput { .. }) && failure.to_string().starts_with("linfa: "), "{failure}");
    }
}
