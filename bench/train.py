#!/usr/bin/env python3
"""Trains and predicts with Shardmill and its peers on the same data, and prints what they took.

    cargo build --release
    python3 bench/train.py

T: logistic regression, from CSV to a fitted model, as a whole process; the fit alone besides.
P: batch prediction, from the stored rows to stored rows, as a whole process.
README.md tells more. Needs Python 3.11, Linux, and for Spark a Java runtime.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import measure
from run import CACHE, GIB, HERE, PYTHON, ROOT, Failed, ended_well, environment, install, machine, quietly, remove, say, table, warm

PEERS = {"sklearn": ("scikit-learn", ["scikit-learn", "pandas", "pyarrow"]), "spark": ("Spark MLlib", ["pyspark", "numpy"])}
SOLVERS = {"sklearn": ["lbfgs", "newton-cholesky"], "spark": [None]}


def make(folder, rows, features):
    """Rows of normal features whose label follows a logistic model."""
    target = folder / f"train-{rows}-{features}.csv"
    if not target.exists():
        say(f"making {rows} rows of {features} features")
        quietly([PYTHON, HERE / "make_training.py", target, rows, features])
    return target


def environment_of(work, name):
    scratch = work / name / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    return {**os.environ, "BENCH_SCRATCH": str(scratch), "SPARK_LOCAL_DIRS": str(scratch), "TMPDIR": str(scratch)}


class Peer:
    def __init__(self, name, solver):
        self.name, self.solver = name, solver
        self.label = PEERS[name][0] + (f" {solver}" if solver else "")

    def train(self, work, data):
        out = work / f"{self.name}-{self.solver}.json"
        command = [PYTHON, HERE / "peers" / f"train_{self.name}.py", "train", data, out, self.solver or "-"]
        done = ended_well(self, "T", measure.run(command, env=environment_of(work, self.name)))
        return done, json.loads(out.read_text())

    def predict(self, work, data):
        remove(work / f"{self.name}-predicted.parquet")
        command = [
            PYTHON, HERE / "peers" / f"train_{self.name}.py", "predict", data.with_suffix(".parquet"),
            work / f"{self.name}-{self.solver}.json", work / f"{self.name}-predicted.parquet",
        ]  # fmt: skip
        return ended_well(self, "P", measure.run(command, env=environment_of(work, self.name)))


class Shardmill:
    name, label, solver = "shardmill", "Shardmill", None

    def __init__(self, program, workers):
        self.program, self.workers = program, workers

    def measured(self, work, *arguments):
        env = {name: value for name, value in os.environ.items() if not name.startswith("SHARDMILL_")}
        options = ["--data-dir", work / "shardmill", "--workers", self.workers, "--json", "--no-progress"]
        return ended_well(self, arguments[0], measure.run([self.program, *options, *arguments], env=env))

    def train(self, work, data):
        """Two commands, added up: ingest and train."""
        remove(work / "shardmill")
        begun = self.measured(work, "ingest", "rows", data)
        done = self.measured(work, "train", "logistic", "rows", "--model", "m", "--label", "y")
        result = json.loads(done.output.splitlines()[-1])
        model = json.loads(quietly([self.program, "--data-dir", work / "shardmill", "--workers", str(self.workers), "--json", "model", "show", "m"]))
        found = {
            "fit_seconds": result["seconds"], "rounds_seconds": [r["seconds"] for r in result["rounds"]],
            "coefficients": model["coefficients"], "intercept": model["intercept"], "ingest_seconds": begun.seconds,
            "train_peak_bytes": done.peak_bytes,
        }  # fmt: skip
        done.seconds += begun.seconds
        done.cpu_seconds += begun.cpu_seconds
        done.peak_bytes = max(done.peak_bytes, begun.peak_bytes)
        return done, found

    def predict(self, work, data):
        done = self.measured(work, "predict", "m", "rows", "predicted")
        self.measured(work, "dataset", "rm", "predicted")
        return done


def summed_up(runs):
    best = min(runs, key=lambda r: r["seconds"])
    return {**best, "median_seconds": statistics.median(r["seconds"] for r in runs), "all_seconds": [r["seconds"] for r in runs]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="workers of Shardmill [2]")
    parser.add_argument("--systems", default="shardmill,sklearn,spark")
    parser.add_argument("--program", type=Path, default=ROOT / "target" / "release" / "shardmill")
    parser.add_argument("--dir", type=Path, default=CACHE / "bench")
    parser.add_argument("--name", help="of the file in bench/results [train, date and rows]")
    args = parser.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    work = args.dir / "train-work"
    remove(work)
    work.mkdir()
    environment()
    trouble = install([p for n in PEERS if n in args.systems for p in PEERS[n][1]] + ["pyarrow", "numpy"])
    if trouble:
        raise Failed(trouble)
    data = make(args.dir, args.rows, args.features)
    systems = [Shardmill(args.program, args.workers)] if "shardmill" in args.systems else []
    systems += [Peer(name, solver) for name in PEERS if name in args.systems for solver in SOLVERS[name]]
    trained, predicted = {}, {}
    for turn in range(args.repeat):
        for system in systems:
            warm([data])
            done, found = system.train(work, data)
            say(f"T {turn + 1}/{args.repeat} {system.label}: {done.seconds:.2f} s, fit {found['fit_seconds']:.2f} s, {done.peak_bytes / GIB:.2f} GiB")
            trained.setdefault(system.label, []).append({**done.numbers(), **found})
            if system.solver == "lbfgs":
                continue
            warm([data.with_suffix(".parquet")])
            done = system.predict(work, data)
            say(f"P {turn + 1}/{args.repeat} {system.label}: {done.seconds:.2f} s, {done.peak_bytes / GIB:.2f} GiB")
            predicted.setdefault(system.label, []).append(done.numbers())
    results = {
        "machine": machine(), "rows": args.rows, "features": args.features, "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "train": {k: summed_up(v) for k, v in trained.items()}, "predict": {k: summed_up(v) for k, v in predicted.items()},
    }  # fmt: skip
    text = report(results)
    print(text)
    name = args.name or f"train-{datetime.now():%Y-%m-%d}-{args.rows}"
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "results" / f"{name}.md").write_text(text + "\n")
    remove(work)


def report(results):
    parts = []
    wanted = results["train"].get("scikit-learn newton-cholesky")
    for title, key in [("T: logistic regression from CSV", "train"), ("P: batch prediction, stored to stored", "predict")]:
        rows = []
        for label, r in sorted(results[key].items(), key=lambda item: item[1]["seconds"]):
            fit = [f"{r['fit_seconds']:.2f}"] if key == "train" else []
            off = []
            if key == "train":
                off = ["" if not wanted else f"{max(abs(a - b) for a, b in zip(r['coefficients'], wanted['coefficients'])):.1e}"]
            rows.append([label, f"{r['seconds']:.2f}", f"{r['median_seconds']:.2f}", *fit, f"{r['cpu_seconds']:.1f}", f"{r['peak_bytes'] / GIB:.2f}", *off])
        headers = ["system", "best s", "median s", *(["fit s"] if key == "train" else []), "CPU s", "peak GiB", *(["off newton-cholesky"] if key == "train" else [])]
        parts.append(f"{title}, {results['rows']:,} rows x {results['features']} features\n\n{table(headers, rows)}")
    ours, theirs = results["train"].get("Shardmill"), [r for k, r in results["train"].items() if k.startswith("scikit")]
    if ours and theirs:
        fit = ours["fit_seconds"] / min(r["fit_seconds"] for r in theirs)
        whole = ours["seconds"] / min(r["seconds"] for r in theirs)
        goals = [["T: the fit at most a quarter of scikit-learn's best", f"{fit:.2f}", "yes" if fit <= 0.25 else "no"]]
        goals.append(["T: the whole from CSV at most half", f"{whole:.2f}", "yes" if whole <= 0.5 else "no"])
        ours, theirs = results["predict"].get("Shardmill"), results["predict"].get("scikit-learn newton-cholesky")
        if ours and theirs:
            ratio = ours["seconds"] / theirs["seconds"]
            goals.append(["P: at most scikit-learn from Parquet to Parquet", f"{ratio:.2f}", "yes" if ratio <= 1 else "no"])
        parts.append("Goals\n\n" + table(["goal", "found", "met"], goals))
    return "\n\n".join(parts)


if __name__ == "__main__":
    try:
        main()
    except (Failed, subprocess.SubprocessError) as e:
        sys.exit(f"error: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
