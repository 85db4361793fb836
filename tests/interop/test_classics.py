"""The classic MapReduce jobs, as docs/mapreduce.md shows them, each against an oracle in pandas or plain Python."""

import collections
import itertools
import json
import random

import pandas as pd
import pytest

WORDS = "a ant bee cat dog eel fox gnu hen ibis jay kiwi lion mole newt owl pig ñandú ram 猫".split()

WORD_COUNT = {
    "map": "SELECT word, COUNT(*) AS n FROM (SELECT UNNEST(STRING_TO_ARRAY(line, ' ')) AS word FROM input) AS words GROUP BY word",
    "sum": "SELECT word, SUM(n) AS n FROM input GROUP BY word",
}


@pytest.fixture(scope="module")
def lines():
    rng = random.Random(5)
    return [" ".join(rng.choices(WORDS, weights=range(20, 0, -1), k=rng.randint(1, 9))) for _ in range(4000)]


@pytest.fixture
def text(mill, lines, tmp_path):
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n")
    mill.ingest("text", tmp_path / "text.txt", format="lines", shard_size=8000)
    assert mill.shards("text") > 5
    return mill


def frame_of(mill, name) -> pd.DataFrame:
    return mill.table(name).to_pandas()


def ingest(mill, tmp_path, name, frame, shard_size=4000):
    frame.to_csv(tmp_path / f"{name}.csv", index=False)
    mill.ingest(name, tmp_path / f"{name}.csv", shard_size=shard_size)


def test_word_count(text, lines):
    text.run(
        "mapreduce", "counts", "--input", "text", "--map", WORD_COUNT["map"], "--key", "word",
        "--combine", WORD_COUNT["sum"], "--reduce", WORD_COUNT["sum"],
    )  # fmt: skip
    wanted = collections.Counter(" ".join(lines).split())
    found = frame_of(text, "counts")
    assert dict(zip(found["word"], found["n"])) == wanted
    assert len(found) == len(wanted)
    # The most frequent ones: an order over the whole dataset.
    text.run("sort", "counts", "ranked", "--by", "n,word", "--descending", "n")
    ranked = frame_of(text, "ranked")
    assert list(zip(ranked["word"], ranked["n"])) == sorted(wanted.items(), key=lambda item: (-item[1], item[0]))


def test_inverted_index(mill, lines, tmp_path):
    ingest(mill, tmp_path, "pages", pd.DataFrame({"page": range(len(lines)), "text": lines}), 9000)
    mill.run(
        "mapreduce", "index", "--input", "pages", "--key", "word",
        "--map", "SELECT DISTINCT page, UNNEST(STRING_TO_ARRAY(text, ' ')) AS word FROM input",
        "--reduce", "SELECT word, COUNT(*) AS n, ARRAY_TO_STRING(ARRAY_AGG(page ORDER BY page), ',') AS pages FROM input GROUP BY word",
    )  # fmt: skip
    wanted = collections.defaultdict(set)
    for page, line in enumerate(lines):
        for word in line.split():
            wanted[word].add(page)
    found = frame_of(mill, "index")
    assert dict(zip(found["word"], found["pages"])) == {w: ",".join(map(str, sorted(p))) for w, p in wanted.items()}
    assert dict(zip(found["word"], found["n"])) == {w: len(p) for w, p in wanted.items()}


@pytest.fixture(scope="module")
def clicks():
    rng = random.Random(6)
    rows = []
    for visitor in range(150):
        at = rng.randrange(100_000)
        for _ in range(rng.randint(1, 60)):
            at += rng.choice([1, 20, 300, 1800, 1801, 4000])
            rows.append((f"u{visitor}", at, f"/p{rng.randrange(12)}"))
    rng.shuffle(rows)
    return pd.DataFrame(rows, columns=["visitor", "at", "page"])


def sessions_of(clicks):
    ordered = clicks.sort_values(["visitor", "at"], kind="stable")
    begins = ordered.groupby("visitor")["at"].diff().gt(1800) | ~ordered["visitor"].duplicated()
    ordered = ordered.assign(session=begins.groupby(ordered["visitor"]).cumsum())
    by = ordered.groupby(["visitor", "session"])["at"]
    return {(u, int(s)): (int(g.min()), int(g.max()), len(g)) for (u, s), g in by}


def test_sessions_of_a_log(mill, clicks, tmp_path):
    """A new session begins after half an hour of silence."""
    ingest(mill, tmp_path, "clicks", clicks)
    mill.run(
        "mapreduce", "sessions", "--input", "clicks", "--key", "visitor", "--reduce",
        """
        WITH marked AS (SELECT visitor, at, CASE WHEN at - LAG(at) OVER (PARTITION BY visitor ORDER BY at) <= 1800 THEN 0 ELSE 1 END AS begins FROM input),
             numbered AS (SELECT visitor, at, SUM(begins) OVER (PARTITION BY visitor ORDER BY at) AS session FROM marked)
        SELECT visitor, session, MIN(at) AS first, MAX(at) AS last, COUNT(*) AS clicks FROM numbered GROUP BY visitor, session
        """,
    )  # fmt: skip
    found = frame_of(mill, "sessions")
    got = {(r.visitor, int(r.session)): (int(r.first), int(r.last), int(r.clicks)) for r in found.itertuples()}
    # `at` may repeat for a visitor: then which click is first is open, but not the sessions.
    assert got == sessions_of(clicks)


def test_co_occurrence(mill, lines, tmp_path):
    """Which words stand in one line how often: pairs in a first job, their counts in a second."""
    rows = [(n, word) for n, line in enumerate(lines[:1500]) for word in sorted(set(line.split()))]
    ingest(mill, tmp_path, "items", pd.DataFrame(rows, columns=["basket", "item"]))
    mill.run(
        "mapreduce", "pairs", "--input", "items", "--key", "basket",
        "--reduce", "SELECT l.item AS a, r.item AS b FROM input AS l JOIN input AS r ON l.basket = r.basket WHERE l.item < r.item",
    )  # fmt: skip
    mill.run("aggregate", "pairs", "together", "--by", "a,b", "--agg", "n=count()")
    wanted = collections.Counter(
        pair for line in lines[:1500] for pair in itertools.combinations(sorted(set(line.split())), 2)
    )
    found = frame_of(mill, "together")
    assert {(r.a, r.b): r.n for r in found.itertuples()} == wanted


def test_top_k_of_every_key(mill, clicks, tmp_path):
    ingest(mill, tmp_path, "clicks", clicks)
    mill.run(
        "mapreduce", "newest", "--input", "clicks", "--key", "visitor", "--reduce",
        """
        SELECT visitor, at, page FROM (
            SELECT visitor, at, page, ROW_NUMBER() OVER (PARTITION BY visitor ORDER BY at DESC, page DESC) AS place FROM input) AS ranked
        WHERE place <= 3
        """,
    )  # fmt: skip
    wanted = clicks.sort_values(["visitor", "at", "page"], ascending=[True, False, False]).groupby("visitor").head(3)
    found = frame_of(mill, "newest")
    assert sorted(found.itertuples(index=False, name=None)) == sorted(wanted.itertuples(index=False, name=None))


def test_join_of_three_datasets(mill, tmp_path):
    rng = random.Random(7)
    customers = pd.DataFrame({"id": range(300), "name": [f"name {n}" for n in range(300)]})
    orders = pd.DataFrame({"id": [rng.randrange(400) for _ in range(2000)], "amount": [rng.randrange(1000) for _ in range(2000)]})
    visits = pd.DataFrame({"id": [rng.randrange(350) for _ in range(1000)], "page": [f"/p{rng.randrange(9)}" for _ in range(1000)]})
    for name, frame in [("customers", customers), ("orders", orders), ("visits", visits)]:
        ingest(mill, tmp_path, name, frame)
    mill.run(
        "mapreduce", "seen", "--input", "c=customers", "--input", "o=orders", "--input", "v=visits", "--key", "id", "--reduce",
        """
        WITH bought AS (SELECT id, COUNT(*) AS orders, SUM(amount) AS amount FROM o GROUP BY id),
             looked AS (SELECT id, COUNT(*) AS visits FROM v GROUP BY id)
        SELECT c.id, c.name, bought.orders, bought.amount, looked.visits
        FROM c LEFT JOIN bought ON c.id = bought.id LEFT JOIN looked ON c.id = looked.id
        """,
    )  # fmt: skip
    wanted = (
        customers.merge(orders.groupby("id")["amount"].agg(orders="size", amount="sum").reset_index(), on="id", how="left")
        .merge(visits.groupby("id").size().rename("visits").reset_index(), on="id", how="left")
        .sort_values("id")
    )
    found = frame_of(mill, "seen").sort_values("id")
    pd.testing.assert_frame_equal(found.reset_index(drop=True), wanted[list(found)].reset_index(drop=True), check_dtype=False)
    # The same with joins alone.
    mill.run("join", "customers", "orders", "two", "--on", "id")
    mill.run("join", "two", "visits", "three", "--on", "id")
    assert len(frame_of(mill, "three")) == len(customers.merge(orders, on="id").merge(visits, on="id"))


SECONDARY_SORT = '''
import sys
from itertools import groupby

rows = (line.rstrip("\\n").split("\\t") for line in sys.stdin)
for visitor, clicks in groupby(rows, key=lambda row: row[0]):
    before = None
    for _, at, page in clicks:
        if before is not None:
            print(visitor, at, before, page, sep="\\t")
        before = page
'''


def test_secondary_sort(mill, clicks, tmp_path):
    """Where people go from a page: the reducer sees the clicks of a visitor in the order of time."""
    clicks = clicks.drop_duplicates(["visitor", "at"])
    ingest(mill, tmp_path, "clicks", clicks)
    (tmp_path / "steps.py").write_text(SECONDARY_SORT)
    mill.run(
        "mapreduce", "steps", "--input", "clicks", "--key", "visitor", "--then-by", "at", "--reduce-program", "python3 steps.py",
        "--file", tmp_path / "steps.py", "--columns", "visitor,at=int64,from,to",
    )  # fmt: skip
    ordered = clicks.sort_values(["visitor", "at"])
    wanted = []
    for visitor, group in ordered.groupby("visitor"):
        pages = list(group["page"])
        wanted += [(visitor, int(at), a, b) for at, a, b in zip(list(group["at"])[1:], pages, pages[1:])]
    found = [tuple(row) for row in frame_of(mill, "steps").itertuples(index=False, name=None)]
    assert sorted(found) == sorted(wanted)
    by_user = collections.defaultdict(list)
    for visitor, at, *_ in found:
        by_user[visitor].append(at)
    assert all(times == sorted(times) for times in by_user.values()), "the reducer's order is lost"


def test_the_same_whatever_the_cluster(mills, lines, tmp_path):
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n")
    exports = set()
    for workers in (1, 3):
        mill = mills("--workers", workers, "--slots", 2)
        mill.ingest("text", tmp_path / "text.txt", format="lines", shard_size=8000)
        mill.run("mapreduce", "counts", "--input", "text", "--map", WORD_COUNT["map"], "--key", "word", "--reduce", WORD_COUNT["sum"])
        mill.run("sort", "text", "sorted", "--by", "line", "--descending", "line")
        mill.run("aggregate", "counts", "sizes", "--by", "n", "--agg", "words=count(), first=min(word)")
        exports.add(json.dumps([mill.csv(name).decode() for name in ("counts", "sorted", "sizes")]))
    assert len(exports) == 1
