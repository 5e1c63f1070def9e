//! lru and slabs: commands that change how the daemon keeps its items, and what their changes show.

use std::collections::HashMap;

use crate::client::{Client, fill};
use crate::differences::start;
use crate::server::{Kind, wait_until};

#[track_caller]
fn expect_settings(client: &mut Client, rows: &[(&str, &str)]) {
    let settings: HashMap<_, _> = client.stats("stats settings").into_iter().collect();
    for (name, value) in rows {
        assert_eq!(settings[*name], *value, "{name}");
    }
}

/// The number behind `name` for the class with most of it, and that class.
fn greatest(client: &mut Client, command: &str, name: &str) -> (u64, String) {
    let number = |(key, value): (String, String)| {
        let mut parts = key.rsplitn(2, ':');
        let is_it = parts.next() == Some(name);
        let class = parts.next()?.rsplit(':').next()?.to_string();
        is_it.then(|| Some((value.parse().ok()?, class)))?
    };
    client.stats(command).into_iter().filter_map(number).max().expect("a class")
}

fn store_many(client: &mut Client, prefix: &str, count: usize, size: usize) {
    let value = fill(b'v', size);
    for first in (0..count).step_by(200) {
        let keys = first..count.min(first + 200);
        let replies = "STORED\r\n".repeat(keys.len());
        let sets: String = keys.map(|at| format!("set {prefix}{at} 0 0 {size}\r\n{value}\r\n")).collect();
        client.expect_so_far(sets, replies);
    }
    client.expect("", "");
}

#[test]
fn lru_tune_changes_shares_and_factors() {
    let server = start!();
    let mut client = server.client();
    client.expect_all(&[
        ("lru tune 10 25 0.1 3.5\r\n", "OK\r\n"),
        ("lru tune 20 40 0.2 2.0 noreply\r\n", ""),
        ("lru tune 15 30 0.5 1e1 junk\r\n", "OK\r\n"),
        ("lru tune 41 40 0.2 2.0\r\n", "ERROR hot and warm pcts must not exceed 80\r\n"),
        ("lru tune 41 40 0.2 2.0 noreply\r\n", ""),
        ("lru tune 20 40 0 2.0\r\n", "ERROR hot/warm age factors must be greater than 0\r\n"),
        ("lru tune 20 40 0.2 -1\r\n", "ERROR hot/warm age factors must be greater than 0\r\n"),
        ("lru tune 20 40 0.2\r\n", "ERROR\r\n"),
        ("lru tune x 40 0.2 2.0\r\n", "ERROR\r\n"),
        ("lru tune 20 40 x 2.0\r\n", "ERROR\r\n"),
        ("lru tune 20 40 0.2 noreply\r\n", ""),
    ]);
    expect_settings(
        &mut client,
        &[
            ("hot_lru_pct", "15"),
            ("warm_lru_pct", "30"),
            ("hot_max_factor", "0.50"),
            ("warm_max_factor", "10.00"),
        ],
    );
}

#[test]
fn lru_mode_switches_and_keeps_every_item() {
    let server = start!();
    let mut client = server.client();
    client.expect("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    expect_settings(&mut client, &[("lru_segmented", "yes"), ("lru_maintainer_thread", "yes")]);
    client.expect_all(&[
        ("lru mode flat\r\n", "OK\r\n"),
        ("set b 0 0 1\r\n2\r\n", "STORED\r\n"),
        ("get a b\r\n", "VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\n"),
    ]);
    expect_settings(&mut client, &[("lru_segmented", "no"), ("lru_maintainer_thread", "yes")]);
    wait_until("all is in COLD", || greatest(&mut client, "stats items", "number_cold").0 == 2);
    client.expect_all(&[
        ("lru mode segmented noreply\r\n", ""),
        ("get a b\r\n", "VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\n"),
        ("lru mode x\r\n", "ERROR\r\n"),
        ("lru mode\r\n", "ERROR\r\n"),
        ("lru mode FLAT noreply\r\n", ""),
        ("lru x\r\n", "ERROR\r\n"),
        ("lru\r\n", "ERROR\r\n"),
    ]);
    expect_settings(&mut client, &[("lru_segmented", "yes")]);
}

#[test]
fn temporary_items_are_counted_apart() {
    let server = start!();
    let mut client = server.client();
    expect_settings(&mut client, &[("temp_lru", "no"), ("temporary_ttl", "61")]);
    client.expect("set a 0 30 1\r\n1\r\nlru temp_ttl 30\r\n", "STORED\r\nOK\r\n");
    expect_settings(&mut client, &[("temp_lru", "yes"), ("temporary_ttl", "30")]);
    client.expect_all(&[
        ("set b 0 30 1\r\n1\r\n", "STORED\r\n"),
        ("set c 0 90 1\r\n1\r\n", "STORED\r\n"),
        ("set d 0 0 1\r\n1\r\n", "STORED\r\n"),
        ("get b\r\n", "VALUE b 0 1\r\n1\r\nEND\r\n"),
        ("get b\r\n", "VALUE b 0 1\r\n1\r\nEND\r\n"),
    ]);
    let items = |client: &mut Client, name: &str| greatest(client, "stats items", name).0;
    assert_eq!(items(&mut client, "number_temp"), 1);
    assert_eq!(items(&mut client, "hits_to_temp"), 2);
    assert_eq!(items(&mut client, "number"), 4);
    let names: Vec<String> = client.stats("stats items").into_iter().map(|(name, _)| name).collect();
    assert!(names[3].ends_with(":number_cold") && names[4].ends_with(":number_temp"), "{names:?}");
    client.expect_all(&[
        ("lru temp_ttl -1\r\n", "OK\r\n"),
        ("lru temp_ttl x\r\n", "ERROR\r\n"),
        ("lru temp_ttl\r\n", "ERROR\r\n"),
        ("lru temp_ttl x noreply\r\n", ""),
    ]);
    expect_settings(&mut client, &[("temp_lru", "no"), ("temporary_ttl", "30")]);
    assert!(!client.stats("stats items").iter().any(|(name, _)| name.ends_with(":number_temp")));
    client.expect("lru temp_ttl 5 noreply\r\n", "");
    expect_settings(&mut client, &[("temp_lru", "yes"), ("temporary_ttl", "5")]);
}

#[test]
fn the_option_turns_the_temporary_segment_on() {
    let server = start!(&["-o", "temporary_ttl=20"]);
    let mut client = server.client();
    expect_settings(&mut client, &[("temp_lru", "yes"), ("temporary_ttl", "20")]);
    client.expect("set a 0 20 1\r\n1\r\nset b 0 21 1\r\n1\r\n", "STORED\r\nSTORED\r\n");
    assert_eq!(greatest(&mut client, "stats items", "number_temp").0, 1);
}

#[test]
fn without_the_maintainer_the_lru_is_flat_and_stays_so() {
    for option in ["no_lru_maintainer", "no_modern"] {
        let server = start!(&["-o", option]);
        let mut client = server.client();
        expect_settings(&mut client, &[("lru_segmented", "no"), ("lru_maintainer_thread", "no")]);
        client.expect_all(&[
            ("set a 0 0 1\r\n1\r\n", "STORED\r\n"),
            ("lru mode segmented\r\n", "ERROR\r\n"),
            ("lru mode flat\r\n", "ERROR\r\n"),
            ("lru temp_ttl 5\r\n", "ERROR\r\n"),
            ("lru temp_ttl 5 noreply\r\n", ""),
            ("lru tune 10 10 1.0 1.0\r\n", "OK\r\n"),
        ]);
        let names: Vec<String> = client.stats("stats items").into_iter().map(|(name, _)| name).collect();
        let names = names.iter().filter_map(|name| name.rsplit(':').next());
        let names: Vec<&str> = names.filter(|name| !crate::stats::ITEMS_OWN.contains(name)).collect();
        assert_eq!(
            names,
            [
                "number",
                "age",
                "mem_requested",
                "evicted",
                "evicted_nonzero",
                "evicted_time",
                "outofmemory",
                "tailrepairs",
                "reclaimed",
                "expired_unfetched",
                "evicted_unfetched",
                "crawler_reclaimed",
                "crawler_items_checked",
                "lrutail_reflocked",
            ]
        );
        let stats = client.stats("stats");
        for name in ["evicted_active", "moves_to_cold", "direct_reclaims", "lru_maintainer_juggles"] {
            assert!(!stats.iter().any(|(other, _)| other == name), "{name}");
        }
    }
}

#[test]
fn a_flat_list_evicts_the_oldest_first_even_if_it_was_just_read() {
    // One worker and no page moves: what a class has is what it has.
    let server = start!(&["-m", "8", "-t", "1", "-o", "no_modern"]);
    let mut client = server.client();
    store_many(&mut client, "k", 1000, 1000);
    client.ask("get k0 k1 k2\r\n".repeat(3));
    let mut stored = 1000;
    while client.stat("evictions") < 1500 {
        store_many(&mut client, &format!("n{stored}:"), 1000, 1000);
        stored += 1000;
    }
    client.expect("get k0 k1 k2 k500 k999\r\n", "END\r\n");
}

#[test]
fn slabs_reassign_moves_a_page() {
    let server = start!(&["-m", "64", "-o", "slab_automove=0"]);
    let mut client = server.client();
    store_many(&mut client, "k", 30_000, 100);
    let (pages, from) = greatest(&mut client, "stats slabs", "total_pages");
    assert!(pages > 2, "{pages} pages");
    let other = from.parse::<u32>().unwrap() + 1;
    let moved = client.stat("slabs_moved");
    client.expect(format!("slabs reassign {from} {other}\r\n"), "OK\r\n");
    wait_until("the page has moved", || client.stat("slabs_moved") == moved + 1);
    let slabs: HashMap<_, _> = client.stats("stats slabs").into_iter().collect();
    assert_eq!(slabs[&format!("{other}:total_pages")], "1");
    assert_eq!(slabs[&format!("{from}:total_pages")], (pages - 1).to_string());
    client.expect("slabs reassign -1 0\r\n", "OK\r\n");
    wait_until("another page has moved", || client.stat("slabs_moved") == moved + 2);
    assert_eq!(client.stat("slab_global_page_pool"), 1);
    // What is still there is whole.
    let keys: String = (0..30_000).step_by(100).map(|at| format!(" k{at}")).collect();
    let reply = client.ask_text(format!("get{keys}\r\n"));
    let values = reply.lines().filter(|line| *line == fill(b'v', 100)).count();
    assert_eq!(values, reply.lines().filter(|line| line.starts_with("VALUE k")).count());
}

#[test]
fn slabs_reassign_refuses_what_it_cannot_do() {
    let server = start!();
    let mut client = server.client();
    client.expect("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    const BAD_CLASS: &str = "BADCLASS invalid src or dst class id\r\n";
    client.expect_all(&[
        ("slabs reassign 1 1\r\n", "SAME src and dst class are identical\r\n"),
        ("slabs reassign 99 99\r\n", "SAME src and dst class are identical\r\n"),
        ("slabs reassign 99 1\r\n", BAD_CLASS),
        ("slabs reassign 1 99\r\n", BAD_CLASS),
        ("slabs reassign -2 1\r\n", BAD_CLASS),
        ("slabs reassign 1 -1\r\n", BAD_CLASS),
        ("slabs reassign 1 2147483647\r\n", BAD_CLASS),
        ("slabs reassign -1 1\r\n", BAD_CLASS),
        ("slabs reassign 2 1\r\n", "NOSPARE source class has no spare pages\r\n"),
        ("slabs reassign 1 0\r\n", "NOSPARE source class has no spare pages\r\n"),
        ("slabs reassign 0 1\r\n", "NOSPARE source class has no spare pages\r\n"),
        ("slabs reassign x y\r\n", "CLIENT_ERROR bad command line format\r\n"),
        ("slabs reassign 1 y\r\n", "CLIENT_ERROR bad command line format\r\n"),
        ("slabs reassign 1\r\n", "ERROR\r\n"),
        ("slabs reassign 1 2 3\r\n", "ERROR\r\n"),
        ("slabs reassign\r\n", "ERROR\r\n"),
        ("slabs x\r\n", "ERROR\r\n"),
        ("slabs\r\n", "ERROR\r\n"),
    ]);
}

#[test]
fn what_slabs_refuses_may_be_refused_in_silence() {
    let server = start!();
    server.client().expect_all(&[
        ("slabs reassign 2 1 noreply\r\n", ""),
        ("slabs reassign 1 noreply\r\n", ""),
        ("slabs x noreply\r\n", ""),
        ("slabs automove window 2 noreply\r\n", ""),
    ]);
}

#[test]
fn slabs_reassign_without_a_reply_moves_a_page() {
    let server = start!();
    let mut client = server.client();
    store_many(&mut client, "k", 30_000, 100);
    let moved = client.stat("slabs_moved");
    client.expect("slabs reassign -1 0 noreply\r\n", "");
    wait_until("a page has moved", || client.stat("slabs_moved") == moved + 1);
}

#[test]
fn slabs_reassign_needs_slab_reassign() {
    for option in ["no_slab_reassign", "no_modern"] {
        let server = start!(&["-o", option]);
        server.client().expect_all(&[
            ("slabs reassign 1 2\r\n", "CLIENT_ERROR slab reassignment disabled\r\n"),
            ("slabs reassign x y\r\n", "CLIENT_ERROR slab reassignment disabled\r\n"),
            ("slabs reassign 1\r\n", "ERROR\r\n"),
            ("slabs automove 1\r\n", "OK\r\n"),
        ]);
    }
}

#[test]
fn slabs_automove_takes_a_level_and_a_ratio() {
    let server = start!();
    let mut client = server.client();
    client.expect_all(&[("slabs automove 0\r\n", "OK\r\n"), ("slabs automove ratio 0.5\r\n", "OK\r\n")]);
    let rows = [("slab_automove", "0"), ("slab_automove_ratio", "0.50")];
    expect_settings(&mut client, &rows);
    client.expect_all(&[
        ("slabs automove 3\r\n", "ERROR\r\n"),
        ("slabs automove\r\n", "ERROR\r\n"),
        ("slabs automove x\r\n", "CLIENT_ERROR bad command line format\r\n"),
        ("slabs automove ratio\r\n", "ERROR\r\n"),
        ("slabs automove ratio x\r\n", "ERROR\r\n"),
        ("slabs automove x noreply\r\n", ""),
    ]);
    expect_settings(&mut client, &rows);
    client.expect("slabs automove 2 noreply\r\nslabs automove ratio .8 noreply\r\n", "");
    expect_settings(&mut client, &[("slab_automove", "2"), ("slab_automove_ratio", "0.80")]);
}

#[test]
fn the_automove_window_has_bounds() {
    let server = start!();
    let mut client = server.client();
    const BAD: &str = "CLIENT_ERROR automove window too low or too high\r\n";
    client.expect_all(&[
        ("slabs automove window 2\r\n", BAD),
        ("slabs automove window 1801\r\n", BAD),
        ("slabs automove window\r\n", "ERROR\r\n"),
        ("slabs automove window x\r\n", "ERROR\r\n"),
        ("slabs automove window 3\r\n", "OK\r\n"),
        ("slabs automove window 1800\r\n", "OK\r\n"),
    ]);
    expect_settings(&mut client, &[("slab_automove_window", "1800")]);
}

#[test]
fn the_automove_ratio_is_above_0_and_at_most_1() {
    let server = start!();
    server.client().expect_all(&[
        ("slabs automove ratio 0\r\n", "ERROR\r\n"),
        ("slabs automove ratio -1\r\n", "ERROR\r\n"),
        ("slabs automove ratio 1.1\r\n", "ERROR\r\n"),
        ("slabs automove ratio 1\r\n", "OK\r\n"),
    ]);
}

#[test]
fn the_policy_is_one_of_two() {
    let server = start!();
    expect_settings(&mut server.client(), &[("lru_policy", "probation")]);
    let server = start!(&["-o", "lru_policy=classic"]);
    let mut client = server.client();
    expect_settings(&mut client, &[("lru_policy", "classic")]);
    assert_eq!(Kind::under_test(), Kind::Larder);
    // As in memcached, unread items drift to COLD while nothing is there.
    client.expect("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    wait_until("it is in COLD", || greatest(&mut client, "stats items", "number_cold").0 == 1);
}
