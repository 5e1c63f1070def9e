"""Starts and stops one server for the client suites and for the measurements.

`server.py COMMAND...` runs a command beside a server, whose host:port it finds in LARDER_TEST_ADDRESS.

Owns the command line that larder and memcached share and the question whether a server answers yet.
Knows no client library and no test framework; needs nothing but Python's standard library.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

# A server that has not answered after this long has failed; a loaded machine needs a second or two.
START_SECONDS_MAX = 20
# Another process can take the port between our look and the server's bind, so a start is tried again.
START_TRIES = 5


class StartError(Exception):
    """The server did not come up, or did not go down as a daemon should. The text says why."""


def under_test() -> str:
    """The program that LARDER_TEST_SERVER names, or else the release build of larder."""
    program = os.environ.get("LARDER_TEST_SERVER") or str(REPOSITORY / "target/release/larder")
    if not os.access(program, os.X_OK):
        raise StartError(
            f"{program}: no such program; build larder with `cargo build --release`"
            " or name a server in LARDER_TEST_SERVER"
        )
    return program


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server, stopped at the end of its `with` block.

    `options` are put on the command line after the ones that every run needs. With
    `unix_socket` the server listens on that path and on no port; otherwise it listens on
    127.0.0.1, on `port` or on a free one.
    """

    def __init__(self, *options: str, program: str = "", port: int = 0, unix_socket: str = ""):
        self.program = program or under_test()
        self.options = options
        self.unix_socket = unix_socket
        self.fixed_port = port
        self.host = "127.0.0.1"
        self.port = 0
        self.process: subprocess.Popen | None = None
        self.log = tempfile.TemporaryFile()

    def __enter__(self) -> "Server":
        for _ in range(START_TRIES):
            self.port = 0 if self.unix_socket else self.fixed_port or free_port()
            self.process = subprocess.Popen(
                self.command_line(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
            )
            if self.answers():
                return self
            self.kill()
        raise StartError(f"{' '.join(self.command_line())}: does not answer\n{self.output()}")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        crashed = self.process.poll()
        if crashed is None:
            self.process.terminate()
        try:
            status = self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
            status = "no exit within 10 s of SIGTERM"
        if crashed is not None and kind is None:
            raise StartError(f"{self.program}: died with status {crashed}\n{self.output()}")
        if status != 0 and kind is None:
            raise StartError(f"{self.program}: stopped with {status}, not 0\n{self.output()}")
        self.log.close()

    def command_line(self) -> list[str]:
        where = ["-s", self.unix_socket] if self.unix_socket else ["-l", self.host, "-p", str(self.port)]
        # memcached refuses to run as root unless the user is named.
        user = ["-u", "root"] if os.getuid() == 0 else []
        return [self.program, *where, *user, *self.options]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def address(self) -> str:
        """host:port, as most clients take it."""
        return f"{self.host}:{self.port}"

    def connect(self) -> socket.socket:
        """A plain connection whose reads give up after 20 s."""
        if self.unix_socket:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(20)
            connection.connect(self.unix_socket)
            return connection
        return socket.create_connection((self.host, self.port), timeout=20)

    def answers(self) -> bool:
        """Waits until `version` is answered, or refused before a login; False if the server exits or takes too long."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with self.connect() as connection:
                    connection.sendall(b"version\r\n")
                    if not connection.recv(64).startswith((b"VERSION ", b"CLIENT_ERROR unauthenticated")):
                        return False
                # A stranger on the port would answer in place of a server that could not bind.
                return self.process.poll() is None
            except OSError:
                time.sleep(0.01)
        return False

    def pause(self) -> None:
        """Freezes the process, as an overloaded machine would, until `resume`."""
        self.process.send_signal(signal.SIGSTOP)
        threads = [task / "stat" for task in Path(f"/proc/{self.pid}/task").iterdir()]
        deadline = time.monotonic() + START_SECONDS_MAX
        while not all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads):
            if time.monotonic() > deadline:
                raise StartError(f"{self.program}: does not stop at SIGSTOP")
            time.sleep(0.001)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends the process without a chance to say goodbye."""
        self.process.kill()
        self.process.wait()

    def output(self) -> str:
        """What the server has printed, last 2000 bytes."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-2000:]

    def stats(self, *arguments: str) -> dict[str, str]:
        """The answer to `stats`, by name."""
        with self.connect() as connection, connection.makefile("rwb") as stream:
            stream.write(" ".join(("stats", *arguments)).encode() + b"\r\n")
            stream.flush()
            found = {}
            for line in stream:
                words = line.decode().split(maxsplit=2)
                if words[:1] != ["STAT"]:
                    return found
                found[words[1]] = words[2].strip() if len(words) > 2 else ""
        raise StartError(f"{self.program}: closed the connection inside `stats`")


if __name__ == "__main__":
    with Server() as beside:
        environment = {**os.environ, "LARDER_TEST_ADDRESS": beside.address}
        ended = subprocess.run(sys.argv[1:], env=environment, check=False).returncode
    sys.exit(ended)
