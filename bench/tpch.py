"""The 22 queries of TPC-H beside DuckDB, on the same tables: `shardmill sql` as whole commands, inside the command or on a cluster of
workers that cannot read each other's disks; DuckDB inside this process, over Parquet files. Answers are compared.

    cargo build --release
    python3 bench/tpch.py --scale 1
    python3 bench/tpch.py --scale 1 --workers 3

`tpchgen-cli` and `duckdb` come from PyPI, into a virtual environment of their own.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]


def in_venv():
    """Goes on inside a virtual environment that has what this needs."""
    cache = Path(os.environ.get("SHARDMILL_CACHE", Path.home() / ".cache" / "shardmill"))
    python = cache / "tpch-venv" / "bin" / "python"
    if Path(sys.prefix) == python.parent.parent:
        return
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "duckdb", "tpchgen-cli"], check=True)
    os.execv(python, [python, *sys.argv])


def queries():
    parts = re.split(r"^-- (Q\d+)$", (HERE / "tpch.sql").read_text(), flags=re.M)[1:]
    return {name: text.strip().rstrip(";") for name, text in zip(parts[::2], parts[1::2])}


def told(value):
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)) or type(value).__name__ == "Decimal":
        return float(f"{float(value):.9g}")
    return str(value)


def same(ours, theirs):
    """Rows in order; fractions may differ in their last digits."""
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, not {len(theirs)}"
    for n, (one, other) in enumerate(zip(ours, theirs)):
        for a, b in zip(map(told, one), map(told, other)):
            if a != b and not (isinstance(a, float) and isinstance(b, float) and abs(a - b) <= 1e-8 * max(abs(a), abs(b))):
                return f"row {n}: {one} and {other}"
    return None


def by_turns(repeat, *ways):
    """Does the same in several ways, by turns: the shortest time of each, and what each gave last."""
    times, given = [[] for _ in ways], [None for _ in ways]
    for _ in range(repeat):
        for n, way in enumerate(ways):
            begun = time.perf_counter()
            given[n] = way()
            times[n].append(time.perf_counter() - begun)
    return [min(one) for one in times], given


class Cluster:
    """A coordinator and workers as processes of their own."""

    def __init__(self, program, folder, workers, slots):
        import socket

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{address}"
        run = lambda *args: subprocess.Popen([program, *map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes = [run("coordinator", "--listen", address, "--data-dir", folder / "coordinator")]
        self.processes += [
            run("worker", "--coordinator", self.url, "--listen", "127.0.0.1:0", "--data-dir", folder / f"worker{n}", "--isolated", "--slots", slots)
            for n in range(workers)
        ]
        for _ in range(600):
            done = subprocess.run([program, "--cluster", self.url, "--json", "nodes", "list"], capture_output=True)
            if done.returncode == 0 and sum(n["state"] == "alive" for n in json.loads(done.stdout)["nodes"]) == workers:
                return
            time.sleep(0.1)
        raise SystemExit("the cluster did not come up")

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--scale", type=float, default=1)
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--workers", type=int, default=0, help="a cluster of so many; without it, inside the command")
    options.add_argument("--program", default=str(HERE.parent / "target" / "release" / "shardmill"))
    options.add_argument("--dir", type=Path, help="where data goes and stays")
    options.add_argument("--only", help="some of the queries, as Q1,Q5")
    given = options.parse_args()
    in_venv()
    import duckdb

    folder = given.dir or Path(tempfile.mkdtemp(prefix="tpch-"))
    csv = folder / f"csv-{given.scale:g}"
    if not (csv / "lineitem.csv").exists():
        generator = Path(sys.prefix) / "bin" / "tpchgen-cli"
        subprocess.run([generator, "csv", "-s", f"{given.scale:g}", "--output-dir", csv], check=True)
    name = f"workers-{given.workers}" if given.workers else "inside"
    data = folder / f"{name}-{given.scale:g}"
    fresh = not data.exists()
    cluster = Cluster(given.program, data, given.workers, 2) if given.workers else None
    where = ["--cluster", cluster.url] if cluster else ["--data-dir", str(data)]
    try:
        if fresh:
            copies = ["--replicas", "1"] if cluster else []
            for table in TABLES:
                subprocess.run([given.program, *where, "-q", "ingest", table, csv / f"{table}.csv", *copies], check=True, stdout=subprocess.DEVNULL)
        con = duckdb.connect()
        for table in TABLES:
            file = folder / f"{table}-{given.scale:g}.parquet"
            if not file.exists():
                export = ["dataset", "export", table, "--to", str(file)]
                subprocess.run([given.program, *where, "-q", *export], check=True, stdout=subprocess.DEVNULL)
            con.sql(f"CREATE VIEW {table} AS SELECT * FROM '{file}'")
        wrong, sums = [], [0.0, 0.0]
        print(f"| query | shardmill s | duckdb s | ratio |\n|---|---|---|---|")
        for query, text in queries().items():
            if given.only and query not in given.only.split(","):
                continue
            command = [given.program, *where, "--json", "sql", text]
            times, (done, theirs) = by_turns(
                given.repeat, lambda: subprocess.run(command, capture_output=True), lambda: con.sql(text).fetchall()
            )
            if done.returncode != 0:
                wrong.append(f"{query}: {done.stdout.decode()[-500:]}{done.stderr.decode()[-500:]}")
                print(f"| {query} | failed | | |")
                continue
            answer = json.loads(done.stdout)
            columns = [c["name"] for c in answer["columns"]]
            difference = same([[row[c] for c in columns] for row in answer["rows"]], theirs)
            if difference:
                wrong.append(f"{query}: {difference}")
            ours, peer = times
            sums[0] += ours
            sums[1] += peer
            print(f"| {query} | {ours:.2f} | {peer:.2f} | {ours / peer:.2f} |", flush=True)
        print(f"| all | {sums[0]:.2f} | {sums[1]:.2f} | {sums[0] / max(sums[1], 1e-9):.2f} |")
        for line in wrong:
            print(line)
        return 1 if wrong else 0
    finally:
        if cluster:
            cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
