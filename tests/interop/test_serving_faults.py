"""Endpoints under load, with bad clients, while variants change, a worker dies and the coordinator restarts."""

import asyncio
import json
import resource
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from helpers import Cluster, wait_until
from test_endpoints import csv, get, post
from test_training import features_of, generated, ingest, train

CONCURRENT = 10_000


class Asking:
    """Threads that ask an endpoint over and over; every reply is kept by status and body."""

    def __init__(self, urls, body, threads=4):
        self.urls, self.body, self.stop = urls, body, threading.Event()
        self.replies, self.broken, self.slow, self.lock = Counter(), [], [], threading.Lock()
        self.threads = [threading.Thread(target=self.work, args=(n,)) for n in range(threads)]

    def work(self, n):
        import http.client

        url = self.urls[n % len(self.urls)]
        host, path = url.removeprefix("http://").split("/", 1)
        connection = http.client.HTTPConnection(host, timeout=30)
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                connection.request("POST", "/" + path, self.body, {"Content-Type": "text/csv"})
                reply = connection.getresponse()
                found = (reply.status, reply.headers.get("x-Amzn-Invoked-Production-Variant"), reply.read())
            except OSError as e:
                with self.lock:
                    self.broken.append(repr(e))
                connection.close()
                continue
            with self.lock:
                self.replies[found] += 1
                self.slow.append(time.monotonic() - began)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)

    def statuses(self):
        with self.lock:
            return Counter({status: n for (status, _, _), n in self._by_status().items()})

    def _by_status(self):
        out = Counter()
        for (status, variant, body), n in self.replies.items():
            out[(status, None, None)] += n
        return out

    def variants(self):
        with self.lock:
            return {variant for (_, variant, _) in self.replies}

    def count(self):
        with self.lock:
            return sum(self.replies.values())


@pytest.fixture(scope="module")
def frame():
    return generated(rows=400, features=5, scales=1.0)


def deploy(cluster, frame):
    mill = cluster.shardmill
    ingest(mill, "t", frame)
    for c in (1, 0.01):
        train(mill, "logistic", "t", "--label", "y", "--features", ",".join(features_of(frame)), "--c", c)
    mill.run("endpoint", "create", "e", "--variant", "a=m@1")
    return [n["url"] for n in mill.run("endpoint", "show", "e")["nodes"]]


def more(asking, n):
    before = asking.count()
    wait_until(lambda: asking.count() >= before + n, 60, f"{n} more replies")


def test_variants_change_and_no_request_is_lost(own_cluster, frame):
    cluster = own_cluster(workers=1, options=("--serve", "127.0.0.1:0"))
    mill, urls = cluster.shardmill, [f"{u}/endpoints/e/invocations" for u in deploy(cluster, frame)]
    body = csv(frame[features_of(frame)][:1]).encode()
    wanted = {}
    for version in (1, 2):
        mill.run("endpoint", "update", "e", "--variant", f"v{version}=m@{version}")
        wanted[f"v{version}"] = post(urls[0], body).body
    with Asking(urls, body) as asking:
        for n in range(20):
            version = n % 2 + 1
            mill.run("endpoint", "update", "e", "--variant", f"v{version}=m@{version}")
            more(asking, 50)
    assert asking.broken == [] and set(asking.statuses()) == {200}
    # Each variant answered by its own model, before and after every change.
    assert {(v, b) for (_, v, b) in asking.replies} == set(wanted.items())


def test_a_worker_dies_and_the_coordinator_restarts(own_cluster, frame):
    cluster = own_cluster(workers=2, options=("--serve", "127.0.0.1:0"))
    mill, nodes = cluster.shardmill, deploy(cluster, frame)
    body = csv(frame[features_of(frame)][:1]).encode()
    urls = {n["node"]: n["url"] for n in mill.run("endpoint", "show", "e")["nodes"]}
    assert len(urls) == 3 and set(urls.values()) == set(nodes)
    workers = {node: f"{url}/endpoints/e/invocations" for node, url in urls.items() if node != "coordinator"}
    answer = post(next(iter(workers.values())), body).body
    with Asking(list(workers.values()), body) as asking:
        more(asking, 50)
        # The coordinator goes; workers answer as before.
        cluster.coordinator.kill()
        more(asking, 200)
        cluster.coordinator.start()
        cluster.wait_for_workers(2)
        assert asking.broken == [] and set(asking.statuses()) == {200}
        assert post(f"{cluster.http}/endpoints/e/invocations", body).body == answer
        mill.run("endpoint", "update", "e", "--variant", "b=m@2")
        wait_until(lambda: "b" in asking.variants(), 30, "answer of the new variant")
    assert asking.broken == []
    # A worker goes; the others answer.
    cluster.workers[0].kill()
    wait_until(lambda: len(mill.run("endpoint", "show", "e")["nodes"]) == 2, 30, "two nodes")
    left = [n["url"] for n in mill.run("endpoint", "show", "e")["nodes"]]
    assert {post(f"{url}/endpoints/e/invocations", body).status for url in left} == {200}
    # It comes back on another port, and serves what it finds.
    cluster.workers[0].start()
    wait_until(lambda: len(mill.run("endpoint", "show", "e")["nodes"]) == 3, 30, "three nodes")
    back = [n["url"] for n in mill.run("endpoint", "show", "e")["nodes"] if n["url"] not in left]
    assert post(f"{back[0]}/endpoints/e/invocations", body).headers["x-Amzn-Invoked-Production-Variant"] == "b"


def test_an_orderly_end_answers_what_it_has_begun(own_cluster, frame):
    cluster = own_cluster(workers=1)
    deploy(cluster, frame)
    body = csv(frame[features_of(frame)]).encode()
    host, port = cluster.http.removeprefix("http://").split(":")
    idle = socket.create_connection((host, int(port)))
    with socket.create_connection((host, int(port))) as begun:
        begun.sendall(b"POST /endpoints/e/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body[:10]))
        time.sleep(0.3)
        cluster.coordinator.popen.terminate()
        time.sleep(0.3)
        begun.sendall(body[10:])
        reply = received(begun)
    assert reply.startswith(b"HTTP/1.1 200 ") and reply.count(b"\n") > 400
    assert idle.recv(10) == b""
    idle.close()
    assert cluster.coordinator.popen.wait(15) == 0


def received(connection, seconds=30):
    connection.settimeout(seconds)
    parts = []
    while piece := connection.recv(1 << 16):
        parts.append(piece)
    return b"".join(parts)


@pytest.fixture(scope="module")
def small(tmp_path_factory, frame):
    """A coordinator with a small queue and few connections."""
    cluster = Cluster(tmp_path_factory.mktemp("small") / "cluster", workers=1)
    try:
        deploy(cluster, frame)
        cluster.coordinator.stop()
        cluster.coordinator.args += ["--queue", "1", "--connections", "60"]
        cluster.coordinator.start()
        cluster.wait_for_workers(1)
        yield cluster
    finally:
        cluster.stop()


def address(cluster):
    host, port = cluster.http.removeprefix("http://").split(":")
    return host, int(port)


def raw(cluster, data, close_write=False):
    with socket.create_connection(address(cluster)) as connection:
        try:
            connection.sendall(data)
            if close_write:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return received(connection)


def test_half_closed_and_broken_clients(small, frame):
    body = csv(frame[features_of(frame)][:1]).encode()
    head = b"POST /endpoints/e/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    # A client that closes its side once it has asked gets its answer.
    assert raw(small, head % len(body) + body, close_write=True).startswith(b"HTTP/1.1 200 ")
    # One that closes in the middle of the body is told, and harms nobody.
    cut = raw(small, head % 1000 + body, close_write=True)
    assert cut == b"" or cut.startswith(b"HTTP/1.1 4")
    for garbage in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/9.9\r\n\r\n", b"x" * 100_000, b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n"):
        reply = raw(small, garbage, close_write=True)
        assert reply == b"" or reply.startswith(b"HTTP/1.1 4"), reply[:100]
    chunked = b"POST /endpoints/e/invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    assert raw(small, chunked, close_write=True).startswith(b"HTTP/1.1 200 ")
    assert get(f"{small.http}/healthz").status == 200


def test_oversize_bodies_however_they_come(small):
    line = b"1,2,3,4,5\n"
    for expect in (b"", b"Expect: 100-continue\r\n"):
        with socket.create_connection(address(small)) as connection:
            connection.sendall(b"POST /endpoints/e/invocations HTTP/1.1\r\nHost: x\r\n" + expect + b"Content-Length: 99999999999\r\n\r\n")
            # Somebody who waits for a leave to go on gets the refusal; others are read on for a while.
            sent = 0
            try:
                while sent < 30_000_000:
                    connection.sendall(line * 10_000)
                    sent += len(line) * 10_000
            except OSError:
                pass
            assert b" 413 " in received(connection)
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(line) * 10_000, line * 10_000) for _ in range(70))
    reply = raw(small, b"POST /endpoints/e/invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n", close_write=True)
    assert b" 413 " in reply and b"more than 6291456 bytes" in reply


def test_slow_clients_hold_nobody_up(small, frame):
    slow = []
    try:
        for n in range(50):
            connection = socket.create_connection(address(small))
            # Half of them never end their head, the others never end their body.
            head = b"POST /endpoints/e/invocations HTTP/1.1\r\nHost: x\r\n"
            connection.sendall(head if n % 2 else head + b"Content-Length: 1000\r\n\r\n1,2")
            slow.append(connection)
        began = time.monotonic()
        assert get(f"{small.http}/healthz").status == 200
        assert post(f"{small.http}/endpoints/e/invocations", csv(frame[features_of(frame)][:1])).status == 200
        assert time.monotonic() - began < 5
        # More connections than there may be: turned away, not left waiting.
        for _ in range(20):
            slow.append(socket.create_connection(address(small)))
        wait_until(lambda: any(b" 503 " in peek(c) for c in slow[50:]), 10, "connection turned away")
    finally:
        for connection in slow:
            connection.close()
    wait_until(lambda: get(f"{small.http}/healthz").status == 200, 10, "health after the flood")


def peek(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1000, socket.MSG_PEEK)
    except OSError:
        return b""


def test_a_full_queue_refuses_and_answers_the_rest(small, frame):
    body = csv(frame[features_of(frame)]).encode() * 60
    with Asking([f"{small.http}/endpoints/e/invocations"], body, threads=16) as asking:
        wait_until(lambda: asking.statuses()[429] >= 5 and asking.statuses()[200] >= 20, 60, "replies of both kinds")
    assert asking.broken == [] and set(asking.statuses()) == {200, 429}
    refused = next(json.loads(b) for (s, _, b) in asking.replies if s == 429)
    assert refused == {"Message": "the queue of 1 requests is full; try again"}


def memory(process) -> int:
    """Resident bytes of a process."""
    lines = Path(f"/proc/{process.popen.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) * 1024


async def all_at_once(host, port, request, count):
    """Opens every connection, then sends every request, then reads every reply; the statuses."""
    gate, opened = asyncio.Event(), asyncio.Semaphore(500)

    async def one():
        async with opened:
            reader, writer = await asyncio.open_connection(host, port)
        await gate.wait()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(next(line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")))
        body = await reader.readexactly(length)
        writer.close()
        return int(head.split()[1]), body

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    while sum(1 for t in tasks if t.done()) == 0 and opened._value < 500:
        await asyncio.sleep(0.05)
    gate.set()
    return await asyncio.gather(*tasks)


def test_ten_thousand_requests_at_once(own_cluster, frame):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CONCURRENT + 1000:
        pytest.skip(f"this system lets a process have {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cluster = own_cluster(workers=1)
    deploy(cluster, frame)
    body = csv(frame[features_of(frame)][:1]).encode()
    answer = post(f"{cluster.http}/endpoints/e/invocations", body).body
    request = b"POST /endpoints/e/invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    host, port = address(cluster)
    used = []
    for _ in range(3):
        replies = asyncio.run(all_at_once(host, port, request, CONCURRENT))
        statuses = Counter(status for status, _ in replies)
        assert sum(statuses.values()) == CONCURRENT and set(statuses) <= {200, 429}, statuses
        assert statuses[200] > 0 and {b for s, b in replies if s == 200} == {answer}
        used.append(memory(cluster.coordinator))
    print(f"resident after each round: {[u >> 20 for u in used]} MiB")
    # What the first round took is used again by the others.
    assert used[2] < used[0] * 1.2 + (32 << 20) and used[2] < 1 << 30
    seen = cluster.shardmill.run("endpoint", "show", "e")
    assert seen["endpoint"]["name"] == "e"
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
