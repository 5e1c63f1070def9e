"""pymemcache logs in as clients of memcached's -Y do: by a set whose value is `user password`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError
from server import Server

USER, PASSWORD = "foo", "bar"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that lets nobody in without a login."""
    users: Path = tmp_path_factory.mktemp("auth") / "users"
    users.write_text(f"{USER}:{PASSWORD}\n")
    users.chmod(0o600)
    with Server("-Y", str(users)) as server:
        yield server


class LoggedIn(Client):
    """A client that logs in whenever it connects, so that it may also reconnect."""

    def _connect(self) -> None:
        super()._connect()
        assert self.set("auth", f"{USER} {PASSWORD}", noreply=False) is True


class LoggedInPool(PooledClient):
    client_class = LoggedIn


class LoggedInHash(HashClient):
    client_class = LoggedIn


def test_nothing_goes_without_a_login(guarded: Server) -> None:
    client = Client((guarded.host, guarded.port), timeout=20)
    with pytest.raises(MemcacheClientError, match="unauthenticated"):
        client.get("k")
    client.close()


def test_a_wrong_password_is_refused_and_the_right_one_taken(guarded: Server) -> None:
    client = Client((guarded.host, guarded.port), timeout=20, default_noreply=False)
    with pytest.raises(MemcacheClientError, match="authentication failure"):
        client.set("auth", f"{USER} wrong")
    client.close()
    assert client.set("auth", f"{USER} {PASSWORD}")
    assert client.set("k", "v")
    assert client.get("k") == b"v"
    client.close()


@pytest.mark.parametrize("kind", [LoggedIn, LoggedInPool, LoggedInHash])
def test_each_kind_of_client_logs_in_on_each_connection(guarded: Server, kind: type) -> None:
    address = (guarded.host, guarded.port)
    client = kind([address] if kind is LoggedInHash else address, timeout=20, default_noreply=False)
    for value in ("first", "second"):
        assert client.set("k", value)
        assert client.get("k") == value.encode()
        client.close()
