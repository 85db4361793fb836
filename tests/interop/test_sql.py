"""The SQL of statements beside DuckDB: some statements that engines read differently, through the program, and many made at random."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

HERE = Path(__file__).parent

L = [(1, "a", 10), (2, "b", 20), (3, None, 30), (4, "d", None)]
R = [(1, "a", 100), (1, "a", 5), (3, None, 300), (9, "z", 900)]

STATEMENTS = [
    "SELECT l.i, r.y FROM l LEFT JOIN r ON l.i = r.i AND r.y > 50",
    "SELECT l.i, r.y FROM l RIGHT JOIN r ON l.i = r.i AND l.x > 15",
    "SELECT l.i, r.y FROM l FULL JOIN r ON l.i = r.i AND r.y > 50",
    "SELECT k, l.i, r.y FROM l FULL JOIN r USING (k)",
    "SELECT k, r.y FROM l RIGHT JOIN r USING (k)",
    "SELECT l.i FROM l ANTI JOIN r ON l.i = r.i AND r.y > 50",
    "SELECT l.i, r.y FROM l LEFT JOIN r ON l.i < r.i AND l.k = r.k",
    "SELECT l.k FROM l WHERE l.k NOT IN (SELECT k FROM r)",
    "SELECT l.i FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE r.i = l.i)",
    "SELECT i, AVG(x) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS m FROM l",
    "SELECT i, STRING_AGG(k, ',') OVER (ORDER BY i) AS s FROM l",
    "SELECT k, SUM(SUM(x)) OVER () AS s FROM l GROUP BY k",
    "SELECT i, SUM(y) OVER (ORDER BY i) AS s FROM r",
    "SELECT i FROM l QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY i) = 1",
    "SELECT i, x > (SELECT AVG(x) FROM l) AS high FROM l",
    "SELECT l.i, (SELECT MAX(y) FROM r WHERE r.i = l.i) AS most FROM l",
    "SELECT k, COUNT(*) AS n FROM l GROUP BY ROLLUP (k)",
    "SELECT COUNT(*) AS n FROM l WHERE (x > 15) IS NOT TRUE",
    "SELECT x / 3 AS a, x // 3 AS b, x % 7 AS c, CAST(x / 4 AS BIGINT) AS d FROM l",
    "SELECT l.i, z.i AS j FROM l CROSS JOIN l AS z WHERE l.i < z.i",
]


def table(rows, last):
    i, k, x = zip(*rows)
    return pa.table({"i": pa.array(i, pa.int64()), "k": pa.array(k), last: pa.array(x, pa.int64())})


def shown(rows):
    told = [tuple(float(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else v for v in row) for row in rows]
    return sorted(told, key=str)


@pytest.fixture(scope="module")
def tables():
    return {"l": table(L, "x"), "r": table(R, "y")}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statements_mean_what_they_mean_to_duckdb(mill, tables, tmp_path, statement):
    con = duckdb.connect()
    con.sql("SET default_null_order = 'nulls_last_on_asc_first_on_desc'")
    for name, rows in tables.items():
        pq.write_table(rows, tmp_path / f"{name}.parquet")
        mill.run("ingest", name, tmp_path / f"{name}.parquet")
        con.register(name, rows)
    mill.run("mapreduce", "made", "--input", "l=l", "--input", "r=r", "--key", "", "--reduce", statement)
    mill.run("dataset", "export", "made", "--to", tmp_path / "made.parquet")
    ours = pq.read_table(tmp_path / "made.parquet")
    theirs = con.sql(statement)
    assert ours.column_names == theirs.columns
    assert shown(zip(*(c.to_pylist() for c in ours.columns))) == shown(theirs.fetchall())


@pytest.mark.skipif("SHARDMILL_ASK" not in os.environ, reason="SHARDMILL_ASK names the example `ask` of the crate shardmill-sql")
@pytest.mark.parametrize("way", [[], ["--queries"], ["--spread"]], ids=["map", "query", "spread"])
@pytest.mark.parametrize("seed", range(4))
def test_statements_made_at_random(seed, way):
    done = subprocess.run(
        [sys.executable, HERE / "sql_fuzz.py", os.environ["SHARDMILL_ASK"], *way, "--count", "250", "--seed", str(seed)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
