"""collectd's memcached plugin, beside the server as a monitoring daemon runs it."""

import csv
import shutil
import subprocess
from pathlib import Path

import pytest
from load import OPTIONS, between, load
from server import Server

# Debian keeps daemons where not every user's path leads.
COLLECTD = shutil.which("collectd") or "/usr/sbin/collectd"

CONFIG = """
Hostname "here"
FQDNLookup false
BaseDir "{directory}"
PIDFile "{directory}/pid"
Interval 0.2
LoadPlugin logfile
LoadPlugin csv
LoadPlugin memcached
<Plugin logfile>
  File "{directory}/log"
</Plugin>
<Plugin csv>
  DataDir "{directory}/csv"
  StoreRates false
</Plugin>
<Plugin memcached>
  <Instance "tested">
    {where}
  </Instance>
</Plugin>
"""

# The files that the plugin writes, and the statistics in the columns of each.
FIGURES = {
    "memcached_items-current": ["curr_items"],
    "memcached_connections-current": ["curr_connections"],
    "connections-opened": ["total_connections"],
    "total_events-listen_disabled": ["listen_disabled_num"],
    "memcached_command-get": ["cmd_get"],
    "memcached_command-set": ["cmd_set"],
    "memcached_command-flush": ["cmd_flush"],
    "memcached_command-touch": ["cmd_touch"],
    "memcached_command-meta": ["cmd_meta"],
    "memcached_ops-hits": ["get_hits"],
    "memcached_ops-misses": ["get_misses"],
    "memcached_ops-evictions": ["evictions"],
    "memcached_ops-delete_hits": ["delete_hits"],
    "memcached_ops-delete_misses": ["delete_misses"],
    "memcached_ops-incr_hits": ["incr_hits"],
    "memcached_ops-incr_misses": ["incr_misses"],
    "memcached_ops-decr_hits": ["decr_hits"],
    "memcached_ops-decr_misses": ["decr_misses"],
    "memcached_octets": ["bytes_read", "bytes_written"],
    "uptime": ["uptime"],
}
# Those that the plugin computes.
COMPUTED = {
    "df-cache",
    "ps_count",
    "ps_cputime",
    "memcached_ops-incr",
    "memcached_ops-decr",
    "percent-hitratio",
    "percent-incr_hitratio",
    "percent-decr_hitratio",
}


class Collectd:
    """collectd in the foreground beside a loaded server; `before` is what `stats` told first."""

    def __init__(self, server: Server, directory: Path):
        self.server = server
        self.directory = directory
        address = f'Address "{server.host}"\nPort "{server.port}"'
        where = f'Socket "{server.unix_socket}"' if server.unix_socket else address
        config = directory / "collectd.conf"
        config.write_text(CONFIG.format(directory=directory, where=where))
        self.before = server.stats()
        self.process = subprocess.Popen([COLLECTD, "-f", "-C", str(config)], stdin=subprocess.DEVNULL)

    def stop(self) -> str:
        """Ends it; gives back its log."""
        self.process.terminate()
        assert self.process.wait(timeout=20) == 0
        return (self.directory / "log").read_text()

    def readings(self, name: str) -> list[list[float]]:
        """The rows of a file, without their times; the last one is left out, which may be half written."""
        rows = []
        # A new file begins at midnight.
        for path in sorted(self.directory.glob(f"csv/here/memcached-tested/{name}-20??-??-??")):
            rows += list(csv.reader(path.read_text().splitlines()))[1:]
        return [[float(value) for value in row[1:]] for row in rows[:-1]]


@pytest.fixture(params=["tcp", "unix"])
def collectd(request, tmp_path):
    unix_socket = str(tmp_path / "cache.sock") if request.param == "unix" else ""
    with Server(*OPTIONS, unix_socket=unix_socket) as server:
        load(server)
        running = Collectd(server, tmp_path)
        try:
            yield running
        finally:
            running.process.kill()
            running.process.wait()


def test_every_figure_is_what_stats_tells(collectd, wait_until):
    wait_until(lambda: all(collectd.readings(name) for name in FIGURES))
    after = collectd.server.stats()
    for name, statistics in FIGURES.items():
        # One more connection than `stats` had to itself, until the server has seen it close.
        slack = 1 if name == "memcached_connections-current" else 0
        for value, statistic in zip(collectd.readings(name)[0], statistics, strict=True):
            assert between(value, collectd.before[statistic], after[statistic], slack), statistic
    [used, free] = collectd.readings("df-cache")[0]
    assert between(used, collectd.before["bytes"], after["bytes"])
    assert used + free == float(after["limit_maxbytes"])
    assert collectd.readings("ps_count")[0][1] == float(after["threads"])
    user, system = collectd.readings("ps_cputime")[0]
    assert between(user / 1e6, collectd.before["rusage_user"], after["rusage_user"], slack=1e-6)
    assert between(system / 1e6, collectd.before["rusage_system"], after["rusage_system"], slack=1e-6)
    for name in ("incr", "decr"):
        [count] = collectd.readings(f"memcached_ops-{name}")[0]
        assert count == float(after[f"{name}_hits"]) + float(after[f"{name}_misses"])
    written = {path.name.rpartition("-20")[0] for path in collectd.directory.glob("csv/here/memcached-tested/*")}
    assert written == {*FIGURES, *COMPUTED}
    usual = ("successfully loaded", "connection established")
    log = collectd.stop().splitlines()
    assert [line for line in log if "memcached" in line and not any(text in line for text in usual)] == []


def test_the_hit_ratio_follows(collectd, wait_until):
    wait_until(lambda: collectd.readings("percent-hitratio"))
    with collectd.server.connect() as connection:
        connection.sendall(b"set k 0 0 1\r\nx\r\nget k k k missing\r\n")
        answer = b"STORED\r\n" + b"VALUE k 0 1\r\nx\r\n" * 3 + b"END\r\n"
        assert connection.makefile("rb").read(len(answer)) == answer
    wait_until(lambda: [75.0] in collectd.readings("percent-hitratio"))
    collectd.stop()
