//! What the command line says of a model family: the options of a training, what a model of it learnt of its features, and what an
//! update leaves unsaid. A family's home is a file beside this one.

use std::collections::BTreeMap;

use shardmill_common::model::{Algorithm, ClassValue, ClassWeight, Parameters};

use shardmill_flows::text::class_name;

/// Options in the words of the command line, with their values.
pub type Rows = Vec<(&'static str, String)>;

/// A named column each class or centre, a number each feature.
pub type Columns = Vec<(String, Vec<f64>)>;

pub trait Shown {
    fn rows(&self) -> Rows;

    /// What an update leaves unsaid is as in the version it continues; how the optimum is found is its own. A model of another
    /// kind is refused by the coordinator, with the reason.
    fn go_on(&mut self, _theirs: Algorithm, _class_weight: Option<ClassWeight>) {}
}

pub fn shown(algorithm: &Algorithm) -> &dyn Shown {
    match algorithm {
        Algorithm::Logistic(options) => options,
        Algorithm::Linear(options) => options,
        Algorithm::NaiveBayes(options) => options,
        Algorithm::KMeans(options) => options,
    }
}

pub fn shown_mut(algorithm: &mut Algorithm) -> &mut dyn Shown {
    match algorithm {
        Algorithm::Logistic(options) => options,
        Algorithm::Linear(options) => options,
        Algorithm::NaiveBayes(options) => options,
        Algorithm::KMeans(options) => options,
    }
}

pub trait Learnt {
    fn columns(&self, classes: &[ClassValue]) -> Columns;

    /// One for each column, if there are any.
    fn intercepts(&self) -> &[f64] {
        &[]
    }
}

/// `None` of a graph: nobody knows what it learnt.
pub fn learnt(parameters: &Parameters) -> Option<&dyn Learnt> {
    match parameters {
        Parameters::Logistic(parameters) => Some(parameters),
        Parameters::Linear(parameters) => Some(parameters),
        Parameters::NaiveBayes(parameters) => Some(parameters),
        Parameters::KMeans(parameters) => Some(parameters),
        Parameters::Onnx(_) => None,
    }
}

/// A column each class; each centre where there are none.
pub fn per_class(what: &str, rows: &[Vec<f64>], classes: &[ClassValue]) -> Columns {
    let of = |(at, row): (usize, &Vec<f64>)| {
        let class = classes.get(at).map_or_else(|| at.to_string(), |c| class_name(&c.to_string()));
        (format!("{what} {class}"), row.clone())
    };
    rows.iter().enumerate().map(of).collect()
}

pub fn ends(tol: f64, max_iter: u32) -> Rows {
    vec![("tol", number(tol)), ("max-iter", max_iter.to_string())]
}

pub fn by_class(numbers: &BTreeMap<String, f64>) -> String {
    numbers.iter().map(|(class, x)| format!("{}={}", class_name(class), number(*x))).collect::<Vec<_>>().join(", ")
}

/// All digits, as short as can be: `1`, `0.3`, `1e-8`.
pub fn number(x: f64) -> String {
    if x == 0.0 || (1e-3..1e7).contains(&x.abs()) { x.to_string() } else { format!("{x:e}") }
}
