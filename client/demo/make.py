#!/usr/bin/env python3
"""Makes the files of `shardmill demo` from planes.csv of the R package nycflights13 (CC0-1.0).

    python3 client/demo/make.py path/to/nycflights13/planes.csv

The same input and seed give the same files, byte for byte:

    planes-1.csv.gz   a third of the planes, dirty
    planes-2.csv.gz   a third, dirty, with the columns in another order
    planes-3.csv.gz   a third, dirty; the demo writes this one out as gzip
    older.csv.gz      what an older version of the whole table might have looked like, tidy

What is done to the data is listed in README.md and counted by the last lines that this script prints.
"""

import argparse
import csv
import gzip
import io
import random
from pathlib import Path

SEED = 20130901
COLUMNS = ["tailnum", "year", "type", "manufacturer", "model", "engines", "seats", "speed", "engine"]
TEXT = ["tailnum", "type", "manufacturer", "model", "engine"]
ORDER_OF_SECOND = ["tailnum", "manufacturer", "model", "year", "type", "engine", "engines", "seats", "speed"]

RETIRED = 45  # planes that only the older version has
ARRIVED = 110  # planes that only the new version has
RESEATED = 60  # planes with another number of seats in the older version
REENGINED = 20  # planes with another kind of engine in the older version
MISTYPED = 12  # planes with an impossible year in the new version
REPEATED = 150  # rows that come twice in the new version
RAGGED = 6  # rows with a cell too many or too few


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("original", type=Path, help="planes.csv of nycflights13")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the files go")
    args = parser.parse_args()
    rng = random.Random(SEED)
    with open(args.original, newline="", encoding="utf-8") as f:
        planes = list(csv.DictReader(f))
    if list(planes[0]) != COLUMNS:
        raise SystemExit(f"{args.original} is not planes.csv: its columns are {list(planes[0])}")

    retired = {p["tailnum"] for p in rng.sample(planes, RETIRED)}
    newest = sorted((p for p in planes if p["tailnum"] not in retired and p["year"] != "NA"), key=lambda p: -int(p["year"]))
    arrived = {p["tailnum"] for p in newest[:ARRIVED]}
    older = [dict(p) for p in planes if p["tailnum"] not in arrived]
    change(older, retired, rng)
    write(args.out / "older.csv.gz", [line(p.values()) for p in [dict(zip(COLUMNS, COLUMNS))] + older])

    now = [p for p in planes if p["tailnum"] not in retired]
    for p in rng.sample([p for p in now if p["year"] != "NA"], MISTYPED):
        p["year"] = rng.choice(["1066", "2103", "19.."])
    rows = [(at, dirty(p, rng)) for at, p in enumerate(now)]
    for p in rng.sample(now, REPEATED):
        # Half of them repeat to the letter; the others are the same row only once both are clean.
        at = now.index(p)
        again = dict(rows[at][1]) if rng.random() < 0.5 else dirty(p, rng)
        rows.append((rng.randrange(at, len(now)), again))
    rows.sort(key=lambda row: row[0])
    rows = [row for _, row in rows]
    third = -(-len(rows) // 3)
    for number in range(3):
        columns = ORDER_OF_SECOND if number == 1 else COLUMNS
        part = rows[number * third : (number + 1) * third]
        lines = [line(columns)] + [line(row[c] for c in columns) for row in part]
        for _ in range(RAGGED // 3):
            row = dirty(rng.choice(now), rng)
            cells = [row[c] for c in columns]
            cells = cells[: rng.randrange(3, 7)] if rng.random() < 0.5 else cells + ["?"]
            lines.insert(rng.randrange(1, len(lines) + 1), line(cells))
        write(args.out / f"planes-{number + 1}.csv.gz", lines)
    print(f"{len(planes)} planes: {len(now)} in the new version in {len(rows) + RAGGED} rows, {len(older)} in the older one")
    print(f"{RETIRED} retired, {ARRIVED} arrived, {RESEATED} with other seats, {REENGINED} with another engine")
    print(f"{REPEATED} rows repeated, {RAGGED} ragged, {MISTYPED} impossible years")


def change(older, retired, rng):
    """Gives the older version other values for some of the planes that both versions have."""
    both = [p for p in older if p["tailnum"] not in retired]
    picked = rng.sample(both, RESEATED + REENGINED)
    for p in picked[:RESEATED]:
        p["seats"] = str(int(p["seats"]) + rng.choice([-12, -8, -6, -2, 2, 4, 8]))
    for p in picked[RESEATED:]:
        p["engine"] = "Turbo-jet" if p["engine"] == "Turbo-fan" else "Turbo-fan"


def dirty(plane, rng):
    """The same plane as several careless people might have typed it."""
    row = dict(plane)
    for column in TEXT:
        cell = row[column]
        if rng.random() < 0.06:
            cell = rng.choice([str.lower, str.title, str.upper])(cell)
        if rng.random() < 0.05:
            cell = cell.replace(" ", "  ")
        if rng.random() < 0.10:
            cell = rng.choice([" {}", "{} ", "  {} ", "{}\u00a0"]).format(cell)
        row[column] = cell
    for column in ["year", "speed"]:
        if row[column] == "NA" and rng.random() < 0.4:
            row[column] = rng.choice(["", "  ", "-", "n/a"])
        elif rng.random() < 0.03:
            row[column] += " "
    if rng.random() < 0.02:
        row["seats"] += rng.choice([" ", ".0"])
    return row


def line(cells):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(list(cells))
    return text.getvalue()


def write(path, lines):
    with open(path, "wb") as file, gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as out:
        out.write("".join(lines).encode("utf-8"))


if __name__ == "__main__":
    main()
