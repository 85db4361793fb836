//! What the arguments of a training come to, and what is refused before anything is sent.

use clap::Parser;
use shardmill_common::model::{Categories, Imputation, LinearOptions, LogisticOptions, Penalty, Solver, Unlabelled};

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    command: TrainCommand,
}

/// Of blank-separated words.
fn parsed(line: &str) -> Result<TrainCommand, clap::Error> {
    Line::try_parse_from(std::iter::once("train").chain(line.split(' '))).map(|line| line.command)
}

fn wanted(line: &str) -> Result<Wanted, CliError> {
    parsed(line).unwrap_or_else(|e| panic!("{line}: {e}")).wanted()
}

fn logistic(wanted: Wanted) -> LogisticOptions {
    match wanted.algorithm {
        Algorithm::Logistic(options) => options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_are_those_of_scikit_learn() {
    let options = logistic(wanted("logistic d --model m --label y").unwrap());
    assert_eq!((options.penalty, options.c, options.fit_intercept), (Penalty::L2, 1.0, true));
    assert_eq!((options.tol, options.max_iter, options.penalise_intercept), (1e-8, 1000, false));
    assert_eq!(options.class_weight, ClassWeight::None);
    let linear = wanted("linear d --model m --label y").unwrap();
    let Algorithm::Linear(LinearOptions { penalty: Penalty::None, alpha: 1.0, fit_intercept: true, .. }) =
        linear.algorithm
    else {
        panic!("{linear:?}")
    };
    let bare = logistic(wanted("logistic d --model m --label y --fit-intercept false").unwrap());
    assert!(!bare.fit_intercept);
    assert!(logistic(wanted("logistic d --model m --label y --fit-intercept").unwrap()).fit_intercept);
}

#[test]
fn numbers_out_of_range_are_told_with_their_reason() {
    for (line, part) in [
        ("logistic d --model m --label y --c inf", "for no penalty use --penalty none"),
        ("logistic d --model m --label y --c -1", "'-1' for '--c <C>': it must be a number above 0"),
        ("logistic d --model m --label y --c -inf", "'-inf' for '--c <C>': it must be a number above 0"),
        ("logistic d --model m --label y --tol nan", "above 0"),
        ("logistic d --model m --label y --max-iter -1", "-1 is not in 1.."),
        ("logistic d --model m --label y --l1-ratio nan", "from 0 to 1"),
        ("logistic d --model m --label y --class-weight a=inf", "finite"),
        ("linear d --model m --label y --alpha -3", "0 or more"),
        ("naive-bayes d --model m --label y --priors a=nan", "finite"),
        ("naive-bayes d --model m --label y --var-smoothing inf", "0 or more"),
        ("kmeans d --model m --tol -1e-3", "0 or more"),
        ("kmeans d --model m -k -3", "-3 is not in 1.."),
        ("kmeans d --model bad!", "is not a model name"),
        ("kmeans d --model m --unlabelled skip", "unexpected argument"),
    ] {
        let error = parsed(line).unwrap_err();
        assert!(error.to_string().contains(part), "{line}: {error}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn an_update_refuses_what_its_version_settles() {
    for option in [
        "--penalty l1",
        "--l1-ratio 0.5",
        "--c 1",
        "--fit-intercept",
        "--penalise-intercept",
        "--features a,b",
        "--standardise",
        "--categorical a",
        "--max-categories 1000",
        "--impute mean",
        "--missing-indicator",
        "--unknown ignore",
        "--constant-features drop",
    ] {
        let error = wanted(&format!("logistic d --update m@1 {option}")).unwrap_err();
        let name = option.split(' ').next().unwrap();
        let message = format!("{name} goes with the version that is updated and cannot be changed: leave it out");
        assert_eq!((error.to_string(), error.exit_status()), (message, 2));
    }
    assert!(wanted("linear d --update m@1 --alpha 1").is_err());
    assert!(wanted("naive-bayes d --update m@1 --var-smoothing 1e-9").is_err());
    assert!(wanted("naive-bayes d --update m@1 --priors a=1").is_err());
    let own = "--solver newton --tol 1e-6 --max-iter 5 --class-weight balanced --unlabelled skip --weight-column w";
    wanted(&format!("logistic d --update m@1 {own}")).unwrap();
}

#[test]
fn an_update_goes_on_as_its_version_was_trained() {
    let first = wanted(
        "logistic d --model m --label y --penalty l1 --c 3 --fit-intercept false --class-weight balanced --tol 1e-3 \
         --features a,b --categorical a --impute mean --solver newton",
    )
    .unwrap();
    let base = TrainSpec {
        input: "d".parse().unwrap(),
        model: "m".parse().unwrap(),
        label: first.label,
        weight_column: None,
        preparation: first.preparation,
        algorithm: first.algorithm,
        seed: 0,
        warm_start: None,
        update: None,
        base: None,
    };
    let mut update = wanted("logistic e --update m@1 --unlabelled skip --weight-column w --max-iter 7").unwrap();
    update.go_on("m".parse().unwrap(), base.clone());
    assert_eq!(update.label.as_deref(), Some("y"));
    assert_eq!(update.weight_column.as_deref(), Some("w"));
    assert_eq!(update.preparation.unlabelled, Unlabelled::Skip);
    assert_eq!(update.preparation.categorical, Categories::And(vec!["a".into()]));
    assert_eq!(update.preparation.impute_default, Imputation::Mean);
    let options = logistic(update);
    assert_eq!((options.penalty, options.c, options.fit_intercept), (Penalty::L1, 3.0, false));
    assert_eq!((options.solver, options.tol, options.max_iter), (Solver::Auto, 1e-8, 7));
    assert_eq!(options.class_weight, ClassWeight::Balanced);
    let mut plain = wanted("logistic e --update m@1 --class-weight none").unwrap();
    plain.go_on("m".parse().unwrap(), base);
    assert_eq!(logistic(plain).class_weight, ClassWeight::None);
}
