//! What is refused before a training runs.

use shardmill_common::model::*;
use shardmill_common::schema::DataType;

use super::harness::{Table, linear, logistic, spec, train};
use crate::jobs::Planner;

fn table() -> Table {
    let columns = [
        ("n", DataType::Int64),
        ("x", DataType::Float64),
        ("text", DataType::String),
        ("day", DataType::Date),
        ("flag", DataType::Boolean),
        ("y", DataType::Int64),
    ];
    let row =
        |n: i32| vec![n.to_string(), "1.5".into(), "a".into(), "2024-01-01".into(), "true".into(), (n % 2).to_string()];
    Table::new(&columns, (0..20).map(row).collect())
}

fn base() -> TrainSpec {
    let mut spec = spec(Algorithm::Logistic(logistic()), Some("y"));
    spec.preparation.features = Some(["n", "x", "text", "flag"].map(str::to_owned).to_vec());
    spec
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_runs() {
    let table = table();
    let options = |change: fn(&mut LogisticOptions)| {
        move |s: &mut TrainSpec| {
            let mut options = logistic();
            change(&mut options);
            s.algorithm = Algorithm::Logistic(options);
        }
    };
    type Change = Box<dyn Fn(&mut TrainSpec)>;
    let features = |names: &'static [&str]| {
        move |s: &mut TrainSpec| {
            s.preparation.features = Some(names.iter().map(|n| n.to_string()).collect());
        }
    };
    let impute = |column: &'static str, how: Imputation| {
        move |s: &mut TrainSpec| {
            s.preparation.impute.insert(column.into(), how.clone());
        }
    };
    let cases: Vec<(Change, &str)> = vec![
        (Box::new(|s| s.label = None), "Name it with --label"),
        (Box::new(|s| s.label = Some("z".into())), "d@1 has no column `z`; its columns are n, x, text, day, flag, y"),
        (
            Box::new(|s| s.label = Some("day".into())),
            "the label `day` is date, and classes are boolean, whole numbers or string",
        ),
        (Box::new(|s| s.label = Some("n".into())), "`n` is the label and cannot be a feature, too"),
        (Box::new(features(&["n", "z"])), "d@1 has no column `z`"),
        (Box::new(features(&["n", "x", "n"])), "the feature `n` is named twice"),
        (Box::new(features(&["n", "day"])), "points in time are no numbers: day (date); leave them out of --features"),
        (Box::new(|s| s.preparation.features = None), "day (date); say with --features which columns to learn from"),
        (Box::new(|s| s.weight_column = Some("text".into())), "the weights `text` are string"),
        (Box::new(|s| s.weight_column = Some("n".into())), "`n` holds the weights and cannot be a feature, too"),
        (Box::new(|s| s.weight_column = Some("y".into())), "cannot be the label and the weights at once"),
        (Box::new(|s| s.preparation.standardise = Some(vec!["text".into()])), "which is taken as categories"),
        (
            Box::new(|s| s.preparation.standardise = Some(vec!["y".into()])),
            "--standardise names `y`, which is not a feature",
        ),
        (Box::new(|s| s.preparation.categorical = Categories::And(vec!["q".into()])), "--categorical names `q`"),
        (Box::new(impute("q", Imputation::Mode)), "--impute names `q`, which is not a feature"),
        (Box::new(impute("text", Imputation::Mean)), "`text` is taken as categories and has no mean or median"),
        (Box::new(impute("flag", Imputation::Median)), "`flag` is boolean and has no mean or median"),
        (
            Box::new(impute("x", Imputation::Constant("much".into()))),
            "--impute x=constant=much: `much` is not a number",
        ),
        (Box::new(options(|o| o.c = 0.0)), "--c must be above 0, not 0"),
        (Box::new(options(|o| o.tol = f64::NAN)), "--tol must be above 0, not NaN"),
        (Box::new(options(|o| o.max_iter = 0)), "--max-iter must be at least 1"),
        (
            Box::new(options(|o| o.penalty = Penalty::ElasticNet { l1_ratio: 1.5 })),
            "--l1-ratio must be from 0 to 1, not 1.5",
        ),
        (
            Box::new(options(|o| (o.solver, o.penalty) = (Solver::Lbfgs, Penalty::L1))),
            "lbfgs cannot take an L1 penalty: use --solver owlqn",
        ),
        (
            Box::new(options(|o| (o.solver, o.penalty) = (Solver::Linfa, Penalty::None))),
            "linfa cannot take another penalty than l2",
        ),
        (
            Box::new(options(|o| o.class_weight = ClassWeight::Of([("0".to_owned(), -1.0)].into()))),
            "the weight of `0` must be 0 or more, not -1",
        ),
        (Box::new(|s| s.algorithm = Algorithm::Linear(linear(Penalty::L2, -1.0))), "--alpha must be 0 or more, not -1"),
        (
            Box::new(|s| {
                s.label = Some("text".into());
                s.algorithm = Algorithm::Linear(linear(Penalty::L2, 1.0));
            }),
            "linear regression learns a number: learn its classes with `train logistic`",
        ),
        (
            Box::new(|s| {
                let priors = Some([("0".to_owned(), 0.5), ("1".to_owned(), 0.6)].into());
                s.algorithm = Algorithm::NaiveBayes(NaiveBayesOptions { var_smoothing: 1e-9, priors });
            }),
            "--priors must add up to 1, not 1.1",
        ),
        (
            Box::new(|s| {
                s.algorithm =
                    Algorithm::KMeans(KMeansOptions { clusters: 2, max_iter: 1, tol: 0.0, seeding_rounds: 1 });
            }),
            "kmeans learns without a label: leave `y` out",
        ),
        (Box::new(|s| s.update = Some("m@1".parse().unwrap())), "model m@1 is missing"),
    ];
    for (change, wanted) in cases {
        let mut spec = base();
        change(&mut spec);
        let error = spec.check(&table.job(&spec, 1)).unwrap_err().to_string();
        assert!(error.contains(wanted), "wanted: {wanted}\nfound: {error}");
    }
    base().check(&table.job(&base(), 1)).unwrap();
}

#[test]
fn a_base_must_be_of_the_same_kind_and_know_what_is_needed() {
    let table = table();
    let model = Model { version: 1, ..train(&table, &base(), 2).unwrap().model };
    assert_eq!(model.features.columns(), ["n"]);
    let refused = |table: &Table, change: fn(&mut TrainSpec, &mut Model)| {
        let mut model = model.clone();
        let mut spec = base();
        spec.update = Some("m@1".parse().unwrap());
        change(&mut spec, &mut model);
        spec.base = Some(Box::new(model));
        spec.check(&table.job(&spec, 1)).unwrap_err().to_string()
    };
    assert!(
        refused(&table, |_, m| m.curvature = None).contains("cannot be updated: that is kept by models of up to 500")
    );
    assert!(
        refused(&table, |s, _| s.algorithm = Algorithm::Linear(linear(Penalty::L2, 1.0)))
            .contains("m@1 is a model of logistic, and this is a training of linear")
    );
    assert_eq!(refused(&table, |s, _| s.label = Some("flag".into())), "m@1 has learnt `y`, not `flag`");
    let mut other = table.clone();
    other.schema.fields[0].name = "m".into();
    assert!(refused(&other, |_, _| ()).starts_with("m@1 reads `n`, and d@1 has no column `n`"));
    other = table.clone();
    other.schema.fields[0].dtype = DataType::String;
    assert_eq!(refused(&other, |_, _| ()), "m@1 was trained with `n` as int64, and in d@1 it is string");
}
