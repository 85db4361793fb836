"""Running Shardmill from Python: one embedded data folder, or a cluster of real processes, and cells that can be compared.

A table of the tests is a dict of lists, `{"name": [value, ...]}`, whose values are Python's: None for null, and float("nan")
for NaN. It is the truth that files are written from; pandas gets it as columns of objects, so that null and NaN stay apart.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import math
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
NAN = float("nan")
INF = float("inf")
# No command here works on more than some megabytes.
COMMAND_SECONDS = 60


def binary() -> str:
    named = os.environ.get("SHARDMILL_BIN")
    if named:
        return named
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    for profile in ("release", "debug"):
        if (target / profile / "shardmill").exists():
            return str(target / profile / "shardmill")
    raise RuntimeError("set SHARDMILL_BIN to the shardmill to test")


def environment() -> dict[str, str]:
    """The environment without Shardmill's variables: those of the person who runs the tests say nothing here."""
    return {k: v for k, v in os.environ.items() if not k.startswith("SHARDMILL_")}


class Failed(Exception):
    """A command ended with a status that the test did not ask for."""


class Shardmill:
    """Runs commands, over a data folder of its own or against a cluster."""

    def __init__(self, *, data_dir=None, cluster=None, work: Path, options=()):
        self.data_dir = data_dir
        self.where = ["--data-dir", str(data_dir)] if cluster is None else ["--cluster", cluster]
        self.options = [str(o) for o in options]
        self.work = Path(work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.count = 0

    def command(self, *args) -> list[str]:
        return [binary(), *self.where, *self.options, "--json", *(str(a) for a in args)]

    def start(self, *args) -> subprocess.Popen:
        return subprocess.Popen(self.command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd=self.work)

    def run(self, *args, status: int = 0, stdin: bytes | None = None) -> dict:
        """Runs a command and returns the one JSON object it prints."""
        done = subprocess.run(
            self.command(*args), input=stdin, capture_output=True, env=environment(), cwd=self.work, timeout=COMMAND_SECONDS
        )
        return outcome(args, done.returncode, done.stdout, done.stderr, status)

    def ingest(self, name, *sources, status=0, **options) -> dict:
        return self.run("ingest", name, *sources, *flags(options), status=status)

    def clean(self, source, output, rules: str, status=0) -> dict:
        self.count += 1
        path = self.work / f"rules{self.count}.toml"
        path.write_text(rules)
        return self.run("clean", source, output, "--rules", path, status=status)

    def table(self, name) -> pa.Table:
        """A dataset, by way of an exported Parquet file."""
        self.count += 1
        path = self.work / f"export{self.count}.parquet"
        self.run("dataset", "export", name, "--to", path)
        table = pq.read_table(path)
        path.unlink()
        return table

    def csv(self, name) -> bytes:
        self.count += 1
        path = self.work / f"export{self.count}.csv"
        self.run("dataset", "export", name, "--to", path)
        text = path.read_bytes()
        path.unlink()
        return text

    def rows(self, name) -> list[tuple]:
        return rows_of(self.table(name))

    def types(self, name) -> dict[str, str]:
        return {c["name"]: c["type"] for c in self.run("dataset", "show", name)["columns"]}

    def shards(self, name) -> int:
        return self.run("dataset", "show", name)["shards"]

    def counters(self, result) -> dict[str, int]:
        return result["counters"]


def flags(options: dict) -> list[str]:
    """`{"shard_size": 10, "dedup": True, "null": ["a", "b"]}` as command-line options."""
    out: list[str] = []
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            out.append(option)
        elif isinstance(value, (list, tuple)):
            for one in value:
                out += [option, str(one)]
        elif value is not None and value is not False:
            out += [option, str(value)]
    return out


def outcome(args, returncode, stdout, stderr, status=0) -> dict:
    shown = f"shardmill {' '.join(str(a) for a in args)}\nstdout: {stdout.decode()[-2000:]}\nstderr: {stderr.decode()[-4000:]}"
    if returncode != status:
        raise Failed(f"exit status {returncode}, not {status}: {shown}")
    lines = stdout.decode().splitlines()
    if status == 2 and not lines:
        return {"error": stderr.decode()}
    if len(lines) != 1:
        raise Failed(f"--json promises exactly one object on standard output: {shown}")
    return json.loads(lines[0])


# ---------------------------------------------------------------------------------------------- clusters of processes


def free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


class Process:
    """One process of a cluster, with its log in a file."""

    def __init__(self, name: str, args: list[str], log: Path):
        self.name, self.args, self.log = name, args, log
        self.popen: subprocess.Popen | None = None
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen([binary(), *self.args], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment())

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def kill(self):
        """kill -9."""
        self.popen.kill()
        self.popen.wait(10)

    def stop(self):
        if self.alive:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
                raise RuntimeError(f"{self.name} did not end within 15 s of SIGTERM\n{self.tail()}") from None

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


class Cluster:
    """A coordinator and workers, each a process, on free ports of this machine."""

    def __init__(self, folder: Path, workers: int = 3, slots: int = 1, options=()):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        grpc, http = free_ports(2)
        self.http = f"http://127.0.0.1:{http}"
        self.url, self.address = f"http://127.0.0.1:{grpc}", f"127.0.0.1:{grpc}"
        args = ["coordinator", "--listen", self.address, "--http", f"127.0.0.1:{http}", "--data-dir", str(self.folder / "coordinator")]
        self.coordinator = Process("coordinator", args, self.folder / "coordinator.log")
        self.workers = [
            Process(
                f"worker {n}",
                ["worker", "--coordinator", self.url, "--listen", "127.0.0.1:0", "--data-dir", str(self.folder / f"worker{n}"), "--slots", str(slots), *options],
                self.folder / f"worker{n}.log",
            )
            for n in range(workers)
        ]
        self.shardmill = Shardmill(cluster=self.url, work=self.folder / "client")
        try:
            self.wait_for_workers(workers)
        except BaseException:
            self.stop()
            raise

    def alive_workers(self) -> int:
        nodes = self.shardmill.run("nodes", "list")["nodes"]
        return sum(n["state"] == "alive" for n in nodes)

    def wait_for_workers(self, n: int, seconds: float = 40):
        def ready():
            try:
                return self.alive_workers() >= n
            except Failed:
                return False

        try:
            wait_until(ready, seconds, f"{n} live workers")
        except TimeoutError as e:
            raise TimeoutError(f"{e}\n{self.logs()}") from None

    def logs(self) -> str:
        return "\n".join(f"--- {p.name}\n{p.tail()}" for p in [self.coordinator, *self.workers])

    def stop(self):
        problems = []
        for process in [*self.workers, self.coordinator]:
            try:
                process.stop()
            except RuntimeError as e:
                problems.append(str(e))
        if problems:
            raise RuntimeError("\n".join(problems))


def wait_until(condition, seconds: float, what: str, pause: float = 0.05):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(pause)
    raise TimeoutError(f"no {what} within {seconds} s")


def sleep_amid(rng, length, low, high, misses):
    """Sleeps until a random moment of a command of this length. Every miss comes nearer to the start: the command may have been
    quicker than the first one."""
    time.sleep(length * rng.uniform(low, high) * 0.6**misses)


# --------------------------------------------------------------------------------------------------------------- cells


def cell(value):
    """A cell in a form in which equal means the same bits: NaN equals NaN, -0.0 differs from 0.0, 1 from 1.0 and True."""
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else value.hex())
    if isinstance(value, pd.Timestamp):
        value = value.to_pydatetime()
    if isinstance(value, dt.datetime):
        return ("utc" if value.tzinfo else "datetime", value.astimezone(dt.timezone.utc).isoformat() if value.tzinfo else value.isoformat())
    if isinstance(value, dt.date):
        return ("date", value.isoformat())
    if isinstance(value, int):
        return ("int", value)
    return value


def columns_of(table: pa.Table) -> dict[str, list]:
    return {name: table.column(name).to_pylist() for name in table.column_names}


def rows_of(table) -> list[tuple]:
    """The rows of an Arrow table or of a dict of lists as tuples of `cell`s."""
    columns = columns_of(table) if isinstance(table, pa.Table) else table
    return list(zip(*([cell(v) for v in values] for values in columns.values())))


def assert_rows(got: list[tuple], wanted: list[tuple], what: str = "rows"):
    """Equality of rows in order, with the first difference in the message rather than all of both."""
    for n, (g, w) in enumerate(zip(got, wanted)):
        assert g == w, f"{what}: row {n} of {len(got)}:\n  got    {g}\n  wanted {w}"
    assert len(got) == len(wanted), f"{what}: {len(got)} rows, not {len(wanted)}"


def sorted_rows(rows: list[tuple]) -> list[tuple]:
    return sorted(rows, key=repr)


def assert_table(table: pa.Table, truth: dict[str, list], what: str = "rows"):
    assert table.column_names == list(truth), what
    assert_rows(rows_of(table), rows_of(truth), what)


# -------------------------------------------------------------------------------------------------------- pandas' side

NAN_TOKEN = "\0a NaN that is not null\0"


def to_object(value):
    return NAN_TOKEN if isinstance(value, float) and math.isnan(value) else value


def from_object(value):
    if isinstance(value, str) and value == NAN_TOKEN:
        return NAN
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value


def to_pandas(truth: dict[str, list]) -> pd.DataFrame:
    """Columns of objects: pandas keeps every value as it is, and compares as Python does. NaN is told from null by a token."""
    return pd.DataFrame({name: pd.Series([to_object(v) for v in values], dtype=object) for name, values in truth.items()})


def from_pandas(frame: pd.DataFrame) -> dict[str, list]:
    return {name: [from_object(v) for v in frame[name].tolist()] for name in frame.columns}


def take(truth: dict[str, list], rows) -> dict[str, list]:
    return {name: [values[r] for r in rows] for name, values in truth.items()}


def height(truth: dict[str, list]) -> int:
    return len(next(iter(truth.values())))


# ----------------------------------------------------------------------------------------------------- generated data

TEXTS = [
    "alpha", "Beta", "", None, "NA", "null", "a,b", 'say "hi"', "two\nlines", "dos\r\nline", "tab\there", " padded ",
    "Ünïcödé", "日本語", "🦀 crab", "'single'", "007", "-", "x" * 300, "e\u0301", "é", "nan", ";|", '"', "\\N", "#no comment",
]  # fmt: skip


def generate(seed: int, rows: int, duplicates: float = 0.4, finite: bool = False) -> dict[str, list]:
    """Rows of every type with nulls in each column; `duplicates` of them are copies of others. `finite`: no NaN, no infinity."""
    rng = random.Random(seed)
    floats = [0.0, -0.0, 1.5, -2.25, 0.1, 1e300, 5e-324, 123456.789, 1 / 3]
    if not finite:
        floats += [NAN, INF, -INF]

    def maybe(make, nulls=0.1):
        return lambda: None if rng.random() < nulls else make()

    makers = {
        "id": maybe(lambda: rng.randrange(-50, max(4, rows // 3)), 0.05),
        "big": maybe(lambda: rng.choice([2**63 - 1, -(2**63), 2**53 + 1, 0, rng.randrange(-(2**62), 2**62)])),
        "x": maybe(lambda: rng.choice(floats) if rng.random() < 0.6 else rng.uniform(-1e6, 1e6)),
        "s": lambda: rng.choice(TEXTS),
        "zip": maybe(lambda: f"{rng.randrange(200):05}"),
        "ok": maybe(lambda: rng.random() < 0.5),
        "day": maybe(lambda: dt.date(1900, 1, 1) + dt.timedelta(days=rng.randrange(60000))),
        "at": maybe(lambda: dt.datetime(1960, 1, 1) + dt.timedelta(seconds=rng.randrange(3 * 10**9), microseconds=rng.choice([0, 0, 1, 250000, 999999]))),
    }
    unique = [tuple(make() for make in makers.values()) for _ in range(max(1, round(rows * (1 - duplicates))))]
    # Every type is to be seen in every file, whatever the seed.
    unique[0] = (7, 2**60, 1.5, "text", "00501", True, dt.date(2024, 2, 29), dt.datetime(2024, 2, 29, 12, 30, 1, 5))
    chosen = unique + [rng.choice(unique) for _ in range(rows - len(unique))]
    rng.shuffle(chosen)
    return {name: list(values) for name, values in zip(makers, zip(*chosen))}


TYPES = {"id": "int64", "big": "int64", "x": "float64", "s": "string", "zip": "string", "ok": "boolean", "day": "date", "at": "datetime"}


def concat(tables: list[dict[str, list]]) -> dict[str, list]:
    return {name: [v for t in tables for v in t[name]] for name in tables[0]}


def text_of(value, rng: random.Random) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return rng.choice(["true", "True", "TRUE"]) if value else rng.choice(["false", "False", "FALSE"])
    if isinstance(value, dt.datetime):
        text = value.isoformat(sep=rng.choice("T "))
        return text
    return str(value)


def write_csv(path: Path, truth: dict[str, list], seed: int = 0, delimiter: str = ",", newline: str = "\n", header: bool = True):
    """Null is the empty cell, the empty text is `""`. Cells that need no quotes get some at random."""
    rng = random.Random(seed)
    special = {delimiter, '"', "\n", "\r"}

    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    def written(value) -> str:
        text = text_of(value, rng)
        if value is None:
            return ""
        if text == "" or any(c in special for c in text) or rng.random() < 0.1:
            return quoted(text)
        return text

    lines = [delimiter.join(truth)] if header else []
    lines += [delimiter.join(written(v) for v in row) for row in zip(*truth.values())]
    compressed(path, (newline.join(lines) + newline).encode())


def write_jsonl(path: Path, truth: dict[str, list]):
    """None is left out or null, in turn."""

    def plain(value):
        return value.isoformat() if isinstance(value, dt.date) else value

    names = list(truth)
    lines = []
    for n, row in enumerate(zip(*truth.values())):
        kept = {k: plain(v) for k, v in zip(names, row) if v is not None or n % 2 == 0}
        lines.append(json.dumps(kept, ensure_ascii=n % 3 == 0))
    compressed(path, ("\n".join(lines) + "\n").encode())


def to_arrow(truth: dict[str, list]) -> pa.Table:
    types = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string(), "boolean": pa.bool_(), "date": pa.date32(), "datetime": pa.timestamp("us")}
    return pa.table({name: pa.array(values, type=types[TYPES[name]], from_pandas=False) for name, values in truth.items()})


def compressed(path: Path, data: bytes):
    if path.suffix == ".gz":
        data = gzip.compress(data, 1)
    elif path.suffix == ".zst":
        data = pa.compress(data, codec="zstd", asbytes=True)
    path.write_bytes(data)


def write(path: Path, truth: dict[str, list], seed: int = 0):
    """Writes a file in the format that its name says."""
    name = path.name
    if ".csv" in name:
        write_csv(path, truth, seed)
    elif ".tsv" in name:
        write_csv(path, truth, seed, delimiter="\t")
    elif ".jsonl" in name:
        write_jsonl(path, truth)
    elif name.endswith(".parquet"):
        pq.write_table(to_arrow(truth), path, row_group_size=97)
    elif name.endswith(".arrow"):
        feather.write_feather(to_arrow(truth), path, chunksize=101)
    else:
        raise ValueError(name)
