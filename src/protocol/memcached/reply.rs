//! Every fixed reply line. No other file spells them.

pub const STORED: &[u8] = b"STORED\r\n";
pub const NOT_STORED: &[u8] = b"NOT_STORED\r\n";
pub const EXISTS: &[u8] = b"EXISTS\r\n";
pub const NOT_FOUND: &[u8] = b"NOT_FOUND\r\n";
pub const DELETED: &[u8] = b"DELETED\r\n";
pub const TOUCHED: &[u8] = b"TOUCHED\r\n";
pub const OK: &[u8] = b"OK\r\n";
pub const END: &[u8] = b"END\r\n";
pub const RESET: &[u8] = b"RESET\r\n";
pub const META_MISS: &[u8] = b"EN\r\n";
/// There is no item for debugitem.
pub const MISS: &[u8] = b"MISS\r\n";
pub const META_NOOP: &[u8] = b"MN\r\n";
/// Ends a list of keys in the form of meta commands.
pub const META_END: &[u8] = b"EN\r\n";
/// The version of memcached that larder stands in for: clients choose features by it.
pub const VERSION: &[u8] = b"VERSION 1.6.45\r\n";
pub const LINE_END: &[u8] = b"\r\n";

/// No such command.
pub const ERROR: &[u8] = b"ERROR\r\n";
pub const BAD_FORMAT: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
pub const BAD_DATA_CHUNK: &[u8] = b"CLIENT_ERROR bad data chunk\r\n";
pub const BAD_DELTA: &[u8] = b"CLIENT_ERROR invalid numeric delta argument\r\n";
pub const NON_NUMERIC: &[u8] = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
pub const BAD_EXPTIME: &[u8] = b"CLIENT_ERROR invalid exptime argument\r\n";
pub const FLUSH_NOT_ALLOWED: &[u8] = b"CLIENT_ERROR flush_all not allowed\r\n";
pub const BAD_COMMAND_LINE: &[u8] = b"CLIENT_ERROR bad command line\r\n";
pub const BAD_CLASS: &[u8] = b"CLIENT_ERROR Illegal slab id\r\n";
pub const CACHEDUMP_NOT_ALLOWED: &[u8] = b"CLIENT_ERROR stats cachedump not allowed\r\n";
pub const PERCENTS_TOO_HIGH: &[u8] = b"ERROR hot and warm pcts must not exceed 80\r\n";
pub const FACTORS_TOO_LOW: &[u8] = b"ERROR hot/warm age factors must be greater than 0\r\n";
pub const REASSIGN_DISABLED: &[u8] = b"CLIENT_ERROR slab reassignment disabled\r\n";
pub const REASSIGN_BAD_CLASS: &[u8] = b"BADCLASS invalid src or dst class id\r\n";
pub const REASSIGN_NO_SPARE: &[u8] = b"NOSPARE source class has no spare pages\r\n";
pub const REASSIGN_SAME: &[u8] = b"SAME src and dst class are identical\r\n";
pub const BAD_WINDOW: &[u8] = b"CLIENT_ERROR automove window too low or too high\r\n";
pub const CRAWLER_DISABLED: &[u8] = b"CLIENT_ERROR lru crawler disabled\r\n";
pub const CRAWLER_RUNS: &[u8] = b"ERROR failed to start lru crawler thread\r\n";
pub const BAD_CRAWLER_SLEEP: &[u8] = b"CLIENT_ERROR sleep must be one second or less\r\n";
pub const CRAWL_BAD_CLASS: &[u8] = b"BADCLASS invalid class id\r\n";
pub const UNKNOWN_ERROR: &[u8] = b"ERROR an unknown error happened\r\n";
pub const METADUMP_NOT_ALLOWED: &[u8] = b"ERROR metadump not allowed\r\n";
pub const METADUMP_NOT_FIRST: &[u8] = b"ERROR cannot pipeline other commands before metadump\r\n";
pub const MGDUMP_NOT_ALLOWED: &[u8] = b"ERROR key dump not allowed\r\n";
pub const MGDUMP_NOT_FIRST: &[u8] = b"ERROR cannot pipeline other commands before mgdump\r\n";
pub const FLUSH_PREFIX_NOT_ALLOWED: &[u8] = b"CLIENT_ERROR flush_prefix not allowed\r\n";
pub const HOT_KEYS_NOT_ALLOWED: &[u8] = b"CLIENT_ERROR stats hotkeys not allowed\r\n";
pub const DETAIL_NOT_ALLOWED: &[u8] = b"CLIENT_ERROR stats detail not allowed\r\n";
pub const DETAIL_USAGE: &[u8] = b"CLIENT_ERROR usage: stats detail on|off|dump\r\n";
pub const WATCH_NOT_ALLOWED: &[u8] = b"CLIENT_ERROR watch commands not allowed\r\n";
pub const WATCH_NOT_FIRST: &[u8] = b"ERROR cannot pipeline other commands before watch\r\n";
pub const TOO_MANY_WATCHERS: &[u8] = b"WATCHER_TOO_MANY log watcher limit reached\r\n";
pub const BAD_SHUTDOWN_MODE: &[u8] = b"CLIENT_ERROR invalid shutdown mode\r\n";
pub const NO_TLS: &[u8] = b"Error TLS not enabled\r\n";
pub const MEMLIMIT_TOO_SMALL: &[u8] = b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n";
pub const MEMLIMIT_NOT_MEGABYTES: &[u8] = b"MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n";
pub const SHUTDOWN_NOT_ENABLED: &[u8] = b"SERVER_ERROR: shutdown not enabled\r\n";
pub const MEMLIMIT_OUT_OF_BOUNDS: &[u8] = b"MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n";
pub const TOO_LARGE: &[u8] = b"SERVER_ERROR object too large for cache\r\n";
pub const NO_MEMORY_TO_STORE: &[u8] = b"SERVER_ERROR out of memory storing object\r\n";
pub const NO_MEMORY_TO_READ: &[u8] = b"SERVER_ERROR Out of memory during read\r\n";
pub const NO_MEMORY: &[u8] = b"SERVER_ERROR out of memory\r\n";
pub const NO_MEMORY_TO_CREATE: &[u8] = b"SERVER_ERROR Out of memory allocating new item\r\n";
pub const INVALID_FLAG: &[u8] = b"CLIENT_ERROR invalid flag\r\n";
pub const DUPLICATE_FLAG: &[u8] = b"CLIENT_ERROR duplicate flag\r\n";
pub const TOO_MANY_FLAGS: &[u8] = b"CLIENT_ERROR options flags are too long\r\n";
pub const BAD_TOKEN: &[u8] = b"CLIENT_ERROR bad token in command line format\r\n";
pub const BAD_BASE64: &[u8] = b"CLIENT_ERROR error decoding key\r\n";
pub const OPAQUE_TOO_LONG: &[u8] = b"CLIENT_ERROR opaque token too long\r\n";
pub const BAD_SET_MODE: &[u8] = b"CLIENT_ERROR invalid mode for ms M token\r\n";
pub const BAD_ARITHMETIC_MODE: &[u8] = b"CLIENT_ERROR invalid mode for ma M token\r\n";
/// To an ma whose flags are wrong in any way.
pub const BAD_ARITHMETIC_FLAGS: &[u8] = b"CLIENT_ERROR invalid or duplicate flag\r\n";
/// To whatever a client sends that has to log in, but for what logs it in.
pub const UNAUTHENTICATED: &[u8] = b"CLIENT_ERROR unauthenticated\r\n";
pub const TOKEN_TOO_LONG: &[u8] = b"CLIENT_ERROR auth token too long\r\n";
pub const BAD_TOKEN_END: &[u8] = b"CLIENT_ERROR bad command line termination\r\n";
pub const BAD_TOKEN_FORMAT: &[u8] = b"CLIENT_ERROR bad authentication token format\r\n";
pub const LOGIN_FAILED: &[u8] = b"CLIENT_ERROR authentication failure\r\n";
/// To a login with a hash to compare, while too many wait for that.
pub const TOO_MANY_LOGINS: &[u8] = b"SERVER_ERROR too many logins at once\r\n";
/// To a command that is not for this user, or a key that is not.
pub const NOT_PERMITTED: &[u8] = b"CLIENT_ERROR not permitted\r\n";
/// To a command that takes long or many turns, in a datagram.
pub const NOT_OVER_UDP: &[u8] = b"CLIENT_ERROR not available over UDP\r\n";
/// In place of a reply that is longer than datagrams may carry.
pub const TOO_LONG_FOR_UDP: &[u8] = b"SERVER_ERROR reply too long for UDP\r\n";
/// To a client beyond the connection limit, which is then closed.
pub const TOO_MANY_CONNECTIONS: &[u8] = b"ERROR Too many open connections\r\n";
