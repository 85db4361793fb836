"""Makes rows to train on: normal features, a label that follows a logistic model. CSV, and the same rows as Parquet.

    make_training.py PATH.csv ROWS FEATURES
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

path, rows, features = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(20)
w = rng.normal(size=features) * 0.6
scale = 10.0 ** rng.uniform(-1, 2, size=features)
part = path.with_suffix(".part")
done, batch = 0, 500_000
with pq.ParquetWriter(path.with_suffix(".parquet"), pa.schema([(f"x{n}", pa.float64()) for n in range(features)] + [("y", pa.int64())])) as parquet:
    with open(part, "wb") as out:
        while done < rows:
            n = min(batch, rows - done)
            x = rng.normal(size=(n, features))
            y = (rng.random(n) < 1 / (1 + np.exp(-(x @ w - 0.3)))).astype(np.int64)
            # Six digits, as measured values have.
            x = np.round(x * scale, 6)
            t = pa.table({**{f"x{k}": x[:, k] for k in range(features)}, "y": y})
            csv.write_csv(t, out, csv.WriteOptions(include_header=done == 0))
            parquet.write_table(t)
            done += n
part.rename(path)
