"""Deduplication against pandas' drop_duplicates, to the row and in order."""

import pandas as pd
import pytest

from helpers import NAN, assert_rows, assert_table, concat, generate, rows_of, take, to_pandas, write

PANDAS_KEEP = {"first": "first", "last": "last", "none": False}


def expected(truth, keys, keep):
    frame = to_pandas(truth)
    return take(truth, frame.drop_duplicates(subset=keys, keep=PANDAS_KEEP[keep]).index)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Four files in four formats: one dataset of many shards, with the truth."""
    folder = tmp_path_factory.mktemp("several")
    parts = [generate(seed, 260, duplicates=0.6, finite=n == 2) for n, seed in enumerate([21, 21, 22, 23])]
    paths = [folder / f"p{n}.{e}" for n, e in enumerate(["csv", "tsv.gz", "jsonl.zst", "parquet"])]
    for n, (path, part) in enumerate(zip(paths, parts)):
        write(path, part, n)
    return paths, concat(parts)


@pytest.mark.parametrize("keep", ["first", "last", "none"])
def test_whole_rows_and_keys(mill, several, keep):
    paths, truth = several
    mill.ingest("t", *paths, shard_size=3000)
    assert mill.shards("t") > 8
    for n, keys in enumerate([None, ["id"], ["x"], ["s", "ok"], ["zip", "day", "at"], ["big"], list(truth)[::-1]]):
        wanted = expected(truth, keys, keep)
        result = mill.run("dedup", "t", f"u{n}", "--keep", keep, *(["--keys", ",".join(keys)] if keys else []))
        rows_in, rows_out = len(truth["id"]), len(wanted["id"])
        assert 0 < rows_out < rows_in
        assert result["counters"] == {"rows_in": rows_in, "rows_out": rows_out, "duplicates": rows_in - rows_out}
        assert_table(mill.table(f"u{n}"), wanted, f"keys {keys}, keep {keep}")
    # What the shards share with their deduplicated versions is still whole.
    assert_table(mill.table("t"), truth)


@pytest.mark.parametrize("keep", ["first", "last", "none"])
@pytest.mark.parametrize("seed", [31, 32])
def test_in_the_pass_of_the_ingest(mill, tmp_path, seed, keep):
    parts = [generate(seed, 300, 0.5), generate(seed, 200, 0.7)]
    for n, part in enumerate(parts):
        write(tmp_path / f"{n}.csv", part, n)
    truth = concat(parts)
    mill.ingest("t", tmp_path / "0.csv", tmp_path / "1.csv", dedup=True, keep=keep, shard_size=3000)
    assert_table(mill.table("t"), expected(truth, None, keep))
    mill.ingest("u", tmp_path / "0.csv", tmp_path / "1.csv", dedup=True, keys="s,ok", keep=keep, shard_size=3000)
    assert_table(mill.table("u"), expected(truth, ["s", "ok"], keep))


def test_nulls_nans_and_zeros(mill, tmp_path):
    """Null equals null and NaN equals NaN, but not each other; -0.0 equals 0.0; the empty text is not null."""
    (tmp_path / "t.csv").write_text('x,s,n\n0.0,a,1\n-0.0,a,2\nNaN,,3\nnan,,4\n,"",5\n,"",6\n,,7\nNaN,"",8\n,,9\n')
    mill.ingest("t", tmp_path / "t.csv")
    mill.run("dedup", "t", "u", "--keys", "x,s")
    assert_table(mill.table("u"), {"x": [0.0, NAN, None, None, NAN], "s": ["a", None, "", None, ""], "n": [1, 3, 5, 7, 8]})
    mill.run("dedup", "t", "v", "--keys", "x,s", "--keep", "last")
    assert_table(mill.table("v"), {"x": [-0.0, NAN, None, NAN, None], "s": ["a", None, "", "", None], "n": [2, 4, 6, 8, 9]})


def test_twice_is_once_and_columns_do_not_run_together(mill, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\nxy,z\nx,yz\n,xyz\nxyz,\nxy,z\n")
    mill.ingest("t", tmp_path / "t.csv")
    mill.run("dedup", "t", "u")
    again = mill.run("dedup", "u", "v")
    assert again["counters"] == {"rows_in": 4, "rows_out": 4, "duplicates": 0}
    assert_table(mill.table("v"), {"a": ["xy", "x", None, "xyz"], "b": ["z", "yz", "xyz", None]})


def test_a_dataset_of_dropped_rows_can_be_worked_on(mill, several):
    """Rows are marked as dropped rather than rewritten: every job has to see the rest only."""
    paths, truth = several
    mill.ingest("t", *paths, shard_size=3000)
    mill.run("dedup", "t", "u", "--keys", "id")
    once = expected(truth, ["id"], "first")
    mill.run("dedup", "u", "v", "--keys", "s", "--keep", "last")
    twice = expected(once, ["s"], "last")
    assert_table(mill.table("v"), twice)
    counts = mill.run("compare", "u", "v", "w")["counters"]
    assert (counts["both"], counts["left_only"], counts["right_only"]) == (len(twice["id"]), len(once["id"]) - len(twice["id"]), 0)
    mill.run("dedup", "v", "none", "--keys", "ok,day", "--keep", "none")
    assert_table(mill.table("none"), expected(twice, ["ok", "day"], "none"))
    mill.clean("v", "cleaned", '[[rule]]\nop = "case"\ncolumns = ["s"]\nto = "upper"\n')
    assert mill.table("cleaned").column("s").to_pylist() == [None if v is None else v.upper() for v in twice["s"]]


@pytest.mark.parametrize("name,keys", [
    ("seaborn-diamonds.csv", None),
    ("seaborn-diamonds.csv", ["cut", "color", "clarity", "price"]),
    ("seaborn-taxis.csv", ["pickup_zone", "dropoff_zone"]),
    ("nycflights13-weather.csv", ["temp", "dewp", "wind_dir"]),
    ("nycflights13-planes.csv", ["manufacturer", "year", "seats"]),
])  # fmt: skip
@pytest.mark.parametrize("keep", ["first", "last", "none"])
def test_real_data(mill, real_data, name, keys, keep):
    path = real_data / name
    mill.ingest("t", path, null=["NA"], shard_size=path.stat().st_size // 6)
    # pandas' own types, without the detour over objects.
    frame = pd.read_csv(path, keep_default_na=False, na_values=["", "NA"])
    index = frame.drop_duplicates(subset=keys, keep=PANDAS_KEEP[keep]).index
    before = rows_of(mill.table("t"))
    mill.run("dedup", "t", "u", "--keep", keep, *(["--keys", ",".join(keys)] if keys else []))
    assert len(index) < len(frame)
    assert_rows(mill.rows("u"), [before[n] for n in index], name)
