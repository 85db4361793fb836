//! Numbers and metrics of models as people read them, and what a model learnt as rows of a table.

use shardmill_common::model::{Evaluation, Model, Parameters};

use crate::text::class_name;

/// Metrics that say most, in this order.
const MAIN: [&str; 4] = ["accuracy", "roc_auc", "r2", "inertia"];

/// `accuracy 0.912, roc_auc 0.934`.
pub fn main_metrics(evaluation: &Evaluation) -> String {
    let named = |name: &&str| evaluation.metrics.get(*name).map(|x| format!("{name} {}", short(*x)));
    MAIN.iter().filter_map(named).collect::<Vec<_>>().join(", ")
}

/// About six digits.
pub fn short(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 {
        "0".to_owned()
    } else if !(1e-4..1e7).contains(&size) {
        format!("{x:.5e}")
    } else {
        let decimals = (5 - size.log10().floor() as i32).clamp(0, 9) as usize;
        format!("{x:.decimals$}")
    }
}

/// What a model learnt of its features: a named column each class or centre, a number each feature.
pub struct Learnt {
    pub features: Vec<String>,
    pub columns: Vec<(String, Vec<f64>)>,
}

impl Learnt {
    pub fn of(model: &Model) -> Self {
        let mut features: Vec<String> = model.features.outputs().into_iter().map(|o| o.name).collect();
        let classes = model.target.classes();
        let per_class = |what: &str, rows: &[Vec<f64>]| -> Vec<(String, Vec<f64>)> {
            let of = |(at, row): (usize, &Vec<f64>)| {
                let class = classes.get(at).map_or_else(|| at.to_string(), |c| class_name(&c.to_string()));
                (format!("{what} {class}"), row.clone())
            };
            rows.iter().enumerate().map(of).collect()
        };
        let mut columns = match &model.parameters {
            Parameters::Logistic { coefficients, .. } => match (coefficients.as_slice(), classes) {
                ([row], [_, positive]) => {
                    vec![(format!("coefficient of {}", class_name(&positive.to_string())), row.clone())]
                }
                _ => per_class("coefficient of", coefficients),
            },
            Parameters::Linear { coefficients, .. } => vec![("coefficient".to_owned(), coefficients.clone())],
            Parameters::NaiveBayes { means, .. } => per_class("mean of", means),
            Parameters::KMeans { centers, .. } => per_class("centre", centers),
            Parameters::Onnx(_) => Vec::new(),
        };
        let intercepts: &[f64] = match &model.parameters {
            Parameters::Logistic { intercept, .. } => intercept,
            Parameters::Linear { intercept, .. } => std::slice::from_ref(intercept),
            Parameters::NaiveBayes { .. } | Parameters::KMeans { .. } | Parameters::Onnx(_) => &[],
        };
        if !intercepts.is_empty() {
            features.insert(0, "(intercept)".to_owned());
            columns.iter_mut().zip(intercepts).for_each(|((_, numbers), b)| numbers.insert(0, *b));
        }
        Learnt { features, columns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(short(0.0), "0");
        assert_eq!(short(0.123456789), "0.123457");
        assert_eq!(short(-1234.5678), "-1234.57");
        assert_eq!(short(1e-9), "1.00000e-9");
        assert_eq!(short(123456789.0), "1.23457e8");
        assert_eq!(short(0.0), "0");
    }
}
