//! Which statistic is which metric.

use prometheus::proto::MetricType;

/// What a metric is called.
#[derive(Clone, Copy, Debug)]
pub struct Of {
    /// Its name.
    pub name: &'static str,
    /// A sentence that says what it is.
    pub help: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricType,
}

impl Of {
    /// A figure that goes up and down.
    pub const fn gauge(name: &'static str, help: &'static str) -> Of {
        Of { name, help, kind: MetricType::GAUGE }
    }

    /// A figure that only goes up.
    pub const fn counter(name: &'static str, help: &'static str) -> Of {
        Of { name, help, kind: MetricType::COUNTER }
    }

    pub(super) const fn histogram(name: &'static str, help: &'static str) -> Of {
        Of { name, help, kind: MetricType::HISTOGRAM }
    }
}

/// A statistic that is a metric as it stands.
pub(super) struct Known {
    pub stat: &'static str,
    pub of: Of,
}

const fn gauge(stat: &'static str, name: &'static str, help: &'static str) -> Known {
    Known { stat, of: Of::gauge(name, help) }
}

const fn counter(stat: &'static str, name: &'static str, help: &'static str) -> Known {
    Known { stat, of: Of::counter(name, help) }
}

/// Of `stats`, but for commands; `total_malloced` stands in `stats slabs`, under no class.
pub(super) const GENERAL: [Known; 31] = [
    gauge("uptime", "memcached_uptime_seconds", "Seconds since the start."),
    gauge("time", "memcached_time_seconds", "The server's time, in Unix seconds."),
    counter("rusage_user", "memcached_process_user_cpu_seconds_total", "CPU time in user space."),
    counter("rusage_system", "memcached_process_system_cpu_seconds_total", "CPU time in the kernel."),
    gauge("bytes", "memcached_current_bytes", "Bytes of all items."),
    gauge("limit_maxbytes", "memcached_limit_bytes", "Memory limit."),
    gauge("curr_items", "memcached_current_items", "Items."),
    counter("total_items", "memcached_items_total", "Items ever stored."),
    counter("bytes_read", "memcached_read_bytes_total", "Bytes that clients sent."),
    counter("bytes_written", "memcached_written_bytes_total", "Bytes sent to clients."),
    gauge("curr_connections", "memcached_current_connections", "Open connections."),
    counter("total_connections", "memcached_connections_total", "Connections ever accepted."),
    counter(
        "rejected_connections",
        "memcached_connections_rejected_total",
        "Connections refused at the limit.",
    ),
    counter("conn_yields", "memcached_connections_yielded_total", "Turns that ended for the sake of others."),
    counter(
        "listen_disabled_num",
        "memcached_connections_listener_disabled_total",
        "How often accepting stopped at the limit of connections.",
    ),
    counter("evictions", "memcached_items_evicted_total", "Items evicted for room."),
    counter(
        "reclaimed",
        "memcached_items_reclaimed_total",
        "Items whose memory was reused after they expired.",
    ),
    counter("store_too_large", "memcached_item_too_large_total", "Values refused for their size."),
    counter("store_no_memory", "memcached_item_no_memory_total", "Values refused for want of memory."),
    counter("lru_crawler_starts", "memcached_lru_crawler_starts_total", "Crawls that clients began."),
    counter("direct_reclaims", "memcached_direct_reclaims_total", "Evictions in the course of a request."),
    counter(
        "crawler_items_checked",
        "memcached_lru_crawler_items_checked_total",
        "Items looked at behind the requests.",
    ),
    counter("crawler_reclaimed", "memcached_lru_crawler_reclaimed_total", "Items that expired unasked for."),
    counter("moves_to_cold", "memcached_lru_crawler_moves_to_cold_total", "Moves to COLD."),
    counter("moves_to_warm", "memcached_lru_crawler_moves_to_warm_total", "Moves to WARM."),
    counter("moves_within_lru", "memcached_lru_crawler_moves_within_lru_total", "Moves within a segment."),
    gauge("total_malloced", "memcached_malloced_bytes", "Memory in pages of slab classes."),
    gauge("accepting_conns", "memcached_accepting_connections", "Whether connections are accepted."),
    counter("unexpected_napi_ids", "memcached_unexpected_napi_ids_total", "Always 0."),
    counter("round_robin_fallback", "memcached_round_robin_fallback_total", "Always 0."),
    gauge("slab_global_page_pool", "larder_spare_pages", "Pages that wait to be used again."),
];

/// Of `stats settings`.
pub(super) const SETTINGS: [Known; 7] = [
    gauge("maxconns", "memcached_max_connections", "Limit of connections."),
    gauge(
        "lru_crawler_sleep",
        "memcached_lru_crawler_sleep",
        "Pause of a crawl between slices, in microseconds.",
    ),
    gauge("lru_crawler_tocrawl", "memcached_lru_crawler_to_crawl", "Items of a crawl per class; 0: all."),
    gauge("hot_lru_pct", "memcached_lru_crawler_hot_percent", "Share of HOT."),
    gauge("warm_lru_pct", "memcached_lru_crawler_warm_percent", "Share of WARM."),
    gauge("hot_max_factor", "memcached_lru_crawler_hot_max_factor", "Age of HOT in relation to COLD."),
    gauge("warm_max_factor", "memcached_lru_crawler_warm_max_factor", "Age of WARM in relation to COLD."),
];

/// Of `stats settings`, yes or no.
pub(super) const SWITCHES: [Known; 2] = [
    gauge(
        "lru_crawler",
        "memcached_lru_crawler_enabled",
        "Whether expired items are taken away unasked for.",
    ),
    gauge(
        "lru_maintainer_thread",
        "memcached_lru_crawler_maintainer_thread",
        "Whether the LRU has segments.",
    ),
];

/// Commands of all classes.
pub(super) const COMMANDS: Of = Of::counter(
    "memcached_commands_total",
    "Commands by what came of them; meta commands count as their like.",
);

/// Commands by slab class.
pub(super) const OF_CLASS: Of =
    Of::counter("memcached_slab_commands_total", "Commands by slab class and what came of them.");

/// By key and operation, read or write.
pub(super) const HOT_REQUESTS: Of =
    Of::gauge("larder_hot_key_requests_per_second", "How often the hottest keys are asked for and stored.");
pub(super) const HOT_BYTES: Of =
    Of::gauge("larder_hot_key_bytes_per_second", "Bytes sent and received for the keys with most of them.");
/// How long commands take.
pub(super) const DURATIONS: Of = Of::histogram(
    "larder_command_duration_seconds",
    "Time that a worker spends on a command, of a sample of the commands.",
);

/// How long they wait.
pub(super) const WAITS: Of = Of::histogram(
    "larder_command_wait_seconds",
    "Time from a worker's wake-up to where it begins with a command, of the same commands.",
);

/// Entries of the slow log.
pub(super) const SLOW: Of =
    Of::counter("larder_slow_log_entries_total", "Commands, or batches of them, that took too long.");

/// Of `stats items`. Three that count have names of gauges in the exporter, and so here.
pub(super) const ITEMS: [Known; 21] = [
    gauge("number", "memcached_slab_current_items", "Items."),
    gauge("age", "memcached_slab_items_age_seconds", "How long the coldest item is idle."),
    counter(
        "crawler_reclaimed",
        "memcached_slab_items_crawler_reclaimed_total",
        "Items that expired unasked for.",
    ),
    counter("evicted", "memcached_slab_items_evicted_total", "Items evicted for room."),
    counter("evicted_nonzero", "memcached_slab_items_evicted_nonzero_total", "Of these, with an exptime."),
    gauge(
        "evicted_time",
        "memcached_slab_items_evicted_time_seconds",
        "How long the last evicted item was idle.",
    ),
    counter(
        "evicted_unfetched",
        "memcached_slab_items_evicted_unfetched_total",
        "Evicted without ever being read.",
    ),
    counter(
        "expired_unfetched",
        "memcached_slab_items_expired_unfetched_total",
        "Expired without ever being read.",
    ),
    counter("outofmemory", "memcached_slab_items_outofmemory_total", "Values refused for want of memory."),
    counter("reclaimed", "memcached_slab_items_reclaimed_total", "Expired items whose memory was reused."),
    counter("tailrepairs", "memcached_slab_items_tailrepairs_total", "Always 0."),
    gauge("mem_requested", "memcached_slab_mem_requested_bytes", "Bytes of all items."),
    gauge("moves_to_cold", "memcached_slab_items_moves_to_cold", "Moves to COLD so far."),
    gauge("moves_to_warm", "memcached_slab_items_moves_to_warm", "Moves to WARM so far."),
    gauge("moves_within_lru", "memcached_slab_items_moves_within_lru", "Moves within a segment so far."),
    gauge("number_hot", "memcached_slab_hot_items", "Items in HOT."),
    gauge("number_warm", "memcached_slab_warm_items", "Items in WARM."),
    gauge("number_cold", "memcached_slab_cold_items", "Items in COLD."),
    gauge("number_temp", "memcached_slab_temporary_items", "Items in TEMP."),
    gauge("age_hot", "memcached_slab_hot_age_seconds", "How long the oldest item of HOT is idle."),
    gauge("age_warm", "memcached_slab_warm_age_seconds", "How long the oldest item of WARM is idle."),
];

/// Hits of `stats items`, and the exporter's label.
pub(super) const SEGMENT_HITS: [(&str, &str); 4] = [
    ("hits_to_hot", "hot"),
    ("hits_to_warm", "warm"),
    ("hits_to_cold", "cold"),
    ("hits_to_temp", "temporary"),
];

/// Of `stats slabs`, but for commands.
pub(super) const SLABS: [Known; 7] = [
    gauge("chunk_size", "memcached_slab_chunk_size_bytes", "Bytes of a chunk."),
    gauge("chunks_per_page", "memcached_slab_chunks_per_page", "Chunks of a page."),
    gauge("total_pages", "memcached_slab_current_pages", "Pages."),
    gauge("total_chunks", "memcached_slab_current_chunks", "Chunks."),
    gauge("used_chunks", "memcached_slab_chunks_used", "Chunks that hold an item."),
    gauge("free_chunks", "memcached_slab_chunks_free", "Chunks that hold none."),
    gauge("free_chunks_end", "memcached_slab_chunks_free_end", "Always 0."),
];

/// Of `stats items`, what only larder has.
pub(super) const OWN_ITEMS: [Known; 2] = [
    counter(
        "evicted_for_page",
        "larder_slab_items_evicted_for_page_total",
        "Items evicted because their page had to go.",
    ),
    counter("evicted_bytes", "larder_slab_evicted_bytes_total", "Bytes of the items evicted."),
];

/// Of `stats`, what the exporter leaves out.
pub(super) const OWN: [Known; 29] = [
    counter(
        "contended_borrows",
        "larder_contended_borrows_total",
        "Partitions that were borrowed while another worker had them.",
    ),
    gauge("partitions", "larder_partitions", "Partitions of the store."),
    gauge("threads", "larder_workers", "Workers."),
    gauge("page_size", "larder_page_bytes", "Bytes of a page."),
    gauge("used_bytes", "larder_used_bytes", "Memory in use against the limit."),
    counter(
        "slabs_moved",
        "larder_pages_moved_total",
        "Pages that went from one class to another, or to the store.",
    ),
    counter(
        "slab_reassign_rescues",
        "larder_items_rescued_total",
        "Items moved out of a page that had to go.",
    ),
    counter(
        "index_drops",
        "larder_index_drops_total",
        "Items dropped because the index had no place for them.",
    ),
    counter(
        "evicted_unfetched",
        "larder_items_evicted_unfetched_total",
        "Items evicted without ever being read.",
    ),
    counter(
        "expired_unfetched",
        "larder_items_expired_unfetched_total",
        "Items expired without ever being read.",
    ),
    counter("get_expired", "larder_get_expired_total", "Look-ups that met an expired item."),
    counter(
        "evicted_active",
        "larder_items_evicted_active_total",
        "Items evicted although they were read again lately.",
    ),
    counter("malloc_fails", "larder_page_refusals_total", "Pages for which the system had no memory."),
    counter("auth_cmds", "larder_logins_total", "Logins that were tried."),
    counter("auth_errors", "larder_login_failures_total", "Those of them that failed."),
    counter("auth_denied", "larder_commands_denied_total", "Commands that their user had no right to."),
    counter(
        "rejected_by_address",
        "larder_connections_rejected_by_address_total",
        "Connections refused because their address had as many as it may.",
    ),
    counter(
        "ssl_full_handshakes",
        "larder_tls_full_handshakes_total",
        "TLS handshakes that began a session.",
    ),
    counter(
        "ssl_resumed_handshakes",
        "larder_tls_resumed_handshakes_total",
        "TLS handshakes that went on with an earlier session.",
    ),
    counter("ssl_handshake_errors", "larder_tls_handshake_errors_total", "TLS handshakes that failed."),
    counter(
        "ssl_handshake_timeouts",
        "larder_tls_handshake_timeouts_total",
        "Those of them that took too long.",
    ),
    counter("ssl_proto_errors", "larder_tls_protocol_errors_total", "TLS connections that broke later."),
    gauge(
        "time_since_server_cert_refresh",
        "larder_tls_certificates_age_seconds",
        "How long ago the certificates were read.",
    ),
    counter("udp_requests", "larder_udp_requests_total", "Datagrams taken as requests."),
    counter("udp_dropped", "larder_udp_dropped_total", "Datagrams that were no request."),
    counter("udp_unsent", "larder_udp_unsent_total", "Replies that the system did not take."),
    gauge("log_watchers", "larder_watchers", "Clients that watch."),
    counter("idle_kicks", "larder_idle_kicks_total", "Connections closed because they were silent."),
    counter(
        "response_obj_oom",
        "larder_unsent_kicks_total",
        "Connections closed because they did not take their replies.",
    ),
];

/// Memory by what it is for. The parts of `larder_used_bytes`, and what connections keep.
pub(super) const MEMORY_BY_USE: Of = Of::gauge("larder_memory_bytes", "Memory in use, by what it is for.");

/// How long the certificate is still good.
pub(super) const CERTIFICATE_LEFT: Of = Of::gauge(
    "larder_tls_certificate_left_seconds",
    "Until the first certificate of the chain ends; whole days.",
);

/// How long what is evicted lay idle.
pub(super) const EVICTION_AGE: Of = Of::gauge(
    "larder_eviction_age_seconds",
    "How long the last evicted item was idle, of the class where that is shortest.",
);

pub(super) const FULLEST_PARTITION: Of =
    Of::gauge("larder_fullest_partition_items", "Items of the partition that has most.");

pub(super) const BUSIEST_PARTITION: Of = Of::counter(
    "larder_busiest_partition_requests_total",
    "Look-ups and stores in the partition that had most; stats reset leaves it alone.",
);

pub(super) const WORKER_CONNECTIONS: Of =
    Of::gauge("larder_worker_connections", "Connections of each worker.");

/// Of `stats`, bytes by what they are for.
pub(super) const MEMORY: [(&str, &str); 6] = [
    ("index_bytes", "index"),
    ("large_bytes", "large_values"),
    ("deadline_bytes", "deadlines"),
    ("ghost_bytes", "ghosts"),
    ("response_obj_bytes", "unsent"),
    ("read_buf_bytes", "unread"),
];
