//! The inputs that fuzzing found worth keeping, once more; and that the checks can fail.

use std::path::Path;

use super::*;

/// Feeds every committed input of a target to `check`.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol-tests/fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        check(&std::fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 10, "{inputs} inputs in {}", folder.display());
}

#[test]
fn inputs_of_the_classic_parser_hold() {
    replay("classic", check_classic_line);
}

#[test]
fn inputs_of_the_meta_parser_hold() {
    replay("meta", check_meta_line);
}

#[test]
fn inputs_of_sessions_hold() {
    replay("session", check_session);
}

#[test]
fn inputs_of_datagrams_hold() {
    replay("datagram", check_datagram);
}

#[test]
fn inputs_of_config_files_hold() {
    replay("config", crate::config::fuzzing::check_file);
}

#[test]
fn inputs_of_files_of_users_hold() {
    replay("users", crate::auth::fuzzing::check_users);
}

/// What fuzzing found, or would have.
#[test]
fn prefixes_of_binary_keys_forge_no_lines() {
    let key = "YQ0KRU5EDQo6Yg=="; // a CR LF END CR LF :b
    let stream = format!("stats detail on\r\nms {key} 1 b\r\nx\r\nmg {key} b\r\nstats detail dump\r\n");
    check_session(&[b"\x41\x01", stream.as_bytes()].concat());
}

#[test]
fn silence_is_asked_for_by_the_last_token_that_counts() {
    let line = format!("foo{} noreply and more", " x".repeat(21));
    check_classic_line(line.as_bytes());
    check_session(&[b"\x01\x01", line.as_bytes(), b"\r\nmn\r\n"].concat());
}

#[test]
fn an_item_that_is_held_twice_is_let_go() {
    check_session(b"\x80\x01set a 0 0 1\r\nx\r\ndebugitem ref a\r\ndebugitem ref a\r\ndelete a\r\n");
}

#[test]
fn replies_have_their_forms() {
    for replies in [
        "",
        "STORED\r\nVALUE k 0 3\r\na\nb\r\nVALUE k 4 0 77\r\n\r\nEND\r\n",
        "VA 2 t5 kfoo O123\r\nab\r\nHD\r\nEN\r\nNF Oq\r\nMN\r\n",
        "ME k exp=-1 la=0 cas=1 fetch=no cls=1 size=60\r\n",
        "key=a exp=-1 la=5 cas=1 fetch=no cls=1 size=60 flags=0 \nmg a\r\nmg YQ== b\r\n",
        "STAT pid 1\r\nPREFIX a get 1 hit 0 set 1 del 0\r\nITEM a [1 b; 0 s]\r\n18446744073709551615\r\n",
        "OK 5\r\nCLIENT_ERROR bad data chunk\r\n",
    ] {
        shape::all(replies.as_bytes());
    }
    for wrong in [
        "STORED",
        "STORED\n",
        "STORED \r\n",
        "VALUE k 0 3\r\nabcd\r\n",
        "VALUE k 0 4\r\nabc\r\n",
        "VALUE k 0\r\n",
        "VA x\r\n",
        "HD 5\r\n",
        "CLIENT_ERROR something else\r\n",
        "-1\r\n",
        "get a\r\n",
        "\r\n",
    ] {
        let outcome = std::panic::catch_unwind(|| shape::all(wrong.as_bytes()).len());
        assert!(outcome.is_err(), "{wrong:?} passes");
    }
}
