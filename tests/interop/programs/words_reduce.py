"""Adds up `word TAB n` lines, which come sorted by word."""

import itertools
import sys

pairs = (line.rstrip("\n").split("\t") for line in sys.stdin)
for word, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
    print(f"{word}\t{sum(int(n) for _, n in group)}")
