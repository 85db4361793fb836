//! Trainings that go on from a version.

use shardmill_common::model::{LinearParameters, LogisticParameters, NaiveBayesParameters, *};
use shardmill_common::schema::DataType;

use super::harness::{Table, linear, logistic, spec, train};
use crate::train::testing::generated;

fn table(classes: usize) -> Table {
    let data = generated(21, 240, 3, classes);
    let row = |(x, y): (&Vec<f64>, &f64)| {
        vec![format!("{:?}", x[0] * 30.0 + 20.0), format!("{:?}", x[1]), format!("{:?}", x[2] * 0.1), format!("{y:?}")]
    };
    let label = if classes == 0 { DataType::Float64 } else { DataType::Int64 };
    let columns = [("a", DataType::Float64), ("b", DataType::Float64), ("c", DataType::Float64), ("y", label)];
    let mut rows: Vec<Vec<String>> = data.x.iter().zip(&data.y).map(row).collect();
    if classes > 0 {
        rows.iter_mut().for_each(|r| r[3] = r[3].trim_end_matches(".0").into());
    }
    Table::new(&columns, rows)
}

fn halves(table: &Table) -> [Table; 2] {
    [&table.rows[..100], &table.rows[100..]].map(|rows| Table { rows: rows.to_vec(), ..table.clone() })
}

fn from(model: Model, spec: &TrainSpec) -> TrainSpec {
    let base = Box::new(Model { version: 1, ..model });
    TrainSpec { update: Some(base.reference()), base: Some(base), label: None, ..spec.clone() }
}

fn coefficients(model: &Model) -> Vec<f64> {
    match &model.parameters {
        Parameters::Linear(LinearParameters { coefficients, intercept }) => {
            [coefficients.clone(), vec![*intercept]].concat()
        }
        Parameters::Logistic(LogisticParameters { coefficients, intercept }) => {
            [coefficients.concat(), intercept.clone()].concat()
        }
        _ => panic!(),
    }
}

fn close(a: &Model, b: &Model, by: f64) {
    let (a, b) = (coefficients(a), coefficients(b));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= by * (1.0 + b.abs())), "{a:?}\n{b:?}");
}

#[test]
fn an_updated_least_squares_model_is_that_of_all_rows() {
    let table = table(0);
    let [first, second] = halves(&table);
    for (penalty, alpha) in
        [(Penalty::None, 1.0), (Penalty::L2, 2.0), (Penalty::L1, 0.01), (Penalty::ElasticNet { l1_ratio: 0.5 }, 0.01)]
    {
        let mut spec = spec(Algorithm::Linear(linear(penalty, alpha)), Some("y"));
        // One case with a scaling of the model's own, which is that of the first half.
        let own = penalty == Penalty::None;
        spec.preparation.standardise = own.then(Vec::new);
        let base = train(&first, &spec, 2).unwrap().model;
        let updated = train(&second, &from(base.clone(), &spec), 3).unwrap();
        assert_eq!(updated.stages[..2], ["profile", "round"]);
        assert_eq!((updated.model.training.rows, updated.model.features == base.features), (140, true));
        let whole = train(&table, &spec, 4).unwrap().model;
        if own {
            let predict = |m: &Model| {
                let x = table.encoded(&table.rows[7], &m.features).unwrap();
                coefficients(m).iter().zip(x.iter().chain([&1.0])).map(|(w, x)| w * x).sum::<f64>()
            };
            assert!((predict(&updated.model) - predict(&whole)).abs() < 1e-9);
        } else {
            close(&updated.model, &whole, 1e-8);
        }
        let (a, b) = (updated.model.curvature.unwrap().upper.0, whole.curvature.unwrap().upper.0);
        assert!(own || a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-9 * (1.0 + b.abs())), "{a:?}\n{b:?}");
    }
}

#[test]
fn an_updated_logistic_model_is_near_that_of_all_rows() {
    for classes in [2, 3] {
        let table = table(classes);
        let [first, second] = halves(&table);
        let options = LogisticOptions { c: 0.5, ..logistic() };
        let spec = spec(Algorithm::Logistic(options), Some("y"));
        let base = train(&first, &spec, 2).unwrap().model;
        // An update keeps the penalty of its model, and says so.
        let mut update = from(base.clone(), &spec);
        update.algorithm = Algorithm::Logistic(logistic());
        let updated = train(&second, &update, 2).unwrap().model;
        assert_eq!(updated.training.notices, ["an update keeps the penalty and intercept of m@1"]);
        let recorded = updated.spec.as_ref().unwrap();
        let Algorithm::Logistic(kept) = &recorded.algorithm else { panic!() };
        assert_eq!((kept.c, recorded.label.as_deref()), (0.5, Some("y")));
        assert_eq!(updated.parent.as_ref().map(ModelRef::to_string).as_deref(), Some("m@1"));
        let whole = train(&table, &spec, 2).unwrap().model;
        let off =
            |m: &Model| -> f64 { coefficients(m).iter().zip(coefficients(&whole)).map(|(a, b)| (a - b).powi(2)).sum() };
        assert!(off(&updated) < 0.5 * off(&base), "{} {}", off(&updated), off(&base));
    }
}

#[test]
fn classes_that_the_model_does_not_know_are_refused() {
    let table = table(2);
    let [first, mut second] = halves(&table);
    let spec = spec(Algorithm::Logistic(logistic()), Some("y"));
    let base = train(&first, &spec, 2).unwrap().model;
    second.rows[5][3] = "7".into();
    let error = train(&second, &from(base, &spec), 2).map(|r| r.stages).unwrap_err().to_string();
    assert!(
        error.starts_with("`y` is `7` in 1 rows, a class that m@1 does not know (its classes are 0, 1)"),
        "{error}"
    );
}

#[test]
fn naive_bayes_goes_on() {
    let table = table(2);
    let [first, second] = halves(&table);
    let options = NaiveBayesOptions { var_smoothing: 0.0, priors: None };
    let spec = spec(Algorithm::NaiveBayes(options), Some("y"));
    let base = train(&first, &spec, 2).unwrap().model;
    let updated = train(&second, &from(base, &spec), 2).unwrap().model;
    let whole = train(&table, &spec, 2).unwrap().model;
    let Parameters::NaiveBayes(NaiveBayesParameters { means: a, squares: s, .. }) = &updated.parameters else {
        panic!()
    };
    let Parameters::NaiveBayes(NaiveBayesParameters { means: b, squares: t, .. }) = &whole.parameters else { panic!() };
    let same =
        |a: &[Vec<f64>], b: &[Vec<f64>]| a.concat().iter().zip(b.concat()).all(|(a, b)| (a / b - 1.0).abs() < 1e-12);
    assert!(same(a, b) && same(s, t));
}

#[test]
fn a_warm_start_begins_where_the_other_ended() {
    for classes in [2, 3] {
        let table = table(classes);
        let mut spec = spec(Algorithm::Logistic(logistic()), Some("y"));
        let first = train(&table, &spec, 2).unwrap().model;
        spec.base = Some(Box::new(Model { version: 4, ..first.clone() }));
        spec.warm_start = Some("m@4".parse().unwrap());
        // Other features in another order are the same features.
        spec.preparation.features = Some(["c", "a", "b"].map(str::to_owned).to_vec());
        let again = train(&table, &spec, 2).unwrap().model;
        assert!(again.training.rounds.len() <= 2, "{:?}", again.training.rounds);
        let (
            Parameters::Logistic(LogisticParameters { coefficients: a, .. }),
            Parameters::Logistic(LogisticParameters { coefficients: b, .. }),
        ) = (&first.parameters, &again.parameters)
        else {
            panic!()
        };
        for (a, b) in a.iter().zip(b) {
            assert!([(a[0], b[1]), (a[1], b[2]), (a[2], b[0])].iter().all(|(a, b)| (a - b).abs() < 1e-9));
        }
        spec.preparation.features = Some(["a", "b"].map(str::to_owned).to_vec());
        let error = train(&table, &spec, 2).map(|r| r.stages).unwrap_err().to_string();
        assert!(error.contains("m@4 has besides c, and this training has besides nothing"), "{error}");
    }
}
