"""Fails on every line that has the word in its argument, as a program does on a record that it cannot read."""

import sys

for line in sys.stdin:
    if sys.argv[1] in line:
        print(f"cannot read {line.rstrip()!r}", file=sys.stderr)
        sys.exit(9)
    sys.stdout.write(line)
