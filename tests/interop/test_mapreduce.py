"""Users' maps and reduces in SQL, against pandas: what they give, what is refused, and that nothing else makes a difference."""

import collections
import datetime as dt
import json
import random
import re
import time

import pandas as pd
import pytest

from helpers import assert_rows, generate, sleep_amid, write_csv
from test_cluster import finish, running_job, settle

WORDS = "a ant bee cat dog eel fox gnu hen ibis jay kiwi lion mole newt owl pig ñandú ram 猫 🦀".split()
SPLIT = "SELECT UNNEST(STRING_TO_ARRAY(line, ' ')) AS word FROM input"
COUNT = f"SELECT word, COUNT(*) AS n FROM ({SPLIT}) AS w GROUP BY word"
SUM = "SELECT word, SUM(n) AS n FROM input GROUP BY word"


def ingest(mill, name, columns, shard_size=3000, **options):
    """Columns as a dataset of several shards, by way of JSON lines, so that null and the empty text stay apart."""
    path = mill.work / f"{name}.jsonl"
    frame = pd.DataFrame({c: pd.Series(v, dtype=object) for c, v in columns.items()})
    with open(path, "w") as out:
        for row in frame.to_dict("records"):
            fields = {k: v.isoformat() if isinstance(v, (dt.date, dt.datetime)) else v for k, v in row.items()}
            out.write(json.dumps(fields, ensure_ascii=False) + "\n")
    mill.ingest(name, path, shard_size=shard_size, **options)
    return frame


def dicts(mill, name):
    return mill.table(name).to_pylist()


def refused(mill, *args):
    told = mill.run("mapreduce", "out", *args, status=2)["error"]
    assert "mapreduce" not in json.dumps(mill.run("job", "list")), "something ran"
    return told


@pytest.fixture(scope="module")
def lines():
    rng = random.Random(1)
    return [" ".join(rng.choices(WORDS, weights=range(21, 0, -1), k=rng.randint(1, 9))) for _ in range(3000)]


@pytest.fixture
def text(mill, lines):
    ingest(mill, "text", {"line": lines}, 6000)
    assert mill.shards("text") > 5
    return mill


@pytest.mark.parametrize("combine", [False, True])
def test_word_count(text, lines, combine):
    options = ["--combine", SUM] if combine else []
    done = text.run("mapreduce", "counts", "--input", "text", "--map", COUNT, "--key", "word", *options, "--reduce", SUM)
    wanted = collections.Counter(" ".join(lines).split())
    assert {r["word"]: r["n"] for r in dicts(text, "counts")} == wanted
    assert text.types("counts") == {"word": "string", "n": "int64"}
    assert done["counters"]["rows_in"] == len(lines) and done["counters"]["rows_out"] == len(wanted)
    assert ("rows_combined" in done["counters"]) == combine


def test_words_by_a_pattern(text, lines):
    split = "SELECT UNNEST(REGEXP_SPLIT(line, '[^a-z]+')) AS word FROM input"
    text.run("mapreduce", "w", "--input", "text", "--map", split, "--key", "word",
             "--reduce", "SELECT word, COUNT(*) AS n FROM input GROUP BY word")  # fmt: skip
    wanted = collections.Counter(w for line in lines for w in re.split("[^a-z]+", line))
    assert {r["word"]: r["n"] for r in dicts(text, "w")} == wanted


@pytest.fixture
def sales(mill):
    rng = random.Random(2)
    some = lambda make, nulls=0.1: None if rng.random() < nulls else make()
    city = lambda: rng.choice(["Köln", "Zürich", "", "東京", "Rome", "x y"])
    sales = {"city": [some(city) for _ in range(4000)], "customer": [some(lambda: rng.randrange(300)) for _ in range(4000)],
             "amount": [some(lambda: rng.randrange(1000) / 8) for _ in range(4000)]}  # fmt: skip
    people = {"customer": [*range(100, 250), None, 120, 121], "name": [f"n{n}" for n in range(153)]}
    blocked = {"customer": [some(lambda: float(rng.randrange(400)) + rng.choice([0, 0, 0.5]), 0) for _ in range(120)]}
    return (ingest(mill, "sales", sales, 9000), ingest(mill, "people", people, 1100), ingest(mill, "blocked", blocked, 1100))


def test_group_by_with_null_keys(mill, sales):
    mill.run("mapreduce", "out", "--input", "sales", "--key", "city", "--reduce",
             "SELECT city, COUNT(*) AS n, COUNT(amount) AS known, SUM(amount) AS amount, AVG(amount) AS mean FROM input GROUP BY city")  # fmt: skip
    found = {r["city"]: r for r in dicts(mill, "out")}
    frame = sales[0].astype({"amount": float})
    grouped = frame.groupby("city", dropna=False)["amount"].agg(["size", "count", "sum", "mean"])
    assert len(found) == len(grouped) == 7
    for city, row in grouped.iterrows():
        got = found[None if not isinstance(city, str) else city]
        assert (got["n"], got["known"]) == (row["size"], row["count"])
        assert got["amount"] == row["sum"] and got["mean"] == pytest.approx(row["mean"], rel=1e-12)


def test_join_anti_join_and_co_group(mill, sales):
    """Keys of the third are numbers with fractions: they are compared as such."""
    inputs = ["--input", "s=sales", "--input", "p=people", "--input", "b=blocked", "--key", "customer"]
    sold, people, blocked = (frame.astype({"customer": float}) for frame in sales)
    mill.run("mapreduce", "joined", *inputs[:4], "--key", "customer", "--reduce",
             "SELECT s.customer, s.city, p.name FROM s JOIN p ON s.customer = p.customer")  # fmt: skip
    wanted = sold.dropna(subset="customer").merge(people.dropna(subset="customer"), on="customer")
    key = lambda row: repr(row)
    got = [(float(r["customer"]), r["city"], r["name"]) for r in dicts(mill, "joined")]
    assert sorted(got, key=key) == sorted(wanted[["customer", "city", "name"]].itertuples(index=False, name=None), key=key)
    mill.run("mapreduce", "free", *inputs, "--reduce",
             "SELECT customer, COUNT(*) AS n FROM s WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.customer = s.customer) AND EXISTS (SELECT 1 FROM p WHERE p.customer = s.customer) GROUP BY customer")  # fmt: skip
    known = sold.dropna(subset="customer")
    free = known[~known["customer"].isin(blocked["customer"]) & known["customer"].isin(people["customer"])]
    assert {r["customer"]: r["n"] for r in dicts(mill, "free")} == free.groupby("customer").size().to_dict()
    mill.run("mapreduce", "together", *inputs, "--reduce",
             """
             WITH a AS (SELECT customer, COUNT(*) AS sold FROM s GROUP BY customer),
                  c AS (SELECT customer, COUNT(*) AS blocks FROM b GROUP BY customer)
             SELECT p.customer, p.name, a.sold, c.blocks FROM p LEFT JOIN a ON p.customer = a.customer LEFT JOIN c ON p.customer = c.customer
             """)  # fmt: skip
    of = lambda frame, name: frame.groupby("customer").size().rename(name).reset_index()
    wanted = people.merge(of(sold, "sold"), on="customer", how="left").merge(of(blocked, "blocks"), on="customer", how="left")
    wanted = [tuple(to_none(v) for v in row) for row in wanted.itertuples(index=False, name=None)]
    got = [(r["customer"], r["name"], r["sold"], r["blocks"]) for r in dicts(mill, "together")]
    assert sorted(got, key=key) == sorted(wanted, key=key)


def to_none(value):
    return None if isinstance(value, float) and value != value else int(value) if isinstance(value, float) and value.is_integer() else value


def test_one_global_group(mill, sales):
    part = "SELECT COUNT(*) AS n, SUM(amount) AS amount, MAX(amount) AS most FROM input"
    whole = "SELECT SUM(n) AS n, SUM(amount) AS amount, MAX(most) AS most FROM input"
    ingest(mill, "fine", {"x": list(range(4000))}, 1100)
    assert mill.shards("fine") > 33
    mill.run("mapreduce", "one", "--input", "sales", "--map", part, "--key", "", "--combine", whole, "--reduce", whole)
    amounts = sales[0]["amount"].astype(float)
    (row,) = dicts(mill, "one")
    assert (row["n"], row["amount"], row["most"]) == (len(amounts), amounts.sum(), amounts.max())
    # Many shards are combined in a tree.
    done = mill.run("mapreduce", "sum", "--input", "fine", "--key", "", "--combine", "SELECT SUM(x) AS x FROM input",
                    "--reduce", "SELECT SUM(x) AS x, COUNT(*) AS parts FROM input")  # fmt: skip
    (row,) = dicts(mill, "sum")
    assert row["x"] == 4000 * 3999 // 2 and row["parts"] <= 16
    stages = [s["name"] for s in mill.run("job", "show", done["job"])["stages"]]
    assert stages.count("combine") >= 1, stages
    mill.run("mapreduce", "top", "--input", "sales", "--key", "", "--reduce",
             "SELECT customer, COUNT(*) AS n FROM input GROUP BY customer ORDER BY n DESC, customer LIMIT 5")  # fmt: skip
    wanted = sales[0].groupby("customer", dropna=False).size().reset_index(name="n").sort_values(["n", "customer"], ascending=[False, True])
    assert [(to_none(c), n) for c, n in wanted.head(5).itertuples(index=False, name=None)] == [
        (r["customer"], r["n"]) for r in dicts(mill, "top")
    ]


def test_the_first_of_every_key(mill, sales):
    mill.run("mapreduce", "top", "--input", "sales", "--key", "city", "--reduce",
             "SELECT city, amount, customer FROM input QUALIFY ROW_NUMBER() OVER (PARTITION BY city ORDER BY amount DESC) <= 3")  # fmt: skip
    frame = sales[0].astype({"amount": float})
    best = {}
    for city, amount in zip(frame["city"], frame["amount"]):
        best.setdefault(city, []).append(amount)
    got = collections.defaultdict(list)
    for row in dicts(mill, "top"):
        got[row["city"]].append(row["amount"])
    assert set(got) == set(best)
    for city, amounts in best.items():
        amounts = sorted((a for a in amounts if a == a), reverse=True)
        assert sorted((a for a in got[city] if a is not None), reverse=True) == amounts[: len([a for a in got[city] if a is not None])]


def test_a_map_alone_keeps_the_order(mill):
    rows = generate(seed=3, rows=2500)
    write_csv(mill.work / "t.csv", rows)
    mill.ingest("t", mill.work / "t.csv", shard_size=20_000)
    assert mill.shards("t") > 4
    mill.run("mapreduce", "same", "--input", "t", "--map", "SELECT * FROM input")
    assert_rows(mill.rows("same"), mill.rows("t"))
    mill.run("mapreduce", "some", "--input", "t", "--map", "SELECT id * 2 AS twice, s FROM input WHERE id > 10")
    wanted = {"twice": [i * 2 for i in rows["id"] if i is not None and i > 10], "s": [s for i, s in zip(rows["id"], rows["s"]) if i is not None and i > 10]}
    assert [r["twice"] for r in dicts(mill, "some")] == wanted["twice"]
    assert mill.run("mapreduce", "none", "--input", "t", "--map", "SELECT id FROM input WHERE id > 1000000")["rows"] == 0
    assert mill.types("none") == {"id": "int64"}


def test_rows_of_a_partition_come_sorted_by_key(mill, sales):
    mill.run("mapreduce", "out", "--input", "sales", "--key", "customer", "--reduce", "SELECT customer, COUNT(*) AS n FROM input GROUP BY customer")
    keys = [r["customer"] for r in dicts(mill, "out")]
    assert keys == [None, *sorted(k for k in keys if k is not None)], "there is one partition, so one order"
    mill.run("mapreduce", "out", "--input", "sales", "--key", "customer", "--reduce",
             "SELECT customer, COUNT(*) AS n FROM input GROUP BY customer ORDER BY n DESC")  # fmt: skip
    got = [(-r["n"], r["customer"] is not None, r["customer"] or 0) for r in dicts(mill, "out")]
    assert got == sorted(got)


def test_no_rows_at_all(mill):
    ingest(mill, "t", {"k": ["a"], "n": [1]})
    mill.run("mapreduce", "nothing", "--input", "t", "--map", "SELECT * FROM input WHERE n > 5")
    assert mill.shards("nothing") == 0
    for options in (["--key", "k"], ["--key", "k", "--combine", "SELECT k, SUM(n) AS n FROM input GROUP BY k"]):
        out = mill.run("mapreduce", "out", "--input", "nothing", *options, "--reduce", "SELECT k, SUM(n) AS n FROM input GROUP BY k")
        assert out["rows"] == 0 and mill.types("out") == {"k": "string", "n": "int64"}
    mill.run("mapreduce", "count", "--input", "nothing", "--key", "", "--reduce", "SELECT COUNT(*) AS n FROM input")
    assert dicts(mill, "count") == [{"n": 0}]
    mill.run("mapreduce", "left", "--input", "a=t", "--input", "b=nothing", "--key", "k", "--reduce",
             "SELECT a.k, a.n, b.n AS m FROM a LEFT JOIN b ON a.k = b.k")  # fmt: skip
    assert dicts(mill, "left") == [{"k": "a", "n": 1, "m": None}]


def test_rows_dropped_before_do_not_come_back(mill):
    ingest(mill, "t", {"k": [n % 40 for n in range(4000)], "n": [n % 400 for n in range(4000)]}, 4000)
    mill.run("dedup", "t", "u")
    done = mill.run("mapreduce", "out", "--input", "u", "--key", "k", "--reduce", "SELECT k, COUNT(*) AS n FROM input GROUP BY k")
    assert done["counters"]["rows_in"] == 400
    assert {r["k"]: r["n"] for r in dicts(mill, "out")} == {k: 10 for k in range(40)}


# --------------------------------------------------------------------------------------------------------- mistakes


BAD_SQL = {
    "SELECT * FROM read_csv('/etc/passwd')": "table function",
    "SELECT * FROM '/etc/passwd'": "--input",
    "SELECT k FROM input WHERE k IN (SELECT a FROM read_parquet('x'))": "table function",
    "WITH a AS (SELECT * FROM scan_csv('x')) SELECT * FROM a": "table function",
    "SELECT k FROM input; SELECT k FROM input": "one query",
    "DROP TABLE input": "not a query",
    "DELETE FROM input": "not a query",
    "CREATE TABLE x AS SELECT * FROM input": "not a query",
    "EXPLAIN SELECT * FROM input": "not a query",
    "SELECT k FROM elsewhere": "`elsewhere`",
    "SELECT k FROM": "not SQL",
    "SELECT RANDOM() AS r FROM input": "every try",
    "SELECT k, n AS k FROM input": "name `k`",
    "SELECT k, ARRAY_AGG(n) AS all_of FROM input GROUP BY k": "`all_of`",
    "SELECT * FROM information_schema.tables": "no table",
    "SELECT * FROM \"information_schema\".\"tables\"": "no table",
    "SELECT * FROM generate_series(1, 10)": "table function",
    "SELECT k FROM input WHERE k = (SELECT file FROM parquet_metadata('x') AS p)": "table function",
    "COPY (SELECT k FROM input) TO '/tmp/x'": "not",
    "COPY input TO '/tmp/x'": "not",
    "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'": "not",
    "SET datafusion.execution.batch_size = 1": "not a query",
    "SHOW ALL": "not a query",
    "SELECT k FROM input WHERE k = uuid()": "every try",
    "SELECT \"now\"() AS t FROM input": "every try",
    "": "empty",
}


def test_statements_that_are_refused(mill):
    ingest(mill, "t", {"k": ["a"], "n": [1]})
    for statement, said in BAD_SQL.items():
        for args in (["--map", statement], ["--key", "k", "--reduce", statement]):
            told = refused(mill, "--input", "t", *args)
            assert said in told, f"{statement}: {told}"
    told = refused(mill, "--input", "t", "--key", "k", "--reduce", "SELECT k,\n  price\nFROM input")
    assert "there is no column `price`; the columns of `input` are k, n (line 2, column 3)\n    price\n    ^" in told
    for args, said in [
        (["--input", "t", "--key", "z", "--reduce", "SELECT z FROM input"], "`z` is not among the rows of input"),
        (["--input", "t", "--reduce", "SELECT k FROM input"], "--key"),
        (["--input", "t"], "nothing to do"),
        (["--input", "a=t", "--input", "a=t", "--key", "k", "--reduce", "SELECT k FROM a"], "two inputs"),
        (["--input", "t", "--key", "k", "--combine", "SELECT k FROM input", "--reduce", "SELECT k FROM input"], "columns it takes"),
    ]:
        assert said in refused(mill, *args), said


def test_maps_that_look_at_many_rows(mill):
    keys = [f"k{n % 7}" for n in range(3000)]
    ingest(mill, "t", {"k": keys, "n": list(range(3000))}, shard_size=4096)
    count = "SELECT k, COUNT(*) AS c FROM input GROUP BY k"
    for statement, what in [
        (count, "GROUP BY"),
        ("SELECT COUNT(*) AS c FROM input", "COUNT"),
        ("SELECT k FROM input ORDER BY n LIMIT 5", "LIMIT"),
        ("SELECT DISTINCT k FROM input", "DISTINCT"),
        ("SELECT k, n - LAG(n) OVER (ORDER BY n) AS d FROM input", "LAG OVER"),
    ]:
        told = refused(mill, "--input", "t", "--map", statement)
        assert f"{what} does not go row by row" in told and "--per-shard" in told, told
    assert "without a reduce" in refused(mill, "--input", "t", "--key", "k", "--reduce", count, "--per-shard")
    # Where it is meant, there is an answer a shard; in front of a reduce it is an ordinary thing to do.
    mill.run("mapreduce", "each", "--input", "t", "--map", count, "--per-shard")
    each, wanted = dicts(mill, "each"), dict(collections.Counter(keys))
    assert len(each) > len(wanted)
    assert {k: sum(row["c"] for row in each if row["k"] == k) for k in wanted} == wanted
    mill.run("mapreduce", "all", "--input", "t", "--map", count, "--key", "k", "--reduce", "SELECT k, SUM(c) AS c FROM input GROUP BY k")
    assert {row["k"]: row["c"] for row in dicts(mill, "all")} == wanted


def test_keys_that_do_not_fit_together(mill):
    ingest(mill, "a", {"k": ["x"], "n": [1], "day": [dt.date(2024, 1, 1)]})
    ingest(mill, "b", {"k": [5], "m": [1.5], "day": [dt.datetime(2024, 1, 1)]})
    both = ["--input", "a", "--input", "b", "--key"]
    told = refused(mill, *both, "k", "--reduce", "SELECT a.k FROM a")
    assert "`k` is string in a and int64 in b" in told and "CAST" in told
    assert "`n` is not among the rows of b" in refused(mill, *both, "n", "--reduce", "SELECT a.k FROM a")
    mill.run("mapreduce", "out", *both, "day", "--reduce", "SELECT a.k, b.k AS l FROM a JOIN b ON a.day = b.day")
    assert dicts(mill, "out") == [{"k": "x", "l": 5}], "a date and a time are compared as times"


def test_what_a_sample_tells_before_the_job_begins(mill, sales):
    """Combiners that change the meaning, and reduces that look beyond a key."""
    count = "SELECT customer, COUNT(*) AS n FROM input GROUP BY customer"
    args = ["mapreduce", "out", "--input", "sales", "--map", "SELECT customer, 1 AS n FROM input", "--key", "customer"]
    told = mill.run(*args, "--combine", count, "--reduce", "SELECT customer, SUM(n) AS n FROM input GROUP BY customer", status=1)["error"]
    assert "combiner" in told and '"n":' in told and "SUM" in told
    for reduce in ("SELECT COUNT(*) AS n FROM input", f"{count} ORDER BY n DESC LIMIT 3"):
        told = mill.run(*args, "--reduce", reduce, status=1)["error"]
        assert "beyond one key" in told and "--key ''" in told


def test_a_row_that_cannot_be_mapped(mill):
    rows = 2000
    texts = [str(n) for n in range(rows)]
    for bad in (77, 1234, 1901):
        texts[bad] = f"no{bad}"
    (mill.work / "t.csv").write_text("t\n" + "\n".join(texts) + "\n")
    mill.ingest("t", mill.work / "t.csv", shard_size=1100, schema="t=string")
    assert mill.shards("t") > 5
    cast = ["mapreduce", "out", "--input", "t", "--map", "SELECT CAST(t AS BIGINT) AS n FROM input"]
    told = mill.run(*cast, status=1)["error"]
    assert re.search(r"row (78|1235|1902) of t@1, \{\"t\":\"no(77|1234|1901)\"\}", told), told
    done = mill.run(*cast, "--skip-bad", 3)
    assert done["counters"]["skipped"] == 3 and done["rows"] == rows - 3
    assert [r["n"] for r in dicts(mill, "out")] == [n for n in range(rows) if n not in (77, 1234, 1901)]
    rejects = dicts(mill, "out.rejects")
    assert [(r["file"], r["line"], r["raw"]) for r in rejects] == [("t@1", n + 1, f'{{"t":"no{n}"}}') for n in (77, 1234, 1901)]
    assert all("no" in r["reason"] for r in rejects)
    told = mill.run(*cast, "--skip-bad", 2, status=1)["error"]
    assert "--skip-bad" in told
    # A reduce skips a key.
    keyed = ["mapreduce", "keys", "--input", "t", "--key", "t", "--reduce", "SELECT t, MAX(CAST(t AS BIGINT)) AS n FROM input GROUP BY t"]
    told = mill.run(*keyed, status=1)["error"]
    assert re.search(r'the key \{"t":"no(77|1234|1901)"\}', told), told
    done = mill.run(*keyed, "--skip-bad", 3)
    assert done["counters"]["skipped"] == 3 and done["rows"] == rows - 3
    assert sorted(r["raw"] for r in dicts(mill, "keys.rejects")) == [f'{{"t":"no{n}"}}' for n in (1234, 1901, 77)]


# ------------------------------------------------------------------------------------- what must make no difference


def jobs_of(mill):
    """Some jobs over one dataset, and what they made, as exported bytes."""
    runs = {
        "counts": ["--map", "SELECT k, 1 AS n, x FROM input", "--key", "k", "--combine", "SELECT k, SUM(n) AS n, SUM(x) AS x FROM input GROUP BY k",
                   "--reduce", "SELECT k, SUM(n) AS n, SUM(x) AS x FROM input GROUP BY k"],
        "means": ["--key", "k,g", "--reduce", "SELECT g, AVG(x) AS x, MIN(text) AS text FROM input GROUP BY k, g ORDER BY text DESC"],
        "pairs": ["--key", "g", "--reduce", "SELECT a.g, a.x, b.k FROM input AS a JOIN input AS b ON a.g = b.g AND a.x = b.x WHERE a.k < b.k"],
        "all": ["--key", "", "--reduce", "SELECT g, COUNT(*) AS n, SUM(x) AS x FROM input GROUP BY g"],
        "mapped": ["--map", "SELECT UPPER(text) AS text, x FROM input WHERE x > 0.5"],
    }  # fmt: skip
    return {name: mill.run("mapreduce", name, "--input", "t", *args) for name, args in runs.items()}, {name: mill.csv(name) for name in runs}


def many(mill, rows=12_000):
    rng = random.Random(4)
    with open(mill.work / "t.csv", "w") as out:
        out.write("k,g,x,text\n")
        for _ in range(rows):
            out.write(f"{rng.randrange(900)},{rng.choice('abcdefghij')}{rng.randrange(40)},{rng.random()!r},{rng.randbytes(60).hex()}\n")
    mill.ingest("t", mill.work / "t.csv", shard_size=150_000)


def test_the_same_whatever_the_cluster(mills):
    made = []
    for options in (("--workers", 1), ("--workers", 3, "--slots", 2), ("--workers", 5)):
        mill = mills(*options)
        many(mill)
        made.append(jobs_of(mill)[1])
    assert all(one == made[0] for one in made)


def test_the_same_whatever_the_memory(mills):
    made, spilled = [], []
    for options in (("--memory", "4GiB"), ("--memory", "64MiB", "--slots", 16)):
        mill = mills("--workers", 1, *options)
        many(mill, 30_000)
        done, exports = jobs_of(mill)
        made.append(exports)
        stages = mill.run("job", "show", done["means"]["job"])["stages"]
        spilled.append(sum(s["spilled"] for s in stages))
    assert made[0] == made[1]
    assert spilled[0] == 0 and spilled[1] > 0, spilled


def test_a_worker_killed_on_the_way(own_cluster, mill):
    cluster = own_cluster(workers=3)
    over = cluster.shardmill
    for one in (mill, over):
        many(one, 30_000)
    args = ["mapreduce", "out", "--input", "t", "--map", "SELECT k, g, x, REGEXP_REPLACE(text, '[0-9]+', '#') AS text FROM input",
            "--key", "k", "--reduce", "SELECT k, SUM(x) AS x, COUNT(*) AS n, MIN(text) AS text FROM input GROUP BY k"]  # fmt: skip
    mill.run(*args)
    wanted = mill.csv("out")
    begun = time.monotonic()
    over.run(*args)
    length = time.monotonic() - begun
    assert over.csv("out") == wanted
    rng = random.Random(5)
    fired = 0
    for attempt in range(8):
        process = over.start(*args)
        while running_job(cluster) is None and process.poll() is None:
            pass
        sleep_amid(rng, length, 0.1, 0.8, misses=attempt - fired)
        rng.choice(cluster.workers).kill()
        fired += process.poll() is None
        finish(cluster, process, args)
        cluster.wait_for_workers(2)
        assert over.csv("out") == wanted, f"attempt {attempt}"
        settle(cluster)
        if fired == 2:
            break
    assert fired, "no worker was killed while the job ran"
