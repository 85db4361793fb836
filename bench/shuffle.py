#!/usr/bin/env python3
"""What it costs that a dataset has many small shards, where workers reach each other over the network only.

    cargo build --release
    python3 bench/shuffle.py

The same rows are ingested in few shards and in many (`--shard-size`); then deduplication, grouping by a key of a million values,
sorting and comparison run over both, on a cluster of three workers that exchange everything over gRPC (`worker --isolated`) and
embedded in the command. The ratio of the two times is what small shards cost. `--many` instead takes 1,000 and 10,000 shards of
1,000 rows each, where the time a shard should be the same. Few and many shards must give the same number of rows.
Needs Python 3.11 and Linux.
"""

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CITIES = ["Berlin", "Rome", "Paris", "Oslo", "Wien", "Bern", "Prag", "Riga"]
TASKS = {
    "dedup": ["dedup", "{of}", "deduped_{of}"],
    "aggregate": ["aggregate", "{of}", "groups_{of}", "--by", "key", "--agg", "n=count(), total=sum(amount)"],
    "sort": ["sort", "{of}", "sorted_{of}", "--by", "amount"],
    "compare": ["compare", "{of}", "{other}", "merged_{of}"],
}


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write(path, rows, seed, keys):
    """Rows of about 40 bytes; every twentieth is an exact copy of an earlier one. Another seed changes some of them."""
    choose, change = random.Random(7), random.Random(seed)
    kept = []
    with open(path, "w") as out:
        out.write("id,key,city,amount\n")
        for begin in range(0, rows, 100_000):
            lines = []
            for n in range(begin, min(rows, begin + 100_000)):
                draw = choose.random()
                if kept and draw < 0.05:
                    lines.append(kept[int(draw * 20 * len(kept))])
                    continue
                amount = choose.randrange(10_000_000) / 100
                if seed and change.random() < 0.03:
                    amount += 1
                line = f"{n},{choose.randrange(keys)},{CITIES[n % 8]},{amount:.2f}\n"
                lines.append(line)
                if draw > 0.999:
                    kept.append(line)
            out.writelines(lines)


class Cluster:
    """A coordinator and workers as processes of their own, or (with no workers) nothing: commands then embed a cluster."""

    def __init__(self, program, folder, workers):
        self.program, self.folder, self.processes = program, folder, []
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("SHARDMILL_")}
        self.options = ["--data-dir", str(folder / "embedded")]
        if not workers:
            return
        url = f"http://127.0.0.1:{port()}"
        self.options = ["--cluster", url]
        listen = url.removeprefix("http://")
        self.start("coordinator", "--listen", listen, "--http", "127.0.0.1:0", "--data-dir", folder / "c")
        for n in range(workers):
            data = folder / f"w{n}"
            self.start("worker", "--coordinator", url, "--listen", f"127.0.0.1:{port()}", "--isolated", "--data-dir", data)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            done = subprocess.run([program, "--json", *self.options, "nodes", "list"], env=self.env, capture_output=True)
            if done.returncode == 0 and len(json.loads(done.stdout)["nodes"]) == workers:
                return
            time.sleep(0.1)
        sys.exit("the cluster did not come up")

    def start(self, *args):
        with open(self.folder / "log", "ab") as log:
            command = [self.program, *(str(a) for a in args)]
            self.processes.append(subprocess.Popen(command, env=self.env, stdout=log, stderr=log))

    def run(self, *args):
        command = [self.program, "--json", *self.options, *(str(a) for a in args)]
        done = subprocess.run(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} failed: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(30)


def measure(cluster, sizes, files, tasks, repeat):
    """Seconds of each task over each dataset, the fastest of some runs."""
    shards, times, rows = {}, {}, {}
    for name, size in sizes.items():
        for dataset, file in zip((name, f"{name}_other"), files):
            made = cluster.run("ingest", dataset, file, "--shard-size", size)
            if dataset == name:
                shards[name] = cluster.run("dataset", "show", dataset)
    for task in tasks:
        for name in sizes:
            args = [a.format(of=name, other=f"{name}_other") for a in TASKS[task]]
            runs = []
            for _ in range(repeat):
                status = cluster.run(*args)
                runs.append(status["seconds"])
                rows.setdefault((task, status.get("rows")), set()).add(name)
            times[task, name] = min(runs), statistics.median(runs)
        found = [of for (t, _), of in rows.items() if t == task]
        if any(of != set(sizes) for of in found):
            sys.exit(f"{task} gave other rows over other shards: {rows}")
    return shards, times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / "target" / "release" / "shardmill", type=Path)
    parser.add_argument("--rows", default=5_250_000, type=int)
    parser.add_argument("--few", default="20MB", help="shard size of the dataset of few shards")
    parser.add_argument("--small", default="121KB", help="shard size of the dataset of many")
    parser.add_argument("--many", action="store_true", help="1,000 and 10,000 shards of 1,000 rows instead")
    parser.add_argument("--tasks", default="dedup,aggregate,sort,compare")
    parser.add_argument("--repeat", default=3, type=int)
    parser.add_argument("--workers", default="3,0", help="sizes of clusters; 0 is embedded")
    parser.add_argument("--dir", type=Path)
    args = parser.parse_args()
    tasks = args.tasks.split(",")
    results = []
    for workers in (int(w) for w in args.workers.split(",")):
        with tempfile.TemporaryDirectory(dir=args.dir) as folder:
            folder = Path(folder)
            cluster = Cluster(str(args.program), folder, workers)
            try:
                if args.many:
                    times = {}
                    for n in (1_000, 10_000):
                        files = [folder / f"{n}-{seed}.csv" for seed in (0, 1)]
                        for seed, file in enumerate(files):
                            write(file, n * 1_000, seed, 1_000_000)
                        size = files[0].stat().st_size // n
                        _, found = measure(cluster, {f"s{n}": f"{size}B"}, files, tasks, args.repeat)
                        times |= {(task, n): best for (task, _), (best, _) in found.items()}
                    for task in tasks:
                        a, b = times[task, 1_000], times[task, 10_000]
                        results.append({"workers": workers, "task": task, "1000": a, "10000": b, "per_shard": b / 10 / a})
                        print(json.dumps(results[-1]), flush=True)
                    continue
                files = [folder / "a.csv", folder / "b.csv"]
                write(files[0], args.rows, 0, 1_000_000)
                write(files[1], args.rows, 1, 1_000_000)
                sizes = {"few": args.few, "small": args.small}
                shown, times = measure(cluster, sizes, files, tasks, args.repeat)
                counts = {name: len(d["shards"]) if isinstance(d["shards"], list) else d["shards"] for name, d in shown.items()}
                for task in tasks:
                    few, small = times[task, "few"][0], times[task, "small"][0]
                    ratio = round(small / few, 2)
                    results.append({"workers": workers, "task": task, "few": few, "small": small, "ratio": ratio, "shards": counts})
                    print(json.dumps(results[-1]), flush=True)
            finally:
                cluster.stop()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
