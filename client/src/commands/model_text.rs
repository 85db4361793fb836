//! Numbers and metrics of models as people read them, and what a model learnt as rows of a table.

use shardmill_common::model::{Evaluation, Model};

use super::train::family::learnt;

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
        let learnt = learnt(&model.parameters);
        let mut columns = learnt.map_or(Vec::new(), |l| l.columns(model.target.classes()));
        let intercepts = learnt.map_or(&[][..], |l| l.intercepts());
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
