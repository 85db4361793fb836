"""Aggregates against pandas' groupby, and against Python where null and NaN have to stay apart."""

import json
import math
import random
import statistics
import time
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers import NAN, TYPES, columns_of, concat, generate, height, sleep_amid, take, to_pandas, write
from test_cluster import finish, running_job, settle
from test_sort import rank, spilled


def nothing(values, function):
    return function(values) if values else None


def in_order(values):
    """NaN is more than any number, as in SQL."""
    return sorted((v for v in values if v == v), key=rank) + [v for v in values if v != v]


def quantile(share):
    def of(values):
        numbers = [v for v in values if v == v]
        if len(numbers) == len(values):
            return float(np.quantile(np.array(values, dtype=float), share))
        values = in_order(values)
        place = share * (len(values) - 1)
        low, high = float(values[math.floor(place)]), float(values[math.ceil(place)])
        return low if low == high else low + (high - low) * (place - math.floor(place))

    return of


def moment(power):
    def of(values):
        if len(values) < 2:
            return None
        if any(v != v for v in values):
            return NAN
        # Without any rounding: NumPy's mean of large numbers that are all the same is another number.
        return float(statistics.variance([Fraction(float(v)) for v in values])) ** power

    return of


def total(values):
    return math.fsum(values) if isinstance(values[0], float) else sum(values)


FUNCTIONS = {
    "sum": lambda v: nothing(v, total),
    "mean": lambda v: nothing(v, lambda v: total(v) / len(v)),
    "min": lambda v: nothing(v, lambda v: in_order(v)[0]),
    "max": lambda v: nothing(v, lambda v: in_order(v)[-1]),
    "variance": moment(1),
    "stddev": moment(0.5),
    "median": lambda v: nothing(v, quantile(0.5)),
    "quantile": lambda v: nothing(v, quantile(0.9)),
    "count": len,
    "distinct": lambda v: len({"nan" if x != x else x for x in v}),
    "approx_distinct": lambda v: len({"nan" if x != x else x for x in v}),
}


def key(value):
    """-0.0 and 0.0 are one key in Python too; NaN is one, and not null."""
    return "a NaN" if isinstance(value, float) and value != value else value


def expected(truth, by, aggregates):
    groups = {}
    for row in range(height(truth)):
        groups.setdefault(tuple(key(truth[b][row]) for b in by), []).append(row)
    first = [rows[0] for rows in groups.values()] if by else []
    out = {b: [truth[b][row] for row in first] for b in by}
    for name, (function, column) in aggregates.items():
        out[name] = []
        for rows in groups.values() if by else [range(height(truth))]:
            if column is None:
                out[name].append(len(rows))
            else:
                out[name].append(FUNCTIONS[function]([v for v in (truth[column][r] for r in rows) if v is not None]))
    order = list(range(len(first) if by else 1))
    for b in reversed(by):
        order = sorted((r for r in order if out[b][r] is not None), key=lambda r: rank(out[b][r])) + [r for r in order if out[b][r] is None]
    return take(out, order)


def text_of(aggregates):
    shares = {"quantile": ", 0.9"}
    return ", ".join(f"{name}={function}({column or ''}{shares.get(function, '')})" for name, (function, column) in aggregates.items())


def assert_close(table, wanted, what=""):
    found = columns_of(table)
    assert list(found) == list(wanted), what
    for name in wanted:
        assert len(found[name]) == len(wanted[name]), f"{what} {name}: {len(found[name])} groups, not {len(wanted[name])}"
        for n, (got, want) in enumerate(zip(found[name], wanted[name])):
            if isinstance(want, float) and isinstance(got, float):
                same = (got != got and want != want) or got == want or math.isclose(got, want, rel_tol=1e-9, abs_tol=1e-12)
            elif name.startswith("approx"):
                same = abs(got - want) <= max(1, 0.05 * want)
            else:
                same = type(got) is type(want) and got == want
            assert same, f"{what} {name} of group {n}: got {got!r}, wanted {want!r}"


def everything():
    """All functions over all types that they take."""
    found = {"rows": ("count", None)}
    for column, kind in TYPES.items():
        takes = ["count", "min", "max", "distinct", "approx_distinct"]
        if kind in ("int64", "float64", "boolean"):
            takes += ["mean"] + (["sum"] if column != "big" else [])
        if kind in ("int64", "float64"):
            takes += ["variance", "stddev", "median", "quantile"]
        found |= {f"{function}_{column}": (function, column) for function in takes}
    return found


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Files of every type with nulls; sums of infinities and of 1e300 would be the same whatever is done to them."""
    folder = tmp_path_factory.mktemp("several")
    parts = [generate(seed, 230, duplicates=0.5) for seed in (81, 82, 83)]
    for part in parts:
        part["x"] = [None if v is None else v if abs(v) < 1e7 or v != v else 3.25 for v in part["x"]]
    for n, part in enumerate(parts):
        write(folder / f"{n}.parquet", part)
    return [folder / f"{n}.parquet" for n in range(3)], concat(parts)


BYS = [["zip"], ["ok", "day"], ["x"], ["s", "ok"], ["at"], ["big"], []]


def test_every_function_type_and_key(mill, several):
    paths, truth = several
    mill.ingest("t", *paths, shard_size=3000)
    assert mill.shards("t") >= 3
    for n, by in enumerate(BYS):
        wanted = everything()
        options = ["--by", ",".join(by)] if by else []
        result = mill.run("aggregate", "t", f"u{n}", *options, "--agg", text_of(wanted))
        expect = expected(truth, by, wanted)
        assert result["counters"] == {"rows_in": height(truth), "rows_out": len(expect["rows"])}
        assert_close(mill.table(f"u{n}"), expect, f"by {by}")
    kinds = mill.types("u0")
    assert kinds["min_day"] == "date" and kinds["max_at"] == "datetime" and kinds["min_ok"] == "boolean" and kinds["sum_ok"] == "int64"


def test_as_pandas_has_it(mill, tmp_path):
    rng = np.random.default_rng(11)
    frame = pd.DataFrame({
        "city": rng.choice(["Ulm", "Bonn", "Köln"], 3000),
        "day": rng.integers(0, 20, 3000),
        "amount": rng.gamma(2.0, 40.0, 3000),
        "customer": [f"customer {n}" for n in rng.integers(0, 500, 3000)],
    })
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), tmp_path / "t.parquet")
    mill.ingest("t", tmp_path / "t.parquet", shard_size=9000)
    agg = "n=count(), mean_amount=mean(amount), buyers=distinct(customer), p95=quantile(amount, 0.95), med=median(amount)"
    mill.run("aggregate", "t", "u", "--by", "city,day", "--agg", agg, "--agg", "v=variance(amount), top=max(amount)")
    wanted = frame.groupby(["city", "day"], dropna=False).agg(
        n=("amount", "size"), mean_amount=("amount", "mean"), buyers=("customer", "nunique"),
        p95=("amount", lambda a: a.quantile(0.95)), med=("amount", "median"), v=("amount", "var"), top=("amount", "max"),
    )  # fmt: skip
    got = mill.table("u").to_pandas().set_index(["city", "day"])
    pd.testing.assert_frame_equal(got, wanted, check_dtype=False, check_index_type=False, rtol=1e-12)


def test_nothing_and_dropped_rows(mill, several, tmp_path):
    (tmp_path / "e.csv").write_text("a,b\n")
    mill.ingest("e", tmp_path / "e.csv")
    agg = "n=count(), c=count(a), d=distinct(a), m=min(b)"
    mill.run("aggregate", "e", "one", "--agg", agg)
    assert columns_of(mill.table("one")) == {"n": [0], "c": [0], "d": [0], "m": [None]}
    mill.run("aggregate", "e", "none", "--by", "b", "--agg", agg)
    assert columns_of(mill.table("none")) == {"b": [], "n": [], "c": [], "d": [], "m": []}
    paths, truth = several
    mill.ingest("t", *paths, shard_size=3000)
    mill.run("dedup", "t", "d", "--keys", "id")
    left = take(truth, to_pandas(truth).drop_duplicates(subset=["id"]).index)
    wanted = {"n": ("count", None), "mean_x": ("mean", "x"), "median_id": ("median", "id")}
    mill.run("aggregate", "d", "u", "--by", "ok", "--agg", text_of(wanted))
    assert_close(mill.table("u"), expected(left, ["ok"], wanted))


def test_sums_are_exact_or_refused(mill, tmp_path):
    big = 2**62
    (tmp_path / "0.csv").write_text(f"k,n\na,{big}\nb,{big}\na,{big}\n")
    (tmp_path / "1.csv").write_text(f"k,n\nb,{-big}\nb,{big}\na,-1\n")
    mill.ingest("t", tmp_path / "0.csv", tmp_path / "1.csv")
    assert mill.shards("t") == 2
    mill.run("aggregate", "t", "u", "--by", "k", "--agg", "s=sum(n), m=mean(n)")
    table = columns_of(mill.table("u"))
    assert table["s"] == [2 * big - 1, big] and table["m"][1] == pytest.approx(big / 3)
    (tmp_path / "m.csv").write_text("k,n\n" + f"a,{big}\n" * 3)
    mill.ingest("m", tmp_path / "m.csv")
    error = mill.run("aggregate", "m", "u", "--by", "k", "--agg", "s=sum(n)", status=1)["error"]
    assert f"sum of column `n` over the group {{\"k\":\"a\"}} is {3 * big}" in error


def test_mistakes(mill, tmp_path):
    (tmp_path / "t.csv").write_text("a,b,day\nx,2,2024-01-01\n")
    mill.ingest("t", tmp_path / "t.csv")
    for args, status, said in [
        (["--agg", "n=cont()"], 2, "`cont` is no function"),
        (["--agg", "n=sum(b"], 2, "`)` is expected"),
        (["--agg", "n=count(), n=count()"], 2, "named `n`"),
        (["--by", "a,a", "--agg", "n=count()"], 2, "`a` is named twice"),
        ([], 2, "--agg"),
        (["--by", "c", "--agg", "n=count()"], 1, "has no column `c` to group by; its columns are a, b, day"),
        (["--by", "a", "--agg", "n=sum(c)"], 1, "has no column `c`"),
        (["--by", "a", "--agg", "n=mean(day)"], 1, "mean needs numbers, and column `day` is date"),
        (["--by", "a", "--agg", "a=count()"], 1, "as a column to group by is"),
    ]:  # fmt: skip
        assert said in mill.run("aggregate", "t", "u", *args, status=status)["error"]


ROWS = 200_000


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Nearly as many groups as rows, of which one has nine of ten rows in the column `skewed`."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(6)
    customer = rng.integers(0, ROWS // 2, ROWS)
    frame = pd.DataFrame({
        "customer": [f"customer {n}" for n in customer],
        "skewed": np.where(rng.random(ROWS) < 0.9, 7, rng.integers(0, 5000, ROWS)),
        "n": rng.integers(-1000, 1000, ROWS),
        "amount": np.round(rng.gamma(2.0, 40.0, ROWS), 2),
    })
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / "t.parquet", row_group_size=ROWS // 8)
    return folder / "t.parquet", frame


AGG = "rows=count(), total=sum(n), mean=mean(amount), med=median(amount), others=distinct(customer), ns=distinct(n), about=approx_distinct(n)"


def test_workers_and_memory_make_no_difference(mills, many):
    path, frame = many
    seen = set()
    # The last has a mebibyte for each task.
    for n, how in enumerate([("--workers", 1), ("--workers", 3), ("--workers", 1, "--memory", "64MiB", "--slots", 64)]):
        mill = mills(*how)
        mill.ingest("t", path, shard_size=400_000)
        assert mill.shards("t") >= 3
        for by in ("customer", "skewed"):
            mill.run("aggregate", "t", by, "--by", by, "--agg", AGG)
        result = mill.run("aggregate", "t", "all", "--agg", AGG)
        assert (spilled(mill, result) > 0) == (n == 2)
        if n == 0:
            for by in ("customer", "skewed"):
                grouped = frame.groupby(by).agg(
                    rows=("n", "size"), total=("n", "sum"), mean=("amount", "mean"), med=("amount", "median"),
                    others=("customer", "nunique"), ns=("n", "nunique"),
                )  # fmt: skip
                got = mill.table(by).to_pandas().set_index(by)
                about = got.pop("about")
                pd.testing.assert_frame_equal(got, grouped, check_dtype=False, check_index_type=False, rtol=1e-12)
                assert (abs(about - grouped["ns"]) <= np.maximum(1, 0.06 * grouped["ns"])).all()
            one = columns_of(mill.table("all"))
            assert one["rows"] == [ROWS] and one["others"] == [frame["customer"].nunique()] and one["med"] == [frame["amount"].median()]
        seen.add(json.dumps([mill.csv(name).decode() for name in ("customer", "skewed", "all")]))
    assert len(seen) == 1, "workers or memory make a difference"


def test_a_worker_killed_in_the_middle_changes_nothing(own_cluster, many):
    path, _ = many
    cluster = own_cluster(workers=3)
    mill = cluster.shardmill
    mill.ingest("t", path, shard_size=400_000)
    args = ["--by", "customer", "--agg", AGG]
    begun = time.monotonic()
    mill.run("aggregate", "t", "calm", *args)
    length = time.monotonic() - begun
    wanted = mill.csv("calm")
    rng = random.Random(4)
    fired = 0
    for attempt in range(8):
        command = ["aggregate", "t", f"u{attempt}", *args]
        process = mill.start(*command)
        while running_job(cluster) is None and process.poll() is None:
            pass
        sleep_amid(rng, length, 0.1, 0.6, misses=attempt - fired)
        rng.choice(cluster.workers).kill()
        fired += process.poll() is None
        finish(cluster, process, command)
        assert mill.csv(f"u{attempt}") == wanted
        if fired == 2:
            break
        settle(cluster)
    assert fired, "no worker was killed while the job ran"
