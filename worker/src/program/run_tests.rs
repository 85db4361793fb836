//! Programs that behave and programs that do not: limits, failures, what they may see, and that nothing of them is left.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::mapreduce::step::Format;

use super::Role;
use super::testing::{Bench, numbers, program, shell, texts};

fn tsv(script: &str) -> shardmill_common::kinds::mapreduce::step::Program {
    shell(Format::Tsv, script)
}

/// Whether a process is there and not merely waiting to be waited for.
fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|s| s.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z')))
}

#[test]
fn rows_stream_both_ways_at_once() {
    let bench = Bench::new();
    // Far more than all pipes and queues hold, back as it comes.
    let frames: Vec<_> = (0..40).map(|_| numbers(50_000)).collect();
    let (out, _) = bench.frames(&program(Format::Tsv, "cat"), &frames).unwrap();
    assert_eq!(out.iter().map(|f| f.height()).sum::<usize>(), 2_000_000);
    // Written only once all was read.
    let rows = bench.rows(&tsv("sort -n -r | head -n 3; cat >/dev/null"), &frames).unwrap();
    assert_eq!(rows[1..], ["49999|~", "49999|~", "49999|~"]);
    // Standard error does not stand in the way.
    let (out, _) = bench.frames(&tsv("tee /dev/stderr"), &frames).unwrap();
    assert_eq!(out.iter().map(|f| f.height()).sum::<usize>(), 2_000_000);
    assert!(bench.context.progress.take_log().unwrap().contains("bytes left out"));
}

#[test]
fn programs_count_and_tell() {
    let bench = Bench::new();
    let script = "cat; echo reporter:counter:g,n,3 >&2; echo reporter:status:half >&2; echo a note >&2; echo reporter:counter:g,n,4 >&2";
    let (_, counters) = bench.frames(&tsv(script), &[numbers(1)]).unwrap();
    assert_eq!(counters.get(&Counter::Own { group: "g".into(), name: "n".into() }), 7);
    assert_eq!(bench.context.progress.status().as_deref(), Some("half"));
    assert_eq!(bench.context.progress.take_log().as_deref(), Some("a note\n"));
    let error = bench.error(&tsv("cat >/dev/null; echo why >&2; exit 3"), &[numbers(1)]);
    let expected = "the map of t: `sh -c 'cat >/dev/null; echo why >&2; exit 3'` ended with exit status 3; standard error ends with:\nwhy";
    assert_eq!(error, expected);
    assert_eq!(bench.context.progress.take_log().as_deref(), Some("why\n"));
}

#[test]
fn the_environment_is_the_programs_own() {
    let mut bench = Bench::new();
    bench.role = Role::Reduce;
    bench.ship("data.txt", "shipped\n", false);
    bench.ship(
        "run",
        "#!/bin/sh\ncat >/dev/null\ncat data.txt\nenv\npwd\nls -l | tr -s ' ' | cut -d ' ' -f 1,9\n",
        true,
    );
    let rows = bench.rows(&program(Format::Tsv, "./run"), &[numbers(1)]).unwrap();
    let has = |wanted: &str| assert!(rows.iter().any(|r| r == &format!("{wanted}|~")), "{wanted}: {rows:?}");
    for wanted in ["shipped", "LANG=C.UTF-8", "SHARDMILL_JOB=j1", "SHARDMILL_STAGE=4", "SHARDMILL_TASK=2"] {
        has(wanted);
    }
    for wanted in ["SHARDMILL_ATTEMPT=1", "SHARDMILL_ROLE=reduce", "OMP_NUM_THREADS=1", "-rwxr-xr-x run"] {
        has(wanted);
    }
    let home = rows.iter().find_map(|r| r.strip_prefix("HOME=")?.strip_suffix("|~")).unwrap();
    has(home);
    assert!(!Path::new(home).exists(), "the folder goes with the run");
    let known = ["PATH", "HOME", "TMPDIR", "LANG", "TZ", "PWD", "OLDPWD", "SHLVL", "_", "PYTHONHASHSEED"];
    for name in rows.iter().filter_map(|r| Some(r.split_once('=')?.0)) {
        assert!(known.contains(&name) || name.contains("THREADS") || name.starts_with("SHARDMILL_"), "{name}");
    }
    // What it changes, it changes for itself.
    bench.work.files.pop();
    let rows = bench.rows(&tsv("cat >/dev/null; cat data.txt; echo changed > data.txt"), &[numbers(1)]).unwrap();
    let again = bench.rows(&tsv("cat >/dev/null; cat data.txt"), &[numbers(1)]).unwrap();
    assert_eq!(rows, again);
}

#[test]
fn every_end_has_a_name() {
    let bench = Bench::new();
    let error = |script: &str| bench.error(&tsv(script), &[numbers(3)]);
    assert!(error("kill -SEGV $$").contains("was killed by the signal SIGSEGV"));
    assert!(error("no-such-command").contains("exit status 127 (a command was not found)"));
    // Whether there is little or much to read.
    let unread = "before it had read all of its input";
    assert!(error("exit 0").contains(unread));
    assert!(bench.error(&tsv("head -n 1"), &[numbers(2_000_000)]).contains(unread));
    assert!(bench.error(&tsv("exec 0<&-; echo done"), &[numbers(2_000_000)]).contains(unread));
    let failed = bench.frames(&program(Format::Tsv, "no-such-program"), &[numbers(1)]).unwrap_err();
    assert!(matches!(failed, Failure::BadInput { .. }), "{failed}");
    let mut noise = Bench::new();
    noise.ship("noise", "\u{7f}ELF\u{1}nothing of the kind", true);
    let error = noise.error(&program(Format::Tsv, "./noise"), &[numbers(1)]);
    assert!(error.contains("./noise"), "{error}");
}

#[test]
fn a_failing_input_or_output_ends_the_program() {
    let bench = Bench::new();
    let cat = program(Format::Tsv, "cat");
    let run = || super::Run {
        context: &bench.context,
        program: &cat,
        work: &bench.work,
        keys: &[],
        role: bench.role,
        what: "x".into(),
    };
    let mut rows = [Ok(numbers(5)), Err(Failure::internal("torn"))].into_iter();
    let failed = run().over(&mut rows, &mut |_| Ok(())).unwrap_err();
    assert_eq!(failed, Failure::internal("torn"));
    let mut rows = (0..).map(|_| Ok(numbers(50_000)));
    let failed = run().over(&mut rows, &mut |_| Err(Failure::internal("full"))).unwrap_err();
    assert_eq!(failed, Failure::internal("full"));
    let begun = Instant::now();
    let mut rows = (0..).map(|_| {
        if begun.elapsed() > Duration::from_millis(300) {
            bench.context.cancelled.store(true, Ordering::Relaxed);
        }
        Ok(numbers(50_000))
    });
    assert_eq!(run().over(&mut rows, &mut |_| Ok(())).unwrap_err(), Failure::Killed);
    // Nor does one that does nothing hold up an order to stop.
    bench.context.cancelled.store(false, Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            bench.context.cancelled.store(true, Ordering::Relaxed);
        });
        let failed = bench.frames(&tsv("sleep 60"), &[numbers(1)]).unwrap_err();
        assert_eq!(failed, Failure::Killed);
    });
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(std::fs::read_dir(bench.worker.folder.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn limits_hold() {
    let mut bench = Bench::new();
    let begun = Instant::now();
    bench.work.limits.timeout = Some(1);
    let error = bench.error(&tsv("sleep 60"), &[numbers(1)]);
    assert!(error.contains("took longer than 1 s; raise --task-timeout"), "{error}");
    bench.work.limits.timeout = None;
    bench.work.limits.cpu = Some(1);
    for script in ["while :; do :; done", "sh -c 'while :; do :; done' & sh -c 'while :; do :; done'; wait"] {
        let error = bench.error(&tsv(script), &[numbers(1)]);
        assert!(error.contains("used more than 1 s of processor time; raise --program-cpu"), "{error}");
    }
    bench.work.limits.cpu = None;
    bench.work.limits.memory = Some(64 << 20);
    let error = bench.error(&tsv("cat >/dev/null; x=y; while :; do x=$x$x; done"), &[numbers(1)]);
    assert!(error.contains("of memory, more than the 64") && error.contains("raise --program-memory"), "{error}");
    bench.work.limits.memory = None;
    bench.work.limits.output = 1 << 20;
    let error = bench.error(&tsv("yes"), &[numbers(1)]);
    assert!(error.contains("to standard output; raise --max-output"), "{error}");
    let error = bench.error(&tsv("cat >/dev/null; exec cat /dev/zero > file"), &[numbers(1)]);
    assert!(error.contains("to files; raise --max-output"), "{error}");
    let many = "cat >/dev/null; n=0; while :; do n=$((n+1)); head -c 500000 /dev/zero > f$n; done";
    let error = bench.error(&tsv(many), &[numbers(1)]);
    assert!(error.contains("to files; raise --max-output"), "{error}");
    bench.work.limits.output = 1 << 30;
    bench.work.limits.processes = 10;
    let error = bench.error(&tsv("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 60 & done; wait"), &[numbers(1)]);
    assert!(error.contains("processes at once, more than the 10 it may; raise --max-processes"), "{error}");
    bench.work.limits.open_files = 20;
    let rows = bench.rows(&tsv("cat >/dev/null; ulimit -n"), &[numbers(1)]).unwrap();
    assert_eq!(rows[1..], ["20|~"]);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn a_fork_bomb_ends() {
    let mut bench = Bench::new();
    bench.work.limits.processes = 40;
    let mark = "77123.5";
    // Doubles nine times at most: the machine is not the test's alone, should the limit fail.
    let double = format!("[ $1 -gt 0 ] || exit; sleep {mark} & bomb $(($1-1)) & bomb $(($1-1)) & wait");
    let script = format!("bomb() {{ {double}; }}; bomb 9");
    let error = bench.error(&tsv(&script), &[numbers(1)]);
    assert!(error.contains("raise --max-processes"), "{error}");
    assert_eq!(with_argument(mark), [] as [String; 0]);
    // Nor does leaving the group help.
    let script = format!("[ $1 -gt 0 ] || exit; sleep {mark} & for i in 1 2; do setsid ./bomb $(($1-1)) & done; wait");
    bench.ship("bomb", &format!("#!/bin/sh\n{script}\n"), true);
    let error = bench.error(&program(Format::Tsv, "./bomb 8"), &[numbers(1)]);
    assert!(error.contains("raise --max-processes"), "{error}");
    assert_eq!(with_argument(mark), [] as [String; 0]);
}

/// Processes whose arguments are such.
fn processes(wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str().filter(|n| n.parse::<u32>().is_ok()).map(str::to_owned));
    pids.filter(|pid| {
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let arguments = arguments.split(|b| *b == 0).map(|a| String::from_utf8_lossy(a).into_owned());
        wanted(&arguments.collect::<Vec<_>>())
    })
    .collect()
}

fn with_argument(mark: &str) -> Vec<String> {
    processes(|arguments| arguments.iter().any(|a| a == mark))
}

#[test]
fn nothing_is_left_behind() {
    let bench = Bench::new();
    // A child in a session of its own, without any of the pipes: it is ended, and the run is good.
    let quiet = "cat >/dev/null; setsid sleep 77 >/dev/null 2>&1 </dev/null & echo $!; cat >/dev/null";
    let rows = bench.rows(&tsv(quiet), &[numbers(1)]).unwrap();
    let pid = rows[1].strip_suffix("|~").unwrap();
    assert!(!is_alive(pid));
    // One that might still write: what it would have written is missing, so the run is not good.
    let error = bench.error(&tsv("cat >/dev/null; sleep 77 & echo $!"), &[numbers(1)]);
    assert!(error.contains("(`sleep`) still had its standard output"), "{error}");
    // One that is merely slow is waited for.
    let rows = bench.rows(&tsv("cat >/dev/null; (sleep 0.3; echo late) & echo early"), &[numbers(1)]).unwrap();
    assert_eq!(rows[1..], ["early|~", "late|~"]);
}

#[test]
fn what_outlives_its_supervisor_is_ended_too() {
    let bench = Bench::new();
    let mark = "77456.5";
    let script = format!("setsid sleep {mark} >/dev/null 2>&1 </dev/null & sleep {mark}");
    let folder = bench.worker.folder.path().to_str().unwrap().to_owned();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while with_argument(mark).len() < 2 {
                std::thread::sleep(Duration::from_millis(10));
            }
            let supervisors = processes(|arguments| arguments.iter().any(|a| a.starts_with(&folder)));
            assert_eq!(supervisors.len(), 1);
            super::system::kill_if(supervisors[0].parse().unwrap(), || true);
        });
        bench.error(&tsv(&script), &[numbers(1)])
    });
    assert!(error.contains("ended without a word (signal: 9"), "{error}");
    assert_eq!(with_argument(mark), [] as [String; 0]);
    // The program itself cannot reach it, where the kernel confines signals.
    if super::system::landlock_version() >= 6 {
        let script = "kill -KILL $PPID 2>/dev/null; echo $?; cat >/dev/null";
        assert_eq!(bench.rows(&tsv(script), &[numbers(1)]).unwrap()[1..], ["1|~"]);
    }
}

#[test]
fn programs_see_no_more_than_they_need() {
    if super::system::landlock_version() < 1 {
        return;
    }
    let bench = Bench::new();
    let data = bench.worker.folder.path();
    std::fs::write(data.join("id"), "the worker's").unwrap();
    let parent = std::process::id();
    let script = format!(
        "cat >/dev/null; for f in {0}/id {0} /root /etc/shadow /proc/{parent}/environ /tmp; do \
         if ls $f/ >/dev/null 2>&1 || cat $f >/dev/null 2>&1; then echo open $f; fi; done; \
         for f in {0}/x /tmp/x-{parent} /usr/x /dev/shm/x; do (echo x > $f) 2>/dev/null && echo wrote $f; done; \
         echo x > mine && mkdir -p a/b && mv mine a/b/ && cat a/b/mine; cat /etc/passwd > $TMPDIR/p && echo fine",
        data.display()
    );
    assert_eq!(bench.rows(&tsv(&script), &[numbers(1)]).unwrap()[1..], ["x|~", "fine|~"]);
    assert!(!data.join("x").exists());
}

#[test]
fn words_are_counted() {
    let bench = Bench::new();
    let text = texts(&[("line", &[Some("a b a"), Some("c"), None, Some("a b")])]);
    let count = "tr ' ' '\\n' | grep . | sort | uniq -c | sed 's/ *\\([0-9]*\\) \\(.*\\)/\\2\\t\\1/'";
    assert_eq!(bench.rows(&tsv(count), &[text]).unwrap(), ["key:string value:string", "a|3", "b|2", "c|1"]);
}
