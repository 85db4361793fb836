//! Workflows run by this process, which is not the command: as schedules will run them.

use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use shardmill_client::Client;
use shardmill_common::kinds::ingest::IngestSpec;
use shardmill_common::kinds::predict::PredictOutputs;
use shardmill_common::model::Round;
use shardmill_common::name::DatasetRef;
use shardmill_flows::download::export;
use shardmill_flows::export::TargetError;
use shardmill_flows::export::{Compression, Format, Settings, Target};
use shardmill_flows::ingest::{self, Ingested, Way};
use shardmill_flows::predict_file::{self, FileJob};
use shardmill_flows::read::arrow_schema;
use shardmill_flows::sources::ReadOptions;
use shardmill_flows::sources::error::SourceError;
use shardmill_flows::{FlowError, Host, Progress, Quiet, Session};
use shardmill_tests::Cluster;

async fn ingested(
    host: &dyn Host,
    session: &Session,
    name: &str,
    path: &str,
    new_only: bool,
) -> Result<Ingested, FlowError> {
    let looked = ingest::inspect(host, vec![path.to_owned()], &ReadOptions::default()).await?;
    let way = Way { options: ReadOptions::default(), shard_size: Some(2000), new_only };
    ingest::run(host, session, looked, way, IngestSpec::new(name.parse().unwrap())).await
}

/// A host that writes down what it is told, and may have stopped.
#[derive(Clone, Default)]
struct Told {
    lines: Arc<Mutex<Vec<String>>>,
    stops: bool,
}

impl Host for Told {
    fn notice(&self, text: &str) {
        self.lines.lock().unwrap().push(text.to_owned());
    }

    fn progress(&self) -> Box<dyn Progress + '_> {
        Box::new(self.clone())
    }

    fn stopped(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if self.stops { Box::pin(std::future::ready(())) } else { Box::pin(std::future::pending()) }
    }

    fn data(&self) -> Box<dyn Write + Send> {
        Box::new(std::io::sink())
    }
}

impl Progress for Told {
    fn bytes(&mut self, _: &str, _: Option<u64>, _: u64, _: u64) {}

    fn count(&mut self, _: &str, _: u64, _: u64) {}

    fn round(&mut self, _: &Round) {}

    fn notice(&mut self, text: &str) {
        Host::notice(self, text);
    }
}

#[test]
fn another_process_than_the_command_runs_workflows() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 2);
    let sm = cluster.shardmill();
    let rows: String = (0..500).map(|n| format!("{n},{}\n", 2 * n + 1)).collect();
    sm.write("line.csv", format!("x,y\n{rows}"));
    sm.write("ask.csv", "x\n1000\n\n2000\n");
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(&cluster.url(), None).await.unwrap();
        let session = Session { client, local_files: false };
        let done = ingested(&Quiet, &session, "line", &path("line.csv"), false).await.unwrap();
        let Ingested::Done { status, skipped: 0, .. } = done else { panic!("nothing new") };
        assert_eq!(status.rows, Some(500));
        // The same file again, where only new ones are wanted.
        let again = ingested(&Quiet, &session, "line", &path("line.csv"), true).await.unwrap();
        assert!(matches!(again, Ingested::NothingNew { skipped: 1 }));

        // As it lay there.
        let version: DatasetRef = "line@1".parse().unwrap();
        let located = session.client.locate(&version).await.unwrap();
        let schema = arrow_schema(&located.manifest.schema);
        let settings = Settings { format: Format::Csv, compression: Compression::None, null: String::new(), schema };
        let target = Target::of(&path("out.csv"), false);
        let exported = export(&Quiet, &session.client, located, target, settings).await.unwrap();
        assert_eq!(exported.rows, 500);
        assert_eq!(read("out.csv"), format!("x,y\n{rows}"));

        // From file to file, with a model that the command trained.
        sm.ok(&["train", "linear", "line", "--model", "m", "--label", "y"]);
        let job = FileJob {
            model: "m".parse().unwrap(),
            from: path("ask.csv"),
            to: path("answer.csv"),
            keep: None,
            outputs: PredictOutputs { label: true, probability: false },
            format: None,
            delimiter: None,
            nulls: Vec::new(),
            max_rejects: "0".parse().unwrap(),
            force: false,
            replicas: None,
        };
        let opened = predict_file::open(&Quiet, &job).await.unwrap();
        let done = predict_file::run(&Quiet, &session, &job, opened).await.unwrap();
        assert_eq!((done.exported.rows, done.rejected), (2, 0));
        let answers: Vec<f64> =
            read("answer.csv").lines().skip(1).map(|l| l.split(',').nth(1).unwrap().parse().unwrap()).collect();
        assert!(answers.iter().zip([2001.0, 4001.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{answers:?}");

        // Errors have types, and a host that stops is heeded.
        let wrong = ingested(&Quiet, &session, "none", &path("absent.csv"), false).await;
        assert!(matches!(wrong, Err(FlowError::Source(SourceError::Absent { name })) if name.ends_with("absent.csv")));
        let there = predict_file::open(&Quiet, &job).await;
        assert!(matches!(there, Err(FlowError::Target(TargetError::Exists(_)))));
        let stopped = ingested(&Told { stops: true, ..Told::default() }, &session, "none", &path("line.csv"), false).await;
        assert!(matches!(stopped, Err(FlowError::Stopped)));
        // What a job notes is told.
        let told = Told::default();
        sm.write("constant.csv", format!("x,one,y\n{}", (0..50).map(|n| format!("{n},1,{n}\n")).collect::<String>()));
        ingested(&told, &session, "constant", &path("constant.csv"), false).await.unwrap();
        let spec = serde_json::from_value(serde_json::json!({
            "kind": "train", "input": "constant", "model": "c", "label": "y", "weight_column": null,
            "preparation": {
                "features": null, "standardise": null, "categorical": "text", "max_categories": 100, "impute_default": "refuse",
                "impute": {}, "indicator": false, "unknown": "ignore", "constant": "drop", "unlabelled": "refuse",
            },
            "algorithm": "linear", "penalty": "none", "alpha": 1.0, "fit_intercept": true, "tol": 1e-8, "max_iter": 100,
            "seed": 0, "warm_start": null, "update": null,
        }))
        .unwrap();
        let trained = shardmill_flows::jobs::run(&told, &session.client, spec).await.unwrap();
        assert_eq!(trained.model.unwrap().to_string(), "c@1");
        let lines = told.lines.lock().unwrap();
        assert!(lines.iter().any(|line| line.contains("`one`")), "{lines:?}");
    });
}
