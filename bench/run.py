#!/usr/bin/env python3
"""Runs Shardmill and its peers on the same data, as whole processes, and prints what they took.

    cargo build --release
    python3 bench/run.py

README.md tells what is measured. Needs Python 3.11, Linux, and for Spark a Java runtime. The peers are installed by pip into a
virtual environment of their own.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = Path(os.environ.get("SHARDMILL_CACHE") or Path.home() / ".cache" / "shardmill")
VENV = CACHE / "bench-venv"
PYTHON = VENV / "bin" / "python"
PEERS = {
    "polars": ("Polars", ["polars"]),
    "duckdb": ("DuckDB", ["duckdb"]),
    "pandas": ("pandas", ["pandas", "pyarrow"]),
    "dask": ("Dask", ["dask[dataframe]", "distributed", "pyarrow"]),
    "spark": ("Spark", ["pyspark"]),
}
TOOLS = ["numpy", "duckdb", "matplotlib"]  # for the data, the check and the picture
OURS = "shardmill"
TIMES_LARGER = 4
STARTS = 20
GIB = 2**30


class Failed(Exception):
    """Ends the run with a message."""


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def quietly(command, **options):
    """A command that is not measured: its output, or the end of the run."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(str(c) for c in command[:4])} ... failed:\n{done.stderr[-2000:]}")
    return done.stdout


# What runs


class Peer:
    def __init__(self, name):
        self.name = name
        self.label, self.packages = PEERS[name]
        self.version = None

    def prepare(self, work):
        """Installs it and runs it once on next to nothing; a text says why it cannot take part."""
        trouble = install(self.packages)
        if trouble:
            return trouble
        if self.name == "spark" and not shutil.which("java") and not os.environ.get("JAVA_HOME"):
            return "there is no Java"
        package = self.packages[0].partition("[")[0]
        self.version = quietly([PYTHON, "-c", f"import importlib.metadata as m; print(m.version('{package}'))"]).strip()
        tiny = work / "tiny.csv"
        tiny.write_text("order_id,customer,city,status,amount,ordered_at,quantity\n1,a,b,c,1.00,2024-01-01 00:00:00,1\n")
        tried = self.measured(["ingest", self.stored(work, "tiny"), tiny], work)
        return None if tried.status == 0 else f"it does not run here: {last_line(tried.errors)}"

    def stored(self, work, what):
        return work / self.name / f"{what}.parquet"

    def measured(self, arguments, work):
        scratch = work / self.name / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "BENCH_SCRATCH": str(scratch), "SPARK_LOCAL_DIRS": str(scratch), "TMPDIR": str(scratch)}
        remove(arguments[1] if arguments[0] == "ingest" else arguments[3])
        done = measure.run([PYTHON, HERE / "peers" / f"with_{self.name}.py", *arguments], env=env, cwd=scratch)
        shutil.rmtree(scratch)
        return done

    def ingest(self, work, what, files):
        return self.measured(["ingest", self.stored(work, what), *files], work)

    def merge(self, work):
        return self.measured(["merge", self.stored(work, "old"), self.stored(work, "new"), self.stored(work, "merged")], work)

    def result(self, work, what):
        return self.stored(work, what)


class Shardmill:
    name, label = OURS, "Shardmill"

    def __init__(self, program, workers):
        self.program, self.workers, self.version = program, workers, None

    def prepare(self, work):
        if not self.program.exists():
            return f"there is no program at {self.program}: cargo build --release, or --program"
        self.version = quietly([self.program, "version"]).split()[-1]
        return None

    def data_dir(self, work):
        return work / self.name / "data"

    def command(self, work, *arguments):
        options = ["--data-dir", self.data_dir(work), "--workers", self.workers, "--json", "--no-progress"]
        return [self.program, *options, *arguments]

    def measured(self, work, *arguments):
        env = {name: value for name, value in os.environ.items() if not name.startswith("SHARDMILL_")}
        return measure.run(self.command(work, *arguments), env=env)

    def ingest(self, work, what, files):
        # The first of the two begins anew; the second one joins it, to be compared.
        if what == "old":
            remove(self.data_dir(work))
        return self.measured(work, "ingest", what, *files, "--clean", HERE / "rules.toml", "--dedup")

    def merge(self, work):
        # Versions add up; each run leaves one.
        before = json.loads(quietly(self.command(work, "dataset", "list")))["datasets"]
        if any(d["dataset"].startswith("merged@") for d in before):
            quietly(self.command(work, "dataset", "rm", "merged"))
        return self.measured(work, "compare", "old", "new", "merged")

    def result(self, work, what):
        out = work / self.name / f"{what}.parquet"
        quietly(self.command(work, "dataset", "export", what, "--to", out, "--force"))
        return out


def remove(path):
    path = Path(path)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def last_line(text):
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


# Setting up


def environment():
    if not PYTHON.exists():
        say(f"making a virtual environment at {VENV}")
        quietly([sys.executable, "-m", "venv", VENV])
    trouble = install(TOOLS)
    if trouble:
        raise Failed(f"numpy, duckdb and matplotlib are needed to make the data, check the results and draw them: {trouble}")


def install(packages):
    names = [p.partition("[")[0] for p in packages]
    check = "import importlib.metadata as m, sys; [m.version(n) for n in sys.argv[1:]]"
    if subprocess.run([PYTHON, "-c", check, *names], capture_output=True).returncode == 0:
        return None
    say(f"installing {', '.join(packages)}")
    done = subprocess.run([PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "-q", *packages], capture_output=True, text=True)
    return None if done.returncode == 0 else f"pip could not install it: {last_line(done.stderr)}"


def data(base, rows, seed):
    """Makes the data of a seed unless it is there; gives the files and what is expected of them."""
    folder = base / f"data-{rows}-{seed}"
    if not (folder / "expected.json").exists():
        say(f"making the data of seed {seed}")
        first = 1_000_000 if seed == 1 else seed * 10_000_000
        quietly([PYTHON, HERE / "make_data.py", folder, "--rows", rows, "--seed", seed, "--first-id", first])
    expected = json.loads((folder / "expected.json").read_text())
    return {what: sorted((folder / what).glob("*.csv")) for what in ("old", "new")}, expected


def warm(files):
    """Brings files into the page cache: every system finds them there."""
    for file in files:
        with open(file, "rb") as f:
            while f.read(1 << 22):
                pass


# Checking


class Checks:
    """The first result of a task is compared with how the data was made, every other one with the first."""

    def __init__(self, expected):
        self.expected, self.agreed = expected, {}

    def check(self, system, task, path):
        found = json.loads(quietly([PYTHON, HERE / "check.py", path]))
        rows = {group: values["rows"] for group, values in found["groups"].items()}
        wanted = self.expected["merge"] if task == "merged" else {"all": self.expected[task]["rows"]}
        if rows != wanted:
            raise Failed(f"{system.label}, {task}: {rows} rows, expected {wanted}")
        first, groups = self.agreed.setdefault(task, (system, found["groups"]))
        if groups != found["groups"]:
            raise Failed(f"{task}: {system.label} and {first.label} differ:\n  {found['groups']}\n  {groups}")


def ended_well(system, what, done):
    if done.status != 0:
        raise Failed(f"{system.label}, {what}: exit status {done.status}\n{done.errors[-3000:]}")
    return done


# Running


def tasks_a_and_b(systems, tasks, work, files, expected, repeat):
    runs = {task: {s.name: [] for s in systems} for task in "AB" if task in tasks}
    checks = Checks(expected)
    for task, what in [("A", "old"), ("B", "merged")]:
        if task == "B" and "B" not in tasks:
            break
        if task == "B":
            for system in systems:
                say(f"{system.label}: the second dataset")
                ended_well(system, "new", system.ingest(work, "new", files["new"]))
                checks.check(system, "new", system.result(work, "new"))
        for turn in range(repeat if task in tasks else 1):
            for system in systems:
                done = system.ingest(work, "old", files["old"]) if task == "A" else system.merge(work)
                ended_well(system, task, done)
                if turn == 0:
                    checks.check(system, what, system.result(work, what))
                if task in tasks:
                    say(f"{task} {turn + 1}/{repeat} {system.label}: {done.seconds:.2f} s, {done.peak_bytes / GIB:.2f} GiB")
                    runs[task][system.name].append(done.numbers())
    return {task: {name: summed_up(all_runs) for name, all_runs in by.items()} for task, by in runs.items()}


def summed_up(runs):
    seconds = [r["seconds"] for r in runs]
    best = min(runs, key=lambda r: r["seconds"])
    return {
        "best_seconds": min(seconds),
        "median_seconds": statistics.median(seconds),
        "cpu_seconds": best["cpu_seconds"],
        "peak_bytes": max(r["peak_bytes"] for r in runs),
        "peak_private_bytes": max(r["peak_private_bytes"] for r in runs),
        "runs": runs,
    }


def task_c(shardmill, work):
    """An empty command in a fresh folder, against a command that starts no cluster."""
    found = {}
    for name, arguments in [("dataset list", ["dataset", "list"]), ("version", ["version"])]:
        runs = []
        for turn in range(STARTS):
            # A folder of its own for each: file systems take longer where another one has just been removed.
            place = work / "starts" / f"{arguments[0]}-{turn}"
            place.mkdir(parents=True)
            runs.append(ended_well(shardmill, name, shardmill.measured(place, *arguments)).numbers())
        found[name] = summed_up(runs)
        say(f"C {name}: {found[name]['best_seconds'] * 1000:.0f} ms")
    remove(work / "starts")
    return found


def task_d(shardmill, work, base, rows):
    """Both tasks on one and on four times the data."""
    made = [data(base, rows, seed) for seed in range(1, TIMES_LARGER + 1)]
    found = {}
    for times in (1, TIMES_LARGER):
        part = made[:times]
        files = {what: [f for fs, _ in part for f in fs[what]] for what in ("old", "new")}
        total = {what: {"rows": sum(e[what]["rows"] for _, e in part)} for what in ("old", "new")}
        total["merge"] = {side: sum(e["merge"][side] for _, e in part) for side in part[0][1]["merge"]}
        checks = Checks(total)
        warm(files["old"] + files["new"])
        for what in ("old", "new", "merged"):
            done = shardmill.merge(work) if what == "merged" else shardmill.ingest(work, what, files[what])
            ended_well(shardmill, what, done)
            checks.check(shardmill, what, shardmill.result(work, what))
            if what != "new":
                name = f"{'A' if what == 'old' else 'B'} x {times}"
                found[name] = summed_up([done.numbers()])
                say(f"D {name}: {done.seconds:.2f} s, {done.peak_bytes / GIB:.2f} GiB")
    return found


# Telling


def table(headers, rows):
    lines = [f"| {' | '.join(headers)} |", "|" + "|".join("---" if n == 0 else "--:" for n in range(len(headers))) + "|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def report(results):
    parts, found, names = [], results["tasks"], results["systems"]
    titles = {
        "A": "A: read, clean, drop exact duplicates, store",
        "B": "B: outer merge with indicator on all seven columns, stored",
    }
    for task in ("A", "B"):
        if not found.get(task):
            continue
        base = found[task].get("polars")
        rows = []
        for name, r in sorted(found[task].items(), key=lambda item: item[1]["best_seconds"]):
            ratio = [f"{r[key] / base[key]:.2f}" if base else "" for key in ("best_seconds", "median_seconds")]
            rows.append([
                f"{names[name]['label']} {names[name]['version']}", f"{r['best_seconds']:.2f}", ratio[0], f"{r['median_seconds']:.2f}", ratio[1],
                f"{r['cpu_seconds']:.1f}", f"{r['peak_bytes'] / GIB:.2f}", f"{r['peak_private_bytes'] / GIB:.2f}",
            ])
        headers = ["system", "best s", "to Polars", "median s", "to Polars", "CPU s", "peak GiB", "of it private"]
        parts.append(f"{titles[task]}\n\n{table(headers, rows)}")
    if found.get("C"):
        rows = [
            [f"`shardmill {name}`", f"{r['best_seconds'] * 1000:.0f}", f"{r['median_seconds'] * 1000:.0f}", f"{r['peak_bytes'] / 2**20:.0f}"]
            for name, r in found["C"].items()
        ]
        parts.append("C: startup\n\n" + table(["command", "best ms", "median ms", "peak MiB"], rows))
    if found.get("D"):
        rows = [[name, f"{r['best_seconds']:.2f}", f"{r['peak_bytes'] / GIB:.2f}", f"{r['peak_private_bytes'] / GIB:.2f}"] for name, r in found["D"].items()]
        parts.append("D: Shardmill on larger data\n\n" + table(["task, times the data", "s", "peak GiB", "of it private"], rows))
    goals = goals_of(found)
    if goals:
        parts.append("Goals\n\n" + table(["goal", "found", "met"], goals))
    return "\n\n".join(parts)


def goals_of(found):
    rows = []

    def goal(text, value, met):
        rows.append([text, value, "yes" if met else "no"])

    for task in ("A", "B"):
        all_systems = found.get(task) or {}
        ours = all_systems.get(OURS)
        if not ours:
            continue
        if "polars" in all_systems:
            ratio = ours["best_seconds"] / all_systems["polars"]["best_seconds"]
            goal(f"{task}: at most 1.3 times Polars", f"{ratio:.2f}", ratio <= 1.3)
        for slow in ("pandas", "dask", "spark"):
            if slow in all_systems:
                ratio = ours["best_seconds"] / all_systems[slow]["best_seconds"]
                goal(f"{task}: under a third of {PEERS[slow][0]}", f"{ratio:.2f}", ratio < 1 / 3)
        goal(f"{task}: peak memory under 3 GiB", f"{ours['peak_bytes'] / GIB:.2f} GiB", ours["peak_bytes"] < 3 * GIB)
    if found.get("C"):
        cost = found["C"]["dataset list"]["median_seconds"] * 1000
        goal("C: the embedded cluster starts in under 100 ms", f"{cost:.0f} ms", cost < 100)
    for task in ("A", "B") if found.get("D") else ():
        one, four = found["D"][f"{task} x 1"]["peak_bytes"], found["D"][f"{task} x {TIMES_LARGER}"]["peak_bytes"]
        goal(f"D: {task} under 3 GiB on {TIMES_LARGER} times the data", f"{four / GIB:.2f} GiB", four < 3 * GIB)
        goal(f"D: {task} flat (at most 1.25 times the memory)", f"{four / one:.2f}", four <= 1.25 * one)
    return rows


def machine():
    processor = next((l.partition(":")[2].strip() for l in Path("/proc/cpuinfo").read_text().splitlines() if l.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cores": len(os.sched_getaffinity(0)), "processor": processor, "memory_bytes": memory, "system": f"{platform.system()} {platform.release()}"}


def a_list(allowed):
    def parse(text):
        chosen = [part.strip() for part in text.split(",") if part.strip()]
        unknown = [part for part in chosen if part not in allowed]
        if unknown or not chosen:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'} is not among {', '.join(allowed)}")
        return chosen

    return parse


def arguments():
    systems, tasks = [OURS, *PEERS], ["A", "B", "C", "D"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", type=a_list(systems), default=systems, metavar="A,B", help=f"some of {','.join(systems)}")
    parser.add_argument("--tasks", type=a_list(tasks), default=tasks, metavar="A,B", help="some of A,B,C,D")
    parser.add_argument("--rows", type=int, default=5_250_000, help="rows of each export [5250000]")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each system and task, in turns [3]")
    parser.add_argument("--workers", type=int, default=2, help="workers of Shardmill [2]")
    parser.add_argument("--program", type=Path, default=ROOT / "target" / "release" / "shardmill", help="the shardmill to run")
    parser.add_argument("--dir", type=Path, default=CACHE / "bench", help="where data and results of the tasks go")
    parser.add_argument("--keep", action="store_true", help="keep data and results of the tasks for the next time")
    parser.add_argument("--name", help="of the files in bench/results [date and rows]")
    return parser.parse_args()


def main():
    args = arguments()
    args.dir.mkdir(parents=True, exist_ok=True)
    work = args.dir / "work"
    remove(work)
    work.mkdir()
    try:
        environment()
        results = measured(args, work)
    finally:
        if not args.keep:
            remove(work)
            for folder in args.dir.glob(f"data-{args.rows}-*"):
                remove(folder)
    text = report(results)
    print(text)
    name = args.name or f"{datetime.now(timezone.utc):%Y-%m-%d}-{args.rows}"
    out = HERE / "results"
    out.mkdir(exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (out / f"{name}.md").write_text(text + "\n")
    if results["tasks"].get("A") or results["tasks"].get("B"):
        quietly([PYTHON, HERE / "draw.py", out / f"{name}.json", out / f"{name}.png"])
    say(f"written: {out.relative_to(ROOT)}/{name}.*")
    for system, why in results["skipped"].items():
        say(f"left out: {system}: {why}")


def measured(args, work):
    systems, skipped = [], {}
    for name in args.systems:
        system = Shardmill(args.program, args.workers) if name == OURS else Peer(name)
        (work / name).mkdir(exist_ok=True)
        why = system.prepare(work)
        if why:
            skipped[name] = why
            say(f"left out: {name}: {why}")
        else:
            systems.append(system)
            say(f"{system.label} {system.version}")
    ours = next((s for s in systems if s.name == OURS), None)
    results = {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(), "rows": args.rows, "repeat": args.repeat, "workers": args.workers,
        "systems": {s.name: {"label": s.label, "version": s.version} for s in systems}, "skipped": skipped, "tasks": {},
    }
    if not systems:
        raise Failed("no system can run")
    files, expected = data(args.dir, args.rows, 1)
    results["bytes"] = expected["old"]["bytes"]
    warm(files["old"] + files["new"])
    if "A" in args.tasks or "B" in args.tasks:
        results["tasks"].update(tasks_a_and_b(systems, args.tasks, work, files, expected, args.repeat))
    if ours and "C" in args.tasks:
        results["tasks"]["C"] = task_c(ours, work)
    if ours and "D" in args.tasks:
        results["tasks"]["D"] = task_d(ours, work, args.dir, args.rows)
    return results


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        raise SystemExit(f"the run failed: {failure}") from None
