//! The options of a training as people read them: one a row, in the words of the command line, without those of the preparation
//! that say nothing.

use shardmill_common::model::{Categories, ConstantFeature, Imputation, Preparation, TrainSpec, Unknown, Unlabelled};

use super::train::family::{Rows, shown};
use super::train::options::MAX_CATEGORIES;
use crate::table::Table;

pub fn options(spec: &TrainSpec) -> Table {
    let mut table = Table::new(&["option", "value"]);
    for (name, value) in shown(&spec.algorithm).rows().into_iter().chain(rest(spec)) {
        table.wrapped_pair(name, &value);
    }
    table
}

/// What training from columns was asked for beyond the defaults.
fn rest(spec: &TrainSpec) -> Rows {
    let preparation = &spec.preparation;
    let mut rows = prepared(preparation);
    if preparation.unlabelled == Unlabelled::Skip {
        rows.push(("unlabelled", "skip".to_owned()));
    }
    rows.extend(spec.weight_column.clone().map(|column| ("weight-column", column)));
    rows.push(("seed", spec.seed.to_string()));
    rows
}

fn prepared(p: &Preparation) -> Rows {
    let mut rows = Rows::new();
    rows.extend(p.features.as_ref().map(|names| ("features", names.join(", "))));
    rows.extend(p.standardise.as_ref().map(|names| match names.is_empty() {
        true => ("standardise", "all".to_owned()),
        false => ("standardise", names.join(", ")),
    }));
    if let Categories::And(names) = &p.categorical {
        rows.push(("categorical", names.join(", ")));
    }
    if p.max_categories != MAX_CATEGORIES {
        rows.push(("max-categories", p.max_categories.to_string()));
    }
    let everywhere = (p.impute_default != Imputation::Refuse).then(|| imputation(&p.impute_default));
    let columns = p.impute.iter().map(|(column, how)| format!("{column}={}", imputation(how)));
    let impute: Vec<String> = everywhere.into_iter().chain(columns).collect();
    if !impute.is_empty() {
        rows.push(("impute", impute.join(", ")));
    }
    if p.indicator {
        rows.push(("missing-indicator", "true".to_owned()));
    }
    if p.unknown == Unknown::Refuse {
        rows.push(("unknown", "refuse".to_owned()));
    }
    match p.constant {
        ConstantFeature::Drop => {}
        ConstantFeature::Refuse => rows.push(("constant-features", "refuse".to_owned())),
        ConstantFeature::Keep => rows.push(("constant-features", "keep".to_owned())),
    }
    rows
}

fn imputation(how: &Imputation) -> String {
    match how {
        Imputation::Refuse => "refuse".to_owned(),
        Imputation::Mean => "mean".to_owned(),
        Imputation::Median => "median".to_owned(),
        Imputation::Mode => "mode".to_owned(),
        Imputation::Constant(value) => format!("constant={value}"),
        Imputation::DropRow => "drop-row".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_flows::model_export::samples;
    use std::collections::BTreeMap;

    use shardmill_common::model::{Algorithm, ClassWeight, LogisticOptions, Penalty, Solver};

    #[test]
    fn options_are_one_a_row() {
        let mut spec = samples::detail("plain").model.spec.unwrap();
        let shown = options(&spec).to_string();
        for part in ["│ clusters          ┆ 4", "│ impute            ┆ mean", "│ max-categories    ┆ 100", "1e-4"]
        {
            assert!(shown.contains(part), "{part} is not in\n{shown}");
        }
        for part in ["null", "standardise", "unknown", "weight-column", "unlabelled"] {
            assert!(!shown.contains(part), "{part} is in\n{shown}");
        }
        spec.algorithm = Algorithm::Logistic(LogisticOptions {
            penalty: Penalty::ElasticNet { l1_ratio: 0.25 },
            c: 1.0,
            class_weight: ClassWeight::Of(BTreeMap::from([("".to_owned(), 2.0), ("b".to_owned(), 0.5)])),
            fit_intercept: true,
            penalise_intercept: false,
            solver: Solver::Auto,
            tol: 1e-8,
            max_iter: 1000,
        });
        spec.preparation.features = Some((0..60).map(|n| format!("column number {n}")).collect());
        let shown = options(&spec).to_string();
        for part in ["elasticnet", "┆ 0.25", "\"\"=2, b=0.5", "1e-8", "column number 59"] {
            assert!(shown.contains(part), "{part} is not in\n{shown}");
        }
        assert!(shown.lines().all(|line| line.chars().count() < 100), "{shown}");
        spec.algorithm = Algorithm::Logistic(LogisticOptions {
            penalty: Penalty::None,
            ..match spec.algorithm {
                Algorithm::Logistic(options) => options,
                other => panic!("{other:?}"),
            }
        });
        assert!(super::shown(&spec.algorithm).rows().iter().all(|(name, _)| *name != "c"));
    }
}
