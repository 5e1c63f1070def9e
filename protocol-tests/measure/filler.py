"""Fills a server with ever new keys of mixed sizes and counts what was refused."""

import random
from collections import Counter

from server import Server, StartError

BATCH = 500
# Sizes are drawn once and then used round and round: drawing each anew would cost more than the set.
DRAWN = 100_003


def draw_sizes(mix: str, second_half: bool) -> list[int]:
    dice = random.Random(20_240)
    sizes = []
    for number in range(DRAWN):
        if mix == "mixed" and number % 1_000 == 0:
            sizes.append(dice.randint(100_000, 400_000))
        elif mix == "mixed" and number % 20 == 0:
            sizes.append(dice.randint(1_000, 10_000))
        elif mix == "shift" and second_half:
            sizes.append(dice.randint(1_000, 4_000))
        else:
            sizes.append(dice.randint(20, 400))
    return sizes


class Filler:
    """Sends sets of ever new keys and counts what was not stored."""

    def __init__(self, server: Server, mix: str, sets: int, exptime: int):
        self.connection = server.connect()
        self.halves = [draw_sizes(mix, second_half) for second_half in (False, True)]
        self.value = memoryview(bytes(range(256)) * 2_000)
        self.sets = sets
        self.exptime = exptime
        self.sent = 0
        self.refused: Counter[bytes] = Counter()

    def batch(self) -> None:
        count = min(BATCH, self.sets - self.sent)
        sizes = self.halves[self.sent * 2 >= self.sets]
        parts = []
        for number in range(self.sent, self.sent + count):
            size = sizes[number % DRAWN]
            parts.append(b"set key:%012d 0 %d %d\r\n" % (number, self.exptime, size))
            parts.append(self.value[:size])
            parts.append(b"\r\n")
        self.connection.sendall(b"".join(parts))
        self.sent += count
        self.read_answers(count)

    def read_answers(self, count: int) -> None:
        found = b""
        while found.count(b"\n") < count:
            received = self.connection.recv(1 << 16)
            if not received:
                raise StartError(f"the server closed the connection after {self.sent} sets")
            found += received
        if found != b"STORED\r\n" * count:
            self.refused.update(line for line in found.split(b"\r\n") if line not in (b"STORED", b""))
