//! The table's second half: everything that `-o` takes, the options whose rows in `stats settings` stand among or behind
//! those, and what is printed in place of a start.
//!
//! Same shape and rules as `options.rs`.

use super::error::Problem;
use super::listen;
use super::options::{Effect, Group, OptionSpec, Printed, Support, path, yes_no};
use super::settings::{HashAlgorithm, LruPolicy, Settings};
use super::tls;
use super::values::{INT_MAX, above, expected, number, ratio, scaled, set, slab_sizes};

/// Seconds, microseconds and counts that memcached keeps in 32 bits.
const U32_MAX: u64 = u32::MAX as u64;
/// Each key that is ever among the hottest is a time series of its own where metrics are collected.
const METRICS_HOT_KEYS_MAX: u64 = 50;
/// An hour: nothing takes longer.
const SLOW_LOG_MS_MAX: u64 = 3_600_000;

const fn real(name: &'static str, effect: Effect) -> OptionSpec {
    OptionSpec::new(name, Group::Extended, Support::Real, effect)
}

const fn accepted(name: &'static str, effect: Effect) -> OptionSpec {
    OptionSpec::new(name, Group::Extended, Support::Accepted, effect)
}

const fn refused(name: &'static str, value: &'static str, why: &'static str) -> OptionSpec {
    OptionSpec::refused(name, Group::Extended).value(value, "").because(why)
}

/// Of extstore.
const fn flash(name: &'static str, value: &'static str) -> OptionSpec {
    refused(name, value, "items are kept in memory alone: leave it out")
}

const fn proxy(name: &'static str, value: &'static str) -> OptionSpec {
    refused(name, value, "larder is no proxy: leave it out")
}

/// A path that was not given, as memcached shows most.
fn null() -> String {
    "(null)".to_owned()
}

fn hash_power(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    // memcached draws its item locks from the table, so the table may not be smaller than they are.
    settings.hash_power = match number(text, "0 or a power of two", 0..=32)? {
        power @ (0 | 12..=32) => power,
        _ => return Err(expected("0 or a power of two, 12 to 32")),
    };
    Ok(())
}

fn hash_algorithm(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    settings.hash_algorithm = match text {
        "jenkins" => HashAlgorithm::Jenkins,
        "murmur3" => HashAlgorithm::Murmur3,
        "xxh3" => HashAlgorithm::Xxh3,
        _ => return Err(expected("jenkins, murmur3 or xxh3")),
    };
    Ok(())
}

fn tail_repair_time(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    settings.tail_repair_time = match number(text, "seconds", 0..=INT_MAX)? {
        1..=9 => return Err(expected("seconds, 10 or more, or 0 for never")),
        seconds => seconds,
    };
    Ok(())
}

fn slab_automove(settings: &mut Settings, text: Option<&str>) -> Result<(), Problem> {
    settings.slab_automove = match text {
        None => 1,
        Some(text) => number(text, "a level", 0..=2)?,
    };
    Ok(())
}

fn temporary_ttl(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    settings.temporary_ttl = number(text, "seconds", 0..=INT_MAX)?;
    settings.temp_lru = true;
    Ok(())
}

fn lru_policy(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    settings.lru_policy = match text {
        "probation" => LruPolicy::Probation,
        "classic" => LruPolicy::Classic,
        _ => return Err(expected("probation or classic")),
    };
    Ok(())
}

fn slab_chunk_max(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    let kilobytes: usize = number(text, "kilobytes", 1..=1024)?;
    if !kilobytes.is_power_of_two() {
        return Err(expected("kilobytes that divide 1024 evenly"));
    }
    settings.slab_chunk_max = kilobytes << 10;
    Ok(())
}

/// The defaults of memcached 1.4, where asked for.
fn modern(settings: &mut Settings, on: bool) {
    if on {
        return;
    }
    settings.max_connections_fast = false;
    settings.slab_reassign = false;
    settings.slab_automove = 0;
    settings.slab_chunk_max = 1 << 20;
    settings.lru_crawler = false;
    settings.lru_maintainer = false;
    settings.lru_segmented = false;
    settings.hash_algorithm = HashAlgorithm::Jenkins;
}

/// Rows from `maxconns_fast` on.
pub(super) static SECOND_HALF: &[OptionSpec] = &[
    OptionSpec::new(
        "maxconns_fast",
        Group::Extended,
        Support::Real,
        Effect::Toggle(|s, on| s.max_connections_fast = on),
    )
    .on_by_default()
    .help("tell surplus clients so and close; no_maxconns_fast lets them wait")
    .row("maxconns_fast", |s| yes_no(s.max_connections_fast)),
    accepted("hashpower", Effect::Value(hash_power))
        .value("POWER", "0")
        .help("first size of the hash table")
        .row("hashpower_init", |s| s.hash_power.to_string()),
    accepted("no_hashexpand", Effect::Switch(|_| ())).help("never grow the hash table"),
    real("modern", Effect::Toggle(modern))
        .help("without effect; no_modern gives the defaults of memcached 1.4"),
    accepted("no_chunked_items", Effect::Switch(|s| s.slab_chunk_max = 1 << 20))
        .help("slab_chunk_max of 1024"),
    real("slab_reassign", Effect::Toggle(|s, on| s.slab_reassign = on))
        .on_by_default()
        .help("move pages between slab classes")
        .row("slab_reassign", |s| yes_no(s.slab_reassign)),
    real("slab_automove", Effect::OptionalValue(slab_automove))
        .value("LEVEL", "1")
        .help("when pages move by themselves, 0 to 2")
        .live()
        .row("slab_automove", |s| s.slab_automove.to_string()),
    real("no_slab_automove", Effect::Switch(|s| s.slab_automove = 0)).help("the same as slab_automove=0"),
    real("slab_automove_ratio", Effect::Value(|s, v| set(&mut s.slab_automove_ratio, ratio(v))))
        .value("RATIO", "0.8")
        .help("how much less the giver must need a page; the lower the fewer pages move")
        .live()
        .row("slab_automove_ratio", |s| format!("{:.2}", s.slab_automove_ratio)),
    real(
        "slab_automove_window",
        Effect::Value(|s, v| set(&mut s.slab_automove_window, number(v, "seconds", 3..=1800))),
    )
    .value("SECONDS", "10")
    .help("time for which a class that gave a page takes none, and the other way around")
    .live()
    .row("slab_automove_window", |s| s.slab_automove_window.to_string()),
    accepted("slab_chunk_max", Effect::Value(slab_chunk_max))
        .value("KILOBYTES", "512")
        .help("largest single chunk")
        .row("slab_chunk_max", |s| s.slab_chunk_max.to_string()),
    accepted("slab_sizes", Effect::Value(|s, v| set(&mut s.slab_sizes, slab_sizes(v))))
        .value("A-B-C", "")
        .help("explicit chunk sizes"),
    real("lru_crawler", Effect::Toggle(|s, on| s.lru_crawler = on))
        .on_by_default()
        .help("look for expired items")
        .live()
        .row("lru_crawler", |s| yes_no(s.lru_crawler)),
    real(
        "lru_crawler_sleep",
        Effect::Value(|s, v| set(&mut s.lru_crawler_sleep, number(v, "microseconds", 0..=1_000_000))),
    )
    .value("MICROSECONDS", "100")
    .help("pause between two steps of lru_crawler crawl, each of 1000 items; a millisecond at least")
    .live()
    .row("lru_crawler_sleep", |s| s.lru_crawler_sleep.to_string()),
    real(
        "lru_crawler_tocrawl",
        Effect::Value(|s, v| set(&mut s.lru_crawler_to_crawl, number(v, "items", 0..=U32_MAX))),
    )
    .value("COUNT", "0")
    .help("items of each class that lru_crawler crawl looks at; 0 for all")
    .live()
    .row("lru_crawler_tocrawl", |s| s.lru_crawler_to_crawl.to_string()),
    accepted("tail_repair_time", Effect::Value(tail_repair_time))
        .value("SECONDS", "0")
        .help("when a leaked item is repaired")
        .row("tail_repair_time", |s| s.tail_repair_time.to_string()),
    OptionSpec::new(
        "disable-flush-all",
        Group::Commands,
        Support::Real,
        Effect::Switch(|s| s.flush_enabled = false),
    )
    .short('F')
    .help("refuse flush_all")
    .row("flush_enabled", |s| yes_no(s.flush_enabled)),
    OptionSpec::new(
        "disable-dumping",
        Group::Commands,
        Support::Real,
        Effect::Switch(|s| s.dump_enabled = false),
    )
    .short('X')
    .help("refuse commands that list keys")
    .row("dump_enabled", |s| yes_no(s.dump_enabled)),
    accepted("hash_algorithm", Effect::Value(hash_algorithm))
        .value("NAME", "murmur3")
        .help("jenkins, murmur3 or xxh3")
        .row("hash_algorithm", |s| {
            match s.hash_algorithm {
                HashAlgorithm::Jenkins => "jenkins",
                HashAlgorithm::Murmur3 => "murmur3",
                HashAlgorithm::Xxh3 => "xxh3",
            }
            .to_owned()
        }),
    real(
        "lru_maintainer",
        Effect::Toggle(|s, on| {
            s.lru_maintainer = on;
            s.lru_segmented = on;
        }),
    )
    .on_by_default()
    .help("segmented LRU; no_lru_maintainer: one list, least recently used first out")
    .row("lru_maintainer_thread", |s| yes_no(s.lru_maintainer))
    .row("lru_segmented", |s| yes_no(s.lru_segmented)),
    real("hot_lru_pct", Effect::Value(|s, v| set(&mut s.hot_lru_pct, number(v, "per cent", 1..=79))))
        .value("PERCENT", "20")
        .help("share of memory of the HOT segment; with WARM at most 80")
        .live()
        .row("hot_lru_pct", |s| s.hot_lru_pct.to_string()),
    real("warm_lru_pct", Effect::Value(|s, v| set(&mut s.warm_lru_pct, number(v, "per cent", 1..=79))))
        .value("PERCENT", "40")
        .help("share of memory of the WARM segment")
        .live()
        .row("warm_lru_pct", |s| s.warm_lru_pct.to_string()),
    real("hot_max_factor", Effect::Value(|s, v| set(&mut s.hot_max_factor, above(v, 0.0))))
        .value("FACTOR", "0.2")
        .help("age of HOT items against that of COLD ones; only with lru_policy=classic")
        .live()
        .row("hot_max_factor", |s| format!("{:.2}", s.hot_max_factor)),
    real("warm_max_factor", Effect::Value(|s, v| set(&mut s.warm_max_factor, above(v, 0.0))))
        .value("FACTOR", "2.0")
        .help("age of WARM items against that of COLD ones; only with lru_policy=classic")
        .live()
        .row("warm_max_factor", |s| format!("{:.2}", s.warm_max_factor)),
    real("temporary_ttl", Effect::Value(temporary_ttl))
        .value("SECONDS", "")
        .sample("61")
        .help("a segment of their own, TEMP, for items that live so long at most")
        .row("temp_lru", |s| yes_no(s.temp_lru))
        .row("temporary_ttl", |s| s.temporary_ttl.to_string()),
    real("idle_timeout", Effect::Value(|s, v| set(&mut s.idle_timeout, number(v, "seconds", 0..=U32_MAX))))
        .value("SECONDS", "0")
        .help("close TCP connections that are silent for longer, also within a value; 0 for never")
        .live()
        .row("idle_timeout", |s| s.idle_timeout.to_string()),
    real(
        "watcher_logbuf_size",
        Effect::Value(|s, v| set(&mut s.watcher_logbuf_size, scaled(v, "kilobytes", 10, 1..=INT_MAX))),
    )
    .value("KILOBYTES", "256")
    .help("log kept per watcher")
    .row("watcher_logbuf_size", |s| s.watcher_logbuf_size.to_string()),
    accepted(
        "worker_logbuf_size",
        Effect::Value(|s, v| set(&mut s.worker_logbuf_size, scaled(v, "kilobytes", 10, 1..=INT_MAX))),
    )
    .value("KILOBYTES", "64")
    .help("log kept per worker")
    .row("worker_logbuf_size", |s| s.worker_logbuf_size.to_string()),
    real(
        "read_buf_mem_limit",
        Effect::Value(|s, v| set(&mut s.read_buf_mem_limit, scaled(v, "megabytes", 20, 0..=INT_MAX))),
    )
    .value("MEGABYTES", "64")
    .help("memory for what clients keep waiting that do not take their replies; 0 for no limit")
    .row("read_buf_mem_limit", |s| s.read_buf_mem_limit.to_string()),
    real("track_sizes", Effect::Switch(|s| s.track_sizes = true))
        .help("histogram of item sizes for stats sizes")
        .row("track_sizes", |s| yes_no(s.track_sizes)),
    accepted("inline_ascii_resp", Effect::Toggle(|_, _| ()))
        .help("without effect in memcached as well")
        .row("inline_ascii_response", |_| "no".to_owned()),
    real("drop_privileges", Effect::Toggle(|s, on| s.drop_privileges = on))
        .help("leave to the process only the system calls that serving takes")
        .row("drop_privileges", |s| yes_no(s.drop_privileges)),
    accepted("relaxed_privileges", Effect::Switch(|_| ())).help("for memcached's own test suite"),
    accepted("resp_obj_mem_limit", Effect::OptionalValue(|_, _| Ok(())))
        .value("MEGABYTES", "")
        .help("without effect in memcached as well"),
    real(
        "sock_cookie_id",
        Effect::Value(|s, v| set(&mut s.sock_cookie_id, number(v, "a mark", 1..=U32_MAX))),
    )
    .value("NUMBER", "")
    .sample("1")
    .help("mark of the listening TCP sockets (SO_MARK), for the firewall; needs CAP_NET_ADMIN"),
    accepted("slab_automove_freeratio", Effect::Value(|_, v| ratio(v).map(|_| ())))
        .value("RATIO", "")
        .help("how much memory stays free for items that go to extstore"),
    // The rows are those of memcached with TLS built in.
    real("ssl_chain_cert", Effect::Path(|s, v| path(v).map(|file| s.tls.chain_cert = Some(file))))
        .value("FILE", "")
        .sample("/etc/larder/cert.pem")
        .help("with --enable-ssl: the daemon's certificate, and those that lead to a root, PEM")
        .row("ssl_enabled", |s| yes_no(s.tls.enabled))
        .row("ssl_chain_cert", |s| tls::path_row(s.tls.chain_cert.as_ref(), "(null)")),
    real("ssl_key", Effect::Path(|s, v| path(v).map(|file| s.tls.key = Some(file))))
        .value("FILE", "")
        .sample("/etc/larder/key.pem")
        .help("with --enable-ssl: the private key of that certificate")
        .row("ssl_key", |s| tls::path_row(s.tls.key.as_ref(), "(null)")),
    real("ssl_verify_mode", Effect::Value(tls::verify_mode))
        .value("MODE", "0")
        .help("certificates of clients: 0 none, 1 asked for, 2 or 3 required; ssl_ca_cert judges them")
        .row("ssl_verify_mode", |s| s.tls.verify_mode_row()),
    real("ssl_keyformat", Effect::Value(tls::key_format))
        .value("FORMAT", "1")
        .help("how ssl_key is written: 1 for PEM, 2 for DER")
        .row("ssl_keyformat", |s| if s.tls.key_format == tls::KeyFormat::Pem { "1" } else { "2" }.to_owned()),
    real("ssl_ciphers", Effect::Value(tls::ciphers))
        .value("LIST", "")
        .sample("ECDHE-RSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256")
        .help("cipher suites to use, by name, with colons between; those of a TLS version that has none stay")
        .row("ssl_ciphers", |s| s.tls.ciphers.clone().unwrap_or("NULL".to_owned())),
    real("ssl_ca_cert", Effect::Path(|s, v| path(v).map(|file| s.tls.ca_cert = Some(file))))
        .value("FILE", "")
        .sample("/etc/larder/ca.pem")
        .help("certificates that those of clients must be issued by, PEM")
        .row("ssl_ca_cert", |s| tls::path_row(s.tls.ca_cert.as_ref(), "NULL")),
    accepted("ssl_wbuf_size", Effect::Value(tls::write_buffer_size))
        .value("KILOBYTES", "16")
        .help("buffer of each TLS connection")
        .row("ssl_wbuf_size", |s| s.tls.write_buffer_size.to_string()),
    real("ssl_session_cache", Effect::Switch(|s| s.tls.session_cache = true))
        .help("also resume sessions by their ids, which are kept, and count new ones; tickets always work")
        .row("ssl_session_cache", |s| yes_no(s.tls.session_cache)),
    accepted("ssl_kernel_tls", Effect::Switch(|s| s.tls.kernel_tls = true))
        .help("let the kernel encrypt")
        .row("ssl_kernel_tls", |s| yes_no(s.tls.kernel_tls)),
    real("ssl_min_version", Effect::Value(tls::min_version))
        .value("VERSION", "2")
        .help("oldest version of TLS: 0 to 2 for 1.2, 3 for 1.3")
        .row("ssl_min_version", |s| s.tls.min_version_row()),
    flash("ext_path", "FILE"),
    flash("ext_page_size", "MEGABYTES"),
    flash("ext_wbuf_size", "MEGABYTES"),
    flash("ext_threads", "COUNT"),
    flash("ext_io_depth", "COUNT"),
    flash("ext_item_size", "BYTES"),
    flash("ext_item_age", "SECONDS"),
    flash("ext_low_ttl", "SECONDS"),
    flash("ext_recache_rate", "COUNT"),
    flash("ext_compact_under", "COUNT"),
    flash("ext_drop_under", "COUNT"),
    flash("ext_max_sleep", "MICROSECONDS"),
    flash("ext_max_frag", "RATIO"),
    flash("ext_drop_unread", ""),
    proxy("proxy_config", "FILE"),
    proxy("proxy_arg", "TEXT"),
    proxy("proxy_uring", ""),
    proxy("proxy_memprofile", ""),
    OptionSpec::new(
        "napi-ids",
        Group::Network,
        Support::Accepted,
        Effect::Value(|s, v| set(&mut s.napi_ids, number(v, "queues", 1..=INT_MAX))),
    )
    .short('N')
    .value("COUNT", "")
    .help("network queues to spread clients by")
    .row("num_napi_ids", |s| s.napi_ids.to_string()),
    OptionSpec::refused("memory-file", Group::Memory)
        .short('e')
        .value("FILE", "")
        .help("keep items over a restart")
        .row("memory_file", |_| null())
        .row("client_flags_size", |_| "4".to_owned()),
    real("lru_policy", Effect::Value(lru_policy))
        .value("NAME", "probation")
        .help("how items move between segments: probation, or classic for memcached's rules")
        .live()
        .own_row("lru_policy", |s| {
            match s.lru_policy {
                LruPolicy::Probation => "probation",
                LruPolicy::Classic => "classic",
            }
            .to_owned()
        }),
    real("udp_public", Effect::Switch(|s| s.udp.is_public = true))
        .help("let --udp-port answer on addresses that are not loopback, and so also senders that are forged")
        .own_row("udp_public", |s| yes_no(s.udp.is_public)),
    real(
        "conns_per_address",
        Effect::Value(|s, v| set(&mut s.connections_per_address, number(v, "connections", 0..=INT_MAX))),
    )
    .value("COUNT", "0")
    .help("most clients of one address connected at the same time, over TCP; 0 for no limit of its own")
    .live()
    .own_row("conns_per_address", |s| s.connections_per_address.to_string()),
    real("login_timeout", Effect::Value(|s, v| set(&mut s.login_timeout, number(v, "seconds", 0..=U32_MAX))))
        .value("SECONDS", "60")
        .help(
            "close clients that have not logged in so long after they came, where they have to; 0 for never",
        )
        .live()
        .own_row("login_timeout", |s| s.login_timeout.to_string()),
    real("hotkeys", Effect::Toggle(|s, on| s.hotkeys = on))
        .on_by_default()
        .help("count which keys are asked for and stored most, for stats hotkeys")
        .own_row("hotkeys", |s| yes_no(s.hotkeys)),
    real(
        "metrics_hot_keys",
        Effect::Value(|s, v| set(&mut s.metrics_hot_keys, number(v, "keys", 0..=METRICS_HOT_KEYS_MAX))),
    )
    .value("COUNT", "0")
    .help("hottest keys of each kind that --metrics-listen shows to whoever asks; 0 for none")
    .own_row("metrics_hot_keys", |s| s.metrics_hot_keys.to_string()),
    OptionSpec::new(
        "metrics-listen",
        Group::Network,
        Support::Real,
        Effect::Value(|s, v| {
            s.metrics_listen = Some(listen::address_with_port(v)?);
            Ok(())
        }),
    )
    .value("ADDRESS", "")
    .sample("127.0.0.1:9150")
    .help(
        "serve HTTP at HOST:PORT: a page that shows what larder is doing at /, metrics for Prometheus at /metrics, the \
         same as JSON at /api/v1/figures.json, and /healthz and /readyz",
    )
    .own_row("metrics_listen", |s| s.metrics_listen.as_ref().map_or("no".to_owned(), ToString::to_string)),
    OptionSpec::new(
        "metrics-host",
        Group::Network,
        Support::Real,
        Effect::Value(|s, v| {
            s.metrics_hosts.extend(listen::host_names(v)?);
            Ok(())
        }),
    )
    .value("NAMES", "")
    .sample("cache.example.org,*.svc.cluster.local")
    .help(
        "names with a dot by which --metrics-listen may be asked, as in the URL of a scrape, separated by commas; *.NAME \
         for all below one, * for any, repeatable; addresses and names without a dot need none",
    ),
    OptionSpec::new(
        "slow-log-ms",
        Group::Commands,
        Support::Real,
        Effect::Value(|s, v| set(&mut s.slow_log_ms, number(v, "milliseconds", 0..=SLOW_LOG_MS_MAX))),
    )
    .value("MILLISECONDS", "10")
    .help("keep what takes so long for `stats slowlog`; 0 for nothing")
    .own_row("slow_log_ms", |s| s.slow_log_ms.to_string()),
    OptionSpec::new("config", Group::Program, Support::Real, Effect::ConfigFile)
        .value("FILE", "")
        .help("read options from this file first; the command line wins over it"),
    OptionSpec::new("help", Group::Program, Support::Real, Effect::Print(Printed::Help))
        .short('h')
        .help("print this text and exit"),
    OptionSpec::new("license", Group::Program, Support::Real, Effect::Print(Printed::Licence))
        .short('i')
        .help("print the licence and exit"),
    OptionSpec::new("version", Group::Program, Support::Real, Effect::Print(Printed::Version))
        .short('V')
        .help("print the version and exit"),
];
