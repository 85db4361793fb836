"""Splits lines into words: `word TAB 1` for each. The reducer gets them sorted by word."""

import sys

for line in sys.stdin:
    words = line.split()
    for word in words:
        print(f"{word}\t1")
    print("reporter:counter:text,lines,1", file=sys.stderr)
    print(f"reporter:counter:text,words,{len(words)}", file=sys.stderr)
print("reporter:status:all lines split", file=sys.stderr)
