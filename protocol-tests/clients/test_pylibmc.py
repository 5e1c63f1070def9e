"""pylibmc: libmemcached's C client under Python, in its text protocol."""

import threading

import pylibmc
import pytest
from server import Server

# Long enough for a slow machine to reach the touch before the item is gone.
SHORT_SECONDS = 3


def connect(*servers: str, **behaviors) -> pylibmc.Client:
    """A text-protocol client; `behaviors` are libmemcached's switches by their pylibmc names."""
    return pylibmc.Client(
        servers, binary=False, behaviors={"tcp_nodelay": True, "cas": True, **behaviors}
    )


@pytest.fixture
def client(server):
    opened = connect(server.address)
    yield opened
    opened.disconnect_all()


def test_set_get_and_delete(client):
    assert client.set("some_key", "Some value")
    assert client.get("some_key") == "Some value"
    assert client["some_key"] == "Some value" and "some_key" in client
    client["another_key"] = 3
    assert client.delete("another_key")
    assert not client.delete("another_key")
    assert client.get("another_key", "a default") == "a default"


@pytest.mark.parametrize(
    "value",
    ["text", "ünïcode", b"bytes\r\n\x00", b"", 3, -7, 2**70, None, 1.5, {"a": [1, None]}],
    ids=repr,
)
def test_values_keep_their_type(client, value):
    assert client.set("k", value)
    found = client.get("k")
    assert (found, type(found)) == (value, type(value))


def test_add_replace_append_and_prepend(client):
    assert not client.replace("k", b"r")
    assert client.add("k", b"b")
    assert not client.add("k", b"x")
    assert client.append("k", b"c")
    assert client.prepend("k", b"a")
    assert client.get("k") == b"abc"
    assert client.replace("k", b"new")
    assert client.get("k") == b"new"


def test_incr_and_decr(client):
    with pytest.raises(pylibmc.NotFound):
        client.incr("n")
    client.set("n", 1)
    assert client.incr("n") == 2
    assert client.incr("n", 40) == 42
    assert client.decr("n", 2) == 40
    assert client.decr("n", 100) == 0


def test_incr_multi(client):
    client.set_multi({"a": 1, "b": 10})
    client.incr_multi(["a", "b"], delta=5)
    assert client.get_multi(["a", "b"]) == {"a": 6, "b": 15}


def test_cas_notices_another_writer(client, server):
    other = connect(server.address)
    client.set("k", "first")
    value, unique = client.gets("k")
    assert value == "first"
    other.set("k", "theirs")
    assert client.cas("k", "mine", unique) is False
    _, unique = client.gets("k")
    assert client.cas("k", "mine", unique) is True
    assert other.get("k") == "mine"
    assert client.gets("missing") == (None, None)


def test_multi_with_a_prefix(client):
    pairs = {str(i): f"value {i}" for i in range(5_000)}
    assert client.set_multi(pairs, key_prefix="p:") == []
    assert client.get_multi([*pairs, "missing"], key_prefix="p:") == pairs
    assert client.get("p:7") == "value 7"
    assert sorted(client.add_multi({"7": "x", "new": "y"}, key_prefix="p:")) == ["7"]
    assert client.delete_multi([*pairs], key_prefix="p:")
    assert client.get_multi([*pairs], key_prefix="p:") == {}


def test_compression(client, server):
    text = "a sentence that compresses well. " * 100_000
    assert client.set("k", text, min_compress_len=1_000, compress_level=9)
    assert client.get("k") == text
    assert int(server.stats()["bytes"]) < 100_000


def test_a_value_that_is_too_large_is_not_stored(client):
    client.set("k", "old")
    with pytest.raises(pylibmc.TooBig):
        client.set("k", b"x" * (2 << 20))
    assert client.get("k") is None
    assert client.set("k", b"x" * 1_000_000)
    assert client.get("k") == b"x" * 1_000_000


def test_expiry_and_touch(client, wait_until):
    client.set("lost", "v", time=SHORT_SECONDS)
    client.set("kept", "v", time=SHORT_SECONDS)
    assert client.touch("kept", 1_000)
    assert not client.touch("missing", 1_000)
    wait_until(lambda: client.get("lost") is None)
    assert client.get("kept") == "v"


def test_statistics_and_flush():
    with Server() as server:
        client = connect(server.address)
        client.set("k", "v")
        [(_, stats)] = client.get_stats()
        assert stats["curr_items"] == b"1"
        assert stats["pid"] == str(server.pid).encode()
        assert client.flush_all()
        assert client.get("k") is None
        client.disconnect_all()


@pytest.mark.parametrize(
    "behaviors",
    [
        {"no_block": True},
        {"_noreply": True},
        {"no_block": True, "_noreply": True, "buffer_requests": True},
        {"ketama": True, "hash": "md5"},
        {"verify_keys": True},
    ],
    ids=lambda behaviors: "+".join(behaviors),
)
def test_every_sending_mode_stores_all_items(server, behaviors):
    client = connect(server.address, **behaviors)
    for i in range(2_000):
        client.set(f"k{i}", f"value {i}")
    keys = [f"k{i}" for i in range(2_000)]
    assert client.get_multi(keys) == {key: f"value {key[1:]}" for key in keys}
    client.disconnect_all()


def test_a_pool_shared_by_threads(server):
    pool = pylibmc.ThreadMappedPool(connect(server.address))
    queue = pylibmc.ClientPool(connect(server.address), 3)
    with queue.reserve() as first:
        first.set("counter", 0)

    def work() -> None:
        for _ in range(200):
            with pool.reserve() as mapped:
                mapped.incr("counter")
            with queue.reserve(block=True) as queued:
                queued.incr("counter")
        pool.relinquish()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with queue.reserve() as last:
        assert last.get("counter") == 6 * 200 * 2


def test_two_servers_share_the_keys():
    with Server() as first, Server() as second:
        client = connect(first.address, second.address, ketama=True)
        pairs = {f"k{i}": i for i in range(500)}
        assert client.set_multi(pairs) == []
        assert client.get_multi([*pairs]) == pairs
        shares = [int(stats["curr_items"]) for _, stats in client.get_stats()]
        assert sum(shares) == 500 and min(shares) > 50, shares
        client.disconnect_all()


def test_a_unix_socket(tmp_path):
    path = str(tmp_path / "cache.sock")
    with Server(unix_socket=path):
        client = pylibmc.Client([path], binary=False)
        assert client.set("k", {"over": "unix"})
        assert client.get("k") == {"over": "unix"}
        client.disconnect_all()
