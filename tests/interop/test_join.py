"""Joins against pandas' `merge`, by both ways a join is run: looked up in a small side that is broadcast, and shuffled."""

import datetime as dt
import random
import time

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers import Failed, assert_rows, cell, from_pandas, height, rows_of, to_pandas

MERGES = ["inner", "left", "right", "outer"]
# The smallest and the largest limit: every join shuffled, and every join that can be broadcast.
WAYS = ["0", "1GiB"]


def join(mill, left, right, out="o", **options):
    args = []
    for name, value in options.items():
        args += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
    return mill.run("join", left, right, out, *args)


def apart(frame: pd.DataFrame, keys, side: str) -> pd.DataFrame:
    """Nulls in a key as texts that no other row has: pandas matches nulls, SQL does not."""
    frame = frame.copy()
    for key in keys:
        frame[key] = pd.Series([f"\0{side}{n}" if v is None else v for n, v in enumerate(frame[key])], dtype=object)
    return frame


def merged(left, right, on, how, nulls_equal=False, suffixes=("_x", "_y")):
    """pandas' answer as a dict of lists. `on`: pairs of names. Outer: the left's order, then right-only rows in the right's."""
    a, b = to_pandas(left), to_pandas(right)
    a["\0n"], b["\0m"] = range(len(a)), range(len(b))
    left_on, right_on = [k for k, _ in on], [k for _, k in on]
    if not nulls_equal:
        a, b = apart(a, left_on, "l"), apart(b, right_on, "r")
    names = {"on": left_on} if left_on == right_on else {"left_on": left_on, "right_on": right_on}
    if how in ("semi", "anti"):
        hits = a.merge(b[right_on].drop_duplicates(), how="left", left_on=left_on, right_on=right_on, indicator=True)
        wanted = hits["_merge"].astype(str) == ("both" if how == "semi" else "left_only")
        rows = [n for n, w in zip(hits["\0n"], wanted) if w]
        return {name: [values[n] for n in rows] for name, values in left.items()}
    if how == "outer":
        frame = pd.concat(
            [a.merge(b, how="left", suffixes=suffixes, **names), a.merge(b, how="right", suffixes=suffixes, **names)]
        )
        frame = frame[~frame.duplicated(["\0n", "\0m"])]
        assert len(frame) == len(a.merge(b, how="outer", suffixes=suffixes, **names))
    else:
        frame = a.merge(b, how=how, suffixes=suffixes, **names)
    out = from_pandas(frame.drop(columns=["\0n", "\0m"]))
    unmarked = lambda v: None if isinstance(v, str) and v.startswith("\0") and v[1] in "lr" else v
    return {name: [unmarked(v) for v in values] for name, values in out.items()}


def assert_joined(mill, name, wanted, what):
    table = mill.table(name)
    assert table.column_names == list(wanted), what
    assert_rows(rows_of(table), rows_of(wanted), what)


def table(seed, rows, prefix):
    """Keys of every type with nulls and repeats, a column that both sides have, and one of its own."""
    rng = random.Random(seed)
    some = lambda make, nulls=0.15: [None if rng.random() < nulls else make() for _ in range(rows)]
    return {
        "id": some(lambda: rng.randrange(25)),
        "name": some(lambda: rng.choice(["", "a", "b", "Ünï", "日本", "x" * 40, "a,b"])),
        "day": some(lambda: dt.date(2024, 1, 1) + dt.timedelta(days=rng.randrange(4))),
        "note": [f"{prefix}{n}" for n in range(rows)],
        f"{prefix}_x": some(lambda: rng.random()),
    }


def put(mill, folder, name, truth, shard_rows=17):
    """A dataset of several shards."""
    folder.mkdir(exist_ok=True, parents=True)
    types = {"id": pa.int64(), "day": pa.date32(), "key": pa.int64(), "at": pa.timestamp("us"), "real": pa.float64()}
    text = lambda n: pa.float64() if n.endswith("_x") else pa.string()
    columns = {n: pa.array(v, types.get(n, text(n))) for n, v in truth.items()}
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=shard_rows)
    mill.ingest(name, path, shard_size="1KiB")


@pytest.fixture(scope="module")
def sides(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sides")
    left, right = table(1, 140, "l"), table(2, 90, "r")
    other = {("key" if n == "id" else n): v for n, v in right.items()}
    for name, truth in (("l", left), ("r", right), ("k", other)):
        put(cluster.shardmill, folder, name, truth)
    assert cluster.shardmill.shards("l") > 3 and cluster.shardmill.shards("r") > 2
    return left, right, other


@pytest.mark.parametrize("how", [*MERGES, "semi", "anti"])
def test_every_way_gives_what_pandas_gives(cluster, sides, how):
    left, right, other = sides
    mill = cluster.shardmill
    for on, nulls in [("id", False), ("id", True), ("id,name", False), ("name,day", True)]:
        pairs = [(k, k) for k in on.split(",")]
        wanted = merged(left, right, pairs, how, nulls)
        for way in WAYS:
            result = join(mill, "l", "r", on=on, how=how, broadcast_limit=way, **({"nulls_equal": True} if nulls else {}))
            what = f"{how} on {on}, nulls {nulls}, way {way}"
            assert result["rows"] == height(wanted) == result["counters"]["rows_out"], what
            assert result["counters"]["rows_in"] == height(left) + height(right), what
            assert_joined(mill, "o", wanted, what)
    wanted = merged(left, other, [("id", "key")], how, suffixes=("", "_right"))
    for way in WAYS:
        join(mill, "l", "k", on="id=key", how=how, broadcast_limit=way, suffixes=",_right")
        assert_joined(mill, "o", wanted, f"{how} on id=key, way {way}")


def test_empty_sides(cluster, sides):
    left, _, _ = sides
    mill = cluster.shardmill
    # A side without shards, and one whose rows are all gone by deletion vectors or rewriting.
    for name in ("none", "gone"):
        join(mill, "l", "l", out=name, on="note", how="anti", **({"broadcast_limit": 0} if name == "gone" else {}))
        assert mill.run("dataset", "show", name)["rows"] == 0
    for how in [*MERGES, "semi", "anti"]:
        for way in WAYS:
            result = join(mill, "l", "none", on="note", how=how, broadcast_limit=way)
            assert result["rows"] == (height(left) if how in ("left", "outer", "anti") else 0), (how, way)
            result = join(mill, "none", "l", on="note", how=how, broadcast_limit=way)
            assert result["rows"] == (height(left) if how in ("right", "outer") else 0), (how, way)
            join(mill, "none", "gone", on="note", how=how, broadcast_limit=way)
            assert mill.run("dataset", "show", "o")["rows"] == 0


def test_rows_that_were_dropped_are_not_joined(cluster, sides):
    """Both sides with deletion vectors."""
    left, right, _ = sides
    mill = cluster.shardmill
    mill.run("dedup", "l", "ld", "--keys", "id,day")
    mill.run("dedup", "r", "rd", "--keys", "name,day")
    kept = lambda truth, keys: {
        n: v for n, v in from_pandas(to_pandas(truth).drop_duplicates(subset=keys)).items()
    }
    a, b = kept(left, ["id", "day"]), kept(right, ["name", "day"])
    for how in ("left", "outer", "semi", "anti"):
        for way in WAYS:
            join(mill, "ld", "rd", on="id", how=how, broadcast_limit=way)
            assert_joined(mill, "o", merged(a, b, [("id", "id")], how), f"{how}, way {way}")


def test_a_semi_join_that_drops_nothing_copies_nothing(cluster, sides):
    mill = cluster.shardmill
    for way in WAYS:
        before = sum(n["objects"] for n in mill.run("nodes", "list")["nodes"])
        join(mill, "l", "l", on="note", how="semi", broadcast_limit=way)
        after = sum(n["objects"] for n in mill.run("nodes", "list")["nodes"])
        assert (mill.shards("o"), after) == (mill.shards("l"), before)


def test_types_meet_where_values_can_be_equal(cluster, tmp_path):
    mill = cluster.shardmill
    whole = {"id": [1, 2, 2**53, 2**53 + 1, 2**63 - 1, None, 0], "note": list("abcdefg")}
    real = {"real": [2.0, 2.5, float(2**53), 9.3e18, 1.0, None, -0.0], "mark": list("ABCDEFG")}
    put(mill, tmp_path, "whole", whole)
    put(mill, tmp_path, "real", real)
    # A whole number equals a float of its very value; 2**53 + 1 is rounded to 2**53 but is not equal to it.
    for way in WAYS:
        join(mill, "whole", "real", on="id=real", broadcast_limit=way)
        assert rows_of(mill.table("o")) == [
            (cell(1), "a", cell(1.0), "E"),
            (cell(2), "b", cell(2.0), "A"),
            (cell(2**53), "c", cell(float(2**53)), "C"),
            (cell(0), "g", cell(-0.0), "G"),
        ]
    day, at = dt.date(2024, 2, 29), dt.datetime(2024, 2, 29)
    put(mill, tmp_path, "days", {"day": [day, day + dt.timedelta(1), None], "note": list("abc")})
    put(mill, tmp_path, "times", {"at": [at + dt.timedelta(hours=1), at], "mark": list("AB")})
    for way in WAYS:
        join(mill, "days", "times", on="day=at", broadcast_limit=way)
        assert rows_of(mill.table("o")) == [(cell(day), "a", cell(at), "B")]


def test_bad_input_is_told_before_anything_runs(cluster, sides):
    mill = cluster.shardmill

    def refused(*args, status=1):
        error = mill.run("join", *args, status=status)["error"]
        assert "internal" not in error, error
        return error

    assert "note" in refused("l", "r", "o") and "--on" in refused("l", "r", "o")
    assert "`nope`" in refused("l", "r", "o", "--on", "nope") and "day" in refused("l", "r", "o", "--on", "nope")
    both = refused("l", "r", "o", "--on", "id=name")
    assert "int64" in both and "string" in both
    assert "twice" in refused("l", "r", "o", "--on", "id,id")
    assert "suffixes" in refused("l", "r", "o", "--on", "id", "--suffixes", "_a,_a", status=2)
    assert "key" in refused("l", "r", "o", "--on", "id=", status=2)
    jobs = len(mill.run("job", "list")["jobs"])
    refused("l", "r", "o", "--on", "id=name")
    assert len(mill.run("job", "list")["jobs"]) == jobs


def test_names_that_clash_are_refused(cluster, tmp_path):
    mill = cluster.shardmill
    put(mill, tmp_path, "p", {"id": [1], "v": ["a"], "v_y": ["b"]})
    put(mill, tmp_path, "q", {"id": [1], "v": ["c"]})
    error = mill.run("join", "p", "q", "o", "--on", "id", status=1)["error"]
    assert "`v_y`" in error and "--suffixes" in error
    join(mill, "p", "q", on="id", suffixes="_p,_q")
    assert mill.table("o").column_names == ["id", "v_p", "v_y", "v_q"]


@pytest.mark.parametrize("workers", [1, 5])
def test_the_result_does_not_depend_on_the_cluster(mills, tmp_path, cluster, sides, workers):
    left, right, _ = sides
    mill = mills("--workers", workers, "--slots", 2)
    put(mill, tmp_path, "l", left)
    put(mill, tmp_path, "r", right)
    for how in ("outer", "right"):
        for way in WAYS:
            join(cluster.shardmill, "l", "r", on="id", how=how, broadcast_limit=way)
            wanted = cluster.shardmill.csv("o")
            join(mill, "l", "r", on="id", how=how, broadcast_limit=way)
            assert mill.csv("o") == wanted, (how, way)


def test_a_key_with_very_many_partners_fits_in_little_memory(mills, tmp_path):
    """1,000 rows with 1,500 partners of 400 bytes each: 600 MB of rows, by a worker that may take 64 MiB."""
    mill = mills("--memory", "64MiB", "--slots", 2)
    folder = tmp_path / "skewed"
    folder.mkdir()
    rows, partners = 1000, 1500
    left = pa.table({"id": pa.array([7] * rows + list(range(100, 600))), "n": pa.array(range(rows + 500))})
    right = pa.table({"id": pa.array([7] * partners), "m": pa.array(range(partners)), "pad": pa.array(["p" * 400] * partners)})
    pq.write_table(left, folder / "l.parquet")
    pq.write_table(right, folder / "r.parquet")
    mill.ingest("l", folder / "l.parquet")
    mill.ingest("r", folder / "r.parquet")
    for way in WAYS:
        result = join(mill, "l", "r", on="id", how="left", broadcast_limit=way)
        assert result["rows"] == rows * partners + 500
        assert mill.shards("o") > 5
        path = tmp_path / "o.parquet"
        mill.run("dataset", "export", "o", "--to", path, "--force")
        got = pq.read_table(path, columns=["n", "m"])
        assert got.column("n").to_pylist()[: partners + 1] == [0] * partners + [1]
        assert got.column("m").to_pylist()[: 2 * partners] == list(range(partners)) * 2


def test_partners_that_do_not_fit_come_in_passes(mills, tmp_path):
    """More is delivered to one shard than a task may hold: 20 MB of rows by key, and 12 MB of one key."""
    mill = mills("--memory", "64MiB", "--slots", 2)
    folder = tmp_path / "wide"
    folder.mkdir()
    rng = random.Random(5)
    keys, hot = 50_000, 30_000
    left_id = [-1, *rng.sample(range(keys + 100), keys), -1, -2]
    right_id = [-1] * hot + list(range(keys))
    rng.shuffle(right_id)
    pad = "p" * 400
    pq.write_table(pa.table({"id": left_id, "n": range(len(left_id))}), folder / "l.parquet")
    pq.write_table(pa.table({"id": right_id, "m": range(len(right_id)), "pad": [f"{pad}{n}" for n in range(len(right_id))]}), folder / "r.parquet")
    mill.ingest("l", folder / "l.parquet")
    mill.ingest("r", folder / "r.parquet")
    assert mill.shards("l") == 1
    left, right = pd.DataFrame({"id": left_id, "n": range(len(left_id))}), pd.DataFrame({"id": right_id, "m": range(len(right_id))})
    wanted = left.merge(right, on="id", how="left")
    for way in WAYS:
        join(mill, "l", "r", on="id", how="left", broadcast_limit=way)
        table = mill.table("o")
        assert table.column("n").to_pylist() == wanted["n"].tolist(), way
        numbers = [None if pd.isna(m) else int(m) for m in wanted["m"]]
        assert table.column("m").to_pylist() == numbers, way
        assert table.column("pad").to_pylist() == [None if m is None else f"{pad}{m}" for m in numbers], way


@pytest.mark.parametrize("how", ["outer", "semi"])
def test_a_worker_that_is_killed_changes_nothing(own_cluster, sides, tmp_path, how):
    left, right, _ = sides
    cluster = own_cluster(workers=3)
    mill = cluster.shardmill
    put(mill, tmp_path, "l", left, 4)
    put(mill, tmp_path, "r", right, 4)
    wanted = merged(left, right, [("id", "id")], how)
    for pause in (0.0, 0.05, 0.12, 0.25):
        running = mill.start("join", "l", "r", "o", "--on", "id", "--how", how, "--broadcast-limit", "0")
        time.sleep(pause)
        victim = cluster.workers[1]
        victim.kill()
        victim.start()
        stdout, stderr = running.communicate(timeout=60)
        assert running.returncode == 0, (stdout, stderr)
        assert_joined(mill, "o", wanted, f"killed after {pause} s")
        cluster.wait_for_workers(3)
