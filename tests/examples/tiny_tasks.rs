//! How many tasks a second the coordinator gets through: a real one, with its journal on disk and its gRPC door, and workers
//! that speak the session protocol over real sockets but do no work, so that every task ends at once.
//!
//! `--shape flat` is one stage of that many tasks (a clean); `--shape shuffle` is a map stage of that many tasks, reduces that
//! each read all of it, and as many tasks again that each read all the reduces (a deduplication).
//! `--shape history` is that many jobs instead, each over at once, and then how long a coordinator takes to start over what they left.
//! `bench/tiny_tasks.py` starts it. It prints one JSON object.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use serde_json::value::RawValue;
use shardmill_common::counters::{Counter, Counters};
use shardmill_common::ids::{AttemptId, Incarnation, JobId, ObjectId, WorkerId};
use shardmill_common::kinds::clean::CleanSpec;
use shardmill_common::kinds::dedup::{DedupOptions, DedupSpec};
use shardmill_common::kinds::register::RegisterSpec;
use shardmill_common::kinds::{JobSpec, Submission};
use shardmill_common::manifest::{DeletionVector, ObjectRef, ShardEntry};
use shardmill_common::message::{FromWorker, Hello, PROTOCOL_VERSION, Page, Paged, StoredObject, ToWorker};
use shardmill_common::rules::RuleSet;
use shardmill_common::schema::{DataType, Field, Schema};
use shardmill_common::shared::{Part, Shelf};
use shardmill_common::status::{JobState, JobStatus};
use shardmill_common::task::{Launch, PartitionSize, ShardRef, TaskKind, TaskOutput};
use shardmill_coordinator::{Config, Keep, Options, Retention, Running, start};
use shardmill_proto::auth::AddToken;
use shardmill_proto::v1::Json;
use shardmill_proto::v1::coordinator_client::CoordinatorClient;
use shardmill_proto::{MAX_MESSAGE_BYTES, decode, encode};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

const ROWS: u64 = 10;
/// So large that every shard has a task of its own.
const SHARD_BYTES: u64 = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(600);

struct Arguments {
    tasks: usize,
    workers: u32,
    slots: u32,
    shape: String,
    columns: usize,
    dir: Option<String>,
}

fn arguments() -> Arguments {
    let mut arguments = Arguments { tasks: 100_000, workers: 2, slots: 2, shape: "flat".into(), columns: 2, dir: None };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let value = given.next().unwrap_or_else(|| panic!("{name} needs a value"));
        let number = || value.parse().unwrap_or_else(|_| panic!("{name} needs a number, not `{value}`"));
        match name.as_str() {
            "--tasks" => arguments.tasks = number() as usize,
            "--workers" => arguments.workers = number(),
            "--slots" => arguments.slots = number(),
            "--shape" => arguments.shape = value,
            "--columns" => arguments.columns = number() as usize,
            "--dir" => arguments.dir = Some(value),
            _ => {
                panic!(
                    "unknown option {name}: there are --tasks --workers --slots --shape flat|shuffle|history --columns --dir"
                )
            }
        }
    }
    arguments
}

type Client = CoordinatorClient<InterceptedService<Channel, AddToken>>;

async fn connect(url: &str) -> Client {
    let channel = Endpoint::from_shared(url.to_owned()).unwrap().tcp_nodelay(true).connect().await.unwrap();
    CoordinatorClient::with_interceptor(channel, AddToken::default())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// So many columns, of text but for the first.
fn schema(columns: usize) -> Schema {
    let text = (1..columns).map(|n| Field::new(format!("city {n}"), DataType::String));
    Schema::new(std::iter::once(Field::new("id", DataType::Int64)).chain(text).collect())
}

fn object() -> ObjectRef {
    ObjectRef { id: ObjectId::fresh(), bytes: SHARD_BYTES, checksum: "0123456789abcdef0123456789abcdef".into() }
}

/// What a worker would answer that found nothing to do.
fn outcome(launch: &Launch) -> TaskOutput {
    let sizes = |n: usize| Some(vec![PartitionSize { rows: 1, bytes: 100 }; n]);
    let mut output = TaskOutput::default();
    let mut counters = Counters::default();
    match &launch.kind {
        TaskKind::Clean(task) => {
            let object = object();
            output.shard = Some(ShardEntry { object: object.clone(), stored_rows: ROWS, deletions: None });
            output.wrote.push(object);
            output.schema = Some((*task.schema).clone());
            counters.add(Counter::RowsIn, ROWS);
            counters.add(Counter::CellsChanged("1 trim".into()), 1);
        }
        TaskKind::Hash(task) => {
            output.shuffle = sizes(task.plan.partitions as usize);
            counters.add(Counter::RowsIn, ROWS);
        }
        TaskKind::Duplicates(task) => {
            output.shuffle = sizes(task.hashes.iter().map(|r| (r.to - r.from) as usize).sum());
            counters.add(Counter::Duplicates, 1);
        }
        TaskKind::Drop(task) => {
            let ShardRef::Stored(entry) = &task.inputs[0].shard else { panic!("a shard that was not stored") };
            let object = object();
            let deletions = Some(DeletionVector { object: object.clone(), at: 0, dropped: 1 });
            output.shard = Some(ShardEntry { deletions, ..entry.clone() });
            output.wrote.push(object);
        }
        other => panic!("not one of this job's tasks: {other:?}"),
    }
    output.counters = counters;
    output.forget_expected_schema(&launch.kind);
    output
}

/// A worker that ends every attempt as soon as it hears of it.
async fn work(url: String, slots: u32, objects: Vec<StoredObject>) {
    let mut client = connect(&url).await;
    let (out, messages) = mpsc::unbounded_channel::<FromWorker>();
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        program: "tiny tasks".into(),
        worker: WorkerId::fresh(),
        incarnation: Incarnation::fresh(),
        cluster: None,
        url: "http://127.0.0.1:1".into(),
        machine: "here".into(),
        data_dir: String::new(),
        slots,
        memory: 64 << 30,
        allow_programs: true,
        objects,
        attempts: Vec::new(),
    };
    out.send(FromWorker::Hello(hello)).unwrap();
    let outgoing = UnboundedReceiverStream::new(messages).map(|m| encode(&m).unwrap());
    let mut incoming = client.session(outgoing).await.unwrap().into_inner();
    let mut heartbeat = tokio::time::interval(Duration::from_millis(500));
    let (shelf, mut part) = (Shelf::default(), String::new());
    loop {
        tokio::select! {
            message = incoming.message() => {
                let Ok(Some(message)) = message else { return };
                match shelf.reading(|| decode(&message)).unwrap() {
                    ToWorker::Launch(launch) => {
                        let attempt: AttemptId = launch.attempt;
                        let output = Box::new(outcome(&launch));
                        drop(out.send(FromWorker::Succeeded { attempt, output, seconds: 0.0001, log: None }));
                    }
                    ToWorker::Part { piece, last, .. } => {
                        part.push_str(&piece);
                        if last {
                            shelf.put(Part::new(RawValue::from_string(std::mem::take(&mut part)).unwrap()));
                        }
                    }
                    _ => {}
                }
            }
            _ = heartbeat.tick() => drop(out.send(FromWorker::Heartbeat { running: Vec::new(), sessions: 0 })),
        }
    }
}

/// Submits a job, follows it as any client does, and returns its last status, the seconds it took and the statuses seen.
async fn run(client: &mut Client, spec: JobSpec) -> (JobStatus, f64, u64) {
    let submission = Submission { spec, who: "bench@here".into(), priority: 0, deadline_seconds: None };
    let begun = Instant::now();
    let job: JobId = decode(client.submit(encode(&submission).unwrap()).await.unwrap().get_ref()).unwrap();
    let mut statuses = client.watch(encode(&job).unwrap()).await.unwrap().into_inner();
    let mut seen = 0;
    while let Some(message) = statuses.message().await.unwrap() {
        let status: JobStatus = decode(&message).unwrap();
        seen += 1;
        if status.state.is_final() {
            assert_eq!(status.state, JobState::Done, "{status:?}");
            return (status, begun.elapsed().as_secs_f64(), seen);
        }
        assert!(begun.elapsed() < PATIENCE, "the job takes too long: {status:?}");
    }
    panic!("the coordinator stopped telling about the job");
}

/// How long a request waits for the coordinator's loop, at worst, while a job runs.
async fn longest_wait(url: String, stop: tokio::sync::watch::Receiver<bool>) -> f64 {
    let mut client = connect(&url).await;
    let mut longest: f64 = 0.0;
    while !*stop.borrow() {
        let asked = Instant::now();
        // The cheapest request there is, so that the asking does not disturb what is measured.
        drop(client.upload_targets(Json { json: b"null".to_vec() }).await.unwrap());
        longest = longest.max(asked.elapsed().as_secs_f64());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    longest
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let copy = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &copy);
        } else {
            std::fs::copy(entry.path(), copy).unwrap();
        }
    }
}

/// Jobs that are over as soon as they are accepted, many at a time; then the start of another coordinator over their journal.
async fn history(arguments: &Arguments, coordinator: Running, config: Config) -> serde_json::Value {
    let url = format!("http://{}", coordinator.grpc);
    let client = connect(&url).await;
    let begun = Instant::now();
    let submit = |n: usize| {
        let mut client = client.clone();
        let output = format!("d{}", n % 1000).parse().unwrap();
        let spec = JobSpec::Register(RegisterSpec {
            output,
            schema: schema(arguments.columns),
            shards: Vec::new(),
            replicas: None,
        });
        let submission = Submission { spec, who: "bench@here".into(), priority: 0, deadline_seconds: None };
        async move {
            let request = encode(&submission).unwrap();
            // The worker may not have joined yet.
            while client.submit(Json { json: request.json.clone() }).await.is_err() {
                assert!(begun.elapsed() < PATIENCE, "jobs are refused");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    for from in (0..arguments.tasks).step_by(500) {
        let together: Vec<_> = (from..arguments.tasks.min(from + 500)).map(|n| tokio::spawn(submit(n))).collect();
        for job in together {
            job.await.unwrap();
        }
    }
    let submitted = begun.elapsed().as_secs_f64();
    drop(client);
    // What a coordinator leaves that is killed now.
    let killed = config.data_dir.with_extension("killed");
    copy_folder(&config.data_dir, &killed);
    coordinator.stop().await;
    let begun = Instant::now();
    let after_kill = start(Config { data_dir: killed.clone(), ..config.clone() }).await.unwrap();
    let started_after_kill = begun.elapsed().as_secs_f64();
    after_kill.stop().await;
    std::fs::remove_dir_all(killed).unwrap();
    let begun = Instant::now();
    let coordinator = start(config).await.unwrap();
    let started = begun.elapsed().as_secs_f64();
    let mut client = connect(&format!("http://{}", coordinator.grpc)).await;
    let begun = Instant::now();
    let page = Page { before: None, limit: Some(1000) };
    let page: Paged<JobStatus> = decode(client.list_jobs(encode(&page).unwrap()).await.unwrap().get_ref()).unwrap();
    let listed = begun.elapsed().as_secs_f64();
    assert_eq!(page.items.len(), 1000.min(arguments.tasks));
    coordinator.stop().await;
    json!({
        "shape": "history",
        "jobs": arguments.tasks,
        "submitted_per_second": (arguments.tasks as f64 / submitted).round(),
        "start_seconds": (started * 1000.0).round() / 1000.0,
        "start_after_kill_seconds": (started_after_kill * 1000.0).round() / 1000.0,
        "page_of_1000_seconds": (listed * 1000.0).round() / 1000.0,
    })
}

async fn measure(arguments: &Arguments, dir: &Path) -> serde_json::Value {
    let listen: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let config = Config {
        listen,
        http: None,
        data_dir: dir.to_path_buf(),
        token: None,
        default_replicas: 1,
        options: Options::default(),
        retention: Retention { jobs: Keep::All, records: Keep::All },
        limits: Default::default(),
        capture: None,
    };
    let coordinator = start(config.clone()).await.unwrap();
    let url = format!("http://{}", coordinator.grpc);
    if arguments.shape == "history" {
        tokio::spawn(work(url.clone(), arguments.slots, Vec::new()));
        return history(arguments, coordinator, config).await;
    }
    let shards: Vec<ShardEntry> =
        (0..arguments.tasks).map(|_| ShardEntry { object: object(), stored_rows: ROWS, deletions: None }).collect();
    for n in 0..arguments.workers {
        let own = shards.iter().skip(n as usize).step_by(arguments.workers as usize);
        let objects = own.map(|s| StoredObject { id: s.object.id, bytes: s.object.bytes, age: 0 }).collect();
        tokio::spawn(work(url.clone(), arguments.slots, objects));
    }
    let mut client = connect(&url).await;
    let alive = async {
        loop {
            let nodes = client.nodes(Json { json: b"null".to_vec() }).await.unwrap();
            let nodes: Vec<serde_json::Value> = decode(nodes.get_ref()).unwrap();
            if nodes.iter().filter(|n| n["state"] == "alive").count() == arguments.workers as usize {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, alive).await.unwrap();
    let output = "tiny".parse().unwrap();
    let register = RegisterSpec { output, schema: schema(arguments.columns), shards, replicas: None };
    let (registered, _, _) = run(&mut client, JobSpec::Register(register)).await;
    let input = registered.dataset.unwrap();
    let output = "out".parse().unwrap();
    let spec = match arguments.shape.as_str() {
        "flat" => {
            let rules = RuleSet::parse("[[rule]]\nop = \"trim\"\n", "rules.toml").unwrap();
            JobSpec::Clean(CleanSpec { input, output, rules, replicas: None })
        }
        "shuffle" => JobSpec::Dedup(DedupSpec { input, output, options: DedupOptions::default(), replicas: None }),
        other => panic!("unknown shape {other}"),
    };
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let waits = tokio::spawn(longest_wait(url.clone(), stopped));
    let (status, seconds, statuses) = run(&mut client, spec).await;
    let _ = stop.send(true);
    let tasks: u64 = status.stages.iter().map(|s| s.done).sum();
    let names: BTreeSet<&str> = status.stages.iter().map(|s| s.name.as_str()).collect();
    let longest_wait = waits.await.unwrap();
    let result = json!({
        "shape": arguments.shape,
        "stages": names,
        "tasks": tasks,
        "workers": arguments.workers,
        "slots": arguments.slots,
        "seconds": (seconds * 1000.0).round() / 1000.0,
        "tasks_per_second": (tasks as f64 / seconds).round(),
        "journal_bytes": std::fs::metadata(dir.join("journal.redb")).map_or(0, |m| m.len()),
        "statuses_seen": statuses,
        "longest_wait_seconds": (longest_wait * 1000.0).round() / 1000.0,
    });
    coordinator.stop().await;
    result
}

#[tokio::main]
async fn main() {
    let arguments = arguments();
    let own = tempfile::tempdir().unwrap();
    let dir = arguments.dir.as_ref().map_or_else(|| own.path().to_path_buf(), |d| Path::new(d).to_path_buf());
    println!("{}", measure(&arguments, &dir).await);
}
