//! `Settings`: what the daemon was told to be, checked as a whole.
//!
//! Owns the defaults and the rules that tie several options together. Knows neither how options
//! are spelled (`options.rs`) nor where they came from; opens no file or socket.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

use super::listen::Interface;
use super::options;
use super::tls::{Security, TlsSettings};

/// Port of the protocol, for every interface that names none of its own.
const PORT_DEFAULT: u16 = 11211;
/// Worker threads when `-t` is not given and the machine has that many cores.
const THREADS_DEFAULT: usize = 4;
/// Worker threads beyond which memcached warns: more of them only get in each other's way.
pub(super) const THREADS_WARNING: usize = 64;
/// Share of memory that the HOT and WARM segments may take together, in per cent.
pub(super) const HOT_AND_WARM_PCT_MAX: u32 = 80;

/// What `-p` or `-U` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Port {
    /// 0: no TCP, or no UDP, at all.
    #[default]
    Off,
    /// -1: any free port, chosen by the system.
    Ephemeral,
    /// This port.
    Fixed(u16),
}

impl Port {
    /// The port to bind, 0 to leave the choice to the system; `None` if there is to be none.
    fn number(self) -> Option<u16> {
        match self {
            Port::Off => None,
            Port::Ephemeral => Some(0),
            Port::Fixed(port) => Some(port),
        }
    }

    /// As `stats settings` shows it.
    pub(super) fn row(self) -> String {
        match self {
            Port::Off => "0".to_owned(),
            Port::Ephemeral => "-1".to_owned(),
            Port::Fixed(port) => port.to_string(),
        }
    }
}

/// One place to listen for TCP connections, or for datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// Name or address, without brackets; `None` is the wildcard of IPv4 and IPv6 both.
    pub host: Option<String>,
    /// Port; 0 leaves the choice to the system.
    pub port: u16,
    /// Under what name `stats tags` counts its clients, if it has one.
    pub tag: Option<String>,
    /// Whether TLS is spoken there. Never with datagrams.
    pub security: Security,
}

impl ListenAddress {
    /// Whether something holds for it that does not hold for every address: a tag, or other security than `-Z` asks
    /// for.
    pub fn is_particular(&self, with_tls: bool) -> bool {
        let usual = if with_tls { Security::Tls } else { Security::Plain };
        self.tag.is_some() || self.security != usual
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host.as_deref().unwrap_or("*"), self.port)
    }
}

/// Which bytes a connection may open with, as `-B` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingProtocol {
    /// Shown as `auto-negotiate`; since only the text protocol is spoken, the same as `Ascii`.
    Negotiating,
    /// Text only.
    Ascii,
}

/// Hash function that `stats settings` names; larder's own index does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// jenkins
    Jenkins,
    /// murmur3, the default
    Murmur3,
    /// xxh3
    Xxh3,
}

/// Where requests may come as datagrams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Udp {
    /// `-U` as given, also when nothing listens there.
    pub port: Port,
    /// Addresses to answer on; empty without `-U`, and with `-s`.
    pub listen: Vec<ListenAddress>,
    /// They need not be loopback.
    pub is_public: bool,
}

/// By which rules items move between the segments of the LRU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LruPolicy {
    /// larder's own
    Probation,
    /// memcached's
    Classic,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level and message.
    Text,
    /// An object of JSON for each.
    Json,
}

/// Everything the command line and the config file can say, checked. Fields of options that are
/// accepted without effect are kept so that `stats settings` shows what was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Started under the name `memcached`.
    pub program_is_memcached: bool,
    /// TCP addresses to listen on; empty with `-s` or `-p 0`.
    pub listen: Vec<ListenAddress>,
    /// `-p` as given, also when nothing listens there.
    pub tcp_port: Port,
    /// UDP, off by default.
    pub udp: Udp,
    /// TLS, off by default.
    pub tls: TlsSettings,
    /// Where metrics are served over HTTP, if anywhere.
    pub metrics_listen: Option<ListenAddress>,
    /// Names by which it may be asked, in lower case; `*.NAME` for all below one, `*` for any.
    pub metrics_hosts: Vec<String>,
    /// What takes so many milliseconds is entered in the slow log; 0 for nothing.
    pub slow_log_ms: u32,
    /// Unix socket to listen on instead of TCP.
    pub unix_socket: Option<PathBuf>,
    /// Access mode of the Unix socket.
    pub unix_mask: u32,
    /// Bytes for items and their index.
    pub memory_limit_bytes: usize,
    /// Make room by evicting; otherwise a full cache refuses.
    pub evictions: bool,
    /// Clients connected at the same time, at most.
    pub max_connections: usize,
    /// Refuse surplus connections with an error line instead of leaving them in the backlog.
    pub max_connections_fast: bool,
    /// Clients of one address connected at the same time, at most; 0 for no limit.
    pub connections_per_address: usize,
    /// Seconds that a client has to log in, where it has to; 0 for no limit.
    pub login_timeout: u32,
    /// Count which keys are hot.
    pub hotkeys: bool,
    /// Hottest keys of each kind that the metrics listener shows; 0 for none.
    pub metrics_hot_keys: usize,
    /// Take from the process the system calls that serving does not need.
    pub drop_privileges: bool,
    /// Keep all memory out of swap.
    pub lock_memory: bool,
    /// How many `-v` were given.
    pub verbosity: u8,
    /// Growth from one slab class to the next; `None` when not given.
    pub slab_growth_factor: Option<f64>,
    /// Bytes for key, value and flags in the smallest chunk; `None` when not given.
    pub slab_min_size: Option<usize>,
    /// Bytes of the largest item.
    pub max_item_size: usize,
    /// Bytes of the largest single chunk.
    pub slab_chunk_max: usize,
    /// Explicit chunk sizes, ascending; empty when not given.
    pub slab_sizes: Vec<u32>,
    /// Worker threads.
    pub threads: usize,
    /// Whether `threads` was asked for or is the default.
    pub threads_given: bool,
    /// Requests served per connection before others get their turn.
    pub requests_per_event: usize,
    /// NIC queues that clients are pinned by; 0 for none.
    pub napi_ids: u32,
    /// Items carry a CAS value.
    pub cas_enabled: bool,
    /// Mark of listening TCP sockets; 0 for none.
    pub sock_cookie_id: u32,
    /// Connections the kernel queues before they are accepted.
    pub backlog: i32,
    /// `-B`, only shown.
    pub binding_protocol: BindingProtocol,
    /// Users and passwords, if clients have to log in.
    pub auth_file: Option<PathBuf>,
    /// The same with hashes and rights.
    pub users_file: Option<PathBuf>,
    /// `flush_all` is allowed.
    pub flush_enabled: bool,
    /// Commands that list keys are allowed.
    pub dump_enabled: bool,
    /// `watch` is allowed.
    pub watch_enabled: bool,
    /// `shutdown` is allowed.
    pub shutdown_enabled: bool,
    /// Ends the prefix of a key.
    pub prefix_delimiter: u8,
    /// Count by prefix from the start.
    pub detail_enabled: bool,
    /// `stats sizes` counts the items by size.
    pub track_sizes: bool,
    /// Go to the background.
    pub daemonize: bool,
    /// Allow core dumps of any size.
    pub core_dumps: bool,
    /// `-L`, without effect.
    pub large_pages: bool,
    /// User to become when started as root.
    pub user: Option<String>,
    /// File that the process id is written to.
    pub pid_file: Option<PathBuf>,
    /// File that log lines go to instead of stderr.
    pub log_file: Option<PathBuf>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The config file that was read.
    pub config_file: Option<PathBuf>,
    /// Power of two of the index's first size; 0 for the default.
    pub hash_power: u32,
    /// Only shown.
    pub hash_algorithm: HashAlgorithm,
    /// Seconds after which a leaked item is repaired; 0 for never.
    pub tail_repair_time: u32,
    /// Look for expired items.
    pub lru_crawler: bool,
    /// Microseconds between two steps of the crawler.
    pub lru_crawler_sleep: u32,
    /// Items per class in one crawl; 0 for all.
    pub lru_crawler_to_crawl: u32,
    /// Balance the LRU segments in the background.
    pub lru_maintainer: bool,
    /// HOT, WARM and COLD segments instead of one list.
    pub lru_segmented: bool,
    /// Share of memory of the HOT segment, in per cent.
    pub hot_lru_pct: u32,
    /// Share of memory of the WARM segment, in per cent.
    pub warm_lru_pct: u32,
    /// Age of the oldest HOT item, at most, against that of the oldest COLD one.
    pub hot_max_factor: f64,
    /// The same for WARM.
    pub warm_max_factor: f64,
    /// Items with a short life have a segment of their own.
    pub temp_lru: bool,
    /// Longest life in seconds for that segment; has a value even when there is none.
    pub temporary_ttl: u32,
    /// Rules of the segmented LRU.
    pub lru_policy: LruPolicy,
    /// Seconds after which a silent connection is closed; 0 for never.
    pub idle_timeout: u32,
    /// Move pages between slab classes.
    pub slab_reassign: bool,
    /// 0 off, 1 gentle, 2 a page per eviction.
    pub slab_automove: u8,
    /// Age of the youngest class against the oldest, below which a page moves.
    pub slab_automove_ratio: f64,
    /// Seconds that automove looks back.
    pub slab_automove_window: u32,
    /// Bytes of log kept per watcher.
    pub watcher_logbuf_size: usize,
    /// Bytes of log kept per worker.
    pub worker_logbuf_size: usize,
    /// Bytes that all read buffers may take; 0 for no limit.
    pub read_buf_mem_limit: usize,
    /// Worth a word at start-up, one line each.
    pub warnings: Vec<String>,
    /// Options that were given and have no effect, by name.
    pub without_effect: Vec<String>,
    /// `-l` as given, joined by commas; `None` when not given.
    pub interface_list: Option<String>,
    /// `-l`, read; `listen` is made from it.
    pub interfaces: Vec<Interface>,
}

impl Default for Settings {
    /// What a start without any argument gives.
    fn default() -> Self {
        Self::that_listen_nowhere().with_addresses()
    }
}

impl Settings {
    fn that_listen_nowhere() -> Self {
        Self {
            program_is_memcached: false,
            listen: Vec::new(),
            tcp_port: Port::Fixed(PORT_DEFAULT),
            udp: Udp::default(),
            tls: TlsSettings::default(),
            unix_socket: None,
            unix_mask: 0o700,
            memory_limit_bytes: 64 << 20,
            evictions: true,
            max_connections: 1024,
            max_connections_fast: true,
            connections_per_address: 0,
            login_timeout: 60,
            hotkeys: true,
            metrics_hot_keys: 0,
            drop_privileges: false,
            lock_memory: false,
            verbosity: 0,
            slab_growth_factor: None,
            slab_min_size: None,
            max_item_size: 1 << 20,
            slab_chunk_max: 512 << 10,
            slab_sizes: Vec::new(),
            threads: threads_default(),
            threads_given: false,
            requests_per_event: 20,
            napi_ids: 0,
            cas_enabled: true,
            sock_cookie_id: 0,
            backlog: 1024,
            binding_protocol: BindingProtocol::Negotiating,
            auth_file: None,
            users_file: None,
            flush_enabled: true,
            dump_enabled: true,
            watch_enabled: true,
            shutdown_enabled: false,
            prefix_delimiter: b':',
            detail_enabled: false,
            track_sizes: false,
            daemonize: false,
            core_dumps: false,
            large_pages: false,
            user: None,
            pid_file: None,
            log_file: None,
            log_format: LogFormat::Text,
            metrics_listen: None,
            metrics_hosts: Vec::new(),
            slow_log_ms: 10,
            config_file: None,
            hash_power: 0,
            hash_algorithm: HashAlgorithm::Murmur3,
            tail_repair_time: 0,
            lru_crawler: true,
            lru_crawler_sleep: 100,
            lru_crawler_to_crawl: 0,
            lru_maintainer: true,
            lru_segmented: true,
            hot_lru_pct: 20,
            warm_lru_pct: 40,
            hot_max_factor: 0.2,
            warm_max_factor: 2.0,
            temp_lru: false,
            temporary_ttl: 61,
            lru_policy: LruPolicy::Probation,
            idle_timeout: 0,
            slab_reassign: true,
            slab_automove: 1,
            slab_automove_ratio: 0.8,
            slab_automove_window: 10,
            watcher_logbuf_size: 256 << 10,
            worker_logbuf_size: 64 << 10,
            read_buf_mem_limit: 64 << 20,
            warnings: Vec::new(),
            without_effect: Vec::new(),
            interface_list: None,
            interfaces: Vec::new(),
        }
    }
}

impl Settings {
    /// The lines of `stats settings`, name and value, in memcached's order, and behind them those that only larder has.
    /// `verbosity` and `oldest` are as of the start; whoever knows better replaces them.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let rows = || options::table().flat_map(|spec| spec.rows.iter().flatten());
        let ordered = rows().filter(|row| !row.is_own).chain(rows().filter(|row| row.is_own));
        ordered.map(|row| (row.name, (row.show)(self))).collect()
    }

    fn with_addresses(mut self) -> Self {
        self.resolve_listen();
        self
    }

    /// Turns `-p`, `-U`, `-l` and `-s` into the lists of addresses. Loopback unless told otherwise:
    /// a cache without a password must not be open to the network by accident.
    pub(super) fn resolve_listen(&mut self) {
        self.listen = self.addresses(self.tcp_port);
        self.udp.listen = self.addresses(self.udp.port);
    }

    fn addresses(&self, port: Port) -> Vec<ListenAddress> {
        match port.number() {
            Some(port) if self.unix_socket.is_none() => {
                if self.interfaces.is_empty() {
                    let host = Some("127.0.0.1".to_owned());
                    let security = if self.tls.enabled { Security::Tls } else { Security::Plain };
                    vec![ListenAddress { host, port, tag: None, security }]
                } else {
                    let with_tls = self.tls.enabled;
                    self.interfaces.iter().map(|i| i.listen_address(port, with_tls)).collect()
                }
            }
            _ => Vec::new(),
        }
    }

    /// Whether `-l` says of an address what does not hold for every one, be it listened on or not.
    pub fn tells_addresses_apart(&self) -> bool {
        self.interfaces.iter().any(|interface| interface.is_particular(self.tls.enabled))
    }

    /// An address of UDP that is not loopback and may not be used therefore, as far as the spelling tells.
    /// What a name stands for is seen when it is bound.
    pub(super) fn public_udp_address(&self) -> Option<&str> {
        if self.udp.is_public {
            return None;
        }
        self.udp.listen.iter().find_map(|address| match &address.host {
            None => Some("*"),
            Some(host) => host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback()).then_some(host.as_str()),
        })
    }

    /// Sockets, and so workers, for each UDP address. As in memcached several addresses have one each.
    pub fn udp_sockets_per_address(&self) -> usize {
        if self.interfaces.len() > 1 { 1 } else { self.threads }
    }

    /// Row `inter`: `NULL` only where no address is bound, since the default is loopback here.
    pub(super) fn interface_row(&self) -> String {
        match &self.interface_list {
            Some(list) => list.clone(),
            None if self.listen.is_empty() && self.udp.listen.is_empty() => "NULL".to_owned(),
            None => "127.0.0.1".to_owned(),
        }
    }
}

/// `THREADS_DEFAULT`, or less on a machine with fewer cores.
fn threads_default() -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    THREADS_DEFAULT.min(cores)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::{Action, load};
    use super::*;

    /// What memcached 1.6.45 answers without arguments, built with TLS and without proxy and extstore.
    const MEMCACHED: &str = "maxbytes 67108864
maxconns 1024
tcpport 11211
udpport 0
inter NULL
verbosity 0
oldest 0
evictions on
domain_socket NULL
umask 700
shutdown_command no
growth_factor 1.25
chunk_size 48
num_threads 4
num_threads_per_udp 4
stat_key_prefix :
detail_enabled no
reqs_per_event 20
cas_enabled yes
tcp_backlog 1024
binding_protocol auto-negotiate
auth_enabled_sasl no
auth_enabled_ascii no
item_size_max 1048576
maxconns_fast yes
hashpower_init 0
slab_reassign yes
slab_automove 1
slab_automove_ratio 0.80
slab_automove_window 10
slab_chunk_max 524288
lru_crawler yes
lru_crawler_sleep 100
lru_crawler_tocrawl 0
tail_repair_time 0
flush_enabled yes
dump_enabled yes
hash_algorithm murmur3
lru_maintainer_thread yes
lru_segmented yes
hot_lru_pct 20
warm_lru_pct 40
hot_max_factor 0.20
warm_max_factor 2.00
temp_lru no
temporary_ttl 61
idle_timeout 0
watcher_logbuf_size 262144
worker_logbuf_size 65536
read_buf_mem_limit 67108864
track_sizes no
inline_ascii_response no
ssl_enabled no
ssl_chain_cert (null)
ssl_key (null)
ssl_verify_mode 0
ssl_keyformat 1
ssl_ciphers NULL
ssl_ca_cert NULL
ssl_wbuf_size 16384
ssl_session_cache no
ssl_kernel_tls no
ssl_min_version tlsv1.2
num_napi_ids 0
memory_file (null)
client_flags_size 4";

    /// What only larder has comes last.
    const OWN: &str = "
slab_classes own
users_file no
lru_policy probation
udp_public no
conns_per_address 0
login_timeout 60
hotkeys yes
metrics_hot_keys 0
metrics_listen no
slow_log_ms 10";

    /// Rows that this command line changes, against a start with `-t 4` only.
    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let read = |line: &str| match load("larder", line.split_whitespace().map(OsString::from).collect()) {
            Ok(Action::Run(settings)) => settings.rows(),
            other => panic!("{line}: {other:?}"),
        };
        let before = read("-t 4");
        let changed: Vec<String> = read(&format!("-t 4 {line}"))
            .into_iter()
            .zip(before)
            .filter(|(now, then)| now != then)
            .map(|((name, value), _)| format!("{name} {value}"))
            .collect();
        assert_eq!(changed, expected, "{line}");
    }

    #[test]
    fn rows_are_memcacheds_but_for_the_loopback_default() {
        let settings = Settings { threads: 4, ..Settings::default() };
        assert_eq!(MEMCACHED.lines().count(), 66);
        let rows: Vec<String> =
            settings.rows().iter().map(|(name, value)| format!("{name} {value}")).collect();
        let built_with_all = "inline_ascii_response no\ndrop_privileges no";
        let memcacheds = MEMCACHED.replace("inter NULL", "inter 127.0.0.1");
        assert_eq!(rows.join("\n"), memcacheds.replace("inline_ascii_response no", built_with_all) + OWN);
    }

    #[test]
    fn rows_show_what_was_given() {
        check("-m 100 -c 5 -M -C", &["maxbytes 104857600", "maxconns 5", "evictions off", "cas_enabled no"]);
        check("-p 0", &["tcpport 0", "inter NULL"]);
        check("-p -1 -l *", &["tcpport -1", "inter *"]);
        check("-U 5", &["tcpport 5", "udpport 5"]);
        check("-p 7 -U -1", &["tcpport 7", "udpport -1"]);
        check("-p 0 -U 5", &["tcpport 0", "udpport 5"]);
        check("-U 5 -s /tmp/x", &["tcpport 5", "udpport 5", "inter NULL", "domain_socket /tmp/x"]);
        check("-p 5 -o udp_public", &["tcpport 5", "udp_public yes"]);
        check("-l 127.0.0.1 -l [::1],b:5", &["inter 127.0.0.1,[::1],b:5", "num_threads_per_udp 1"]);
        check("-s /tmp/x -a 0777 -vv", &["inter NULL", "verbosity 2", "domain_socket /tmp/x", "umask 777"]);
        check("-f 1.075 -n 100", &["growth_factor 1.07", "chunk_size 100", "slab_classes growth_factor"]);
        check(
            "--slow-log-ms 5 -o no_hotkeys,metrics_hot_keys=3 --metrics-listen *:9150",
            &["hotkeys no", "metrics_hot_keys 3", "metrics_listen *:9150", "slow_log_ms 5"],
        );
        check("--users-file /x/y", &["binding_protocol ascii", "users_file /x/y"]);
        check("-R 7 -b 9 -B ascii", &["reqs_per_event 7", "tcp_backlog 9", "binding_protocol ascii"]);
        check("-Y /x/y", &["binding_protocol ascii", "auth_enabled_ascii /x/y"]);
        check("-I 2m -F -X", &["item_size_max 2097152", "flush_enabled no", "dump_enabled no"]);
        check("-t 6 -N 2", &["num_threads 6", "num_threads_per_udp 6", "num_napi_ids 2"]);
        check("-o hash_algorithm=xxh3,hashpower=17", &["hashpower_init 17", "hash_algorithm xxh3"]);
        check(
            "-o slab_automove_ratio=0.5,hot_max_factor=0.25",
            &["slab_automove_ratio 0.50", "hot_max_factor 0.25"],
        );
        check(
            "-o temporary_ttl=5,lru_policy=classic",
            &["temp_lru yes", "temporary_ttl 5", "lru_policy classic"],
        );
        check(
            "-o worker_logbuf_size=2,read_buf_mem_limit=8",
            &["worker_logbuf_size 2048", "read_buf_mem_limit 8388608"],
        );
        check(
            "-o no_modern",
            &[
                "maxconns_fast no",
                "slab_reassign no",
                "slab_automove 0",
                "slab_chunk_max 1048576",
                "lru_crawler no",
                "hash_algorithm jenkins",
                "lru_maintainer_thread no",
                "lru_segmented no",
            ],
        );
    }
}
