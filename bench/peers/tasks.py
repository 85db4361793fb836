"""What every peer is asked to do, and its command line.

    with_NAME.py ingest OUT FILE...      read CSV files, clean, drop exact duplicates, write Parquet to OUT
    with_NAME.py merge LEFT RIGHT OUT    outer merge with indicator on all seven columns, write Parquet to OUT
"""

import sys

COLUMNS = ["order_id", "customer", "city", "status", "amount", "ordered_at", "quantity"]
LOWERED = ["customer", "city", "status"]
FORMAT = "%Y-%m-%d %H:%M:%S"
CORES = 2


def run(ingest, merge):
    match sys.argv[1:]:
        case ["ingest", out, *files] if files:
            ingest(files, out)
        case ["merge", left, right, out]:
            merge(left, right, out)
        case _:
            raise SystemExit(__doc__)
