"""Plain Python, one process: what people write by hand."""

from collections import Counter

from mapreduce_tasks import run


def words(source, out):
    counts = Counter()
    with open(source, "rb") as lines:
        for line in lines:
            counts.update(line.split())
    with open(out, "wb") as result:
        for word, n in counts.items():
            result.write(b"%s\t%d\n" % (word, n))


run(words=words)
