//! The names under which the HTTP listener lets its figures be seen (`Host`).
//!
//! A page from anywhere can have a browser ask this machine by a name whose owner points it here once the page is loaded
//! (DNS rebinding). To the browser both are one server then, so the page may read what is answered. Such a name is one
//! of the public DNS, and so has a dot. Answered to are addresses, names without a dot or below `localhost`, the
//! machine's own, that of `--metrics-listen` and those of `--metrics-host`. Who sends no `Host` is no browser.

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::Request;
use hyper::header::HOST;
use hyper::http::uri::Authority;

use crate::config::Settings;

/// See the module.
#[derive(Debug)]
pub struct Names {
    known: Vec<String>,
    /// Each begins with a dot; what ends in one is known.
    endings: Vec<String>,
    any: bool,
}

/// The name that a request was sent to, which is not known.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown(pub String);

impl Names {
    /// Those that the settings give, and the machine's.
    pub fn of(settings: &Settings, machine: Option<&str>) -> Names {
        let listened = settings.metrics_listen.as_ref().and_then(|address| address.host.as_deref());
        let mut names = Names { known: Vec::new(), endings: vec![".localhost".to_owned()], any: false };
        names.known.extend(machine.into_iter().chain(listened).map(|name| name.to_ascii_lowercase()));
        for name in &settings.metrics_hosts {
            match name.strip_prefix('*') {
                Some("") => names.any = true,
                Some(ending) => names.endings.push(ending.to_owned()),
                None => names.known.push(name.clone()),
            }
        }
        names
    }

    /// Whether a request is for a name that is known.
    ///
    /// # Errors
    /// If it is not, or is no name: with that name.
    pub fn check<B>(&self, request: &Request<B>) -> Result<(), Unknown> {
        if let Some(host) = request.uri().host() {
            self.check_host(host)?;
        }
        for host in request.headers().get_all(HOST) {
            let unknown = || Unknown(String::from_utf8_lossy(host.as_bytes()).into_owned());
            let authority = Authority::try_from(host.as_bytes()).map_err(|_| unknown())?;
            self.check_host(authority.host())?;
        }
        Ok(())
    }

    fn check_host(&self, host: &str) -> Result<(), Unknown> {
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let is_harmless = match name.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').is_some_and(|inside| inside.parse::<Ipv6Addr>().is_ok()),
            None => !name.contains('.') || name.parse::<Ipv4Addr>().is_ok(),
        };
        let is_known = self.any
            || is_harmless
            || self.known.contains(&name)
            || self.endings.iter().any(|ending| name.ends_with(ending.as_str()));
        if is_known { Ok(()) } else { Err(Unknown(host.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Action, load};

    /// Hosts that are answered to, of those given.
    #[track_caller]
    fn check(line: &str, hosts: &[&str], expected: &[&str]) {
        let settings = match load("larder", line.split_whitespace().map(Into::into).collect()) {
            Ok(Action::Run(settings)) => *settings,
            other => panic!("{line}: {other:?}"),
        };
        let names = Names::of(&settings, Some("Own.example.org"));
        let is_answered = |host: &&&str| {
            let request = Request::get("/metrics").header(HOST, **host).body(()).unwrap();
            names.check(&request).is_ok()
        };
        let answered: Vec<&str> = hosts.iter().filter(is_answered).copied().collect();
        assert_eq!(answered, expected, "{line}");
    }

    #[test]
    fn names_that_a_stranger_can_point_here_are_unknown() {
        let harmless = [
            "127.0.0.1",
            "127.0.0.1:9150",
            "[::1]",
            "[2001:db8::1]:9150",
            "localhost",
            "LocalHost:9150",
            "page.localhost",
            "larder",
            "larder:9150",
            "own.example.org",
            "Own.Example.ORG.:9150",
        ];
        check("", &harmless, &harmless);
        let foreign = [
            "evil.example.com",
            "evil.example.com:9150",
            "127.0.0.1.example.com",
            "localhost.example.com",
            "notlocalhost.example",
            "own.example.org.evil.com",
            "evil.com/",
            "a b",
            "[::1",
            "[::1.example.com]",
            "larder@evil.com",
            "127.0.0.1@evil.com:80",
        ];
        check("", &foreign, &[]);
    }

    #[test]
    fn further_names_are_the_operators() {
        let hosts =
            ["cache.example.org", "a.svc", "b.a.svc:1", "svc.example", "x.example.org", "metrics.lan"];
        check("--metrics-host Cache.example.org,*.svc", &hosts, &hosts[..3]);
        check("--metrics-host *.example.org --metrics-host a.svc", &hosts, &[hosts[0], hosts[1], hosts[4]]);
        check("--metrics-host *", &hosts, &hosts);
        check("--metrics-listen metrics.lan:9150", &hosts, &["metrics.lan"]);
    }

    #[test]
    fn each_name_in_a_request_counts() {
        let names = Names::of(&Settings::default(), None);
        let unknown = Err(Unknown("evil.com".to_owned()));
        let request = Request::get("http://evil.com/metrics").header(HOST, "localhost").body(()).unwrap();
        assert_eq!(names.check(&request), unknown);
        let twice = Request::get("/").header(HOST, "localhost").header(HOST, "evil.com").body(()).unwrap();
        assert_eq!(names.check(&twice), unknown);
        assert_eq!(names.check(&Request::get("/").body(()).unwrap()), Ok(()), "no browser");
    }
}
