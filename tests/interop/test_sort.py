"""Sorting against Python's own stable sort and GNU sort: the rows, and the order of those with equal keys."""

import math
import os
import random
import subprocess
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers import NAN, assert_table, concat, generate, height, sleep_amid, take, to_pandas, write
from test_cluster import finish, running_job, settle


def rank(value):
    """Python compares all but NaN as Shardmill does: NaN is more than any number."""
    return (1, 0) if isinstance(value, float) and math.isnan(value) else (0, value)


def expected(truth, by, descending=(), nulls_last=False):
    """The rows that a stable sort by one column after another, the least important first, leaves."""
    rows = list(range(height(truth)))
    for name in reversed(by):
        values = truth[name]
        some = sorted((r for r in rows if values[r] is not None), key=lambda r: rank(values[r]))
        if name in descending:
            # `reverse=True` keeps the order of equal rows.
            some = sorted((r for r in rows if values[r] is not None), key=lambda r: rank(values[r]), reverse=True)
        none = [r for r in rows if values[r] is None]
        rows = some + none if nulls_last else none + some
    return take(truth, rows)


ORDERS = [
    (["id"], [], False),
    (["x"], [], False),
    (["x", "s"], ["x"], True),
    (["s", "x"], ["s"], False),
    (["ok", "day", "at"], ["day"], True),
    (["zip", "big"], ["zip", "big"], False),
    (["at"], ["at"], True),
    (["s", "ok", "id"], [], True),
]


def options(by, descending, nulls_last):
    return [
        "--by", ",".join(by), *(["--descending", ",".join(descending)] if descending else []), *(["--nulls-last"] if nulls_last else [])
    ]  # fmt: skip


def test_every_type_and_direction(mill, tmp_path):
    parts = [generate(seed, 250, duplicates=0.5) for seed in (61, 62, 63)]
    for n, part in enumerate(parts):
        write(tmp_path / f"{n}.parquet", part)
    truth = concat(parts)
    mill.ingest("t", *(tmp_path / f"{n}.parquet" for n in range(3)), shard_size=3000)
    assert mill.shards("t") >= 3
    for n, order in enumerate(ORDERS):
        result = mill.run("sort", "t", f"u{n}", *options(*order))
        assert result["rows"] == height(truth) and result["counters"]["rows_out"] == height(truth)
        assert_table(mill.table(f"u{n}"), expected(truth, *order), f"{order}")


def test_nulls_nans_zeros_and_text(mill, tmp_path):
    truth = {
        "x": [1.0, None, NAN, -0.0, 0.0, float("-inf"), None, float("inf")],
        "s": ["b", "", None, "a\u0301", "á", "a", "🦀", "aa"],
    }
    table = pa.table({"x": pa.array(truth["x"], from_pandas=False), "s": pa.array(truth["s"])})
    pq.write_table(table, tmp_path / "t.parquet")
    mill.ingest("t", tmp_path / "t.parquet")
    for n, order in enumerate([(["x"], [], False), (["x"], ["x"], False), (["x"], ["x"], True), (["s"], [], False), (["s"], ["s"], True)]):
        mill.run("sort", "t", f"u{n}", *options(*order))
        assert_table(mill.table(f"u{n}"), expected(truth, *order), f"{order}")


def test_of_rows_that_were_dropped_and_of_none(mill, tmp_path):
    truth = generate(71, 900, duplicates=0.6)
    write(tmp_path / "t.csv", truth)
    mill.ingest("t", tmp_path / "t.csv", shard_size=4000)
    mill.run("dedup", "t", "d", "--keys", "id")
    left = take(truth, to_pandas(truth).drop_duplicates(subset=["id"]).index)
    mill.run("sort", "d", "u", "--by", "s,id", "--descending", "id")
    assert_table(mill.table("u"), expected(left, ["s", "id"], ["id"]))
    (tmp_path / "e.csv").write_text("a,b\n")
    mill.ingest("e", tmp_path / "e.csv")
    result = mill.run("sort", "e", "none", "--by", "b")
    assert result["rows"] == 0 and mill.table("none").column_names == ["a", "b"]


def test_mistakes(mill, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    mill.ingest("t", tmp_path / "t.csv")
    for args, status, said in [
        (["--by", "a,c"], 1, "has no column `c`; its columns are a, b"),
        (["--by", "a,a"], 2, "`a` is named twice"),
        (["--by", "a", "--descending", "b"], 2, "`b` is not sorted by"),
        ([], 2, "--by"),
    ]:
        assert said in mill.run("sort", "t", "u", *args, status=status)["error"]
    assert "nothing" in mill.run("sort", "nothing", "u", "--by", "a", status=1)["error"]


ROWS = 160_000


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Records of a hundred bytes and a key that mostly repeats: enough for several ranges."""
    folder = tmp_path_factory.mktemp("records")
    rng = np.random.default_rng(5)
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/", dtype=np.uint8)
    lines = [bytes(row).decode() for row in letters[rng.integers(0, 64, (ROWS, 99))]]
    # Nine of ten rows have one key.
    key = np.where(rng.random(ROWS) < 0.9, 500, rng.integers(0, 1000, ROWS))
    table = pa.table({"line": lines, "key": key, "same": np.full(ROWS, 7), "n": np.arange(ROWS)})
    pq.write_table(table, folder / "t.parquet", row_group_size=ROWS // 8)
    return folder, lines, key


def spilled(mill, result):
    """Bytes that tasks wrote to their own disks for want of memory."""
    return sum(stage["spilled"] for stage in mill.run("job", "show", result["job"])["stages"])


def test_ranges_workers_and_memory(mills, records):
    folder, lines, key = records
    text = "\n".join(lines).encode() + b"\n"
    done = subprocess.run(["sort"], input=text, capture_output=True, env={**os.environ, "LC_ALL": "C"}, check=True)
    by_line = done.stdout.decode().splitlines()
    by_key = np.argsort(-key, kind="stable").tolist()
    seen = set()
    # The last has a mebibyte for each task, which is less than a range.
    for n, how in enumerate([("--workers", 1), ("--workers", 3), ("--workers", 1, "--memory", "64MiB", "--slots", 64)]):
        mill = mills(*how)
        mill.ingest("t", folder / "t.parquet", shard_size=2_500_000)
        assert mill.shards("t") >= 4
        result = mill.run("sort", "t", "lines", "--by", "line")
        assert (spilled(mill, result) > 0) == (n == 2)
        # One key in nine of ten rows, and one in all of them: cut by position, and in the old order.
        mill.run("sort", "t", "keys", "--by", "key", "--descending", "key")
        mill.run("sort", "t", "same", "--by", "same")
        if n == 0:
            assert mill.table("lines").column("line").to_pylist() == by_line
            assert mill.table("keys").column("n").to_pylist() == by_key
            assert mill.table("same").column("n").to_pylist() == list(range(ROWS))
            assert all(mill.shards(name) >= 8 for name in ("lines", "keys", "same")), "a key that repeats piles up on one task"
        seen.add((mill.csv("lines"), mill.csv("keys"), mill.csv("same")))
    assert len(seen) == 1, "workers or memory make a difference"


def test_a_worker_killed_in_the_middle_changes_nothing(own_cluster, records):
    folder, lines, _ = records
    cluster = own_cluster(workers=3)
    mill = cluster.shardmill
    mill.ingest("t", folder / "t.parquet", shard_size=2_500_000)
    begun = time.monotonic()
    mill.run("sort", "t", "calm", "--by", "line")
    length = time.monotonic() - begun
    wanted = mill.csv("calm")
    rng = random.Random(3)
    fired = 0
    for attempt in range(8):
        args = ["sort", "t", f"u{attempt}", "--by", "line"]
        process = mill.start(*args)
        while running_job(cluster) is None and process.poll() is None:
            pass
        sleep_amid(rng, length, 0.1, 0.6, misses=attempt - fired)
        rng.choice(cluster.workers).kill()
        fired += process.poll() is None
        assert finish(cluster, process, args)["rows"] == ROWS
        assert mill.csv(f"u{attempt}") == wanted
        if fired == 2:
            break
        settle(cluster)
    assert fired, "no worker was killed while the job ran"
