"""Runs the example application as its users do and checks what it prints."""

import re
import subprocess
import sys
from pathlib import Path

from server import Server

EXAMPLE = Path(__file__).parent / "sales_report.py"


def test_the_example_shows_hits_misses_expiry_and_invalidation():
    # A TTL long enough that nothing expires before the example waits for it, even on a slow machine.
    with Server() as server:
        run = subprocess.run(
            [sys.executable, str(EXAMPLE), "--server", server.address, "--ttl", "15"],
            capture_output=True,
            text=True,
            timeout=120,
        )
        stats = server.stats()
    assert run.returncode == 0, run.stderr
    steps = re.findall(r"^(hit|miss|order|wait) +(\w+)", run.stdout, re.MULTILINE)
    assert steps == [
        ("miss", "north"), ("miss", "south"), ("miss", "west"),
        ("hit", "north"), ("hit", "south"), ("hit", "west"),
        ("order", "south"), ("hit", "north"), ("miss", "south"), ("hit", "west"),
        ("wait", "north"), ("miss", "north"), ("hit", "north"),
    ], run.stdout
    turnovers = dict.fromkeys(["north", "south", "west"], ())
    for region, turnover in re.findall(r"^\w+ +(\w+) .* turnover (\d+)$", run.stdout, re.MULTILINE):
        turnovers[region] += (int(turnover),)
    old, new = turnovers["south"][0], turnovers["south"][-1]
    assert turnovers["south"] == (old, old, new) and new == old + 123
    assert len(set(turnovers["north"])) == len(set(turnovers["west"])) == 1
    assert run.stdout.endswith("5 queries for 11 reports\n")
    assert (stats["cmd_set"], stats["delete_hits"]) == ("5", "1")


def test_the_example_says_what_is_wrong_without_a_server():
    with Server() as server:
        address = server.address
    run = subprocess.run(
        [sys.executable, str(EXAMPLE), "--server", address],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode != 0
    assert "Connection refused" in run.stderr
