//! What a worker has to say of clients that do not speak as the address expects.

use crate::base::rationed::Rationed;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    /// TLS failed.
    pub tls: Rationed,
    /// TLS where there is none.
    pub not_plain: Rationed,
    /// Nobody has logged in, for too long.
    pub no_login: Rationed,
}
