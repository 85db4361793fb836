//! Encoders learnt from profiles.

use shardmill_common::model::Unknown;

use super::*;
use crate::train::profile::Labels;

fn preparation(constant: ConstantFeature, indicator: bool) -> Preparation {
    Preparation { max_categories: 3, constant, indicator, unknown: Unknown::Ignore, ..Default::default() }
}

fn numeric(values: &[f64], missing: u64) -> NumericProfile {
    let one = |v: &f64| Moments { count: 1.0, mean: *v, squares: 0.0 };
    NumericProfile {
        moments: values.iter().map(one).fold(Moments::default(), Moments::merge),
        missing,
        min: values.iter().copied().reduce(f64::min),
        max: values.iter().copied().reduce(f64::max),
    }
}

fn counts(values: &[(&str, u64)], missing: u64) -> CategoryCounts {
    CategoryCounts { values: values.iter().map(|(v, n)| (v.to_string(), *n)).collect(), missing, too_many: false }
}

fn whole(numeric: Vec<NumericProfile>, categorical: Vec<CategoryCounts>) -> Whole {
    let labels = Labels::None;
    Whole { rows: 4, rows_without_label: 0, rows_with_missing: 0, weight: 4.0, numeric, categorical, labels }
}

fn asked(column: &str, dtype: DataType, imputation: Imputation) -> Asked {
    Asked { column: column.into(), dtype, categorical: dtype == DataType::String, imputation, standardise: true }
}

fn error(asked: &[Asked], whole: &Whole, constant: ConstantFeature) -> String {
    build(asked, whole, &BTreeMap::new(), &preparation(constant, false), "d@1").unwrap_err().to_string()
}

#[test]
fn missing_values_are_filled_and_counted_in_the_moments() {
    let asked = [
        asked("age", DataType::Float64, Imputation::Mean),
        asked("fare", DataType::Int64, Imputation::Median),
        asked("city", DataType::String, Imputation::Constant("none".into())),
    ];
    let whole = whole(
        vec![numeric(&[1.0, 3.0], 2), numeric(&[1.0, 2.0, 9.0], 1)],
        vec![counts(&[("Bonn", 2), ("Rome", 1)], 1)],
    );
    let fillings = BTreeMap::from([("fare".to_owned(), 2.0)]);
    let built = build(&asked, &whole, &fillings, &preparation(ConstantFeature::Drop, true), "d@1").unwrap();
    let names: Vec<String> = built.encoder.outputs().into_iter().map(|o| o.name).collect();
    assert_eq!(
        names,
        ["age", "age_missing", "fare", "fare_missing", "city=Bonn", "city=Rome", "city=none", "city_missing"]
    );
    assert_eq!(built.spreads[0], Some((2.0, 0.5)), "1, 3 and twice the mean");
    assert_eq!(built.encoder.features[0].fill, Some(Filling::Number(2.0)));
    let Encoding::Numeric { scaling: Some(scaling) } = &built.encoder.features[1].encoding else { panic!() };
    assert_eq!(scaling.mean, 3.5);
    assert_eq!(built.variances.len(), 8);
    assert!((built.variances[0] - 1.0).abs() < 1e-12);
    assert_eq!(built.variances[1], 0.25);
}

#[test]
fn missing_values_without_a_filling_are_all_named() {
    let asked = [
        asked("a", DataType::Float64, Imputation::Refuse),
        asked("b", DataType::Float64, Imputation::Refuse),
        asked("c", DataType::String, Imputation::Refuse),
    ];
    let whole = whole(vec![numeric(&[1.0, 2.0], 2), numeric(&[1.0, 2.0, 3.0, 4.0], 0)], vec![counts(&[("x", 3)], 1)]);
    let error = error(&asked, &whole, ConstantFeature::Drop);
    assert!(error.starts_with("of 4 rows of d@1 some have no value in a (2), c (1): "), "{error}");
    assert!(error.contains("drop-row"));
}

#[test]
fn constant_and_empty_features_are_left_out_or_refused() {
    let asked = [
        asked("empty", DataType::Float64, Imputation::Refuse),
        asked("five", DataType::Int64, Imputation::Mean),
        asked("real", DataType::Float64, Imputation::Refuse),
    ];
    let whole = whole(vec![numeric(&[], 4), numeric(&[5.0, 5.0], 2), numeric(&[1.0, 2.0, 3.0, 4.0], 0)], vec![]);
    let built = |constant| build(&asked, &whole, &BTreeMap::new(), &preparation(constant, false), "d@1").unwrap();
    let dropped = built(ConstantFeature::Drop);
    assert_eq!(dropped.encoder.columns(), ["real"]);
    assert_eq!(dropped.notices, ["left out, being the same in all 4 rows: `empty` (no value), `five`"]);
    assert_eq!(built(ConstantFeature::Keep).encoder.columns(), ["five", "real"]);
    assert!(error(&asked, &whole, ConstantFeature::Refuse).contains("`empty` (no value), `five`"));
    assert!(error(&asked[..2], &whole, ConstantFeature::Drop).contains("no feature of d@1 is left"));
}

#[test]
fn too_many_categories_and_means_of_text_are_refused() {
    let text = |imputation| [asked("ticket", DataType::String, imputation)];
    let many = whole(vec![], vec![counts(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)], 0)]);
    assert_eq!(
        error(&text(Imputation::Refuse), &many, ConstantFeature::Drop),
        "`ticket` has more than 3 different values: leave it out, or raise --max-categories"
    );
    let few = whole(vec![], vec![counts(&[("a", 1), ("b", 2)], 1)]);
    assert!(error(&text(Imputation::Mean), &few, ConstantFeature::Drop).contains("--impute ticket=mode"));
    let mode =
        build(&text(Imputation::Mode), &few, &BTreeMap::new(), &preparation(ConstantFeature::Drop, false), "d@1");
    assert_eq!(mode.unwrap().encoder.features[0].fill, Some(Filling::Text("b".into())));
}
