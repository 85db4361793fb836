//! Every method against the conditions of an optimum, and against the others.

use super::*;
use crate::train::problem::Prior;
use crate::train::testing::{Data, evaluate, generated};

const BOTH: f64 = 1e-8;

fn problem(link: Link, width: usize, l1: f64, l2: f64) -> Problem {
    let classes = if let Link::Softmax { classes } = link { classes as usize } else { 1 };
    let of = |x: f64| Packed([vec![x; width], vec![0.0]].concat().repeat(classes));
    let mut free = if classes > 1 { vec![width] } else { vec![] };
    if classes > 1 && l1 == 0.0 && l2 == 0.0 {
        free.extend(0..width);
    }
    Problem {
        link,
        fit_intercept: true,
        width,
        l1: of(l1),
        l2: of(l2),
        of_mean: false,
        earlier: 0.0,
        prior: None,
        free,
        unit: 1.0,
    }
}

/// Runs to the end over shards of the data, the state going through JSON after each round.
fn run(problem: &Problem, method: Method, tol: f64, data: &Data, shards: usize) -> (Outcome, u32) {
    let start = vec![0.0; problem.size()];
    let mut glm = Glm::new(problem.clone(), method, start, tol, 2000);
    let length = data.x.len().div_ceil(shards);
    let parts: Vec<Data> = (0..shards)
        .map(|n| {
            let range = (n * length).min(data.x.len())..((n + 1) * length).min(data.x.len());
            Data { x: data.x[range.clone()].to_vec(), y: data.y[range.clone()].to_vec(), s: data.s[range].to_vec() }
        })
        .filter(|part| !part.x.is_empty())
        .collect();
    for round in 1.. {
        let request = glm.request();
        let sums = add_up(parts.iter().map(|part| evaluate(part, &request))).unwrap();
        let (_, _, outcome) = glm.accept(sums).unwrap();
        let json = serde_json::to_string(&glm).unwrap();
        let back: Glm = serde_json::from_str(&json).unwrap();
        assert_eq!(back, glm);
        if outcome != Outcome::Going {
            return (outcome, round);
        }
    }
    unreachable!()
}

fn fitted(problem: &Problem, method: Method, data: &Data) -> Vec<f64> {
    let tol = if method == Method::Newton { 1e-8 } else { 1e-12 };
    match run(problem, method, tol, data, 3) {
        (Outcome::Done(fitted), rounds) => {
            assert!(fitted.converged, "{method:?} after {rounds} rounds");
            fitted.parameters
        }
        (other, rounds) => panic!("{method:?}: {other:?} after {rounds} rounds"),
    }
}

fn close(a: &[f64], b: &[f64], by: f64) {
    for (n, (x, y)) in a.iter().zip(b).enumerate() {
        assert!((x - y).abs() <= by, "parameter {n}: {x} and {y} differ by {:e}\n{a:?}\n{b:?}", x - y);
    }
}

/// The subgradient of least norm is 0.
fn optimal(problem: &Problem, at: &[f64], data: &Data, within: f64) {
    let sums = evaluate(data, &problem.ask(at.to_vec(), false));
    let point = problem.point(at, &sums).unwrap();
    for (n, g) in point.pseudo_gradient(at).iter().enumerate() {
        assert!(g.abs() <= within, "component {n} of the gradient is {g:e}");
    }
}

#[test]
fn all_methods_meet_at_the_optimum() {
    for (classes, link) in [(2, Link::Logistic), (3, Link::Softmax { classes: 3 }), (0, Link::Squared)] {
        let mut data = generated(7, 400, 5, classes);
        // Weights that are not all alike, and some that are 0.
        data.s.iter_mut().enumerate().for_each(|(n, s)| *s = (n % 4) as f64 * 0.5);
        let problem = problem(link, 5, 0.0, 1.0);
        let newton = fitted(&problem, Method::Newton, &data);
        optimal(&problem, &newton, &data, 1e-14);
        for method in [Method::Lbfgs, Method::Owlqn] {
            close(&fitted(&problem, method, &data), &newton, BOTH);
        }
    }
}

#[test]
fn with_an_l1_penalty_too_and_zeros_are_exact() {
    for (classes, link) in [(2, Link::Logistic), (3, Link::Softmax { classes: 3 }), (0, Link::Squared)] {
        let data = generated(3, 300, 8, classes);
        for (l1, l2) in [(40.0, 0.0), (15.0, 3.0)] {
            let problem = problem(link, 8, l1, l2);
            let newton = fitted(&problem, Method::Newton, &data);
            optimal(&problem, &newton, &data, 1e-13);
            let zeros = newton.iter().filter(|u| **u == 0.0).count();
            assert!(zeros > 0 || l2 > 0.0, "{newton:?}");
            let owlqn = fitted(&problem, Method::Owlqn, &data);
            close(&owlqn, &newton, BOTH);
            assert_eq!(owlqn.iter().filter(|u| **u == 0.0).count(), zeros);
        }
    }
}

#[test]
fn least_squares_take_two_rounds_whatever_the_offset() {
    let mut data = generated(5, 200, 4, 0);
    let problem = problem(Link::Squared, 4, 0.0, 0.0);
    let plain = fitted(&problem, Method::Newton, &data);
    data.y.iter_mut().for_each(|y| *y += 1e6);
    let (outcome, rounds) = run(&problem, Method::Newton, 1e-8, &data, 2);
    let Outcome::Done(fitted) = outcome else { panic!("{outcome:?}") };
    assert_eq!((rounds, fitted.converged), (2, true));
    close(&fitted.parameters[..4], &plain[..4], 1e-9);
}

#[test]
fn newton_takes_few_rounds_and_the_sum_over_classes_stays() {
    let data = generated(11, 500, 4, 3);
    let problem = problem(Link::Softmax { classes: 3 }, 4, 0.0, 0.0);
    let (outcome, rounds) = run(&problem, Method::Newton, 1e-8, &data, 2);
    let Outcome::Done(fitted) = outcome else { panic!("{outcome:?}") };
    assert!(rounds <= 10, "{rounds} rounds");
    optimal(&problem, &fitted.parameters, &data, 1e-14);
    for j in 0..5 {
        assert!((0..3).map(|c| fitted.parameters[c * 5 + j]).sum::<f64>().abs() < 1e-14);
    }
}

#[test]
fn separated_classes_have_no_optimum_without_a_penalty() {
    let mut data = generated(2, 60, 3, 2);
    for (x, y) in data.x.iter().zip(&mut data.y) {
        *y = f64::from(u8::from(x[1] > 0.1));
    }
    for (classes, link) in [(1, Link::Logistic), (2, Link::Softmax { classes: 2 })] {
        let free = problem(link, 3, 0.0, 0.0);
        let (outcome, rounds) = run(&free, Method::Newton, 1e-8, &data, 3);
        assert_eq!(outcome, Outcome::Separated(Separated { wholly: true, coefficient: 1 }), "{classes}");
        assert!(rounds < 30, "{rounds}");
        let (outcome, _) = run(&problem(link, 3, 0.0, 1e-3), Method::Newton, 1e-8, &data, 3);
        assert!(matches!(outcome, Outcome::Done(f) if f.converged));
    }
    let (outcome, _) = run(&problem(Link::Logistic, 3, 0.0, 0.0), Method::Lbfgs, 1e-8, &data, 1);
    assert!(matches!(outcome, Outcome::Separated(Separated { wholly: true, .. })));
}

#[test]
fn some_separated_rows_are_enough() {
    // Whoever has the third feature is of the second class; the others are mixed.
    let mut data = generated(4, 300, 3, 2);
    for (n, (x, y)) in data.x.iter_mut().zip(&mut data.y).enumerate() {
        x[2] = f64::from(u8::from(n % 7 == 0));
        if x[2] == 1.0 {
            *y = 1.0;
        }
    }
    let (outcome, rounds) = run(&problem(Link::Logistic, 3, 0.0, 0.0), Method::Newton, 1e-8, &data, 3);
    assert_eq!(outcome, Outcome::Separated(Separated { wholly: false, coefficient: 2 }));
    assert!(rounds < 60, "{rounds}");
    let (outcome, _) = run(&problem(Link::Softmax { classes: 2 }, 3, 0.0, 0.0), Method::Newton, 1e-8, &data, 3);
    assert_eq!(outcome, Outcome::Separated(Separated { wholly: false, coefficient: 2 }));
}

#[test]
fn dependent_features_are_named_and_the_optimum_is_reached() {
    for (classes, link) in [(2, Link::Logistic), (0, Link::Squared)] {
        let mut data = generated(9, 300, 4, classes);
        data.x.iter_mut().for_each(|x| x[3] = x[0] - 2.0 * x[1]);
        let full = problem(link, 4, 0.0, 0.0);
        let (outcome, _) = run(&full, Method::Newton, 1e-8, &data, 3);
        let Outcome::Done(found) = outcome else { panic!("{outcome:?}") };
        assert!(found.converged);
        assert_eq!(found.dependent, [3]);
        optimal(&full, &found.parameters, &data, 1e-9);
        let mut less = data.clone();
        less.x.iter_mut().for_each(|x| x.truncate(3));
        let alone = fitted(&problem(link, 3, 0.0, 0.0), Method::Newton, &less);
        let u = &found.parameters;
        close(&[u[0] + u[3], u[1] - 2.0 * u[3], u[2], u[4]], &alone, 1e-8);
    }
}

#[test]
fn an_update_with_a_quadratic_loss_is_training_on_all() {
    let data = generated(6, 200, 3, 0);
    let halves: Vec<Data> = [0..90, 90..200]
        .into_iter()
        .map(|r: std::ops::Range<usize>| Data {
            x: data.x[r.clone()].to_vec(),
            y: data.y[r.clone()].to_vec(),
            s: data.s[r].to_vec(),
        })
        .collect();
    let free = problem(Link::Squared, 3, 0.0, 0.0);
    let (outcome, _) = run(&free, Method::Newton, 1e-8, &halves[0], 2);
    let Outcome::Done(first) = outcome else { panic!() };
    let slope = Packed(vec![0.0; 4]);
    let prior = Prior { center: Packed(first.parameters), slope, hessian: first.hessian.unwrap() };
    let updated = Problem { prior: Some(prior), ..free.clone() };
    close(&fitted(&updated, Method::Newton, &halves[1]), &fitted(&free, Method::Newton, &data), 1e-12);
    close(&fitted(&updated, Method::Lbfgs, &halves[1]), &fitted(&free, Method::Newton, &data), 1e-8);
}

#[test]
fn the_limit_on_rounds_is_kept() {
    let data = generated(1, 100, 3, 2);
    let mut glm = Glm::new(problem(Link::Logistic, 3, 0.0, 1.0), Method::Lbfgs, vec![0.0; 4], 1e-8, 3);
    for round in 1..=3 {
        let (_, _, outcome) = glm.accept(evaluate(&data, &glm.request())).unwrap();
        if round < 3 {
            assert_eq!(outcome, Outcome::Going);
        } else {
            assert!(matches!(outcome, Outcome::Done(f) if !f.converged && f.hessian.is_none()));
        }
    }
}

#[test]
fn newton_ends_in_few_rounds_whatever_the_problem() {
    let mut random = crate::train::random::Random::new(99);
    for case in 0..80u64 {
        let (link, classes) = match random.unit() {
            r if r < 0.3 => (Link::Squared, 0),
            r if r < 0.6 => (Link::Logistic, 2),
            _ => (Link::Softmax { classes: 4 }, 4),
        };
        let width = 1 + (random.unit() * 6.0) as usize;
        let mut data = generated(case, 15 + (random.unit() * 120.0) as usize, width, classes);
        if width > 2 && random.unit() < 0.5 {
            // Two categories, which depend on the intercept, and nearly on another feature.
            for x in &mut data.x {
                x[width - 1] = f64::from(u8::from(x[0] > 0.3));
                x[width - 2] = 1.0 - x[width - 1];
            }
        }
        let (l1, l2) = match random.unit() {
            r if r < 0.2 => (0.0, 0.0),
            r if r < 0.5 => (0.0, 10f64.powf(random.unit() * 8.0 - 6.0)),
            _ => (10f64.powf(random.unit() * 6.0 - 4.0), random.unit().round()),
        };
        let problem = problem(link, width, l1, l2);
        let (outcome, rounds) = run(&problem, Method::Newton, 1e-8, &data, 2);
        assert!(rounds <= 20, "case {case}: {rounds} rounds");
        match outcome {
            Outcome::Done(fitted) => {
                assert!(fitted.converged, "case {case}");
                optimal(&problem, &fitted.parameters, &data, 1e-9);
            }
            other => assert!(problem.is_unpenalised(), "case {case}: {other:?}"),
        }
    }
}
