//! Whether the options of an algorithm are in range and go together.

use shardmill_common::model::{
    Algorithm, ClassWeight, KMeansOptions, LinearOptions, LogisticOptions, NaiveBayesOptions, Penalty, Solver,
    TrainSpec,
};

pub fn check(spec: &TrainSpec) -> Result<(), String> {
    match &spec.algorithm {
        Algorithm::Logistic(options) => {
            logistic(options)?;
            solver(options, spec)
        }
        Algorithm::Linear(options) => linear(options),
        Algorithm::NaiveBayes(options) => naive_bayes(options),
        Algorithm::KMeans(options) => kmeans(options),
    }?;
    if spec.preparation.max_categories == 0 {
        return Err("--max-categories must be at least 1".into());
    }
    Ok(())
}

fn logistic(options: &LogisticOptions) -> Result<(), String> {
    if !(options.c > 0.0 && options.c.is_finite()) {
        return Err(format!("--c must be above 0, not {}", options.c));
    }
    if let ClassWeight::Of(weights) = &options.class_weight {
        if let Some((class, weight)) = weights.iter().find(|(_, w)| !(w.is_finite() && **w >= 0.0)) {
            return Err(format!("--class-weight: the weight of `{class}` must be 0 or more, not {weight}"));
        }
        if weights.is_empty() {
            return Err("--class-weight names no class".into());
        }
    }
    penalty(options.penalty)?;
    ends(options.tol, options.max_iter)
}

fn linear(options: &LinearOptions) -> Result<(), String> {
    if !(options.alpha >= 0.0 && options.alpha.is_finite()) {
        return Err(format!("--alpha must be 0 or more, not {}", options.alpha));
    }
    penalty(options.penalty)?;
    ends(options.tol, options.max_iter)
}

fn penalty(penalty: Penalty) -> Result<(), String> {
    match penalty.l1_ratio() {
        Some(ratio) if !(0.0..=1.0).contains(&ratio) => Err(format!("--l1-ratio must be from 0 to 1, not {ratio}")),
        _ => Ok(()),
    }
}

fn ends(tol: f64, max_iter: u32) -> Result<(), String> {
    if !(tol > 0.0 && tol.is_finite()) {
        return Err(format!("--tol must be above 0, not {tol}"));
    }
    if max_iter == 0 {
        return Err("--max-iter must be at least 1".into());
    }
    Ok(())
}

fn naive_bayes(options: &NaiveBayesOptions) -> Result<(), String> {
    if !(options.var_smoothing >= 0.0 && options.var_smoothing.is_finite()) {
        return Err(format!("--var-smoothing must be 0 or more, not {}", options.var_smoothing));
    }
    let Some(priors) = &options.priors else { return Ok(()) };
    if let Some((class, prior)) = priors.iter().find(|(_, p)| !(0.0..=1.0).contains(*p)) {
        return Err(format!("--priors: the prior of `{class}` must be from 0 to 1, not {prior}"));
    }
    let sum: f64 = priors.values().sum();
    if (sum - 1.0).abs() > 1e-6 {
        return Err(format!("--priors must add up to 1, not {sum}"));
    }
    Ok(())
}

fn kmeans(options: &KMeansOptions) -> Result<(), String> {
    if options.clusters == 0 {
        return Err("--clusters must be at least 1".into());
    }
    if options.seeding_rounds == 0 {
        return Err("--seeding-rounds must be at least 1".into());
    }
    if options.max_iter == 0 {
        return Err("--max-iter must be at least 1".into());
    }
    if !(options.tol >= 0.0 && options.tol.is_finite()) {
        return Err(format!("--tol must be 0 or more, not {}", options.tol));
    }
    Ok(())
}

/// What a solver cannot do.
fn solver(options: &LogisticOptions, spec: &TrainSpec) -> Result<(), String> {
    let l1 = options.penalty.l1_ratio().is_some_and(|ratio| ratio > 0.0);
    match options.solver {
        Solver::Auto | Solver::Newton | Solver::Owlqn => Ok(()),
        Solver::Lbfgs if l1 => {
            Err("the solver lbfgs cannot take an L1 penalty: use --solver owlqn, or --solver newton".into())
        }
        Solver::Lbfgs => Ok(()),
        Solver::Linfa => {
            let cannot = [
                (options.penalty.l1_ratio() != Some(0.0), "another penalty than l2"),
                (spec.weight_column.is_some(), "row weights"),
                (options.class_weight != ClassWeight::None, "class weights"),
                (options.penalise_intercept, "a penalised intercept"),
                (spec.warm_start.is_some(), "a warm start"),
                (spec.update.is_some(), "an update"),
            ];
            match cannot.iter().find(|(asked, _)| *asked) {
                Some((_, what)) => Err(format!("the solver linfa cannot take {what}: leave --solver out")),
                None => Ok(()),
            }
        }
    }
}
