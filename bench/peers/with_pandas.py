"""pandas, with its pyarrow reader and pyarrow strings."""

import pandas as pd

from tasks import COLUMNS, FORMAT, LOWERED, run

TYPES = {c: "int64" if c in ("order_id", "quantity") else "str" for c in COLUMNS}


def clean(frame):
    for c in LOWERED:
        text = frame[c].str.strip().str.lower()
        frame[c] = text.where(text != "")
    frame["amount"] = pd.to_numeric(frame["amount"].str.strip(), errors="coerce")
    frame["ordered_at"] = pd.to_datetime(frame["ordered_at"].str.strip(), format=FORMAT, errors="coerce")
    return frame


def ingest(files, out):
    frame = pd.concat([pd.read_csv(f, engine="pyarrow", dtype=TYPES) for f in files], ignore_index=True)
    clean(frame).drop_duplicates().to_parquet(out, index=False)


def merge(left, right, out):
    merged = pd.read_parquet(left).merge(pd.read_parquet(right), on=COLUMNS, how="outer", indicator=True)
    merged.to_parquet(out, index=False)


run(ingest, merge)
