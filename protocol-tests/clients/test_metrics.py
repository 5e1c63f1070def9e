"""`--metrics-listen`: what Prometheus scrapes, beside what `stats` says, and how it takes bad clients."""

import contextlib
import http.client
import json
import re
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
from server import REPOSITORY, Server, StartError, free_port, under_test
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
    of_connections = parts.pop("unsent") + parts.pop("unread")
    assert of_connections < 1 << 20 and parts["items"] > 0
    assert sum(parts.values()) == found[("larder_used_bytes",)] <= found[("memcached_limit_bytes",)] * 1.1
    assert found[("larder_workers",)] == float(stats["threads"])
    assert found[("larder_build_info", ("version", stats["larder_version"]))] == 1
    resident = Path(f"/proc/{loaded.server.pid}/statm").read_text().split()[1]
    assert abs(found[("process_resident_memory_bytes",)] - int(resident) * 4096) < 64 << 20
    assert found[("process_open_fds",)] > 5
    items, partitions = found[("memcached_current_items",)], float(stats["partitions"])
    assert items / partitions <= found[("larder_fullest_partition_items",)] <= items
    assert found[("larder_busiest_partition_requests_total",)] > 0
    assert found[("larder_logins_total",)] == found[("larder_login_failures_total",)] == 0


def test_workers_and_the_machine(loaded):
    def of(name: str, label: str) -> dict[str, float]:
        found = loaded.metrics()
        return {dict(key[1:])[label]: value for key, value in found.items() if key[0] == name}

    workers = {str(number) for number in range(int(loaded.server.stats()["threads"]))}
    assert of("larder_worker_connections", "worker").keys() == workers
    with loaded.server.connect() as client:
        client.sendall(b"mn\r\n")
        assert client.recv(4) == b"MN\r\n"
        # The figures are kept for a moment.
        time.sleep(0.3)
        assert sum(of("larder_worker_connections", "worker").values()) >= 1
    times = of("larder_worker_cpu_seconds_total", "worker")
    assert times.keys() == workers == of("larder_worker_runnable_seconds_total", "worker").keys()
    user, system = (float(loaded.server.stats()[name]) for name in ("rusage_user", "rusage_system"))
    assert 0 < sum(times.values()) <= (user + system) * 1.1
    assert of("larder_host_cpu_seconds_total", "mode").keys() == {"user", "system", "iowait", "steal", "idle"}
    found = loaded.metrics()
    assert 0 < found[("larder_host_memory_available_bytes",)] < found[("larder_host_memory_bytes",)]
    started = found[("process_start_time_seconds",)]
    assert abs(time.time() - started - float(loaded.server.stats()["uptime"])) < 60


def test_with_fewer_rights_the_same_is_told():
    names = lambda found: {key[0] for key in found}
    with endpoint() as free, endpoint("-o", "drop_privileges") as confined:
        expected, found = free.metrics(), confined.metrics()
        assert names(expected) == names(found)
        assert abs(time.time() - found[("process_start_time_seconds",)]) < 600
        for name in ("process_open_fds", "process_threads", "process_resident_memory_bytes"):
            assert found[(name,)] > 0, name


def test_times_of_commands():
    with endpoint("-t", "1") as found:
        with found.server.connect() as client:
            for _ in range(20):
                client.sendall(b"get absent\r\n" * 1000)
                answered = b""
                while len(answered) < 1000 * len(b"END\r\n"):
                    answered += client.recv(1 << 16)
        metrics, name = found.metrics(), "larder_command_duration_seconds"
        label = ("command", "get")
        count = metrics[(f"{name}_count", label)]
        assert 150 < count < 700
        buckets = [value for key, value in metrics.items() if key[0] == f"{name}_bucket" and label in key]
        assert buckets == sorted(buckets) and buckets[-1] == count and len(buckets) == 21
        assert 0 < metrics[(f"{name}_sum", label)] < 10
        assert metrics[(f"{name}_count", ("command", "set"))] == 0
        waits = metrics[("larder_command_wait_seconds_count",)]
        assert count <= waits
        shown = found.server.stats("latency")
        assert float(shown["get_count"]) == count
        time.sleep(0.3)
        assert found.server.stats("reset") is not None
        time.sleep(0.3)
        assert found.metrics()[(f"{name}_count", label)] == 0


def test_the_alerts_do_what_they_say():
    rules = REPOSITORY / "contrib/prometheus"
    for command in (["check", "rules", rules / "alerts.yml"], ["test", "rules", rules / "alerts_test.yml"]):
        ended = subprocess.run(["promtool", *map(str, command)], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_alerts_and_dashboard_ask_for_what_there_is(loaded, tmp_path):
    dashboard = json.loads((REPOSITORY / "contrib/grafana/larder.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    asked += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    assert len(asked) > 40
    # Prometheus reads each of them, once Grafana has filled its variables in.
    filled = [expr.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*") for expr in asked]
    rules = [{"record": f"asked:{number}", "expr": expr} for number, expr in enumerate(filled)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
    ended = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    _, text, _ = loaded.ask("/metrics")
    there = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    # These are there with certain options, or once an item was evicted.
    there |= {"larder_eviction_age_seconds", "larder_idle_kicks_total", "larder_commands_denied_total"}
    there |= {"larder_tls_certificate_left_seconds", "larder_tls_handshake_errors_total"}
    there |= {"larder_tls_full_handshakes_total", "larder_tls_resumed_handshakes_total"}
    alerts = (REPOSITORY / "contrib/prometheus/alerts.yml").read_text()
    prose = re.compile(r"\s*(#|- alert:|summary:|description:)")
    asked += [line for line in alerts.splitlines() if not prose.match(line)]
    names = set(re.findall(r"\b(?:larder|memcached|process)_\w+", " ".join(asked)))
    assert len(names) > 40
    assert names <= there, names - there
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places) and all(panel["title"] for panel in dashboard["panels"])


def test_it_is_not_ready_any_more_before_it_ends():
    # Which is what a server that ends well is called that was not told to by its end of the test.
    with pytest.raises(StartError, match="died with status 0"), endpoint() as found:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", found.port, timeout=20)) as connection:
            def ready() -> int | None:
                try:
                    connection.request("GET", "/readyz")
                    response = connection.getresponse()
                    response.read()
                    return response.status
                except (OSError, http.client.HTTPException):
                    return None

            assert ready() == 200
            found.server.process.terminate()
            deadline = time.monotonic() + SECONDS_MAX
            while (status := ready()) == 200:
                assert time.monotonic() < deadline
            # Either it said so in time, or it was gone already; it never was ready again.
            assert status in (503, None)
            assert ready() != 200
        found.server.process.wait(timeout=SECONDS_MAX)


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
        # They hold all places for HTTP; the cache answers as ever, and has no more than its own connections, and who
        # comes now gets an answer.
        assert found.ask("/healthz")[0] == 200
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
