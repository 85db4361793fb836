"""DuckDB: one COPY statement a task, in memory, without keeping the order."""

import duckdb

from tasks import COLUMNS, LOWERED, run


def connect():
    db = duckdb.connect()
    db.execute("SET preserve_insertion_order = false")
    return db


def ingest(files, out):
    types = ", ".join(f"'{c}': '{'BIGINT' if c in ('order_id', 'quantity') else 'VARCHAR'}'" for c in COLUMNS)
    cells = {c: f"nullif(lower(trim({c})), '') AS {c}" for c in LOWERED}
    cells["amount"] = "TRY_CAST(nullif(trim(amount), '') AS DOUBLE) AS amount"
    cells["ordered_at"] = "TRY_CAST(nullif(trim(ordered_at), '') AS TIMESTAMP) AS ordered_at"
    selected = ", ".join(cells.get(c, c) for c in COLUMNS)
    connect().execute(
        f"COPY (SELECT DISTINCT {selected} FROM read_csv({files!r}, header = true, auto_detect = false, columns = {{{types}}}))"
        f" TO '{out}' (FORMAT parquet)"
    )


def merge(left, right, out):
    same = " AND ".join(f"l.{c} IS NOT DISTINCT FROM r.{c}" for c in COLUMNS)
    # Where a side is missing all its columns are null; a marker tells that from a row of nulls.
    selected = ", ".join(f"CASE WHEN l.side IS NULL THEN r.{c} ELSE l.{c} END AS {c}" for c in COLUMNS)
    connect().execute(
        f"COPY (SELECT {selected},"
        " CASE WHEN r.side IS NULL THEN 'left_only' WHEN l.side IS NULL THEN 'right_only' ELSE 'both' END AS _merge"
        f" FROM (SELECT *, true AS side FROM read_parquet('{left}')) l FULL JOIN (SELECT *, true AS side FROM read_parquet('{right}')) r ON {same})"
        f" TO '{out}' (FORMAT parquet)"
    )


run(ingest, merge)
