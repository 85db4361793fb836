//! What is said of keys, and where labels are found.

use super::*;
use shardmill_common::ids::JobId;
use shardmill_common::schema::{DataType, Field};
use shardmill_common::time::Timestamp;

fn manifest(name: &str, columns: &[&str]) -> Manifest {
    Manifest {
        name: name.parse().unwrap(),
        version: 1,
        schema: Schema::new(columns.iter().map(|c| Field::new(*c, DataType::Int64)).collect()),
        shards: Vec::new(),
        replicas: 1,
        job: JobId(1),
        created: Timestamp(0),
    }
}

fn pairs(on: &[(&str, &str)]) -> Vec<(String, String)> {
    on.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn a_key_that_was_not_captured_says_how_to_send_it() {
    let (captured, labels) = (manifest("seen", &["_inference_id", "x"]), manifest("truth", &["id", "y"]));
    check_keys(&pairs(&[("_inference_id", "id")]), &captured, &labels).unwrap();
    let text = check_keys(&pairs(&[("id", "id")]), &captured, &labels).unwrap_err().to_string();
    for part in ["column `id`", "seen@1", "_inference_id, x", "X-Amzn-SageMaker-Inference-Id", "_inference_id=id"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = check_keys(&pairs(&[("x", "z")]), &captured, &labels).unwrap_err().to_string();
    assert!(text.contains("truth@1 has no column `z`"), "{text}");
}

#[test]
fn labels_are_found_under_the_name_that_the_join_gives_them() {
    let captured = manifest("seen", &["id", "y"]).schema;
    let on = pairs(&[("id", "id")]);
    assert_eq!(joined_name("y", &on, &captured), "y_label");
    assert_eq!(joined_name("z", &on, &captured), "z");
    assert_eq!(joined_name("id", &on, &captured), "id");
    assert_eq!(joined_name("id", &pairs(&[("y", "id")]), &captured), "id_label");
}
