"""Tasks that read small neighbouring shards together and large ones alone: the same rows as pandas, in the same order, in fewer
shards."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

# A shard of so many rows is too large to be read with others.
LARGE = 300_000
SMALL = 700

RULES = """
[[rule]]
op = "fill"
columns = "x"
with = "forward"

[[rule]]
op = "fill"
columns = "y"
with = "mean"

[[rule]]
op = "range"
columns = "n"
min = 0
on_error = "reject"

[[rule]]
op = "filter"
sql = "k <> 3"
"""


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    rng = np.random.default_rng(91)
    rows = 2 * LARGE + 40 * SMALL
    # Gaps in x reach over whole small shards.
    x = rng.normal(size=rows)
    x[rng.random(rows) < 0.9985] = np.nan
    y = np.round(rng.normal(size=rows), 3)
    y[rng.random(rows) < 0.1] = np.nan
    n = rng.integers(0, 1000, rows)
    n[rng.random(rows) < 0.001] = -1
    return pd.DataFrame({"i": np.arange(rows), "k": rng.integers(0, 9, rows), "x": x, "y": y, "n": n})


@pytest.fixture
def mixed(mill, tmp_path, truth):
    """`t`: twenty small shards, a large one, twenty small ones, a large one."""
    sizes = [SMALL] * 20 + [LARGE] + [SMALL] * 20 + [LARGE]
    at = 0
    for n, size in enumerate(sizes):
        part = pa.Table.from_pandas(truth.iloc[at : at + size], preserve_index=False)
        at += size
        pq.write_table(part, tmp_path / f"{n:02}.parquet")
    mill.ingest("t", *sorted(tmp_path.glob("*.parquet")), shard_size="64MB")
    assert mill.shards("t") == len(sizes)
    return mill


def frame(mill, name) -> pd.DataFrame:
    return mill.table(name).to_pandas()


def test_cleaning(mixed, truth):
    done = mixed.clean("t", "c", RULES)
    wanted = truth.assign(x=truth.x.ffill(), y=truth.y.fillna(truth.y.mean()))
    refused = wanted[wanted.n < 0]
    wanted = wanted[(wanted.n >= 0) & (wanted.k != 3)].reset_index(drop=True)
    got = frame(mixed, "c")
    pd.testing.assert_frame_equal(got, wanted, rtol=1e-12, atol=0, check_exact=False)
    assert (got.x.isna() == wanted.x.isna()).all() and (got.i == wanted.i).all()
    rejects = frame(mixed, "c.rejects")
    assert list(rejects.line) == [n + 1 for n in refused.index]
    assert set(rejects.file) == {"t@1"}
    assert mixed.counters(done)["rejected"] == len(refused)
    assert mixed.shards("c") == 4
    # What changes nothing copies nothing.
    mixed.clean("t", "same", '[[rule]]\nop = "range"\ncolumns = "i"\nmin = 0\non_error = "reject"')
    assert mixed.shards("same") == mixed.shards("t")
    assert frame(mixed, "same").equals(frame(mixed, "t"))


def test_a_failing_cast_names_the_row_of_the_dataset(mixed, truth):
    told = mixed.clean("t", "c", '[[rule]]\nop = "cast"\ncolumns = "n"\nto = "string"\n[[rule]]\nop = "replace"\ncolumns = "n"\nfind = "-1"\nwith = "none"\n[[rule]]\nop = "cast"\ncolumns = "n"\nto = "integer"', status=1)
    rows = [f"(row {n + 1} of t@1)" for n in truth.index[truth.n < 0]]
    assert any(row in told["error"] for row in rows), told["error"]


@pytest.mark.parametrize("how", ["inner", "left", "semi", "anti"])
def test_joining_with_a_small_dataset(mixed, truth, tmp_path, how):
    other = pd.DataFrame({"k": [1, 1, 4, 12], "name": ["a", "b", "c", "d"]})
    other.to_csv(tmp_path / "other.csv", index=False)
    mixed.ingest("o", tmp_path / "other.csv")
    done = mixed.run("join", "t", "o", "j", "--on", "k", "--how", how)
    if how in ("semi", "anti"):
        wanted = truth[truth.k.isin(other.k) == (how == "semi")].reset_index(drop=True)
    else:
        wanted = truth.merge(other, on="k", how=how)
    got = frame(mixed, "j")
    assert len(got) == done["rows"] == len(wanted)
    pd.testing.assert_frame_equal(got, wanted, check_dtype=False)
    # Semi and anti joins leave rows where they lie.
    assert mixed.shards("j") == (4 if how in ("inner", "left") else mixed.shards("t"))


def test_prediction(mixed, truth):
    mixed.run("train", "linear", "t", "--model", "m", "--label", "n", "--features", "k,i")
    done = mixed.run("predict", "m", "t", "p", "--keep", "i")
    assert done["rows"] == len(truth) and mixed.shards("p") == 4
    got = frame(mixed, "p")
    assert (got.i == truth.i).all()
    a = np.column_stack([truth.k, truth.i, np.ones(len(truth))]).astype(float)
    best = a @ np.linalg.lstsq(a, truth.n.to_numpy(float), rcond=None)[0]
    np.testing.assert_allclose(got.prediction, best, rtol=1e-6)


def test_what_a_job_writes_in_very_small_pieces_is_put_together(mill, tmp_path):
    truth = pd.DataFrame({"i": range(6000), "t": [f"text {n % 97}" for n in range(6000)]})
    truth.to_csv(tmp_path / "t.csv", index=False)
    mill.ingest("t", tmp_path / "t.csv", shard_size="1KiB")
    assert mill.shards("t") >= 64, "an ingest keeps the size that was asked for"
    done = mill.run("split", "t", "--into", "most=0.9,few=0.1")
    stages = [stage["name"] for stage in mill.run("job", "show", done["job"])["stages"]]
    assert stages[-1] == "compact outputs", stages
    most, few = frame(mill, "most"), frame(mill, "few")
    assert (len(most), len(few), mill.shards("few")) == (5400, 600, 1)
    assert most.i.is_monotonic_increasing and few.i.is_monotonic_increasing
    pd.testing.assert_frame_equal(pd.concat([most, few]).sort_values("i").reset_index(drop=True), truth)
    # What only lost some rows shares its shards with the dataset it came from.
    assert mill.shards("most") == mill.shards("t")
    mill.run("mapreduce", "m", "--input", "t", "--map", "SELECT i * 2 AS i, UPPER(t) AS t FROM input WHERE i % 10 = 0")
    assert mill.shards("m") == 1
    wanted = truth[truth.i % 10 == 0].assign(i=truth.i * 2, t=truth.t.str.upper()).reset_index(drop=True)
    pd.testing.assert_frame_equal(frame(mill, "m"), wanted)
