//! What one command line asks for. Keys and other text borrow from the line.

use crate::store::{Automove, Direction, LruMode, StoreMode};

/// What the commands of the get family have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retrieval {
    /// gets and gats show the CAS unique.
    pub with_cas: bool,
    /// gat and gats set this exptime.
    pub exptime: Option<i32>,
}

/// A change of how the store keeps its items.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TuneOrder {
    /// lru tune
    Segments { hot_percent: u32, warm_percent: u32, hot_max_factor: f64, warm_max_factor: f64 },
    /// lru mode
    LruMode(LruMode),
    /// lru temp_ttl; `None` for no TEMP segment.
    TemporaryTtl(Option<u32>),
    /// slabs reassign, from and to; `None` if these are no numbers, which a client is told only where
    /// pages may be moved at all.
    Reassign(Option<[i32; 2]>),
    /// slabs automove
    Automove(Automove),
    /// slabs automove ratio, above 0 and at most 1
    AutomoveRatio(f64),
    /// slabs automove window, in seconds
    AutomoveWindow(u32),
}

/// The meta commands that take a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaCommand {
    /// mg
    Get,
    /// ms; the value follows the line.
    Set,
    /// md
    Delete,
    /// ma
    Arithmetic,
    /// me
    Debug,
}

/// How a dump shows an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpFormat {
    /// metadump: what is known of it.
    Metadata,
    /// mgdump: the meta command that gets it.
    Keys,
}

/// What is asked of the crawler. Slab classes are `all`, a list of numbers or, for a dump, `hash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrawlerOrder<'a> {
    Enable,
    Disable,
    /// Microseconds between two steps.
    Sleep(u32),
    /// Items for each class; 0 for all.
    ToCrawl(u32),
    Crawl {
        classes: &'a [u8],
    },
    /// A list of the items whose keys begin with `prefix`.
    Dump {
        format: DumpFormat,
        classes: &'a [u8],
        prefix: &'a [u8],
    },
}

/// What a command for tests is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugOrder<'a> {
    /// debugtime; what to do with the clock, as given.
    Time(&'a [u8]),
    /// debugitem, as given.
    Item { what: &'a [u8], key: &'a [u8] },
    /// misbehave
    Misbehave,
    /// misbehave panic
    Panic,
    /// misbehave hang
    Hang,
}

/// One command, read from its line and not yet executed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request<'a> {
    /// get, gets, gat, gats. At least one key follows `keys_at` bytes into the line.
    Retrieve {
        retrieval: Retrieval,
        keys_at: usize,
    },
    /// set, add, replace, append, prepend, cas; the value follows the line.
    Store {
        mode: StoreMode,
        key: &'a [u8],
        client_flags: u32,
        exptime: i64,
        value_bytes: usize,
        noreply: bool,
    },
    Arithmetic {
        direction: Direction,
        key: &'a [u8],
        delta: u64,
        noreply: bool,
    },
    Delete {
        key: &'a [u8],
        noreply: bool,
    },
    Touch {
        key: &'a [u8],
        exptime: i32,
        noreply: bool,
    },
    /// flush_all; `delay` as given, 0 if not.
    FlushAll {
        delay: i32,
        noreply: bool,
    },
    Version,
    Verbosity {
        level: u32,
        noreply: bool,
    },
    /// stats; what is asked for and up to two arguments, each empty if not given.
    Stats {
        what: &'a [u8],
        arguments: [&'a [u8]; 2],
    },
    CacheMemlimit {
        megabytes: u32,
        noreply: bool,
    },
    /// lru and slabs
    Tune {
        order: TuneOrder,
        noreply: bool,
    },
    /// A meta command; `arguments` is what follows its name.
    Meta {
        command: MetaCommand,
        arguments: &'a [u8],
    },
    /// lru_crawler
    Crawler {
        order: CrawlerOrder<'a>,
        noreply: bool,
    },
    /// watch, with the streams as bits; `None` if one is unknown.
    Watch {
        topics: Option<u32>,
        noreply: bool,
    },
    /// shutdown
    Shutdown {
        mode: &'a [u8],
        noreply: bool,
    },
    /// refresh_certs
    RefreshCerts {
        noreply: bool,
    },
    /// A command for tests.
    Debug {
        order: DebugOrder<'a>,
        noreply: bool,
    },
    /// flush_prefix: deletes every key that begins so.
    FlushPrefix {
        prefix: &'a [u8],
        noreply: bool,
    },
    /// mn: answers that everything before it is done.
    MetaNoop,
    Quit,
    /// Not a valid command: answer `reply`, if any, and skip `skip` bytes that follow the line.
    Refused {
        reply: Option<&'static [u8]>,
        skip: usize,
    },
    /// Not a client of ours at all: close without a word.
    Hopeless,
}
