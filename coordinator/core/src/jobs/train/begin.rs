//! From what the profiles found to the first round: encoder, objective, start.

use std::collections::BTreeMap;

use shardmill_common::failure::Failure;
use shardmill_common::manifest::Manifest;
use shardmill_common::model::{Algorithm, Label, Link, LogisticOptions, Packed, Penalty, Solver, Target, TrainSpec};

use super::memo::{Memo, Prepared, State};
use super::{base, columns, labels, profile};
use crate::train::{
    Built, Glm, KMeans, Labels, Method, NEWTON_PARAMETERS, Problem, Space, Whole, build, conditioning, triangle,
};

/// The most parameters a Hessian is made for, if it is asked for.
const HESSIAN_PARAMETERS: usize = 2000;
/// Bytes of all shards' Hessians up to which they are made without being asked for.
const HESSIAN_BYTES: usize = 128 << 20;

pub fn begin(
    spec: &TrainSpec,
    input: &Manifest,
    whole: &Whole,
    fillings: &BTreeMap<String, f64>,
) -> Result<Memo, Failure> {
    let name = input.reference().to_string();
    let built = match columns::updated(spec) {
        Some(base) => Built { encoder: base.features.clone(), ..Default::default() },
        None => build(&profile::asked(spec, input)?, whole, fillings, &spec.preparation, &name)?,
    };
    let target = target(spec, input, whole)?;
    let mut prepared = Prepared {
        encoder: built.encoder.clone(),
        working: None,
        class_weights: labels::class_weights(spec, whole, target.classes())?,
        target,
        rows: whole.rows,
        rows_skipped: whole.rows_without_label + whole.rows_with_missing,
        notices: notices(spec, whole),
    };
    prepared.notices.extend(built.notices.iter().cloned());
    let state = match &spec.algorithm {
        Algorithm::Logistic(options) if options.solver == Solver::Linfa => State::Linfa,
        Algorithm::Logistic(_) | Algorithm::Linear(_) => {
            State::Glm(Box::new(glm(spec, whole, &built, &mut prepared, input.shards.len())?))
        }
        Algorithm::NaiveBayes(_) => State::Bayes { priors: labels::priors(spec, prepared.target.classes())? },
        Algorithm::KMeans(options) => {
            if whole.rows < u64::from(options.clusters) {
                return Err(Failure::bad_input(format!(
                    "{} clusters were asked for, and {name} has only {} rows",
                    options.clusters, whole.rows
                )));
            }
            State::KMeans(Box::new(match &spec.base {
                Some(from) => {
                    let centers = base::centers(from, &prepared.encoder, options.clusters)?;
                    KMeans::from_centers(options.clone(), centers, &built.variances)
                }
                None => KMeans::new(options.clone(), spec.seed, &built.variances),
            }))
        }
    };
    Ok(Memo { rounds: Vec::new(), prepared, state })
}

fn target(spec: &TrainSpec, input: &Manifest, whole: &Whole) -> Result<Target, Failure> {
    if let Some(base) = columns::updated(spec) {
        return Ok(base.target.clone());
    }
    if let Algorithm::KMeans(options) = &spec.algorithm {
        return Ok(Target::Cluster { clusters: options.clusters });
    }
    let field = columns::label(spec).and_then(|name| input.schema.get(name));
    let field = field.ok_or_else(|| Failure::internal("there is no label"))?;
    let label = Label { column: field.name.clone(), dtype: field.dtype };
    Ok(match spec.algorithm {
        Algorithm::Linear(_) => Target::Number { label },
        _ => Target::Class { label, classes: labels::classes(spec, whole) },
    })
}

fn notices(spec: &TrainSpec, whole: &Whole) -> Vec<String> {
    let mut notices = Vec::new();
    let all = whole.all_rows();
    if let (true, Some(label)) = (whole.rows_without_label > 0, columns::label(spec)) {
        notices.push(format!("{} of {all} rows have no `{label}` and were left out", whole.rows_without_label));
    }
    if whole.rows_with_missing > 0 {
        notices.push(format!("{} of {all} rows lack a value of a feature and were left out", whole.rows_with_missing));
    }
    notices
}

/// The parts of both objectives.
pub struct Objective {
    pub penalty: Penalty,
    /// Of the penalty on the sum, `1 / C` or alpha; of the one on the mean alpha.
    pub strength: f64,
    pub of_mean: bool,
    pub fit_intercept: bool,
    pub penalise_intercept: bool,
    pub solver: Solver,
    pub tol: f64,
    pub max_iter: u32,
}

impl Objective {
    pub fn of(algorithm: &Algorithm) -> Option<Objective> {
        Some(match algorithm {
            Algorithm::Logistic(LogisticOptions {
                penalty,
                c,
                fit_intercept,
                penalise_intercept,
                solver,
                tol,
                max_iter,
                ..
            }) => Objective {
                penalty: *penalty,
                strength: 1.0 / c,
                of_mean: false,
                fit_intercept: *fit_intercept,
                penalise_intercept: *fit_intercept && *penalise_intercept,
                solver: *solver,
                tol: *tol,
                max_iter: *max_iter,
            },
            Algorithm::Linear(options) => Objective {
                penalty: options.penalty,
                strength: options.alpha,
                // Ridge penalises the sum of squares; Lasso and ElasticNet half its mean.
                of_mean: !matches!(options.penalty, Penalty::None | Penalty::L2),
                fit_intercept: options.fit_intercept,
                penalise_intercept: false,
                solver: Solver::Auto,
                tol: options.tol,
                max_iter: options.max_iter,
            },
            Algorithm::NaiveBayes(_) | Algorithm::KMeans(_) => return None,
        })
    }

    /// L1 and L2 strength on coefficients of the model.
    pub fn strengths(&self) -> (f64, f64) {
        self.penalty.l1_ratio().map_or((0.0, 0.0), |ratio| (self.strength * ratio, self.strength * (1.0 - ratio)))
    }

    /// L1 and L2 by parameter in working space, where coefficient `j` is the model's divided by `factors[j]`.
    pub fn by_parameter(&self, factors: &[f64], classes: usize) -> (Vec<f64>, Vec<f64>) {
        let (l1, l2) = self.strengths();
        let intercept = |x: f64| self.fit_intercept.then_some(if self.penalise_intercept { x } else { 0.0 });
        let one: Vec<f64> = factors.iter().map(|f| l1 * f.abs()).chain(intercept(l1)).collect();
        let two: Vec<f64> = factors.iter().map(|f| l2 * f * f).chain(intercept(l2)).collect();
        (one.repeat(classes), two.repeat(classes))
    }
}

pub fn link(target: &Target) -> Link {
    match target.classes().len() {
        0 => Link::Squared,
        2 => Link::Logistic,
        n => Link::Softmax { classes: n as u32 },
    }
}

fn glm(spec: &TrainSpec, whole: &Whole, built: &Built, prepared: &mut Prepared, shards: usize) -> Result<Glm, Failure> {
    let updated = columns::updated(spec);
    let internal = || Failure::internal("the algorithm has no objective");
    let mut own = Objective::of(&spec.algorithm).ok_or_else(internal)?;
    if let Some(base) = updated {
        // The objective goes on where the model's left off; how it is searched for is this training's.
        let theirs = base.spec.as_ref().and_then(|s| Objective::of(&s.algorithm)).ok_or_else(internal)?;
        let same = (theirs.penalty, theirs.strength, theirs.fit_intercept, theirs.penalise_intercept)
            == (own.penalty, own.strength, own.fit_intercept, own.penalise_intercept);
        if !same {
            prepared.notices.push(format!("an update keeps the penalty and intercept of {}", base.reference()));
        }
        own = Objective { solver: own.solver, tol: own.tol, max_iter: own.max_iter, ..theirs };
    }
    let link = link(&prepared.target);
    let shifts = own.fit_intercept && !own.penalise_intercept;
    let spreads = match updated {
        Some(base) => base::spreads(base, own.fit_intercept, shifts)?,
        None => built.spreads.clone(),
    };
    let working = conditioning(&prepared.encoder, &spreads, shifts);
    let space = Space::between(&prepared.encoder, &working, own.fit_intercept);
    let width = space.factors().len();
    let classes = if let Link::Softmax { classes } = link { classes as usize } else { 1 };
    let (l1, l2) = own.by_parameter(space.factors(), classes);
    let stride = width + usize::from(own.fit_intercept);
    let size = classes * stride;
    let is_free = |j: &usize| classes > 1 && l1[*j] == 0.0 && l2[*j] == 0.0;
    let mut problem = Problem {
        link,
        fit_intercept: own.fit_intercept,
        width,
        free: (0..stride).filter(is_free).collect(),
        l1: Packed(l1),
        l2: Packed(l2),
        of_mean: own.of_mean,
        earlier: 0.0,
        prior: None,
        unit: unit(&whole.labels),
    };
    let identifiable = if classes > 1 { (classes - 1) * stride } else { stride };
    if updated.is_none() && problem.is_unpenalised() && identifiable as u64 > whole.rows {
        return Err(Failure::bad_input(format!(
            "{identifiable} parameters cannot be learnt from {} rows without a penalty: use --penalty l2 or l1, or fewer \
             features",
            whole.rows
        )));
    }
    let mut start = vec![0.0; size];
    if let (Labels::Number(moments), true, Some(last)) = (&whole.labels, own.fit_intercept, start.last_mut()) {
        *last = moments.mean;
    }
    if let Some(base) = updated {
        base::update(base, &own, &space, &mut problem)?;
        start = problem.prior.as_ref().map_or(start, |p| p.center.0.clone());
    } else if let Some(base) = &spec.base {
        start = base::start(base, &prepared.target, &working, own.fit_intercept)?;
    }
    prepared.working = Some(working);
    let l1 = problem.has_l1();
    let method = match own.solver {
        Solver::Newton if size > HESSIAN_PARAMETERS => {
            return Err(Failure::bad_input(format!(
                "the solver newton handles at most {HESSIAN_PARAMETERS} parameters, and there are {size}: leave --solver out"
            )));
        }
        Solver::Newton => Method::Newton,
        Solver::Lbfgs if l1 => {
            return Err(Failure::bad_input("the solver lbfgs cannot take an L1 penalty: use owlqn or newton"));
        }
        Solver::Lbfgs => Method::Lbfgs,
        Solver::Owlqn => Method::Owlqn,
        Solver::Auto | Solver::Linfa if is_small(size, shards) => Method::Newton,
        Solver::Auto | Solver::Linfa if l1 => Method::Owlqn,
        Solver::Auto | Solver::Linfa => Method::Lbfgs,
    };
    Ok(Glm::new(problem, method, start, own.tol, own.max_iter))
}

/// Whether the Hessians of a round are worth their size.
fn is_small(parameters: usize, shards: usize) -> bool {
    let bytes = 8 * triangle(parameters) * shards;
    parameters <= NEWTON_PARAMETERS || parameters <= HESSIAN_PARAMETERS && bytes <= HESSIAN_BYTES
}

/// The label's standard deviation; 1 of classes.
fn unit(labels: &Labels) -> f64 {
    let Labels::Number(moments) = labels else { return 1.0 };
    let found = [moments.variance().sqrt(), moments.mean.abs()];
    found.into_iter().find(|x| *x > 0.0 && x.is_finite()).unwrap_or(1.0)
}
