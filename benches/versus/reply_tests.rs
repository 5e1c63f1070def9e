//! The judge must accept what a right server answers, in whatever pieces, and nothing else.

use std::time::Instant;

use super::*;
use crate::cases;
use crate::workload::ValueBytes;

/// What a connection is asked in these tests.
struct Dialogue {
    workload: Workload,
    values: Values,
    requests: Vec<(Kind, Vec<u32>)>,
    content: Content,
}

impl Dialogue {
    fn new(protocol: Protocol, requests: &[(Kind, &[u32])]) -> Dialogue {
        let value_bytes = ValueBytes { min: 10, max: 40 };
        let workload = Workload { protocol, value_bytes, ..cases::base() };
        let requests = requests.iter().map(|(kind, ids)| (*kind, ids.to_vec())).collect();
        let values = crate::requests::values(1, value_bytes);
        Dialogue { workload, values, requests, content: Content::OfItems }
    }

    fn key(&self, id: u32) -> Vec<u8> {
        let mut key = Vec::new();
        self.values.push_key(id, self.workload.key_bytes, &mut key);
        key
    }

    /// A value block as a right server writes it.
    fn block(&self, id: u32, version: u8, opaque: u32) -> Vec<u8> {
        let (key, bytes, flags) = (self.key(id), self.workload.value_bytes.of(id), self.values.flags(id));
        let key = String::from_utf8(key).unwrap();
        let mut block = match self.workload.protocol {
            Protocol::Classic => format!("VALUE {key} {flags} {bytes}\r\n"),
            Protocol::Meta => format!("VA {bytes} k{key} f{flags} O{opaque}\r\n"),
        }
        .into_bytes();
        self.values.push_value(id, version, bytes, &mut block);
        [&block[..], b"\r\n"].concat()
    }

    /// Gives `input` to a judge in pieces; what is left over comes again before the next, as it does from a
    /// connection. Returns keys and misses of each request answered, and how many bytes were left over.
    fn judge(&self, input: &[u8], piece_bytes: usize) -> Result<(Vec<(usize, usize)>, usize), Wrong> {
        let mut judge = Judge::new(&self.workload, &self.values, self.content);
        let mut expected = Expected::default();
        let start = Instant::now();
        for (kind, ids) in &self.requests {
            expected.push(*kind, ids, start);
        }
        let (mut answered, mut left) = (Vec::new(), Vec::new());
        for piece in input.chunks(piece_bytes) {
            left.extend_from_slice(piece);
            let taken = judge.take(&mut expected, &left, |one| answered.push((one.keys, one.misses)))?;
            left.drain(..taken);
        }
        assert_eq!(expected.len(), self.requests.len() - answered.len());
        Ok((answered, left.len()))
    }

    #[track_caller]
    fn accepts(&self, input: &[u8], keys_and_misses: &[(usize, usize)]) {
        for piece_bytes in [1, 2, 7, input.len()] {
            let (answered, left) = self.judge(input, piece_bytes).expect("a right reply");
            assert_eq!((&answered[..], left), (keys_and_misses, 0), "in pieces of {piece_bytes}");
        }
    }

    #[track_caller]
    fn refuses(&self, input: &[u8], because: &str) {
        for piece_bytes in [1, 7, input.len()] {
            let Wrong(why) = self.judge(input, piece_bytes).expect_err("a wrong reply");
            assert!(why.contains(because), "{why}");
        }
    }
}

fn a_get_and_a_multiget(protocol: Protocol) -> Dialogue {
    Dialogue::new(protocol, &[(Kind::Get(1), &[3]), (Kind::Get(3), &[5, 6, 5]), (Kind::Set, &[7])])
}

#[test]
fn right_classic_replies_are_accepted() {
    let dialogue = a_get_and_a_multiget(Protocol::Classic);
    let block = |id, version| dialogue.block(id, version, 0);
    let all = [&block(3, 0)[..], b"END\r\n", &block(5, 1), &block(6, 2), &block(5, 3), b"END\r\nSTORED\r\n"];
    dialogue.accepts(&all.concat(), &[(1, 0), (3, 0), (1, 0)]);
    let some = [b"END\r\n", &block(6, 0)[..], b"END\r\nSTORED\r\n"];
    dialogue.accepts(&some.concat(), &[(1, 1), (3, 2), (1, 0)]);
}

#[test]
fn right_meta_replies_are_accepted() {
    let dialogue = a_get_and_a_multiget(Protocol::Meta);
    let all = [
        dialogue.block(3, 0, 0),
        dialogue.block(5, 0, 1),
        dialogue.block(6, 0, 2),
        dialogue.block(5, 0, 3),
        b"MN\r\nHD O4\r\n".to_vec(),
    ];
    dialogue.accepts(&all.concat(), &[(1, 0), (3, 0), (1, 0)]);
    let some = [b"EN\r\n", &dialogue.block(6, 0, 2)[..], b"MN\r\nHD O4\r\n"];
    dialogue.accepts(&some.concat(), &[(1, 1), (3, 2), (1, 0)]);
}

#[test]
fn another_key_or_order_is_refused() {
    for (protocol, opaque) in [(Protocol::Classic, 0), (Protocol::Meta, 1)] {
        let one = Dialogue::new(protocol, &[(Kind::Get(1), &[3])]);
        one.refuses(&one.block(4, 0, 0), "expected the value of");
        let two = Dialogue::new(protocol, &[(Kind::Get(1), &[3]), (Kind::Get(1), &[4])]);
        two.refuses(&two.block(4, 0, 0), "expected the value of");
        let many = Dialogue::new(protocol, &[(Kind::Get(2), &[5, 6])]);
        let swapped = [many.block(6, 0, opaque), many.block(5, 0, 0)];
        many.refuses(&swapped.concat(), "all its keys are answered");
    }
}

#[test]
fn another_value_is_refused() {
    let dialogue = Dialogue::new(Protocol::Classic, &[(Kind::Get(1), &[3])]);
    let right = dialogue.block(3, 0, 0);
    let start = right.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for at in start..right.len() - 2 {
        let mut flipped = right.clone();
        flipped[at] ^= 1;
        dialogue.refuses(&flipped, "expected a value stored under");
    }
    // Half of one version and half of another.
    let other = dialogue.block(3, 1, 0);
    let middle = (start + right.len()) / 2;
    dialogue.refuses(&[&right[..middle], &other[middle..]].concat(), "expected a value stored under");
    // The value of another item of the same length.
    let length = dialogue.workload.value_bytes.of(3);
    let twin = (4..).find(|&id| dialogue.workload.value_bytes.of(id) == length).unwrap();
    let twin_block = dialogue.block(twin, 0, 0);
    let value = &twin_block[twin_block.len() - length - 2..];
    dialogue.refuses(&[&right[..start], value].concat(), "expected a value stored under");
}

#[test]
fn another_length_flags_or_opaque_is_refused() {
    let dialogue = Dialogue::new(Protocol::Classic, &[(Kind::Get(1), &[3])]);
    let key = String::from_utf8(dialogue.key(3)).unwrap();
    let bytes = dialogue.workload.value_bytes.of(3);
    dialogue.refuses(format!("VALUE {key} 0 {}\r\n", bytes + 1).as_bytes(), "a value of");
    dialogue.refuses(format!("VALUE {key} 1 {bytes}\r\n").as_bytes(), "client flags 0");
    dialogue.refuses(format!("VALUE {key} 0 {bytes} 9\r\n").as_bytes(), "the line of a value");
    let meta = Dialogue::new(Protocol::Meta, &[(Kind::Get(1), &[3]), (Kind::Set, &[4])]);
    meta.refuses(&meta.block(3, 0, 1), "opaque 0");
    meta.refuses(&[&meta.block(3, 0, 0)[..], b"HD O0\r\n"].concat(), "HD O1");
}

#[test]
fn errors_and_surplus_are_refused() {
    let get = Dialogue::new(Protocol::Classic, &[(Kind::Get(1), &[3])]);
    get.refuses(b"SERVER_ERROR out of memory\r\n", "SERVER_ERROR");
    get.refuses(b"EN\r\n", "or END");
    get.refuses(b"END\n", "CR LF");
    get.refuses(b"END\r\nEND\r\n", "all requests are answered");
    get.refuses(&vec![b'x'; LINE_BYTES_MAX + 1], "a line that ends");
    let set = Dialogue::new(Protocol::Classic, &[(Kind::Set, &[3])]);
    set.refuses(b"NOT_STORED\r\n", "STORED");
    let mut long = get.block(3, 0, 0);
    let end = long.len() - 2;
    long.splice(end..end, *b"!!");
    get.refuses(&long, "CR LF behind a value");
}

#[test]
fn a_truncated_reply_stays_unanswered() {
    let dialogue = Dialogue::new(Protocol::Classic, &[(Kind::Get(1), &[3])]);
    let whole = [&dialogue.block(3, 0, 0)[..], b"END\r\n"].concat();
    for bytes in 1..whole.len() {
        let (answered, _) = dialogue.judge(&whole[..bytes], bytes).unwrap();
        assert_eq!(answered, [], "{bytes}");
    }
}

#[test]
fn the_floor_has_one_value_for_all_keys() {
    let mut dialogue = Dialogue::new(Protocol::Classic, &[(Kind::Get(1), &[5])]);
    dialogue.content = Content::Prepared;
    let key = String::from_utf8(dialogue.key(5)).unwrap();
    let reply = |bytes: usize| {
        let mut reply = format!("VALUE {key} 0 {bytes}\r\n").into_bytes();
        dialogue.values.push_value(0, 0, 40, &mut reply);
        reply.truncate(reply.len() - (40 - bytes));
        reply.extend_from_slice(b"\r\nEND\r\n");
        reply
    };
    dialogue.accepts(&reply(10), &[(1, 0)]);
    dialogue.accepts(&reply(40), &[(1, 0)]);
    dialogue.refuses(&reply(9), "a value of");
    dialogue.refuses(&dialogue.block(5, 0, 0), "");
}
