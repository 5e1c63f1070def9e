//! md and ma.

use crate::client::{Client, fill};
use crate::differences::start;

const NON_NUMERIC: &str = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
const BAD_FLAG: &str = "CLIENT_ERROR invalid or duplicate flag\r\n";

#[test]
fn md_deletes() {
    let server = start!();
    server.client().expect_all(&[
        ("md nope\r\n", "NF\r\n"),
        ("md nope q\r\n", "NF\r\n"),
        ("ms k 1\r\n1\r\n", "HD\r\n"),
        ("md k\r\n", "HD\r\n"),
        ("mg k\r\n", "EN\r\n"),
        ("ms k 1\r\n1\r\n", "HD\r\n"),
        ("md k q\r\n", ""),
        ("mg k\r\n", "EN\r\n"),
        ("ms k 3\r\nabc\r\n", "HD\r\n"),
        ("md k T30\r\n", "HD\r\n"),
        ("mg k\r\n", "EN\r\n"),
    ]);
}

#[test]
fn md_echoes_key_and_opaque() {
    let server = start!();
    server.client().expect_all(&[
        ("md nope k O1\r\n", "NF knope O1\r\n"),
        ("ms k 1\r\n1\r\n", "HD\r\n"),
        ("md k C99999 O2 k\r\n", "EX O2 kk\r\n"),
        ("md k O2 k v s t\r\n", "HD O2 kk\r\n"),
    ]);
}

#[test]
fn md_compares_the_cas_unique() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 1\r\n1\r\n", "HD\r\n"),
        ("md k C99999\r\n", "EX\r\n"),
        ("md k C99999 q\r\n", "EX\r\n"),
        ("md k C0\r\n", "EX\r\n"),
        ("md k C99999 I\r\n", "EX\r\n"),
        ("mg k v\r\n", "VA 1\r\n1\r\n"),
        ("ms k 1 E9\r\n1\r\n", "HD\r\n"),
        ("md k C9\r\n", "HD\r\n"),
        ("mg k v\r\n", "EN\r\n"),
    ]);
}

#[test]
fn md_marks_an_item_as_stale() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 1 T100\r\n1\r\n", "HD\r\n"),
        ("md k I q\r\n", ""),
        ("mg k v t\r\n", "VA 1 t100 X W\r\n1\r\n"),
        ("mg k v\r\n", "VA 1 Z X\r\n1\r\n"),
        // Said again, the next reader is asked again.
        ("md k I T30\r\n", "HD\r\n"),
        ("mg k t\r\n", "HD t30 X W\r\n"),
        ("get k\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n"),
        ("set k 0 0 1\r\n2\r\n", "STORED\r\n"),
        ("mg k v\r\n", "VA 1\r\n2\r\n"),
    ]);
}

#[test]
fn md_gives_a_new_cas_unique_or_that_of_the_client_to_a_stale_item() {
    let server = start!();
    let mut client = server.client();
    client.expect("ms k 1 E9\r\n1\r\n", "HD\r\n");
    client.expect("md k I E55\r\n", "HD\r\n");
    client.expect("mg k c\r\n", "HD c55 X W\r\n");
    client.expect("md k I\r\n", "HD\r\n");
    assert_ne!(client.ask_text("mg k c\r\n"), "HD c55 X W\r\n");
}

#[test]
fn md_empties_an_item() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 3 F9 T100 E8\r\nabc\r\n", "HD\r\n"),
        ("md k x\r\n", "HD\r\n"),
        ("mg k v f t c\r\n", "VA 0 f0 t-1 c8\r\n\r\n"),
        ("ms k 3 F9 T100\r\nabc\r\n", "HD\r\n"),
        ("md k x F7 T50 E42\r\n", "HD\r\n"),
        ("mg k v f t c\r\n", "VA 0 f7 t50 c42\r\n\r\n"),
        ("ms k 3 T100\r\nabc\r\n", "HD\r\n"),
        ("md k x I T20\r\n", "HD\r\n"),
        ("mg k v t\r\n", "VA 0 t20 X W\r\n\r\n"),
    ]);
    let mut client = server.client();
    let value = fill(b'v', 300_000);
    client.expect(format!("ms big 300000\r\n{value}\r\n"), "HD\r\n");
    client.expect("md big x q\r\n", "");
    client.expect("mg big v s\r\n", "VA 0 s0\r\n\r\n");
}

#[test]
fn md_counts_what_is_really_gone() {
    let server = start!();
    let mut client = server.client();
    client.ask("ms k 1\r\n1\r\nmd k C99999\r\nmd nope\r\nmd k I\r\nmd k\r\n");
    assert_eq!([client.stat("delete_hits"), client.stat("delete_misses")], [1, 2]);
    client.ask("ms k 1\r\n1\r\nmd k x I\r\n");
    assert_eq!(client.stat("delete_hits"), 1);
}

#[test]
fn md_x_counts_as_a_deletion() {
    let server = start!();
    let mut client = server.client();
    client.ask("ms k 1\r\n1\r\nmd k x\r\n");
    assert_eq!([client.stat("delete_hits"), client.stat("cmd_set")], [1, 1]);
}

#[test]
fn ma_counts_up_and_down() {
    let server = start!();
    server.client().expect_all(&[
        ("ms n 2\r\n13\r\n", "HD\r\n"),
        ("ma n\r\n", "HD\r\n"),
        ("ma n v\r\n", "VA 2\r\n15\r\n"),
        ("ma n D10 v\r\n", "VA 2\r\n25\r\n"),
        ("ma n MD D5 v\r\n", "VA 2\r\n20\r\n"),
        ("ma n M- v\r\n", "VA 2\r\n19\r\n"),
        ("ma n M+ v\r\n", "VA 2\r\n20\r\n"),
        ("ma n MI v\r\n", "VA 2\r\n21\r\n"),
        ("ma n MDECR v\r\n", "VA 2\r\n20\r\n"),
        ("ma n MINCR v\r\n", "VA 2\r\n21\r\n"),
        ("ma n D0 v\r\n", "VA 2\r\n21\r\n"),
        ("ma n MD D1000 v\r\n", "VA 1\r\n0\r\n"),
        ("mg n v\r\n", "VA 2\r\n0 \r\n"),
        ("ms w 20\r\n18446744073709551615\r\n", "HD\r\n"),
        ("ma w v\r\n", "VA 1\r\n0\r\n"),
        ("mg w v\r\n", "VA 20\r\n0                   \r\n"),
    ]);
}

#[test]
fn ma_returns_what_the_flags_ask_for() {
    let server = start!();
    server.client().expect_all(&[
        ("ms n 1 T100\r\n1\r\n", "HD\r\n"),
        ("ma n t k O9\r\n", "HD t100 kn O9\r\n"),
        ("ma n s f h l v\r\n", "VA 1\r\n3\r\n"),
        ("ma n q\r\n", ""),
        ("ma n q v k O9\r\n", ""),
        ("ma n v\r\n", "VA 1\r\n6\r\n"),
        ("ma nope k O1 v\r\n", "NF knope O1\r\n"),
        ("ma nope q\r\n", "NF\r\n"),
    ]);
}

#[test]
fn ma_compares_and_sets_the_cas_unique() {
    let server = start!();
    let mut client = server.client();
    client.expect_all(&[
        ("ms n 1 E5\r\n1\r\n", "HD\r\n"),
        ("ma n C99999\r\n", "EX\r\n"),
        ("ma n C99999 q k\r\n", "EX kn\r\n"),
        ("ma n C0 v\r\n", "VA 1\r\n2\r\n"),
        ("ma n E1234 c v\r\n", "VA 1 c1234\r\n3\r\n"),
        ("ma n C1234 E1235 c\r\n", "HD c1235\r\n"),
        ("ma n D90 C1235 E7 c v\r\n", "VA 2 c7\r\n94\r\n"),
        ("gets n\r\n", "VALUE n 0 2 7\r\n94\r\nEND\r\n"),
    ]);
    let reply = client.ask_text("ma n c\r\n");
    client.expect("mg n c\r\n", reply);
}

#[test]
fn ma_sets_the_time_to_live_where_its_flag_stands() {
    let server = start!();
    server.client().expect_all(&[
        ("ms n 1\r\n1\r\n", "HD\r\n"),
        ("ma n T100 t v\r\n", "VA 1 t100\r\n2\r\n"),
        ("ma n t T200 v\r\n", "VA 1 t100\r\n3\r\n"),
        ("ma n N900 t\r\n", "HD t200\r\n"),
        ("ma n q T300\r\n", ""),
        ("mg n t\r\n", "HD t300\r\n"),
    ]);
}

#[test]
fn ma_creates_a_counter() {
    let server = start!();
    server.client().expect_all(&[
        ("ma n N0 J13 v t k O1\r\n", "VA 2 t-1 kn O1\r\n13\r\n"),
        ("ma n N0 J13 v\r\n", "VA 2\r\n14\r\n"),
        ("ma m N90 v\r\n", "VA 1\r\n0\r\n"),
        ("ma m N90 t v\r\n", "VA 1 t90\r\n1\r\n"),
        ("ma o N0 q\r\n", ""),
        ("mg o v\r\n", "VA 1\r\n0\r\n"),
        ("ma p N100 T50 t v\r\n", "VA 1 t50\r\n0\r\n"),
        ("mg p t\r\n", "HD t50\r\n"),
        ("ma p2 T50 N100 v\r\n", "VA 1\r\n0\r\n"),
        ("mg p2 t\r\n", "HD t100\r\n"),
        ("ma r t N100 v\r\n", "VA 1 t-1\r\n0\r\n"),
        ("mg r t\r\n", "HD t100\r\n"),
        ("ma s N0 J18446744073709551615 v\r\n", "VA 20\r\n18446744073709551615\r\n"),
        ("ma nojunk J5\r\n", "NF\r\n"),
    ]);
}

#[test]
fn ma_creates_with_the_cas_unique_of_the_client() {
    let server = start!();
    server.client().expect_all(&[("ma n N0 E77 c\r\n", "HD c77\r\n"), ("mg n c\r\n", "HD c77\r\n")]);
}

#[test]
fn ma_refuses_what_is_no_number() {
    let server = start!();
    let mut client = server.client();
    client.expect_all(&[
        ("ms t 2\r\nhi\r\n", "HD\r\n"),
        ("ma t\r\n", NON_NUMERIC),
        ("ma t q\r\n", NON_NUMERIC),
        ("ma t N0\r\n", NON_NUMERIC),
        ("ms t 0\r\n\r\n", "HD\r\n"),
        ("ma t\r\n", NON_NUMERIC),
        ("ma t C99999\r\n", NON_NUMERIC),
    ]);
    let value = fill(b'1', 300_000);
    client.expect(format!("ms t 300000\r\n{value}\r\n"), "HD\r\n");
    client.expect("ma t\r\n", NON_NUMERIC);
}

#[test]
fn ma_has_one_answer_to_all_wrong_flags() {
    let server = start!();
    let mut client = server.client();
    client.expect("ms n 1\r\n1\r\n", "HD\r\n");
    for flags in ["Dx", "D", "D-1", "Jx", "v v", "m", "Tx", "Cx", "b"] {
        client.expect(format!("ma n {flags}\r\n"), BAD_FLAG);
        client.expect(format!("ma n q {flags}\r\n"), BAD_FLAG);
    }
    for mode in ["Mincr", "Mdecr", "Mx", "M", "M v"] {
        client.expect(format!("ma n {mode}\r\n"), "CLIENT_ERROR invalid mode for ma M token\r\n");
    }
    client.expect("mg n v\r\n", "VA 1\r\n1\r\n");
}

#[test]
fn ma_counts_hits_and_misses_like_incr_and_decr() {
    let server = start!();
    let mut client = server.client();
    client.ask("ma n\r\nma n MD\r\nma n N0\r\nma n\r\nma n MD\r\nma n C99999\r\n");
    let names = ["incr_misses", "incr_hits", "decr_misses", "decr_hits", "cmd_set"];
    assert_eq!(names.map(|name| client.stat(name)), [1, 1, 1, 1, 0]);
}

/// Stores small items until none fits any more, in a daemon that does not evict.
fn fill_up(client: &mut Client) {
    for round in 0..400 {
        let commands: String = (0..1000).map(|at| format!("ms {round:03}/{at:03} 1 q\r\n1\r\n")).collect();
        let replies = client.ask_text(commands);
        if replies == "SERVER_ERROR out of memory storing object\r\n".repeat(1000) {
            return;
        }
    }
    panic!("400000 items fit into 8 MB");
}

#[test]
fn what_cannot_be_created_for_want_of_memory_says_so() {
    let server = start!(&["-m", "8", "-M"]);
    let mut client = server.client();
    fill_up(&mut client);
    client.expect_all(&[
        ("ma counter N0 v\r\n", "SERVER_ERROR Out of memory allocating new item\r\n"),
        ("ma counter N0 q\r\n", "SERVER_ERROR Out of memory allocating new item\r\n"),
        ("ma counter\r\n", "NF\r\n"),
        ("mg created N30 v k\r\n", "EN kcreated\r\n"),
        ("mg created N30 q\r\n", ""),
        ("ms another 1 q\r\n1\r\n", "SERVER_ERROR out of memory storing object\r\n"),
    ]);
}

#[test]
fn an_item_that_cannot_be_emptied_for_want_of_memory_stays() {
    let server = start!(&["-m", "8", "-M"]);
    let mut client = server.client();
    let value = fill(b'v', 5000);
    client.expect(format!("ms large 5000\r\n{value}\r\n"), "HD\r\n");
    fill_up(&mut client);
    client.expect("md large x q\r\n", "SERVER_ERROR out of memory\r\n");
    client.expect("mg large v\r\n", format!("VA 5000\r\n{value}\r\n"));
}
