"""Flight SQL by ADBC's driver, as notebooks and BI tools use it, against a cluster whose workers hold the rows."""

import datetime as dt

import pytest
from adbc_driver_flightsql import DatabaseOptions, dbapi
from adbc_driver_manager import OperationalError, ProgrammingError
from helpers import Cluster, Process, free_ports, wait_until

ERRORS = (OperationalError, ProgrammingError, dbapi.Error)

CSV = "id,city,amount,day\n" + "".join(f"{n},{['Ulm', 'Graz', ''][n % 3]},{n / 4},2024-0{n % 9 + 1}-11\n" for n in range(1000))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flightsql")
    cluster = Cluster(folder / "cluster", workers=2, options=["--isolated"])
    try:
        (folder / "sales.csv").write_text(CSV)
        cluster.shardmill.run("ingest", "sales", folder / "sales.csv", "--shard-size", 5000)
        cluster.shardmill.run("ingest", "my-data.v2", folder / "sales.csv")
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def con(served):
    with dbapi.connect(served.url.replace("http://", "grpc+tcp://"), autocommit=True) as con:
        yield con


def fetch(con, statement):
    with con.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetch_arrow_table()


def test_answers(con):
    table = fetch(con, "SELECT city, COUNT(*) AS n, SUM(amount) AS a, MAX(day) AS d FROM sales GROUP BY city ORDER BY city NULLS LAST")
    rows = [(r["city"], r["n"], r["a"], r["d"]) for r in table.to_pylist()]
    of = lambda k: [n for n in range(1000) if n % 3 == k]
    wanted = [(c, len(of(k)), sum(of(k)) / 4, dt.date(2024, 9 if k == 2 else 8 if k == 1 else 7, 11)) for c, k in [("Graz", 1), ("Ulm", 0), (None, 2)]]
    assert [r[:3] for r in rows] == [w[:3] for w in wanted]
    assert fetch(con, "SELECT id FROM sales ORDER BY id").column("id").to_pylist() == list(range(1000))
    assert fetch(con, "SELECT id FROM sales WHERE id < 0").num_rows == 0
    # As tools write names.
    assert fetch(con, 'SELECT COUNT(*) AS n FROM "shardmill"."datasets"."my-data.v2"').to_pylist() == [{"n": 1000}]


def test_prepared_statements(con):
    with con.cursor() as cursor:
        schema = cursor.adbc_execute_schema("SELECT id, amount FROM sales")
        assert [(f.name, str(f.type)) for f in schema] == [("id", "int64"), ("amount", "double")]
        cursor.adbc_prepare("SELECT COUNT(*) AS n FROM sales")
        cursor.execute("SELECT COUNT(*) AS n FROM sales")
        assert cursor.fetchall() == [(1000,)]


def test_parameters(con):
    of = lambda statement, *values: (cursor.execute(statement, values), cursor.fetchall())[1]
    with con.cursor() as cursor:
        given = cursor.adbc_prepare("SELECT id FROM sales WHERE city = ? AND amount > ? AND day < ? AND 'x' = ?")
        assert [str(f.type) for f in given] == ["string", "double", "date32[day]", "string"]
        rows = of("SELECT id FROM sales WHERE city = ? AND amount > ? ORDER BY id LIMIT 2", "Graz", 10)
        assert rows == [(43,), (46,)]
        assert of("SELECT COUNT(*) AS n FROM sales WHERE id BETWEEN $2 AND $1 OR id = $1", 20, 11) == [(10,)]
        values = ["it's \\ ? $1 é", -7, 1.5, True, None, dt.date(1969, 7, 20), dt.datetime(2024, 2, 29, 12, 0, 1, 5)]
        assert of("SELECT ? AS a, ? AS b, ? AS c, ? AS d, ? AS e, ? AS f, ? AS g", *values) == [tuple(values)]
        # What people try with values that come from elsewhere.
        assert of("SELECT COUNT(*) AS n FROM sales WHERE city = ?", "' OR 1 = 1 --") == [(0,)]
        with pytest.raises(ERRORS, match="wants 2 values"):
            of("SELECT ? + ? AS n", 1)
        with pytest.raises(ERRORS, match="a parameter has no value"):
            of("SELECT ? AS n")
        with pytest.raises(ERRORS, match="there is no column"):
            of("SELECT nothing FROM sales WHERE id = ?", 1)


def test_what_there_is(con):
    info = con.adbc_get_info()
    assert info["vendor_name"] == "Shardmill"
    [catalog] = con.adbc_get_objects(depth="all").read_all().to_pylist()
    [schema] = catalog["catalog_db_schemas"]
    assert (catalog["catalog_name"], schema["db_schema_name"]) == ("shardmill", "datasets")
    tables = {t["table_name"]: [c["column_name"] for c in t["table_columns"]] for t in schema["db_schema_tables"]}
    assert tables == {"sales": ["id", "city", "amount", "day"], "my-data.v2": ["id", "city", "amount", "day"]}
    assert con.adbc_get_table_types() == ["TABLE"]
    assert con.adbc_get_table_schema("sales").names == ["id", "city", "amount", "day"]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT nothing FROM sales", "there is no column `nothing`"),
        ("SELECT * FROM nowhere", "there is no dataset `nowhere`"),
        ("SELECT * FROM '/etc/passwd'", "is a file"),
        ("DROP TABLE sales", "is not a query"),
        ("SELECT CAST(city AS BIGINT) AS n FROM sales", "no whole number"),
    ],
)
def test_mistakes_are_told(con, statement, said):
    with pytest.raises(ERRORS, match=said):
        fetch(con, statement)
    assert fetch(con, "SELECT 1 AS x").to_pylist() == [{"x": 1}]


def test_answers_are_no_datasets_to_look_for(con, served):
    fetch(con, "SELECT 1 AS x")
    [catalog] = con.adbc_get_objects(depth="all").read_all().to_pylist()
    assert not [t for t in catalog["catalog_db_schemas"][0]["db_schema_tables"] if "tmp" in t["table_name"]]
    records = served.shardmill.run("record", "list")["records"]
    assert ("sql", "flight sql") in [(record["kind"], record["who"]) for record in records]


def test_the_token_is_asked_for(tmp_path):
    [port] = free_ports(1)
    address = f"127.0.0.1:{port}"
    local = Process(
        "local", ["local", "--listen", address, "--token", "a-secret", "--data-dir", str(tmp_path / "data")], tmp_path / "local.log"
    )
    url = f"grpc+tcp://{address}"
    try:
        with_token = {DatabaseOptions.AUTHORIZATION_HEADER.value: "Bearer a-secret"}

        def answered():
            try:
                with dbapi.connect(url, db_kwargs=with_token, autocommit=True) as con:
                    return fetch(con, "SELECT 1 AS x").to_pylist() == [{"x": 1}]
            except ERRORS:
                return False

        wait_until(answered, 30, "an answer")
        with pytest.raises(ERRORS, match="token"):
            with dbapi.connect(url, autocommit=True) as con:
                fetch(con, "SELECT 1 AS x")
    finally:
        local.stop()
