"""memcached-tool, the script that comes with memcached, as an administrator calls it."""

import re
import shutil
import subprocess

import pytest

# Where Debian keeps it; elsewhere it is on the path.
SCRIPT = shutil.which("memcached-tool") or "/usr/share/memcached/scripts/memcached-tool"


@pytest.fixture
def tool(server):
    """Runs memcached-tool against the server, which holds a few items."""
    with server.connect() as connection:
        connection.sendall(b"set one 5 0 3\r\nabc\r\nset two:2 0 1000 1\r\nx\r\n")
        assert connection.makefile("rb").read(16) == b"STORED\r\nSTORED\r\n"

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [SCRIPT, server.address, *arguments], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    return run


def test_display_shows_the_classes(tool):
    lines = tool("display").splitlines()
    assert lines[0].split() == ["#", "Item_Size", "Max_age", "Pages", "Count", "Full?", "Evicted", "Evict_Time", "OOM"]
    first = lines[1].split()
    assert first[0] == "1" and first[4] == "2", lines


def test_stats_and_settings(tool, server):
    assert re.search(rf"^\s*pid\s+{server.pid}$", tool("stats"), re.MULTILINE)
    assert re.search(r"^\s*maxbytes\s+67108864$", tool("settings"), re.MULTILINE)


def test_dump_gives_commands_that_bring_the_items_back(tool):
    dump = tool("dump")
    assert re.search(r"^add one 5 0 3\r?\nabc\r?$", dump, re.MULTILINE), dump
    assert re.search(r"^add two:2 0 1[0-9]{9} 1\r?\nx\r?$", dump, re.MULTILINE), dump
    assert dump.count("add ") == 2


def test_keys_lists_them(tool):
    keys = re.findall(r"^key=(\S+) exp=(\S+) ", tool("keys"), re.MULTILINE)
    assert sorted(key for key, _ in keys) == ["one", "two%3A2"]
    assert dict(keys)["one"] == "-1"
