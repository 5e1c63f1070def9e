"""python-memcached: the oldest Python client, used as its documentation shows."""

import memcache
import pytest
from server import Server

# Long enough for a slow machine to reach the touch before the item is gone.
SHORT_SECONDS = 3


@pytest.fixture
def client(server):
    opened = memcache.Client([server.address], socket_timeout=20, cache_cas=True)
    yield opened
    opened.disconnect_all()


def test_set_get_and_delete(client):
    assert client.set("k", "some value")
    assert client.get("k") == "some value"
    assert client.get("missing") is None
    assert client.get("missing", "a default") == "a default"
    assert client.delete("k")
    assert client.get("k") is None


@pytest.mark.parametrize(
    "value",
    ["text", "ünïcode", b"bytes\r\n\x00", 3, 2**70, True, {"a": [1, 2.5, None]}, ("x", {"y"})],
    ids=repr,
)
def test_values_keep_their_type_by_flags_and_pickles(client, value):
    assert client.set("k", value)
    found = client.get("k")
    assert (found, type(found)) == (value, type(value))


def test_add_replace_append_and_prepend(client):
    assert not client.replace("k", "r")
    assert not client.append("k", "r")
    assert client.add("k", "b")
    assert not client.add("k", "x")
    assert client.append("k", "c")
    assert client.prepend("k", "a")
    assert client.get("k") == "abc"
    assert client.replace("k", "new")
    assert client.get("k") == "new"


def test_incr_and_decr(client):
    assert client.incr("n") is None
    client.set("n", 20)
    assert client.incr("n") == 21
    assert client.incr("n", 9) == 30
    assert client.decr("n", 5) == 25
    assert client.decr("n", 100) == 0
    assert client.get("n") == 0


def test_cas_notices_another_writer(client, server):
    other = memcache.Client([server.address], socket_timeout=20)
    client.set("k", "first")
    assert client.gets("k") == "first"
    other.set("k", "theirs")
    assert not client.cas("k", "mine")
    assert client.gets("k") == "theirs"
    assert client.cas("k", "mine")
    assert other.get("k") == "mine"
    other.disconnect_all()


def test_multi_with_a_prefix(client):
    pairs = {f"{i}": f"value {i}" for i in range(1_000)}
    assert client.set_multi(pairs, key_prefix="p:") == []
    assert client.get_multi([*pairs, "missing"], key_prefix="p:") == pairs
    assert client.get("p:7") == "value 7"
    assert client.delete_multi(pairs, key_prefix="p:")
    assert client.get_multi(pairs, key_prefix="p:") == {}


def test_compression_of_large_values(client, server):
    text = "a sentence that compresses well. " * 100_000
    assert len(text) > 3 << 20
    assert client.set("k", text, min_compress_len=1_000), "3 MB fit only compressed"
    assert client.get("k") == text
    assert int(server.stats()["bytes"]) < 100_000


def test_a_value_that_is_too_large_is_not_stored(server):
    client = memcache.Client([server.address], socket_timeout=20, server_max_value_length=4 << 20)
    client.set("k", "old")
    assert not client.set("k", b"x" * (2 << 20))
    assert client.get("k") is None
    assert client.set("k", "new") and client.get("k") == "new"
    client.disconnect_all()


def test_expiry_and_touch(client, wait_until):
    client.set("lost", "v", time=SHORT_SECONDS)
    client.set("kept", "v", time=SHORT_SECONDS)
    assert client.touch("kept", 1_000)
    assert not client.touch("missing", 1_000)
    wait_until(lambda: client.get("lost") is None)
    assert client.get("kept") == "v"


def test_noreply(client):
    client.set("n", 1, noreply=True)
    client.incr("n", 4, noreply=True)
    client.add("n", 9, noreply=True)
    client.set("gone", 1, noreply=True)
    client.delete("gone", noreply=True)
    client.set_multi({"a": 1, "b": 2}, noreply=True)
    assert client.get_multi(["n", "gone", "a", "b"]) == {"n": 5, "a": 1, "b": 2}


def test_statistics():
    with Server() as server:
        client = memcache.Client([server.address], socket_timeout=20)
        client.set("k", "v")
        [(_, stats)] = client.get_stats()
        assert stats["curr_items"] == "1" and stats["version"].startswith("1.6.")
        [(_, settings)] = client.get_stats("settings")
        assert settings["maxbytes"] == str(64 << 20)
        [(_, slabs)] = client.get_slab_stats()
        assert slabs["active_slabs"] == "1"
        client.disconnect_all()


def test_flush_all(client):
    client.set("k", "v")
    client.flush_all()
    assert client.get("k") is None
    assert client.set("k", "w") and client.get("k") == "w"


def test_two_servers_share_the_keys():
    with Server() as first, Server() as second:
        client = memcache.Client([first.address, second.address], socket_timeout=20)
        pairs = {f"k{i}": i for i in range(500)}
        assert client.set_multi(pairs) == []
        assert client.get_multi(pairs) == pairs
        shares = [int(stats["curr_items"]) for _, stats in client.get_stats()]
        assert sum(shares) == 500 and min(shares) > 50, shares
        client.disconnect_all()


def test_a_unix_socket(tmp_path):
    path = str(tmp_path / "cache.sock")
    with Server(unix_socket=path):
        client = memcache.Client([f"unix:{path}"], socket_timeout=20)
        assert client.set("k", {"over": "unix"})
        assert client.get("k") == {"over": "unix"}
        client.disconnect_all()
