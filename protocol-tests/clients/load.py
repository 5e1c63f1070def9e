"""A load that moves nearly every counter of a server, and how to compare what a tool read of them.

Knows no tool and no test framework. What the commands do is the same each time, so two servers under
this load agree in all counters that only commands move.
"""

import itertools
import time

from server import Server

# Little memory, so that BALLAST evicts; servers for this load are started with these options.
OPTIONS = ("-m", "8", "-I", "512k")
# Twice the memory, in values of one size.
BALLAST_ITEMS = 16_000
BALLAST_VALUE = b"b" * 1_000

# What goes on behind the requests moves these.
MOVING = ("curr_items", "moves_to_cold", "moves_to_warm", "moves_within_lru", "evictions")
REST_SECONDS_MAX = 20

# Each with its last reply line, which tells that it is through.
COMMANDS = [
    (b"set a 0 0 3\r\nabc\r\n", b"STORED"),
    (b"set n 0 100 1\r\n5\r\n", b"STORED"),
    (b"add a 0 0 1\r\nx\r\n", b"NOT_STORED"),
    (b"append a 0 0 1\r\nd\r\n", b"STORED"),
    (b"get a n missing a\r\n", b"END"),
    (b"gets missing\r\n", b"END"),
    (b"set over 0 -1 1\r\nx\r\n", b"STORED"),
    (b"get over\r\n", b"END"),
    (b"incr n 2\r\n", b"7"),
    (b"incr missing 2\r\n", b"NOT_FOUND"),
    (b"decr n 3\r\n", b"4"),
    (b"decr n 1\r\n", b"3"),
    (b"decr missing 1\r\n", b"NOT_FOUND"),
    (b"touch a 200\r\n", b"TOUCHED"),
    (b"touch missing 200\r\n", b"NOT_FOUND"),
    (b"gat 300 a n\r\n", b"END"),
    (b"cas a 0 0 1 18446744073709551615\r\nx\r\n", b"EXISTS"),
    (b"cas missing 0 0 1 1\r\nx\r\n", b"NOT_FOUND"),
    (b"set large 0 0 600000\r\n" + b"x" * 600_000 + b"\r\n", b"SERVER_ERROR object too large for cache"),
    (b"set half 0 0 300000\r\n" + b"x" * 300_000 + b"\r\n", b"STORED"),
    (b"mg a v\r\n", b"abcd"),
    (b"ms m 1\r\nx\r\n", b"HD"),
    (b"delete m\r\n", b"DELETED"),
    (b"delete missing\r\n", b"NOT_FOUND"),
    (b"nonsense\r\n", b"ERROR"),
]

def load(server: Server) -> None:
    """Sends COMMANDS and the ballast; all of it is through when this comes back."""
    with server.connect() as connection, connection.makefile("rwb") as stream:

        def send(command: bytes, last: bytes) -> None:
            stream.write(command)
            stream.flush()
            for line in stream:
                if line == last + b"\r\n":
                    return
            raise AssertionError(f"{command[:60]!r}: no {last!r}")

        for command, last in COMMANDS:
            send(command, last)
        # The CAS unique of a is needed for one that succeeds.
        stream.write(b"gets a\r\n")
        stream.flush()
        unique = stream.readline().split()[-1]
        send(b"", b"END")
        send(b"cas a 0 0 4 %s\r\nefgh\r\n" % unique, b"STORED")
        for number in range(BALLAST_ITEMS):
            stream.write(b"set b%d 0 0 %d noreply\r\n%s\r\n" % (number, len(BALLAST_VALUE), BALLAST_VALUE))
        send(b"mn\r\n", b"MN")

def rest(server: Server) -> int:
    """Waits until what goes on behind the requests has come to an end: nothing moves any more.

    Gives back how often it asked for `stats`, which the server counts as bytes read.
    """
    deadline = time.monotonic() + REST_SECONDS_MAX
    before: list[str] = []
    for asked in itertools.count(1):
        found = server.stats()
        now = [found[name] for name in MOVING]
        if now == before:
            return asked
        assert time.monotonic() < deadline, f"still moving after {REST_SECONDS_MAX} s"
        before = now
        # memcached's own threads pause between steps.
        time.sleep(0.2)
    raise AssertionError("counting does not end")


def between(value: float, before: str, after: str, slack: float = 0) -> bool:
    """Whether a tool's `value` lies between what `stats` told before and after it was read.

    A counter that rests is equal in both, so `value` has to be the same.
    """
    low, high = sorted((float(before), float(after)))
    return low - slack <= value <= high + slack
