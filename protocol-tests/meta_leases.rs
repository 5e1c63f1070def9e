//! Leases: of all who meet an item that is missing, old or stale, one is asked for a new value.

use std::thread;

use crate::differences::start;
use crate::server::wait_until;

#[test]
fn a_missing_item_is_created_and_one_client_is_asked_for_it() {
    let server = start!();
    let (mut winner, mut other) = (server.client(), server.client());
    winner.expect("mg k N30 s v t f k O1\r\n", "VA 0 s0 t30 f0 kk O1 W\r\n\r\n");
    other.expect("mg k N30 s v t\r\n", "VA 0 s0 t30 Z\r\n\r\n");
    other.expect("mg k v\r\n", "VA 0 Z\r\n\r\n");
    other.expect("get k\r\n", "VALUE k 0 0\r\n\r\nEND\r\n");
    winner.expect("ms k 3 T60\r\nnew\r\n", "HD\r\n");
    other.expect("mg k N30 v t\r\n", "VA 3 t60\r\nnew\r\n");
}

#[test]
fn quiet_mode_does_not_hide_a_won_token() {
    let server = start!();
    server.client().expect_all(&[("mg k N30 q s\r\n", "HD s0 W\r\n"), ("mg k N30 q s\r\n", "HD s0 Z\r\n")]);
}

#[test]
fn a_created_item_takes_the_cas_unique_of_the_client() {
    let server = start!();
    server
        .client()
        .expect_all(&[("mg k N0 E999 c t\r\n", "HD c999 t-1 W\r\n"), ("mg k E5 c\r\n", "HD c999 Z\r\n")]);
}

#[test]
fn the_time_to_live_of_a_created_item_counts_from_where_its_flag_stands() {
    let server = start!();
    server.client().expect_all(&[
        ("mg a t N30\r\n", "HD t-1 W\r\n"),
        ("mg a t\r\n", "HD t30 Z\r\n"),
        ("mg b N30 T60 t\r\n", "HD t60 W\r\n"),
        ("mg c T60 N30 t\r\n", "HD t30 W\r\n"),
    ]);
}

#[test]
fn a_created_item_counts_as_read() {
    let server = start!();
    server.client().expect_all(&[
        ("mg k N30 h\r\n", "HD h0 W\r\n"),
        ("mg k h\r\n", "HD h1 Z\r\n"),
        ("mg j N30 u h\r\n", "HD h0 W\r\n"),
        ("mg j h\r\n", "HD h0 Z\r\n"),
    ]);
}

#[test]
fn an_item_with_little_time_left_is_recached_by_one_client() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 2 T100\r\nhi\r\n", "HD\r\n"),
        ("mg k R30 t v\r\n", "VA 2 t100\r\nhi\r\n"),
        ("mg k R0\r\n", "HD\r\n"),
        ("mg k R-1\r\n", "HD\r\n"),
        ("mg k R200 t v\r\n", "VA 2 t100 W\r\nhi\r\n"),
        ("mg k R200 t v\r\n", "VA 2 t100 Z\r\nhi\r\n"),
        ("mg k v\r\n", "VA 2 Z\r\nhi\r\n"),
        ("ms k 2 T100\r\nho\r\n", "HD\r\n"),
        ("mg k R200 v\r\n", "VA 2 W\r\nho\r\n"),
        ("ms k 2\r\nhi\r\n", "HD\r\n"),
        ("mg k R200 v\r\n", "VA 2\r\nhi\r\n"),
    ]);
}

#[test]
fn recaching_looks_at_the_time_to_live_given_before_it() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 2\r\nhi\r\n", "HD\r\n"),
        ("mg k R200 T100\r\n", "HD\r\n"),
        ("mg k T900 R200\r\n", "HD\r\n"),
        ("mg k T100 R200\r\n", "HD W\r\n"),
        ("mg new N30 R200\r\n", "HD W\r\n"),
    ]);
}

#[test]
fn a_stale_item_is_served_to_all_and_renewed_by_one() {
    let server = start!();
    let (mut winner, mut other, mut editor) = (server.client(), server.client(), server.client());
    editor.expect("ms page 3 T100 E10\r\nold\r\n", "HD\r\n");
    editor.expect("md page I T30 E11\r\n", "HD\r\n");
    winner.expect("mg page v c\r\n", "VA 3 c11 X W\r\nold\r\n");
    other.expect("mg page v c\r\n", "VA 3 c11 Z X\r\nold\r\n");
    other.expect("get page\r\n", "VALUE page 0 3\r\nold\r\nEND\r\n");
    // While the winner is at work, the page changes again.
    editor.expect("md page I E12\r\n", "HD\r\n");
    other.expect("mg page c\r\n", "HD c12 X W\r\n");
    // The late value is better than the old one, and still not good.
    winner.expect("ms page 4 C11 I T500\r\nlate\r\n", "HD\r\n");
    winner.expect("mg page v t\r\n", "VA 4 t30 Z X\r\nlate\r\n");
    other.expect("ms page 3 T100\r\nnew\r\n", "HD\r\n");
    winner.expect("mg page v t\r\n", "VA 3 t100\r\nnew\r\n");
}

#[test]
fn a_mark_goes_with_the_value_and_stays_while_only_a_part_of_that_changes() {
    let server = start!();
    let rows = [
        ("ms k 1\r\n2", "HD\r\n"),
        ("set k 0 0 1\r\n2", "HD\r\n"),
        ("replace k 0 0 1\r\n2", "HD\r\n"),
        ("md k x", "HD\r\n"),
        ("ma k", "HD X W\r\n"),
        ("incr k 1", "HD X W\r\n"),
        ("touch k 0", "HD X W\r\n"),
    ];
    let mut client = server.client();
    for (change, then) in rows {
        client.ask("ms k 1\r\n1\r\nmd k I\r\n");
        client.ask(format!("{change}\r\n"));
        client.expect("mg k\r\n", then);
    }
}

#[test]
fn a_part_that_makes_the_value_longer_leaves_the_marks() {
    let server = start!();
    let mut client = server.client();
    for change in ["append k 0 0 1\r\n2", "ms k 1 MP\r\n2", "incr k 9", "ma k D99"] {
        client.ask("ms k 1\r\n1\r\nmd k I\r\n");
        client.ask(format!("{change}\r\n"));
        client.expect("mg k\r\n", "HD X W\r\n");
        client.ask(format!("{change}\r\n"));
        client.expect("mg k\r\n", "HD Z X\r\n");
    }
}

#[test]
fn of_many_clients_one_wins() {
    let server = start!();
    for round in 0..20 {
        let wins: usize = thread::scope(|scope| {
            let ask = || {
                let mut client = server.client();
                usize::from(client.ask_text(format!("mg k{round} N30\r\n")).contains('W'))
            };
            let clients: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            clients.into_iter().map(|client| client.join().expect("an answer")).sum()
        });
        assert_eq!(wins, 1);
    }
}

#[test]
fn a_winner_that_never_comes_back_is_forgotten_with_the_item() {
    let server = start!();
    let mut client = server.client();
    client.expect("mg k N1\r\n", "HD W\r\n");
    wait_until("the empty item is over", || client.ask_text("mg k q u\r\n").is_empty());
    client.expect("mg k N30\r\n", "HD W\r\n");
}
