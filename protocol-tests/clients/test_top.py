"""`larder top` in a terminal of tmux, watching larder and the real memcached."""

import fcntl
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import termios
import time
import uuid
from pathlib import Path

import pytest
from load import OPTIONS, between, load, rest
from server import Server, under_test

SECONDS_MAX = 30
PROGRAMS = [under_test(), "/usr/bin/memcached"]
pytestmark = pytest.mark.skipif("larder" not in Path(under_test()).name, reason="only larder has a top")

# Behind it the shell tells how the program ended, and what the terminal is like.
AFTER = "; echo ended:$?; stty -a | tr ';' '\\n' | grep -E 'icanon|echo ' "


class Terminal:
    """A shell in a terminal of its own, which runs `larder top`."""

    def __init__(self, arguments: list[str], columns: int = 80, lines: int = 24):
        self.socket = f"larder-{uuid.uuid4().hex}"
        command = shlex.join([under_test(), "top", *arguments]) + AFTER
        size = ["-x", str(columns), "-y", str(lines)]
        self.tmux("-f", "/dev/null", "new-session", "-d", *size, "env", "PS1=ready:", "sh")
        self.tmux("send-keys", command, "Enter")

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self.socket, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def wait_for(self, *patterns: str) -> str:
        """The first screen that has all of these in it."""
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            screen = self.screen()
            missing = [pattern for pattern in patterns if not re.search(pattern, screen)]
            if not missing:
                return screen
            assert time.monotonic() < deadline, f"{missing} not in\n{screen}"
            time.sleep(0.05)

    def child(self) -> int:
        """The process id of larder."""
        shell = self.tmux("display-message", "-p", "#{pane_pid}").strip()
        return int(Path(f"/proc/{shell}/task/{shell}/children").read_text().split()[0])

    def expect_restored(self, code: int = 0) -> None:
        # The shell's prompt may be in front of it.
        screen = self.wait_for(rf"ended:{code}\b", " icanon", " echo ")
        assert "-icanon" not in screen and "-echo " not in screen, screen
        assert self.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag}").split() == ["0", "1"]

    def end(self) -> None:
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], check=False)


@pytest.fixture
def terminal():
    started = []

    def start(*arguments: str, **size: int) -> Terminal:
        started.append(Terminal(list(arguments), **size))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture(params=PROGRAMS, ids=["larder", "memcached"])
def server(request):
    with Server(*OPTIONS, program=request.param) as started:
        yield started


def number(screen: str, name: str) -> int:
    """The whole number behind a name."""
    return int(re.search(rf" {name} +([0-9,]+)", screen).group(1).replace(",", ""))


def test_the_figures_are_what_stats_tells(terminal, server):
    load(server)
    rest(server)
    before = server.stats()
    screen = terminal(server.address).wait_for(r" Items +[0-9]", r"Received +[0-9]")
    after = server.stats()
    assert between(number(screen, "Items"), before["curr_items"], after["curr_items"])
    evicted = int(re.search(r"/s \(([0-9,]+)\)", screen.split("Evictions")[1]).group(1).replace(",", ""))
    assert evicted > 0 and between(evicted, before["evictions"], after["evictions"])
    hits, misses = int(after["get_hits"]), int(after["get_misses"])
    assert f"({100 * hits / (hits + misses):.1f} % in all)" in screen
    assert "of 8.0M" in screen
    refused = int(re.search(r" Refused +([0-9,]+) values", screen).group(1))
    assert refused == int(after["store_no_memory"])


def test_it_fits_terminals_of_all_sizes_and_follows_their_changes(terminal, server):
    running = terminal(server.address)
    screen = running.wait_for("Requests", "q quit")
    assert len(screen.splitlines()) == 24
    running.tmux("resize-window", "-x", "160", "-y", "50")
    running.wait_for(r"(.*\n){49} q quit", "req/s")
    running.tmux("resize-window", "-x", "20", "-y", "5")
    running.wait_for(r"(.*\n){4} q quit")
    running.tmux("resize-window", "-x", "80", "-y", "24")
    running.wait_for(r"(.*\n){23} q quit", "Requests")


def test_keys_are_obeyed(terminal, server):
    running = terminal(server.address, "--interval", "1")
    running.wait_for("Slab classes by class", "every 1 s")
    running.press("s")
    running.wait_for("Slab classes by memory")
    running.press("+")
    running.wait_for("every 0.5 s")
    running.press("-", "-")
    running.wait_for("every 2 s")
    running.press("p")
    running.wait_for("PAUSED")
    running.press("p", "?")
    screen = running.wait_for("quit$|quit ", "look more often")
    assert "PAUSED" not in screen
    running.press("?", "q")
    running.expect_restored()


@pytest.mark.parametrize("how", ["C-c", "TERM", "HUP", "INT"])
def test_the_terminal_is_given_back(terminal, server, how):
    running = terminal(server.address)
    running.wait_for("Requests")
    if how == "C-c":
        running.press(how)
    else:
        subprocess.run(["kill", f"-{how}", str(running.child())], check=True)
    running.expect_restored()


def test_a_server_that_goes_away_is_waited_for(terminal):
    with Server() as server:
        running = terminal(server.address, "--interval", "0.25")
        running.wait_for(" Items ")
        port = server.port
    running.wait_for("trying again: .* cannot be reached: Connection refused")
    with Server(port=port):
        deadline = time.monotonic() + SECONDS_MAX
        while "trying again" in running.screen():
            assert time.monotonic() < deadline, running.screen()
            time.sleep(0.05)
        running.wait_for(" Items ")
        running.press("q")
        running.expect_restored()


def test_several_servers_are_shown_in_a_table_and_one_by_one(terminal):
    with Server("-m", "64") as one, Server("-m", "32", program="/usr/bin/memcached") as other:
        running = terminal(one.address, other.address)
        running.wait_for("2 servers", rf" {one.address} +.* 64.0M", rf" {other.address} +.* 32.0M", r" all +.* 96.0M")
        running.press("Tab")
        running.wait_for(rf"^ {one.address}  larder", "Slab classes")
        running.press("Tab")
        running.wait_for(rf"^ {other.address}  memcached 1.6")
        running.press("Tab")
        running.wait_for("2 servers")


def test_hot_keys_cannot_move_the_cursor(terminal):
    with Server() as server, server.connect() as connection, connection.makefile("rwb") as stream:
        running = terminal(server.address, "--interval", "0.25")
        # A key with ESC in it, which only base64 can bring, and one that a classic command takes.
        requests = b"mg G1syShtdMDt4Bw== b v\r\nget \xc2\x9b2Jkey\r\n"
        deadline = time.monotonic() + SECONDS_MAX
        while "\\x1b[2J\\x1b]0;x\\x07" not in (screen := running.screen()) or "\\u{9b}2Jkey" not in screen:
            assert time.monotonic() < deadline, screen
            stream.write(requests)
            stream.flush()
            assert [stream.readline() for _ in range(2)] == [b"EN\r\n", b"END\r\n"]
        assert "Requests" in screen


def test_it_ends_with_its_terminal(server):
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    # In no session of the terminal's: no signal tells it.
    running = subprocess.Popen([under_test(), "top", server.address], stdin=its, stdout=its, stderr=its)
    os.close(its)
    shown = b""
    while b"Requests" not in shown:
        assert select.select([ours], [], [], SECONDS_MAX)[0], shown
        shown += os.read(ours, 65536)
    os.close(ours)
    assert running.wait(timeout=SECONDS_MAX) != 0
