//! From the optimum to the model that is published, and what a person should know of it.

use std::collections::BTreeMap;

use shardmill_common::failure::Failure;
use shardmill_common::ids::JobId;
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{Algorithm, Curvature, Link, Model, Packed, Parameters, TrainSpec, Training};
use shardmill_common::task::TaskOutput;
use shardmill_common::time::Timestamp;
use shardmill_common::watch::Baseline;

use super::super::plan::{Next, Publication};
use super::columns;
use super::memo::{Memo, Prepared};
use crate::train::{Clustered, Fitted, Glm, Separated, Space};

/// What a training ends with.
pub struct Trained {
    pub parameters: Parameters,
    pub curvature: Option<Curvature>,
    pub converged: bool,
    /// It ended because no step led further: more rounds would change nothing.
    pub stalled: bool,
    pub solver: &'static str,
    pub notices: Vec<String>,
    /// How the features were distributed.
    pub baseline: Option<Baseline>,
}

impl Trained {
    /// By one pass, with nothing to converge.
    pub fn at_once(parameters: Parameters, solver: &'static str) -> Self {
        Self {
            parameters,
            curvature: None,
            converged: true,
            stalled: false,
            solver,
            notices: Vec::new(),
            baseline: None,
        }
    }
}

/// A generalised linear model, brought back from working space.
pub fn glm(spec: &TrainSpec, prepared: &Prepared, glm: &Glm, fitted: Fitted) -> Result<Trained, Failure> {
    let problem = &glm.problem;
    let (size, stride) = (problem.size(), problem.stride());
    let space = Space::between(&prepared.encoder, prepared.working(), problem.fit_intercept);
    let parameters =
        parameters(problem.link, problem.width, problem.fit_intercept, &space.to_model(&fitted.parameters))?;
    let mut curvature = fitted.hessian.and_then(|h| space.inverse().pull_back(size, &h.0));
    if let Some(base) = columns::updated(spec) {
        let known = base.curvature.as_ref().filter(|known| known.size as usize == size);
        curvature = curvature.zip(known).map(|(new, old)| new.iter().zip(&old.upper.0).map(|(a, b)| a + b).collect());
    }
    let mut notices = Vec::new();
    let names = output_names(prepared);
    let mut dependent: Vec<&str> = Vec::new();
    for parameter in &fitted.dependent {
        let name = names.get(parameter % stride.max(1)).map_or("the intercept", String::as_str);
        if !dependent.contains(&name) {
            dependent.push(name);
        }
    }
    if !dependent.is_empty() {
        notices.push(format!(
            "given the other features (and the intercept) there is nothing new, or next to nothing, in {}: such coefficients are not unique",
            dependent.join(", ")
        ));
    }
    Ok(Trained {
        parameters,
        curvature: curvature.map(|upper| Curvature { size: size as u32, upper: Packed(upper) }),
        converged: fitted.converged,
        stalled: fitted.stalled,
        solver: glm.method().name(),
        notices,
        baseline: None,
    })
}

fn output_names(prepared: &Prepared) -> Vec<String> {
    prepared.encoder.outputs().into_iter().map(|o| o.name).collect()
}

/// Parameters class by class as a model has them.
pub fn parameters(link: Link, width: usize, with_intercept: bool, all: &[f64]) -> Result<Parameters, Failure> {
    let classes = if let Link::Softmax { classes } = link { classes as usize } else { 1 };
    let stride = width + usize::from(with_intercept);
    if stride == 0 || all.len() != classes * stride {
        return Err(Failure::internal("the parameters do not fit the features"));
    }
    if all.iter().any(|x| !x.is_finite()) {
        return Err(Failure::internal("training came to parameters that are not finite"));
    }
    let coefficients: Vec<Vec<f64>> = all.chunks(stride).map(|class| class[..width].to_vec()).collect();
    let intercept: Vec<f64> = all.chunks(stride).map(|class| class.get(width).copied().unwrap_or(0.0)).collect();
    Ok(match link {
        Link::Squared => Parameters::Linear {
            coefficients: coefficients.concat(),
            intercept: intercept.first().copied().unwrap_or(0.0),
        },
        Link::Logistic | Link::Softmax { .. } => Parameters::Logistic { coefficients, intercept },
    })
}

/// Why there is no optimum.
pub fn separated(prepared: &Prepared, found: &Separated) -> Failure {
    let names = output_names(prepared);
    let feature = names.get(found.coefficient).map_or("", String::as_str);
    let what = if found.wholly { "the classes are" } else { "the classes of some rows are" };
    Failure::bad_input(format!(
        "{what} separated perfectly by these features: without a penalty the coefficients grow without bound; use --penalty l2 (or l1, elasticnet), or leave out \
         the feature that gives the label away: `{feature}` contributes most"
    ))
}

pub fn check_bayes(prepared: &Prepared, parameters: &Parameters) -> Result<(), Failure> {
    let Parameters::NaiveBayes { weights, squares, epsilon, .. } = parameters else { return Ok(()) };
    for ((class, weight), squares) in prepared.target.classes().iter().zip(weights).zip(squares) {
        if *weight <= 0.0 {
            return Err(Failure::bad_input(format!("the rows of class `{class}` have no weight: leave them out")));
        }
        if let (true, Some(place)) = (*epsilon == 0.0, squares.iter().position(|s| *s <= 0.0)) {
            let names = output_names(prepared);
            return Err(Failure::bad_input(format!(
                "`{}` is the same in all rows of class `{class}`: say --var-smoothing 1e-9 to allow for that",
                names.get(place).map_or("", String::as_str)
            )));
        }
    }
    Ok(())
}

pub fn kmeans(found: Clustered) -> Trained {
    let Clustered { centers, inertia, sizes, converged } = found;
    let parameters = Parameters::KMeans { centers, inertia, sizes };
    Trained { converged, ..Trained::at_once(parameters, "lloyd") }
}

/// The model, as far as it is not the catalog's to say.
pub fn publish(
    spec: &TrainSpec,
    input: &Manifest,
    outputs: &[&TaskOutput],
    memo: Memo,
    trained: Trained,
) -> Result<Next, Failure> {
    let Memo { rounds, prepared, .. } = memo;
    let mut notices = prepared.notices;
    notices.extend(unknown_categories(outputs));
    notices.extend(trained.notices);
    if !trained.converged {
        let (n, last) = (rounds.len(), rounds.last().map_or(0.0, |r| r.gradient));
        notices.push(if trained.stalled {
            format!(
                "after {n} rounds no step led further, although the gradient is {last:.1e}: rounding stands in the way; bring \
                 features (and a label that is a number) to similar scales, for instance with --standardise"
            )
        } else if matches!(spec.algorithm, Algorithm::KMeans(_)) {
            format!("the centres still moved after {n} rounds (by {last:.1e} of the variance): raise --max-iter, or --tol")
        } else {
            format!(
                "no convergence after {n} rounds (the gradient is {last:.1e}): raise --max-iter, or --tol if that is near enough"
            )
        });
    }
    let model = Model {
        name: spec.model.clone(),
        version: 0,
        algorithm: spec.algorithm.name().to_owned(),
        target: prepared.target,
        features: prepared.encoder,
        parameters: trained.parameters,
        curvature: trained.curvature,
        baseline: trained.baseline,
        training: Training {
            rows: prepared.rows,
            rows_skipped: prepared.rows_skipped,
            rounds,
            converged: trained.converged,
            solver: trained.solver.to_owned(),
            notices,
        },
        data: Some(input.reference()),
        parent: spec.warm_start.clone().or_else(|| spec.update.clone()),
        spec: Some(recorded(spec)),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        job: JobId(0),
        created: Timestamp(0),
    };
    Ok(Next::Publish(Box::new(Publication { model: Some(Box::new(model)), ..Default::default() })))
}

/// The spec as a later training or update should read it: an update goes on with its model's objective and columns.
fn recorded(spec: &TrainSpec) -> TrainSpec {
    let mut recorded = TrainSpec { base: None, label: columns::label(spec).map(str::to_owned), ..spec.clone() };
    if let Some(theirs) = columns::updated(spec).and_then(|base| base.spec.as_ref()) {
        match (&mut recorded.algorithm, &theirs.algorithm) {
            (Algorithm::Logistic(own), Algorithm::Logistic(theirs)) => {
                (own.penalty, own.c) = (theirs.penalty, theirs.c);
                own.fit_intercept = theirs.fit_intercept;
                own.penalise_intercept = theirs.penalise_intercept;
            }
            (Algorithm::Linear(own), Algorithm::Linear(theirs)) => {
                (own.penalty, own.alpha, own.fit_intercept) = (theirs.penalty, theirs.alpha, theirs.fit_intercept);
            }
            (Algorithm::NaiveBayes(own), Algorithm::NaiveBayes(theirs)) if own.priors.is_none() => {
                own.priors.clone_from(&theirs.priors);
            }
            _ => {}
        }
        let unlabelled = recorded.preparation.unlabelled;
        recorded.preparation = theirs.preparation.clone();
        recorded.preparation.unlabelled = unlabelled;
    }
    recorded
}

/// Categories that an update met and its model does not know.
fn unknown_categories(outputs: &[&TaskOutput]) -> Vec<String> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, n) in outputs.iter().flat_map(|o| &o.counters.0) {
        if let Some(column) = name.strip_prefix("unknown_categories/") {
            *sums.entry(column).or_default() += n;
        }
    }
    let told = |(column, n): (&str, u64)| format!("{n} rows have a value of `{column}` that the model does not know");
    sums.into_iter().filter(|(_, n)| *n > 0).map(told).collect()
}
