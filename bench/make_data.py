#!/usr/bin/env python3
"""Makes the dirty orders of the benchmark: the same seed and size give the same files, byte for byte.

    python3 bench/make_data.py OUT [--rows N] [--seed N] [--files N] [--first-id N]

writes OUT/old/orders-1.csv ... and OUT/new/orders-1.csv ..., two exports of the same table, and OUT/expected.json, the counts that
follow from how they were made.

Each file has a header and seven columns:

    order_id    whole number
    customer    first, middle and last name: stray spaces, upper and lower case, some blank
    city        stray spaces, upper and lower case, some blank
    status      one of six, stray spaces, upper and lower case
    amount      a number with two decimals, some with spaces around it, some blank
    ordered_at  YYYY-MM-DD HH:MM:SS, some blank
    quantity    whole number, clean

Of the rows, 5% are exact copies of an earlier row. Every distinct row has an order_id of its own, so that cleaning makes no
further duplicates. In the new export 1% of the orders are gone, 1% are new and 3% have another status or amount. It is dirty in
other places, so that the two exports agree only once both are clean.

Needs numpy.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

HEADER = "order_id,customer,city,status,amount,ordered_at,quantity\n"
COPIES = 0.05
GONE = 0.01
ARRIVED = 0.01
CHANGED = 0.03
CHUNK = 250_000

FIRST = "Ada Ben Cleo Dan Eva Finn Gia Hugo Ida Jan Kim Leo Mia Noa Ole Pia Quin Rae Sam Tia Uma Vic Wim Xia Yan Zoe".split()
MIDDLE = [chr(c) for c in range(ord("A"), ord("Z") + 1)]
LAST = "Abel Beck Cruz Dahl Egan Funk Gray Holm Ives Jung Kern Lang Moss Nash Orr Page Roth Senn Toth Ude Voss Wolf Young Zell".split()
CITIES = """Oslo,Rome,Bonn,Lima,Cork,Graz,Lyon,Bern,Nice,Kiel,Metz,Pisa,Vigo,Brno,Linz,Paris,Porto,Turin,Ghent,Delhi,Tokyo,Berlin,Madrid,
Vienna,Lisbon,New York,Den Haag,Zürich""".replace("\n", "").split(",")
STATUSES = ["new", "paid", "packed", "sent", "back", "void"]
EPOCH = np.datetime64("2022-01-01T00:00:00")
SECONDS = 4 * 365 * 86_400


def spellings(words):
    """Each word as itself, then as careless people write it: five spellings a word, one after the other."""
    return np.array([s for w in words for s in (w, w.upper(), w.lower(), " " + w, w + "  ")], dtype=object)


def spell(pool, which, rng):
    """The words `which` of a pool of spellings: seven in ten as they are, the others in one of the other ways."""
    n = len(which)
    way = np.where(rng.random(n) < 0.7, 0, rng.integers(1, 5, n))
    return pool[which * 5 + way]


class Orders:
    """The truth: distinct orders, as numbers."""

    def __init__(self, ids, rng):
        n = len(ids)
        self.ids = ids
        self.customer = rng.integers(0, len(FIRST) * len(MIDDLE) * len(LAST), n, dtype=np.int32)
        self.city = rng.integers(0, len(CITIES), n, dtype=np.int16)
        self.status = rng.integers(0, len(STATUSES), n, dtype=np.int16)
        self.cents = rng.integers(100, 100_000, n, dtype=np.int32)
        self.second = rng.integers(0, SECONDS, n, dtype=np.int32)
        self.quantity = rng.integers(1, 10, n, dtype=np.int16)
        # What is missing is missing in every export.
        self.no_customer = rng.random(n) < 0.005
        self.no_city = rng.random(n) < 0.02
        self.no_amount = rng.random(n) < 0.02
        self.no_time = rng.random(n) < 0.01

    def take(self, which):
        taken = object.__new__(Orders)
        taken.__dict__ = {name: values[which] for name, values in self.__dict__.items()}
        return taken


def later(old, rng, first_new):
    """The new export's truth: some orders gone, some new, some changed."""
    n = len(old.ids)
    stays = np.ones(n, dtype=bool)
    stays[rng.choice(n, round(n * GONE), replace=False)] = False
    kept = old.take(stays)
    changed = rng.choice(len(kept.ids), round(len(kept.ids) * CHANGED), replace=False)
    half = len(changed) // 2
    kept.status[changed[:half]] = (kept.status[changed[:half]] + 1) % len(STATUSES)
    kept.cents[changed[half:]] += 1
    kept.no_amount[changed[half:]] = False
    arrived = Orders(np.arange(first_new, first_new + round(n * ARRIVED)), rng)
    both = object.__new__(Orders)
    both.__dict__ = {name: np.concatenate([values, arrived.__dict__[name]]) for name, values in kept.__dict__.items()}
    return both


def texts(orders, rng):
    """The dirty cells of some orders, as lists of strings."""
    n = len(orders.ids)
    customer = spell(NAMES, orders.customer, rng)
    city = spell(CITY_SPELLINGS, orders.city, rng)
    status = spell(STATUS_SPELLINGS, orders.status, rng)
    blank = np.array(["", " ", "   "], dtype=object)
    customer[orders.no_customer] = blank[rng.integers(0, 3, orders.no_customer.sum())]
    city[orders.no_city] = blank[rng.integers(0, 3, orders.no_city.sum())]
    spaced = np.where(rng.random(n) < 0.9, 0, rng.integers(1, 4, n)).tolist()
    forms = ["%d.%02d", " %d.%02d", "%d.%02d ", "  %d.%02d "]
    cents = orders.cents.tolist()
    amount = [forms[s] % (c // 100, c % 100) for s, c in zip(spaced, cents)]
    for at in np.flatnonzero(orders.no_amount).tolist():
        amount[at] = ("", " ", "  ")[at % 3]
    moment = np.datetime_as_string(EPOCH + orders.second.astype("timedelta64[s]"))
    moment = np.char.replace(moment, "T", " ").astype(object)
    moment[orders.no_time] = blank[rng.integers(0, 2, orders.no_time.sum())]
    return [orders.ids.tolist(), customer.tolist(), city.tolist(), status.tolist(), amount, moment.tolist(), orders.quantity.tolist()]


def write(folder, orders, files, copies, rng):
    """Writes the orders and copies of some of them, each after its original, as several files."""
    folder.mkdir(parents=True, exist_ok=True)
    n = len(orders.ids)
    source = rng.integers(0, n, copies)
    # A copy comes anywhere after its original; keys put the rows in their order.
    keys = np.concatenate([np.arange(n, dtype=np.float64), source + 0.5 + rng.random(copies) * (n - source)])
    order = np.argsort(keys, kind="stable")
    which = np.concatenate([np.arange(n), source])[order]
    lines = []
    for start in range(0, n, CHUNK):
        cells = texts(orders.take(slice(start, start + CHUNK)), rng)
        lines.extend("%d,%s,%s,%s,%s,%s,%d\n" % row for row in zip(*cells))
    total, size = len(which), 0
    each = -(-total // files)
    which = which.tolist()
    for number in range(files):
        text = HEADER + "".join([lines[i] for i in which[number * each : (number + 1) * each]])
        size += (folder / f"orders-{number + 1}.csv").write_bytes(text.encode("utf-8"))
    return total, size


def make(out, rows, seed, files, first_id):
    distinct = max(1, round(rows / (1 + COPIES)))
    old = Orders(np.arange(first_id, first_id + distinct), np.random.default_rng([seed, 1]))
    new = later(old, np.random.default_rng([seed, 2]), first_id + distinct)
    expected = {}
    for name, orders, stream in [("old", old, 3), ("new", new, 4)]:
        copies = rows - len(orders.ids)
        total, size = write(out / name, orders, files, max(0, copies), np.random.default_rng([seed, stream]))
        expected[name] = {"rows_in": total, "rows": len(orders.ids), "bytes": size}
        print(f"{name}: {total:,} rows, {len(orders.ids):,} of them distinct, {size / 1e6:.1f} MB in {files} files", file=sys.stderr)
    gone, arrived, changed = round(distinct * GONE), round(distinct * ARRIVED), round((distinct - round(distinct * GONE)) * CHANGED)
    both = distinct - gone - changed
    expected["merge"] = {"both": both, "left_only": gone + changed, "right_only": arrived + changed}
    (out / "expected.json").write_text(json.dumps(expected) + "\n")


NAMES = spellings([f"{first} {middle} {last}" for first in FIRST for middle in MIDDLE for last in LAST])
CITY_SPELLINGS = spellings(CITIES)
STATUS_SPELLINGS = spellings(STATUSES)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=5_250_000, help="rows of each export, copies included [5250000]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=6)
    parser.add_argument("--first-id", type=int, default=1_000_000, help="the first order_id [1000000]")
    args = parser.parse_args()
    make(args.out, args.rows, args.seed, args.files, args.first_id)


if __name__ == "__main__":
    main()
