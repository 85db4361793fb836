"""Comparison against pandas' `left.merge(right.drop_duplicates(), on=..., how=..., indicator=True)`."""

import datetime as dt
import random
from collections import Counter

import pandas as pd
import pyarrow as pa
import pytest

from helpers import (
    INF, NAN, assert_rows, cell, columns_of, from_pandas, generate, height, rows_of, sorted_rows, take, to_pandas, write,
)  # fmt: skip

HOWS = ["outer", "inner", "left", "right"]


def merged(left, right, on, how, suffixes=("_x", "_y")):
    """pandas' answer as a dict of lists; -0.0 and NaN as the tables of the tests have them."""
    frame = to_pandas(left).merge(to_pandas(right).drop_duplicates(), on=on, how=how, indicator=True, suffixes=suffixes)
    frame["_merge"] = frame["_merge"].astype(str)
    return from_pandas(frame)


def unsigned(rows, columns):
    """Keys that are equal are one key: whether 0.0 or -0.0 stands for it is open."""
    zero, minus = cell(0.0), cell(-0.0)
    return [tuple(zero if n in columns and v == minus else v for n, v in enumerate(row)) for row in rows]


def assert_compared(mill, left, right, on, how, table, result, suffixes=("_x", "_y"), floats=()):
    """`floats`: key columns that are integers on one side and floats on the other; ours are floats in the result."""
    wanted = merged(left, right, on, how, suffixes)
    for name in floats:
        wanted[name] = [None if v is None else float(v) for v in wanted[name]]
    assert table.column_names == list(wanted)
    keys = on or [name for name in left if name in right]
    places = {n for n, name in enumerate(wanted) if name in keys}
    got, expected = unsigned(rows_of(table), places), unsigned(rows_of(wanted), places)
    what = f"on {on}, how {how}"
    if how == "outer":
        assert Counter(got) == Counter(expected), what
        # Ours: the rows of the left side in its order, then those that only the right side has in its order.
        ours = merged(left, right, on, "left", suffixes)
        theirs = merged(left, right, on, "right", suffixes)
        for name in floats:
            ours[name] = [None if v is None else float(v) for v in ours[name]]
            theirs[name] = [None if v is None else float(v) for v in theirs[name]]
        head = unsigned(rows_of(ours), places)
        only = [row for row in unsigned(rows_of(theirs), places) if row[-1] == "right_only"]
        assert_rows(got, head + only, what)
    else:
        assert_rows(got, expected, what)
    counts = Counter(wanted["_merge"])
    for side in ("left_only", "right_only", "both"):
        assert result["counters"][side] == counts[side], f"{what}: {side}"
    assert result["rows"] == len(expected)
    return counts


def versions(seed, rows=330):
    """Two tables with rows in common, duplicates on both sides, and rows of their own."""
    rng = random.Random(seed)
    pool = generate(seed, rows, duplicates=0.3)
    left = take(pool, [rng.randrange(rows) for _ in range(rows)])
    right = take(pool, [rng.randrange(rows // 3, rows) for _ in range(rows)])
    return left, right


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two generated datasets, in two formats each, with many-to-many keys and non-key columns on either side."""
    folder = tmp_path_factory.mktemp("pair")
    left, right = versions(41)
    left["left_note"] = [f"l{n % 7}" for n in range(height(left))]
    right["right_note"] = [None if n % 5 == 0 else n % 3 for n in range(height(right))]
    half = height(left) // 2
    write(folder / "l0.csv", take(left, range(half)), 1)
    write(folder / "l1.tsv.gz", take(left, range(half, height(left))), 2)
    write(folder / "r.csv.zst", right, 3)
    return folder, left, right


def ingest_pair(mill, pair):
    folder, left, right = pair
    mill.ingest("l", folder / "l0.csv", folder / "l1.tsv.gz", shard_size=3000)
    mill.ingest("r", folder / "r.csv.zst", shard_size=2500)
    assert mill.shards("l") > 5 and mill.shards("r") > 5
    return left, right


@pytest.mark.parametrize("how", HOWS)
def test_keys_of_every_type(mill, pair, how):
    left, right = ingest_pair(mill, pair)
    seen = Counter()
    for n, on in enumerate([None, ["id"], ["x"], ["zip", "ok"], ["s", "ok"], ["day"], ["at"], ["big", "id"]]):
        result = mill.run("compare", "l", "r", f"c{n}", "--how", how, *(["--on", ",".join(on)] if on else []))
        seen += assert_compared(mill, left, right, on, how, mill.table(f"c{n}"), result)
    wanted = {"outer": 3, "inner": 1, "left": 2, "right": 2}[how]
    assert len(seen) == wanted, f"the data does not test what it should: {seen}"


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("seed", [51, 52, 53])
def test_whole_rows(mill, tmp_path, seed, how):
    """Both sides have the same columns: the comparison of whole rows, which ships hashes only."""
    left, right = versions(seed)
    write(tmp_path / "l.csv", left, seed)
    write(tmp_path / "r.csv", right, seed + 1)
    mill.ingest("l", tmp_path / "l.csv", shard_size=4000)
    mill.ingest("r", tmp_path / "r.csv", shard_size=3000)
    result = mill.run("compare", "l", "r", "c", "--how", how)
    assert_compared(mill, left, right, None, how, mill.table("c"), result)
    # A right side of fewer columns: rows of it that differ elsewhere stay apart.
    fewer = {name: right[name] for name in ("id", "ok", "day")}
    write(tmp_path / "f.csv", fewer, seed)
    mill.ingest("f", tmp_path / "f.csv", shard_size=2000)
    result = mill.run("compare", "l", "f", "d", "--how", how)
    assert_compared(mill, left, fewer, None, how, mill.table("d"), result)


@pytest.mark.parametrize("how", HOWS)
def test_suffixes_and_integers_with_floats(mill, tmp_path, how):
    rng = random.Random(61)
    left = {"k": [rng.choice([None, 1, 2, 3, 4, 5]) for _ in range(90)], "v": list(range(90)), "same": ["a"] * 90}
    right = {"v": [rng.choice([0.5, 1.0, None]) for _ in range(80)], "k": [rng.choice([None, 1.0, 2.5, 3.0, -0.0, 6.0]) for _ in range(80)]}
    left["k"][0], right["v"][0], right["k"][0] = 0, 0.5, 2.5
    write(tmp_path / "l.csv", left)
    write(tmp_path / "r.csv", right)
    mill.ingest("l", tmp_path / "l.csv", shard_size=1024)
    mill.ingest("r", tmp_path / "r.csv", shard_size=1024)
    assert (mill.types("l")["k"], mill.types("r")["k"]) == ("int64", "float64")
    result = mill.run("compare", "l", "r", "c", "--on", "k", "--how", how, "--suffixes", "_old,_new")
    assert mill.types("c") == {"k": "float64", "v_old": "int64", "same": "string", "v_new": "float64", "_merge": "string"}
    assert_compared(mill, left, right, ["k"], how, mill.table("c"), result, ("_old", "_new"), floats=["k"])
    result = mill.run("compare", "l", "r", "d", "--on", "k", "--how", how, "--suffixes", ",_r")
    assert_compared(mill, left, right, ["k"], how, mill.table("d"), result, ("", "_r"), floats=["k"])


@pytest.mark.parametrize("how", HOWS)
def test_dates_meet_datetimes(mill, tmp_path, how):
    days = [dt.date(2024, 1, n % 9 + 1) for n in range(20)]
    times = [dt.datetime(2024, 1, n % 7 + 1, 12 if n % 3 == 0 else 0) for n in range(20)]
    left, right = {"d": days, "n": list(range(20))}, {"d": times, "m": list(range(20))}
    write(tmp_path / "l.csv", left)
    write(tmp_path / "r.csv", right)
    mill.ingest("l", tmp_path / "l.csv")
    mill.ingest("r", tmp_path / "r.csv")
    result = mill.run("compare", "l", "r", "c", "--on", "d", "--how", how)
    left = {**left, "d": [dt.datetime(d.year, d.month, d.day) for d in days]}
    assert_compared(mill, left, right, ["d"], how, mill.table("c"), result)


@pytest.mark.parametrize("how", HOWS)
def test_an_empty_side(mill, tmp_path, how):
    left = {"a": [1, 2, 2], "b": ["x", None, "y"]}
    empty = {"a": [], "c": []}
    write(tmp_path / "l.csv", left)
    (tmp_path / "e.csv").write_text("a,c\n")
    mill.ingest("l", tmp_path / "l.csv")
    mill.ingest("e", tmp_path / "e.csv", schema="a=int64,c=string")
    result = mill.run("compare", "l", "e", "c", "--on", "a", "--how", how)
    assert_compared(mill, left, empty, ["a"], how, mill.table("c"), result)
    result = mill.run("compare", "e", "l", "d", "--on", "a", "--how", how)
    assert_compared(mill, empty, left, ["a"], how, mill.table("d"), result)


@pytest.mark.parametrize("left_keys,right_keys,broken", [
    ([1, 2, 3], [1, 2, 4], []),
    ([1, 2, 2], [1, 2, 3], ["1:1", "1:m"]),
    ([1, 2, 3], [1, 1, 3], ["1:1", "m:1"]),
    ([None, None, 3], [1, 2, 3], ["1:1", "1:m"]),
    ([1, 1, 3], [None, 2, None], ["1:1", "1:m", "m:1"]),
])  # fmt: skip
def test_validate(mill, tmp_path, left_keys, right_keys, broken):
    left, right = {"k": left_keys, "a": [1, 2, 3]}, {"k": right_keys, "b": [1, 2, 3]}
    write(tmp_path / "l.csv", left)
    write(tmp_path / "r.csv", right)
    mill.ingest("l", tmp_path / "l.csv")
    mill.ingest("r", tmp_path / "r.csv")
    for n, rule in enumerate(["1:1", "1:m", "m:1", "m:m"]):
        try:
            to_pandas(left).merge(to_pandas(right), on="k", how="outer", validate=rule)
            fails = False
        except pd.errors.MergeError:
            fails = True
        assert fails == (rule in broken), "the test is wrong about pandas"
        result = mill.run("compare", "l", "r", f"c{n}", "--on", "k", "--validate", rule, status=1 if fails else 0)
        if fails:
            assert result["state"] == "failed" and "not unique" in result["error"]
            mill.run("dataset", "show", f"c{n}", status=1)
        else:
            assert_compared(mill, left, right, ["k"], "outer", mill.table(f"c{n}"), result)


def test_validate_looks_behind_exact_duplicates_of_the_right_side(mill, tmp_path):
    """The right side counts without its exact duplicates, as in `right.drop_duplicates()`."""
    left, right = {"k": [1, 2], "a": [1, 2]}, {"k": [1, 1, 2], "b": [7, 7, 8]}
    write(tmp_path / "l.csv", left)
    write(tmp_path / "r.csv", right)
    mill.ingest("l", tmp_path / "l.csv")
    mill.ingest("r", tmp_path / "r.csv")
    result = mill.run("compare", "l", "r", "c", "--on", "k", "--validate", "1:1")
    assert_compared(mill, left, right, ["k"], "outer", mill.table("c"), result)


@pytest.mark.parametrize("seed", [71, 72])
def test_changes(mill, tmp_path, seed):
    """For keys on both sides: the columns that differ, counted by pandas cell by cell."""
    rng = random.Random(seed)
    rows = 240
    left = generate(seed, rows, duplicates=0)
    left["id"] = [None, *rng.sample(range(1000), rows - 1)]
    right = {name: list(values) for name, values in left.items()}
    for name in ("big", "x", "s", "ok", "day", "at"):
        donor = generate(seed + 1, rows)[name]
        for n in range(rows):
            if rng.random() < 0.15:
                right[name][n] = donor[n]
    # A zero of the other sign is no change.
    right["x"] = [-v if v == 0.0 else v for v in right["x"]]
    order = rng.sample(range(rows), rows - 30)
    right = take(right, order)
    right["more"] = [1] * height(right)
    left = take(left, rng.sample(range(rows), rows - 25))
    write(tmp_path / "l.csv", left, seed)
    write(tmp_path / "r.csv", right, seed)
    mill.ingest("l", tmp_path / "l.csv", shard_size=3000)
    mill.ingest("r", tmp_path / "r.csv", shard_size=2000)
    result = mill.run("compare", "l", "r", "c", "--on", "id", "--changes")
    joined = to_pandas(left).merge(to_pandas(right), on="id", how="outer", indicator=True)
    both = to_pandas(left).merge(to_pandas(right), on="id", how="inner")
    compared = [name for name in left if name != "id"]
    cells = [
        (key, name)
        for n, key in enumerate(both["id"].tolist())
        for name in compared
        if not (both[f"{name}_x"][n] == both[f"{name}_y"][n] or (pd.isna(both[f"{name}_x"][n]) and pd.isna(both[f"{name}_y"][n])))
    ]
    by_column = Counter(name for _, name in cells)
    assert sum(by_column.values()) > 50 and len(by_column) == 6
    counters = result["counters"]
    assert counters["changed"] == {name: by_column[name] for name in compared}
    assert counters["rows_changed"] == len({key for key, _ in cells})
    sides = Counter(joined["_merge"].astype(str))
    assert {s: counters[s] for s in sides} == dict(sides)
    table = columns_of(mill.table("c"))
    assert list(table) == ["id", "column", "left", "right"]
    assert list(zip(table["id"], table["column"])) == [(None if pd.isna(k) else k, name) for k, name in cells]
    by_key = {k: n for n, k in enumerate(left["id"])}
    right_by_key = {k: n for n, k in enumerate(right["id"])}
    for key, name, old, new in zip(*table.values()):
        if name in ("s", "big"):
            text = lambda v: None if v is None else str(v)  # noqa: E731
            assert (old, new) == (text(left[name][by_key[key]]), text(right[name][right_by_key[key]]))


REAL_PAIRS = [
    # left, right, on, hows
    ("seaborn-titanic.csv", "seaborn-raw-titanic.csv", None),
    ("nycflights13-planes.csv", "nycflights13-planes.csv", ["manufacturer", "year"]),
    ("nycflights13-weather.csv", "nycflights13-weather.csv", ["origin", "temp", "day"]),
]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("one,two,on", REAL_PAIRS, ids=["titanic", "planes", "weather"])
def test_real_data(mill, tmp_path, real_data, one, two, on, how):
    """pandas reads the files with its own types, and merges with them."""
    frames = {}
    for side, name in (("l", one), ("r", two)):
        frame = pd.read_csv(real_data / name, keep_default_na=False, na_values=["", "NA"], dtype=str)
        if one == two:
            frame = frame.iloc[: 1500] if side == "l" else frame.iloc[700:1700]
        elif on is None:
            # The copies name some columns alike that hold unlike things; those of one type are compared.
            frame = frame[[c for c in frame.columns if c.lower() in ("survived", "pclass", "sex", "age", "fare", "embarked")]]
            frame = frame.rename(columns=str.lower)
        path = tmp_path / f"{side}.csv"
        frame.to_csv(path, index=False)
        mill.ingest(side, path, shard_size=8000)
        frames[side] = pd.read_csv(path, keep_default_na=False, na_values=[""])
    kinds = mill.types("l"), mill.types("r")
    shared = [c for c in kinds[0] if c in kinds[1]]
    assert all(kinds[0][c] == kinds[1][c] for c in (on or shared)), kinds
    result = mill.run("compare", "l", "r", "c", "--how", how, *(["--on", ",".join(on)] if on else []))
    wanted = frames["l"].merge(frames["r"].drop_duplicates(), on=on, how=how, indicator=True)
    wanted["_merge"] = wanted["_merge"].astype(str)
    table = mill.table("c")
    assert table.column_names == list(wanted.columns)
    # Both through one schema: pandas has floats where integers have nulls, and text for times.
    columns = {}
    for field in table.schema:
        values = [None if pd.isna(v) else v for v in wanted[field.name].tolist()]
        if pa.types.is_integer(field.type):
            values = [None if v is None else int(v) for v in values]
        elif pa.types.is_floating(field.type):
            values = [None if v is None else float(v) for v in values]
        elif pa.types.is_timestamp(field.type):
            values = [None if v is None else pd.Timestamp(v).to_pydatetime() for v in values]
        columns[field.name] = values
    got, expected = rows_of(table), rows_of(columns)
    if how == "outer":
        got, expected = sorted_rows(got), sorted_rows(expected)
    assert_rows(got, expected, how)
    counts = Counter(wanted["_merge"])
    assert {s: result["counters"][s] for s in ("left_only", "right_only", "both")} == {
        s: counts[s] for s in ("left_only", "right_only", "both")
    }


def test_keys_that_cannot_meet_are_refused(mill, tmp_path):
    write(tmp_path / "l.csv", {"k": [1, 2], "a": [1, 1]})
    write(tmp_path / "r.csv", {"k": ["x", "2"], "b": [1, 1]})
    mill.ingest("l", tmp_path / "l.csv")
    mill.ingest("r", tmp_path / "r.csv")
    assert "cast" in mill.run("compare", "l", "r", "c", "--on", "k", status=1)["error"]
    assert "nope" in mill.run("compare", "l", "r", "c", "--on", "nope", status=1)["error"]


def test_infinities_and_nans_as_keys(mill, tmp_path):
    left = {"x": [INF, -INF, NAN, None, 0.0, 1.5], "n": [1, 2, 3, 4, 5, 6]}
    right = {"x": [NAN, None, INF, -0.0, NAN, 2.5], "m": [1, 2, 3, 4, 5, 6]}
    write(tmp_path / "l.csv", left)
    write(tmp_path / "r.csv", right)
    mill.ingest("l", tmp_path / "l.csv")
    mill.ingest("r", tmp_path / "r.csv")
    for how in HOWS:
        result = mill.run("compare", "l", "r", f"c_{how}", "--on", "x", "--how", how)
        assert_compared(mill, left, right, ["x"], how, mill.table(f"c_{how}"), result)
