#!/usr/bin/env python3
"""Prints, as one JSON object, what does not depend on the order of the rows of a Parquet file or folder.

    python3 bench/check.py PATH

Rows, nulls and sums of columns, and the sum of a hash of every row; where there is a column _merge, all that for each of its
values. Needs duckdb.
"""

import json
import sys
from pathlib import Path

import duckdb

CELLS = [
    "order_id::BIGINT",
    "customer::VARCHAR",
    "city::VARCHAR",
    "status::VARCHAR",
    # A missing number is null in some systems and NaN in others.
    "CASE WHEN isnan(amount::DOUBLE) THEN NULL ELSE amount::DOUBLE END",
    "ordered_at::TIMESTAMP",
    "quantity::BIGINT",
]


def look(path):
    files = f"{path}/**/*.parquet" if Path(path).is_dir() else str(path)
    db = duckdb.connect()
    columns = [row[0] for row in db.execute(f"DESCRIBE SELECT * FROM read_parquet('{files}')").fetchall()]
    group = "_merge::VARCHAR" if "_merge" in columns else "'all'"
    hashed = f"sum(hash({', '.join(CELLS)})::HUGEINT)::VARCHAR"
    nulls = " + ".join(f"count(*) - count({c})" for c in CELLS)
    rows = db.execute(
        f"SELECT {group}, count(*), {nulls}, sum(order_id)::BIGINT, sum(quantity)::BIGINT, sum(round({CELLS[4]} * 100)::BIGINT)::BIGINT,"
        f" {hashed} FROM read_parquet('{files}') GROUP BY 1 ORDER BY 1"
    ).fetchall()
    names = ["rows", "nulls", "order_ids", "quantity", "cents", "hash"]
    return {"columns": columns, "groups": {row[0]: dict(zip(names, row[1:])) for row in rows}}


if __name__ == "__main__":
    print(json.dumps(look(sys.argv[1])))
