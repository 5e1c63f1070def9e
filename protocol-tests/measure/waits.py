"""A well-behaved client that notes how long it waits for each answer. Knows no server and no load."""

import socket
import time
from collections.abc import Callable


def waits(
    connect: Callable[[], socket.socket], request: bytes, wanted: bytes, connections: int, seconds: float
) -> list[float]:
    """How long each request took, in microseconds, in order of length: one at a time, over the connections in turn.

    An OSError if an answer is not the one that is wanted.
    """
    clients = [connect() for _ in range(connections)]
    for client in clients:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for client in clients:
            begin = time.perf_counter()
            client.sendall(request)
            reply = client.recv(4096)
            while reply and len(reply) < len(wanted):
                more = client.recv(4096)
                reply = reply + more if more else b""
            found.append((time.perf_counter() - begin) * 1e6)
            if reply != wanted:
                raise OSError(f"a wrong answer: {reply[:80]!r}")
    for client in clients:
        client.close()
    return sorted(found)
