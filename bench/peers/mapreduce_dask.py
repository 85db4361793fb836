"""Dask: two worker processes on this machine."""

import os
from functools import partial

import dask.bag as db
import dask.dataframe as dd
from dask.distributed import Client, LocalCluster

from mapreduce_tasks import CORES, GROUPS, run


def group(by, other, source, out):
    grouped = dd.read_parquet(source).groupby(by)
    sums = grouped["amount"].agg(["size", "mean"])
    found = dd.concat([sums, grouped[other].nunique().to_frame()], axis=1)
    found.columns = ["n", "mean", "others"]
    found.reset_index().to_parquet(out, write_index=False)


def words(source, out):
    counts = db.read_text(source, blocksize="32MiB").str.split().flatten().frequencies()
    counts.to_dataframe(columns=["word", "n"]).to_parquet(out, write_index=False)


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
    tasks = {name: partial(group, *columns) for name, columns in GROUPS.items()}
    run(words=in_cluster(words), **{name: in_cluster(task) for name, task in tasks.items()})
