"""Dask: two worker processes on this machine; the result is a folder of Parquet files."""

import os

import dask.dataframe as dd
import pandas as pd
from dask.distributed import Client, LocalCluster

from tasks import COLUMNS, CORES, FORMAT, LOWERED, run

TYPES = {c: "int64" if c in ("order_id", "quantity") else "str" for c in COLUMNS}


def clean(frame):
    frame = frame.copy()
    for c in LOWERED:
        text = frame[c].str.strip().str.lower()
        frame[c] = text.where(text != "")
    frame["amount"] = pd.to_numeric(frame["amount"].str.strip(), errors="coerce")
    frame["ordered_at"] = pd.to_datetime(frame["ordered_at"].str.strip(), format=FORMAT, errors="coerce")
    return frame


def ingest(files, out):
    frame = dd.read_csv(files, dtype=TYPES, engine="pyarrow", blocksize=None)
    frame.map_partitions(clean).drop_duplicates(split_out=len(files)).to_parquet(out, write_index=False)


def merge(left, right, out):
    merged = dd.read_parquet(left).merge(dd.read_parquet(right), on=COLUMNS, how="outer", indicator=True)
    merged["_merge"] = merged["_merge"].astype("str")
    merged.to_parquet(out, write_index=False)


def in_cluster(work):
    def wrapped(*args):
        folder = os.environ.get("BENCH_SCRATCH", "/tmp")
        cluster = LocalCluster(
            n_workers=CORES, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=folder, memory_limit="8GiB"
        )
        with cluster, Client(cluster):
            work(*args)

    return wrapped


# Workers import this file; only the first process has something to do.
if __name__ == "__main__":
    run(in_cluster(ingest), in_cluster(merge))
