"""Queries over whole datasets beside DuckDB: inside the command, and on clusters whose workers cannot read each other's disks."""

import datetime as dt
import random
import subprocess
import time

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import environment, sleep_amid

ROWS = 600_000
CUSTOMERS = 20_000

QUERIES = {
    "groups": "SELECT region, COUNT(*) AS n, SUM(units) AS u, AVG(price) AS p, MIN(day) AS a, MAX(note) AS z FROM orders GROUP BY region",
    "many groups": "SELECT customer, COUNT(*) AS n, SUM(price) AS p FROM orders GROUP BY customer HAVING COUNT(*) > 30",
    "distinct": "SELECT COUNT(DISTINCT customer) AS c, COUNT(DISTINCT day) AS d, COUNT(note) AS n FROM orders WHERE units > 3",
    "join": "SELECT c.city, COUNT(*) AS n, SUM(o.units) AS u FROM orders AS o JOIN customers AS c ON o.customer = c.id GROUP BY c.city",
    "left join": "SELECT o.region, COUNT(c.id) AS c, COUNT(*) AS n FROM orders o LEFT JOIN customers c ON o.customer = c.id AND c.since > DATE '2021-06-01' GROUP BY o.region",
    "full join": "SELECT COUNT(*) AS n, COUNT(c.id) AS c, COUNT(o.id) AS o FROM (SELECT * FROM orders WHERE units = 1) o FULL JOIN customers c ON o.customer = c.id",
    "two large": "SELECT a.region, COUNT(*) AS n FROM orders a JOIN orders b ON a.id = b.id + 7 AND a.region = b.region GROUP BY a.region",
    "top": "SELECT id, price FROM orders WHERE price IS NOT NULL ORDER BY price DESC, id LIMIT 25",
    "offset": "SELECT id, note FROM orders WHERE region = 'north' ORDER BY id LIMIT 10 OFFSET 1000",
    "window": "SELECT id, u FROM (SELECT id, SUM(units) OVER (PARTITION BY customer ORDER BY id ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS u FROM orders) t WHERE u > 36",
    "ranks": "SELECT customer, id FROM orders QUALIFY ROW_NUMBER() OVER (PARTITION BY customer ORDER BY price DESC NULLS LAST, id) = 1",
    "in": "SELECT COUNT(*) AS n FROM orders WHERE customer IN (SELECT id FROM customers WHERE city = 'Ulm')",
    "not exists": "SELECT COUNT(*) AS n FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer = c.id AND o.units > 11)",
    "scalar": "SELECT COUNT(*) AS n FROM orders WHERE price > (SELECT AVG(price) FROM orders)",
    "correlated": "SELECT c.city, (SELECT MAX(o.units) FROM orders o WHERE o.customer = c.id) AS m FROM customers c WHERE c.id < 50",
    "union": "SELECT region AS r FROM orders UNION SELECT city FROM customers",
    "union all": "SELECT 'o' AS t, COUNT(*) AS n FROM orders UNION ALL SELECT 'c', COUNT(*) FROM customers",
    "except": "SELECT id FROM customers EXCEPT SELECT customer FROM orders WHERE units > 5",
    "sets": "SELECT region, units, COUNT(*) AS n FROM orders GROUP BY GROUPING SETS ((region), (units), ())",
    "cte": "WITH d AS (SELECT day, SUM(units) AS u FROM orders GROUP BY day) SELECT a.day, a.u - b.u AS more FROM d a JOIN d b ON a.day = b.day + 1",
    "dates": "SELECT DATE_TRUNC('month', day) AS m, COUNT(*) AS n FROM orders GROUP BY 1",
    "nothing": "SELECT id FROM orders WHERE units > 1000",
    "texts": "SELECT UPPER(SUBSTR(note, 1, 2)) AS s, COUNT(*) AS n, STRING_AGG(DISTINCT region, '+' ORDER BY region) AS r FROM orders WHERE note LIKE 'a%' GROUP BY 1",
    "case": "SELECT SUM(CASE WHEN units % 2 = 0 THEN units END) AS e, SUM(units) FILTER (WHERE region IS NULL) AS f FROM orders",
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    rng = random.Random(12)
    regions = ["north", "south", "east", "west", None]
    ids = range(ROWS)
    orders = pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "customer": pa.array([rng.randrange(CUSTOMERS + 500) if rng.random() > 0.02 else None for _ in ids], pa.int64()),
            "region": pa.array([rng.choice(regions) for _ in ids]),
            "units": pa.array([rng.randrange(1, 13) for _ in ids], pa.int64()),
            "price": pa.array([rng.random() * 1000 if rng.random() > 0.05 else None for _ in ids]),
            "day": pa.array([dt.date(2024, 1, 1) + dt.timedelta(rng.randrange(366)) for _ in ids]),
            "note": pa.array([f"{rng.choice('abcdef')}{rng.getrandbits(48):x}" if rng.random() > 0.1 else None for _ in ids]),
        }
    )
    customers = pa.table(
        {
            "id": pa.array(range(CUSTOMERS), pa.int64()),
            "city": pa.array([rng.choice(["Ulm", "Ghent", "Graz", None]) for _ in range(CUSTOMERS)]),
            "since": pa.array([dt.date(2020, 1, 1) + dt.timedelta(rng.randrange(1000)) for _ in range(CUSTOMERS)]),
        }
    )
    folder = tmp_path_factory.mktemp("tables")
    # Files of their own, so that there are shards to share out.
    step = ROWS // 12
    files = []
    for n in range(12):
        files.append(folder / f"orders{n:02}.parquet")
        pq.write_table(orders.slice(n * step, step), files[-1])
    pq.write_table(customers, folder / "customers.parquet")
    return {"orders": (orders, files), "customers": (customers, [folder / "customers.parquet"])}


@pytest.fixture(scope="module")
def duck(tables):
    con = duckdb.connect()
    con.sql("SET default_null_order = 'nulls_last_on_asc_first_on_desc'")
    for name, (rows, _) in tables.items():
        con.register(name, rows)
    return con


def load(mill, tables, *options):
    for name, (_, files) in tables.items():
        mill.run("ingest", name, *files, *options)


def told(value):
    """As both systems tell it: whole numbers are numbers, and sums of fractions agree to twelve digits."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return float(f"{value:.12g}")
    if isinstance(value, dt.datetime):
        return value.date() if value.time() == dt.time() else value
    return value


def sorted_rows(rows):
    return sorted((tuple(told(v) for v in row) for row in rows), key=lambda row: [(v is None, str(type(v)), v) for v in row])


def ask(mill, statement, tmp_path, *options):
    path = tmp_path / "answer.parquet"
    done = mill.run("sql", statement, "--to", path, "--force", *options)
    table = pq.read_table(path)
    assert done["rows"] == table.num_rows
    return table, done["job"]


def check(mill, duck, name, tmp_path):
    ours, job = ask(mill, QUERIES[name], tmp_path)
    theirs = duck.sql(QUERIES[name])
    assert ours.column_names == theirs.columns
    rows, wanted = list(zip(*(c.to_pylist() for c in ours.columns))), theirs.fetchall()
    if "ORDER BY" in QUERIES[name].rsplit(")", 1)[-1]:
        assert [tuple(map(told, row)) for row in rows] == [tuple(map(told, row)) for row in wanted]
    else:
        assert sorted_rows(rows) == sorted_rows(wanted)
    return job


def plan_of(mill, job):
    return "\n".join(a["text"] for a in mill.run("job", "logs", job)["attempts"])


@pytest.fixture(scope="module")
def inside(tables, tmp_path_factory):
    from helpers import Shardmill

    folder = tmp_path_factory.mktemp("inside")
    mill = Shardmill(data_dir=folder / "data", work=folder / "work")
    load(mill, tables)
    return mill


@pytest.fixture(scope="module")
def apart(tables, tmp_path_factory):
    """A cluster of three workers, each with a copy of about a third, that read nothing of each other's but over the wire."""
    from helpers import Cluster

    cluster = Cluster(tmp_path_factory.mktemp("apart") / "cluster", workers=3, slots=2, options=["--isolated"])
    try:
        load(cluster.shardmill, tables, "--replicas", 1)
        yield cluster.shardmill
    finally:
        cluster.stop()


@pytest.mark.parametrize("name", QUERIES)
def test_answers_are_those_of_duckdb(inside, duck, name, tmp_path):
    plan = plan_of(inside, check(inside, duck, name, tmp_path))
    # Numbers of all rows are known without reading any.
    assert "ShardScan" in plan or name == "union all"


@pytest.mark.parametrize("name", QUERIES)
def test_answers_are_the_same_on_several_workers(apart, duck, name, tmp_path):
    job = check(apart, duck, name, tmp_path)
    assert "DistributedExec" in plan_of(apart, job) or name == "union all"


def test_deleted_rows_and_earlier_versions(inside, duck, tables, tmp_path):
    inside.run("dedup", "orders", "once", "--keys", "customer,day")
    ours, _ = ask(inside, "SELECT COUNT(*) AS n, SUM(id) AS s FROM once", tmp_path)
    rows = tables["orders"][0]
    first = duck.sql("SELECT MIN(id) AS id FROM rows GROUP BY customer, day")
    assert ours.to_pylist() == duck.sql("SELECT COUNT(*) AS n, SUM(id) AS s FROM first").fetch_arrow_table().to_pylist()
    inside.run("ingest", "orders", tables["orders"][1][0])
    ours, _ = ask(inside, "SELECT (SELECT COUNT(*) FROM orders) AS now, (SELECT COUNT(*) FROM orders@1) AS before", tmp_path)
    assert ours.to_pylist() == [{"now": ROWS // 12, "before": ROWS}]
    inside.run("dataset", "rm", "orders@2")


def test_files_are_tables_too(inside, tables, tmp_path):
    path = tmp_path / "some cities.csv"
    path.write_text("city,country\nUlm,DE\nGhent,BE\n")
    statement = f"SELECT f.country, COUNT(*) AS n FROM customers c JOIN '{path}' f ON c.city = f.city GROUP BY f.country ORDER BY 1"
    answer = inside.run("sql", statement)
    cities = tables["customers"][0].column("city").to_pylist()
    assert answer["rows"] == [{"country": "BE", "n": cities.count("Ghent")}, {"country": "DE", "n": cities.count("Ulm")}]
    names = [d["dataset"] for d in inside.run("dataset", "list")["datasets"]]
    assert not [name for name in names if "tmp" in name]


def test_what_does_not_fit_in_memory(inside, duck, tmp_path):
    statement = "SELECT id, note FROM orders ORDER BY note NULLS FIRST, id"
    ours, job = ask(inside, statement, tmp_path, "--query-memory", "48MiB")
    assert ours.column("id").to_pylist() == [row[0] for row in duck.sql(statement).fetchall()]
    assert sum(stage["spilled"] for stage in inside.run("job", "show", job)["stages"]) > 0
    # The side of a join that is held cannot.
    held = "SELECT COUNT(*) AS n FROM orders a JOIN orders b ON a.note = b.note AND a.price < b.price + 1"
    refused = inside.run("sql", held, "--query-memory", "16MiB", status=1)
    assert "memory" in refused["error"]


def test_a_query_can_be_given_up(apart, tmp_path):
    endless = "SELECT COUNT(*) AS n FROM orders a, orders b WHERE a.price + b.price = 7"
    refused = apart.run("sql", endless, "--timeout", 2, status=1)
    assert "deadline" in refused["error"] or "time" in refused["error"], refused
    process = subprocess.Popen(
        apart.command("sql", endless), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd=apart.work
    )
    time.sleep(1.5)
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and b"cancelled" in out
    # The workers are free again.
    assert apart.run("sql", "SELECT COUNT(*) AS n FROM orders")["rows"] == [{"n": ROWS}]


def test_a_worker_killed_in_the_middle_changes_nothing(own_cluster, tables, duck, tmp_path):
    cluster = own_cluster(workers=3, slots=2, options=["--isolated"])
    mill = cluster.shardmill
    load(mill, tables)
    rng = random.Random(3)
    names = ["two large", "many groups", "window"]
    misses = 0
    for victim, name in zip(cluster.workers[:2], names):
        started = time.monotonic()
        check(mill, duck, name, tmp_path)
        length = time.monotonic() - started
        path = tmp_path / f"amid{name}.parquet"
        process = mill.start("sql", QUERIES[name], "--to", path)
        sleep_amid(rng, length, 0.2, 0.8, misses)
        victim.kill()
        out, err = process.communicate(timeout=180)
        assert process.returncode == 0, (out, err)
        ours = pq.read_table(path)
        assert sorted_rows(zip(*(c.to_pylist() for c in ours.columns))) == sorted_rows(duck.sql(QUERIES[name]).fetchall())
        victim.start()
        cluster.wait_for_workers(3)
