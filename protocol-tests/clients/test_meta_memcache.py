"""meta-memcache: a client that speaks the meta commands alone, with leases and stale values."""

import threading

import pytest
from meta_memcache import (
    CacheClient,
    Conflict,
    Key,
    LeasePolicy,
    Miss,
    NotStored,
    RecachePolicy,
    RequestFlags,
    ServerAddress,
    SetMode,
    StalePolicy,
    Success,
    Value,
)
from meta_memcache.configuration import connection_pool_factory_builder
from meta_memcache.protocol import MA_MODE_DEC, SET_MODE_APPEND

# A client that waits for the winner of a lease asks so often, so many seconds apart.
LEASE = LeasePolicy(ttl=30, miss_retries=100, miss_retry_wait=0.05, wait_backoff_factor=1.0)


def connect(server) -> CacheClient:
    builder = connection_pool_factory_builder(recv_timeout=10, connection_timeout=10)
    address = ServerAddress(server.host, server.port)
    return CacheClient.cache_client_from_servers([address], connection_pool_factory_fn=builder)


@pytest.fixture
def client(server):
    return connect(server)


def test_set_get_and_delete(client):
    assert client.set("k", "value", ttl=100)
    assert client.get("k") == "value"
    assert client.delete("k")
    assert not client.delete("k")
    assert client.invalidate("k")
    assert client.get("k") is None


@pytest.mark.parametrize(
    "value",
    ["text", "ünïcode", b"bytes\r\n\x00", b"", 3, -7, None, {"a": [1, None]}],
    ids=repr,
)
def test_values_keep_their_type(client, value):
    assert client.set("k", value, ttl=100)
    found = client.get("k")
    assert (found, type(found)) == (value, type(value))


def test_large_values(client):
    value = bytes(range(256)) * 3000
    assert client.set("k", value, ttl=100)
    assert client.get("k") == value


@pytest.mark.parametrize(
    "name",
    ["plain", "bier🍺", "with blank", "lange" * 100],
    ids=["plain", "unicode", "blank", "long"],
)
def test_keys_of_all_kinds(client, name):
    key = Key(name)
    assert client.set(key, "v", ttl=100)
    assert client.get(key) == "v"
    assert client.multi_get([key, Key("absent")]) == {key: "v", Key("absent"): None}
    assert client.delete(key)


def test_many_keys_at_once(client):
    keys = [Key(f"k{number}") for number in range(300)]
    for number, key in enumerate(keys):
        assert client.set(key, number, ttl=100)
    assert client.multi_get(keys) == {key: number for number, key in enumerate(keys)}


def test_set_modes(client):
    assert not client.set("k", b"r", ttl=100, set_mode=SetMode.REPLACE)
    assert client.refill("k", b"b", ttl=100)
    assert not client.refill("k", b"x", ttl=100)
    assert client.set("k", b"c", ttl=100, set_mode=SetMode.APPEND)
    assert client.set("k", b"a", ttl=100, set_mode=SetMode.PREPEND)
    assert client.get("k") == b"abc"


def test_cas_uniques(client):
    unique = client.set_cas("k", "one", ttl=100)
    assert client.get_cas("k") == ("one", unique)
    assert client.set("k", "two", ttl=100, cas_token=unique)
    assert not client.set("k", "three", ttl=100, cas_token=unique)
    assert not client.delete("k", cas_token=unique)
    assert client.get("k") == "two"


def test_counters(client):
    assert client.delta_and_get("n", 1) is None
    assert client.delta_initialize_and_get("n", 1, initial_value=10, initial_ttl=100) == 10
    assert client.delta_initialize_and_get("n", 1, initial_value=10, initial_ttl=100) == 11
    assert client.delta_and_get("n", 5) == 16
    assert client.delta_and_get("n", -20) == 0
    assert client.delta("n", 3, refresh_ttl=500)


def test_touch(client):
    assert not client.touch("k", 100)
    assert client.set("k", "v", ttl=100)
    assert client.touch("k", 5000)
    found = client.meta_get(Key("k"), RequestFlags(return_ttl=True))
    assert isinstance(found, Success) and 4000 < found.flags.ttl <= 5000


def test_flags_of_all_kinds_come_back(client):
    key = Key("k")
    assert isinstance(client.meta_set(key, b"value", RequestFlags(cache_ttl=100)), Success)
    wanted = RequestFlags(
        return_value=True,
        return_ttl=True,
        return_size=True,
        return_client_flag=True,
        return_cas_token=True,
        return_fetched=True,
        return_last_access=True,
        opaque=b"mark",
    )
    found = client.meta_get(key, wanted)
    assert isinstance(found, Value)
    flags = found.flags
    assert (found.value, flags.size, flags.fetched, flags.opaque) == (b"value", 5, False, b"mark")
    assert 90 < flags.ttl <= 100 and flags.last_access <= 10 and flags.cas_token > 0
    assert (flags.win, flags.stale) == (None, False)


def test_answers_to_failures(client):
    key = Key("k")
    assert isinstance(client.meta_get(key), Miss)
    assert isinstance(client.meta_delete(key), Miss)
    assert isinstance(client.meta_arithmetic(key, RequestFlags(mode=MA_MODE_DEC)), Miss)
    append = RequestFlags(mode=SET_MODE_APPEND)
    assert isinstance(client.meta_set(key, b"x", append), NotStored)
    client.set(key, "v", ttl=100)
    assert isinstance(client.meta_delete(key, RequestFlags(cas_token=1 << 30)), Conflict)


def test_quiet_writes(client):
    for number in range(50):
        assert client.set(f"k{number}", number, ttl=100, no_reply=True)
    assert client.delete("k7", no_reply=True)
    assert client.get("k49") == 49
    assert client.get("k7") is None


def test_one_of_many_threads_fills_a_missing_key(server):
    winners, found = [], []

    def ask():
        client = connect(server)
        value = client.get_or_lease("page", LEASE)
        if value is None:
            winners.append(1)
            client.set("page", "new", ttl=100)
        else:
            found.append(value)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(winners), found) == (1, ["new"] * 7)


def test_a_stale_value_is_renewed_by_one(server):
    winner, other = connect(server), connect(server)
    policy = StalePolicy(mark_stale_on_deletion_ttl=30, mark_stale_on_cas_mismatch=True)
    winner.set("page", "old", ttl=100)
    assert other.delete("page", stale_policy=policy)
    value, unique = winner.get_cas("page")
    assert value is None, "the winner sees a miss"
    assert other.get("page") == "old"
    # It is marked again before the winner has its value.
    assert other.delete("page", stale_policy=policy)
    assert winner.set("page", "late", ttl=100, cas_token=unique, stale_policy=policy)
    found = other.meta_get(Key("page"), RequestFlags(return_value=True))
    assert isinstance(found, Value) and found.value == "late" and found.flags.stale


def test_a_value_near_its_end_is_renewed_by_one(server):
    winner, other = connect(server), connect(server)
    winner.set("page", "old", ttl=20)
    soon = RecachePolicy(ttl=10)
    assert winner.get("page", recache_policy=soon) == "old"
    late = RecachePolicy(ttl=90)
    assert winner.get("page", recache_policy=late) is None
    assert other.get("page", recache_policy=late) == "old"
    winner.set("page", "new", ttl=1000)
    assert other.get("page", recache_policy=late) == "new"
