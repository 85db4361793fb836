"""GNU sort, two threads; it may take half of the memory."""

import os

from mapreduce_tasks import CORES, run


def sort(source, out):
    os.execvpe("sort", ["sort", f"--parallel={CORES}", "-S", "50%", "-o", out, source], {**os.environ, "LC_ALL": "C"})


run(sort=sort)
