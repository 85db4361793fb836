//! Endpoints of a real cluster, asked over real sockets: every dialect, changes, deaths.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use serde_json::Value;
use shardmill_tests::Cluster;

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

fn ask(port: u16, method: &str, path: &str, content_type: &str, body: &str) -> Option<Reply> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some(Reply { status: head.split(' ').nth(1)?.parse().ok()?, head: head.to_owned(), body: body.to_owned() })
}

fn post(port: u16, path: &str, content_type: &str, body: &str) -> Reply {
    ask(port, "POST", path, content_type, body).expect("a reply")
}

/// `y` is `2 x + 1` in the first version and `x` in the second; both through all points.
fn deployed(cluster: &Cluster) {
    let mill = cluster.shardmill();
    mill.write("a.csv", "x,y\n0,1\n1,3\n2,5\n3,7\n");
    mill.write("b.csv", "x,y\n0,0\n1,1\n2,2\n3,3\n");
    for name in ["a", "b"] {
        mill.ok(&["ingest", name, &format!("{name}.csv")]);
        mill.ok(&["train", "linear", name, "--model", "line", "--label", "y", "--features", "x", "--penalty", "none"]);
    }
    mill.ok(&["endpoint", "create", "line", "--variant", "first=line@1"]);
}

fn number(text: &str) -> f64 {
    text.trim().parse().unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn an_endpoint_answers_in_every_dialect_and_outlives_its_coordinator() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1);
    deployed(&cluster);
    let (mill, port) = (cluster.shardmill(), cluster.http_port());
    let path = "/endpoints/line/invocations";
    let reply = post(port, path, "text/csv", "10\n");
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!((number(&reply.body) - 21.0).abs() < 1e-9, "{}", reply.body);
    assert_eq!(reply.header("x-amzn-invoked-production-variant"), Some("first"));
    let reply = post(port, path, "application/json", r#"{"instances": [{"x": 10, "id": 7}]}"#);
    assert!((reply.json()["predictions"][0]["prediction"].as_f64().unwrap() - 21.0).abs() < 1e-9);
    let reply = post(port, "/invocations", "text/csv", "id,x\n7,10\n");
    assert!((reply.json()["predictions"][0]["prediction"].as_f64().unwrap() - 21.0).abs() < 1e-9);
    let body = r#"{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [10]}]}"#;
    let reply = post(port, "/v2/models/line/infer", "application/json", body);
    assert!((reply.json()["outputs"][0]["data"][0].as_f64().unwrap() - 21.0).abs() < 1e-9, "{}", reply.body);

    // A row that cannot be is refused whole, in the dialect's shape.
    let refused = post(port, path, "text/csv", "10\n\n1,2\n");
    assert_eq!((refused.status, refused.header("x-amzn-errortype")), (424, Some("ModelError")));
    assert_eq!(refused.json()["OriginalMessage"], "line 3 of the body has 2 cells, the first line has 1");
    assert_eq!(post(port, "/v2/models/other/infer", "application/json", "{}").status, 404);

    // A change is served when the command returns.
    mill.ok(&["endpoint", "update", "line", "--variant", "second=line@2"]);
    let reply = post(port, path, "text/csv", "10\n");
    assert!((number(&reply.body) - 10.0).abs() < 1e-9, "{}", reply.body);
    mill.run(&["model", "rm", "line@2"]).fails(1, &["answers requests to endpoint `line`"]);

    // What was acknowledged is there after kill -9, and the counts too.
    cluster.wait("the counts to be written", || {
        let shown = mill.run(&["endpoint", "show", "line"]).json();
        shown["watched"].as_array().is_some_and(|w| w.len() == 2)
    });
    cluster.kill_coordinator();
    cluster.start_coordinator();
    cluster.wait_for_workers(1);
    cluster.wait("the endpoint to answer again", || {
        ask(port, "POST", path, "text/csv", "10\n")
            .is_some_and(|r| r.status == 200 && (number(&r.body) - 10.0).abs() < 1e-9)
    });
    mill.ok(&["endpoint", "delete", "line"]);
    let gone = post(port, path, "text/csv", "10\n");
    assert_eq!((gone.status, gone.header("x-amzn-errortype")), (400, Some("ValidationError")));
    mill.ok(&["model", "rm", "line@2"]);
}
