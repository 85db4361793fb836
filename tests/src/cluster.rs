//! A cluster of real processes on loopback.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Shardmill, binary};

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// How long a start or a state may take to come about. A bound against hanging, not a measure of speed.
const PATIENCE: Duration = Duration::from_secs(60);

/// One process of a cluster.
pub struct Node {
    child: Child,
}

impl Node {
    fn spawn(dir: &Path, log: &str, args: &[String]) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(dir.join(log)).expect("a log file");
        let mut command = Command::new(binary());
        command
            .args(args)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log);
        for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("SHARDMILL_")) {
            command.env_remove(name);
        }
        Self { child: command.spawn().expect("the process starts") }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process ends");
    }

    /// SIGTERM, and the exit status.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal(libc::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("the process can be asked") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the process did not end on SIGTERM");
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: the process is a child of ours that was not waited for, so its id is its own.
        unsafe {
            libc::kill(self.child.id() as libc::pid_t, signal);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A coordinator and its workers, in a folder.
pub struct Cluster {
    pub dir: PathBuf,
    pub port: u16,
    http: u16,
    pub coordinator: Option<Node>,
    pub workers: Vec<Option<Node>>,
    coordinator_args: Vec<String>,
}

impl Cluster {
    pub fn start(dir: &Path, workers: usize) -> Self {
        Self::start_with(dir, workers, &[])
    }

    pub fn start_with(dir: &Path, workers: usize, coordinator_args: &[&str]) -> Self {
        let mut cluster = Self {
            dir: dir.to_path_buf(),
            port: free_port(),
            http: free_port(),
            coordinator: None,
            workers: (0..workers).map(|_| None).collect(),
            coordinator_args: coordinator_args.iter().map(|s| (*s).to_owned()).collect(),
        };
        cluster.start_coordinator();
        for n in 0..workers {
            cluster.start_worker(n);
        }
        cluster.wait_for_workers(workers);
        cluster
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where requests to endpoints are answered.
    pub fn http_port(&self) -> u16 {
        self.http
    }

    pub fn start_coordinator(&mut self) {
        let mut args: Vec<String> = [
            "coordinator",
            "--listen",
            &format!("127.0.0.1:{}", self.port),
            "--http",
            &format!("127.0.0.1:{}", self.http),
            "--data-dir",
            "coordinator",
        ]
        .map(str::to_owned)
        .to_vec();
        args.extend(self.coordinator_args.iter().cloned());
        self.coordinator = Some(Node::spawn(&self.dir, "coordinator.log", &args));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(Instant::now() < deadline, "the coordinator does not answer: {}", self.log("coordinator.log"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn start_worker(&mut self, n: usize) {
        let args = [
            "worker",
            "--coordinator",
            &self.url(),
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            &format!("worker-{n}"),
            "--slots",
            "2",
            "--allow-programs",
        ]
        .map(str::to_owned);
        while self.workers.len() <= n {
            self.workers.push(None);
        }
        self.workers[n] = Some(Node::spawn(&self.dir, &format!("worker-{n}.log"), &args));
    }

    pub fn kill_worker(&mut self, n: usize) {
        if let Some(mut node) = self.workers[n].take() {
            node.kill();
        }
    }

    pub fn kill_coordinator(&mut self) {
        if let Some(mut node) = self.coordinator.take() {
            node.kill();
        }
    }

    /// Commands against this cluster, run in its folder.
    pub fn shardmill(&self) -> Shardmill {
        Shardmill { dir: self.dir.clone(), cluster: Some(self.url()), extra: Vec::new() }
    }

    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    /// Nodes by state.
    pub fn states(&self) -> Vec<String> {
        let out = self.shardmill().run(&["nodes", "list"]);
        if out.status != 0 {
            return Vec::new();
        }
        let json = out.json();
        let nodes = json["nodes"].as_array().cloned().unwrap_or_default();
        nodes.iter().map(|n| n["state"].as_str().unwrap_or_default().to_owned()).collect()
    }

    pub fn wait_for_workers(&self, count: usize) {
        self.wait("the workers to join", || self.states().iter().filter(|s| *s == "alive").count() >= count);
    }

    /// What `/metrics` says.
    pub fn metrics(&self) -> String {
        use std::io::{Read, Write};
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http)) else { return String::new() };
        let mut text = String::new();
        let asked = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        if asked.is_ok() {
            // What came before an error is all there is to look at.
            let _ = stream.read_to_string(&mut text);
        }
        text
    }

    /// Waits until something is so, within a bound.
    pub fn wait(&self, what: &str, so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so() {
            assert!(Instant::now() < deadline, "waited in vain for {what}: {}", self.log("coordinator.log"));
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}
