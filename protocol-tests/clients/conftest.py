"""The servers that the client suites talk to. Knows no client library."""

import time
from collections.abc import Callable, Iterator

import pytest
from server import Server

# Longest wait for something the server does by itself, such as letting an item expire.
WAIT_SECONDS_MAX = 15


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    """One server for all tests of a module."""
    with Server() as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The module's server, emptied."""
    with shared_server.connect() as connection:
        connection.sendall(b"flush_all\r\n")
        assert connection.recv(64) == b"OK\r\n"
    return shared_server


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Asks again and again until the answer is yes; fails the test if that takes too long."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not condition():
            assert time.monotonic() < deadline, f"not so within {WAIT_SECONDS_MAX} s"
            time.sleep(0.05)

    return wait
