"""Statistics as Prometheus' memcached_exporter reads them.

Debian does not package the exporter, so this reads by its rules (those of 0.15): the names
that it looks for, the metrics that it makes of them, and what it takes for an error, in which case it
reports the server as down.
"""

import pytest
from load import OPTIONS, load, rest
from server import Server

MEMCACHED = "/usr/bin/memcached"

HIT_OR_MISS = ("get", "delete", "incr", "decr", "cas", "touch")

# Statistic to metric.
GENERAL = {
    "uptime": "uptime_seconds",
    "time": "time_seconds",
    "bytes": "current_bytes",
    "limit_maxbytes": "limit_bytes",
    "curr_items": "current_items",
    "total_items": "items_total",
    "bytes_read": "read_bytes_total",
    "bytes_written": "written_bytes_total",
    "curr_connections": "current_connections",
    "total_connections": "connections_total",
    "rejected_connections": "connections_rejected_total",
    "conn_yields": "connections_yielded_total",
    "listen_disabled_num": "connections_listener_disabled_total",
    "evictions": "items_evicted_total",
    "reclaimed": "items_reclaimed_total",
    "store_too_large": "item_too_large_total",
    "store_no_memory": "item_no_memory_total",
    "lru_crawler_starts": "lru_crawler_starts_total",
    "direct_reclaims": "direct_reclaims_total",
    "crawler_items_checked": "lru_crawler_items_checked_total",
    "crawler_reclaimed": "lru_crawler_reclaimed_total",
    "moves_to_cold": "lru_crawler_moves_to_cold_total",
    "moves_to_warm": "lru_crawler_moves_to_warm_total",
    "moves_within_lru": "lru_crawler_moves_within_lru_total",
    # `stats slabs` has this one, under no class.
    "total_malloced": "malloced_bytes",
    "accepting_conns": "accepting_connections",
}
ITEMS = {
    "number": "slab_current_items",
    "age": "slab_items_age_seconds",
    "crawler_reclaimed": "slab_items_crawler_reclaimed_total",
    "evicted": "slab_items_evicted_total",
    "evicted_nonzero": "slab_items_evicted_nonzero_total",
    "evicted_time": "slab_items_evicted_time_seconds",
    "evicted_unfetched": "slab_items_evicted_unfetched_total",
    "expired_unfetched": "slab_items_expired_unfetched_total",
    "outofmemory": "slab_items_outofmemory_total",
    "reclaimed": "slab_items_reclaimed_total",
    "tailrepairs": "slab_items_tailrepairs_total",
    "mem_requested": "slab_mem_requested_bytes",
    "moves_to_cold": "slab_items_moves_to_cold",
    "moves_to_warm": "slab_items_moves_to_warm",
    "moves_within_lru": "slab_items_moves_within_lru",
    "number_hot": "slab_hot_items",
    "number_warm": "slab_warm_items",
    "number_cold": "slab_cold_items",
    "number_temp": "slab_temporary_items",
    "age_hot": "slab_hot_age_seconds",
    "age_warm": "slab_warm_age_seconds",
    "hits_to_hot": "slab_lru_hits_total{hot}",
    "hits_to_warm": "slab_lru_hits_total{warm}",
    "hits_to_cold": "slab_lru_hits_total{cold}",
    "hits_to_temp": "slab_lru_hits_total{temporary}",
}
SLABS = {
    "chunk_size": "slab_chunk_size_bytes",
    "chunks_per_page": "slab_chunks_per_page",
    "total_pages": "slab_current_pages",
    "total_chunks": "slab_current_chunks",
    "used_chunks": "slab_chunks_used",
    "free_chunks": "slab_chunks_free",
    "free_chunks_end": "slab_chunks_free_end",
}
SETTINGS = {
    "maxconns": "max_connections",
    "lru_crawler_sleep": "lru_crawler_sleep",
    "lru_crawler_tocrawl": "lru_crawler_to_crawl",
    "hot_lru_pct": "lru_crawler_hot_percent",
    "warm_lru_pct": "lru_crawler_warm_percent",
    "hot_max_factor": "lru_crawler_hot_max_factor",
    "warm_max_factor": "lru_crawler_warm_max_factor",
}
YES_OR_NO = {"lru_crawler": "lru_crawler_enabled", "lru_maintainer_thread": "lru_crawler_maintainer_thread"}


class Scrape:
    """One reading: `metrics` by name and labels, those of classes by (name, class) in `of_class`."""

    def __init__(self, server: Server):
        self.metrics: dict[str, float] = {}
        self.of_class: dict[tuple[str, int], float] = {}
        general: dict[str, str] = {}
        slabs: dict[int, dict[str, str]] = {}
        items: dict[int, dict[str, str]] = {}
        for command in ("stats", "stats slabs", "stats items"):
            for line in answer(server, command):
                # A line with any other number of words is passed over, and so is one without STAT.
                if len(line) != 3 or not line[0].startswith("STAT"):
                    continue
                name = line[1].split(":")
                if len(name) == 1:
                    general[line[1]] = line[2]
                elif len(name) == 2:
                    slabs.setdefault(int(name[0]), {})[name[1]] = line[2]
                elif len(name) == 3:
                    items.setdefault(int(name[1]), {})[name[2]] = line[2]
        self.read_general(general)
        self.read_settings(settings(server))
        for number, found in items.items():
            for name, metric in ITEMS.items():
                if name in found:
                    self.of_class[metric, number] = float(found[name])
        for number, found in slabs.items():
            for name, metric in SLABS.items():
                self.of_class[metric, number] = float(found[name])
            commands = {f"{{{name},hit}}": float(found[f"{name}_hits"]) for name in HIT_OR_MISS}
            commands["{cas,badval}"] = float(found["cas_badval"])
            commands["{set,hit}"] = float(found["cmd_set"]) - commands["{cas,hit}"] - commands["{cas,badval}"]
            for labels, value in commands.items():
                self.of_class[f"slab_commands_total{labels}", number] = value

    def read_general(self, found: dict[str, str]) -> None:
        self.metrics[f"version{{{found['version']}}}"] = 1
        commands = {}
        for name in HIT_OR_MISS:
            commands[name, "hit"] = float(found[f"{name}_hits"])
            commands[name, "miss"] = float(found[f"{name}_misses"])
        commands["cas", "badval"] = float(found["cas_badval"])
        commands["flush", "hit"] = float(found["cmd_flush"])
        commands["set", "hit"] = float(found["cmd_set"]) - sum(
            commands["cas", status] for status in ("hit", "miss", "badval")
        )
        for (name, status), value in commands.items():
            self.metrics[f"commands_total{{{name},{status}}}"] = value
        for name in ("rusage_user", "rusage_system"):
            seconds, microseconds = found[name].split(".")
            self.metrics[f"process_{name.removeprefix('rusage_')}_cpu_seconds_total"] = (
                float(seconds) + float(microseconds) / 1e6
            )
        for name, metric in GENERAL.items():
            if name in found:
                self.metrics[metric] = float(found[name])

    def read_settings(self, found: dict[str, str]) -> None:
        for name, metric in SETTINGS.items():
            self.metrics[metric] = float(found[name])
        for name, metric in YES_OR_NO.items():
            self.metrics[metric] = {"yes": 1, "no": 0}[found[name]]

    def total(self, metric: str) -> float:
        """The sum over all classes."""
        return sum(value for (name, _), value in self.of_class.items() if name == metric)


def answer(server: Server, command: str) -> list[list[str]]:
    """The lines before END, split at each single blank."""
    with server.connect() as connection, connection.makefile("rwb") as stream:
        stream.write(command.encode() + b"\r\n")
        stream.flush()
        lines = []
        for line in stream:
            if line == b"END\r\n":
                return lines
            # The exporter's buffer has 4096 bytes, and a longer line is an error.
            assert len(line) <= 4_096, line
            lines.append([word.strip() for word in line.decode().split(" ")])
    raise AssertionError(f"{command}: no END")


def settings(server: Server) -> dict[str, str]:
    found = {}
    for line in answer(server, "stats settings"):
        # Any other number of words makes the exporter give up on the settings.
        assert len(line) in (3, 4), line
        found[line[1]] = line[2]
    return found


def scrape(program: str = "") -> Scrape:
    with Server(*OPTIONS, program=program) as server:
        load(server)
        asked = rest(server)
        found = Scrape(server)
        # One server comes to rest later than the other.
        found.metrics["read_bytes_total"] -= asked * len(b"stats\r\n")
        return found


@pytest.fixture(scope="module")
def tested() -> Scrape:
    return scrape()


@pytest.fixture(scope="module")
def memcached() -> Scrape:
    return scrape(MEMCACHED)


def test_no_metric_of_memcached_is_missing(tested, memcached):
    def names(found: Scrape) -> set[str]:
        general = {name for name in found.metrics if not name.startswith("version{")}
        return general | {name for name, _ in found.of_class}

    missing = names(memcached) - names(tested)
    assert not missing
    # The tables above would be wrong if memcached itself lacked one; a newer one may have more.
    expected = {*GENERAL.values(), *ITEMS.values(), *SLABS.values(), *SETTINGS.values(), *YES_OR_NO.values()}
    # Shown only with a segment for items with a short life.
    assert expected - names(memcached) <= {"slab_temporary_items"}


def test_what_commands_count_is_what_memcached_counts(tested, memcached):
    same = [name for name in memcached.metrics if name.startswith("commands_total")]
    same += ["items_total", "item_too_large_total", "item_no_memory_total", "limit_bytes"]
    same += ["read_bytes_total", "connections_rejected_total", "accepting_connections"]
    assert {name: tested.metrics[name] for name in same} == {name: memcached.metrics[name] for name in same}
    assert tested.metrics["commands_total{set,hit}"] > 16_000
    zero = [name for name in same if name.startswith("commands_total") and not tested.metrics[name]]
    assert zero == ["commands_total{flush,hit}"], "the load moves all others"


def test_the_settings_are_memcacheds(tested, memcached):
    same = [*SETTINGS.values(), *YES_OR_NO.values()]
    assert {name: tested.metrics[name] for name in same} == {name: memcached.metrics[name] for name in same}


@pytest.mark.parametrize(
    ("of_class", "general"),
    [
        ("slab_current_items", "current_items"),
        ("slab_items_evicted_total", "items_evicted_total"),
        ("slab_items_moves_to_cold", "lru_crawler_moves_to_cold_total"),
        ("slab_items_moves_to_warm", "lru_crawler_moves_to_warm_total"),
        *[(f"slab_commands_total{{{name},hit}}", f"commands_total{{{name},hit}}") for name in HIT_OR_MISS],
        ("slab_commands_total{cas,badval}", "commands_total{cas,badval}"),
    ],
)
def test_classes_add_up(tested, of_class, general):
    assert tested.total(of_class) == tested.metrics[general]
    assert tested.metrics[general] > 0 or "warm" in general


def test_chunks_and_pages_add_up(tested):
    classes = {number for name, number in tested.of_class if name == "slab_current_pages"}
    assert len(classes) > 1
    for number in classes:
        of = {metric: tested.of_class[metric, number] for metric in SLABS.values()}
        assert of["slab_chunks_used"] + of["slab_chunks_free"] + of["slab_chunks_free_end"] == of["slab_current_chunks"]
        assert of["slab_current_chunks"] == of["slab_current_pages"] * of["slab_chunks_per_page"]
    assert 0 < tested.metrics["malloced_bytes"] <= tested.metrics["limit_bytes"] * 1.1
    segments = sum(tested.total(f"slab_{name}_items") for name in ("hot", "warm", "cold"))
    assert segments == tested.metrics["current_items"]


def test_lru_hits_add_up(tested):
    hits = sum(tested.total(f"slab_lru_hits_total{{{name}}}") for name in ("hot", "warm", "cold", "temporary"))
    found = tested.metrics["commands_total{get,hit}"] + tested.metrics["commands_total{touch,hit}"]
    assert 0 < hits <= found
