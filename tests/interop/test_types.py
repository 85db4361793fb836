"""Decimals, times of day, durations, bytes and nanoseconds through every verb, with Python, pandas and DuckDB as the oracles."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import random
import subprocess

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from helpers import binary, environment

D = decimal.Decimal
ROWS = 400

# What a table has, and what it is stored as.
TYPES = {
    "price": (pa.decimal128(12, 2), "decimal(12,2)"),
    "wide": (pa.decimal128(38, 10), "decimal(38,10)"),
    "tm": (pa.time64("ns"), "time"),
    "span": (pa.duration("ns"), "duration"),
    "raw": (pa.binary_view(), "binary"),
    "ns": (pa.timestamp("ns"), "datetime_ns"),
    "ns_utc": (pa.timestamp("ns", "UTC"), "datetime_utc_ns"),
    "us": (pa.timestamp("us"), "datetime"),
}


def values(name: str, rng: random.Random, rows: int) -> list:
    """Values with repeats, nulls and extremes, as integers of the type's own unit."""
    ranges = {
        "price": 10**12 - 1, "wide": 10**38 - 1, "span": 2**63 - 1, "ns": 2**63 - 1, "ns_utc": 2**63 - 1, "us": 200_000_000_000_000_000,
    }  # fmt: skip
    out: list = []
    for _ in range(rows):
        kind = rng.random()
        if kind < 0.1:
            out.append(None)
        elif name == "tm":
            out.append(rng.choice([0, 86_400_000_000_000 - 1, rng.randrange(86_400_000_000_000), 3_600_000_000_000]))
        elif name == "raw":
            out.append(rng.choice([b"", b"\x00", b"\xff\xfe", b"text", rng.randbytes(rng.randrange(20))]))
        else:
            most = ranges[name]
            out.append(rng.choice([0, -1, 5, most, -most, rng.randint(-most, most), rng.randint(-1000, 1000)]))
    return out


def column(name: str, ints: list) -> pa.Array:
    dtype = TYPES[name][0]
    if pa.types.is_decimal(dtype):
        return pa.array([None if n is None else D(n).scaleb(-dtype.scale, decimal.Context(prec=60)) for n in ints], dtype)
    if name == "raw":
        return pa.array(ints, dtype)
    return pa.array(ints, pa.int64()).cast(dtype)


@pytest.fixture(scope="module")
def truth() -> pa.Table:
    rng = random.Random(20261129)
    columns = {"id": pa.array(range(ROWS), pa.int64()), "g": pa.array([rng.choice("abc") for _ in range(ROWS)])}
    columns |= {name: column(name, values(name, rng, ROWS)) for name in TYPES}
    return pa.table(columns)


@pytest.fixture
def loaded(mill, truth, tmp_path):
    pq.write_table(truth, tmp_path / "t.parquet", row_group_size=60)
    mill.run("ingest", "t", tmp_path / "t.parquet", "--shard-size", "1KiB")
    assert mill.shards("t") > 1
    return mill


def ints(array) -> list:
    """The values as whole numbers, bytes or decimals, which Python compares without loss."""
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_temporal(array.type):
        return array.cast(pa.int64()).to_pylist()
    return array.to_pylist()


def test_types_are_stored_and_come_back(loaded, truth, tmp_path):
    types = loaded.types("t")
    assert {name: types[name] for name in TYPES} == {name: stored for name, (_, stored) in TYPES.items()}
    back = loaded.table("t")
    for name in TYPES:
        assert ints(back[name]) == ints(truth[name]), name
    for file in ("t.arrow", "again.parquet"):
        loaded.run("dataset", "export", "t", "--to", tmp_path / file)
        read = feather.read_table(tmp_path / file) if file.endswith("arrow") else pq.read_table(tmp_path / file)
        for name in TYPES:
            assert ints(read[name]) == ints(truth[name]), name
            if name != "raw":
                assert read.schema.field(name).type == TYPES[name][0], name


def test_text_and_back(loaded, truth, tmp_path):
    """What is written as CSV or JSON lines and read with its types is what it was."""
    schema = ",".join(f"{name}={stored}" for name, (_, stored) in TYPES.items())
    for file in ("t.csv", "t.jsonl"):
        loaded.run("dataset", "export", "t", "--to", tmp_path / file)
        loaded.run("ingest", "back", tmp_path / file, "--types", schema)
        back = loaded.table("back")
        for name in TYPES:
            assert ints(back[name]) == ints(truth[name]), (file, name)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("descending", [False, True])
def test_sorted_as_python_sorts(loaded, truth, name, descending):
    loaded.run("sort", "t", "s", "--by", f"{name},id", *(["--descending", name] if descending else []))
    rows = list(zip(ints(truth[name]), range(ROWS)))
    some = sorted((r for r in rows if r[0] is not None), key=lambda r: r[0], reverse=descending)
    none = [r for r in rows if r[0] is None]
    got = loaded.table("s")
    assert sorted(ints(got["id"])) == list(range(ROWS))
    order = [v for v in ints(got[name])]
    assert order in ([r[0] for r in some + none], [r[0] for r in none + some])


@pytest.mark.parametrize("name", TYPES)
def test_duplicates_groups_and_extremes(loaded, truth, name):
    loaded.run("dedup", "t", "d", "--keys", name)
    distinct = list(dict.fromkeys(ints(truth[name])))
    assert ints(loaded.table("d")[name]) == distinct
    loaded.run("aggregate", "t", "a", "--by", name, "--agg", "n=count()")
    counts = dict(zip(ints(loaded.table("a")[name]), loaded.table("a")["n"].to_pylist()))
    assert counts == {v: ints(truth[name]).count(v) for v in distinct}
    loaded.run("aggregate", "t", "e", "--by", "g", "--agg", f"lo=min({name}),hi=max({name}),n=count({name}),d=distinct({name})")
    for row in zip(*(ints(loaded.table("e")[c]) for c in ("g", "lo", "hi", "n", "d"))):
        there = [v for v, g in zip(ints(truth[name]), truth["g"].to_pylist()) if g == row[0] and v is not None]
        assert row[1:] == (min(there), max(there), len(there), len(set(there)))


def test_sums_are_exact(loaded, truth, tmp_path):
    loaded.run("aggregate", "t", "s", "--by", "g", "--agg", "s=sum(price),m=mean(price),q=median(price),v=stddev(price)")
    assert loaded.types("s") == {"g": "string", "s": "decimal(38,2)", "m": "float64", "q": "float64", "v": "float64"}
    frame = truth.select(["g", "price"]).to_pandas()
    frame["price"] = frame["price"].astype(float)
    for g, s, m, q, v in zip(*(loaded.table("s")[c].to_pylist() for c in ("g", "s", "m", "q", "v"))):
        there = [p for p, other in zip(truth["price"].to_pylist(), truth["g"].to_pylist()) if other == g and p is not None]
        with decimal.localcontext(decimal.Context(prec=80)):
            assert s == sum(there)
        of = frame[frame["g"] == g]["price"]
        assert m == pytest.approx(of.mean(), rel=1e-12) and q == pytest.approx(of.median(), rel=1e-12)
        assert v == pytest.approx(of.std(), rel=1e-9)
    # The sum of numbers of 38 digits has no room, whatever the order: that is told. One that has room comes out.
    most = D("9" * 28 + "." + "9" * 10)
    with decimal.localcontext(decimal.Context(prec=80)):
        pq.write_table(pa.table({"x": pa.array([most, most, -most, -most, most], pa.decimal128(38, 10))}), tmp_path / "x.parquet")
        pq.write_table(pa.table({"x": pa.array([most, most], pa.decimal128(38, 10))}), tmp_path / "y.parquet")
    loaded.ingest("x", tmp_path / "x.parquet")
    loaded.run("aggregate", "x", "sx", "--agg", "s=sum(x)")
    assert loaded.table("sx")["s"].to_pylist() == [most]
    loaded.ingest("y", tmp_path / "y.parquet")
    assert "more than 38 digits" in loaded.run("aggregate", "y", "sy", "--agg", "s=sum(x)", status=1)["error"]


@pytest.mark.parametrize("name", TYPES)
def test_joined_and_compared(loaded, truth, name, tmp_path):
    keys = truth.select([name, "id"]).slice(0, 150).rename_columns([name, "right_id"])
    pq.write_table(keys, tmp_path / "r.parquet")
    loaded.ingest("r", tmp_path / "r.parquet")
    loaded.run("join", "t", "r", "j", "--on", name)
    wanted = sorted(
        (a, b) for a, v in enumerate(ints(truth[name])) for b, w in enumerate(ints(keys[name])) if v == w and v is not None
    )  # fmt: skip
    got = loaded.table("j")
    assert sorted(zip(ints(got["id"]), ints(got["right_id"]))) == wanted
    changed = truth.set_column(truth.schema.get_field_index(name), name, pa.concat_arrays([pa.nulls(7, truth[name].type), truth[name].combine_chunks()[7:]]))
    pq.write_table(changed, tmp_path / "c.parquet")
    loaded.ingest("c", tmp_path / "c.parquet")
    done = loaded.run("compare", "t", "c", "m", "--on", "id", "--changes")
    assert done["counters"]["changed"][name] == sum(v is not None for v in ints(truth[name])[:7])


def test_sql_reads_and_keeps_them(loaded, truth):
    loaded.run("mapreduce", "m", "--input", "t", "--map", "SELECT * FROM input WHERE id % 2 = 0")
    back = loaded.table("m")
    for name in TYPES:
        assert ints(back[name]) == ints(truth[name])[::2], name
    con = duckdb.connect()
    con.register("t", truth.set_column(truth.schema.get_field_index("raw"), "raw", truth["raw"].cast(pa.binary())))
    for query in [
        "SELECT SUM(price) AS x FROM t", "SELECT MIN(price) AS x FROM t", "SELECT COUNT(*) AS x FROM t WHERE price > 0.5",
        "SELECT COUNT(*) AS x FROM t WHERE price = 0.05", "SELECT COUNT(DISTINCT wide) AS x FROM t",
        "SELECT COUNT(*) AS x FROM t WHERE tm >= TIME '12:00:00'", "SELECT MAX(tm) AS x FROM t",
        "SELECT COUNT(*) AS x FROM t WHERE us < TIMESTAMP '2024-01-01'", "SELECT MAX(CAST(price AS VARCHAR)) AS x FROM t",
        "SELECT SUM(CAST(price AS DECIMAL(14, 2)) * 2) AS x FROM t",
    ]:  # fmt: skip
        done = subprocess.run(
            [binary(), *loaded.where, "--json", "sql", query], capture_output=True, env=environment(), cwd=loaded.work, check=True
        )
        got = json.loads(done.stdout.splitlines()[0])["rows"][0]["x"]
        wanted = con.sql(query).fetchone()[0]
        if isinstance(wanted, decimal.Decimal):
            assert D(str(got)) == wanted, query
        else:
            assert str(got).split(".")[0] == str(wanted).split(".")[0], query


def test_rules_work_on_them(loaded, truth):
    rules = """
[[rule]]
op = "fill"
columns = ["price"]
value = 1.25
[[rule]]
op = "clip"
columns = ["price"]
min = -100
max = 100.5
[[rule]]
op = "fill"
columns = ["tm"]
value = "00:00:01"
[[rule]]
op = "null_if"
columns = ["span"]
values = ["PT0S"]
[[rule]]
op = "fill"
columns = ["wide"]
with = "mode"
[[rule]]
op = "range"
columns = ["us"]
min = 1970-01-01
on_error = "null"
"""
    loaded.clean("t", "c", rules)
    back = loaded.table("c")
    clipped = [min(max(D("1.25") if p is None else p, D(-100)), D("100.5")) for p in truth["price"].to_pylist()]
    assert back["price"].to_pylist() == clipped
    assert ints(back["tm"]) == [1_000_000_000 if v is None else v for v in ints(truth["tm"])]
    assert ints(back["span"]) == [None if v == 0 else v for v in ints(truth["span"])]
    wide = ints(truth["wide"])
    counts = {v: wide.count(v) for v in wide if v is not None}
    mode = min(v for v, n in counts.items() if n == max(counts.values()))
    assert ints(back["wide"]) == [mode if v is None else v for v in wide]
    assert ints(back["us"]) == [None if v is None or v < 0 else v for v in ints(truth["us"])]


def test_casts_between_them(mill, tmp_path):
    (tmp_path / "t.csv").write_text('a,b,c,d,e\n"$1,234.50",12.5%,(5),10:00:01.5,"1 days 02:00:00"\n€ 7,0.1%,8,23:59,PT1S\n')
    mill.ingest("t", tmp_path / "t.csv")
    rules = """
[[rule]]
op = "cast"
columns = ["a"]
to = "decimal(10,2)"
thousands = ","
currency = true
[[rule]]
op = "cast"
columns = ["b"]
to = "float"
percent = true
[[rule]]
op = "cast"
columns = ["c"]
to = "integer"
accounting = true
[[rule]]
op = "cast"
columns = ["d"]
to = "time"
[[rule]]
op = "cast"
columns = ["e"]
to = "duration"
"""
    mill.clean("t", "c", rules)
    back = mill.table("c")
    assert back["a"].to_pylist() == [D("1234.50"), D("7.00")]
    assert back["b"].to_pylist() == [0.125, 0.001]
    assert back["c"].to_pylist() == [-5, 8]
    assert ints(back["d"]) == [36_001_500_000_000, 86_340_000_000_000]
    assert ints(back["e"]) == [93_600_000_000_000, 1_000_000_000]


def test_digits_are_kept_where_types_meet(mill, tmp_path):
    big = 9_007_199_254_740_993
    files = {
        "int.parquet": pa.table({"x": pa.array([big, 5])}), "dec.parquet": pa.table({"x": pa.array([D("1.50")], pa.decimal128(10, 2))}),
        "float.parquet": pa.table({"x": pa.array([0.5])}), "long.parquet": pa.table({"x": pa.array([D("12345678901234567.89")], pa.decimal128(19, 2))}),
        "uint.parquet": pa.table({"x": pa.array([2**64 - 1], pa.uint64())}),
    }  # fmt: skip
    for name, table in files.items():
        pq.write_table(table, tmp_path / name)
    (tmp_path / "price.csv").write_text("x\n2.5\n0.125\n")
    for sources, dtype, wanted in [
        (["int.parquet", "dec.parquet"], "decimal(21,2)", [D(big), D(5), D("1.50")]),
        (["dec.parquet", "float.parquet"], "float64", [1.5, 0.5]),
        (["long.parquet", "float.parquet"], "string", ["12345678901234567.89", "0.5"]),
        (["int.parquet", "float.parquet"], "string", [str(big), "5", "0.5"]),
        (["uint.parquet", "int.parquet"], "decimal(20,0)", [D(2**64 - 1), D(big), D(5)]),
        (["dec.parquet", "price.csv"], "float64", [1.5, 2.5, 0.125]),
    ]:
        paths = [tmp_path / s for s in sources]
        mill.ingest("one", *paths)
        assert (mill.types("one")["x"], mill.table("one")["x"].to_pylist()) == (dtype, wanted), sources
        # Appended one after the other they come to the same, where text comes back as it was.
        mill.ingest("two", paths[0])
        mill.ingest("two", *paths[1:], append=True, widen=True)
        appended = mill.table("two")["x"].to_pylist()
        if sources == ["dec.parquet", "price.csv"]:
            # Text that is read for a column of decimals is decimals, of as many digits as it has.
            assert appended == [D("1.500"), D("2.500"), D("0.125")]
        else:
            assert appended == wanted, sources


def test_a_column_does_not_become_text_unasked(mill, tmp_path):
    (tmp_path / "a.csv").write_text("f,n\n1.50,1\n")
    (tmp_path / "b.csv").write_text("f,n\nword,1\n")
    (tmp_path / "c.csv").write_text("f,n\n1.0,word\n")
    mill.ingest("t", tmp_path / "a.csv")
    failed = mill.run("ingest", "t", tmp_path / "b.csv", "--append", status=1)["error"]
    assert "`f` of t@1 is float64" in failed and "--widen" in failed
    # Whole numbers are written in one way: as text they are what they were.
    mill.ingest("t", tmp_path / "c.csv", append=True)
    assert mill.table("t")["n"].to_pylist() == ["1", "word"]
    mill.ingest("t", tmp_path / "b.csv", append=True, widen=True)
    assert mill.table("t")["f"].to_pylist() == ["1.5", "1.0", "word"]


def test_text_added_to_a_column_keeps_its_type(mill, tmp_path):
    table = pa.table({
        "price": pa.array([D("1.50")], pa.decimal128(10, 2)),
        "at": pa.array([3_600_000_000_000], pa.int64()).cast(pa.time64("ns")),
        "took": pa.array([1_500_000_000], pa.int64()).cast(pa.duration("ns")),
        "raw": pa.array([b"\x01\xff"], pa.binary()),
    })
    pq.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("price,at,took,raw\n19.99,10:00:01,PT2.5S,00aa\n7,,,\n")
    mill.ingest("t", tmp_path / "t.parquet")
    before = mill.types("t")
    mill.ingest("t", tmp_path / "t.csv", append=True)
    assert mill.types("t") == before
    after = mill.table("t")
    assert after["price"].to_pylist() == [D("1.50"), D("19.99"), D("7.00")]
    assert after["at"].cast(pa.int64()).to_pylist() == [3_600_000_000_000, 36_001_000_000_000, None]
    assert after["took"].cast(pa.int64()).to_pylist() == [1_500_000_000, 2_500_000_000, None]
    assert after["raw"].to_pylist() == [b"\x01\xff", b"\x00\xaa", None]


def test_what_an_appended_type_cannot_hold_ends_the_append(mill, tmp_path):
    """A dataset stays readable: what does not fit its new type fails the job, and not every later read."""
    far = dt.datetime(1500, 1, 1)
    bases = {
        # The rows of a comparison, whose columns nobody has looked at.
        "long": (pa.table({"x": pa.array([2**53 + 1, 5], pa.int64())}), pa.table({"x": [0.5]})),
        "far": (pa.table({"x": pa.array([far], pa.timestamp("us"))}), pa.table({"x": pa.array([1], pa.timestamp("ns"))})),
    }
    for name, (base, more) in bases.items():
        pq.write_table(base, tmp_path / "base.parquet")
        pq.write_table(more, tmp_path / "more.parquet")
        mill.ingest("b", tmp_path / "base.parquet")
        mill.run("compare", "b", "b", name, "--on", "x")
        appended = mill.run("ingest", name, tmp_path / "more.parquet", "--append", status=1)
        assert "cannot hold" in appended["error"], appended
        assert sorted(mill.table(name)["x"].to_pylist()) == sorted(base["x"].to_pylist())
        mill.run("sql", f"SELECT COUNT(*) FROM {name}", "--into", "s")


def test_sums_of_decimals_in_sql_do_not_wrap(mill, tmp_path):
    most = D("9" * 38)
    table = pa.table({"g": ["a", "a", "b"], "x": pa.array([most, most, D(1)], pa.decimal128(38, 0))})
    pq.write_table(table, tmp_path / "t.parquet")
    mill.ingest("t", tmp_path / "t.parquet")
    for statement in ("SELECT SUM(x) FROM t", "SELECT g, SUM(x) FROM t GROUP BY g"):
        failed = mill.run("sql", statement, status=1)
        assert "more than 38 digits" in failed["error"], failed
    answer = mill.run("sql", "SELECT SUM(x) AS s FROM t WHERE g = 'b'", "--into", "s")
    assert mill.table("s")["s"].to_pylist() == [D(1)], answer
    table = pa.table({"g": ["a", "a", "b"], "x": pa.array([D("0.10"), D("0.20"), None], pa.decimal128(5, 2))})
    pq.write_table(table, tmp_path / "t.parquet")
    mill.ingest("t", tmp_path / "t.parquet")
    mill.run("sql", "SELECT g, SUM(x) AS s, SUM(SUM(x)) OVER (ORDER BY g) AS w FROM t GROUP BY g ORDER BY g", "--into", "s")
    assert mill.table("s").to_pydict() == {"g": ["a", "b"], "s": [D("0.30"), None], "w": [D("0.30"), D("0.30")]}


def test_durations_in_sql(mill, tmp_path):
    table = pa.table({"d": pa.array([1_500_000_000, None, -5], pa.int64()).cast(pa.duration("ns")), "n": [1, 2, 3]})
    pq.write_table(table, tmp_path / "t.parquet")
    mill.ingest("t", tmp_path / "t.parquet")
    mill.run("sql", "SELECT d, n FROM t WHERE n <> 2", "--into", "s")
    assert mill.types("s") == {"d": "duration", "n": "int64"}
    assert mill.table("s")["d"].cast(pa.int64()).to_pylist() == [1_500_000_000, -5]
    # Beside a column that has become wider, too.
    pq.write_table(table.set_column(1, "n", pa.array([0.5, 1.5, 2.5])), tmp_path / "u.parquet")
    mill.ingest("t", tmp_path / "u.parquet", append=True)
    mill.run("sql", "SELECT d, n FROM t", "--into", "s")
    assert mill.table("s")["d"].cast(pa.int64()).to_pylist() == [1_500_000_000, None, -5] * 2


def test_whole_decimals_meet_long_numbers_among_floats(mill, tmp_path):
    """Keys of a decimal and a float column, as those of a whole number and a float column."""
    long = 2**53 + 1
    pq.write_table(pa.table({"k": pa.array([D(long), D("5.00"), D("0.10")], pa.decimal128(20, 2))}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"k": [5.0, 0.1, float(2**53)]}), tmp_path / "b.parquet")
    mill.ingest("a", tmp_path / "a.parquet")
    mill.ingest("b", tmp_path / "b.parquet")
    mill.run("join", "a", "b", "j", "--on", "k", "--how", "semi")
    assert mill.table("j")["k"].to_pylist() == [D("5.00"), D("0.10")]


def test_some_types_are_said(mill, tmp_path):
    (tmp_path / "t.csv").write_text("zip,n,when\n01234,1,10:00\n5,2,11:30\n")
    mill.ingest("t", tmp_path / "t.csv", types="zip=string,when=time")
    assert mill.types("t") == {"zip": "string", "n": "int64", "when": "time"}
    pq.write_table(pa.table({"zip": [1, 2], "x": [1.5, 2.5]}), tmp_path / "t.parquet")
    mill.ingest("p", tmp_path / "t.parquet", types="zip=string,x=decimal(4,1)")
    assert mill.table("p").to_pydict() == {"zip": ["1", "2"], "x": [D("1.5"), D("2.5")]}
    failed = mill.run("ingest", "t", tmp_path / "t.csv", "--types", "zap=string", status=2)["error"]
    assert "--types names a column `zap` that no source has" in failed
    failed = mill.run("ingest", "t", tmp_path / "t.csv", "--types", "zip=string", "--drop", "zip", status=2)["error"]
    assert "--types names a column `zip` that --columns or --drop leaves out" in failed


def test_models_learn_from_decimals(mill, tmp_path):
    rng = random.Random(7)
    xs = [D(rng.randint(-1000, 1000)).scaleb(-2) for _ in range(200)]
    table = pa.table({"x": pa.array(xs, pa.decimal128(6, 2)), "y": [int(x > 0) for x in xs]})
    pq.write_table(table, tmp_path / "t.parquet")
    mill.ingest("t", tmp_path / "t.parquet")
    mill.run("train", "logistic", "t", "--model", "m", "--label", "y")
    (tmp_path / "new.csv").write_text("x\n5.123456\n-4\n")
    done = subprocess.run(
        [binary(), *mill.where, "predict", "m", "--from", tmp_path / "new.csv", "--to", tmp_path / "out.jsonl"],
        capture_output=True, env=environment(), cwd=mill.work,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["prediction"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [1, 0]


def test_nested_columns_are_json(mill, tmp_path):
    table = pa.table({
        "id": [1, 2], "tags": [["a", "b"], None], "geo": [{"x": 1.5, "y": 2}, {"x": None, "y": 3}],
        "m": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
        "deep": [[{"d": dt.date(2024, 1, 5), "p": D("1.50")}], []],
    })  # fmt: skip
    for kind in ("parquet", "arrow"):
        path = tmp_path / f"t.{kind}"
        pq.write_table(table, path) if kind == "parquet" else feather.write_feather(table, path, compression="uncompressed")
        done = mill.ingest("t", path)
        assert any("`tags` has lists, which are kept as JSON" in n for n in done["notices"])
        back = mill.table("t").to_pydict()
        parsed = {c: [None if v is None else json.loads(v) for v in back[c]] for c in ("tags", "geo", "m", "deep")}
        assert parsed == {
            "tags": [["a", "b"], None], "geo": [{"x": 1.5, "y": 2}, {"x": None, "y": 3}], "m": [{"k": 1}, {}],
            "deep": [[{"d": "2024-01-05", "p": 1.5}], []],
        }


def test_pandas_timedeltas_and_times(mill, tmp_path):
    frame = pd.DataFrame({
        "d": pd.to_timedelta(["1 days 02:03:04.000000005", None, "-00:00:01"]),
        "t": [dt.time(1, 2, 3, 4), None, dt.time(23, 59, 59, 999_999)],
        "z": pd.to_datetime(["2024-07-01 12:00:00.000000000", None, "2024-01-01 00:00:00.000000001"]).tz_localize("Europe/Berlin"),
    })  # fmt: skip
    frame.to_parquet(tmp_path / "t.parquet")
    mill.ingest("t", tmp_path / "t.parquet")
    back = mill.table("t").to_pandas()
    assert back["d"].tolist()[0] == frame["d"][0] and back["d"][2] == frame["d"][2] and pd.isna(back["d"][1])
    assert back["t"].tolist()[0] == dt.time(1, 2, 3, 4) and back["t"][2] == dt.time(23, 59, 59, 999_999)
    assert back["z"][0] == frame["z"][0] and back["z"][2] == frame["z"][2]
