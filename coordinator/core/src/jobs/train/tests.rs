//! Whole trainings over tables in memory, with a worker that exists in the test alone.

use shardmill_common::model::{KMeansParameters, LogisticParameters, NaiveBayesParameters, *};
use shardmill_common::schema::DataType;

use super::harness::{Ran, Table, gradient, linear, logistic, spec, train};
use crate::train::testing::generated;

const COLUMNS: [(&str, DataType); 6] = [
    ("age", DataType::Float64),
    ("fare", DataType::Int64),
    ("city", DataType::String),
    ("member", DataType::Boolean),
    ("w", DataType::Float64),
    ("y", DataType::Int64),
];

/// Scales from 1e-2 to 1e4, an offset, missing values, categories, weights, labels of `classes` classes.
fn table(classes: usize, rows: usize) -> Table {
    let data = generated(12, rows, 4, classes);
    let rows = data.x.iter().zip(&data.y).enumerate().map(|(n, (x, y))| {
        let age = if n % 11 == 0 { String::new() } else { format!("{:?}", x[0] * 0.01 + 5.0) };
        let city = ["Bonn", "Oslo", "Rome"][((x[2] + 10.0) as usize) % 3];
        let fare = format!("{}", (x[1] * 1e4) as i64);
        vec![age, fare, city.into(), format!("{}", x[3] > 0.0), format!("{}", 1 + n % 3), format!("{y}")]
    });
    Table::new(&COLUMNS, rows.collect())
}

fn prepared(algorithm: Algorithm) -> TrainSpec {
    let mut spec = spec(algorithm, Some("y"));
    spec.weight_column = Some("w".into());
    spec.preparation.impute.insert("age".into(), Imputation::Median);
    spec.preparation.indicator = true;
    spec
}

fn run(table: &Table, spec: &TrainSpec) -> Ran {
    train(table, spec, 4).unwrap()
}

fn failure(table: &Table, spec: &TrainSpec) -> String {
    train(table, spec, 3).map(|r| r.model.training).unwrap_err().to_string()
}

/// At the optimum, in units of each feature's spread.
fn is_optimal(table: &Table, model: &Model, class_weights: &[f64], l1: f64, l2: f64) {
    let scales = [0.01, 1.0, 1e4, 1.0, 1.0, 1.0, 1.0, 1.0];
    for (j, g) in gradient(table, model, class_weights, l1, l2).iter().enumerate() {
        let within = 1e-8 * scales[j % 8];
        assert!(g.abs() < within, "component {j} of the gradient is {g:e}");
    }
}

#[test]
fn logistic_regression_from_raw_columns_to_a_model() {
    let mut table = table(2, 300);
    let label = table.schema.index_of("y").unwrap();
    table.rows[3][label].clear();
    table.rows[77][label].clear();
    let mut spec = prepared(Algorithm::Logistic(logistic()));
    let error = failure(&table, &spec);
    assert_eq!(error, "2 of 300 rows have no `y`: leave them out with --unlabelled skip");
    spec.preparation.unlabelled = Unlabelled::Skip;
    let Ran { model, stages, rounds } = run(&table, &spec);
    assert_eq!(stages[..3], ["profile", "summarise", "merge statistics"]);
    assert!(stages[3..].iter().all(|s| s == "round") && stages.len() < 15, "{stages:?}");
    let names: Vec<String> = model.features.outputs().into_iter().map(|o| o.name).collect();
    assert_eq!(names, ["age", "age_missing", "fare", "city=Bonn", "city=Oslo", "city=Rome", "member"]);
    let training = &model.training;
    assert_eq!((training.rows, training.rows_skipped, training.converged), (298, 2, true));
    assert_eq!(training.rounds.len(), stages.len() - 3);
    assert_eq!(training.rounds[..rounds.len()], rounds, "the status showed them as they came");
    assert_eq!((training.solver.as_str(), training.rounds[1].seconds), ("newton", 0.5));
    assert_eq!(training.notices, ["2 of 300 rows have no `y` and were left out"]);
    assert!(training.rounds.windows(2).all(|r| r[1].loss <= r[0].loss));
    assert_eq!(model.target.classes(), [ClassValue::Int64(0), ClassValue::Int64(1)]);
    assert_eq!(model.curvature.as_ref().map(|c| (c.size, c.upper.0.len())), Some((8, 36)));
    assert!(
        model.spec.as_ref().is_some_and(|s| s.base.is_none())
            && model.data.as_ref().map(|d| d.to_string()).as_deref() == Some("d@1")
    );
    is_optimal(&table, &model, &[], 0.0, 1.0);
    // The number of shards makes no difference but of rounding; the same shards make none at all.
    let again = run(&table, &spec).model;
    assert_eq!(serde_json::to_string(&again).unwrap(), serde_json::to_string(&model).unwrap());
    let Parameters::Logistic(LogisticParameters { coefficients: a, .. }) = &model.parameters else { panic!() };
    let alone = train(&table, &spec, 1).unwrap().model;
    let Parameters::Logistic(LogisticParameters { coefficients: b, .. }) = &alone.parameters else { panic!() };
    assert!(a[0].iter().zip(&b[0]).all(|(a, b)| (a / b - 1.0).abs() < 1e-10), "{a:?} {b:?}");
}

#[test]
fn penalties_are_those_of_the_features_as_the_model_sees_them() {
    let table = table(3, 300);
    for (penalty, l1, l2) in
        [(Penalty::L2, 0.0, 0.5), (Penalty::L1, 0.5, 0.0), (Penalty::ElasticNet { l1_ratio: 0.25 }, 0.125, 0.375)]
    {
        for standardise in [None, Some(vec![])] {
            let mut spec = prepared(Algorithm::Logistic(LogisticOptions {
                penalty,
                c: 2.0,
                class_weight: ClassWeight::Balanced,
                ..logistic()
            }));
            spec.preparation.standardise = standardise;
            let model = run(&table, &spec).model;
            assert!(model.training.converged);
            let weight = |c: &str| -> f64 {
                table.rows.iter().filter(|r| r[5].contains(c)).map(|r| r[4].parse::<f64>().unwrap()).sum()
            };
            let weights: Vec<f64> = ["0", "1", "2"].map(|c| weight("") / (3.0 * weight(c))).to_vec();
            assert!(model.training.rounds.len() < 10, "{:?}", model.training.rounds);
            is_optimal(&table, &model, &weights, l1, l2);
        }
    }
}

#[test]
fn a_penalised_intercept_and_other_solvers() {
    let table = table(2, 200);
    let mut options = LogisticOptions { penalise_intercept: true, ..logistic() };
    let model = run(&table, &prepared(Algorithm::Logistic(options.clone()))).model;
    let mut found = gradient(&table, &model, &[], 0.0, 1.0);
    let Parameters::Logistic(LogisticParameters { coefficients: newton, intercept }) = &model.parameters else {
        panic!()
    };
    *found.last_mut().unwrap() += intercept[0];
    assert!(found.iter().zip([0.01, 1.0, 1e4, 1.0, 1.0, 1.0, 1.0, 1.0]).all(|(g, s)| g.abs() < 1e-8 * s), "{found:?}");
    (options.solver, options.tol, options.max_iter) = (Solver::Lbfgs, 1e-11, 5000);
    let other = run(&table, &prepared(Algorithm::Logistic(options.clone()))).model;
    assert_eq!((other.training.solver.as_str(), other.training.converged), ("lbfgs", true));
    assert!(other.curvature.is_none());
    let Parameters::Logistic(LogisticParameters { coefficients: lbfgs, .. }) = &other.parameters else { panic!() };
    assert!(
        newton[0].iter().zip(&lbfgs[0]).all(|(a, b)| (a - b).abs() < 1e-6 * a.abs().max(1e-3)),
        "{newton:?} {lbfgs:?}"
    );
    options = LogisticOptions { solver: Solver::Linfa, ..logistic() };
    let mut spec = prepared(Algorithm::Logistic(options));
    assert!(failure(&table, &spec).contains("linfa cannot take row weights"));
    spec.weight_column = None;
    spec.preparation.features = Some(vec!["fare".into(), "member".into()]);
    spec.preparation.impute.clear();
    let ran = run(&table, &spec);
    assert_eq!(ran.stages, ["profile", "fit"]);
    let wanted = Parameters::Logistic(LogisticParameters { coefficients: vec![vec![0.25; 2]], intercept: vec![0.25] });
    assert_eq!(ran.model.parameters, wanted);
    spec.algorithm = Algorithm::Logistic(LogisticOptions { max_iter: 2, ..logistic() });
    let short = run(&table, &spec).model.training;
    assert!(!short.converged && short.notices[0].contains("no convergence after 2 rounds"), "{short:?}");
}

#[test]
fn linear_regression_has_the_objectives_of_scikit_learn() {
    let table = table(0, 200);
    let table = Table::new(
        &[COLUMNS[0], COLUMNS[1], COLUMNS[2], COLUMNS[3], COLUMNS[4], ("y", DataType::Float64)],
        table.rows.clone(),
    );
    let weight: f64 = (0..200).map(|n| f64::from(1 + n % 3)).sum();
    for (penalty, l1, l2) in [
        (Penalty::L2, 0.0, 0.3),
        // Lasso and ElasticNet: the penalty is on the mean.
        (Penalty::L1, 0.3 * weight, 0.0),
        (Penalty::ElasticNet { l1_ratio: 0.5 }, 0.15 * weight, 0.15 * weight),
    ] {
        let model = run(&table, &prepared(Algorithm::Linear(linear(penalty, 0.3)))).model;
        assert!(model.training.converged);
        is_optimal(&table, &model, &[], l1, l2);
    }
    // Three categories and an intercept depend on each other.
    let ran = run(&table, &prepared(Algorithm::Linear(linear(Penalty::None, 1.0))));
    is_optimal(&table, &ran.model, &[], 0.0, 0.0);
    assert!(ran.model.training.notices[0].contains("in the intercept"), "{:?}", ran.model.training);
    assert!(ran.model.training.rounds.len() <= 4, "{:?}", ran.model.training);
}

#[test]
fn bayes_and_kmeans_take_the_features_as_they_are() {
    let table = table(2, 120);
    let options = NaiveBayesOptions { var_smoothing: 1e-9, priors: None };
    let mut all = prepared(Algorithm::NaiveBayes(options.clone()));
    let ran = run(&table, &all);
    assert_eq!(ran.stages, ["profile", "summarise", "merge statistics", "round"]);
    let Parameters::NaiveBayes(NaiveBayesParameters { weights, priors, .. }) = &ran.model.parameters else { panic!() };
    assert_eq!((weights.iter().sum::<f64>(), priors.iter().sum::<f64>()), (240.0, 1.0));
    all.algorithm =
        Algorithm::NaiveBayes(NaiveBayesOptions { priors: Some([("0".to_owned(), 1.0)].into()), ..options });
    assert_eq!(failure(&table, &all), "--priors says nothing of `1`; the classes are 0, 1");

    let options = KMeansOptions { clusters: 3, max_iter: 100, tol: 1e-4, seeding_rounds: 2 };
    let mut clusters = spec(Algorithm::KMeans(options.clone()), None);
    clusters.preparation.features = Some(vec!["fare".into(), "city".into()]);
    clusters.preparation.standardise = Some(vec![]);
    let ran = run(&table, &clusters);
    let Parameters::KMeans(KMeansParameters { sizes, centers, .. }) = &ran.model.parameters else { panic!() };
    assert_eq!((sizes.iter().sum::<u64>(), centers.len(), centers[0].len()), (120, 3, 4));
    clusters.warm_start = Some("m@1".parse().unwrap());
    clusters.base = Some(Box::new(Model { version: 1, ..ran.model.clone() }));
    let again = run(&table, &clusters);
    assert_eq!(again.model.parent, clusters.warm_start);
    let Parameters::KMeans(KMeansParameters { sizes: same, .. }) = &again.model.parameters else { panic!() };
    assert_eq!((again.stages.len() < ran.stages.len(), same), (true, sizes));
    clusters.base = None;
    clusters.warm_start = None;
    clusters.algorithm = Algorithm::KMeans(KMeansOptions { clusters: 121, ..options });
    assert!(failure(&table, &clusters).contains("d@1 has only 120 rows"));
}

#[test]
fn data_that_cannot_be_learnt_from_say_why() {
    let plain = table(2, 90);
    let algorithm = Algorithm::Logistic(logistic());
    let changed = |column: &str, to: fn(usize) -> String| {
        let mut table = plain.clone();
        let place = table.schema.index_of(column).unwrap();
        table.rows.iter_mut().enumerate().for_each(|(n, row)| row[place] = to(n));
        table
    };
    let ok = prepared(algorithm.clone());
    let none = Table { rows: vec![], ..plain.clone() };
    assert_eq!(failure(&none, &ok), "d@1 has no rows: there is nothing to learn from");
    assert_eq!(failure(&changed("y", |_| String::new()), &ok), "none of the 90 rows of d@1 has a `y`");
    assert_eq!(failure(&changed("y", |_| "0".into()), &ok), "`y` is `0` in all 90 rows: there is nothing to learn");
    let mut number = prepared(Algorithm::Linear(linear(Penalty::L2, 1.0)));
    assert_eq!(failure(&changed("y", |_| "3".into()), &number), "`y` is 3 in all 90 rows: there is nothing to learn");
    number.algorithm = Algorithm::Linear(linear(Penalty::None, 1.0));
    number.preparation.impute_default = Imputation::Mean;
    number.preparation.impute.clear();
    let few = Table { rows: plain.rows[..6].to_vec(), ..plain.clone() };
    assert!(failure(&few, &number).contains("cannot be learnt from 6 rows without a penalty: use --penalty l2"));
    let mut missing = ok.clone();
    missing.preparation.impute.clear();
    assert!(failure(&plain, &missing).contains("some have no value in age (9): "));
    missing.preparation.impute.insert("age".into(), Imputation::DropRow);
    let ran = run(&plain, &missing);
    assert_eq!((ran.model.training.rows, ran.model.training.rows_skipped), (81, 9));
    assert_eq!(ran.model.training.notices, ["9 of 90 rows lack a value of a feature and were left out"]);
    assert!(failure(&changed("age", |_| String::new()), &missing).contains("at least one of `age`"));
    let mut weighted = ok.clone();
    let of = [("0".to_owned(), 1.0), ("2".to_owned(), 3.0)].into();
    weighted.algorithm = Algorithm::Logistic(LogisticOptions { class_weight: ClassWeight::Of(of), ..logistic() });
    assert_eq!(failure(&plain, &weighted), "--class-weight names `2`, and no row has that y; the classes are 0, 1");
    let constant = run(&changed("city", |_| "Rome".into()), &ok).model;
    assert_eq!(constant.training.notices, ["left out, being the same in all 90 rows: `city`"]);
}

#[test]
fn separated_classes_are_named_with_the_feature_that_separates_them() {
    let mut table = table(2, 120);
    let mut all = prepared(Algorithm::Logistic(LogisticOptions { penalty: Penalty::None, ..logistic() }));
    all.preparation.features = Some(vec!["age".into(), "fare".into(), "member".into()]);
    for row in &mut table.rows {
        row[5] = if row[3] == "true" { "1" } else { "0" }.into();
    }
    let error = failure(&table, &all);
    assert!(error.starts_with("the classes are separated perfectly by these features"), "{error}");
    assert!(error.contains("`member` contributes most"), "{error}");
    for (n, row) in table.rows.iter_mut().enumerate() {
        if row[3] == "false" {
            row[5] = format!("{}", n % 2);
        }
    }
    let error = failure(&table, &all);
    assert!(error.starts_with("the classes of some rows are separated perfectly"), "{error}");
    assert!(error.contains("`member` contributes most"), "{error}");
}
