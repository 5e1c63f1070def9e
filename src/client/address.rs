//! Where a server is, as people write it.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

/// memcached's.
const PORT: u16 = 11211;

/// `HOST`, `HOST:PORT`, `[IPV6]:PORT`, or the path of a Unix socket, which has a slash in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let wanted = || "expected HOST, HOST:PORT, [IPV6]:PORT or the path of a Unix socket".to_owned();
        if text.contains('/') {
            return Ok(Address::Unix(text.strip_prefix("unix:").unwrap_or(text).into()));
        }
        let tcp = |host: &str, port: Option<&str>| {
            let port = port.map_or(Ok(PORT), str::parse).map_err(|_| wanted())?;
            match host.is_empty() || port == 0 || host.contains(|c: char| c.is_whitespace() || c.is_control())
            {
                true => Err(wanted()),
                false => Ok(Address::Tcp { host: host.to_owned(), port }),
            }
        };
        if let Some((host, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            host.parse::<Ipv6Addr>().map_err(|_| wanted())?;
            return match rest {
                "" => tcp(host, None),
                _ => tcp(host, Some(rest.strip_prefix(':').ok_or_else(wanted)?)),
            };
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return tcp(text, None);
        }
        match text.split_once(':') {
            Some((host, port)) => tcp(host, Some(port)),
            None => tcp(text, None),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => f.write_str(&super::text::printable(path.as_os_str().as_encoded_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, shown) in [
            ("cache", "cache:11211"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("::1", "[::1]:11211"),
            ("[::1]", "[::1]:11211"),
            ("[fe80::1]:7", "[fe80::1]:7"),
            ("/run/cache.sock", "/run/cache.sock"),
            ("unix:./s", "./s"),
        ] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()), Ok(shown.to_owned()));
        }
        for text in ["", ":1", "a:", "a:x", "a:0", "a:65536", "a:1:2", "[a]:1", "[::1]1", "a b", "[::1"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
