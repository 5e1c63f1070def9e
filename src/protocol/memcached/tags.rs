//! Tags of listening sockets (`-l tag[NAME]:ADDRESS`), and `stats tags`, which counts by them.
//!
//! A worker has one block of counters for each tag, and a turn is given that of its connection. Where no socket
//! has a tag there is one block, and nothing more to do than without tags.

use crate::config::ListenAddress;

use super::daemon::WorkerFigures;
use super::session::Turn;
use super::stats::Lines;

/// The name for sockets that have none. Whoever gives it to one means the same.
const UNTAGGED: &str = "untagged";

/// The number of a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag(u32);

impl Tag {
    /// Its place among the tags.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// All tags by number. Sockets without a tag have the first.
#[derive(Debug)]
pub struct Tags(Vec<String>);

impl Tags {
    /// The tags of these addresses, each once.
    pub fn new<'a>(addresses: impl Iterator<Item = &'a ListenAddress>) -> Tags {
        let mut names = vec![UNTAGGED.to_owned()];
        for tag in addresses.filter_map(|address| address.tag.as_ref()) {
            if !names.contains(tag) {
                names.push(tag.clone());
            }
        }
        Tags(names)
    }

    /// How many there are, that for sockets without one included.
    #[inline]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether any socket has one.
    pub fn any(&self) -> bool {
        self.count() > 1
    }

    /// The number of a name.
    pub fn number_of(&self, name: Option<&str>) -> Tag {
        let place = name.and_then(|name| self.0.iter().position(|other| other == name));
        Tag(place.unwrap_or(0) as u32)
    }

    /// The name of a tag; `None` for sockets that have none.
    pub fn name_of(&self, tag: Tag) -> Option<&str> {
        self.0.get(tag.index()).filter(|_| tag != Tag::default()).map(String::as_str)
    }
}

/// `<tag>:<name>` for every tag, if there are any.
pub(super) fn stats(turn: &mut Turn) {
    let daemon = turn.daemon;
    if !daemon.tags.any() {
        return;
    }
    let baseline = daemon.baseline.lock();
    let gauges = daemon.figures_by_tag();
    let mut lines = Lines(turn.output);
    for (index, (tag, gauges)) in daemon.tags.0.iter().zip(&gauges).enumerate() {
        let base = baseline.by_tag.get(index).copied().unwrap_or_default();
        for (name, value) in tag_lines(gauges, &gauges.since(&base)) {
            lines.add(format_args!("{tag}:{name}"), value);
        }
    }
}

/// Names and order are those of `stats`.
fn tag_lines(gauges: &WorkerFigures, counts: &WorkerFigures) -> [(&'static str, u64); 12] {
    [
        ("curr_connections", gauges.curr_connections),
        ("total_connections", counts.total_connections),
        ("cmd_get", counts.get_hits + counts.get_misses),
        ("cmd_set", counts.cmd_set),
        ("cmd_flush", counts.cmd_flush),
        ("cmd_touch", counts.cmd_touch),
        ("cmd_meta", counts.cmd_meta),
        ("get_hits", counts.get_hits),
        ("get_misses", counts.get_misses),
        ("idle_kicks", counts.idle_kicks),
        ("bytes_read", counts.bytes_read),
        ("bytes_written", counts.bytes_written),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Security;

    #[test]
    fn a_tag_may_be_that_of_several_sockets() {
        let address = |tag: Option<&str>| ListenAddress {
            host: None,
            port: 0,
            tag: tag.map(str::to_owned),
            security: Security::Plain,
        };
        let none = Tags::new([address(None), address(Some(UNTAGGED))].iter());
        assert!(!none.any());
        assert_eq!(none.count(), 1);
        let addresses = [address(Some("b")), address(None), address(Some("a")), address(Some("b"))];
        let tags = Tags::new(addresses.iter());
        assert_eq!((tags.any(), tags.count()), (true, 3));
        let names = |tag| tags.name_of(tags.number_of(tag));
        assert_eq!((names(Some("a")), names(Some("b"))), (Some("a"), Some("b")));
        assert_eq!((names(None), names(Some(UNTAGGED))), (None, None));
        assert_eq!(tags.number_of(Some("a")).index(), 2);
    }
}
