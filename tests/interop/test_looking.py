"""Looking at data without ceremony: describe, tail, sample, values, diff, du, and files where datasets are named."""

from __future__ import annotations

import random
import subprocess

import openpyxl
import pandas as pd
import pyarrow as pa
import pytest

from helpers import binary, environment


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = random.Random(5)
    return pd.DataFrame({
        "id": range(2000), "city": [rng.choice(["Rome", "Paris", "New York", None]) for _ in range(2000)],
        "amount": [round(rng.gauss(100, 15), 2) if rng.random() > 0.1 else None for _ in range(2000)],
        "day": pd.to_datetime([f"2024-{rng.randrange(1, 13):02}-{rng.randrange(1, 28):02}" for _ in range(2000)]).date,
    })  # fmt: skip


@pytest.fixture
def sales(frame, tmp_path):
    frame.to_csv(tmp_path / "sales.csv", index=False)
    return tmp_path / "sales.csv"


def test_describe_says_what_pandas_says(mill, frame, sales):
    mill.ingest("t", sales, shard_size="8KiB")
    for what in ("t", sales):
        done = mill.run("dataset", "describe", what)
        assert done["rows"] == 2000
        by_name = {c["column"]: c for c in done["columns"]}
        assert [by_name[c]["nulls"] for c in frame] == frame.isna().sum().tolist()
        of = frame["amount"].describe()
        amount = by_name["amount"]
        assert amount["mean"] == pytest.approx(of["mean"], rel=1e-12) and amount["stddev"] == pytest.approx(of["std"], rel=1e-12)
        assert amount["quartiles"] == pytest.approx([of["25%"], of["50%"], of["75%"]], rel=1e-12)
        assert (float(amount["min"]), float(amount["max"])) == (of["min"], of["max"])
        counts, _ = pd.cut(frame["amount"], 12, retbins=True, right=False)
        assert sum(amount["histogram"]) == int(of["count"])
        assert max(abs(a - b) for a, b in zip(amount["histogram"], counts.value_counts(sort=False))) <= 2
        top = frame["city"].value_counts()
        assert sorted(by_name["city"]["top"], key=lambda v: -v[1]) == [[v, n] for v, n in top.items()]
        assert by_name["day"]["min"] == str(frame["day"].min())
        for column in frame:
            exact = frame[column].nunique()
            assert abs(by_name[column]["distinct"] - exact) <= max(1, exact * 0.06)
    some = mill.run("dataset", "describe", "t", "--columns", "city")["columns"]
    assert [c["column"] for c in some] == ["city"]
    error = mill.run("dataset", "describe", sales, "--columns", "citi", status=2)["error"]
    assert f"{sales} has no column `citi`" in error and "tmp" not in error.replace(str(sales), "")


def test_nothing_and_odd_columns_are_described(mill, tmp_path):
    (tmp_path / "t.csv").write_text('a "b",n,x,y\n,,nan,inf\n,,nan,1\n')
    done = mill.run("dataset", "describe", tmp_path / "t.csv")
    assert {c["column"]: c["nulls"] for c in done["columns"]} == {'a "b"': 2, "n": 2, "x": 0, "y": 0}
    (tmp_path / "e.csv").write_text("x,y\n")
    assert mill.run("dataset", "describe", tmp_path / "e.csv")["rows"] == 0


def test_tail_sample_and_values(mill, frame, sales):
    mill.ingest("t", sales, shard_size="8KiB")
    assert [r["id"] for r in mill.run("dataset", "tail", "t", "-n", "3")["rows"]] == [1997, 1998, 1999]
    assert len(mill.run("dataset", "tail", "t", "-n", "3000")["rows"]) == 2000
    one, two = (mill.run("dataset", "sample", "t", "-n", "20", "--seed", seed)["rows"] for seed in ("1", "2"))
    assert one == mill.run("dataset", "sample", "t", "-n", "20", "--seed", "1")["rows"] and one != two
    ids = [r["id"] for r in one]
    assert ids == sorted(set(ids)) and len(ids) == 20
    assert len(mill.run("dataset", "sample", sales, "-n", "1000", "--seed", "1")["rows"]) == 1000
    counts = [(r["city"], r["rows"]) for r in mill.run("dataset", "values", "t", "city")["rows"]]
    wanted = frame["city"].value_counts(dropna=False)
    assert sorted(counts, key=str) == sorted(((None if pd.isna(v) else v, n) for v, n in wanted.items()), key=str)
    assert "no column" in mill.run("dataset", "values", "t", "citi", status=2)["error"]


def test_versions_are_compared_and_weighed(mill, sales, tmp_path):
    mill.ingest("t", sales, shard_size="8KiB")
    (tmp_path / "more.csv").write_text("id,city,amount,day,new\nx,Oslo,1,2024-01-01,5\n")
    mill.ingest("t", tmp_path / "more.csv", append=True)
    diff = mill.run("dataset", "diff", "t@1", "t@2")
    assert (diff["before"]["rows"], diff["after"]["rows"], diff["shards_shared"]) == (2000, 2001, diff["before"]["shards"])
    assert {c["column"]: (c["before"], c["after"]) for c in diff["columns"]} == {"id": ("int64", "string"), "new": ("-", "int64")}
    usage = mill.run("dataset", "du", "t")
    one, two = sorted(usage["versions"], key=lambda v: v["dataset"])
    assert one["bytes_alone"] == 0 and 0 < two["bytes_alone"] < two["bytes"] == usage["bytes"]


def test_files_stand_for_datasets(mill, frame, sales, tmp_path):
    done = mill.run("aggregate", sales, "-", "--by", "city", "--agg", "n=count(),m=mean(amount)")
    wanted = frame.groupby("city", dropna=False)["amount"].agg(["size", "mean"])
    got = {r["city"]: (r["n"], r["m"]) for r in done["rows"]}
    assert {k: v[0] for k, v in got.items()} == {None if pd.isna(k) else k: n for k, n in wanted["size"].items()}
    assert len(mill.run("sort", sales, "-", "--by", "amount")["rows"]) == 2000
    assert len(mill.run("dedup", sales, "-", "--keys", "city")["rows"]) == 4
    (tmp_path / "r.csv").write_text("city,country\nRome,IT\nParis,FR\n")
    joined = mill.run("join", sales, tmp_path / "r.csv", "j", "--on", "city")
    assert joined["rows"] == int(frame["city"].isin(["Rome", "Paris"]).sum())
    assert mill.run("compare", sales, sales, "-", "--on", "id")["rows_total"] == 2000
    (tmp_path / "rules.toml").write_text('[[rule]]\nop = "keep"\ncolumns = ["id"]\n')
    assert [c["name"] for c in mill.run("clean", sales, "-", "--rules", tmp_path / "rules.toml")["columns"]] == ["id"]
    mill.run("split", sales, "--into", "a=0.8,b=0.2")
    # Nothing of the files is left behind.
    assert sorted(d["dataset"] for d in mill.run("dataset", "list")["datasets"]) == ["a@1", "b@1", "j@1"]
    error = mill.run("aggregate", sales, "-", "--by", "citi", "--agg", "n=count()", status=1)["error"]
    assert f"{sales} has no column `citi`" in error
    done = subprocess.run([binary(), *mill.where, "dataset", "head", sales], capture_output=True, env=environment(), cwd=mill.work)
    assert done.returncode == 0 and "New York" in done.stdout.decode() and "tmp" not in done.stderr.decode().replace(str(sales), "")


def test_a_workbook_is_written(mill, tmp_path, frame):
    import decimal

    table = pa.table({
        "i": [1, None], "big": [2**60, 1], "x": [1.5, float("nan")], "t": ["a", None], "b": [True, False],
        "d": pa.array([19_000, -50_000], pa.date32()), "w": pa.array([1_700_000_000_250_000, None], pa.timestamp("us")),
        "p": pa.array([decimal.Decimal("1.50"), None], pa.decimal128(10, 2)), "tm": pa.array([3_600_000_000, None], pa.time64("us")),
    })  # fmt: skip
    import pyarrow.parquet as pq

    pq.write_table(table, tmp_path / "t.parquet")
    mill.ingest("t", tmp_path / "t.parquet")
    mill.run("dataset", "export", "t", "--to", tmp_path / "t.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "t.xlsx").active
    rows = [list(row) for row in sheet.iter_rows(values_only=True)]
    assert rows[0] == table.column_names
    first = dict(zip(rows[0], rows[1]))
    assert (first["i"], first["big"], first["x"], first["t"], first["b"], first["p"]) == (1, str(2**60), 1.5, "a", True, 1.5)
    assert first["d"].date() == pd.Timestamp("2022-01-08").date() and first["w"] == pd.Timestamp(1_700_000_000_250, unit="ms").to_pydatetime()
    second = dict(zip(rows[0], rows[2]))
    assert (second["i"], second["x"], second["t"], second["d"]) == (None, "NaN", None, "1833-02-08")
    # And it comes back.
    mill.ingest("again", tmp_path / "t.xlsx")
    assert mill.types("again")["d"] == "date" and mill.types("again")["w"] == "datetime" and mill.types("again")["big"] == "int64"
