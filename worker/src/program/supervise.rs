//! The supervisor: a process of one thread between the worker and a program. It starts the program, keeps it within its
//! limits, and leaves none of its descendants behind, whichever way it ends and whoever ends first.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::descendants::{self, Tree};
use super::plan::{End, Exceeded, Plan, Report};
use super::system::Ended;
use super::{sandbox, system};

/// Between two looks at what the program uses; less once it nears its memory limit.
const LOOK: Duration = Duration::from_millis(20);
const CLOSE_LOOK: Duration = Duration::from_millis(5);
/// Its folder is measured less often: that is a walk.
const LOOK_AT_FOLDER: Duration = Duration::from_secs(1);
/// Processes that still hold the standard output when the program ends may finish what they write.
const GRACE: Duration = Duration::from_secs(2);

/// What `shardmill __run-program PLAN` does. Never returns.
pub fn supervise_main(mut args: impl Iterator<Item = std::ffi::OsString>) -> ! {
    system::be_called_shardmill();
    let status = match args.next().map(PathBuf::from) {
        Some(plan) => match run(&plan) {
            Ok(()) => 0,
            Err(e) => {
                // Standard error is the program's, and its reader the worker: it ends in the attempt's log.
                eprintln!("the supervisor failed: {e}");
                70
            }
        },
        None => 64,
    };
    std::process::exit(status)
}

fn run(path: &Path) -> io::Result<()> {
    let plan: Plan = serde_json::from_slice(&fs::read(path)?)?;
    if !system::become_supervisor(plan.parent) {
        // The worker is gone already.
        return Ok(());
    }
    let report = Supervisor::start(&plan)?;
    fs::write(&plan.report, serde_json::to_vec(&report)?)
}

struct Supervisor<'a> {
    plan: &'a Plan,
    tree: Tree,
    program: i32,
    /// The pipe that is the program's standard output.
    output: Option<u64>,
    begun: Instant,
    folder_seen: Instant,
}

impl<'a> Supervisor<'a> {
    fn start(plan: &'a Plan) -> io::Result<Report> {
        let output = system::inode_of(1);
        // Where thousands of processes want the processor, this one must still have its turn to end them.
        let priority = system::go_first();
        let confinement = sandbox::Confinement::prepare(plan);
        let confined = confinement.as_ref().is_ok_and(sandbox::Confinement::is_enforced);
        let refused = |e: &io::Error| {
            let end = End::NotStarted { message: e.to_string(), errno: e.raw_os_error().unwrap_or(0) };
            Report { end, unread: 0, left: 0, still_writing: None, confined }
        };
        let confinement = match confinement {
            Ok(confinement) => confinement,
            Err(e) => return Ok(refused(&e)),
        };
        let mut command = Command::new(&plan.program);
        if let Some((name, arguments)) = plan.words.split_first() {
            command.arg0(name).args(arguments);
        }
        command.current_dir(&plan.home).env_clear().envs(plan.environment.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        sandbox::arrange(&mut command, confinement, plan, priority);
        let begun = Instant::now();
        let child = match command.spawn() {
            Ok(child) => child,
            Err(e) => return Ok(refused(&e)),
        };
        let program = child.id() as i32;
        let tree = Tree::new(program).ok_or_else(|| io::Error::other("/proc is not there"));
        let tree = match tree {
            Ok(tree) => tree,
            Err(e) => {
                system::kill_group(program);
                return Ok(refused(&e));
            }
        };
        // The pipes are the program's alone now, but for the reading end of its input: what lies in it unread is counted
        // at the end, and whoever writes to it learns of the end when this process is gone.
        system::let_go_of_output();
        let mut me = Self { plan, tree, program, output, begun, folder_seen: begun };
        Ok(me.watch(confined))
    }

    fn watch(&mut self, confined: bool) -> Report {
        let mut wait = LOOK;
        let end = loop {
            if system::told_to_stop_within(wait) {
                break End::Stopped;
            }
            if let Some(end) = self.ended() {
                break end;
            }
            match self.look() {
                Ok(next) => wait = next,
                Err(exceeded) => break End::Exceeded(exceeded),
            }
        };
        let still_writing = if end == End::Exited(0) { self.grace() } else { None };
        let left = self.tree.kill_all();
        // The program itself may be among those just killed: only what it left behind is told.
        let left = if matches!(end, End::Exited(_) | End::Signalled(_)) { left } else { 0 };
        Report { end, unread: system::unread(0), left, still_writing, confined }
    }

    /// How the program ended, once it has.
    fn ended(&self) -> Option<End> {
        self.tree.reap();
        Some(match system::status_of(self.program)? {
            Ended::Exited(status) => End::Exited(status),
            Ended::Signalled(libc::SIGXCPU) => End::Exceeded(Exceeded::Cpu),
            Ended::Signalled(libc::SIGXFSZ) => End::Exceeded(Exceeded::Files),
            Ended::Signalled(signal) => End::Signalled(signal),
        })
    }

    /// Whether everything is within bounds, and how soon to look again.
    fn look(&mut self) -> Result<Duration, Exceeded> {
        let limits = &self.plan.limits;
        if limits.timeout.is_some_and(|t| self.begun.elapsed() >= Duration::from_secs(t)) {
            return Err(Exceeded::Timeout);
        }
        let used = self.tree.used(self.plan.memory, limits.processes);
        if used.processes > limits.processes {
            return Err(Exceeded::Processes(used.processes));
        }
        if used.memory > self.plan.memory {
            return Err(Exceeded::Memory(used.memory));
        }
        if limits.cpu.is_some_and(|cpu| used.processor_seconds + system::processor_seconds() >= cpu as f64) {
            return Err(Exceeded::Cpu);
        }
        if self.folder_seen.elapsed() >= LOOK_AT_FOLDER {
            self.folder_seen = Instant::now();
            if descendants::bytes_under(&self.plan.home) > limits.output {
                return Err(Exceeded::Files);
            }
        }
        let close = used.memory > self.plan.memory / 2 || used.processes > limits.processes / 2;
        let left = limits.timeout.map(|t| Duration::from_secs(t).saturating_sub(self.begun.elapsed()));
        Ok(if close { CLOSE_LOOK } else { LOOK }.min(left.unwrap_or(LOOK)).max(Duration::from_millis(1)))
    }

    /// Waits a little for what still holds the standard output; the name of one that does not let go.
    fn grace(&mut self) -> Option<String> {
        let ended = Instant::now();
        loop {
            self.tree.reap();
            let holder = self.output.and_then(|pipe| self.tree.holder_of(pipe));
            if holder.is_none() || ended.elapsed() >= GRACE || system::told_to_stop_within(Duration::from_millis(5)) {
                return holder;
            }
            if self.look().is_err() {
                return holder;
            }
        }
    }
}
