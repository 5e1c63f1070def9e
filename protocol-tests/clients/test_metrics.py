"""`--metrics-listen`: what Prometheus scrapes, beside what `stats` says, and how it takes bad clients."""

import http.client
import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from load import OPTIONS, load, rest
from prometheus_client.parser import text_string_to_metric_families
from server import Server, StartError, free_port, under_test
from test_exporter import Scrape

# Longest wait for a real Prometheus to start and scrape.
SECONDS_MAX = 60


class Endpoint:
    """The metrics listener of a running server."""

    def __init__(self, server: Server, port: int):
        self.server = server
        self.port = port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", **options) -> tuple[int, str, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, **options)
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def metrics(self) -> dict[tuple, float]:
        """Values by name and labels, as a client library of Prometheus reads them."""
        status, text, _ = self.ask("/metrics")
        assert status == 200, text
        found = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = (sample.name, *sorted(sample.labels.items()))
                assert key not in found, key
                found[key] = sample.value
        return found


@contextmanager
def endpoint(*options: str):
    for _ in range(5):
        port = free_port()
        try:
            with Server("--metrics-listen", f"127.0.0.1:{port}", *options) as server:
                yield Endpoint(server, port)
                return
        except StartError as error:
            # Somebody else took the port between our look and the bind.
            if "cannot listen on metrics:" not in str(error):
                raise
    pytest.fail("no free port")


@pytest.fixture(scope="module")
def loaded():
    with endpoint(*OPTIONS) as found:
        load(found.server)
        rest(found.server)
        yield found


def as_exporter(scrape: Scrape) -> dict[tuple, float]:
    """What the exporter makes of `stats`, with names and labels as it shows them."""

    def key(name: str, number: int | None = None) -> tuple:
        name, _, inner = name.partition("{")
        words = inner.rstrip("}").split(",") if inner else []
        names = {
            "commands_total": ("command", "status"),
            "slab_commands_total": ("command", "status"),
            "slab_lru_hits_total": ("lru",),
            "version": ("version",),
        }
        labels = dict(zip(names.get(name, ()), words, strict=True))
        if number is not None:
            labels["slab"] = str(number)
        return (f"memcached_{name}", *sorted(labels.items()))

    found = {key(name): value for name, value in scrape.metrics.items()}
    found.update({key(name, number): value for (name, number), value in scrape.of_class.items()})
    return found


def test_names_labels_and_values_are_the_exporters(loaded):
    expected = as_exporter(Scrape(loaded.server))
    # The figures are kept for a moment.
    time.sleep(0.3)
    found = loaded.metrics()
    missing = expected.keys() - found.keys()
    assert not missing
    # Asking moves these.
    moving = ("_seconds", "_seconds_total", "_bytes_total", "_connections", "_connections_total")
    same = [key for key in expected if not key[0].endswith(moving)]
    assert len(same) > 100
    assert {key: found[key] for key in same} == {key: expected[key] for key in same}
    assert found[("memcached_up",)] == 1
    assert abs(found[("memcached_time_seconds",)] - time.time()) < 60
    assert found[("memcached_read_bytes_total",)] >= expected[("memcached_read_bytes_total",)]


def test_what_only_larder_has(loaded):
    found = loaded.metrics()
    stats = loaded.server.stats()
    parts = {dict(key[1:])["use"]: value for key, value in found.items() if key[0] == "larder_memory_bytes"}
    assert parts["index"] == float(stats["index_bytes"]) > 0
    assert parts["ghosts"] == float(stats["ghost_bytes"])
    assert sum(parts.values()) < found[("larder_used_bytes",)] <= found[("memcached_limit_bytes",)] * 1.1
    assert found[("larder_workers",)] == float(stats["threads"])
    assert found[("larder_build_info", ("version", stats["larder_version"]))] == 1
    resident = Path(f"/proc/{loaded.server.pid}/statm").read_text().split()[1]
    assert abs(found[("process_resident_memory_bytes",)] - int(resident) * 4096) < 64 << 20
    assert found[("process_open_fds",)] > 5


def test_promtool_has_nothing_to_say(loaded):
    _, text, headers = loaded.ask("/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    check = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")


def test_a_real_prometheus_scrapes_it(loaded, tmp_path):
    port = free_port()
    config = tmp_path / "prometheus.yml"
    job = {"job_name": "larder", "scrape_interval": "1s", "static_configs": [{"targets": [loaded.address]}]}
    # JSON is YAML.
    config.write_text(json.dumps({"scrape_configs": [job]}))
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    log = (tmp_path / "log").open("w+")
    process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)

    def query(expression: str) -> list[float]:
        url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(expression)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return [float(found["value"][1]) for found in json.load(answer)["data"]["result"]]

    def told(expression: str) -> list[float]:
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            assert process.poll() is None, "it ended"
            try:
                if found := query(expression):
                    return found
            except OSError:
                pass
            time.sleep(0.2)
        log.seek(0)
        raise AssertionError(f"{expression}: nothing within {SECONDS_MAX} s\n{log.read()[-2000:]}")

    try:
        assert told("memcached_up == 1") == [1]
        items = float(loaded.server.stats()["curr_items"])
        assert told("memcached_current_items") == [items]
        assert told('sum(memcached_commands_total{command="get"})') == [8]
        assert told("sum(memcached_slab_current_items)") == [items]
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


def test_other_paths_and_methods(loaded):
    assert loaded.ask("/healthz")[:2] == (200, "ok\n")
    assert loaded.ask("/readyz")[:2] == (200, "ready\n")
    assert loaded.ask("/metrics?x=1")[0] == 200
    status, text, headers = loaded.ask("/metrics", "HEAD")
    assert (status, text) == (200, "") and int(headers["Content-Length"]) > 1000
    for path in ("/nothing", "/index.html", "/metrics/", "//metrics", "/%2e%2e/metrics"):
        assert loaded.ask(path)[0] == 404, path
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, _, headers = loaded.ask("/metrics", method, body=b"x" * 100_000)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /metrics HTTP/1.1\r\n" + b"x: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"z" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"get k\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
        b"\0" * 1000,
    ],
)
def test_what_is_no_request_is_refused(loaded, request_bytes):
    with loaded.connect() as client:
        try:
            client.sendall(request_bytes)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(100)
        # Closed before all of it was sent.
        except OSError:
            answer = b""
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer
    assert loaded.ask("/healthz")[0] == 200


def test_slow_clients_do_not_keep_others_out_of_the_cache():
    with endpoint() as found:
        slow = [found.connect() for _ in range(200)]
        for client in slow:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: ")
        # They hold all places for HTTP; the cache answers as ever, and has no more than its own connections.
        stats = found.server.stats()
        assert stats["curr_connections"] == "1"
        for client in slow:
            client.close()
        assert found.ask("/healthz")[0] == 200


def test_a_storm_of_scrapes_is_answered(loaded):
    connection = http.client.HTTPConnection("127.0.0.1", loaded.port, timeout=20)
    for _ in range(2000):
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        assert response.status == 200 and len(response.read()) > 1000
    connection.close()
    assert loaded.server.stats()["curr_connections"] == "1"


def test_without_the_option_nothing_listens_and_an_address_must_be_whole():
    for address in ("9150", "127.0.0.1", ":9150", "127.0.0.1:x", "127.0.0.1:99999", ""):
        ended = subprocess.run(
            [under_test(), "--metrics-listen", address], capture_output=True, text=True, timeout=20
        )
        assert ended.returncode == 64, ended
        assert ended.stderr.count("\n") == 1 and "--metrics-listen" in ended.stderr and "HOST:PORT" in ended.stderr
    with endpoint() as found:
        ended = subprocess.run(
            [under_test(), "-u", "root", "-p", str(free_port()), "--metrics-listen", found.address],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert ended.returncode == 71, ended
        assert f"cannot listen on metrics:{found.address}" in ended.stderr
