//! lru_crawler and flush_prefix: lists of all items and deletions that stand in nobody's way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, fill};
use crate::differences::{applies, start};
use crate::server::wait_until;

/// Stores `count` items `<prefix><n>` with `bytes` bytes of value each.
fn load(client: &mut Client, prefix: &str, count: usize, bytes: usize) {
    let value = fill(b'v', bytes);
    for first in (0..count).step_by(500) {
        let numbers = first..count.min(first + 500);
        let sets: String =
            numbers.map(|n| format!("set {prefix}{n} 0 0 {bytes} noreply\r\n{value}\r\n")).collect();
        client.expect(sets, "");
    }
}

/// Everything up to a line `END`, or `EN` of a mgdump.
fn read_dump(client: &mut Client) -> String {
    let mut got = Vec::new();
    while !got.ends_with(b"END\r\n") && !got.ends_with(b"\nEN\r\n") {
        got.extend(client.read_some());
    }
    String::from_utf8(got).expect("a dump is text")
}

fn dump(client: &mut Client, command: &str) -> String {
    client.send(format!("{command}\r\n"));
    read_dump(client)
}

/// The keys of a metadump, still encoded, with how often each was listed.
fn keys(dump: &str) -> HashMap<&str, usize> {
    let mut keys = HashMap::new();
    for key in dump.lines().filter_map(|line| line.strip_prefix("key=")?.split(' ').next()) {
        *keys.entry(key).or_default() += 1;
    }
    keys
}

#[test]
fn a_metadump_tells_what_is_known_of_each_item() {
    let server = start!();
    let mut client = server.client();
    client.expect(
        "set a,b%c 7 100 1\r\n1\r\nset plain 0 0 1\r\n1\r\nset over 0 -1 1\r\n1\r\n",
        "STORED\r\n".repeat(3),
    );
    client.expect("get plain\r\n", "VALUE plain 0 1\r\n1\r\nEND\r\n");
    let now = client.stat("time");
    let unique = crate::storage::unique_of(&mut client, "plain");
    let dump = dump(&mut client, "lru_crawler metadump all");
    assert!(dump.starts_with("OK\r\nkey=") && dump.ends_with(" \nEND\r\n"), "{dump:?}");
    assert_eq!(dump.matches('\r').count(), 2, "lines of items end in LF alone: {dump:?}");
    let lines: Vec<_> = dump.lines().filter(|line| line.starts_with("key=")).collect();
    assert_eq!(lines.len(), 2, "{dump:?}");
    for line in lines {
        assert!(line.ends_with(' '), "{line:?}");
        let pairs: Vec<(&str, &str)> =
            line.split_whitespace().map(|pair| pair.split_once('=').expect("a pair")).collect();
        let names: Vec<_> = pairs.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["key", "exp", "la", "cas", "fetch", "cls", "size", "flags"]);
        let pairs: HashMap<_, _> = pairs.into_iter().collect();
        let number = |name: &str| pairs[name].parse::<u64>().unwrap_or_else(|_| panic!("{name} in {line:?}"));
        assert!(number("la").abs_diff(now) <= 2, "{line:?}, {now}");
        assert!(number("cls") > 0 && (20..100).contains(&number("size")), "{line:?}");
        if pairs["key"] == "plain" {
            assert_eq!(
                (pairs["exp"], pairs["fetch"], number("cas"), pairs["flags"]),
                ("-1", "yes", unique, "0")
            );
        } else {
            assert_eq!((pairs["key"], pairs["fetch"], pairs["flags"]), ("a%2Cb%25c", "no", "7"));
            assert!(number("exp").abs_diff(now + 100) <= 2, "{line:?}, {now}");
        }
    }
}

#[test]
fn a_mgdump_gives_commands_that_find_the_items() {
    let server = start!();
    let mut client = server.client();
    // What is shown encoded is what was given so, whatever it holds; "a key" and "plain" are.
    client.expect("set a,b%c 0 0 1\r\n1\r\nset \x01\x02key\u{ff} 0 0 1\r\n1\r\n", "STORED\r\n".repeat(2));
    client.expect("ms YSBrZXk= 1 b\r\n1\r\nms cGxhaW4= 1 b\r\n1\r\n", "HD\r\n".repeat(2));
    let of_keys = |client: &mut Client| {
        let dump = dump(client, "lru_crawler mgdump all");
        let mut lines: Vec<_> = dump.split_terminator("\r\n").map(str::to_owned).collect();
        let last = lines.len() - 1;
        lines[1..last].sort_unstable();
        lines
    };
    let wanted = ["OK", "mg \x01\x02key\u{ff}", "mg YSBrZXk= b", "mg a,b%c", "mg cGxhaW4= b", "EN"];
    assert_eq!(of_keys(&mut client), wanted);
    client.expect("mg YSBrZXk= b k v\r\nmg plain k\r\n", "VA 1 kYSBrZXk= b\r\n1\r\nHD kcGxhaW4= b\r\n");
    client.expect("set plain 0 0 1\r\n1\r\n", "STORED\r\n");
    assert!(of_keys(&mut client).contains(&"mg plain".to_owned()), "it was stored anew, and not encoded");
}

#[test]
fn a_cachedump_lists_a_class_but_for_encoded_keys() {
    let server = start!(&["-o", "no_lru_crawler,no_lru_maintainer"]);
    let mut client = server.client();
    client.expect(
        "set k1 0 0 1\r\n1\r\nset k2 0 0 2\r\n22\r\nms YSBrZXk= 1 b\r\n1\r\n",
        "STORED\r\nSTORED\r\nHD\r\n",
    );
    let dump = client.ask_text("stats cachedump 1 0\r\n");
    let mut lines: Vec<_> = dump.split_terminator("\r\n").collect();
    lines[..2].sort_unstable();
    assert_eq!(lines, ["ITEM k1 [1 b; 0 s]", "ITEM k2 [2 b; 0 s]", "END"]);
    let one = client.ask_text("stats cachedump 1 1\r\n");
    assert_eq!(one.matches("ITEM ").count(), 1, "{one}");
    client.expect("set k3 0 100 1\r\n1\r\n", "STORED\r\n");
    assert!(client.ask_text("stats cachedump 1 0\r\n").contains("ITEM k3 [1 b; 1"), "its end in Unix time");
    client.expect("stats cachedump 63 0\r\n", "END\r\n");
}

/// Or one command of twenty bytes would keep all others waiting while the whole cache is gone through.
#[test]
fn a_cachedump_looks_at_some_of_many_items() {
    applies!();
    let server = start!(&["-o", "no_lru_crawler,no_lru_maintainer"]);
    let mut client = server.client();
    let plain: String = (0..100).map(|n| format!("ms plain{n:07} 1 q\r\n1\r\n")).collect();
    client.expect(plain + "mn\r\n", "MN\r\n");
    // Twelve characters of base64 are nine bytes of key: all of one class.
    for part in 0..12 {
        let encoded: String =
            (0..10_000).map(|n| format!("ms YWJj{:08} 1 b q\r\n1\r\n", part * 10_000 + n)).collect();
        client.expect(encoded + "mn\r\n", "MN\r\n");
    }
    let items = client.stat("curr_items");
    assert!(items > 100_000, "{items} items");
    let listed = client.ask_text("stats cachedump 1 0\r\n").matches("ITEM ").count();
    assert!((1..100).contains(&listed), "{listed} are listed");
}

#[test]
fn a_dump_may_be_of_some_classes() {
    let server = start!();
    let mut client = server.client();
    client.expect(
        format!("set small 0 0 1\r\n1\r\nset large 0 0 50000\r\n{}\r\n", fill(b'x', 50_000)),
        "STORED\r\n".repeat(2),
    );
    let of_keys = |client: &mut Client, classes: &str| {
        let dump = dump(client, &format!("lru_crawler metadump {classes}"));
        let mut keys: Vec<_> = keys(&dump).into_keys().map(str::to_owned).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(of_keys(&mut client, "hash"), ["large", "small"]);
    assert_eq!(of_keys(&mut client, "1"), ["small"]);
    assert_eq!(of_keys(&mut client, "1,2"), ["small"]);
    let all: Vec<_> = (2..=63).map(|number| number.to_string()).collect();
    assert_eq!(of_keys(&mut client, &all.join(",")), ["large"]);
    assert_eq!(of_keys(&mut client, "63,1"), of_keys(&mut client, "1,63"));
}

#[test]
fn a_dump_may_be_of_keys_that_begin_alike() {
    let server = start!();
    let mut client = server.client();
    load(&mut client, "user:", 500, 10);
    load(&mut client, "page:", 500, 10);
    let dumped = dump(&mut client, "lru_crawler metadump all user:1");
    let keys = keys(&dumped);
    assert_eq!(keys.len(), 111);
    assert!(keys.keys().all(|key| key.starts_with("user%3A1")));
    assert_eq!(dump(&mut client, "lru_crawler mgdump all page:499"), "OK\r\nmg page:499\r\nEN\r\n");
}

#[test]
fn commands_behind_a_dump_are_answered_after_it() {
    let server = start!();
    let mut client = server.client();
    load(&mut client, "k", 5000, 10);
    let replies = client.ask_text("lru_crawler metadump all\r\nget k1\r\nlru_crawler mgdump all\r\n");
    let (dump, behind) = replies.split_once("END\r\n").expect("an end");
    assert_eq!(keys(dump).len(), 5000);
    let want = "VALUE k1 0 10\r\nvvvvvvvvvv\r\nEND\r\nERROR cannot pipeline other commands before mgdump\r\n";
    assert_eq!(behind, want);
}

#[test]
fn a_dump_is_the_first_of_its_batch() {
    let server = start!();
    let mut client = server.client();
    client.expect(
        "get x\r\nlru_crawler metadump all\r\n",
        "END\r\nERROR cannot pipeline other commands before metadump\r\n",
    );
    client.expect(
        "get x\r\nlru_crawler mgdump all\r\n",
        "END\r\nERROR cannot pipeline other commands before mgdump\r\n",
    );
}

#[test]
fn what_the_crawler_refuses() {
    // memcached's maintainer begins crawls of its own, and the answer would be BUSY now and then.
    let server = start!(&["-o", "no_lru_maintainer"]);
    server.client().expect_all(&[
        ("lru_crawler\r\n", "ERROR\r\n"),
        ("lru_crawler foo\r\n", "ERROR\r\n"),
        ("lru_crawler metadump\r\n", "ERROR\r\n"),
        ("lru_crawler crawl 0\r\n", "BADCLASS invalid class id\r\n"),
        ("lru_crawler crawl x\r\n", "BADCLASS invalid class id\r\n"),
        ("lru_crawler crawl 64\r\n", "BADCLASS invalid class id\r\n"),
        ("lru_crawler metadump x\r\n", "BADCLASS invalid class id\r\n"),
        ("lru_crawler crawl hash\r\n", "ERROR an unknown error happened\r\n"),
        ("lru_crawler tocrawl x\r\n", "CLIENT_ERROR bad command line format\r\n"),
        ("lru_crawler sleep x\r\n", "CLIENT_ERROR bad command line format\r\n"),
        ("lru_crawler sleep 1000001\r\n", "CLIENT_ERROR sleep must be one second or less\r\n"),
        ("lru_crawler enable\r\n", "ERROR failed to start lru crawler thread\r\n"),
    ]);
}

#[test]
fn the_crawler_can_be_set_and_switched_off() {
    let server = start!();
    let mut client = server.client();
    client.expect("lru_crawler sleep 200\r\nlru_crawler tocrawl 5\r\n", "OK\r\nOK\r\n");
    let settings: HashMap<_, _> = client.stats("stats settings").into_iter().collect();
    assert_eq!(
        (settings["lru_crawler_sleep"].as_str(), settings["lru_crawler_tocrawl"].as_str()),
        ("200", "5")
    );
    client.expect("lru_crawler disable\r\nlru_crawler disable\r\n", "OK\r\nOK\r\n");
    let settings: HashMap<_, _> = client.stats("stats settings").into_iter().collect();
    assert_eq!(settings["lru_crawler"], "no");
    assert!(client.stats("stats").iter().all(|(name, _)| !name.starts_with("lru_crawler")));
    for command in ["crawl all", "metadump all", "mgdump all"] {
        client.expect(format!("lru_crawler {command}\r\n"), "CLIENT_ERROR lru crawler disabled\r\n");
    }
    client.expect("lru_crawler enable\r\nlru_crawler crawl all\r\n", "OK\r\nOK\r\n");
    wait_until("the crawl ends", || client.stat("lru_crawler_running") == 0);
}

#[test]
fn a_crawl_looks_at_as_many_items_as_it_may() {
    let server = start!(&["-t", "1"]);
    let mut client = server.client();
    load(&mut client, "k", 5000, 10);
    client.expect("lru_crawler tocrawl 300\r\nlru_crawler crawl all\r\n", "OK\r\nOK\r\n");
    wait_until("the crawl ends", || client.stat("lru_crawler_running") == 0);
    let looked_at = client.stat("crawler_items_checked");
    assert!((300..350).contains(&looked_at), "{looked_at}");
    client.expect("lru_crawler tocrawl 0\r\nlru_crawler crawl all\r\n", "OK\r\nOK\r\n");
    wait_until("the crawl ends", || client.stat("lru_crawler_running") == 0);
    assert_eq!(client.stat("crawler_items_checked"), looked_at + 5000);
}

#[test]
fn a_crawl_pauses_as_long_as_it_is_told() {
    let server = start!(&["-t", "1", "-o", "lru_crawler_sleep=400000"]);
    let mut client = server.client();
    load(&mut client, "k", 6000, 10);
    let start = Instant::now();
    client.expect("lru_crawler crawl all\r\n", "OK\r\n");
    wait_until("the crawl ends", || client.stat("lru_crawler_running") == 0);
    // A thousand items at a time; without pauses it begins within a second and takes no time.
    assert!(start.elapsed() > Duration::from_millis(1600), "{:?}", start.elapsed());
    assert_eq!(client.stat("crawler_items_checked"), 6000);
}

#[test]
fn without_dumping_nothing_lists_keys() {
    let server = start!(&["-X"]);
    server.client().expect_all(&[
        ("lru_crawler metadump all\r\n", "ERROR metadump not allowed\r\n"),
        ("lru_crawler mgdump all\r\n", "ERROR key dump not allowed\r\n"),
    ]);
}

#[test]
fn a_crawl_takes_expired_items_away() {
    let server = start!(&["-t", "2"]);
    let mut client = server.client();
    load(&mut client, "stays", 100, 10);
    client.expect("lru_crawler disable\r\n", "OK\r\n");
    for n in 0..100 {
        client.expect(format!("set over{n} 0 -1 10\r\n0123456789\r\n"), "STORED\r\n");
    }
    client.expect("lru_crawler enable\r\n", "OK\r\n");
    let starts = client.stat("lru_crawler_starts");
    client.expect("lru_crawler crawl all\r\n", "OK\r\n");
    assert!(client.stat("lru_crawler_starts") > starts);
    wait_until("the crawl ends", || {
        client.stat("lru_crawler_running") == 0 && client.stat("curr_items") == 100
    });
    assert!(client.stat("crawler_items_checked") >= 100);
    assert_eq!(client.stat("crawler_reclaimed"), 100);
}

#[test]
fn a_dump_lists_what_stays_once_while_others_write() {
    let server = start!(&["-m", "256", "-t", "2"]);
    let mut client = server.client();
    load(&mut client, "stays", 100_000, 20);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..2 {
            let mut client = server.client();
            let done = &done;
            scope.spawn(move || {
                for round in 0.. {
                    load(&mut client, &format!("w{writer}:{}:", round % 8), 2000, 20 + round % 50);
                    let deletes: String = (0..1000)
                        .map(|n| format!("delete w{writer}:{}:{n} noreply\r\n", round % 8))
                        .collect();
                    client.expect(deletes, "");
                    // Newer values of what stays are still the same keys.
                    load(&mut client, "stays", 1000, 20);
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        for _ in 0..3 {
            let dump = dump(&mut client, "lru_crawler metadump all");
            let keys = keys(&dump);
            for n in 0..100_000 {
                assert_eq!(keys.get(format!("stays{n}").as_str()), Some(&1), "stays{n}");
            }
            assert!(keys.values().all(|&times| times == 1));
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_dump_waits_for_a_client_that_reads_slowly_and_nobody_else_does() {
    let server = start!(&["-m", "256", "-t", "1"]);
    let mut client = server.client();
    load(&mut client, "some:rather:long:key:of:a:user:", 150_000, 10);
    let mut lazy: Vec<_> = (0..4).map(|_| server.client()).collect();
    let before = client.stat("bytes_written");
    lazy.iter_mut().for_each(|lazy| lazy.send("lru_crawler metadump all\r\n"));
    // They are full when nothing but our own questions is answered any more.
    let mut written = 0;
    wait_until("the dumps stand still", || {
        let earlier = std::mem::replace(&mut written, client.stat("bytes_written"));
        written - before > 100_000 && written - earlier < 10_000
    });
    let unsent = client.stat("response_obj_bytes");
    assert!(unsent > 0 && unsent < 4 * 128 * 1024, "{unsent} bytes wait for four clients");
    assert_eq!(client.stat("lru_crawler_running"), 1);
    client.expect("set k 0 0 1\r\n1\r\nget k\r\n", "STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n");
    for lazy in &mut lazy[..2] {
        let dump = read_dump(lazy);
        assert!(keys(&dump).len() >= 150_000);
    }
    drop(lazy);
    wait_until("the others are given up", || client.stat("lru_crawler_running") == 0);
}

#[test]
fn a_prefix_can_be_flushed() {
    let server = start!();
    let mut client = server.client();
    load(&mut client, "user:", 20_000, 10);
    load(&mut client, "page:", 500, 10);
    client.expect("flush_prefix user:1 noreply\r\nget user:17\r\n", "END\r\n");
    assert_eq!(client.stat("curr_items"), 500 + 20_000 - 11_111);
    client.expect("get user:2\r\nflush_prefix user:\r\nget user:2\r\n", {
        format!("VALUE user:2 0 10\r\nvvvvvvvvvv\r\nEND\r\nOK {}\r\nEND\r\n", 20_000 - 11_111)
    });
    assert_eq!(client.stat("curr_items"), 500);
    client
        .expect("flush_prefix none\r\nflush_prefix\r\n", "OK 0\r\nCLIENT_ERROR bad command line format\r\n");
    client
        .expect(format!("flush_prefix {}\r\n", fill(b'k', 251)), "CLIENT_ERROR bad command line format\r\n");
}

#[test]
fn a_prefix_is_not_flushed_where_nothing_may_be() {
    let server = start!(&["-F"]);
    let mut client = server.client();
    client.expect(
        "set a 0 0 1\r\n1\r\nflush_prefix a\r\n",
        "STORED\r\nCLIENT_ERROR flush_prefix not allowed\r\n",
    );
    client.expect("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
}
