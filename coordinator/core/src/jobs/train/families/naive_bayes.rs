//! Gaussian naive Bayes: classes, from the moments of the features in each, in one round.

use serde::{Deserialize, Serialize};
use shardmill_common::failure::Failure;
use shardmill_common::model::{
    Algorithm, ClassMoments, ClassValue, Learn, Learnt, Model, NaiveBayesOptions, NaiveBayesParameters, Parameters,
    TrainSpec,
};

use crate::jobs::train::family::{Accepted, Answers, Ask, Course, Family, Learning, Learns, Ready, State, Trained};
use crate::jobs::train::memo::Prepared;
use crate::jobs::train::unfit::{TrainUnfit, not_negative};
use crate::jobs::train::{columns, labels};
use crate::train::{Bayes, naive_bayes};

impl Family for NaiveBayesOptions {
    fn title(&self) -> &'static str {
        "naive Bayes"
    }

    fn learns(&self) -> Learns {
        Learns::Classes
    }

    fn course(&self) -> Course {
        Course::Once
    }

    fn check(&self, _spec: &TrainSpec) -> Result<(), TrainUnfit> {
        not_negative("--var-smoothing", self.var_smoothing)?;
        let Some(priors) = &self.priors else { return Ok(()) };
        if let Some((class, prior)) = priors.iter().find(|(_, p)| !(0.0..=1.0).contains(*p)) {
            return Err(TrainUnfit::Prior { class: class.clone(), prior: *prior });
        }
        let sum: f64 = priors.values().sum();
        if (sum - 1.0).abs() > 1e-6 {
            return Err(TrainUnfit::Priors(sum));
        }
        Ok(())
    }

    /// An update has all it needs in the parameters.
    fn check_base(&self, spec: &TrainSpec, _base: &Model) -> Result<(), TrainUnfit> {
        if spec.warm_start.is_some() {
            return Err(TrainUnfit::BayesWarmStart);
        }
        Ok(())
    }

    fn begin(&self, ready: Ready<'_>) -> Result<State, Failure> {
        let priors = priors(ready.spec, ready.prepared.target.classes())?;
        Ok(State::NaiveBayes(NaiveBayes { var_smoothing: self.var_smoothing, priors }))
    }

    fn go_on(&mut self, theirs: &Algorithm) {
        if let (None, Algorithm::NaiveBayes(theirs)) = (&self.priors, theirs) {
            self.priors.clone_from(&theirs.priors);
        }
    }
}

/// What the round needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NaiveBayes {
    var_smoothing: f64,
    /// By class, if given.
    priors: Option<Vec<f64>>,
}

impl Learning for NaiveBayes {
    fn ask(&self) -> Ask {
        Ask::Round(Learn::ClassMoments)
    }

    fn accept(&mut self, answers: Answers<'_>) -> Result<Accepted, Failure> {
        let moments: Vec<ClassMoments> =
            answers.learnt(|l| if let Learnt::ClassMoments(moments) = l { Some(moments) } else { None })?;
        let prepared = &*answers.prepared;
        let fit = Bayes {
            classes: prepared.target.classes().len(),
            width: prepared.encoder.width(),
            var_smoothing: self.var_smoothing,
            priors: self.priors.clone(),
            base: answers.spec.base.as_ref().map(|base| &base.parameters),
        };
        let parameters = naive_bayes(&fit, &moments)?;
        are_told_apart(prepared, &parameters)?;
        Ok(Accepted { told: None, trained: Some(Trained::at_once(parameters, "moments")) })
    }
}

/// The priors in the order of the classes, if some were given.
fn priors(spec: &TrainSpec, classes: &[ClassValue]) -> Result<Option<Vec<f64>>, Failure> {
    let given = |spec: &TrainSpec| match &spec.algorithm {
        Algorithm::NaiveBayes(options) => options.priors.clone(),
        _ => None,
    };
    // An update keeps what was given to its model.
    let Some(priors) = given(spec).or_else(|| columns::updated(spec).and_then(|base| given(base.spec.as_ref()?)))
    else {
        return Ok(None);
    };
    labels::are_classes(spec, "--priors", &priors, classes)?;
    let of = |class: &ClassValue| {
        priors.get(&class.to_string()).copied().ok_or_else(|| {
            Failure::bad_input(format!(
                "--priors says nothing of `{class}`; the classes are {}",
                labels::joined(classes)
            ))
        })
    };
    classes.iter().map(of).collect::<Result<_, _>>().map(Some)
}

/// Every class has rows that count, and every feature some variance in each.
fn are_told_apart(prepared: &Prepared, parameters: &Parameters) -> Result<(), Failure> {
    let Parameters::NaiveBayes(NaiveBayesParameters { weights, squares, epsilon, .. }) = parameters else {
        return Ok(());
    };
    for ((class, weight), squares) in prepared.target.classes().iter().zip(weights).zip(squares) {
        if *weight <= 0.0 {
            return Err(Failure::bad_input(format!("the rows of class `{class}` have no weight: leave them out")));
        }
        if let (true, Some(place)) = (*epsilon == 0.0, squares.iter().position(|s| *s <= 0.0)) {
            let names = prepared.output_names();
            return Err(Failure::bad_input(format!(
                "`{}` is the same in all rows of class `{class}`: say --var-smoothing 1e-9 to allow for that",
                names.get(place).map_or("", String::as_str)
            )));
        }
    }
    Ok(())
}
