"""Makes what bench/mapreduce.py works on, from a seed.

    make_mapreduce.py group PATH.parquet ROWS      rows to group: a city (1,000 of them, uneven), a customer (one of ROWS / 10), an amount
    make_mapreduce.py words PATH.txt BYTES         lines of ten words; words are drawn by Zipf's law from 200,000
    make_mapreduce.py records PATH.txt BYTES       records of 100 bytes as gensort makes them in ASCII: a random key of ten bytes, a number, filler
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

what, path, size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(7)
part = path.with_suffix(".part")


def group():
    schema = pa.schema([("city", pa.string()), ("customer", pa.string()), ("amount", pa.float64())])
    cities = np.array([f"city {n:04}" for n in range(1000)])
    customers = max(1, size // 10)
    with pq.ParquetWriter(part, schema) as out:
        for begin in range(0, size, 500_000):
            n = min(500_000, size - begin)
            city = cities[(1000 * rng.random(n) ** 2).astype(int)]
            customer = np.char.add("customer ", rng.integers(0, customers, n).astype(str))
            amount = np.round(rng.gamma(2.0, 40.0, n), 2)
            out.write_table(pa.table([city, customer, amount], schema=schema))


def words():
    alphabet = np.array(list("etaoinshrdlucmfwypvbgkqjxz"))
    lengths = rng.integers(2, 12, 200_000)
    vocabulary = np.array(sorted({"".join(rng.choice(alphabet, n)) for n in lengths}))
    rng.shuffle(vocabulary)
    share = 1 / np.arange(1, len(vocabulary) + 1)
    bounds = np.cumsum(share / share.sum())
    written = 0
    with open(part, "w") as out:
        while written < size:
            drawn = vocabulary[np.searchsorted(bounds, rng.random(1_000_000)).clip(0, len(vocabulary) - 1)]
            text = "\n".join(" ".join(line) for line in drawn.reshape(-1, 10)) + "\n"
            written += out.write(text)


def records():
    printable = np.arange(33, 127, dtype=np.uint8)
    with open(part, "wb") as out:
        for begin in range(0, size // 100, 1_000_000):
            n = min(1_000_000, size // 100 - begin)
            rows = np.full((n, 100), ord(" "), dtype=np.uint8)
            rows[:, :10] = rng.choice(printable, (n, 10))
            number = np.arange(begin, begin + n)
            for digit in range(32):
                rows[:, 43 - digit] = np.frombuffer(b"0123456789ABCDEF", np.uint8)[(number >> (4 * digit)) & 15 if digit < 15 else 0]
            rows[:, 46:99] = rng.choice(printable, (n, 1))
            rows[:, 99] = ord("\n")
            out.write(rows.tobytes())


{"group": group, "words": words, "records": records}[what]()
part.rename(path)
