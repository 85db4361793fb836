//! The calls into the system that supervisors and backends need, each wrapped so that it can be used without care.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::path::PathBuf;
use std::time::Duration;

/// The signals that tell a supervisor something; they are waited for, never handled.
#[cfg(target_os = "linux")]
const AWAITED: [libc::c_int; 5] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE];

#[cfg(target_os = "linux")]
fn awaited() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set, and sigaddset only changes it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in AWAITED {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

/// This program's binary, even where another one was put in its place meanwhile.
pub(crate) fn this_program() -> io::Result<PathBuf> {
    #[cfg(target_os = "linux")]
    return Ok("/proc/self/exe".into());
    #[cfg(not(target_os = "linux"))]
    return std::env::current_exe();
}

/// What this process is called in lists of processes, where that would be the path that it was started by.
pub(crate) fn be_called_shardmill() {
    // SAFETY: takes a text that stays.
    #[cfg(target_os = "linux")]
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"shardmill".as_ptr());
    }
}

/// Bytes of memory of this process that count against [`Limit::Data`]; 0 where the system does not say.
pub(crate) fn data_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.map_or(0, |n| n << 10)
}

/// Waits until whoever is at the other end of a socket is gone.
pub(crate) fn wait_for_hangup(socket: &impl AsFd) {
    loop {
        // Of this alone one is told without asking for anything.
        let mut poll = libc::pollfd { fd: socket.as_fd().as_raw_fd(), events: 0, revents: 0 };
        // SAFETY: one struct, which lives as long as the call.
        let found = unsafe { libc::poll(&mut poll, 1, -1) };
        if found > 0 {
            return;
        }
    }
}

/// Waits until something can be read from a socket, or its other end is gone, at most so long.
pub(crate) fn readable(socket: &impl AsFd, wait: Duration) -> bool {
    ready(socket.as_fd().as_raw_fd(), false, wait)
}

/// Leaves the terminal's session, lets orphans among descendants fall back to this process, and ends with the parent.
/// False: the parent is gone.
pub(super) fn become_supervisor(parent: u32) -> bool {
    // SAFETY: these calls take plain numbers and a set that lives as long as the call; they change this process alone.
    unsafe {
        libc::setsid();
        #[cfg(target_os = "linux")]
        {
            libc::sigprocmask(libc::SIG_BLOCK, &awaited(), std::ptr::null_mut());
            libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as libc::c_ulong);
            // Not SIGKILL: this process must live long enough to take its descendants along.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as libc::c_ulong);
        }
        libc::getppid() as u32 == parent
    }
}

/// What a program must not inherit: blocked signals; and it ends with the supervisor. Called between fork and exec.
pub(super) fn become_program(supervisor: libc::pid_t) -> io::Result<()> {
    // SAFETY: as above, in a process of one thread.
    unsafe {
        libc::setsid();
        #[cfg(target_os = "linux")]
        {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong);
            let mut none = MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
        }
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        if libc::getppid() != supervisor {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
    }
    Ok(())
}

/// Gives up whatever root may do beyond owning files, for good: among it, looking into other processes past Landlock.
pub(super) fn drop_privileges() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        const VERSION_3: u32 = 0x2008_0522;
        #[repr(C)]
        struct Header {
            version: u32,
            pid: i32,
        }
        #[repr(C)]
        struct Capabilities {
            effective: u32,
            permitted: u32,
            inheritable: u32,
        }
        const NONE: Capabilities = Capabilities { effective: 0, permitted: 0, inheritable: 0 };
        let (header, none) = (Header { version: VERSION_3, pid: 0 }, [NONE, NONE]);
        let (on, off): (libc::c_ulong, libc::c_ulong) = (1, 0);
        // SAFETY: the structs are the kernel's, of version 3, and live as long as the calls.
        unsafe {
            // Without it, a program of root's would get everything back.
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, on, off, off, off) != 0
                || libc::syscall(libc::SYS_capset, &header, none.as_ptr()) != 0
            {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// Waits for a signal, at most so long; whether it is one to stop.
#[cfg(target_os = "linux")]
pub(super) fn told_to_stop_within(wait: Duration) -> bool {
    let timeout = libc::timespec {
        tv_sec: wait.as_secs() as libc::time_t,
        tv_nsec: libc::c_long::from(wait.subsec_nanos() as i32),
    };
    // SAFETY: both live as long as the call; the third argument may be null.
    let signal = unsafe { libc::sigtimedwait(&awaited(), std::ptr::null_mut(), &timeout) };
    signal == libc::SIGTERM || signal == libc::SIGHUP
}

#[cfg(not(target_os = "linux"))]
pub(super) fn told_to_stop_within(wait: Duration) -> bool {
    std::thread::sleep(wait.min(Duration::from_millis(10)));
    false
}

/// How a child ended, if it has. It is not waited for: as long as it is not, no other process has its number.
pub(super) fn status_of(child: i32) -> Option<Ended> {
    let mut found = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: waitid fills the struct where it returns 0; zeroes are a valid one, of no child.
    unsafe {
        if libc::waitid(libc::P_PID, child as libc::id_t, found.as_mut_ptr(), options) != 0 {
            return None;
        }
        let found = found.assume_init();
        (found.si_pid() == child).then(|| match found.si_code {
            libc::CLD_EXITED => Ended::Exited(found.si_status()),
            _ => Ended::Signalled(found.si_status()),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Exited(i32),
    Signalled(i32),
}

/// Waits for a child that has ended; nothing happens where it has not.
pub(super) fn reap(child: i32) {
    // SAFETY: the status may be null.
    unsafe {
        libc::waitpid(child, std::ptr::null_mut(), libc::WNOHANG);
    }
}

/// Kills the process group of a child that leads one and was not waited for.
pub(super) fn kill_group(leader: i32) {
    if leader > 1 {
        // SAFETY: takes plain numbers. The number is that group's: the leader still has it.
        unsafe {
            libc::kill(-leader, libc::SIGKILL);
        }
    }
}

/// Kills a process that passes a test made while nobody else can come to have its number.
#[cfg(target_os = "linux")]
pub(super) fn kill_if(pid: i32, is_it: impl FnOnce() -> bool) {
    if pid <= 1 {
        return;
    }
    // SAFETY: takes plain numbers; the descriptor is closed below, by its only owner. A process that is gone is an error
    // that nobody needs to know of.
    unsafe {
        let it = libc::syscall(libc::SYS_pidfd_open, pid, 0) as libc::c_int;
        if it >= 0 {
            let it = std::os::fd::OwnedFd::from_raw_fd(it);
            if is_it() {
                let (signal, flags) = (libc::SIGKILL, 0);
                libc::syscall(libc::SYS_pidfd_send_signal, it.as_raw_fd(), signal, std::ptr::null::<u8>(), flags);
            }
        } else if io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) && is_it() {
            libc::kill(pid, libc::SIGKILL);
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn kill_if(pid: i32, is_it: impl FnOnce() -> bool) {
    if pid > 1 && is_it() {
        // SAFETY: takes plain numbers.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
        }
    }
}

/// Lets this process run before those that it watches, where it may; what it starts is as it would have been.
pub(super) fn go_first() -> i32 {
    // SAFETY: takes plain numbers. Where raising is not allowed, nothing changes.
    unsafe {
        let before = libc::getpriority(libc::PRIO_PROCESS, 0);
        libc::setpriority(libc::PRIO_PROCESS, 0, (before - 10).max(-20));
        before
    }
}

pub(super) fn go_as(priority: i32) {
    // SAFETY: as above.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, priority);
    }
}

/// Asks a process to stop.
pub(super) fn ask_to_stop(pid: u32) {
    // SAFETY: as above.
    unsafe {
        libc::kill(pid as libc::pid_t, libc::SIGTERM);
    }
}

/// Which file an open descriptor is.
pub(super) fn inode_of(descriptor: i32) -> Option<u64> {
    let mut found = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat fills the struct where it returns 0.
    unsafe { (libc::fstat(descriptor, found.as_mut_ptr()) == 0).then(|| found.assume_init().st_ino) }
}

/// Standard output and standard error lead nowhere from now on.
pub(super) fn let_go_of_output() {
    // SAFETY: opens a file and renames its descriptor; nothing in this process relies on what was there.
    unsafe {
        let nowhere = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if nowhere >= 0 {
            libc::dup2(nowhere, 1);
            libc::dup2(nowhere, 2);
            libc::close(nowhere);
        }
    }
}

/// Bytes that lie in a pipe.
pub(super) fn unread(descriptor: i32) -> u64 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    let done = unsafe { libc::ioctl(descriptor, libc::FIONREAD, &mut bytes) };
    if done == 0 { u64::try_from(bytes).unwrap_or(0) } else { 0 }
}

/// Processor time of children that were waited for.
pub(super) fn processor_seconds() -> f64 {
    let mut used = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: getrusage fills the struct where it returns 0.
    let used = unsafe {
        if libc::getrusage(libc::RUSAGE_CHILDREN, used.as_mut_ptr()) != 0 {
            return 0.0;
        }
        used.assume_init()
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(used.ru_utime) + seconds(used.ru_stime)
}

pub(super) fn ticks_per_second() -> f64 {
    // SAFETY: takes a plain number.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if ticks > 0 { ticks as f64 } else { 100.0 }
}

/// Sets a limit, soft and hard, where the system lets it.
pub(crate) fn limit(what: Limit, soft: u64, hard: u64) {
    let limit = libc::rlimit { rlim_cur: soft as libc::rlim_t, rlim_max: hard as libc::rlim_t };
    // SAFETY: the struct lives as long as the call. A limit that cannot be raised stays, and is lower than asked for.
    unsafe {
        match what {
            Limit::Cpu => libc::setrlimit(libc::RLIMIT_CPU, &limit),
            Limit::FileSize => libc::setrlimit(libc::RLIMIT_FSIZE, &limit),
            Limit::OpenFiles => libc::setrlimit(libc::RLIMIT_NOFILE, &limit),
            Limit::Core => libc::setrlimit(libc::RLIMIT_CORE, &limit),
            Limit::Processes => libc::setrlimit(libc::RLIMIT_NPROC, &limit),
            Limit::Data => libc::setrlimit(libc::RLIMIT_DATA, &limit),
        };
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Limit {
    Cpu,
    FileSize,
    OpenFiles,
    Core,
    Processes,
    Data,
}

/// The version of Landlock that the kernel offers; nothing above zero: none.
#[cfg(target_os = "linux")]
pub(super) fn landlock_version() -> i64 {
    const VERSION: libc::c_ulong = 1;
    // SAFETY: with this flag, the call takes no struct and makes nothing.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) as i64 }
}

/// Makes a pipe of this process's return at once rather than wait, and hold more than pipes do by themselves.
pub(super) fn prepare_pipe(descriptor: i32) -> io::Result<()> {
    // SAFETY: fcntl on a descriptor that the caller owns.
    unsafe {
        let flags = libc::fcntl(descriptor, libc::F_GETFL);
        if flags < 0 || libc::fcntl(descriptor, libc::F_SETFL, flags | libc::O_NONBLOCK) < 0 {
            return Err(io::Error::last_os_error());
        }
        #[cfg(target_os = "linux")]
        libc::fcntl(descriptor, libc::F_SETPIPE_SZ, 256 << 10);
    }
    Ok(())
}

/// Waits until a pipe can be read (or written), at most so long; false where it cannot yet.
pub(super) fn ready(descriptor: i32, writing: bool, wait: Duration) -> bool {
    let events = if writing { libc::POLLOUT } else { libc::POLLIN };
    let mut poll = libc::pollfd { fd: descriptor, events, revents: 0 };
    // SAFETY: one struct, which lives as long as the call.
    let found = unsafe { libc::poll(&mut poll, 1, wait.as_millis() as libc::c_int) };
    found > 0
}
