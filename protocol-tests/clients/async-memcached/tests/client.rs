//! The crate `async-memcached`, which speaks the classic and the meta commands, against the server
//! that LARDER_TEST_ADDRESS names.
//!
//! All tests share that server and run at the same time, so each uses keys of its own. `dump_keys` is left
//! out: it does not expect the `OK` with which memcached 1.6.45 begins the list.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_memcached::{AsciiProtocol, Client, Error, ErrorKind, MetaProtocol, MetaValue, Status};

/// Longest wait for what the server does by itself.
const WAIT: Duration = Duration::from_secs(15);

async fn connect() -> Client {
    let address = std::env::var("LARDER_TEST_ADDRESS").expect("LARDER_TEST_ADDRESS is host:port");
    Client::new(format!("tcp://{address}")).await.expect("a server")
}

#[track_caller]
fn refused<T: std::fmt::Debug + PartialEq>(found: Result<T, Error>, status: Status) {
    assert_eq!(found, Err(Error::Protocol(status)));
}

#[track_caller]
fn found(answer: Result<Option<MetaValue>, Error>) -> MetaValue {
    answer.expect("no error").expect("a value")
}

#[tokio::test]
async fn classic_set_add_get_and_delete() {
    let mut client = connect().await;
    assert_eq!(client.get("classic").await, Ok(None));
    assert_eq!(client.set("classic", "value", Some(100), Some(7)).await, Ok(()));
    let value = client.get("classic").await.unwrap().unwrap();
    assert_eq!((value.data, value.flags), (Some(b"value".to_vec()), Some(7)));
    refused(client.add("classic", "other", None, None).await, Status::NotStored);
    assert_eq!(client.delete("classic").await, Ok(()));
    refused(client.delete("classic").await, Status::NotFound);
    assert_eq!(client.add("classic", "other", None, None).await, Ok(()));
}

#[tokio::test]
async fn classic_counters() {
    let mut client = connect().await;
    refused(client.increment("counter", 1).await, Status::NotFound);
    client.set("counter", 10_u64, None, None).await.unwrap();
    assert_eq!(client.increment("counter", 5).await, Ok(15));
    assert_eq!(client.decrement("counter", 100).await, Ok(0));
    client.increment_no_reply("counter", 3).await.unwrap();
    assert_eq!(client.increment("counter", 1).await, Ok(4));
    client.set("counter", "word", None, None).await.unwrap();
    let answer = client.increment("counter", 1).await;
    assert!(
        matches!(&answer, Err(Error::Protocol(Status::Error(ErrorKind::Client(text)))) if text.contains("non-numeric")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn classic_lists_of_keys() {
    let mut client = connect().await;
    let pairs: Vec<(String, String)> =
        (0..2_000).map(|i| (format!("list:{i}"), format!("value {i}"))).collect();
    let borrowed: Vec<(&str, &str)> =
        pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let stored = client.set_multi(&borrowed, Some(100), None).await.unwrap();
    assert_eq!(stored.len(), pairs.len());
    assert!(stored.values().all(Result::is_ok));
    let added = client.add_multi(&borrowed[..2], Some(100), None).await.unwrap();
    assert!(added.values().all(|answer| *answer == Err(Error::Protocol(Status::NotStored))));
    let keys = pairs.iter().map(|(key, _)| key.as_str()).chain(["list:missing"]);
    let values = client.get_multi(keys).await.unwrap();
    let got: BTreeMap<Vec<u8>, Vec<u8>> =
        values.into_iter().map(|value| (value.key, value.data.unwrap())).collect();
    let want = pairs.iter().map(|(key, value)| (key.clone().into_bytes(), value.clone().into_bytes()));
    assert_eq!(got, want.collect());
    client.delete_multi_no_reply(&["list:0", "list:1"]).await.unwrap();
    assert_eq!(client.get("list:1").await, Ok(None));
}

#[tokio::test]
async fn values_of_all_sizes_and_bytes() {
    let mut client = connect().await;
    let bytes: Vec<u8> = (0..=255).collect();
    for length in [0, 1, 255, 4_096, 65_537, 1_000_000] {
        let value: Vec<u8> = bytes.iter().copied().cycle().take(length).collect();
        client.set("sizes", value.as_slice(), None, None).await.unwrap();
        let read = client.get("sizes").await.unwrap().unwrap().data.unwrap_or_default();
        assert!(read == value, "{length} bytes");
        let read = found(client.meta_get("sizes", false, None, Some(&["v", "s"])).await);
        assert!(read.data.unwrap_or_default() == value, "{length} bytes");
        assert_eq!(read.size, Some(length as u64));
    }
    let large = vec![b'x'; 2_000_000];
    let answer = client.set("sizes", large.as_slice(), None, None).await;
    assert!(
        matches!(&answer, Err(Error::Protocol(Status::Error(ErrorKind::Server(text)))) if text.contains("too large")),
        "{answer:?}"
    );
    assert_eq!(client.get("sizes").await, Ok(None));
}

#[tokio::test]
async fn items_end() {
    let mut client = connect().await;
    client.set("ends", "value", Some(2), None).await.unwrap();
    let read = found(client.meta_get("ends", false, None, Some(&["t"])).await);
    assert!(matches!(read.ttl_remaining, Some(1..=2)), "{read:?}");
    client.set("stays", "value", None, None).await.unwrap();
    let read = found(client.meta_get("stays", false, None, Some(&["t"])).await);
    assert_eq!(read.ttl_remaining, Some(-1));
    let start = Instant::now();
    while client.get("ends").await.unwrap().is_some() {
        assert!(start.elapsed() < WAIT, "still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn meta_flags_come_back() {
    let mut client = connect().await;
    let flags = ["F42", "T100", "c", "k"];
    let stored = found(client.meta_set("flags", "value", false, Some(b"mark"), Some(&flags)).await);
    assert_eq!(stored.opaque_token.as_deref(), Some(&b"mark"[..]));
    assert_eq!(stored.key.as_deref(), Some(&b"flags"[..]));
    let wanted = ["v", "f", "c", "h", "l", "t", "s", "k"];
    let first = found(client.meta_get("flags", false, Some(b"other"), Some(&wanted)).await);
    assert_eq!(first.data.as_deref(), Some(&b"value"[..]));
    assert_eq!((first.flags, first.cas, first.size), (Some(42), stored.cas, Some(5)));
    assert_eq!((first.hit_before, first.opaque_token), (Some(false), Some(b"other".to_vec())));
    assert!(matches!((first.ttl_remaining, first.last_accessed), (Some(90..=100), Some(0..=10))));
    let again = found(client.meta_get("flags", false, None, Some(&["h"])).await);
    assert_eq!(again.hit_before, Some(true));
    assert_eq!(client.meta_get("flags:missing", false, None, Some(&["v"])).await, Ok(None));
}

#[tokio::test]
async fn meta_set_modes_and_cas() {
    let mut client = connect().await;
    let replace = client.meta_set("modes", "x", false, None, Some(&["MR", "k"])).await;
    assert_eq!(found(replace).status, Some(Status::NotStored));
    refused(client.meta_set("modes", "x", false, None, Some(&["MA"])).await, Status::NotStored);
    assert_eq!(client.meta_set("modes", "b", false, None, Some(&["ME"])).await, Ok(None));
    refused(client.meta_set("modes", "x", false, None, Some(&["ME"])).await, Status::NotStored);
    assert_eq!(client.meta_set("modes", "c", false, None, Some(&["MA"])).await, Ok(None));
    assert_eq!(client.meta_set("modes", "a", false, None, Some(&["MP"])).await, Ok(None));
    let read = found(client.meta_get("modes", false, None, Some(&["v", "c"])).await);
    assert_eq!(read.data.as_deref(), Some(&b"abc"[..]));
    let unique = format!("C{}", read.cas.unwrap());
    assert_eq!(client.meta_set("modes", "new", false, None, Some(&[&unique])).await, Ok(None));
    refused(client.meta_set("modes", "late", false, None, Some(&[&unique])).await, Status::Exists);
    refused(client.meta_delete("modes", false, None, Some(&[&unique])).await, Status::Exists);
    refused(client.meta_set("modes:missing", "x", false, None, Some(&["C1"])).await, Status::NotFound);
    assert_eq!(client.meta_delete("modes", false, None, None).await, Ok(None));
    refused(client.meta_delete("modes", false, None, None).await, Status::NotFound);
}

#[tokio::test]
async fn meta_counters() {
    let mut client = connect().await;
    refused(client.meta_increment("ma", false, None, None, None).await, Status::NotFound);
    let flags = ["N100", "J10", "v", "t"];
    let made = found(client.meta_increment("ma", false, None, Some(5), Some(&flags)).await);
    assert_eq!(made.data.as_deref(), Some(&b"10"[..]));
    assert!(matches!(made.ttl_remaining, Some(90..=100)), "{made:?}");
    let more = found(client.meta_increment("ma", false, Some(b"mark"), Some(5), Some(&["v"])).await);
    assert_eq!((more.data.as_deref(), more.opaque_token.as_deref()), (Some(&b"15"[..]), Some(&b"mark"[..])));
    let less = found(client.meta_decrement("ma", false, None, Some(100), Some(&["v"])).await);
    assert_eq!(less.data.as_deref(), Some(&b"0"[..]));
}

#[tokio::test]
async fn meta_leases() {
    let mut winner = connect().await;
    let mut other = connect().await;
    let vivify = ["N30", "v"];
    let won = found(winner.meta_get("lease", false, None, Some(&vivify)).await);
    assert_eq!(won.is_recache_winner, Some(true));
    let lost = found(other.meta_get("lease", false, None, Some(&vivify)).await);
    assert_eq!(lost.is_recache_winner, Some(false));
    winner.meta_set("lease", "new", false, None, Some(&["T100"])).await.unwrap();
    let read = found(other.meta_get("lease", false, None, Some(&vivify)).await);
    assert_eq!((read.data.as_deref(), read.is_recache_winner), (Some(&b"new"[..]), None));
    // Marked as outdated, it is renewed by one.
    assert_eq!(other.meta_delete("lease", false, None, Some(&["I", "T30"])).await, Ok(None));
    let won = found(winner.meta_get("lease", false, None, Some(&["v"])).await);
    assert_eq!((won.is_stale, won.is_recache_winner), (Some(true), Some(true)));
    let lost = found(other.meta_get("lease", false, None, Some(&["v"])).await);
    assert_eq!((lost.is_stale, lost.is_recache_winner), (Some(true), Some(false)));
    assert_eq!(lost.data.as_deref(), Some(&b"new"[..]));
}

#[tokio::test]
async fn meta_quiet_mode() {
    let mut client = connect().await;
    assert_eq!(client.meta_get("quiet", true, None, Some(&["v"])).await, Ok(None));
    assert_eq!(client.meta_set("quiet", "1", true, None, None).await, Ok(None));
    let read = found(client.meta_get("quiet", true, None, Some(&["v"])).await);
    assert_eq!(read.data.as_deref(), Some(&b"1"[..]));
    refused(client.meta_set("quiet", "x", true, None, Some(&["ME"])).await, Status::NotStored);
    assert_eq!(client.meta_increment("quiet", true, None, None, None).await, Ok(None));
    let read = found(client.meta_get("quiet", true, None, Some(&["v"])).await);
    assert_eq!(read.data.as_deref(), Some(&b"2"[..]));
    assert_eq!(client.meta_delete("quiet", true, None, None).await, Ok(None));
    refused(client.meta_delete("quiet", true, None, None).await, Status::NotFound);
}

#[tokio::test]
async fn meta_pipelines() {
    let mut client = connect().await;
    let items: Vec<(String, String)> =
        (0..2_000).map(|i| (format!("pipe:{i}"), format!("value {i}"))).collect();
    let borrowed: Vec<(&str, &str)> =
        items.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(client.meta_set_multi(&borrowed, Some(&["T100"])).await, Ok(vec![]));
    let mut keys: Vec<&str> = borrowed.iter().map(|(key, _)| *key).collect();
    keys.insert(1_000, "pipe:missing");
    let values = client.meta_get_multi(&keys, Some(&["v"])).await.unwrap();
    let got: Vec<(Vec<u8>, Vec<u8>)> =
        values.into_iter().map(|value| (value.key.unwrap(), value.data.unwrap())).collect();
    let want: Vec<(Vec<u8>, Vec<u8>)> =
        borrowed.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    assert!(got == want, "{} of {} in order", got.len(), want.len());
    let again = client.meta_set_multi(&borrowed[..10], Some(&["ME"])).await.unwrap();
    assert_eq!(again.len(), 10);
    assert!(again.iter().all(|answer| answer.status == Some(Status::NotStored)));
}

#[tokio::test]
async fn meta_errors_keep_the_connection() {
    let mut client = connect().await;
    for flags in [&["F1", "F2"][..], &["Tsoon"], &["MX"]] {
        let answer = client.meta_set("errors", "value", false, None, Some(flags)).await;
        assert!(
            matches!(answer, Err(Error::Protocol(Status::Error(ErrorKind::Client(_))))),
            "{flags:?}: {answer:?}"
        );
    }
    client.meta_set("errors", "value", false, None, None).await.unwrap();
    let read = found(client.meta_get("errors", false, None, Some(&["v"])).await);
    assert_eq!(read.data.as_deref(), Some(&b"value"[..]));
}

#[tokio::test]
async fn statistics_and_version() {
    let mut client = connect().await;
    let before = client.stats().await.unwrap();
    assert_eq!(before["limit_maxbytes"], "67108864");
    client.set("statistics", "value", None, None).await.unwrap();
    let after = client.stats().await.unwrap();
    let sets = |stats: &str| stats.parse::<u64>().unwrap();
    assert!(sets(&after["cmd_set"]) > sets(&before["cmd_set"]));
    assert!(client.version().await.unwrap().starts_with("1.6."));
}

#[tokio::test]
async fn many_clients_at_once_lose_no_count() {
    connect().await.set("shared", 0_u64, None, None).await.unwrap();
    let work = (0..20).map(|_| {
        tokio::spawn(async {
            let mut client = connect().await;
            for _ in 0..200 {
                client.increment("shared", 1).await.unwrap();
            }
        })
    });
    for task in work.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(connect().await.increment("shared", 0).await, Ok(4_000));
}

#[tokio::test]
async fn a_cancelled_request_takes_its_connection_along() {
    let mut client = connect().await;
    client.set("cancelled", "value", None, None).await.unwrap();
    // Only seldom is the answer there when the first poll ends.
    let cut = tokio::time::timeout(Duration::ZERO, client.get("cancelled")).await;
    if cut.is_err() {
        assert_eq!(client.get("cancelled").await, Err(Error::ConnectionClosed));
    }
    let value = connect().await.get("cancelled").await.unwrap().unwrap();
    assert_eq!(value.data, Some(b"value".to_vec()));
}
