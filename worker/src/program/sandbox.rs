//! What a program may touch: the system's own files, its interpreter's and those of its private folder, as far as the kernel
//! offers Landlock; and the limits that the kernel itself keeps.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::descendants;
use super::plan::Plan;
use super::system::{self, Limit};

pub(super) use confinement::Confinement;

/// Reserved, unused address space counts as data for the kernel, and allocators reserve much: only what is far beyond the
/// limit is refused at once, and the rest found by looking.
const DATA_BEYOND_MEMORY: u64 = 8 << 30;

/// Threads that other programs of the same user may start meanwhile. (Root is never refused one.)
const THREADS_BEYOND: u64 = 4096;

/// Lets the command become the program: limits, its own session, confinement. The supervisor has one thread, so what runs
/// between fork and exec may do as it likes.
pub(super) fn arrange(command: &mut Command, confinement: Confinement, plan: &Plan, priority: i32) {
    let supervisor = std::process::id() as libc::pid_t;
    let (limits, memory) = (plan.limits.clone(), plan.memory);
    // The kernel counts all threads of a user, not those of a program: what the supervisor does not see in time ends here.
    let threads = descendants::threads_of_this_user() + u64::from(plan.limits.processes) + THREADS_BEYOND;
    let mut confinement = Some(confinement);
    let become_it = move || -> io::Result<()> {
        system::become_program(supervisor)?;
        system::go_as(priority);
        if let Some(cpu) = limits.cpu {
            system::limit(Limit::Cpu, cpu, cpu + 1);
        }
        system::limit(Limit::FileSize, limits.output, limits.output);
        system::limit(Limit::OpenFiles, u64::from(limits.open_files), u64::from(limits.open_files));
        system::limit(Limit::Core, 0, 0);
        system::limit(Limit::Processes, threads, threads);
        let data = memory.saturating_mul(4).max(memory.saturating_add(DATA_BEYOND_MEMORY));
        system::limit(Limit::Data, data, data);
        // Should the machine run out of memory, the program goes before the worker does.
        let _ = std::fs::write("/proc/self/oom_score_adj", "900");
        confinement.take().map_or(Ok(()), Confinement::enforce)?;
        system::drop_privileges()
    };
    // SAFETY: the supervisor has one thread, so no lock can be held by another that is not there after the fork.
    unsafe {
        command.pre_exec(become_it);
    }
}

#[cfg(target_os = "linux")]
mod confinement {
    use std::io;
    use std::path::{Path, PathBuf};

    use landlock::{
        ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
        RulesetCreated, RulesetCreatedAttr, Scope,
    };

    use super::{Plan, system};

    /// Where programs, their libraries and settings are. `/proc` shows other processes, but nothing that is theirs: the
    /// kernel keeps a confined process from looking into those outside.
    const READABLE: [&str; 16] = [
        "/usr",
        "/bin",
        "/sbin",
        "/lib",
        "/lib32",
        "/lib64",
        "/libx32",
        "/opt",
        "/etc",
        "/nix/store",
        "/proc",
        "/sys/devices/system",
        "/sys/fs/cgroup",
        "/dev/null",
        "/dev/urandom",
        "/dev/random",
    ];
    const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"];
    /// Of `/etc`, secrets that a worker run by root could read.
    const HIDDEN: [&str; 9] = [
        "/etc/shadow",
        "/etc/shadow-",
        "/etc/gshadow",
        "/etc/gshadow-",
        "/etc/sudoers",
        "/etc/sudoers.d",
        "/etc/ssh",
        "/etc/ssl/private",
        "/etc/shardmill",
    ];

    /// Rules that are ready to be put in force.
    pub(crate) struct Confinement {
        rules: RulesetCreated,
        enforced: bool,
    }

    fn failed(e: impl std::fmt::Display) -> io::Error {
        io::Error::other(format!("it cannot be confined: {e}"))
    }

    impl Confinement {
        pub(crate) fn prepare(plan: &Plan) -> io::Result<Self> {
            let all = AccessFs::from_all(ABI::V5);
            let mut rules = Ruleset::default()
                .set_compatibility(CompatLevel::BestEffort)
                .handle_access(all)
                .and_then(|r| r.scope(Scope::from_all(ABI::V6)))
                .and_then(Ruleset::create)
                .map_err(failed)?;
            let enforced = system::landlock_version() > 0;
            let read = AccessFs::from_read(ABI::V5);
            let hidden: Vec<&Path> =
                HIDDEN.iter().map(Path::new).chain(plan.hidden.iter().map(PathBuf::as_path)).collect();
            let roots = READABLE.iter().map(Path::new).chain(plan.roots.iter().map(PathBuf::as_path));
            for path in roots.flat_map(|root| without(root, &hidden)) {
                rules = open(rules, &path, read)?;
            }
            for device in DEVICES {
                rules = open(rules, Path::new(device), AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate)?;
            }
            rules = open(rules, &plan.home, all)?;
            Ok(Self { rules, enforced })
        }

        pub(crate) fn is_enforced(&self) -> bool {
            self.enforced
        }

        pub(crate) fn enforce(self) -> io::Result<()> {
            self.rules.restrict_self().map(drop).map_err(failed)
        }
    }

    /// Adds a rule for a path, if there is one.
    fn open(rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> io::Result<RulesetCreated> {
        let Ok(descriptor) = PathFd::new(path) else { return Ok(rules) };
        let of_files = AccessFs::from_file(ABI::V5);
        let access = if path.is_dir() { access } else { access & of_files };
        rules.add_rule(PathBeneath::new(descriptor, access)).map_err(failed)
    }

    /// A folder, or what is in it but for what is hidden.
    fn without(root: &Path, hidden: &[&Path]) -> Vec<PathBuf> {
        // Rules hold for what a path leads to.
        let Ok(root) = root.canonicalize() else { return Vec::new() };
        if hidden.iter().any(|h| root.starts_with(h)) {
            return Vec::new();
        }
        if !hidden.iter().any(|h| h.starts_with(&root)) {
            return vec![root];
        }
        let entries = std::fs::read_dir(&root).into_iter().flatten().flatten();
        entries
            .filter(|e| !e.file_type().is_ok_and(|t| t.is_symlink()))
            .flat_map(|e| without(&e.path(), hidden))
            .collect()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_is_hidden_is_left_out_of_what_is_open() {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().canonicalize().unwrap();
            for path in ["a/x", "a/secret/y", "b"] {
                std::fs::create_dir_all(root.join(path)).unwrap();
            }
            std::os::unix::fs::symlink(root.join("a/secret"), root.join("a/way")).unwrap();
            let secret = root.join("a/secret");
            let mut open = without(&root, &[secret.as_path()]);
            open.sort();
            assert_eq!(open, [root.join("a/x"), root.join("b")]);
            assert_eq!(without(&root.join("b"), &[secret.as_path()]), [root.join("b")]);
            assert_eq!(without(&secret.join("y"), &[secret.as_path()]), [] as [PathBuf; 0]);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod confinement {
    use std::io;

    use super::Plan;

    /// Nothing like it here.
    pub(crate) struct Confinement;

    impl Confinement {
        pub(crate) fn prepare(_plan: &Plan) -> io::Result<Self> {
            Ok(Self)
        }

        pub(crate) fn is_enforced(&self) -> bool {
            false
        }

        pub(crate) fn enforce(self) -> io::Result<()> {
            Ok(())
        }
    }
}
