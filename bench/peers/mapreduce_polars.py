"""Polars: lazy, streaming, straight to a file."""

from functools import partial

import polars as pl

from mapreduce_tasks import GROUPS, run


def group(by, other, source, out):
    grouped = pl.scan_parquet(source).group_by(by).agg(pl.len().alias("n"), pl.col("amount").mean().alias("mean"), pl.col(other).n_unique().alias("others"))
    grouped.sink_parquet(out, compression="lz4")


run(**{name: partial(group, *columns) for name, columns in GROUPS.items()})
