"""pymemcache: every client class of the library, used as its documentation shows."""

import json
import threading
import time
from pathlib import Path

import pytest
from pymemcache import serde
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.client.retrying import RetryingClient
from pymemcache.exceptions import (
    MemcacheClientError,
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
)
from server import Server, free_port

CLIENTS = {
    "Client": lambda server, **options: Client((server.host, server.port), timeout=20, **options),
    "PooledClient": lambda server, **options: PooledClient(
        (server.host, server.port), timeout=20, max_pool_size=4, **options
    ),
    "HashClient": lambda server, **options: HashClient([server.address], timeout=20, **options),
}


@pytest.fixture(params=CLIENTS, ids=CLIENTS)
def client(request, server):
    with_reply = CLIENTS[request.param](server, default_noreply=False)
    yield with_reply
    with_reply.close()


# What every client class offers.


def test_set_then_get(client):
    assert client.set("greeting", "hello", expire=60)
    assert client.get("greeting") == b"hello"
    assert client.get("nobody") is None
    assert client.get("nobody", "a default") == "a default"


def test_add_keeps_and_replace_needs_the_first_value(client):
    assert client.replace("k", "r") is False
    assert client.add("k", "first") is True
    assert client.add("k", "second") is False
    assert client.get("k") == b"first"
    assert client.replace("k", "third") is True
    assert client.get("k") == b"third"


def test_append_and_prepend_extend_a_value(client):
    assert client.append("k", "!") is False
    client.set("k", "middle")
    assert client.append("k", ">") is True
    assert client.prepend("k", "<") is True
    assert client.get("k") == b"<middle>"


def test_cas_stores_only_over_the_version_that_was_read(client):
    assert client.gets("k") == (None, None)
    client.set("k", "1")
    value, unique = client.gets("k")
    assert value == b"1"
    client.set("k", "2")
    assert client.cas("k", "mine", unique) is False
    _, unique = client.gets("k")
    assert client.cas("k", "mine", unique) is True
    assert client.get("k") == b"mine"
    assert client.cas("missing", "mine", unique) is None


def test_incr_and_decr_count(client):
    assert client.incr("hits", 1) is None
    client.set("hits", "9")
    assert client.incr("hits", 2) == 11
    assert client.decr("hits", 10) == 1
    assert client.decr("hits", 10) == 0
    client.set("hits", str(2**64 - 1))
    assert client.incr("hits", 3) == 2


def test_incr_of_text_is_an_error_and_changes_nothing(client):
    client.set("name", "larder")
    with pytest.raises(MemcacheClientError):
        client.incr("name", 1)
    assert client.get("name") == b"larder"


def test_delete_removes_once(client):
    client.set("k", "v")
    assert client.delete("k") is True
    assert client.delete("k") is False
    assert client.get("k") is None


def test_many_keys_at_once(client):
    pairs = {f"k{i}": f"value {i}".encode() for i in range(100)}
    assert client.set_many(pairs) == []
    assert client.get_many([*pairs, "missing"]) == pairs
    with_unique = client.gets_many(pairs)
    assert {key: value for key, (value, _) in with_unique.items()} == pairs
    assert len({unique for _, unique in with_unique.values()}) == len(pairs)
    assert client.delete_many([*pairs])
    assert client.get_many(pairs) == {}


@pytest.mark.parametrize("size", [0, 1, 1023, 16 * 1024, 16 * 1024 + 1, 300_001, 1_000_000])
def test_values_of_every_size_come_back_unchanged(client, size):
    value = bytes(i * 7 % 251 for i in range(size))
    assert client.set("k", value)
    assert client.get("k") == value
    assert client.set("k", b"short")
    assert client.get("k") == b"short"


def test_too_large_a_value_is_refused_and_the_connection_goes_on(client):
    client.set("k", "old")
    with pytest.raises(MemcacheServerError, match="object too large for cache"):
        client.set("k", b"x" * (2 << 20))
    assert client.get("k") is None, "a refused set leaves no stale value"
    assert client.set("k", "new")
    assert client.get("k") == b"new"


def test_an_item_expires(client, wait_until):
    client.set("short", "v", expire=1)
    client.set("long", "v", expire=100)
    client.set("past", "v", expire=-1)
    assert client.get("past") is None
    wait_until(lambda: client.get("short") is None)
    assert client.get("long") == b"v"


def test_an_exptime_beyond_30_days_is_a_unix_time(client, wait_until):
    client.set("past", "v", expire=int(time.time()) - 10)
    client.set("soon", "v", expire=int(time.time()) + 2)
    client.set("future", "v", expire=int(time.time()) + 3600)
    assert client.get("past") is None
    wait_until(lambda: client.get("soon") is None)
    assert client.get("future") == b"v"


def test_touch_gives_a_new_exptime(client, wait_until):
    assert client.touch("missing", 10) is False
    client.set("kept", "v", expire=3)
    client.set("lost", "v", expire=3)
    assert client.touch("kept", 1000) is True
    wait_until(lambda: client.get("lost") is None)
    assert client.get("kept") == b"v"


def test_flush_all_empties_the_cache_and_later_sets_stay(client):
    client.set("before", "v")
    client.flush_all()
    assert client.get("before") is None
    client.set("after", "v")
    assert client.get("after") == b"v"


def test_a_key_of_250_bytes_is_the_longest(client):
    longest = "k" * 250
    assert client.set(longest, "v")
    assert client.get(longest) == b"v"
    assert client.get_many([longest, "k" * 249]) == {longest: b"v"}


# Without replies.


@pytest.mark.parametrize("kind", CLIENTS)
def test_noreply_commands_take_effect_in_order(server, kind):
    client = CLIENTS[kind](server, default_noreply=True)
    client.set("n", "1")
    client.append("n", "0")
    client.incr("n", 5, noreply=True)
    client.add("n", "lost")
    client.set("gone", "v")
    client.delete("gone")
    client.set_many({"a": "1", "b": "2"})
    assert client.get_many(["n", "gone", "a", "b"]) == {"n": b"15", "a": b"1", "b": b"2"}
    client.flush_all()
    assert client.get("n") is None
    client.close()


def test_ten_thousand_noreply_sets_all_arrive(server):
    client = Client((server.host, server.port), timeout=20)
    for i in range(10_000):
        client.set(f"n{i}", str(i), noreply=True)
    keys = [f"n{i}" for i in range(10_000)]
    assert client.get_many(keys) == {key: key[1:].encode() for key in keys}
    client.close()


# Large requests.


def test_five_thousand_keys_in_one_get(client):
    pairs = {f"a-rather-long-key-of-a-page-fragment-{i:06}": str(i).encode() for i in range(5_000)}
    assert client.set_many(pairs) == []
    assert client.get_many(pairs) == pairs
    assert client.get_many([f"missing-{key}" for key in pairs]) == {}


def test_a_multiget_of_large_values_is_not_cut(client):
    pairs = {f"large{i}": bytes([i]) * 400_000 for i in range(20)}
    assert client.set_many(pairs) == []
    assert client.get_many(pairs) == pairs


# Serialisation and flags.


@pytest.mark.parametrize(
    "codec",
    [serde.pickle_serde, serde.compressed_serde, serde.PickleSerde(pickle_version=0)],
    ids=["pickle", "compressed", "pickle-0"],
)
def test_python_values_keep_their_type(server, codec):
    client = Client((server.host, server.port), serde=codec, timeout=20)
    values = [b"bytes", "text", "ünïcode", 7, 2**100, 1.5, None, True, [1, "two"], {"three": {4}}]
    for value in [*values, "compressible " * 10_000]:
        client.set("k", value, noreply=False)
        found = client.get("k")
        assert (found, type(found)) == (value, type(value))
    client.close()


def test_client_flags_come_back_as_they_were_set(server):
    class Flagged:
        def serialize(self, key, value):
            return json.dumps(value).encode(), int(key[1:])

        def deserialize(self, key, value, flags):
            return flags, json.loads(value)

    client = Client((server.host, server.port), serde=Flagged(), timeout=20)
    for flags in (0, 1, 255, 65_535, 2**31, 2**32 - 1):
        client.set(f"f{flags}", {"n": flags}, noreply=False)
        assert client.get(f"f{flags}") == (flags, {"n": flags})
    client.close()


def test_unicode_keys_and_a_key_prefix(server):
    options = {"allow_unicode_keys": True, "timeout": 20, "default_noreply": False}
    plain = Client((server.host, server.port), **options)
    prefixed = Client((server.host, server.port), key_prefix=b"app:", **options)
    prefixed.set("schlüssel☃", "v")
    assert prefixed.get("schlüssel☃") == b"v"
    assert prefixed.get_many(["schlüssel☃"]) == {"schlüssel☃": b"v"}
    assert plain.get("app:schlüssel☃") == b"v"
    assert plain.get("schlüssel☃") is None
    plain.close()
    prefixed.close()


# Administration.


def test_version_and_stats(server):
    client = Client((server.host, server.port), timeout=20, default_noreply=False)
    assert client.version().startswith(b"1.6.")
    before = client.stats()
    client.set("k", "v")
    client.get("k")
    client.get("missing")
    after = client.stats()
    for name in (b"cmd_set", b"get_hits", b"get_misses"):
        assert after[name] - before[name] == 1, name
    assert after[b"cmd_get"] - before[b"cmd_get"] == 2
    assert after[b"pid"] == server.pid
    assert client.stats("settings")[b"maxbytes"] == 64 << 20
    assert client.stats("items") and client.stats("slabs")
    client.close()


def test_gat_and_gats_by_raw_command(server, wait_until):
    client = Client((server.host, server.port), timeout=20, default_noreply=False)
    client.set("kept", "v", expire=3)
    client.set("lost", "v", expire=3)
    assert client.raw_command("gat 1000 kept", end_tokens=b"END\r\n") == b"VALUE kept 0 1\r\nv\r\n"
    wait_until(lambda: client.get("lost") is None)
    _, unique = client.gets("kept")
    answer = client.raw_command("gats 1000 kept", end_tokens=b"END\r\n")
    assert answer == b"VALUE kept 0 1 " + unique + b"\r\nv\r\n"
    client.close()


def test_quit_closes_the_connection(server):
    client = Client((server.host, server.port), timeout=20)
    client.set("k", "v", noreply=False)
    client.quit()
    assert client.get("k") == b"v", "the next call connects anew"
    client.close()


# Trouble.


def test_a_frozen_server_is_a_timeout_and_no_more(server):
    client = Client((server.host, server.port), connect_timeout=5, timeout=0.2)
    client.set("k", "v", noreply=False)
    server.pause()
    try:
        with pytest.raises(TimeoutError):
            client.get("k")
    finally:
        server.resume()
    client.timeout = 20
    assert client.get("k") == b"v"
    client.close()


def test_a_retrying_client_survives_a_restart():
    port = free_port()
    with Server(port=port) as first:
        base = Client((first.host, port), timeout=20, default_noreply=False)
        client = RetryingClient(
            base, attempts=3, retry_delay=0.01, retry_for=[MemcacheUnexpectedCloseError, OSError]
        )
        assert client.set("k", "v")
    with Server(port=port):
        assert client.get("k") is None, "a new process starts empty"
        assert client.set("k", "w")
        assert client.get("k") == b"w"
        client.close()


def test_a_hash_client_uses_all_servers_and_outlives_one(server):
    with Server() as second:
        client = HashClient(
            [server.address, second.address],
            timeout=20,
            retry_attempts=0,
            default_noreply=False,
        )
        pairs = {f"k{i}": str(i).encode() for i in range(200)}
        assert client.set_many(pairs) == []
        assert client.get_many(pairs) == pairs
        shares = [int(one.stats()["curr_items"]) for one in (server, second)]
        assert sum(shares) >= 200 and min(shares) > 20, shares
    # The second server is down: a closed connection, then a refused one, and the client drops it.
    with pytest.raises(MemcacheUnexpectedCloseError):
        client.get_many(pairs)
    with pytest.raises(ConnectionRefusedError):
        client.get_many(pairs)
    assert client.set_many(pairs) == []
    assert client.get_many(pairs) == pairs
    client.close()


def test_threads_share_a_pool(server):
    client = PooledClient(
        (server.host, server.port), max_pool_size=8, timeout=20, default_noreply=False
    )
    client.set("counter", "0")
    wrong = []

    def work(name: int) -> None:
        for i in range(200):
            client.incr("counter", 1)
            client.set(f"{name}:{i}", str(i))
            if client.get(f"{name}:{i}") != str(i).encode():
                wrong.append((name, i))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert client.get("counter") == b"1600"
    client.close()


def test_cas_loops_of_many_threads_lose_no_update(server):
    first = Client((server.host, server.port), timeout=20)
    first.set("list", b"", noreply=False)

    def work(name: int) -> None:
        client = Client((server.host, server.port), timeout=20)
        for i in range(50):
            while True:
                value, unique = client.gets("list")
                if client.cas("list", value + b"%d:%d " % (name, i), unique, noreply=False):
                    break
        client.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {b"%d:%d" % (name, i) for name in range(4) for i in range(50)}
    assert set(first.get("list").split()) == expected
    first.close()


def test_a_unix_socket(tmp_path: Path):
    path = str(tmp_path / "cache.sock")
    with Server(unix_socket=path):
        for server in (path, f"unix:{path}"):
            client = Client(server, timeout=20, default_noreply=False)
            assert client.set("k", b"x" * 500_000)
            assert client.get("k") == b"x" * 500_000
            client.close()


def test_a_full_cache_evicts_and_never_refuses():
    with Server("-m", "16") as server:
        client = Client((server.host, server.port), timeout=20, default_noreply=False)
        for i in range(4_000):
            assert client.set(f"k{i}", b"x" * 10_000)
        stats = client.stats()
        assert stats[b"evictions"] > 0
        assert 400 < stats[b"curr_items"] < 2_000
        assert client.get("k3999") == b"x" * 10_000
        assert client.get("k0") is None
        client.close()
