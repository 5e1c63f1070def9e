//! noreply: which commands keep quiet, also about errors, and where the word is something else.

use crate::client::fill;
use crate::differences::start;

const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";

#[test]
fn successes_are_silent_and_carried_out() {
    let server = start!();
    server.client().expect_all(&[
        ("set k 1 0 1 noreply\r\n5\r\n", ""),
        ("get k\r\n", "VALUE k 1 1\r\n5\r\nEND\r\n"),
        ("add n 0 0 1 noreply\r\n1\r\n", ""),
        ("replace n 0 0 1 noreply\r\n2\r\n", ""),
        ("append n 0 0 1 noreply\r\n3\r\n", ""),
        ("prepend n 0 0 1 noreply\r\n1\r\n", ""),
        ("get n\r\n", "VALUE n 0 3\r\n123\r\nEND\r\n"),
        ("incr n 7 noreply\r\n", ""),
        ("decr n 30 noreply\r\n", ""),
        ("get n\r\n", "VALUE n 0 3\r\n100\r\nEND\r\n"),
        ("touch n 100 noreply\r\n", ""),
        ("delete n noreply\r\n", ""),
        ("get n\r\n", "END\r\n"),
        ("touch k -1 noreply\r\n", ""),
        ("get k\r\n", "END\r\n"),
        ("verbosity 0 noreply\r\n", ""),
        ("set k 0 0 1 noreply\r\n1\r\n", ""),
        ("flush_all noreply\r\n", ""),
        ("get k\r\n", "END\r\n"),
        ("flush_all 0 noreply\r\n", ""),
    ]);
}

#[test]
fn cas_is_silent_too() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 1\r\na\r\n", "STORED\r\n");
    let unique = crate::storage::unique_of(&mut client, "k");
    client.expect(format!("cas k 0 0 1 {unique} noreply\r\nb\r\n"), "");
    client.expect(format!("cas k 0 0 1 {unique} noreply\r\nc\r\n"), "");
    client.expect("cas absent 0 0 1 1 noreply\r\nc\r\n", "");
    client.expect("get k absent\r\n", "VALUE k 0 1\r\nb\r\nEND\r\n");
}

#[test]
fn failures_are_silent() {
    let server = start!();
    let long = fill(b'k', 251);
    let large = fill(b'x', 1_048_577);
    let rows = [
        "set k 0 0 2 noreply\r\nhi\r\n".to_string(),
        "add k 0 0 1 noreply\r\n1\r\n".into(),
        "replace absent 0 0 1 noreply\r\n1\r\n".into(),
        "append absent 0 0 1 noreply\r\n1\r\n".into(),
        "prepend absent 0 0 1 noreply\r\n1\r\n".into(),
        "incr absent 1 noreply\r\n".into(),
        "incr k 1 noreply\r\n".into(),
        "incr k x noreply\r\n".into(),
        "decr absent 1 noreply\r\n".into(),
        "delete absent noreply\r\n".into(),
        "touch absent 1 noreply\r\n".into(),
        "touch k x noreply\r\n".into(),
        "flush_all x noreply\r\n".into(),
        "verbosity x noreply\r\n".into(),
        format!("incr {long} 1 noreply\r\n"),
        format!("delete {long} noreply\r\n"),
        format!("touch {long} 1 noreply\r\n"),
        format!("add big 0 0 {} noreply\r\n{large}\r\n", large.len()),
    ];
    let mut client = server.client();
    for row in rows {
        client.expect(row, "");
    }
    client.expect("get k absent\r\n", "VALUE k 0 2\r\nhi\r\nEND\r\n");
}

#[test]
fn refused_storage_lines_are_silent_and_their_data_is_skipped() {
    let server = start!();
    let long = fill(b'k', 251);
    let rows = ["set k abc 0 5", "set k 0 abc 5", "cas k 0 0 5 abc", &format!("set {long} 0 0 5")];
    let mut client = server.client();
    for row in rows {
        client.expect(format!("{row} noreply\r\nhello\r\n"), "");
    }
}

#[test]
fn a_bad_data_chunk_is_silent_but_what_follows_is_read_as_commands() {
    let server = start!();
    server.client().expect_all(&[
        ("set k 0 0 3 noreply\r\nabcXXversions\r\n", "ERROR\r\n"),
        ("set k 0 0 3 noreply\r\nabcXXmn\r\n", "MN\r\n"),
        ("get k\r\n", "END\r\n"),
    ]);
}

#[test]
fn a_length_that_cannot_be_read_is_reported_even_so() {
    let server = start!();
    server.client().expect_all(&[
        ("set k 0 0 abc noreply\r\n", BAD_LINE),
        ("set k 0 0 -1 noreply\r\n", BAD_LINE),
        ("set k 0 0 noreply\r\n", BAD_LINE),
    ]);
}

#[test]
fn unknown_commands_are_silent_too() {
    let server = start!();
    server.client().expect_all(&[
        ("bogus noreply\r\n", ""),
        ("bogus a b noreply\r\n", ""),
        ("bogus noreply x\r\n", "ERROR\r\n"),
    ]);
}

#[test]
fn the_word_counts_only_as_the_last_token_and_exactly_so() {
    let server = start!();
    server.client().expect_all(&[
        ("set k 0 0 1 NOREPLY\r\n1\r\n", "STORED\r\n"),
        ("set k 0 0 1 noreplyx\r\n1\r\n", "STORED\r\n"),
        ("set k 0 0 1 norepl\r\n1\r\n", "STORED\r\n"),
        ("set k 0 0 1 noreply junk\r\n1\r\n", "STORED\r\n"),
        ("set k 0 0 1 junk noreply\r\n1\r\n", ""),
        ("set k 0 0 1 noreply  \r\n1\r\n", ""),
        ("incr k 1 noreply junk\r\n", "2\r\n"),
    ]);
}

#[test]
fn the_word_can_also_be_a_key_or_an_argument() {
    let server = start!();
    server.client().expect_all(&[
        ("set noreply 0 0 1\r\n1\r\n", "STORED\r\n"),
        ("get noreply\r\n", "VALUE noreply 0 1\r\n1\r\nEND\r\n"),
        // Deletes the key of this name, and quietly, since it is also the last token.
        ("delete noreply\r\n", ""),
        ("get noreply\r\n", "END\r\n"),
        // Read as the unique, which it is not, and the complaint is suppressed.
        ("set k 0 0 1\r\na\r\n", "STORED\r\n"),
        ("cas k 0 0 1 noreply\r\nb\r\n", ""),
        ("get k\r\n", "VALUE k 0 1\r\na\r\nEND\r\n"),
    ]);
}

#[test]
fn version_mn_and_stats_answer_even_so() {
    let server = start!();
    let mut client = server.client();
    let version = client.ask_text("version\r\n");
    client.expect("version noreply\r\n", version);
    client.expect("mn noreply\r\n", "MN\r\n");
    client.expect("stats noreply\r\n", "ERROR\r\n");
    client.expect("stats reset noreply\r\n", "RESET\r\n");
}
