//! The processes of a program, as `/proc` shows them: how many, what they use, and the end of them all.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::system;

/// A folder of more entries than these is not walked to its end.
const WALKED: usize = 20_000;
/// Processes that cannot be killed for this long (they hang in the kernel) are left to themselves.
const KILLING: Duration = Duration::from_secs(10);

/// What a tree of processes uses now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    pub processes: u32,
    /// Bytes that are theirs alone: memory of their own, and what they share among themselves once.
    pub memory: u64,
    /// Of those that still run.
    pub processor_seconds: f64,
}

/// One process, which its number and the time of its start name for good: numbers alone are used again.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Member {
    pid: i32,
    parent: i32,
    started: u64,
    state: u8,
    /// Processor time, with that of children it waited for.
    seconds: f64,
}

impl Member {
    fn look(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, which is in parentheses, may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let ticks: u64 = fields.get(11..15)?.iter().filter_map(|f| f.parse::<u64>().ok()).sum();
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
            state: fields.first()?.bytes().next()?,
            seconds: ticks as f64 / system::ticks_per_second(),
        })
    }

    fn is_same(&self) -> bool {
        Self::look(self.pid).is_some_and(|now| now.started == self.started)
    }

    fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// The descendants of this process, to which orphans among them fall back.
pub(super) struct Tree {
    root: Member,
    /// The child that is not waited for before the end, so that its number stays its own.
    program: i32,
}

impl Tree {
    pub(super) fn new(program: i32) -> Option<Self> {
        Some(Self { root: Member::look(std::process::id() as i32)?, program })
    }

    /// All of them, those that ended but were not waited for included; no more once there are more than `enough`.
    fn members(&self, enough: usize) -> Vec<Member> {
        let mut members = Vec::new();
        let mut open = vec![self.root];
        while let Some(parent) = open.pop() {
            let found: Vec<Member> = children(parent.pid)
                .into_iter()
                .filter_map(Member::look)
                .filter(|child| child.parent == parent.pid)
                .collect();
            // Children of a process that took the number of another are nobody's here.
            if !parent.is_same() {
                continue;
            }
            open.extend(&found);
            members.extend(found);
            if members.len() > enough {
                break;
            }
        }
        members
    }

    /// What they use. Beyond the limit on processes nothing but their number is told: that has to be quick.
    pub(super) fn used(&self, memory_limit: u64, processes: u32) -> Used {
        let enough = processes as usize * 2 + 16;
        let alive: Vec<Member> = self.members(enough).into_iter().filter(|m| !m.has_ended()).collect();
        let mut used = Used { processes: alive.len() as u32, ..Default::default() };
        if used.processes > processes {
            return used;
        }
        used.processor_seconds = alive.iter().map(|m| m.seconds).sum();
        used.memory = alive.iter().map(|m| memory(m.pid).unwrap_or(0)).sum();
        // Memory that a fork shares with its parent was counted twice; finding out is dear, so it is done only when it matters.
        if used.memory > memory_limit && alive.len() > 1 {
            used.memory = alive.iter().map(|m| share(m.pid).or_else(|| memory(m.pid)).unwrap_or(0)).sum();
        }
        used
    }

    /// The name of a process that has this pipe open.
    pub(super) fn holder_of(&self, pipe: u64) -> Option<String> {
        let link = format!("pipe:[{pipe}]");
        let holds = |member: &Member| {
            let Ok(files) = fs::read_dir(format!("/proc/{}/fd", member.pid)) else { return false };
            files.flatten().any(|f| fs::read_link(f.path()).is_ok_and(|l| l.as_os_str() == link.as_str()))
        };
        let member = self.members(usize::MAX).into_iter().find(holds)?;
        let name = fs::read_to_string(format!("/proc/{}/comm", member.pid)).unwrap_or_default();
        Some(name.trim().to_owned())
    }

    /// Waits for orphans that ended.
    pub(super) fn reap(&self) {
        for child in children(self.root.pid).into_iter().filter(|pid| *pid != self.program) {
            system::reap(child);
        }
    }

    /// Kills until none is left; how many there were. New ones may be born meanwhile, so it goes round.
    pub(super) fn kill_all(&self) -> u32 {
        let begun = Instant::now();
        let mut killed = HashSet::new();
        // At one stroke, in the middle of which none of them can fork: most never leave the program's own group.
        let alive = self.members(WALKED).into_iter().filter(|m| !m.has_ended()).map(|m| m.pid);
        killed.extend(alive);
        system::kill_group(self.program);
        loop {
            self.reap();
            let members = self.members(usize::MAX);
            let alive: Vec<&Member> = members.iter().filter(|m| !m.has_ended()).collect();
            for member in &alive {
                killed.insert(member.pid);
                system::kill_if(member.pid, || member.is_same());
            }
            let others = members.iter().any(|m| m.pid != self.program);
            if (alive.is_empty() && !others) || begun.elapsed() > KILLING {
                system::reap(self.program);
                return killed.len() as u32;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn children(pid: i32) -> Vec<i32> {
    let mut all = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return all };
    let mut listed = false;
    for thread in threads.flatten() {
        if let Ok(text) = fs::read_to_string(thread.path().join("children")) {
            listed = true;
            all.extend(text.split_ascii_whitespace().filter_map(|n| n.parse::<i32>().ok()));
        }
    }
    // A kernel that does not list children still tells parents.
    if !listed {
        all = everyone().filter(|other| Member::look(*other).is_some_and(|m| m.parent == pid)).collect();
    }
    all
}

fn everyone() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok())
}

/// The threads of all processes of the user who runs this one.
pub(super) fn threads_of_this_user() -> u64 {
    let me = std::os::unix::fs::MetadataExt::uid;
    let Ok(mine) = fs::metadata("/proc/self").map(|m| me(&m)) else { return 0 };
    let threads = |pid: i32| {
        let folder = format!("/proc/{pid}/task");
        fs::metadata(&folder).is_ok_and(|m| me(&m) == mine).then(|| fs::read_dir(folder).into_iter().flatten().count())
    };
    everyone().filter_map(threads).sum::<usize>() as u64
}

/// Bytes of memory that no file backs, swapped out or not.
fn memory(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |line: &str| line.split_ascii_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let counted = ["RssAnon:", "RssShmem:", "VmSwap:"];
    Some(text.lines().filter(|l| counted.iter().any(|c| l.starts_with(c))).map(kib).sum::<u64>() * 1024)
}

/// As [`memory`], what several share divided among them.
fn share(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib = |line: &str| line.split_ascii_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let counted = ["Pss_Anon:", "Pss_Shmem:", "SwapPss:"];
    let mut found = text.lines().filter(|l| counted.iter().any(|c| l.starts_with(c))).map(kib).peekable();
    found.peek()?;
    Some(found.sum::<u64>() * 1024)
}

/// Kills every process whose environment holds `mark`: what a supervisor that was killed itself left behind.
pub(super) fn kill_marked(mark: &str) {
    let mark = mark.as_bytes();
    let marked = |pid: i32| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|e| e.split(|b| *b == 0).any(|variable| variable == mark))
    };
    for _ in 0..50 {
        let found: Vec<i32> = everyone().filter(|pid| marked(*pid)).collect();
        if found.is_empty() {
            return;
        }
        for pid in found {
            system::kill_if(pid, || marked(pid));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Bytes on disk of the files below a folder, links not followed.
pub(super) fn bytes_under(folder: &Path) -> u64 {
    let (mut bytes, mut walked, mut open) = (0_u64, 0_usize, vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            walked += 1;
            if walked > WALKED {
                return bytes;
            }
            let Ok(found) = fs::symlink_metadata(entry.path()) else { continue };
            if found.is_dir() {
                open.push(entry.path());
            } else {
                bytes = bytes.saturating_add(std::os::unix::fs::MetadataExt::blocks(&found) * 512);
            }
        }
    }
    bytes
}
