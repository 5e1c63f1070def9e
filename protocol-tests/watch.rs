//! watch: the lines of each stream, and that nobody waits for those who watch.

use tempfile::TempDir;

use crate::client::{Client, fill};
use crate::differences::{applies, start};
use crate::server::{Launch, Server, wait_until};

/// A client that watches.
struct Watcher {
    client: Client,
    text: String,
}

impl Watcher {
    fn new(server: &Server, topics: &str) -> Watcher {
        let mut client = server.client();
        client.expect_so_far(format!("watch{topics}\r\n"), "OK\r\n");
        Watcher { client, text: String::new() }
    }

    /// The next line without its time and number.
    fn line(&mut self) -> String {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let (line, rest) = (line.to_string(), rest.to_string());
                self.text = rest;
                let (time, event) =
                    line.split_once(" type=").unwrap_or_else(|| panic!("{line:?} has no type"));
                let (seconds, gid) = time.split_once(" gid=").expect("a number");
                let (seconds, micros) =
                    seconds.strip_prefix("ts=").expect("a time").split_once('.').expect("a point");
                for number in [seconds, micros, gid] {
                    assert!(number.parse::<u64>().is_ok(), "{line:?}");
                }
                return event.to_string();
            }
            let more = self.client.read_some();
            self.text += std::str::from_utf8(&more).expect("lines are text");
        }
    }

    /// The next line as `name=value` pairs, without those in `left_out`.
    fn fields(&mut self, left_out: &[&str]) -> String {
        let line = self.line();
        let is_kept = |pair: &&str| !left_out.contains(&pair.split('=').next().unwrap_or_default());
        line.split_whitespace().filter(is_kept).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn fetchers_are_told_of_look_ups() {
    let server = start!();
    let mut client = server.client();
    client.expect("set a%b 0 0 3\r\nabc\r\n", "STORED\r\n");
    let mut watcher = Watcher::new(&server, "");
    client.ask("get a%b none\r\ntouch a%b 0\r\nincr none 1\r\n");
    let left_out = ["cfd"];
    assert_eq!(watcher.fields(&left_out), "item_get key=a%25b status=found clsid=1 size=3");
    assert_eq!(watcher.fields(&left_out), "item_get key=none status=not_found clsid=0 size=0");
    assert_eq!(watcher.fields(&left_out), "item_get key=a%25b status=found clsid=1 size=3");
    assert_eq!(watcher.fields(&left_out), "item_get key=none status=not_found clsid=0 size=0");
}

#[test]
fn mutations_tell_how_storing_ended() {
    let server = start!();
    let mut client = server.client();
    let mut watcher = Watcher::new(&server, " mutations");
    client.ask(
        "set a 0 100 3\r\nabc\r\nadd a 0 0 1\r\nx\r\nappend none 0 0 2\r\nxy\r\ncas none 0 0 1 5\r\nx\r\n",
    );
    // What the class is of a value that was not stored is told by memcached alone.
    let left_out = ["cfd", "clsid"];
    assert_eq!(watcher.fields(&left_out), "item_store key=a status=stored cmd=set ttl=100 size=3");
    assert_eq!(watcher.fields(&left_out), "item_store key=a status=not_stored cmd=add ttl=0 size=1");
    assert_eq!(watcher.fields(&left_out), "item_store key=none status=not_stored cmd=append ttl=0 size=2");
    assert_eq!(watcher.fields(&left_out), "item_store key=none status=not_found cmd=cas ttl=0 size=1");
    // In pieces, and too large.
    client.send("set b 0 0 3\r\na");
    client.expect("bc\r\n", "STORED\r\n");
    assert_eq!(watcher.fields(&left_out), "item_store key=b status=stored cmd=set ttl=0 size=3");
    let value = fill(b'x', 1_100_000);
    client.expect(format!("set c 0 0 1100000\r\n{value}\r\n"), "SERVER_ERROR object too large for cache\r\n");
    let line = watcher.fields(&["cfd", "clsid", "size"]);
    assert_eq!(line, "item_store key=c status=too_large cmd=set ttl=0");
}

#[test]
fn what_was_refused_is_told_of_with_true_numbers() {
    let server = start!();
    let mut client = server.client();
    let mut watcher = Watcher::new(&server, " mutations");
    client.expect("set past 0 -1 1\r\nx\r\n", "STORED\r\n");
    assert_eq!(watcher.fields(&["cfd", "clsid"]), "item_store key=past status=stored cmd=set ttl=-1 size=1");
    let value = fill(b'x', 1_100_000);
    client.expect(format!("set c 0 0 1100000\r\n{value}\r\n"), "SERVER_ERROR object too large for cache\r\n");
    let line = watcher.fields(&["cfd"]);
    assert_eq!(line, "item_store key=c status=too_large cmd=set ttl=0 clsid=0 size=1100000");
}

#[test]
fn deletions_are_told_of() {
    let server = start!();
    let mut client = server.client();
    client.expect("set a 0 0 3\r\nabc\r\n", "STORED\r\n");
    let mut watcher = Watcher::new(&server, " deletions");
    client.expect("delete none\r\ndelete a\r\n", "NOT_FOUND\r\nDELETED\r\n");
    assert_eq!(watcher.line(), "deleted key=a cmd=delete clsid=1 size=3");
}

#[test]
fn meta_commands_are_told_of_like_the_others() {
    let server = start!();
    let mut client = server.client();
    let mut watcher = Watcher::new(&server, " fetchers mutations deletions");
    client.ask("ms k 2 T0\r\nab\r\nmg k v\r\nma none\r\nmd k\r\n");
    let left_out = ["cfd", "clsid", "ttl"];
    for line in [
        "item_get key=k status=not_found size=0",
        "item_store key=k status=stored cmd=set size=2",
        "item_get key=k status=found size=2",
        "item_get key=none status=not_found size=0",
        "item_get key=k status=found size=2",
        "deleted key=k cmd=md size=2",
    ] {
        assert_eq!(watcher.fields(&left_out), line);
    }
}

#[test]
fn connections_are_told_of() {
    let server = start!();
    let mut watcher = Watcher::new(&server, " connevents");
    let mut client = server.client();
    client.expect("", "");
    let new = watcher.fields(&["rport", "cfd"]);
    assert_eq!(new, "conn_new rip=127.0.0.1 transport=tcp");
    client.expect_close("quit\r\n", "");
    drop(client);
    assert_eq!(watcher.fields(&["rport", "cfd"]), "conn_close rip=127.0.0.1 transport=tcp reason=normal");
    let mut client = server.client();
    client.expect_close("GET / HTTP/1.1\r\n", "");
    assert_eq!(watcher.fields(&["rport", "cfd"]), "conn_new rip=127.0.0.1 transport=tcp");
    assert_eq!(watcher.fields(&["rport", "cfd"]), "conn_close rip=127.0.0.1 transport=tcp reason=error");
}

#[test]
fn connections_over_a_unix_socket_are_told_of() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("socket");
    let _server = Launch::new().options(["-s", path.to_str().expect("a plain path")]).start_unix(&path);
    let mut client = Client::unix(&path);
    client.expect_so_far("watch connevents\r\n", "OK\r\n");
    let mut watcher = Watcher { client, text: String::new() };
    let mut other = Client::unix(&path);
    let listed = other.ask_text("stats conns\r\n");
    for part in [":addr ?:<AF 0>\r\n", &format!(":listen_addr unix:{}\r\n", path.display())] {
        assert!(listed.contains(part), "{part} is not in {listed}");
    }
    drop(other);
    // The connection that found out whether the daemon listens may have lines, too.
    let mut opened = Vec::new();
    loop {
        let line = watcher.line();
        if let Some(fd) = line.strip_prefix("conn_new rip=unix rport=0 transport=local cfd=") {
            opened.push(fd.to_string());
        } else if let Some(fd) =
            line.strip_prefix("conn_close rip=unix rport=0 transport=local reason=normal cfd=")
        {
            if opened.iter().any(|other| other == fd) {
                break;
            }
        } else {
            panic!("{line}");
        }
    }
}

#[test]
fn moves_of_pages_by_command_are_told_of() {
    let server = start!();
    let mut watcher = Watcher::new(&server, " sysevents");
    server.client().expect("slabs reassign 1 2\r\n", "NOSPARE source class has no spare pages\r\n");
    assert_eq!(watcher.line(), "slab_move src=1 dst=2 state=fail");
    let mut client = server.client();
    for n in 0..100 {
        client.expect(format!("set k{n} 0 0 8000 noreply\r\n{}\r\n", fill(b'x', 8000)), "");
    }
    let stats = client.stats("stats items");
    let class = stats[0].0.split(':').nth(1).expect("a class");
    // Whichever class has most is told of by its number.
    client.expect("slabs reassign -1 2\r\n", "OK\r\n");
    assert_eq!(watcher.line(), format!("slab_move src={class} dst=2 state=ok"));
    client.expect(format!("slabs reassign {class} 0\r\n"), "OK\r\n");
    assert_eq!(watcher.line(), format!("slab_move src={class} dst=0 state=ok"));
    client.expect(
        "slabs reassign 0 0\r\nslabs reassign 99 1\r\n",
        "SAME src and dst class are identical\r\nBADCLASS invalid src or dst class id\r\n",
    );
    assert_eq!(watcher.line(), "slab_move src=99 dst=1 state=fail");
}

#[test]
fn pages_that_move_by_themselves_are_told_of() {
    let server = start!(&["-m", "8", "-o", "slab_automove=2"]);
    let mut client = server.client();
    let mut watcher = Watcher::new(&server, " sysevents");
    for (size, count) in [(1000, 10_000), (9000, 300)] {
        let value = fill(b'x', size);
        for n in 0..count {
            client.expect(format!("set k{size}.{n} 0 0 {size} noreply\r\n{value}\r\n"), "");
        }
    }
    // Straight to the class that needs it, or to the pool for another partition.
    let line = watcher.line();
    let fields: Vec<&str> = line.split(' ').collect();
    assert!(matches!(fields[..], ["slab_move", _, _, "state=ok"]), "{line}");
    let number = |field: &str, name: &str| field.strip_prefix(name).and_then(|text| text.parse::<u32>().ok());
    let (from, to) = (number(fields[1], "src="), number(fields[2], "dst="));
    assert!(from.is_some_and(|from| from > 0) && to.is_some() && from != to, "{line}");
}

#[test]
fn expired_items_that_are_taken_away_are_told_of() {
    let server = start!();
    let mut watcher = Watcher::new(&server, " sysevents");
    let mut client = server.client();
    // What is told first is what is over a second after the watching began.
    for seconds in 1..=8 {
        client.expect(format!("set k{seconds} 0 {seconds} 1 noreply\r\n1\r\n"), "");
    }
    let line = watcher.line();
    let names: Vec<&str> = line.split(' ').map(|field| field.split('=').next().unwrap_or_default()).collect();
    let wanted =
        "lru_crawler crawler lru low_mark next_reclaims since_run next_run elapsed examined reclaimed";
    assert_eq!(names.join(" "), wanted);
    assert!(line.starts_with("lru_crawler crawler=1 lru=all "), "{line}");
    let examined = line.split(" examined=").nth(1).expect("a count");
    assert!(examined.chars().next().is_some_and(|digit| ('1'..='9').contains(&digit)), "{line}");
}

#[test]
fn evictions_are_told_of() {
    let server = start!(&["-m", "8", "-I", "512k"]);
    let mut watcher = Watcher::new(&server, " evictions");
    let mut client = server.client();
    let value = fill(b'x', 10_000);
    for n in 0..2000 {
        client.expect(format!("set k{n} 0 1000 10000 noreply\r\n{value}\r\n"), "");
    }
    let line = watcher.fields(&["key", "clsid", "la", "cause"]);
    let (start, ttl) = line.split_once("ttl=").expect("a ttl");
    assert_eq!(start, "eviction fetch=no ");
    let (ttl, size) = ttl.split_once(' ').expect("a size");
    assert!((900..=1000).contains(&ttl.parse::<u32>().expect("a number")), "{line}");
    assert_eq!(size, "size=10000");
}

#[test]
fn an_eviction_tells_its_cause() {
    let server = start!(&["-m", "8"]);
    let mut client = server.client();
    let mut watcher = Watcher::new(&server, " evictions");
    let value = fill(b'x', 1000);
    let mut load = |count: usize| {
        for n in 0..count {
            client.expect(format!("set k{n} 0 0 1000 noreply\r\n{value}\r\n"), "");
        }
    };
    load(10_000);
    let line = watcher.line();
    assert!(line.starts_with("eviction key=k") && line.ends_with(" size=1000 cause=chunk"), "{line}");
    // Another size takes pages from the first.
    let value = fill(b'y', 9000);
    for n in 0..300 {
        client.expect(format!("set other{n} 0 0 9000 noreply\r\n{value}\r\n"), "");
    }
    while !watcher.line().ends_with(" size=1000 cause=page") {}
    let stats = client.stats("stats items");
    let sum = |name: &str| -> u64 {
        let of_class = stats.iter().filter(|(other, _)| other.rsplit(':').next() == Some(name));
        of_class.map(|(_, value)| value.parse::<u64>().expect("a number")).sum()
    };
    assert!(sum("evicted_for_page") > 0 && sum("evicted_for_page") < sum("evicted"));
    assert!(sum("evicted_bytes") > 1000 * sum("evicted"));
}

#[test]
fn streams_have_names_and_the_command_comes_first() {
    let server = start!();
    server.client().expect("watch foo\r\n", "ERROR\r\n");
    server.client().expect("watch fetchers foo\r\n", "ERROR\r\n");
    let mut client = server.client();
    let version = client.ask_text("version\r\n");
    let refusal = "ERROR cannot pipeline other commands before watch\r\n";
    client.expect("version\r\nwatch\r\n", format!("{version}{refusal}"));
}

#[test]
fn watching_may_be_forbidden() {
    let server = start!(&["-W"]);
    server.client().expect("watch\r\n", "CLIENT_ERROR watch commands not allowed\r\n");
}

#[test]
fn twenty_may_watch_at_a_time() {
    let server = start!();
    let mut client = server.client();
    let mut watchers: Vec<_> = (0..20).map(|_| Watcher::new(&server, " fetchers")).collect();
    wait_until("all are counted", || client.stat("log_watchers") == 20);
    server.client().expect_so_far("watch\r\n", "WATCHER_TOO_MANY log watcher limit reached\r\n");
    watchers.pop();
    wait_until("one watches less", || client.stat("log_watchers") < 20);
    let mut last = Watcher::new(&server, "");
    client.ask("get x\r\n");
    assert!(last.line().starts_with("item_get key=x "));
    drop((watchers, last));
    wait_until("nobody watches", || client.stat("log_watchers") == 0);
}

#[test]
fn what_a_watcher_sends_is_ignored() {
    let server = start!();
    let mut watcher = Watcher::new(&server, " fetchers");
    watcher.client.send("get x\r\n".repeat(100));
    let mut client = server.client();
    client.ask("get y\r\n");
    assert!(watcher.line().starts_with("item_get key=y "));
}

#[test]
fn a_slow_watcher_slows_nobody_and_learns_what_it_missed() {
    let server = start!();
    let mut slow = Watcher::new(&server, " fetchers");
    let mut client = server.client();
    let key = fill(b'k', 200);
    let gets = format!("get {key}\r\n").repeat(200);
    let mut asked = 0;
    // It is full when lines are dropped; the sockets' buffers come before.
    wait_until("lines are dropped", || {
        for _ in 0..20 {
            client.expect(&gets, "END\r\n".repeat(200));
            asked += 200;
        }
        client.stat("log_watcher_skipped") > 1000
    });
    let unsent = client.stat("response_obj_bytes");
    assert!(unsent < 200 << 10, "{unsent} bytes wait for it");
    let (mut told, mut skipped) = (0, 0);
    let mut text = Vec::new();
    while told + skipped < asked {
        text.extend(slow.client.read_some());
        while let Some(end) = text.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            match line.strip_prefix(b"skipped=") {
                Some(count) => skipped += std::str::from_utf8(count).unwrap().trim().parse::<u64>().unwrap(),
                None => told += 1,
            }
        }
    }
    assert!(skipped > 1000 && told > 0, "{told} told, {skipped} skipped");
    assert_eq!(told + skipped, asked);
    client.expect(format!("get {key}\r\n"), "END\r\n");
    let rest = slow.client.read_some();
    assert!(rest.ends_with(b"size=0\n"), "it goes on");
}

#[test]
fn reset_forgets_the_lines() {
    applies!();
    let server = Server::start();
    let mut client = server.client();
    let _watcher = Watcher::new(&server, " fetchers");
    client.ask("get x\r\n");
    wait_until("the line is counted", || client.stat("log_watcher_sent") >= 1);
    client.expect("stats reset\r\n", "RESET\r\n");
    assert_eq!((client.stat("log_watcher_sent"), client.stat("log_watchers")), (0, 1));
}
