"""damemtop, the `top` that comes with memcached, in a terminal of its own."""

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time

import pytest
from load import OPTIONS, between, load, rest
from server import Server

# Debian keeps it beside memcached-tool.
SCRIPT = shutil.which("damemtop") or "/usr/share/memcached/scripts/damemtop"
SCREEN_SECONDS_MAX = 20

# all_ asks for the figure itself, not for its change per second; statistics from `stats`,
# `stats items` and `stats slabs` can be shown, those of a class with its number.
FIGURES = ["version", "curr_items", "get_hits", "get_misses", "evictions", "cmd_set", "total_malloced"]
CONFIG = """delay: 1
mode: t
top_mode:
  sort_column: "hostname"
  sort_order: "asc"
  columns:
    - hostname
{columns}
servers:
{servers}
"""


class Top:
    """A running damemtop; each of its screens is read whole."""

    def __init__(self, home, columns: list[str], servers: list[Server]):
        config = home / ".damemtop/damemtop.yaml"
        config.parent.mkdir()
        config.write_text(
            CONFIG.format(
                columns="\n".join(f'    - "{column}"' for column in columns),
                servers="\n".join(f"  - {server.address}" for server in servers),
            )
        )
        self.columns = ["hostname", *columns]
        self.terminal, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 250, 0, 0))
        self.process = subprocess.Popen(
            [SCRIPT],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            # It takes its configuration from the home directory, whatever --config says.
            env={**os.environ, "HOME": str(home), "TERM": "xterm"},
            start_new_session=True,
        )
        os.close(inner)
        self.received = ""

    def screen(self) -> dict[str, dict[str, str]]:
        """The next screen: by row (a server's name, TOTAL, AVERAGE), the cells by column."""
        # "loop took" is printed below each.
        text = self.read_until("loop took: ")
        lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).split("\r\n")
        start = next(number for number, line in enumerate(lines) if line.split() == self.columns)
        rows = {}
        title = ""
        for line in lines[start + 1 :]:
            cells = line.split()
            if len(cells) == 1:
                title = cells[0].rstrip(":")
            elif len(cells) == len(self.columns):
                rows[title or cells[0]] = dict(zip(self.columns, cells, strict=True))
                title = ""
        return rows

    def read_until(self, mark: str) -> str:
        deadline = time.monotonic() + SCREEN_SECONDS_MAX
        while mark not in self.received:
            assert time.monotonic() < deadline, self.received
            if select.select([self.terminal], [], [], 0.1)[0]:
                self.received += os.read(self.terminal, 65_536).decode()
        text, _, self.received = self.received.partition(mark)
        return text

    def type(self, keys: bytes) -> None:
        os.write(self.terminal, keys)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


@pytest.fixture
def servers():
    with Server(*OPTIONS) as first, Server(*OPTIONS) as second:
        yield [first, second]


@pytest.fixture
def top(tmp_path):
    started = []

    def start(columns: list[str], servers: list[Server]) -> Top:
        started.append(Top(tmp_path, columns, servers))
        return started[-1]

    yield start
    for one in started:
        one.end()


def number(cell: str) -> float:
    return float(cell.replace(",", "").rstrip("%"))


def test_the_figures_are_what_stats_tells(top, servers):
    load(servers[0])
    rest(servers[0])
    before = [{**server.stats(), **server.stats("slabs")} for server in servers]
    shown = top([f"all_{name}" for name in FIGURES] + ["all_fill_rate"], servers).screen()
    after = [{**server.stats(), **server.stats("slabs")} for server in servers]
    for server, low, high in zip(servers, before, after, strict=True):
        row = shown[server.address]
        assert row["all_version"] == low["version"]
        for name in FIGURES[1:]:
            assert between(number(row[f"all_{name}"]), low[name], high[name]), name
        fill = 100 * float(high["bytes"]) / float(high["limit_maxbytes"])
        assert abs(number(row["all_fill_rate"]) - fill) < 0.01
    assert number(shown[servers[0].address]["all_evictions"]) > 0
    assert number(shown["TOTAL"]["all_cmd_set"]) == sum(int(stats["cmd_set"]) for stats in after)


def test_rates_are_per_second(top, servers):
    running = top(["cmd_set", "hit_rate"], servers[:1])
    row = running.screen()[servers[0].address]
    assert (row["cmd_set"], row["hit_rate"]) == ("0", "NA")
    with servers[0].connect() as connection:
        connection.sendall(b"set k 0 0 1\r\nx\r\nget k k k missing\r\n" * 1_000)
        answer = (b"STORED\r\n" + b"VALUE k 0 1\r\nx\r\n" * 3 + b"END\r\n") * 1_000
        assert connection.makefile("rb").read(len(answer)) == answer
    row = running.screen()[servers[0].address]
    while number(row["cmd_set"]) == 0:
        row = running.screen()[servers[0].address]
    # A screen is for a second, for longer on a busy machine, and the sets may fall into two of them.
    assert 50 < number(row["cmd_set"]) <= 1_500
    assert abs(number(row["hit_rate"]) - 75) < 1


def test_it_shows_its_help_and_quits(top, servers):
    running = top(["all_curr_items"], servers)
    assert set(running.screen()) == {"TOTAL", "AVERAGE", *(server.address for server in servers)}
    running.type(b"h")
    assert "damemtop" in running.read_until("Hit any key to exit help.")
    running.type(b"q")
    running.type(b"q")
    assert running.process.wait(timeout=SCREEN_SECONDS_MAX) == 0
