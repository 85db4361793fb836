"""Adds up the words that words_map_jsonl.py wrote."""

import itertools
import json
import sys

rows = (json.loads(line) for line in sys.stdin)
for word, group in itertools.groupby(rows, key=lambda row: row["word"]):
    group = list(group)
    out = {"word": word, "n": sum(row["n"] for row in group)}
    if group[0]["about"]["letters"] > 3:
        out["long"] = True
    print(json.dumps(out))
