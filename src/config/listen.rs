//! `-l`: the list of interfaces, each a host with an optional port.
//!
//! Only spelling: names are resolved, and addresses bound, by the server.

use std::net::Ipv6Addr;

use super::error::Problem;
use super::settings::ListenAddress;
use super::values::expected;

const WANTED: &str = "addresses as HOST, HOST:PORT, [IPV6]:PORT or *, separated by commas";

/// One element of `-l`: a host, and a port if it names one of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `None` is the wildcard of both families.
    host: Option<String>,
    /// Its own port, if it names one.
    port: Option<u16>,
}

impl Interface {
    /// With `port` (that of `-p`) unless it has one of its own.
    pub(super) fn listen_address(&self, port: u16) -> ListenAddress {
        ListenAddress { host: self.host.clone(), port: self.port.unwrap_or(port) }
    }
}

/// Reads one `-l` value.
pub(super) fn interfaces(text: &str) -> Result<Vec<Interface>, Problem> {
    let read: Vec<Interface> = text
        .split([',', ';'])
        .map(str::trim)
        .filter(|element| !element.is_empty())
        .map(interface)
        .collect::<Result<_, _>>()?;
    if read.is_empty() {
        return Err(expected(WANTED));
    }
    Ok(read)
}

fn interface(element: &str) -> Result<Interface, Problem> {
    let address = without_prefixes(element)?;
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(|| expected(WANTED))?;
        ipv6(host)?;
        // What follows the bracket without a colon is no port: an empty one fails below.
        (host, if after.is_empty() { None } else { Some(after.strip_prefix(':').unwrap_or_default()) })
    } else if address.matches(':').count() > 1 {
        (ipv6(address)?, None)
    } else {
        match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    let printable = |b: u8| b.is_ascii_graphic() || !b.is_ascii();
    if host.is_empty() || !host.bytes().all(printable) || host.contains(['[', ']']) {
        return Err(expected(WANTED));
    }
    let port = port.map(|digits| digits.parse().map_err(|_| expected("a port, 0 to 65535")));
    Ok(Interface { host: (host != "*").then(|| host.to_owned()), port: port.transpose()? })
}

/// Drops the prefixes that ask for what is done anyway, refuses those that ask for more.
fn without_prefixes(element: &str) -> Result<&str, Problem> {
    const PLAIN: [&str; 3] = ["notls:", "proto[ascii]:", "proto[negotiating]:"];
    const TLS: &str = "leave out btls: and mtls:, listeners have no TLS";
    const PROTOCOL: &str = "use proto[ascii] or proto[negotiating], or leave it out";
    const TAG: &str = "leave the tag out, it is for the proxy";
    let refused = [("btls:", TLS), ("mtls:", TLS), ("proto[", PROTOCOL), ("tag[", TAG), ("tag_", TAG)];
    let mut rest = element;
    while let Some(after) = PLAIN.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        rest = after;
    }
    for (prefix, instead) in refused {
        if rest.starts_with(prefix) {
            return Err(Problem::NotYet(instead));
        }
    }
    Ok(rest)
}

/// The address, without its zone if it has one, must be IPv6.
fn ipv6(host: &str) -> Result<&str, Problem> {
    let address = host.split_once('%').map_or(host, |(address, _zone)| address);
    match address.parse::<Ipv6Addr>() {
        Ok(_) => Ok(host),
        Err(_) => Err(expected(WANTED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each address as `host|port`, `-` for what is not given.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let read = interfaces(text).map_err(|e| e.to_string());
        let shown: Vec<String> = read
            .unwrap_or_else(|e| panic!("{text:?}: {e}"))
            .into_iter()
            .map(|i| {
                let port = i.port.map_or("-".to_owned(), |port| port.to_string());
                format!("{}|{port}", i.host.as_deref().unwrap_or("-"))
            })
            .collect();
        assert_eq!(shown, expected, "{text:?}");
    }

    #[test]
    fn a_host_may_have_a_port_of_its_own() {
        check("127.0.0.1", &["127.0.0.1|-"]);
        check("localhost:0", &["localhost|0"]);
        check("a:65535;b , c,", &["a|65535", "b|-", "c|-"]);
        check("::", &["::|-"]);
        check("fe80::1%eth0", &["fe80::1%eth0|-"]);
        check("[::1]", &["::1|-"]);
        check("[fe80::1%eth0]:7", &["fe80::1%eth0|7"]);
        check("*", &["-|-"]);
        check("*:80", &["-|80"]);
    }

    #[test]
    fn prefixes_that_change_nothing_are_dropped() {
        check("notls:a", &["a|-"]);
        check("proto[ascii]:a:5", &["a|5"]);
        check("proto[negotiating]:[::1]:5,notls:proto[ascii]:*", &["::1|5", "-|-"]);
    }

    #[test]
    fn other_prefixes_are_refused_by_name() {
        for text in [
            "btls:a",
            "mtls:a:5",
            "proto[binary]:a",
            "proto[proxy]:a",
            "tag[b]:a",
            "tag_b_:a",
            "a,notls:btls:b",
        ] {
            let problem = interfaces(text).unwrap_err();
            assert!(matches!(problem, Problem::NotYet(_)), "{text:?}: {problem}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "", ",", ":5", "a:x", "a:65536", "a:-1", "a:", "[::1", "[a]:5", "[::1]x", "[::1]5", "a b",
            "1:2:3", "a]", "*:x",
        ] {
            let problem = interfaces(text).unwrap_err();
            assert!(matches!(problem, Problem::Expected(_)), "{text:?}: {problem}");
        }
    }
}
