"""Adds up `word TAB count` lines, which come sorted by word."""

import sys

write = sys.stdout.buffer.write
word, total = None, 0
for line in sys.stdin.buffer:
    key, _, n = line.rstrip(b"\n").partition(b"\t")
    if key != word:
        if word is not None:
            write(b"%s\t%d\n" % (word, total))
        word, total = key, 0
    total += int(n)
if word is not None:
    write(b"%s\t%d\n" % (word, total))
