#!/usr/bin/env python3
"""Asks Shardmill's endpoint and its peers for predictions of the same model, as fast as one machine can, and prints what came back.

    cargo build --release
    python3 bench/serve.py

The load comes from load.rs (standard library alone, made by rustc), on the same machine: it takes its part of the cores. Each
measurement is a closed loop of --connections connections. README.md tells more. Needs Python 3.11, Linux and rustc.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

from run import CACHE, HERE, PYTHON, ROOT, Failed, install, machine, quietly, say, table
from train import make

FEATURES = 20
TRAIN_ROWS = 20_000
PEERS = {
    "fastapi": ("FastAPI", ["fastapi", "uvicorn", "scikit-learn", "pandas"]),
    "mlflow": ("MLflow", ["mlflow", "scikit-learn", "pandas", "uvicorn"]),
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A process that answers; stopped when the block ends."""

    def __init__(self, label, command, port, path, health):
        self.label, self.command, self.port, self.path, self.health = label, [str(c) for c in command], port, path, health

    def __enter__(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("SHARDMILL_")}
        self.log = open(self.command_log(), "wb")
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, env=env)
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self.health}", timeout=5):
                    return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise Failed(f"{self.label} does not answer; see {self.command_log()}") from None
                time.sleep(0.1)

    def command_log(self):
        return Path(os.environ.get("TMPDIR", "/tmp")) / f"bench-serve-{self.label.split()[0].lower()}.log"

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def resident(self):
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def load(tool, port, path, seconds, connections, body=None, content_type=None):
    command = [tool, f"127.0.0.1:{port}", path, "--seconds", seconds, "--connections", connections]
    if body:
        command += ["--body", body, "--content-type", content_type]
    return json.loads(quietly(command))


def bodies(work, data):
    """The same rows as CSV and as JSON, one and a thousand."""
    lines = data.read_text().splitlines()[1:1001]
    rows = [line.rsplit(",", 1)[0] for line in lines]
    out = {}
    for n in (1, 1000):
        csv, js = work / f"rows-{n}.csv", work / f"rows-{n}.json"
        csv.write_text("\n".join(rows[:n]) + "\n")
        js.write_text(json.dumps({"instances": [[float(x) for x in row.split(",")] for row in rows[:n]]}))
        out[n] = {"csv": (csv, "text/csv"), "json": (js, "application/json")}
    return out


def shardmill(program, work, data):
    folder, grpc, http = work / "data", free_port(), free_port()
    shutil.rmtree(folder, ignore_errors=True)
    base = [program, "--data-dir", folder, "--json", "--no-progress"]
    features = ",".join(f"x{n}" for n in range(FEATURES))
    quietly([*base, "ingest", "t", data])
    for c in (1, 0.1):
        quietly([*base, "train", "logistic", "t", "--model", "m", "--label", "y", "--features", features, "--c", c])
    quietly([*base, "endpoint", "create", "e", "--variant", "a=m@1"])
    command = [program, "--data-dir", folder, "--workers", 1, "local", "--listen", f"127.0.0.1:{grpc}", "--http", f"127.0.0.1:{http}"]
    return Server("Shardmill", command, http, "/endpoints/e/invocations", "/v2/models/e/ready"), f"http://127.0.0.1:{grpc}"


def changing(program, cluster, stop):
    """Gives the endpoint another variant over and over; how often."""
    count = 0
    while not stop.is_set():
        version = count % 2 + 1
        quietly([program, "--cluster", cluster, "--json", "endpoint", "update", "e", "--variant", f"v{version}=m@{version}"])
        count += 1
        stop.wait(0.2)
    return count


def measure_ours(args, tool, work, data, asked):
    server, cluster = shardmill(args.program, work, data)
    out = {}
    with server:
        for repeat in range(args.repeat):
            for name, path, body in [
                ("empty handler", "/healthz", None),
                ("1 row, CSV", server.path, asked[1]["csv"]),
                ("1 row, JSON", server.path, asked[1]["json"]),
                ("1,000 rows, CSV", server.path, asked[1000]["csv"]),
                ("1,000 rows, JSON", server.path, asked[1000]["json"]),
            ]:
                done = load(tool, server.port, path, args.seconds, args.connections, *(body or ()))
                out.setdefault(name, []).append(done)
                say(f"Shardmill, {name}: {done['per_second']:,.0f} a second, p99 {done['p99_micros']} us")
        out["memory"] = server.resident()
        counts, stop = [], threading.Event()
        thread = threading.Thread(target=lambda: counts.append(changing(args.program, cluster, stop)))
        thread.start()
        out["1 row, CSV, while variants change"] = [load(tool, server.port, server.path, args.seconds, args.connections, *asked[1]["csv"])]
        stop.set()
        thread.join()
        say(f"variants changed {counts[0]} times: {out['1 row, CSV, while variants change'][0]}")
        out["changes"] = counts[0]
    return out


def measure_peer(name, args, tool, work, data, asked):
    label, packages = PEERS[name]
    if trouble := install(packages):
        say(f"{label} takes no part: {trouble}")
        return None
    port = free_port()
    command = [PYTHON, HERE / "peers" / f"serve_{name}.py", data, port, *([work / "mlflow-model"] if name == "mlflow" else [])]
    out = {}
    with Server(label, command, port, "/invocations", "/ping") as server:
        for _ in range(args.repeat):
            for n, what in [(1, "1 row, JSON"), (1000, "1,000 rows, JSON")]:
                out.setdefault(what, []).append(load(tool, port, server.path, args.seconds, args.connections, *asked[n]["json"]))
                say(f"{label}, {what}: {out[what][-1]['per_second']:,.0f} a second, p99 {out[what][-1]['p99_micros']} us")
        out["memory"] = server.resident()
    return out


def best(runs):
    return max(runs, key=lambda r: r["per_second"])


def report(found):
    rows = []
    for label, results in found.items():
        for what, runs in results.items():
            if isinstance(runs, list):
                b = best(runs)
                bad = sum(n for status, n in b["statuses"].items() if status != "200") + b["broken"]
                rows.append([label, what, f"{b['per_second']:,.0f}", *(f"{b[p] / 1000:.2f}" for p in ("p50_micros", "p99_micros", "p999_micros")), str(bad)])
    return table(["system", "request", "a second", "p50 ms", "p99 ms", "p99.9 ms", "not answered by 200"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / "target" / "release" / "shardmill")
    parser.add_argument("--systems", default="shardmill,fastapi,mlflow")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    work = CACHE / "bench" / "serve"
    work.mkdir(parents=True, exist_ok=True)
    tool = work / "load"
    quietly(["rustc", "-O", "--edition", "2021", "-o", tool, HERE / "load.rs"])
    if trouble := install(["numpy", "pyarrow", "duckdb"]):
        raise Failed(trouble)
    data = make(work, TRAIN_ROWS, FEATURES)
    asked = bodies(work, data)
    found = {}
    for name in args.systems.split(","):
        result = measure_ours(args, tool, work, data, asked) if name == "shardmill" else measure_peer(name, args, tool, work, data, asked)
        if result:
            found["Shardmill" if name == "shardmill" else PEERS[name][0]] = result
    text = report(found)
    print(text)
    ours = found.get("Shardmill")
    if ours:
        empty, one = best(ours["empty handler"])["per_second"], best(ours["1 row, CSV"])
        changed = ours["1 row, CSV, while variants change"][0]
        print(f"one row against the empty handler: {one['per_second'] / empty:.2f} of its rate (CSV), {best(ours['1 row, JSON'])['per_second'] / empty:.2f} (JSON)")
        print(f"p99 while variants change {ours['changes']} times: {changed['p99_micros'] / max(1, one['p99_micros']):.2f} times that without")
    stamp = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    results = HERE / "results" / f"serve-{stamp}.json"
    results.write_text(json.dumps({"machine": machine(), "connections": args.connections, "seconds": args.seconds, "found": found}, indent=1) + "\n")
    say(f"written to {results}")


if __name__ == "__main__":
    try:
        main()
    except Failed as e:
        sys.exit(str(e))
