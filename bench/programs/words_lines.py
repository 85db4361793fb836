"""Counts the words of lines from standard input: `word TAB count`."""

import sys
from collections import Counter

counts = Counter()
for line in sys.stdin.buffer:
    counts.update(line.split())
write = sys.stdout.buffer.write
for word, n in counts.items():
    write(b"%s\t%d\n" % (word, n))
