//! The figures of memory add up: general statistics, those of the slab classes and those of the items, after each of
//! the things that move memory.

use std::collections::{BTreeMap, HashMap};

use crate::client::{Client, fill};
use crate::differences::start;
use crate::server::{Kind, wait_until};

type Figures = HashMap<String, u64>;

/// What is shown at one moment.
struct Snapshot {
    general: Figures,
    /// By class and name.
    slabs: BTreeMap<String, Figures>,
    total_malloced: u64,
    items: BTreeMap<String, Figures>,
}

fn numbers(client: &mut Client, command: &str) -> Figures {
    let parsed = |(name, value): (String, String)| Some((name, value.parse().ok()?));
    client.stats(command).into_iter().filter_map(parsed).collect()
}

/// The figures called `<class>:<name>`, by class.
fn by_class(figures: &Figures) -> BTreeMap<String, Figures> {
    let mut classes: BTreeMap<String, Figures> = BTreeMap::new();
    for (name, value) in figures {
        if let Some((class, name)) = name.trim_start_matches("items:").split_once(':') {
            classes.entry(class.to_string()).or_default().insert(name.to_string(), *value);
        }
    }
    classes
}

fn total(classes: &BTreeMap<String, Figures>, name: &str) -> u64 {
    classes.values().map(|figures| figures[name]).sum()
}

impl Snapshot {
    /// Taken while nothing changes: what goes on behind the requests may still be at work.
    #[track_caller]
    fn take(client: &mut Client) -> Snapshot {
        const MOVING: [&str; 5] = ["used_bytes", "bytes", "curr_items", "index_bytes", "deadline_bytes"];
        let mut taken = None;
        wait_until("the statistics come to rest", || {
            let general = numbers(client, "stats");
            let (slabs, items) = (numbers(client, "stats slabs"), numbers(client, "stats items"));
            let after = numbers(client, "stats");
            let is_at_rest = MOVING.iter().all(|&name| general.get(name) == after.get(name));
            taken = is_at_rest.then(|| Snapshot {
                general,
                total_malloced: slabs["total_malloced"],
                slabs: by_class(&slabs),
                items: by_class(&items),
            });
            is_at_rest
        });
        taken.expect("taken")
    }

    #[track_caller]
    fn check(&self, limit: u64) {
        let general = |name: &str| self.general[name];
        assert_eq!(general("limit_maxbytes"), limit);
        assert_eq!(general("curr_items"), total(&self.items, "number"));
        assert_eq!(general("bytes"), total(&self.items, "mem_requested"));
        for (class, items) in &self.items {
            let segments = ["number_hot", "number_warm", "number_cold"].map(|name| items[name]);
            assert_eq!(items["number"], segments.iter().sum::<u64>(), "items of class {class}");
        }
        for (class, slab) in &self.slabs {
            assert_eq!(slab["total_chunks"], slab["total_pages"] * slab["chunks_per_page"], "class {class}");
            assert_eq!(slab["total_chunks"], slab["used_chunks"] + slab["free_chunks"], "class {class}");
            if let Some(items) = self.items.get(class) {
                assert!(slab["used_chunks"] >= items["number"], "class {class}");
                // What is shown as chunks of large items are their blocks, beside which each has a chunk.
                let is_large = slab["chunks_per_page"] == 1
                    && Some(&slab["chunk_size"]) == self.general.get("page_size");
                let used_bytes = slab["used_chunks"] * slab["chunk_size"];
                assert!(is_large || items["mem_requested"] <= used_bytes, "class {class}");
            }
        }
    }

    /// The sums that memcached has no figures for.
    #[track_caller]
    fn check_memory(&self) {
        let general = |name: &str| self.general[name];
        // Classes that hold no item any more are not shown.
        for name in ["evicted_unfetched", "expired_unfetched", "reclaimed", "moves_to_cold", "moves_to_warm"]
        {
            assert!(general(name) >= total(&self.items, name), "{name}");
        }
        let pages: u64 = total(&self.slabs, "total_pages");
        assert_eq!(self.total_malloced, pages * general("page_size"));
        assert!(self.total_malloced >= general("large_bytes"));
        let parts = ["index_bytes", "deadline_bytes", "ghost_bytes"].map(general);
        assert_eq!(general("used_bytes"), self.total_malloced + parts.iter().sum::<u64>());
        assert_eq!(general("hash_bytes"), general("index_bytes"));
        // Each partition keeps a page, whatever the limit.
        let allowed = general("limit_maxbytes") + general("partitions") * general("page_size");
        assert!(general("used_bytes") <= allowed, "{} of {allowed} bytes", general("used_bytes"));
        let pool = general("slab_global_page_pool") * general("page_size");
        assert!(general("used_bytes") + pool <= allowed, "{pool} bytes in the pool");
    }
}

#[track_caller]
fn check(client: &mut Client, limit_megabytes: u64) -> Snapshot {
    let snapshot = Snapshot::take(client);
    snapshot.check(limit_megabytes << 20);
    if Kind::under_test() == Kind::Larder {
        snapshot.check_memory();
    }
    snapshot
}

fn store_many(client: &mut Client, prefix: &str, exptime: u32, sizes: &[usize], count: usize) {
    for first in (0..count).step_by(100) {
        let sets: String = (first..first + 100)
            .map(|at| {
                let size = sizes[at % sizes.len()];
                format!("set {prefix}{at} 0 {exptime} {size}\r\n{}\r\n", fill(b'v', size))
            })
            .collect();
        client.expect_so_far(sets, "STORED\r\n".repeat(100));
    }
    client.expect("", "");
}

#[test]
fn the_figures_of_memory_add_up() {
    let server = start!(&["-m", "16"]);
    let mut client = server.client();
    check(&mut client, 16);
    store_many(&mut client, "small", 0, &[10, 50, 200, 700], 20_000);
    check(&mut client, 16);
    store_many(&mut client, "mixed", 3000, &[5, 90, 1500, 9000, 60_000], 2000);
    let full = check(&mut client, 16);
    assert!(full.general["evictions"] > 0);
    assert_eq!(full.general["evictions"], total(&full.items, "evicted"));
    for at in (0..2000).step_by(3) {
        client.ask(format!("delete mixed{at}\r\n"));
        client.ask(format!("touch mixed{} 0\r\n", at + 1));
    }
    check(&mut client, 16);
    client.expect("flush_all\r\n", "OK\r\n");
    check(&mut client, 16);
}

#[test]
fn the_figures_add_up_after_expiry_and_at_other_limits() {
    let server = start!(&["-m", "64"]);
    let mut client = server.client();
    store_many(&mut client, "stays", 0, &[100, 2000, 30_000], 900);
    store_many(&mut client, "goes", 1, &[20, 300], 10_000);
    if Kind::under_test() == Kind::Larder {
        wait_until("what is over is taken away", || client.stat("curr_items") == 900);
    }
    check(&mut client, 64);
    for limit in [8, 32, 16] {
        client.expect(format!("cache_memlimit {limit}\r\n"), "OK\r\n");
        if Kind::under_test() == Kind::Larder {
            let is_within = |client: &mut Client| client.stat("used_bytes") <= client.stat("limit_maxbytes");
            wait_until("the smaller limit is kept", || is_within(&mut client));
        }
        store_many(&mut client, "more", 0, &[100, 900], 20_000);
        check(&mut client, limit);
    }
}
