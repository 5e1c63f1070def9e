//! The memory limit: more data than fits is evicted for, never refused, and the process stays near the limit.
//!
//! Counts of single items are in `stats.rs`, clients that cost memory in `hostile_clients.rs`.

use crate::client::{Client, fill};
use crate::differences::start;
use crate::server::{Server, wait_until};

/// Resident memory that the process may have beyond `-m`: code, threads, buffers, index, a page per class.
const OVERHEAD_BYTES_MAX: usize = 64 << 20;

/// Stores `count` values of `size` bytes under `prefix`; each must be answered by STORED.
#[track_caller]
fn store_many(client: &mut Client, prefix: &str, count: usize, size: usize) {
    let value = fill(b'v', size);
    let batch = (100_000 / (size + 1)).clamp(1, 500);
    for first in (0..count).step_by(batch) {
        let keys = first..count.min(first + batch);
        let replies = "STORED\r\n".repeat(keys.len());
        let sets: String = keys.map(|at| format!("set {prefix}{at} 0 0 {size}\r\n{value}\r\n")).collect();
        client.expect_so_far(sets, replies);
    }
    client.expect("", "");
}

#[track_caller]
fn expect_near(server: &Server, limit_megabytes: usize) {
    let resident = server.resident_bytes();
    assert!(
        resident < (limit_megabytes << 20) + OVERHEAD_BYTES_MAX,
        "{resident} bytes are resident with -m {limit_megabytes}"
    );
}

#[test]
fn more_data_than_fits_is_always_stored() {
    for limit in [8, 16, 64] {
        for size in [10, 1000, 15_000] {
            let server = start!(&["-m", &limit.to_string()]);
            let mut client = server.client();
            let count = ((limit << 20) * 3 / 2 / (size + 60)).min(300_000);
            store_many(&mut client, "k", count, size);
            expect_near(&server, limit);
            if count < 300_000 {
                let (evictions, items) = (client.stat("evictions"), client.stat("curr_items"));
                assert!(evictions > 0, "-m {limit}, {size} bytes");
                assert_eq!(evictions + items, count as u64, "every item is there or counted as evicted");
            }
            // The newest is there, the oldest is not.
            client.expect(
                format!("get k{}\r\n", count - 1),
                format!("VALUE k{} 0 {size}\r\n{}\r\nEND\r\n", count - 1, fill(b'v', size)),
            );
        }
    }
}

#[test]
fn large_values_beyond_the_limit_are_always_stored() {
    let server = start!(&["-m", "64"]);
    let mut client = server.client();
    for size in [100_000, 600_000, 1_000_000] {
        store_many(&mut client, "large", 150_000_000 / size, size);
        expect_near(&server, 64);
    }
    assert!(client.stat("evictions") > 0);
}

#[test]
fn another_size_finds_room_in_a_full_cache() {
    let server = start!(&["-m", "16"]);
    let mut client = server.client();
    for (prefix, size) in
        [("a", 50), ("b", 5000), ("c", 200), ("d", 100_000), ("e", 1000), ("f", 900_000), ("g", 20)]
    {
        store_many(&mut client, prefix, 40_000_000 / (size + 60), size);
        expect_near(&server, 16);
        let last = 40_000_000 / (size + 60) - 1;
        client.expect(
            format!("get {prefix}{last}\r\n"),
            format!("VALUE {prefix}{last} 0 {size}\r\n{}\r\nEND\r\n", fill(b'v', size)),
        );
    }
}

#[test]
fn another_size_is_soon_more_than_a_few_items() {
    let server = start!(&["-m", "16"]);
    let mut client = server.client();
    store_many(&mut client, "small", 200_000, 100);
    // A working set of 5 MB of another size must come to fit, after some rounds.
    wait_until("the other size has its share", || {
        store_many(&mut client, "other", 1000, 5000);
        let keys: String = (0..1000).map(|at| format!(" other{at}")).collect();
        let hits = client.ask(format!("get{keys}\r\n")).len() / 5000;
        hits >= 900
    });
}

#[test]
fn values_that_grow_and_shrink_on_a_full_cache() {
    let server = start!(&["-m", "8"]);
    let mut client = server.client();
    store_many(&mut client, "k", 20_000, 600);
    for round in 0..60 {
        let size = [10, 300_000, 2000, 700_000, 90][round % 5];
        let value = fill(b'a' + round as u8 % 26, size);
        client.expect(
            format!("set same 0 0 {size}\r\n{value}\r\nget same\r\n"),
            format!("STORED\r\nVALUE same 0 {size}\r\n{value}\r\nEND\r\n"),
        );
    }
    expect_near(&server, 8);
}

#[test]
fn what_is_read_often_survives_what_is_only_written() {
    let server = start!(&["-m", "16"]);
    let mut client = server.client();
    let hot: String = (0..100).map(|at| format!(" hot{at}")).collect();
    store_many(&mut client, "hot", 100, 1000);
    for round in 0..40 {
        client.ask(format!("get{hot}\r\n"));
        client.ask(format!("get{hot}\r\n"));
        store_many(&mut client, &format!("cold{round}:"), 1000, 1000);
    }
    let hits = client.ask(format!("get{hot}\r\n")).len() / 1000;
    assert!(client.stat("evictions") > 0);
    assert!(hits >= 90, "{hits} of 100 hot items are left");
}

#[test]
fn without_evictions_a_full_cache_says_so_and_keeps_what_it_has() {
    let server = start!(&["-m", "8", "-M"]);
    let mut client = server.client();
    let value = fill(b'v', 10_000);
    let mut stored = 0;
    loop {
        match client.ask_text(format!("set k{stored} 0 0 10000\r\n{value}\r\n")).as_str() {
            "STORED\r\n" => stored += 1,
            "SERVER_ERROR out of memory storing object\r\n" => break,
            other => panic!("set answers {other:?}"),
        }
        assert!(stored < 2000, "20 MB fit into 8");
    }
    assert!(stored > 300, "only {stored} values of 10 KB fit into 8 MB");
    assert_eq!((client.stat("evictions"), client.stat("curr_items")), (0, stored));
    assert!(client.stat("store_no_memory") > 0);
    for at in [0, stored / 2, stored - 1] {
        client.expect(format!("get k{at}\r\n"), format!("VALUE k{at} 0 10000\r\n{value}\r\nEND\r\n"));
    }
    client.expect("delete k0\r\n", "DELETED\r\n");
    client.expect(format!("set again 0 0 10000\r\n{value}\r\n"), "STORED\r\n");
}

#[test]
fn memory_that_a_flush_frees_is_used_again_without_evictions() {
    let server = start!(&["-m", "16"]);
    let mut client = server.client();
    for _ in 0..5 {
        store_many(&mut client, "k", 8000, 1000);
        client.expect("flush_all\r\n", "OK\r\n");
    }
    assert_eq!(client.stat("evictions"), 0);
    expect_near(&server, 16);
}
