"""pandas, one process."""

from functools import partial

import pandas as pd

from mapreduce_tasks import GROUPS, run


def group(by, other, source, out):
    grouped = pd.read_parquet(source).groupby(by, as_index=False).agg(n=("amount", "size"), mean=("amount", "mean"), others=(other, "nunique"))
    grouped.to_parquet(out, index=False)


run(**{name: partial(group, *columns) for name, columns in GROUPS.items()})
