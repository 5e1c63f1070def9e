"""memcaslap of libmemcached-tools: load whose answers are checked, bounded by count."""

import re
import subprocess

import pytest
from server import Server

REQUESTS = 200_000

# 16 lanes keep a window of 1024 items of 1 KiB each: 17 MB, so nothing may be evicted.
LOAD = ["--threads=2", "--concurrency=16", "--win_size=1k", f"--execute_number={REQUESTS}"]

KINDS = {
    "single gets, all verified": ["--verify=1"],
    "20 keys per get, all verified": ["--verify=1", "--division=20"],
    "100 keys per get, all verified": ["--verify=1", "--division=100"],
    "expiring items, half verified": ["--verify=0.5", "--exp_verify=0.3"],
    # memcaslap forgets what it overwrote, so its verification has no meaning here.
    "overwrites": ["--overwrite=0.3"],
    "four connections per lane": ["--verify=1", "--conn_sock=4"],
}

# Each is a kind of wrong answer by memcaslap's own book.
MUST_BE_ZERO = ["get_misses", "verify_misses", "verify_failed", "expired_get", "unexpired_unget"]


@pytest.mark.parametrize("kind", KINDS)
def test_memcaslap(kind):
    with Server() as server:
        run = subprocess.run(
            ["memcaslap", f"--servers={server.address}", *LOAD, *KINDS[kind]],
            capture_output=True,
            text=True,
            timeout=300,
        )
        stats = server.stats()
    assert run.returncode == 0, run.stdout[-2_000:] + run.stderr[-2_000:]
    counts = {name: int(count) for name, count in re.findall(r"^(\w+): (\d+)$", run.stdout, re.M)}
    assert counts["cmd_get"] + counts["cmd_set"] == REQUESTS
    assert {name: counts.get(name, 0) for name in MUST_BE_ZERO} == dict.fromkeys(MUST_BE_ZERO, 0)
    # The server's own book agrees.
    assert int(stats["get_hits"]) == counts["cmd_get"]
    assert int(stats["cmd_set"]) >= counts["cmd_set"]
    assert stats["get_misses"] == stats["evictions"] == "0"
