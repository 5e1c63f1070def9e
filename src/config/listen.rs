//! `-l`: the list of interfaces, each a host with an optional port and an optional tag.
//!
//! Only spelling: names are resolved, and addresses bound, by the server.

use std::net::Ipv6Addr;

use super::error::Problem;
use super::settings::ListenAddress;
use super::tls::Security;
use super::values::expected;

const WANTED: &str = "addresses as HOST, HOST:PORT, [IPV6]:PORT or *, separated by commas";
/// Longest tag, as in memcached.
const TAG_BYTES_MAX: usize = 8;
const WANTED_TAG: &str = "one tag of 1 to 8 letters or digits before an address, as tag[NAME]:";

/// One element of `-l`: a host, and a port if it names one of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `None` is the wildcard of both families.
    host: Option<String>,
    /// Its own port, if it names one.
    port: Option<u16>,
    /// Under what name `stats tags` counts its clients, if it has one.
    tag: Option<String>,
    /// What its prefix says of TLS; `None` leaves it to `-Z`.
    security: Option<Security>,
}

impl Interface {
    /// With `port` (that of `-p`) unless it has one of its own, and with TLS if that is what `-Z` says and it
    /// says nothing else.
    pub(super) fn listen_address(&self, port: u16, with_tls: bool) -> ListenAddress {
        let security = match self.security {
            Some(security) => security,
            None if with_tls => Security::Tls,
            None => Security::Plain,
        };
        let (host, tag) = (self.host.clone(), self.tag.clone());
        ListenAddress { host, port: self.port.unwrap_or(port), tag, security }
    }

    /// Whether a prefix says of it what does not hold for every address.
    pub(super) fn is_particular(&self, with_tls: bool) -> bool {
        self.listen_address(0, with_tls).is_particular(with_tls)
    }

    /// Whether its prefix asks for TLS.
    pub(super) fn asks_for_tls(&self) -> bool {
        self.security.is_some_and(|security| security != Security::Plain)
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

/// Reads an address with its port, without anything before it.
pub(super) fn address_with_port(text: &str) -> Result<ListenAddress, Problem> {
    const WANTED: &str = "one address with its port, as HOST:PORT, [IPV6]:PORT or *:PORT";
    match interface(text.trim()).map_err(|_| expected(WANTED))? {
        Interface { host, port: Some(port), tag: None, security: None } => {
            Ok(ListenAddress { host, port, tag: None, security: Security::Plain })
        }
        _ => Err(expected(WANTED)),
    }
}

/// Reads names without ports, which may begin with `*.` or be `*`. Gives them in lower case.
pub(super) fn host_names(text: &str) -> Result<Vec<String>, Problem> {
    const WANTED: &str = "names without a port, *.NAME or *, separated by commas";
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = |name: &str| !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_of_name);
    let names = text.split([',', ';']).map(str::trim).filter(|name| !name.is_empty());
    let read: Option<Vec<String>> = names
        .map(|name| {
            let is_good = name == "*" || is_name(name.strip_prefix("*.").unwrap_or(name));
            is_good.then(|| name.trim_end_matches('.').to_ascii_lowercase())
        })
        .collect();
    read.filter(|names| !names.is_empty()).ok_or_else(|| expected(WANTED))
}

fn interface(element: &str) -> Result<Interface, Problem> {
    let Prefixed { address, tag, security } = without_prefixes(element)?;
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
    Ok(Interface { host: (host != "*").then(|| host.to_owned()), port: port.transpose()?, tag, security })
}

/// An address and what stands before it.
struct Prefixed<'a> {
    address: &'a str,
    tag: Option<String>,
    security: Option<Security>,
}

/// Takes off tag and kind of TLS, drops the prefixes that ask for what is done anyway, refuses those that ask for
/// more.
fn without_prefixes(element: &str) -> Result<Prefixed<'_>, Problem> {
    const PLAIN: [&str; 2] = ["proto[ascii]:", "proto[negotiating]:"];
    const TLS: [(&str, Security); 3] = [
        ("notls:", Security::Plain),
        ("btls:", Security::TlsWithoutClientCertificate),
        ("mtls:", Security::TlsWithClientCertificate),
    ];
    const WANTED_TLS: &str = "one of notls:, btls: and mtls: before an address";
    const PROTOCOL: &str = "use proto[ascii] or proto[negotiating], or leave it out";
    let (mut rest, mut tag, mut security) = (element, None, None);
    loop {
        if let Some(after) = PLAIN.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
            rest = after;
        } else if let Some((after, named)) =
            TLS.iter().find_map(|(prefix, named)| Some((rest.strip_prefix(prefix)?, *named)))
        {
            if security.is_some_and(|before| before != named) {
                return Err(expected(WANTED_TLS));
            }
            (rest, security) = (after, Some(named));
        } else if rest.starts_with("tag[") || rest.starts_with("tag_") {
            let (name, after) = tag_of(rest).filter(|_| tag.is_none()).ok_or_else(|| expected(WANTED_TAG))?;
            (rest, tag) = (after, Some(name.to_owned()));
        } else {
            break;
        }
    }
    if rest.starts_with("proto[") {
        return Err(Problem::NotYet(PROTOCOL));
    }
    Ok(Prefixed { address: rest, tag, security })
}

/// The name in `tag[NAME]:...` or `tag_NAME_:...`, and what follows it.
fn tag_of(text: &str) -> Option<(&str, &str)> {
    let bracketed = text.strip_prefix("tag[").and_then(|rest| rest.split_once("]:"));
    let (name, rest) = bracketed.or_else(|| text.strip_prefix("tag_")?.split_once("_:"))?;
    let is_of_name = |byte: u8| byte.is_ascii_graphic() && !b"[]:".contains(&byte);
    ((1..=TAG_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_of_name)).then_some((name, rest))
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

    /// Each address as `host|port`, `-` for what is not given, and `|tag` if there is one.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let read = interfaces(text).map_err(|e| e.to_string());
        let shown: Vec<String> = read
            .unwrap_or_else(|e| panic!("{text:?}: {e}"))
            .into_iter()
            .map(|i| {
                let port = i.port.map_or("-".to_owned(), |port| port.to_string());
                let tag = i.tag.map_or(String::new(), |tag| format!("|{tag}"));
                format!("{}|{port}{tag}", i.host.as_deref().unwrap_or("-"))
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
        for text in ["proto[binary]:a", "proto[proxy]:a", "a,notls:proto[binary]:b"] {
            let problem = interfaces(text).unwrap_err();
            assert!(matches!(problem, Problem::NotYet(_)), "{text:?}: {problem}");
        }
    }

    #[test]
    fn a_prefix_overrules_what_is_said_of_tls_for_all() {
        use Security::{Plain, Tls, TlsWithClientCertificate, TlsWithoutClientCertificate};
        let of = |with_tls| {
            let read = interfaces("a,notls:b,btls:c:5,tag[t]:mtls:proto[ascii]:d").unwrap();
            assert_eq!(
                read.iter().map(Interface::asks_for_tls).collect::<Vec<_>>(),
                [false, false, true, true]
            );
            read.iter().map(|i| i.listen_address(1, with_tls).security).collect::<Vec<_>>()
        };
        assert_eq!(of(true), [Tls, Plain, TlsWithoutClientCertificate, TlsWithClientCertificate]);
        assert_eq!(of(false), [Plain, Plain, TlsWithoutClientCertificate, TlsWithClientCertificate]);
        for text in ["notls:btls:a", "btls:mtls:a", "mtls:tag[x]:notls:a"] {
            let problem = interfaces(text).unwrap_err();
            assert_eq!(problem.to_string(), "expected one of notls:, btls: and mtls: before an address");
        }
    }

    #[test]
    fn an_address_may_have_a_tag_beside_other_prefixes() {
        check("tag[b]:a", &["a|-|b"]);
        check("tag_b_:a:5", &["a|5|b"]);
        check("tag_a_b_:[::1]:5,c", &["::1|5|a_b", "c|-"]);
        check("tag[12345678]:notls:proto[ascii]:*", &["-|-|12345678"]);
        check("proto[ascii]:tag[x]:a:5,tag[x]:b", &["a|5|x", "b|-|x"]);
        for text in [
            "tag[]:a",
            "tag[123456789]:a",
            "tag[b]a",
            "tag_b:a",
            "tag[b]:tag[c]:a",
            "tag[a b]:c",
            "tag[a:b]:c",
        ] {
            let problem = interfaces(text).unwrap_err();
            assert!(matches!(&problem, Problem::Expected(text) if text == WANTED_TAG), "{text:?}: {problem}");
        }
        assert!(interfaces("tag[b]:").is_err());
    }

    #[test]
    fn names_of_hosts_have_no_port() {
        let read = |text| host_names(text).map_err(|problem| problem.to_string());
        assert_eq!(read("A.b, *.C_d.;x-1,*").unwrap(), ["a.b", "*.c_d", "x-1", "*"]);
        for text in ["", ",", "a:1", "[::1]", "*a", "a.*", "*.*", "*.", ".a", "a b", "http://a"] {
            assert!(read(text).is_err_and(|problem| problem.contains("without a port")), "{text:?}");
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
