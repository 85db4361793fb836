"""Arrow Flight: pyarrow.flight against a cluster of real processes."""

import datetime as dt
import json

import pandas as pd
import pyarrow as pa
import pyarrow.flight as flight
import pytest

from helpers import (
    INF, NAN, TYPES, Failed, Process, Shardmill, assert_rows, assert_table, free_ports, generate, rows_of, take, to_arrow, to_pandas,
    wait_until, write,
)  # fmt: skip

TIMEOUT = flight.FlightCallOptions(timeout=60)


def location(url: str) -> str:
    return url.replace("http://", "grpc+tcp://")


@pytest.fixture(scope="module")
def client(cluster):
    with flight.connect(location(cluster.url)) as connected:
        yield connected


def read(info, only_first_location=True) -> pa.Table:
    """All endpoints in their order, each from its own location."""
    tables = []
    for endpoint in info.endpoints:
        for place in endpoint.locations[:1] if only_first_location else endpoint.locations:
            with flight.connect(place) as worker:
                tables.append(worker.do_get(endpoint.ticket, TIMEOUT).read_all())
    return pa.concat_tables(tables) if tables else info.schema.empty_table()


def put(client, name: str, table: pa.Table, chunk: int | None = None) -> dict:
    [result] = client.do_action(flight.Action("put-location", b""), TIMEOUT)
    with flight.connect(result.body.to_pybytes().decode()) as worker:
        writer, reader = worker.do_put(flight.FlightDescriptor.for_path(name), table.schema, TIMEOUT)
        writer.write_table(table, max_chunksize=chunk)
        writer.done_writing()
        metadata = reader.read()
        writer.close()
    return json.loads(metadata.to_pybytes())


@pytest.fixture(scope="module")
def loaded(cluster, tmp_path_factory):
    truth = generate(101, 700)
    path = tmp_path_factory.mktemp("flight") / "t.csv"
    write(path, truth)
    cluster.shardmill.ingest("flown", path, shard_size=6000)
    return path, truth


def test_datasets_are_listed(cluster, client, loaded):
    cluster.shardmill.run("dedup", "flown", "unique")
    infos = {info.descriptor.path[0].decode(): info for info in client.list_flights(b"", TIMEOUT)}
    assert {"flown@1", "unique@1"} <= set(infos)
    assert infos["flown@1"].total_records == len(loaded[1]["id"])
    assert [f.name for f in infos["flown@1"].schema] == list(TYPES)


def test_one_endpoint_a_shard_at_the_workers_that_hold_it(cluster, client, loaded):
    info = client.get_flight_info(flight.FlightDescriptor.for_path("flown"), TIMEOUT)
    assert len(info.endpoints) == cluster.shardmill.shards("flown") > 3
    workers = {location(n["url"]) for n in cluster.shardmill.run("nodes", "list")["nodes"]}
    for endpoint in info.endpoints:
        places = {place.uri.decode() for place in endpoint.locations}
        assert len(places) == 2, "replicas 2: two workers hold each shard"
        assert places <= workers
    assert info.total_records == 700


def test_what_is_read_is_what_was_taken_in(cluster, client, loaded):
    path, truth = loaded
    info = client.get_flight_info(flight.FlightDescriptor.for_path("flown@1"), TIMEOUT)
    table = read(info)
    assert table.schema.equals(info.schema)
    assert_table(table, truth)
    # From every replica, the same.
    twice = read(info, only_first_location=False)
    assert twice.num_rows == 2 * table.num_rows
    rows = []
    for endpoint in info.endpoints:
        for place in endpoint.locations[1:]:
            with flight.connect(place) as worker:
                rows += rows_of(worker.do_get(endpoint.ticket, TIMEOUT).read_all())
    assert_rows(rows, rows_of(truth))
    # And what pandas reads from the file.
    frame = pd.read_csv(path, keep_default_na=False, na_values={"id": [""], "zip": [""]}, dtype={"id": "Int64", "zip": str})
    assert [None if v is pd.NA else v for v in frame["id"]] == table.column("id").to_pylist()
    assert [None if pd.isna(v) else v for v in frame["zip"]] == table.column("zip").to_pylist()


def test_dropped_rows_are_not_sent(cluster, client, loaded):
    _, truth = loaded
    cluster.shardmill.run("dedup", "flown", "few", "--keys", "s")
    table = read(client.get_flight_info(flight.FlightDescriptor.for_path("few"), TIMEOUT))
    assert_table(table, take(truth, to_pandas(truth).drop_duplicates(subset=["s"]).index))


def test_a_command_descriptor_and_a_schema(client, loaded):
    descriptor = flight.FlightDescriptor.for_command(b"flown@1")
    assert client.get_flight_info(descriptor, TIMEOUT).total_records == 700
    assert client.get_schema(descriptor, TIMEOUT).schema.names == list(TYPES)


@pytest.mark.parametrize("chunk", [None, 37])
def test_a_new_dataset_is_put(cluster, client, chunk):
    truth = generate(102, 500)
    name = f"put{chunk or 0}"
    published = put(client, name, to_arrow(truth), chunk)
    assert (published["dataset"], published["rows"]) == (f"{name}@1", 500)
    assert cluster.shardmill.types(name) == TYPES
    assert_table(cluster.shardmill.table(name), truth)
    assert_table(read(client.get_flight_info(flight.FlightDescriptor.for_path(name), TIMEOUT)), truth)
    record = cluster.shardmill.run("record", "show", published["job"])
    assert record["job"] == published["job"]
    # A second put is the next version.
    assert put(client, name, to_arrow(take(truth, range(10))))["dataset"] == f"{name}@2"
    assert cluster.shardmill.run("dataset", "show", name)["rows"] == 10


def test_types_that_are_mapped(cluster, client):
    when = [dt.datetime(2024, 1, 2, 3, 4, 5, 6000), None]
    table = pa.table({
        "i8": pa.array([-1, None], pa.int8()),
        "u16": pa.array([65535, None], pa.uint16()),
        "f32": pa.array([0.5, None], pa.float32()),
        "f": pa.array([NAN, -INF]),
        "large": pa.array(["", None], pa.large_string()),
        "view": pa.array(["a string of more than twelve bytes", None], pa.string_view()),
        "cat": pa.array(["x", None]).dictionary_encode(),
        "s": pa.array([dt.datetime(2024, 1, 2, 3, 4, 5), None], pa.timestamp("s")),
        "ms": pa.array(when, pa.timestamp("ms")),
        "ns": pa.array(when, pa.timestamp("ns")),
        "utc": pa.array(when, pa.timestamp("us", tz="America/New_York")),
        "none": pa.nulls(2),
    })  # fmt: skip
    put(client, "mapped", table)
    got = cluster.shardmill.table("mapped")
    assert list(cluster.shardmill.types("mapped").values()) == [
        "int64", "int64", "float64", "float64", "string", "string", "string", "datetime", "datetime", "datetime", "datetime_utc", "string",
    ]  # fmt: skip
    assert_rows(rows_of(got), rows_of(table))


def test_a_date64_is_an_instant(cluster, client):
    table = pa.table({"d": pa.array([dt.date(1960, 2, 29), None], pa.date64())})
    put(client, "dated", table)
    assert cluster.shardmill.types("dated") == {"d": "datetime"}
    assert_table(cluster.shardmill.table("dated"), {"d": [dt.datetime(1960, 2, 29), None]})


def test_a_table_without_rows_is_put(cluster, client):
    assert put(client, "nothing", pa.schema([("a", pa.int64()), ("b", pa.string())]).empty_table())["rows"] == 0
    assert cluster.shardmill.types("nothing") == {"a": "int64", "b": "string"}
    assert read(client.get_flight_info(flight.FlightDescriptor.for_path("nothing"), TIMEOUT)).num_rows == 0


def test_other_types_are_put_and_read(cluster, client):
    """Each with the values that it had: decimals, bytes, times of day, durations, nanoseconds; lists and structs as JSON."""
    import decimal

    table = pa.table({
        "p": pa.array([decimal.Decimal("1.50"), None], pa.decimal128(10, 2)), "b": pa.array([b"\x00", b"\xff"]),
        "d": pa.array([dt.timedelta(seconds=1), None]), "t": pa.array([dt.time(1, 2), None]),
        "ns": pa.array([1, None], pa.timestamp("ns")), "l": pa.array([[1], [2]]), "s": pa.array([{"a": 1}, None]),
    })  # fmt: skip
    put(client, "others", table)
    assert list(cluster.shardmill.types("others").values()) == [
        "decimal(10,2)", "binary", "duration", "time", "datetime_ns", "string", "string",
    ]  # fmt: skip
    got = read(client.get_flight_info(flight.FlightDescriptor.for_path("others"), TIMEOUT))
    for name in ("p", "b", "d", "t"):
        assert got[name].to_pylist() == table[name].to_pylist(), name
    assert got["ns"].cast(pa.int64()).to_pylist() == [1, None]
    assert got["l"].to_pylist() == ["[1]", "[2]"] and got["s"].to_pylist() == ['{"a":1}', None]


@pytest.mark.parametrize("column", [
    pa.array([(1, 2, 3), None], pa.month_day_nano_interval()),
], ids=lambda a: str(a.type))  # fmt: skip
def test_an_unsupported_type_names_the_column(cluster, client, column):
    table = pa.table({"fine": [1, 2], "the odd one": column})
    with pytest.raises(pa.ArrowInvalid, match="the odd one"):
        put(client, "odd", table)
    # Nothing is half published.
    cluster.shardmill.run("dataset", "show", "odd", status=1)


def test_numbers_beyond_64_bits_are_decimals(cluster, client):
    put(client, "big", pa.table({"big": pa.array([2**63, 1], pa.uint64())}))
    assert cluster.shardmill.types("big") == {"big": "decimal(20,0)"}
    assert [int(n) for n in cluster.shardmill.table("big")["big"].to_pylist()] == [2**63, 1]


@pytest.mark.parametrize("name", ["../up", "a/b", "", "nul\x01"])
def test_bad_names_are_refused(client, name):
    with pytest.raises((pa.ArrowInvalid, flight.FlightServerError)):
        put(client, name, pa.table({"a": [1]}))


def test_what_is_not_there(client):
    with pytest.raises((pa.ArrowKeyError, pa.ArrowInvalid, flight.FlightServerError), match="nowhere"):
        client.get_flight_info(flight.FlightDescriptor.for_path("nowhere"), TIMEOUT)
    with pytest.raises((pa.ArrowInvalid, flight.FlightServerError), match="put-location"):
        list(client.do_action(flight.Action("no-such-action", b""), TIMEOUT))


def test_local_serves_flight_too(tmp_path, loaded):
    """`shardmill local`: a cluster in one process, for Flight as for commands."""
    path, truth = loaded
    [port] = free_ports(1)
    args = ["local", "--listen", f"127.0.0.1:{port}", "--data-dir", str(tmp_path / "data"), "--workers", "2"]
    process = Process("local", args, tmp_path / "local.log")
    try:
        mill = Shardmill(cluster=f"http://127.0.0.1:{port}", work=tmp_path / "work")

        def up():
            try:
                return len(mill.run("nodes", "list")["nodes"]) == 2
            except Failed:
                return False

        wait_until(up, 30, "local cluster")
        mill.ingest("t", path, shard_size=6000)
        with flight.connect(f"grpc+tcp://127.0.0.1:{port}") as client:
            assert_table(read(client.get_flight_info(flight.FlightDescriptor.for_path("t"), TIMEOUT)), truth)
            put(client, "p", to_arrow(truth))
        assert_table(mill.table("p"), truth)
    finally:
        process.stop()
