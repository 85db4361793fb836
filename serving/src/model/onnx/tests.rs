//! Graphs made by hand: what they compute, and what is refused.

use proptest::prelude::*;
use prost::Message;
use shardmill_common::model::{ClassValue, OnnxOutput, Target};
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{GraphProto, ModelProto};

use super::super::matrix::Matrix;
use super::super::score::Scores;
use super::testing::{
    DOUBLE, FLOAT, INT64, classifier, doubles, floats, int, ints, ml, model, node, table, text, tree,
};
use super::{Graph, Graphs, Inspected, Options, inspect};

fn matrix(width: usize, values: &[f64]) -> Matrix {
    let dense = (0..width as u32).collect();
    Matrix { rows: values.len() / width, width, dense, values: values.to_vec(), codes: Vec::new() }
}

fn read(model: &ModelProto, options: &Options) -> Result<Inspected, String> {
    inspect(&model.encode_to_vec(), options).map_err(|e| e.to_string())
}

/// What a graph says of rows.
fn scores(model: &ModelProto, options: &Options, width: usize, values: &[f64]) -> Scores {
    let bytes = model.encode_to_vec();
    let found = inspect(&bytes, options).unwrap();
    let graph = Graph::prepare(&bytes, &found.graph).unwrap();
    graph.score(&matrix(width, values), found.target.classes().len()).unwrap()
}

/// A graph from a double table `X` of two columns to `y`.
fn core(
    node: Vec<tract_onnx::pb::NodeProto>,
    initializer: Vec<tract_onnx::pb::TensorProto>,
    columns: i64,
) -> ModelProto {
    model(GraphProto {
        node,
        initializer,
        input: vec![table("X", DOUBLE, 2)],
        output: vec![table("y", DOUBLE, columns)],
        ..Default::default()
    })
}

fn error(model: &ModelProto) -> String {
    read(model, &Options::default()).unwrap_err()
}

#[test]
fn a_classifier_is_cut_out_of_label_and_map() {
    let found = read(&classifier(), &Options { label: Some("churned".into()), ..Options::default() }).unwrap();
    let wanted = ["no", "yes"].map(|c| ClassValue::String(c.into())).to_vec();
    assert_eq!(found.target.classes(), wanted);
    assert_eq!(found.target.label().unwrap().column, "churned");
    assert_eq!(found.features.columns(), ["f0", "f1"]);
    assert_eq!(found.graph.output, OnnxOutput::Probabilities { name: "p".into() });
    assert!(found.features.features.iter().all(|f| f.fill.is_none()) && found.notices.is_empty(), "{found:?}");
    let Scores::Classes { classes: 2, probabilities } =
        scores(&classifier(), &Options::default(), 2, &[9.0, 0.5, 9.0, 0.50001, 9.0, f64::NAN])
    else {
        panic!()
    };
    assert_eq!(probabilities, [0.75, 0.25, 0.25, 0.75, 0.25, 0.75]);
}

#[test]
fn missing_values_pass_where_the_graph_is_made_for_them_or_the_user_says_so() {
    let passes = |model: &ModelProto, missing_as_nan| {
        let found = read(model, &Options { missing_as_nan, ..Options::default() }).unwrap();
        found.features.features.iter().all(|f| f.fill.is_some())
    };
    let mut tracking = classifier();
    for attribute in &mut tracking.graph.as_mut().unwrap().node[0].attribute {
        if attribute.name == "nodes_missing_value_tracks_true" {
            attribute.ints = vec![1, 0, 0];
        }
    }
    let boosted = ModelProto { producer_name: "OnnxMLTools".into(), ..classifier() };
    assert!(!passes(&classifier(), None) && passes(&tracking, None) && passes(&boosted, None));
    assert!(passes(&classifier(), Some(true)) && !passes(&tracking, Some(false)));
}

#[test]
fn rows_are_computed_in_blocks_and_alone_to_the_same_bits() {
    let weights = doubles("w", &[2, 1], &[0.1, -3.7]);
    let linear = core(vec![node("MatMul", &["X", "w"], &["y"], vec![])], vec![weights], 1);
    let values: Vec<f64> = (0..20_000).map(|n| f64::from(n).sin() * 1e3).collect();
    let Scores::Numbers(all) = scores(&linear, &Options::default(), 2, &values) else { panic!() };
    assert_eq!(all.len(), 10_000);
    for (row, y) in values.chunks(2).zip(&all).step_by(997) {
        let Scores::Numbers(alone) = scores(&linear, &Options::default(), 2, row) else { panic!() };
        assert_eq!(alone, [*y]);
        assert!((y - (0.1 * row[0] - 3.7 * row[1])).abs() <= 1e-12 * y.abs());
    }
    let Scores::Numbers(none) = scores(&linear, &Options::default(), 2, &[]) else { panic!() };
    assert!(none.is_empty());
}

#[test]
fn operators_compute_what_the_specification_says() {
    let of = |nodes: Vec<_>, element| {
        let graph = GraphProto {
            node: nodes,
            input: vec![table("X", element, 2)],
            output: vec![table("y", FLOAT, 1)],
            ..Default::default()
        };
        let Scores::Numbers(numbers) = scores(&model(graph), &Options::default(), 2, &[3.0, 4.0]) else { panic!() };
        numbers[0]
    };
    let sum = |op| {
        vec![
            op,
            ml(
                "LinearRegressor",
                &["a"],
                &["y"],
                vec![floats("coefficients", &[1.0, 10.0]), floats("intercepts", &[0.5])],
            ),
        ]
    };
    let scaler = || ml("Scaler", &["X"], &["a"], vec![floats("offset", &[1.0, 2.0]), floats("scale", &[2.0, 0.5])]);
    assert_eq!(of(sum(scaler()), FLOAT), 14.5);
    assert_eq!(of(sum(scaler()), INT64), 14.5);
    let norm = |kind| sum(ml("Normalizer", &["X"], &["a"], vec![text("norm", kind)]));
    assert_eq!(of(norm("MAX"), DOUBLE), 11.25);
    assert!((of(norm("L1"), FLOAT) - (43.0 / 7.0 + 0.5)).abs() < 1e-6);
    assert!((of(norm("L2"), FLOAT) - 9.1).abs() < 1e-6);
    let imputer = vec![
        floats("imputed_value_floats", &[7.0]),
        tract_onnx::pb::AttributeProto { name: "replaced_value_float".into(), f: 4.0, ..Default::default() },
    ];
    assert_eq!(of(sum(ml("Imputer", &["X"], &["a"], imputer)), FLOAT), 73.5);
    let regressor = |aggregate: &str| {
        let mut attributes: Vec<_> = tree().into_iter().filter(|a| !a.name.starts_with("class")).collect();
        attributes.extend([
            ints("target_treeids", &[0, 0]),
            ints("target_nodeids", &[1, 2]),
            ints("target_ids", &[0, 0]),
        ]);
        attributes.extend([
            floats("target_weights", &[-1.0, 2.0]),
            floats("base_values", &[10.0]),
            int("n_targets", 1),
        ]);
        attributes.push(text("aggregate_function", aggregate));
        vec![ml("TreeEnsembleRegressor", &["X"], &["y"], attributes)]
    };
    assert_eq!(of(regressor("SUM"), FLOAT), 12.0);
    assert_eq!(of(regressor("AVERAGE"), DOUBLE), 12.0);
}

#[test]
fn a_sum_of_exponentials_does_not_overflow() {
    let axes = ints("axes", &[1]);
    let model = core(vec![node("ReduceLogSumExp", &["X"], &["y"], vec![axes])], vec![], 1);
    let Scores::Numbers(numbers) = scores(&model, &Options::default(), 2, &[-5000.0, -5000.0, 5000.0, 0.0]) else {
        panic!()
    };
    assert!((numbers[0] - (2f64.ln() - 5000.0)).abs() < 1e-9 && (numbers[1] - 5000.0).abs() < 1e-9, "{numbers:?}");
}

#[test]
fn one_probability_is_that_of_the_second_class_and_a_margin_is_none() {
    let sigmoid = |input: &str| node("Sigmoid", &[input], &["y"], vec![]);
    let sum = || node("ReduceSum", &["X", "axes"], &["s"], vec![int("keepdims", 1)]);
    let axes = || tract_onnx::pb::TensorProto {
        name: "axes".into(),
        dims: vec![1],
        data_type: INT64,
        int64_data: vec![1],
        ..Default::default()
    };
    let options = Options { classes: Some(vec!["false".into(), "true".into()]), ..Options::default() };
    let model = core(vec![sum(), sigmoid("s")], vec![axes()], 1);
    let found = read(&model, &options).unwrap();
    assert_eq!(found.target.classes(), [ClassValue::Boolean(false), ClassValue::Boolean(true)]);
    let Scores::Classes { probabilities, .. } = scores(&model, &options, 2, &[0.0, 0.0, 800.0, 0.0]) else { panic!() };
    assert_eq!(probabilities, [0.5, 0.5, 0.0, 1.0]);
    // Without classes it is a number.
    assert!(matches!(read(&model, &Options::default()).unwrap().target, Target::Number { .. }));
    let margin = core(vec![sum(), node("Identity", &["s"], &["y"], vec![])], vec![axes()], 1);
    assert!(read(&margin, &options).unwrap_err().contains("no probability"));
}

#[test]
fn what_cannot_be_run_is_refused_in_words() {
    let mut unknown = classifier();
    unknown.graph.as_mut().unwrap().node[0].op_type = "SVMClassifier".into();
    assert!(
        error(&unknown).starts_with("operator `SVMClassifier` (domain `ai.onnx.ml`) is not supported; supported are")
    );
    let foreign = core(
        vec![tract_onnx::pb::NodeProto { domain: "com.x".into(), ..node("Add", &["X", "X"], &["y"], vec![]) }],
        vec![],
        2,
    );
    assert!(error(&foreign).contains("operator `Add` (domain `com.x`) is not supported"));
    let identity = || vec![node("Identity", &["X"], &["y"], vec![])];
    let mut strings = core(identity(), vec![], 2);
    strings.graph.as_mut().unwrap().input = vec![table("X", super::testing::STRING, 2)];
    assert!(error(&strings).contains("takes text"));
    assert!(error(&core(identity(), vec![], 2)).contains("has 2 numbers a row: if they are probabilities"));
    let mut open = core(identity(), vec![], 0);
    open.graph.as_mut().unwrap().input = vec![table("X", DOUBLE, 0)];
    assert!(error(&open).contains("name them with --features"));
    let mixed = core(
        vec![
            node("ReduceSum", &["X"], &["s"], vec![]),
            node("Add", &["X", "s"], &["z"], vec![]),
            node("ReduceMax", &["z"], &["y"], vec![ints("axes", &[1])]),
        ],
        vec![],
        1,
    );
    assert_eq!(error(&mixed), "what it says of a row depends on the other rows");
    let dangling = core(vec![node("Add", &["X", "w"], &["y"], vec![])], vec![], 1);
    assert!(error(&dangling).contains("reads `w`, which nothing before it makes"));
    assert!(inspect(b"", &Options::default()).is_err() && inspect(b"a,b\n1,2\n", &Options::default()).is_err());
}

#[test]
fn constants_that_lie_about_their_size_are_refused() {
    let with = |change: &dyn Fn(&mut tract_onnx::pb::TensorProto)| {
        let mut weights = doubles("w", &[2, 1], &[1.0, 2.0]);
        change(&mut weights);
        error(&core(vec![node("MatMul", &["X", "w"], &["y"], vec![])], vec![weights], 1))
    };
    assert!(with(&|w| w.dims = vec![1 << 40, 1]).contains("not as many numbers"));
    assert!(with(&|w| w.dims = vec![1 << 62, 1 << 62]).contains("impossible shape"));
    assert!(with(&|w| w.dims = vec![-1, 2]).contains("impossible shape"));
    assert!(with(&|w| w.data_location = Some(DataLocation::External as i32)).contains("lies in another file"));
    assert!(with(&|w| w.data_type = 14).contains("type number 14"));
    // Small constants that make a large one: 2^28 numbers of 2^14 twice.
    let long = vec![0.0; 1 << 14];
    let (tall, wide) = (doubles("a", &[1 << 14, 1], &long), doubles("b", &[1, 1 << 14], &long));
    let square = core(
        vec![node("Add", &["a", "b"], &["c"], vec![]), node("MatMul", &["X", "c"], &["y"], vec![])],
        vec![tall, wide],
        1,
    );
    assert!(error(&square).contains("too large"));
    // A row that grows by doubling.
    let mut nodes: Vec<_> = (0..40)
        .map(|n| {
            let (from, to) = (if n == 0 { "X".to_owned() } else { format!("x{n}") }, format!("x{}", n + 1));
            node("Concat", &[&from, &from], &[&to], vec![int("axis", 1)])
        })
        .collect();
    nodes.push(node("ReduceMax", &["x40"], &["y"], vec![ints("axes", &[1])]));
    assert!(error(&core(nodes, vec![], 1)).contains("memory"));
}

#[test]
fn trees_that_are_no_trees_are_refused() {
    let with = |name: &str, ints: &[i64]| {
        let mut broken = classifier();
        let attributes = &mut broken.graph.as_mut().unwrap().node[0].attribute;
        attributes.iter_mut().filter(|a| a.name == name).for_each(|a| a.ints = ints.to_vec());
        error(&broken)
    };
    assert!(with("nodes_truenodeids", &[0, 0, 0]).contains("lead back to themselves"));
    assert!(with("nodes_truenodeids", &[2, 0, 0]).contains("two parents"));
    assert!(with("nodes_truenodeids", &[9, 0, 0]).contains("there is no node 9"));
    assert!(with("nodes_nodeids", &[0, 1, 1]).contains("there twice"));
    assert!(with("nodes_treeids", &[0, 0, 1]).contains("there is no node 2 of tree 0"));
    assert!(with("nodes_featureids", &[-1, 0, 0]).contains("no feature -1"));
    assert!(with("nodes_featureids", &[2, 0, 0]).contains("look at 3 numbers, and are given 2"));
    assert!(with("class_ids", &[0, 2]).contains("there are 2 sums"));
    assert!(with("class_nodeids", &[1]).contains("not of one length"));
}

#[test]
fn graphs_are_made_ready_once_and_only_from_the_file_they_were() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let bytes = classifier().encode_to_vec();
    let wanted = inspect(&bytes, &Options::default()).unwrap().graph;
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = reads.clone();
    let file = bytes::Bytes::from(bytes);
    let graphs = Graphs::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(file.clone())
    });
    let first = graphs.get(&wanted).unwrap();
    assert!(Arc::ptr_eq(&first, &graphs.get(&wanted).unwrap()));
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    let other = shardmill_common::model::OnnxGraph { digest: "0".repeat(32), ..wanted.clone() };
    assert!(graphs.get(&other).unwrap_err().to_string().contains("checksum"));
    assert!(Graphs::default().get(&wanted).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever a file holds, it is refused or it runs.
    #[test]
    fn damaged_files_do_no_harm(places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<prop::sample::Index>()) {
        let weights = doubles("w", &[2, 1], &[0.1, -3.7]);
        let nodes = vec![node("MatMul", &["X", "w"], &["s"], vec![]), node("Sigmoid", &["s"], &["y"], vec![])];
        for model in [classifier(), core(nodes, vec![weights], 1)] {
            let mut bytes = model.encode_to_vec();
            for (place, byte) in &places {
                let at = place.index(bytes.len());
                bytes[at] ^= byte;
            }
            drop(inspect(&bytes, &Options::default()));
            bytes.truncate(cut.index(bytes.len()));
            drop(inspect(&bytes, &Options::default()));
        }
    }
}
