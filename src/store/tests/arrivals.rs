//! Values that are read straight to their place.

use std::io::{self, IoSliceMut, Read};

use super::*;

/// What a client sends, of which one read takes at most so many bytes.
struct Sent<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl Read for Sent<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(into)])
    }

    fn read_vectored(&mut self, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut rest = &self.bytes[..self.bytes.len().min(self.width)];
        let mut taken = 0;
        for piece in pieces {
            let (here, behind) = rest.split_at(rest.len().min(piece.len()));
            piece[..here.len()].copy_from_slice(here);
            (rest, taken) = (behind, taken + here.len());
        }
        self.bytes = &self.bytes[taken..];
        if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }
}

#[test]
fn a_value_is_read_to_its_place_in_pieces_of_any_size() {
    const BEHIND: &[u8] = b"\r\nget next\r\n";
    for (value_bytes, first) in [(40_000, 1), (40_000, 20_000), (300_000, 65_000), (163_840, 0)] {
        for (width, bytes_max) in [(1 << 20, 1 << 20), (1 << 20, 50_000), (16_384, 100_000), (9999, 1 << 20)]
        {
            let store = store(4 << 20, 1, |_| {});
            let value = pattern(3, value_bytes);
            let key = store.key(b"k");
            let mut arriving =
                store.reserve(key, StoreMode::Set, 0, Deadline::NEVER, value_bytes, START).unwrap();
            arriving.write(&value[..first], START).unwrap();
            let all = [&value[first..], BEHIND].concat();
            let mut sent = Sent { bytes: &all, width };
            let mut buffer = [0; 4096];
            let mut behind = 0;
            while arriving.missing_in_blocks() > 0 {
                let (before, unread) = (arriving.missing_in_blocks(), sent.bytes.len());
                let arrived = arriving.read_from(&mut sent, &mut buffer, bytes_max, START).unwrap().unwrap();
                behind = arrived.behind;
                assert_eq!(arrived.bytes, unread - sent.bytes.len());
                assert_eq!(before - arriving.missing_in_blocks(), arrived.bytes - behind);
                let room = if before <= bytes_max { before + buffer.len() } else { bytes_max };
                assert_eq!(arrived.is_all, arrived.bytes == room);
                // Who has sent little holds little.
                check_with(&store, arriving.pages());
                let in_blocks = (value_bytes - arriving.missing()).min(value_bytes);
                assert_eq!(arriving.pages(), in_blocks.div_ceil(store.shared.budget.page_bytes()));
            }
            let rest = [&buffer[..behind], sent.bytes].concat();
            let (tail, follows) = rest.split_at(arriving.missing());
            arriving.write(tail, START).unwrap();
            assert_eq!(follows, BEHIND);
            assert_eq!(arriving.commit(START), StoreOutcome::Stored);
            assert!(value_of(&store, b"k").as_ref() == Some(&value), "{value_bytes} bytes in {width}");
            check(&store);
        }
    }
}

#[test]
fn nothing_is_read_or_held_where_there_is_nothing_to_read_or_no_memory() {
    let store = store(4 << 20, 1, |_| {});
    let key = store.key(b"k");
    let mut arriving = store.reserve(key, StoreMode::Append, 0, Deadline::NEVER, 300_000, START).unwrap();
    let mut sent = Sent { bytes: b"", width: 1 };
    let error = arriving.read_from(&mut sent, &mut [], 1 << 20, START).unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert_eq!((arriving.pages(), arriving.missing()), (0, 300_000));
    check(&store);
    store.set_memory_limit(1);
    let value = pattern(1, 300_000);
    let mut sent = Sent { bytes: &value, width: 1 << 20 };
    assert!(arriving.read_from(&mut sent, &mut [], 1 << 20, START).is_none());
    assert_eq!((sent.bytes.len(), arriving.pages(), arriving.missing()), (300_000, 0, 300_000));
}
