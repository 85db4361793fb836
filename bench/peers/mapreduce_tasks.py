"""What every peer is asked to do, and its command line.

    mapreduce_NAME.py group IN.parquet OUT    by city: rows, mean amount, different customers
    mapreduce_NAME.py groups IN.parquet OUT   the same by customer (many groups), with different cities
    mapreduce_NAME.py words IN.txt OUT        how often each word occurs
    mapreduce_NAME.py sort IN.txt OUT         the lines in order
"""

import sys

CORES = 2
GROUPS = {"group": ("city", "customer"), "groups": ("customer", "city")}


def run(**known):
    match sys.argv[1:]:
        case [what, source, out] if what in known:
            known[what](source, out)
        case _:
            raise SystemExit(__doc__)
