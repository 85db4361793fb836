"""As words_map.py, in JSON lines; what is nested is there to show that nothing of a line is lost on its way."""

import json
import sys

for line in sys.stdin:
    row = json.loads(line)
    for word in row["line"].split():
        print(json.dumps({"word": word, "n": 1, "about": {"letters": len(word)}}, ensure_ascii=False))
