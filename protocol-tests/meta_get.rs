//! mg: what it returns, what it leaves behind, and me, which leaves nothing.
//!
//! Keys as base64 are in `meta_keys.rs`, tokens and stale items in `meta_leases.rs`, wrong lines in
//! `meta_errors.rs`.

use crate::client::fill;
use crate::differences::start;
use crate::server::wait_until;

#[test]
fn a_miss_echoes_opaque_and_key_alone() {
    let server = start!();
    server.client().expect_all(&[
        ("mg nope\r\n", "EN\r\n"),
        ("mg nope v\r\n", "EN\r\n"),
        ("mg nope s t c f h l\r\n", "EN\r\n"),
        ("mg nope T30\r\n", "EN\r\n"),
    ]);
}

#[test]
fn a_miss_echoes_in_the_order_of_the_flags() {
    let server = start!();
    server.client().expect_all(&[
        ("mg nope k Oabc t s\r\n", "EN knope Oabc\r\n"),
        ("mg nope O1 v k\r\n", "EN O1 knope\r\n"),
        ("mg nope O\r\n", "EN O\r\n"),
    ]);
}

#[test]
fn a_hit_answers_with_or_without_the_value() {
    let server = start!();
    server.client().expect_all(&[
        ("set k 0 0 2\r\nhi\r\n", "STORED\r\n"),
        ("mg k\r\n", "HD\r\n"),
        ("mg k v\r\n", "VA 2\r\nhi\r\n"),
        ("mg  k   v  \r\n", "VA 2\r\nhi\r\n"),
        ("mg k v\n", "VA 2\r\nhi\r\n"),
        ("set e 5 0 0\r\n\r\n", "STORED\r\n"),
        ("mg e v s f\r\n", "VA 0 s0 f5\r\n\r\n"),
    ]);
}

#[test]
fn figures_come_in_the_order_of_their_flags() {
    let server = start!();
    server.client().expect_all(&[
        ("set k 4294967295 1000 2\r\nhi\r\n", "STORED\r\n"),
        ("mg k s t f h l k O9 v\r\n", "VA 2 s2 t1000 f4294967295 h0 l0 kk O9\r\nhi\r\n"),
        ("mg k O9 k l h f t s\r\n", "HD O9 kk l0 h1 f4294967295 t1000 s2\r\n"),
        ("set k 0 0 1\r\n1\r\n", "STORED\r\n"),
        ("mg k t f\r\n", "HD t-1 f0\r\n"),
    ]);
}

#[test]
fn c_returns_the_cas_unique() {
    let server = start!();
    let mut client = server.client();
    client.expect("ms k 2\r\nhi\r\n", "HD\r\n");
    let gets = client.ask_text("gets k\r\n");
    let unique = gets.lines().next().unwrap().rsplit(' ').next().unwrap().to_string();
    client.expect("mg k c\r\n", format!("HD c{unique}\r\n"));
}

#[test]
fn flags_that_mean_nothing_here_and_surplus_arguments_are_ignored() {
    let server = start!();
    server.client().expect_all(&[
        ("set k 0 0 2\r\nhi\r\n", "STORED\r\n"),
        ("mg k txyz vabc\r\n", "VA 2 t-1\r\nhi\r\n"),
        ("mg k I F5 Mz D5 J6 v\r\n", "VA 2\r\nhi\r\n"),
        ("mg k Pxx Lyy v\r\n", "VA 2\r\nhi\r\n"),
        ("mg k x v\r\n", "VA 2\r\nhi\r\n"),
        ("get k\r\n", "VALUE k 0 2\r\nhi\r\nEND\r\n"),
    ]);
}

#[test]
fn a_cas_unique_that_is_current_spares_the_value() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 2 E77\r\nhi\r\n", "HD\r\n"),
        ("mg k C77 v c\r\n", "HD c77\r\n"),
        ("mg k C78 v c\r\n", "VA 2 c77\r\nhi\r\n"),
        ("mg k C77 v s T90 k\r\n", "HD s2 kk\r\n"),
        ("mg k t\r\n", "HD t90\r\n"),
        ("mg nope C77 v\r\n", "EN\r\n"),
    ]);
}

#[test]
fn a_touch_shows_in_what_follows_it() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 2 T1000\r\nhi\r\n", "HD\r\n"),
        ("mg k T500 t\r\n", "HD t500\r\n"),
        ("mg k t T900\r\n", "HD t500\r\n"),
        ("mg k t\r\n", "HD t900\r\n"),
        ("mg k T0 t v\r\n", "VA 2 t-1\r\nhi\r\n"),
        ("gat 700 k\r\n", "VALUE k 0 2\r\nhi\r\nEND\r\n"),
        ("mg k t\r\n", "HD t700\r\n"),
    ]);
}

#[test]
fn an_item_that_is_over_has_no_time_left() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 2\r\nhi\r\n", "HD\r\n"),
        ("mg k T-1 t\r\n", "HD t0\r\n"),
        ("mg k\r\n", "EN\r\n"),
        ("mg k N-1 t v\r\n", "VA 0 t0 W\r\n\r\n"),
        ("mg k\r\n", "EN\r\n"),
    ]);
}

#[test]
fn h_tells_whether_somebody_read_it_and_u_leaves_no_trace() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 2\r\nhi\r\n", "HD\r\n"),
        ("mg k u h\r\n", "HD h0\r\n"),
        ("mg k h u v\r\n", "VA 2 h0\r\nhi\r\n"),
        ("mg k h\r\n", "HD h0\r\n"),
        ("mg k h\r\n", "HD h1\r\n"),
        ("ms k 2\r\nho\r\n", "HD\r\n"),
        ("mg k h\r\n", "HD h0\r\n"),
        ("ms k 2\r\nhi\r\n", "HD\r\n"),
        ("get k\r\n", "VALUE k 0 2\r\nhi\r\nEND\r\n"),
        ("mg k h\r\n", "HD h1\r\n"),
    ]);
}

#[test]
fn l_counts_from_the_last_access() {
    let server = start!();
    let mut client = server.client();
    client.expect("ms k 2\r\nhi\r\n", "HD\r\n");
    wait_until("the item is idle for a second", || client.ask_text("mg k u l\r\n") != "HD l0\r\n");
    // The first read is no access yet, the second one is.
    assert_ne!(client.ask_text("mg k l\r\n"), "HD l0\r\n");
    assert_ne!(client.ask_text("mg k l\r\n"), "HD l0\r\n");
    client.expect("mg k l\r\n", "HD l0\r\n");
}

#[test]
fn q_hides_misses_and_nothing_else() {
    let server = start!();
    server.client().expect_all(&[
        ("mg nope q\r\n", ""),
        ("mg nope v q k O1\r\n", ""),
        ("ms k 2\r\nhi\r\n", "HD\r\n"),
        ("mg k q\r\n", "HD\r\n"),
        ("mg k q v k\r\n", "VA 2 kk\r\nhi\r\n"),
        ("mg k q m\r\n", "CLIENT_ERROR invalid flag\r\n"),
    ]);
}

#[test]
fn large_values_come_whole() {
    let server = start!();
    let mut client = server.client();
    for size in [20_000, 70_000, 1_000_000] {
        let value = fill(b'v', size);
        client.expect(format!("ms k {size} s k O1\r\n{value}\r\n"), format!("HD s{size} kk O1\r\n"));
        client.expect("mg k v s\r\n", format!("VA {size} s{size}\r\n{value}\r\n"));
    }
}

#[test]
fn keys_have_250_bytes_at_most() {
    let server = start!();
    let mut client = server.client();
    let key = fill(b'k', 250);
    client.expect(format!("ms {key} 2\r\nhi\r\n"), "HD\r\n");
    client.expect(format!("mg {key} k v\r\n"), format!("VA 2 k{key}\r\nhi\r\n"));
    client.expect(format!("mg {key}k\r\n"), "CLIENT_ERROR bad command line format\r\n");
    client.expect(format!("mg {key}k q\r\n"), "CLIENT_ERROR bad command line format\r\n");
}

#[test]
fn reads_count_as_gets_and_touches() {
    let server = start!();
    let mut client = server.client();
    client.expect("ms k 2\r\nhi\r\n", "HD\r\n");
    client.ask("mg k v\r\nmg k u\r\nmg nope\r\nmg nope q\r\nmg k T5\r\nmg viv N5\r\nmd nope\r\n");
    let names = ["cmd_get", "get_hits", "get_misses", "cmd_touch", "touch_hits", "cmd_set", "delete_misses"];
    let counts: Vec<u64> = names.iter().map(|name| client.stat(name)).collect();
    assert_eq!(counts, [5, 3, 2, 1, 1, 1, 1]);
}

#[test]
fn a_touch_that_misses_is_a_touch() {
    let server = start!();
    let mut client = server.client();
    client.ask("mg nope T5\r\n");
    let counts = ["cmd_get", "get_misses", "cmd_touch", "touch_misses"].map(|name| client.stat(name));
    assert_eq!(counts, [0, 0, 1, 1]);
}

#[test]
fn me_tells_about_an_item_and_does_not_touch_it() {
    let server = start!();
    let mut client = server.client();
    client.expect("me nope\r\n", "EN\r\n");
    client.expect("ms foo 2 T100 E75\r\nhi\r\n", "HD\r\n");
    let me = |client: &mut crate::client::Client| client.ask_text("me foo\r\n");
    assert!(me(&mut client).starts_with("ME foo exp=100 la=0 cas=75 fetch=no cls=1 size="));
    assert!(me(&mut client).starts_with("ME foo exp=100 la=0 cas=75 fetch=no cls=1 size="));
    client.expect("mg foo\r\n", "HD\r\n");
    assert!(me(&mut client).starts_with("ME foo exp=100 la=0 cas=75 fetch=yes cls=1 size="));
    client.expect("mg foo T0\r\n", "HD\r\n");
    assert!(me(&mut client).starts_with("ME foo exp=-1 "));
    assert_eq!(client.stat("cmd_meta"), 5);
    assert_eq!(client.stat("cmd_get"), 1);
}
