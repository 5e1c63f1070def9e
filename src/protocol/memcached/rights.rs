//! What users may do: which command needs which right, and on which key.
//!
//! Nothing here runs for a client from whom nothing is kept: its turn has no [`LIMITED`] among the bits that the
//! path of a request looks at anyway.

use crate::auth::Rights;

use super::meta;
use super::reply;
use super::request::{Request, Retrieval};
use super::session::{Session, Turn};

/// Among the bits of [`Turn::observed`]: something is kept from the user.
pub(super) const LIMITED: u32 = 1 << 29;

const UPDATE: Rights = Rights::READ.and(Rights::WRITE);

/// What a request needs.
struct Need<'a> {
    rights: Rights,
    key: Option<&'a [u8]>,
    noreply: bool,
    /// Bytes of a value that follows, its line end included.
    skip: usize,
}

impl Retrieval {
    /// gat and gats change when an item ends.
    pub(super) fn rights(self) -> Rights {
        if self.exptime.is_some() { UPDATE } else { Rights::READ }
    }
}

impl Turn<'_> {
    /// Whether the client may do what needs these rights with this key.
    pub(super) fn may(&self, rights: Rights, key: &[u8]) -> bool {
        self.user.as_ref().is_none_or(|user| user.may(rights, key))
    }
}

impl Session {
    /// Lets the turn know if something is kept from the user: at its beginning, and when the user becomes known in it.
    pub(super) fn limit(&self, turn: &mut Turn) {
        if let Some(user) = self.user.as_ref().filter(|user| user.is_limited()) {
            turn.observed |= LIMITED;
            turn.user = Some(user.clone());
        }
    }
}

/// Answers a request that the client has no right to, and counts it: how many bytes behind its line are to be
/// skipped. `None` if it may be carried out.
#[cold]
pub(super) fn refuse(request: &Request, turn: &mut Turn) -> Option<usize> {
    let user = turn.user.as_ref()?;
    let may = |need: &Need| user.has(need.rights) && need.key.is_none_or(|key| user.owns(key));
    let need = match *request {
        Request::Meta { command, arguments } => {
            let target = meta::target(command, arguments)?;
            let need = Need { rights: target.rights, key: None, noreply: false, skip: target.skip };
            if may(&need) && target.with_key(|key| user.owns(key)) {
                return None;
            }
            need
        }
        _ => need(request).filter(|need| !may(need))?,
    };
    turn.counters.auth_denied.add(1);
    turn.reply(reply::NOT_PERMITTED, need.noreply);
    Some(need.skip)
}

/// `None` for what everybody may do. Keys of the get family are judged one by one, as they come.
fn need<'a>(request: &Request<'a>) -> Option<Need<'a>> {
    let of = |rights, key, noreply| Some(Need { rights, key: Some(key), noreply, skip: 0 });
    let admin = |noreply| Some(Need { rights: Rights::ADMIN, key: None, noreply, skip: 0 });
    match *request {
        Request::Retrieve { .. } | Request::Meta { .. } => None,
        Request::Store { key, value_bytes, noreply, .. } => {
            let skip = value_bytes + reply::LINE_END.len();
            Some(Need { rights: Rights::WRITE, key: Some(key), noreply, skip })
        }
        Request::Arithmetic { key, noreply, .. } => of(UPDATE, key, noreply),
        Request::Delete { key, noreply } | Request::Touch { key, noreply, .. } => {
            of(Rights::WRITE, key, noreply)
        }
        Request::Stats { what, .. } => {
            let is_for_all = matches!(what, b"" | b"items" | b"slabs" | b"tags" | b"latency")
                || b"settings".starts_with(what);
            if is_for_all { None } else { admin(false) }
        }
        Request::FlushAll { noreply, .. }
        | Request::FlushPrefix { noreply, .. }
        | Request::Verbosity { noreply, .. }
        | Request::CacheMemlimit { noreply, .. }
        | Request::Tune { noreply, .. }
        | Request::Crawler { noreply, .. }
        | Request::Watch { noreply, .. }
        | Request::Shutdown { noreply, .. }
        | Request::RefreshCerts { noreply }
        | Request::Debug { noreply, .. } => admin(noreply),
        Request::Version
        | Request::MetaNoop
        | Request::Quit
        | Request::Refused { .. }
        | Request::Hopeless => None,
    }
}
