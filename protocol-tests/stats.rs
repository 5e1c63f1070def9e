//! stats: which names come in which order, and that the counters count what they say.
//!
//! Counters of connections and evictions are in `hostile_clients.rs` and `memory.rs`.

use std::collections::HashMap;

use crate::client::{Client, fill};
use crate::differences::start;
use crate::server::{Kind, Launch, Server, wait_until};

/// `stats`, as started by default.
const GENERAL: &str = "pid uptime time version libevent pointer_size rusage_user rusage_system max_connections \
    curr_connections total_connections rejected_connections connection_structures response_obj_oom \
    response_obj_count response_obj_bytes read_buf_count read_buf_bytes read_buf_bytes_free read_buf_oom \
    reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses get_expired get_flushed \
    delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval \
    touch_hits touch_misses store_too_large store_no_memory auth_cmds auth_errors bytes_read bytes_written \
    limit_maxbytes accepting_conns listen_disabled_num time_in_listen_disabled_us threads conn_yields \
    hash_power_level hash_bytes hash_is_expanding slab_reassign_rescues slab_reassign_chunk_rescues \
    slab_reassign_inline_reclaim slab_reassign_busy_items slab_reassign_busy_deletes \
    slab_reassign_busy_nomem slab_reassign_last_busy_status slab_reassign_running slabs_moved \
    lru_crawler_running lru_crawler_starts lru_maintainer_juggles malloc_fails log_worker_dropped \
    log_worker_written log_watcher_skipped log_watcher_sent log_watchers unexpected_napi_ids \
    round_robin_fallback bytes curr_items total_items slab_global_page_pool expired_unfetched \
    evicted_unfetched evicted_active evictions reclaimed crawler_reclaimed crawler_items_checked \
    lrutail_reflocked moves_to_cold moves_to_warm moves_within_lru direct_reclaims lru_bumps_dropped";

/// `stats settings` without what only exists with extstore or privilege dropping built in.
const SETTINGS: &str = "maxbytes maxconns tcpport udpport inter verbosity oldest evictions domain_socket umask \
    shutdown_command growth_factor chunk_size num_threads num_threads_per_udp stat_key_prefix \
    detail_enabled reqs_per_event cas_enabled tcp_backlog binding_protocol auth_enabled_sasl \
    auth_enabled_ascii item_size_max maxconns_fast hashpower_init slab_reassign slab_automove \
    slab_automove_ratio slab_automove_window slab_chunk_max lru_crawler lru_crawler_sleep \
    lru_crawler_tocrawl tail_repair_time flush_enabled dump_enabled hash_algorithm lru_maintainer_thread \
    lru_segmented hot_lru_pct warm_lru_pct hot_max_factor warm_max_factor temp_lru temporary_ttl \
    idle_timeout watcher_logbuf_size worker_logbuf_size read_buf_mem_limit track_sizes \
    inline_ascii_response ssl_enabled ssl_chain_cert ssl_key ssl_verify_mode ssl_keyformat ssl_ciphers \
    ssl_ca_cert ssl_wbuf_size ssl_session_cache ssl_kernel_tls ssl_min_version num_napi_ids memory_file client_flags_size";

/// `stats items`, for each class that holds items.
const ITEMS: &str = "number number_hot number_warm number_cold age_hot age_warm age mem_requested evicted \
    evicted_nonzero evicted_time outofmemory tailrepairs reclaimed expired_unfetched evicted_unfetched \
    evicted_active crawler_reclaimed crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm \
    moves_within_lru direct_reclaims hits_to_hot hits_to_warm hits_to_cold hits_to_temp";

/// What larder tells of a class beyond that.
pub const ITEMS_OWN: &[&str] = &["evicted_for_page", "evicted_bytes"];

/// `stats slabs`, for each class with pages.
const SLABS: &str = "chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks free_chunks_end \
    get_hits cmd_set delete_hits incr_hits decr_hits cas_hits cas_badval touch_hits";

fn names(stats: &[(String, String)]) -> Vec<&str> {
    stats.iter().map(|(name, _)| name.as_str()).collect()
}

fn words(list: &str) -> Vec<&str> {
    list.split_whitespace().collect()
}

/// By how much `stats` changes over `commands`, for the names in `rows`.
#[track_caller]
fn expect_counts(client: &mut Client, commands: impl AsRef<[u8]>, rows: &[(&str, u64)]) {
    let counts = |client: &mut Client| -> HashMap<String, u64> {
        let number = |(name, value): (String, String)| Some((name, value.parse().ok()?));
        client.stats("stats").into_iter().filter_map(number).collect()
    };
    let before = counts(client);
    client.ask(commands.as_ref());
    let after = counts(client);
    for (name, want) in rows {
        assert_eq!(after[*name] - before[*name], *want, "{name} after {}", commands.as_ref().escape_ascii());
    }
}

#[test]
fn general_names_come_in_this_order() {
    let server = start!();
    let stats = server.client().stats("stats");
    let (given, wanted) = (names(&stats), words(GENERAL));
    // larder's own figures follow behind all that clients know.
    let common = if Kind::under_test() == Kind::Larder { wanted.len().min(given.len()) } else { given.len() };
    assert_eq!(given[..common], wanted);
}

/// The options with which memcached's own tests count the names.
const FEWEST: [&str; 4] = ["-I", "1024", "-o", "slab_chunk_max=1,no_lru_crawler,no_lru_maintainer"];

/// Names that older releases of memcached have.
const NOT_IN_1_6_45: [&str; 1] = ["slab_reassign_evictions_nomem"];

/// Names of builds with more in them.
fn is_optional(name: &str) -> bool {
    name.starts_with("ext_") || ["drop_privileges", "slab_automove_freeratio"].contains(&name)
}

/// A name without the number of its class or descriptor.
fn generic(name: &str) -> String {
    let is_name = |part: &&str| part.parse::<u32>().is_err();
    name.split(':').filter(is_name).collect::<Vec<_>>().join(":")
}

#[test]
fn without_crawler_and_maintainer_their_names_are_gone() {
    let server = start!(&FEWEST);
    let stats = server.client().stats("stats");
    let known: Vec<_> = names(&stats).into_iter().filter(|name| words(GENERAL).contains(name)).collect();
    assert_eq!(known.len(), 84);
}

#[test]
fn names_of_a_real_memcached_are_there_in_its_order() {
    let (Kind::Larder, Some(reference)) = (Kind::under_test(), crate::differential::reference()) else {
        println!("left out: there is no memcached; LARDER_TEST_REFERENCE may name one");
        return;
    };
    let more = ["-o", "idle_timeout=60,no_maxconns_fast,temporary_ttl=60,track_sizes"];
    let all = ["stats", "stats settings", "stats items", "stats slabs"];
    // memcached itself breaks off where an item is stored under the fewest.
    for (options, commands) in [(&[][..], &all[..]), (&FEWEST, &all[..2]), (&more, &all)] {
        let launch = |launch: Launch| launch.options(options.iter().copied()).start();
        let (larder, memcached) = (launch(Launch::new()), launch(Launch::of(reference.clone())));
        for &command in commands {
            let shown = |server: &Server| {
                let mut client = server.client();
                if commands.len() == all.len() {
                    client.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
                }
                let stats = client.stats(command);
                stats.into_iter().map(|(name, _)| generic(&name)).collect::<Vec<_>>()
            };
            let (ours, theirs) = (shown(&larder), shown(&memcached));
            let mut rest = ours.iter();
            for name in theirs {
                let is_gone = NOT_IN_1_6_45.contains(&name.as_str()) || is_optional(&name);
                assert!(is_gone || rest.any(|other| *other == name), "{command} {options:?}: {name}");
            }
        }
    }
}

#[test]
fn names_that_exporters_read_are_there() {
    let server = start!();
    let stats = server.client().stats("stats");
    for name in words(
        "pid uptime time version pointer_size rusage_user rusage_system max_connections curr_connections \
         total_connections rejected_connections cmd_get cmd_set cmd_flush cmd_touch get_hits get_misses \
         delete_hits delete_misses incr_hits incr_misses decr_hits decr_misses cas_hits cas_misses cas_badval \
         touch_hits touch_misses bytes_read bytes_written limit_maxbytes accepting_conns \
         listen_disabled_num threads conn_yields hash_bytes bytes curr_items total_items evictions reclaimed \
         expired_unfetched evicted_unfetched",
    ) {
        assert!(stats.iter().any(|(other, _)| other == name), "{name} is missing");
    }
}

#[test]
fn general_values_have_their_forms() {
    let server = start!(&["-m", "100", "-t", "2", "-c", "200"]);
    let mut client = server.client();
    let version = client.ask_text("version\r\n");
    let stats: HashMap<_, _> = client.stats("stats").into_iter().collect();
    assert_eq!(format!("VERSION {}\r\n", stats["version"]), version);
    assert_eq!(stats["pid"], server.pid().to_string());
    assert_eq!(stats["pointer_size"], "64");
    assert_eq!(stats["limit_maxbytes"], "104857600");
    assert_eq!(stats["threads"], "2");
    assert_eq!(stats["max_connections"], "200");
    assert_eq!(stats["accepting_conns"], "1");
    for name in ["rusage_user", "rusage_system"] {
        let (seconds, micros) = stats[name].split_once('.').expect("a point");
        assert!(
            seconds.parse::<u32>().is_ok() && micros.len() == 6 && micros.parse::<u32>().is_ok(),
            "{name}"
        );
    }
}

#[test]
fn time_and_uptime_go_on() {
    let server = start!();
    let mut client = server.client();
    let (uptime, time) = (client.stat("uptime"), client.stat("time"));
    wait_until("the clock ticks", || client.stat("uptime") > uptime && client.stat("time") > time);
}

#[test]
fn settings_names_come_in_this_order() {
    let server = start!();
    let settings = server.client().stats("stats settings");
    let given: Vec<_> = names(&settings).into_iter().filter(|name| !is_optional(name)).collect();
    let wanted = words(SETTINGS);
    let common = if Kind::under_test() == Kind::Larder { wanted.len().min(given.len()) } else { given.len() };
    assert_eq!(given[..common], wanted);
}

#[test]
fn settings_show_the_options() {
    let server = start!(&[
        "-m", "100", "-t", "2", "-c", "200", "-C", "-F", "-M", "-I", "2m", "-f", "1.5", "-n", "64", "-R",
        "7", "-b", "99"
    ]);
    let settings: HashMap<_, _> = server.client().stats("stats settings").into_iter().collect();
    let rows = [
        ("maxbytes", "104857600"),
        ("maxconns", "200"),
        ("num_threads", "2"),
        ("cas_enabled", "no"),
        ("flush_enabled", "no"),
        ("evictions", "off"),
        ("item_size_max", "2097152"),
        ("growth_factor", "1.50"),
        ("chunk_size", "64"),
        ("reqs_per_event", "7"),
        ("tcp_backlog", "99"),
        ("inter", "127.0.0.1"),
        ("udpport", "0"),
        ("domain_socket", "NULL"),
        ("umask", "700"),
        ("maxconns_fast", "yes"),
        ("slab_chunk_max", "524288"),
        ("detail_enabled", "no"),
        ("stat_key_prefix", ":"),
        ("dump_enabled", "yes"),
        ("lru_segmented", "yes"),
        ("hot_lru_pct", "20"),
        ("warm_lru_pct", "40"),
        ("hot_max_factor", "0.20"),
        ("idle_timeout", "0"),
        ("shutdown_command", "no"),
        ("auth_enabled_ascii", "no"),
    ];
    for (name, value) in rows {
        assert_eq!(settings.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[test]
fn items_lists_the_names_of_each_class_that_holds_items() {
    let server = start!();
    let mut client = server.client();
    client.expect("stats items\r\n", "END\r\n");
    client.expect(
        format!("set a 0 0 1\r\n1\r\nset b 0 0 50000\r\n{}\r\n", fill(b'x', 50_000)),
        "STORED\r\nSTORED\r\n",
    );
    let stats = client.stats("stats items");
    let classes: Vec<_> = stats.iter().map(|(name, _)| name.split(':').nth(1).unwrap()).collect();
    let mut distinct = classes.clone();
    distinct.dedup();
    assert_eq!(distinct.len(), 2, "{distinct:?}");
    for class in distinct {
        let prefix = format!("items:{class}:");
        let given: Vec<_> = stats.iter().filter_map(|(name, _)| name.strip_prefix(&prefix)).collect();
        let own = if Kind::under_test() == Kind::Larder { ITEMS_OWN.to_vec() } else { Vec::new() };
        assert_eq!(given, [words(ITEMS), own].concat());
    }
}

#[test]
fn items_counts_items_and_their_bytes() {
    let server = start!();
    let mut client = server.client();
    client.expect("set a 0 0 1\r\n1\r\nset b 0 0 1\r\n1\r\n", "STORED\r\nSTORED\r\n");
    let stats: HashMap<_, _> = client.stats("stats items").into_iter().collect();
    assert_eq!(stats["items:1:number"], "2");
    assert_eq!(stats["items:1:mem_requested"].parse::<u64>().unwrap(), client.stat("bytes"));
    client.expect("delete a\r\ndelete b\r\n", "DELETED\r\nDELETED\r\n");
    client.expect("stats items\r\n", "END\r\n");
}

#[test]
fn slabs_lists_the_names_of_each_class_with_pages() {
    let server = start!();
    let mut client = server.client();
    client.expect(
        "set a 0 0 1\r\n1\r\nset b 0 0 1\r\n1\r\nget a\r\n",
        "STORED\r\nSTORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n",
    );
    let stats = client.stats("stats slabs");
    let given: Vec<_> = stats.iter().filter_map(|(name, _)| name.strip_prefix("1:")).collect();
    assert_eq!(given, words(SLABS));
    let last: Vec<_> = stats.iter().rev().take(2).map(|(name, _)| name.as_str()).collect();
    assert_eq!(last, ["total_malloced", "active_slabs"]);
    let stats: HashMap<_, _> = stats.into_iter().collect();
    for (name, value) in
        [("1:used_chunks", "2"), ("1:cmd_set", "2"), ("1:get_hits", "1"), ("1:free_chunks_end", "0")]
    {
        assert_eq!(stats[name], value, "{name}");
    }
    let number = |name: &str| stats[name].parse::<u64>().unwrap();
    assert_eq!(number("1:total_chunks"), number("1:used_chunks") + number("1:free_chunks"));
    assert_eq!(number("1:total_chunks"), number("1:total_pages") * number("1:chunks_per_page"));
}

#[test]
fn retrieval_counters() {
    let server = start!();
    let mut client = server.client();
    client.expect("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    expect_counts(
        &mut client,
        "get a\r\nget a a x\r\ngets x\r\n",
        &[("cmd_get", 5), ("get_hits", 3), ("get_misses", 2), ("cmd_touch", 0)],
    );
}

#[test]
fn gat_counts_as_a_touch_and_not_as_a_get() {
    let server = start!();
    let mut client = server.client();
    client.expect("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    expect_counts(
        &mut client,
        "gat 0 a x\r\ngats 0 a\r\n",
        &[("cmd_touch", 3), ("touch_hits", 2), ("touch_misses", 1), ("cmd_get", 0)],
    );
}

#[test]
fn storage_counters() {
    let server = start!();
    let mut client = server.client();
    expect_counts(
        &mut client,
        "set a 0 0 1\r\n1\r\nadd a 0 0 1\r\n1\r\nreplace x 0 0 1\r\n1\r\nappend a 0 0 1\r\n1\r\nset a x 0 1\r\n1\r\nset a 0 0\r\n",
        &[("cmd_set", 4), ("curr_items", 1), ("total_items", 2)],
    );
}

#[test]
fn cas_counters() {
    let server = start!();
    let mut client = server.client();
    client.expect("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    let unique = crate::storage::unique_of(&mut client, "a");
    expect_counts(
        &mut client,
        format!(
            "cas a 0 0 1 {unique}\r\n2\r\ncas a 0 0 1 {unique}\r\n3\r\ncas a 0 0 1 {unique}\r\n3\r\ncas x 0 0 1 1\r\n1\r\n"
        ),
        &[("cas_hits", 1), ("cas_badval", 2), ("cas_misses", 1), ("cmd_set", 4)],
    );
}

#[test]
fn counters_of_commands_that_name_one_key() {
    let server = start!();
    let mut client = server.client();
    let rows: [(&str, &[(&str, u64)]); 6] = [
        ("incr n 1\r\nincr n 1\r\nincr x 1\r\n", &[("incr_hits", 2), ("incr_misses", 1), ("decr_hits", 0)]),
        ("decr n 1\r\ndecr x 1\r\ndecr x 1\r\n", &[("decr_hits", 1), ("decr_misses", 2), ("incr_hits", 0)]),
        ("touch n 0\r\ntouch x 0\r\n", &[("cmd_touch", 2), ("touch_hits", 1), ("touch_misses", 1)]),
        ("incr n x\r\nincr n\r\n", &[("incr_hits", 0), ("incr_misses", 0)]),
        (
            "delete n\r\ndelete n\r\ndelete x\r\n",
            &[("delete_hits", 1), ("delete_misses", 2), ("curr_items", 0)],
        ),
        ("flush_all\r\nflush_all 0\r\nflush_all noreply\r\n", &[("cmd_flush", 3)]),
    ];
    for (commands, counts) in rows {
        if !commands.contains("delete") {
            client.expect("set n 0 0 1\r\n5\r\n", "STORED\r\n");
        }
        expect_counts(&mut client, commands, if commands.contains("delete") { &counts[..2] } else { counts });
    }
}

#[test]
fn refused_sizes_are_counted() {
    let server = start!();
    let mut client = server.client();
    let large = fill(b'x', 1_048_577);
    let before = client.stat("store_too_large");
    client.expect(format!("set k 0 0 1048577\r\n{large}\r\n"), "SERVER_ERROR object too large for cache\r\n");
    assert_eq!(client.stat("store_too_large"), before + 1);
}

#[test]
fn expired_items_that_are_met_are_counted() {
    let server = start!();
    let mut client = server.client();
    expect_counts(
        &mut client,
        "set k 0 -1 1\r\n1\r\nget k\r\n",
        &[("get_expired", 1), ("get_misses", 1), ("get_hits", 0)],
    );
}

/// Key, flags, size of the value and memcached's size of the item: header 48 with 8 for the unique, key and 1,
/// 4 for flags if there are any, value and 2.
const ITEM_SIZES: [(&str, u32, usize, u64); 4] =
    [("k", 0, 1, 61), ("k", 7, 1, 65), ("key:with:some:length", 0, 100, 179), ("k", 0, 100_000, 100_060)];

#[test]
fn bytes_are_the_sum_of_memcacheds_item_sizes() {
    let server = start!();
    let mut client = server.client();
    for (key, flags, size, bytes) in ITEM_SIZES {
        let set = format!("set {key} {flags} 0 {size}\r\n{}\r\n", fill(b'x', size));
        expect_counts(&mut client, set, &[("bytes", bytes), ("curr_items", 1)]);
        client.expect(format!("delete {key}\r\n"), "DELETED\r\n");
    }
}

#[test]
fn bytes_lie_between_keys_with_values_and_memcacheds_item_sizes() {
    let server = start!();
    let mut client = server.client();
    for (key, flags, size, most) in ITEM_SIZES {
        client.expect(format!("set {key} {flags} 0 {size}\r\n{}\r\n", fill(b'x', size)), "STORED\r\n");
        let bytes = client.stat("bytes");
        let least = (key.len() + size) as u64;
        assert!((least..=most).contains(&bytes), "{bytes} bytes for {key} with {size}");
        client.expect(format!("delete {key}\r\n"), "DELETED\r\n");
        assert_eq!(client.stat("bytes"), 0);
    }
}

#[test]
fn bytes_follow_replaced_and_grown_values() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 10\r\n0123456789\r\n", "STORED\r\n");
    expect_counts(
        &mut client,
        "append k 0 0 5\r\nabcde\r\n",
        &[("bytes", 5), ("curr_items", 0), ("total_items", 1)],
    );
    expect_counts(
        &mut client,
        "set k 0 0 115\r\n{}\r\n".replace("{}", &fill(b'x', 115)),
        &[("bytes", 100), ("curr_items", 0)],
    );
}

#[test]
fn connections_and_traffic_are_counted() {
    let server = start!();
    let mut client = server.client();
    let (total, current) = (client.stat("total_connections"), client.stat("curr_connections"));
    let others: Vec<_> = (0..5).map(|_| server.client()).collect();
    wait_until("connections are counted", || client.stat("curr_connections") == current + 5);
    assert_eq!(client.stat("total_connections"), total + 5);
    drop(others);
    wait_until("closed connections are counted", || client.stat("curr_connections") == current);
    let (read, written) = (client.stat("bytes_read"), client.stat("bytes_written"));
    let value = fill(b'x', 10_000);
    client.expect(
        format!("set k 0 0 10000\r\n{value}\r\nget k\r\n"),
        format!("STORED\r\nVALUE k 0 10000\r\n{value}\r\nEND\r\n"),
    );
    assert!(client.stat("bytes_read") >= read + 10_000);
    assert!(client.stat("bytes_written") >= written + 10_000);
}

#[test]
fn yields_are_counted() {
    let server = start!(&["-R", "1"]);
    let mut client = server.client();
    client.expect("set k 0 0 1 noreply\r\n1\r\n".repeat(6), "");
    assert!(client.stat("conn_yields") >= 5);
}

#[test]
fn reset_clears_counters_and_leaves_gauges() {
    let server = start!();
    let mut client = server.client();
    client.ask("set a 0 0 1\r\n1\r\nget a\r\nget x\r\ndelete x\r\nincr a 1\r\ntouch a 0\r\n");
    let before: HashMap<_, _> = client.stats("stats").into_iter().collect();
    client.expect("stats reset\r\n", "RESET\r\n");
    let after: HashMap<_, _> = client.stats("stats").into_iter().collect();
    for name in words(
        "cmd_get cmd_set get_hits get_misses delete_misses incr_hits touch_hits cmd_touch total_items evictions",
    ) {
        assert_eq!(after[name], "0", "{name}");
    }
    for name in words("curr_items bytes threads limit_maxbytes curr_connections max_connections pid version")
    {
        assert_eq!(after[name], before[name], "{name}");
    }
    client.expect("get a\r\n", "VALUE a 0 1\r\n2\r\nEND\r\n");
}

#[test]
fn unknown_subcommands_are_errors() {
    let server = start!();
    server.client().expect_all(&[
        ("stats x\r\n", "ERROR\r\n"),
        ("stats noreply\r\n", "ERROR\r\n"),
        ("stats itemsx\r\n", "ERROR\r\n"),
    ]);
}

#[test]
fn subcommands_may_be_abbreviated() {
    let server = start!();
    let mut client = server.client();
    client.expect("stats res\r\n", "RESET\r\n");
    assert_eq!(client.stats("stats set"), client.stats("stats settings"));
}
