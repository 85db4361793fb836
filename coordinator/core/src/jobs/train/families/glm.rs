//! What logistic and linear regression share: an objective, its search round by round, and the way back to a model.

use shardmill_common::failure::Failure;
use shardmill_common::model::{
    Algorithm, Curvature, GlmSums, Learn, Learnt, LinearParameters, Link, LogisticParameters, Model, Packed,
    Parameters, Penalty, Solver, Target, TrainSpec,
};

use super::glm_base;
use crate::jobs::train::columns;
use crate::jobs::train::family::{Accepted, Answers, Ask, Learning, Ready, Trained};
use crate::jobs::train::memo::Prepared;
use crate::jobs::train::unfit::{TrainUnfit, share};
use crate::train::{
    Fitted, Glm, Labels, Method, NEWTON_PARAMETERS, Outcome, Problem, Separated, Space, add_up, conditioning, triangle,
};

/// The most parameters a Hessian is made for, if it is asked for.
const HESSIAN_PARAMETERS: usize = 2000;
/// Bytes of all shards' Hessians up to which they are made without being asked for.
const HESSIAN_BYTES: usize = 128 << 20;

pub fn check_penalty(penalty: Penalty) -> Result<(), TrainUnfit> {
    penalty.l1_ratio().map_or(Ok(()), |ratio| share("--l1-ratio", ratio))
}

/// An update knows of the old rows what their model's curvature says.
pub fn check_curvature(spec: &TrainSpec, base: &Model) -> Result<(), TrainUnfit> {
    if spec.update.is_some() && base.curvature.is_none() {
        return Err(TrainUnfit::NoCurvature(base.reference()));
    }
    Ok(())
}

/// The parts of the objectives of both families.
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

    /// The search's state before the first round. `of` reads the objective of the model that is updated.
    pub fn begin(self, ready: Ready<'_>, of: impl Fn(&Algorithm) -> Option<Objective>) -> Result<Glm, Failure> {
        let Ready { spec, input, whole, built, prepared } = ready;
        let shards = input.shards.len();
        let updated = columns::updated(spec);
        let mut own = self;
        if let Some(base) = updated {
            // The objective goes on where the model's left off; how it is searched for is this training's.
            let theirs = base.spec.as_ref().and_then(|s| of(&s.algorithm));
            let theirs = theirs.ok_or_else(|| Failure::internal("the algorithm has no objective"))?;
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
            Some(base) => glm_base::spreads(base, own.fit_intercept, shifts)?,
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
            glm_base::update(base, &own, &space, &mut problem)?;
            start = problem.prior.as_ref().map_or(start, |p| p.center.0.clone());
        } else if let Some(base) = &spec.base {
            start = glm_base::start(base, &prepared.target, &working, own.fit_intercept)?;
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
}

pub fn link(target: &Target) -> Link {
    match target.classes().len() {
        0 => Link::Squared,
        2 => Link::Logistic,
        n => Link::Softmax { classes: n as u32 },
    }
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

impl Learning for Glm {
    fn ask(&self) -> Ask {
        Ask::Round(Learn::Glm(self.request()))
    }

    fn accept(&mut self, answers: Answers<'_>) -> Result<Accepted, Failure> {
        let sums = answers.learnt(|l| if let Learnt::Glm(sums) = l { Some(sums) } else { None })?;
        let used: u64 = sums.iter().map(|s| s.rows).sum();
        if used == 0 {
            return Err(Failure::bad_input("no row is left: each lacks a value, or has one that the model refuses"));
        }
        if used < answers.prepared.rows {
            // What an update's encoder refuses only shows here.
            let refused = answers.prepared.rows - used;
            answers
                .prepared
                .notices
                .push(format!("{refused} rows have values that the model refuses and were left out"));
            (answers.prepared.rows, answers.prepared.rows_skipped) = (used, answers.prepared.rows_skipped + refused);
        }
        let (loss, gradient, outcome) = self.accept(add_up(sums.into_iter().filter(has_rows))?)?;
        let trained = match outcome {
            Outcome::Going => None,
            Outcome::Done(fitted) => Some(model(&answers, self, *fitted)?),
            Outcome::Separated(found) => return Err(separated(answers.prepared, &found)),
        };
        Ok(Accepted { told: Some((loss, gradient)), trained })
    }
}

/// A shard without rows adds nothing.
fn has_rows(sums: &GlmSums) -> bool {
    sums.rows > 0
}

/// A generalised linear model, brought back from working space.
fn model(answers: &Answers<'_>, glm: &Glm, fitted: Fitted) -> Result<Trained, Failure> {
    let (spec, prepared) = (answers.spec, &*answers.prepared);
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
    let names = prepared.output_names();
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
        Link::Squared => Parameters::Linear(LinearParameters {
            coefficients: coefficients.concat(),
            intercept: intercept.first().copied().unwrap_or(0.0),
        }),
        Link::Logistic | Link::Softmax { .. } => Parameters::Logistic(LogisticParameters { coefficients, intercept }),
    })
}

/// Why there is no optimum.
fn separated(prepared: &Prepared, found: &Separated) -> Failure {
    let names = prepared.output_names();
    let feature = names.get(found.coefficient).map_or("", String::as_str);
    let what = if found.wholly { "the classes are" } else { "the classes of some rows are" };
    Failure::bad_input(format!(
        "{what} separated perfectly by these features: without a penalty the coefficients grow without bound; use --penalty l2 (or l1, elasticnet), or leave out \
         the feature that gives the label away: `{feature}` contributes most"
    ))
}
