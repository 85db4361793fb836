"""DuckDB, one process."""

from functools import partial

import duckdb

from mapreduce_tasks import GROUPS, run


def group(by, other, source, out):
    query = f"SELECT {by}, count(*) AS n, avg(amount) AS mean, count(DISTINCT {other}) AS others FROM '{source}' GROUP BY {by}"
    duckdb.sql(f"COPY ({query}) TO '{out}' (FORMAT parquet, COMPRESSION lz4_raw)")


run(**{name: partial(group, *columns) for name, columns in GROUPS.items()})
