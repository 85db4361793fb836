#!/usr/bin/env python3
"""Groups, counts words and sorts with Shardmill and its peers on the same data, and prints what they took.

    cargo build --release
    python3 bench/mapreduce.py

G: group stored rows by a column, with count, mean and distinct; few groups and many.
W: word count of a text file, in SQL and in Python programs over lines and over Arrow.
S: a text file of 100-byte records into order.
README.md tells more. Needs Python 3.11, Linux, GNU sort, and for Spark a Java runtime.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import measure
from run import CACHE, GIB, HERE, PYTHON, ROOT, Failed, a_list, ended_well, environment, install, machine, quietly, remove, say, table, warm

PEERS = {
    "polars": ("Polars", ["polars"], ["group", "groups"]),
    "duckdb": ("DuckDB", ["duckdb"], ["group", "groups"]),
    "pandas": ("pandas", ["pandas", "pyarrow"], ["group", "groups"]),
    "dask": ("Dask", ["dask[dataframe]", "distributed", "pyarrow"], ["group", "groups", "words"]),
    "python": ("plain Python", [], ["words"]),
    "gnu": ("GNU sort", [], ["sort"]),
    "spark": ("Spark", ["pyspark"], ["group", "groups", "words", "sort"]),
}
COLUMNS = {"group": ("city", "customer"), "groups": ("customer", "city")}
PROGRAMS = HERE / "programs"
WORDS_SQL = {
    "map": "SELECT word, COUNT(*) AS n FROM (SELECT UNNEST(STRING_TO_ARRAY(line, ' ')) AS word FROM input) AS words GROUP BY word",
    "reduce": "SELECT word, SUM(n) AS n FROM input GROUP BY word",
}


class Peer:
    def __init__(self, name):
        self.name = name
        self.label, self.packages, self.tasks = PEERS[name]

    def run(self, work, task, source):
        scratch = work / self.name
        scratch.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "BENCH_SCRATCH": str(scratch), "SPARK_LOCAL_DIRS": str(scratch), "TMPDIR": str(scratch)}
        out = work / f"{self.name}-{task}.out"
        remove(out)
        done = measure.run([PYTHON, HERE / "peers" / f"mapreduce_{self.name}.py", task, source, out], env=env, cwd=scratch)
        return ended_well(self, task, done), out, {}


class Shardmill:
    """A way of doing the tasks with Shardmill. Several commands are added up."""

    def __init__(self, program, workers, way=None):
        self.program, self.workers, self.way = program, workers, way
        self.label = "Shardmill" + (f", {way}" if way else "")
        self.name = "shardmill"
        self.tasks = ["words"] if way else ["group", "groups", "sort"]

    def command(self, work, *arguments):
        options = ["--data-dir", work / "shardmill", "--workers", self.workers, "--json", "--no-progress"]
        return [str(c) for c in [self.program, *options, *arguments]]

    def measured(self, work, *arguments):
        env = {name: value for name, value in os.environ.items() if not name.startswith("SHARDMILL_")}
        return ended_well(self, arguments[0], measure.run(self.command(work, *arguments), env=env))

    def run(self, work, task, source):
        out = work / f"shardmill-{task}.out"
        remove(out)
        if task in COLUMNS:
            by, other = COLUMNS[task]
            if not (work / "shardmill").exists():
                quietly(self.command(work, "ingest", "rows", source))
            aggregates = f"n=count(), mean=mean(amount), others=distinct({other})"
            steps = [("aggregate", "rows", task, "--by", by, "--agg", aggregates)]
            after = [("dataset", "export", task, "--to", f"{out}.parquet", "--force"), ("dataset", "rm", task)]
        elif task == "words":
            remove(work / "shardmill")
            steps = [("ingest", "text", source, "--format", "lines"), ("mapreduce", "counts", "--input", "text", "--key", "word", *self.words())]
            after = [("dataset", "export", "counts", "--to", f"{out}.parquet", "--force")]
        else:
            remove(work / "shardmill")
            steps = [("ingest", "records", source, "--format", "lines"), ("sort", "records", "sorted", "--by", "line")]
            steps.append(("dataset", "export", "sorted", "--to", out, "--format", "lines", "--force"))
            after = []
        runs = {step[0]: self.measured(work, *step) for step in steps}
        for step in after:
            quietly(self.command(work, *step))
        first, *others = runs.values()
        for done in others:
            first.seconds += done.seconds
            first.cpu_seconds += done.cpu_seconds
            first.peak_bytes = max(first.peak_bytes, done.peak_bytes)
        parts = {} if len(runs) == 1 else {name: json.loads(done.output.splitlines()[-1])["seconds"] for name, done in runs.items()}
        return first, out if out.exists() else Path(f"{out}.parquet"), parts

    def words(self):
        if self.way == "SQL":
            return ["--map", WORDS_SQL["map"], "--reduce", WORDS_SQL["reduce"]]
        kind = self.way.removeprefix("Python over ")
        mapper, reducer = {"lines": ("words_lines.py", "words_sum.py"), "Arrow": ("words_arrow.py", "words_arrow_sum.py")}[kind]
        options = ["--map-program", f"{PYTHON} {mapper}", "--reduce-program", f"{PYTHON} {reducer}"]
        options += ["--file", PROGRAMS / mapper, "--file", PROGRAMS / reducer]
        if kind == "lines":
            return [*options, "--map-columns", "word,n=int64", "--columns", "word,n=int64"]
        return [*options, "--format", "arrow"]


def digest(task, path):
    """What must be the same for all systems."""
    if task == "sort":
        parts = sorted(path.glob("part-*")) if path.is_dir() else [path]
        return quietly(["bash", "-c", 'cat -- "$@" | sha256sum', "-", *parts]).split()[0]
    return quietly([PYTHON, HERE / "check_mapreduce.py", task, path]).strip()


def summed_up(runs):
    best = min(runs, key=lambda r: r["seconds"])
    return {**best, "median_seconds": statistics.median(r["seconds"] for r in runs), "all_seconds": [r["seconds"] for r in runs]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    letters = {"G": ["group", "groups"], "W": ["words"], "S": ["sort"]}
    parser.add_argument("--tasks", type=a_list(list(letters)), default=list(letters), metavar="G,W,S", help="some of the tasks above")
    parser.add_argument("--systems", type=a_list(["shardmill", *PEERS]), default=["shardmill", *PEERS], metavar="A,B")
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows to group [5000000]")
    parser.add_argument("--bytes", type=int, default=1_000_000_000, help="of each text file [1000000000]")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="workers of Shardmill [2]")
    parser.add_argument("--program", type=Path, default=ROOT / "target" / "release" / "shardmill")
    parser.add_argument("--dir", type=Path, default=CACHE / "bench")
    parser.add_argument("--name", help="of the file in bench/results [mapreduce and the date]")
    args = parser.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    work = args.dir / "mapreduce-work"
    environment()
    trouble = install(["numpy", "pyarrow", *(p for n in PEERS if n in args.systems for p in PEERS[n][1])])
    if trouble:
        raise Failed(trouble)
    ours = [Shardmill(args.program, args.workers, way) for way in (None, "SQL", "Python over lines", "Python over Arrow")]
    systems = (ours if "shardmill" in args.systems else []) + [Peer(name) for name in PEERS if name in args.systems]
    found = {}
    for letter in args.tasks:
        for task in letters[letter]:
            remove(work)
            work.mkdir()
            source = data(args, task)
            agreed = None
            for turn in range(args.repeat):
                for system in (s for s in systems if task in s.tasks):
                    warm([source])
                    done, out, parts = system.run(work, task, source)
                    if turn == 0:
                        sum_of_it = digest(task, out)
                        agreed = agreed or (system, sum_of_it)
                        if agreed[1] != sum_of_it:
                            raise Failed(f"{task}: {system.label} and {agreed[0].label} differ: {sum_of_it} and {agreed[1]}")
                    more = "".join(f", {name} {seconds:.2f}" for name, seconds in parts.items())
                    say(f"{task} {turn + 1}/{args.repeat} {system.label}: {done.seconds:.2f} s, {done.peak_bytes / GIB:.2f} GiB{more}")
                    found.setdefault(task, {}).setdefault(system.label, []).append({**done.numbers(), "parts": parts})
    remove(work)
    results = {
        "machine": machine(), "rows": args.rows, "bytes": args.bytes, "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "tasks": {task: {k: summed_up(v) for k, v in by.items()} for task, by in found.items()},
    }  # fmt: skip
    text = report(results)
    print(text)
    name = args.name or f"mapreduce-{datetime.now(timezone.utc):%Y-%m-%d}"
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "results" / f"{name}.md").write_text(text + "\n")


def data(args, task):
    kind, size = {"words": ("words", args.bytes), "sort": ("records", args.bytes)}.get(task, ("group", args.rows))
    target = args.dir / f"{kind}-{size}.{'parquet' if kind == 'group' else 'txt'}"
    if not target.exists():
        say(f"making {target.name}")
        quietly([PYTHON, HERE / "make_mapreduce.py", kind, target, size])
    return target


def report(results):
    titles = {
        "group": f"G: {results['rows']:,} rows by city (1,000 groups): count, mean, distinct; stored to stored",
        "groups": f"G: {results['rows']:,} rows by customer ({results['rows'] // 10:,} groups): count, mean, distinct; stored to stored",
        "words": f"W: word count of {results['bytes'] / 1e9:g} GB of text, from the file to stored counts",
        "sort": f"S: {results['bytes'] / 1e9:g} GB of 100-byte records, from file to file",
    }
    parts = []
    for task, by in results["tasks"].items():
        rows = []
        for label, r in sorted(by.items(), key=lambda item: item[1]["seconds"]):
            steps = ", ".join(f"{name} {seconds:.2f}" for name, seconds in r["parts"].items())
            rows.append([label, f"{r['seconds']:.2f}", f"{r['median_seconds']:.2f}", f"{r['cpu_seconds']:.1f}", f"{r['peak_bytes'] / GIB:.2f}", steps])
        parts.append(f"{titles[task]}\n\n{table(['system', 'best s', 'median s', 'CPU s', 'peak GiB', 'of it'], rows)}")
    goals = list(goals_of(results))
    if goals:
        parts.append("Goals\n\n" + table(["goal", "found", "met"], goals))
    return "\n\n".join(parts)


def goals_of(results):
    def seconds(task, label):
        found = results["tasks"].get(task, {}).get(label)
        return found and found["seconds"]

    def ratio(text, task, ours, theirs, most):
        a, b = seconds(task, ours), seconds(task, theirs)
        if a and b:
            yield [text, f"{a / b:.2f}", "yes" if a / b <= most else "no"]

    yield from ratio("G: few groups, at most 1.5 times Polars", "group", "Shardmill", "Polars", 1.5)
    yield from ratio("G: many groups, at most 1.5 times Polars", "groups", "Shardmill", "Polars", 1.5)
    for way in ("SQL", "Python over lines", "Python over Arrow"):
        for peer in ("Spark", "Dask", "plain Python"):
            yield from ratio(f"W: {way}, ahead of {peer}", "words", f"Shardmill, {way}", peer, 1)
    for peer in ("Spark", "GNU sort"):
        yield from ratio(f"S: ahead of {peer}", "sort", "Shardmill", peer, 1)
    ours = results["tasks"].get("sort", {}).get("Shardmill")
    if ours:
        cores = min(2, results["machine"]["cores"])
        for what, spent in [("the sort alone", ours["parts"]["sort"]), ("from file to file", ours["seconds"])]:
            rate = results["bytes"] / 1e6 / spent / cores
            yield [f"S: {what}, at least 29 MB a second and core", f"{rate:.0f}", "yes" if rate >= 29 else "no"]


if __name__ == "__main__":
    try:
        main()
    except (Failed, subprocess.SubprocessError) as e:
        sys.exit(f"error: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
