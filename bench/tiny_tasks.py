#!/usr/bin/env python3
"""How many tasks a second Shardmill gets through when the tasks themselves are nothing.

    cargo build --release && cargo build --release -p shardmill-tests --example tiny_tasks
    python3 bench/tiny_tasks.py

coordinator: a real coordinator with its journal on disk and its gRPC door, and workers that speak the real protocol over real
sockets but end every task at once. One stage of 100,000 tasks (`flat`), over a dataset of 2 columns and over one of 500, and maps, reduces over all of them and as many tasks
again that read all the reduces (`shuffle`).
cluster: the whole program: a coordinator and two workers as processes, and a map over a dataset of many shards of a few rows,
each read, given to a statement, written and made durable. Needs Python 3.11 and Linux.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def coordinator(example, tasks, shape, workers, slots, dir, columns=2):
    with tempfile.TemporaryDirectory(dir=dir) as data:
        command = [example, "--tasks", tasks, "--shape", shape, "--workers", workers, "--slots", slots, "--dir", data]
        if columns != 2:
            command += ["--columns", columns]
        done = subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True)
        result = json.loads(done.stdout)
        return result if columns == 2 else result | {"shape": f"{shape}, {columns} columns"}


def cluster(program, tasks, workers, dir):
    env = {k: v for k, v in os.environ.items() if not k.startswith("SHARDMILL_")}
    with tempfile.TemporaryDirectory(dir=dir) as data:
        data = Path(data)
        url = f"http://127.0.0.1:{port()}"
        # Rows of 64 bytes and shards of 1 KiB of text.
        rows = tasks * 16
        (data / "rows.csv").write_text("id,text\n" + "".join(f"{n},{' x' * 26:<54}\n"[:63] + "\n" for n in range(rows)))

        def run(*args):
            command = [program, "--json", "--cluster", url, *args]
            done = subprocess.run(command, cwd=data, env=env, stdout=subprocess.PIPE, text=True)
            if done.returncode != 0:
                sys.exit(f"{args} failed: {done.stdout}")
            return json.loads(done.stdout)

        processes = []
        try:
            with open(data / "log", "w") as log:
                def start(*args):
                    processes.append(subprocess.Popen([program, *args], cwd=data, env=env, stdout=log, stderr=log))

                listen = url.removeprefix("http://")
                start("coordinator", "--listen", listen, "--http", f"127.0.0.1:{port()}", "--data-dir", "coordinator", "--default-replicas", "1")
                for n in range(workers):
                    start("worker", "--coordinator", url, "--listen", "127.0.0.1:0", "--data-dir", f"worker-{n}", "--slots", "2")
                deadline = time.monotonic() + 30
                while True:
                    asked = subprocess.run([program, "--json", "--cluster", url, "nodes", "list"], env=env, capture_output=True, text=True)
                    if asked.returncode == 0 and asked.stdout.count('"alive"') >= workers:
                        break
                    if time.monotonic() > deadline:
                        sys.exit("the workers do not join: " + (data / "log").read_text())
                    time.sleep(0.1)
                run("ingest", "tiny", "rows.csv", "--shard-size", "1KiB")
                mapped = run("mapreduce", "mapped", "--input", "tiny", "--map", "SELECT id, TRIM(text) AS text FROM input")
                job = run("job", "show", mapped["job"])
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
    tasks = sum(stage["done"] for stage in job["stages"])
    return {"shape": "cluster", "tasks": tasks, "workers": workers, "slots": 2, "seconds": job["seconds"], "tasks_per_second": round(tasks / job["seconds"])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks of the coordinator's stage")
    parser.add_argument("--real-tasks", type=int, default=5_000, help="tasks of the cluster's; 0: leave it out")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--profile", default="release", help="the folder of target/ with the programs")
    parser.add_argument("--dir", help="where journals and data go; they are removed")
    arguments = parser.parse_args()
    target = ROOT / "target" / arguments.profile
    program, example = target / "shardmill", target / "examples" / "tiny_tasks"
    for needed in (program, example):
        if not needed.exists():
            sys.exit(f"{needed} is not there: build it first (see --help)")
    print("| what | tasks | seconds | tasks a second | longest wait of a request, s | journal, MB |")
    print("|---|---:|---:|---:|---:|---:|")
    results = []

    def show(result):
        results.append(result)
        wait, journal = result.get("longest_wait_seconds", ""), result.get("journal_bytes", 0) // 1_000_000 or ""
        print(f"| {result['shape']} | {result['tasks']:,} | {result['seconds']:.2f} | {result['tasks_per_second']:,.0f} | {wait} | {journal} |", flush=True)

    for _ in range(arguments.repeat):
        show(coordinator(example, arguments.tasks, "flat", arguments.workers, arguments.slots, arguments.dir))
        show(coordinator(example, arguments.tasks, "flat", arguments.workers, arguments.slots, arguments.dir, 500))
        show(coordinator(example, arguments.tasks // 10, "shuffle", arguments.workers, arguments.slots, arguments.dir))
        if arguments.real_tasks:
            show(cluster(program, arguments.real_tasks, arguments.workers, arguments.dir))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
