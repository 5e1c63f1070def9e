//! How servers are reached, made ready once: the login, TLS, and how long to wait.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::options::ConnectOptions;
use super::terminal;
use super::tls;

/// The variable that may hold the password.
const PASSWORD_VARIABLE: &str = "LARDER_PASSWORD";

/// Has no `Debug`: the password is not to be seen.
#[derive(Clone)]
pub(super) struct Access {
    pub timeout: Duration,
    /// The configuration, and the name to expect in place of the host.
    pub tls: Option<(Arc<ClientConfig>, Option<String>)>,
    pub login: Option<Login>,
}

/// A user, and `user password` as it is sent.
#[derive(Clone)]
pub(super) struct Login {
    pub user: String,
    pub token: Zeroizing<String>,
}

impl Access {
    /// Reads the files that the options name, and asks for the password if nothing else has it.
    ///
    /// # Errors
    /// What is wrong with an option.
    pub fn new(options: &ConnectOptions) -> Result<Access, Failure> {
        let config = if options.tls { Some(tls::config(options)?) } else { None };
        let login = options.user.as_deref().map(|user| login(user, options)).transpose()?;
        let tls = config.map(|config| (config, options.server_name.clone()));
        Ok(Access { timeout: options.timeout, tls, login })
    }
}

fn login(user: &str, options: &ConnectOptions) -> Result<Login, Failure> {
    if user.is_empty() || user.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Failure::Usage("--user: expected a name without blanks".to_owned()));
    }
    let password = match (&options.password_file, std::env::var(PASSWORD_VARIABLE)) {
        (Some(path), _) => {
            let text = fs::read_to_string(path).map(Zeroizing::new);
            let text =
                text.map_err(|error| Failure::Unreadable(format!("--password-file {path:?}: {error}")))?;
            Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
        }
        (None, Ok(password)) => Zeroizing::new(password),
        // Standard input may be the value.
        (None, Err(_)) => {
            let read = terminal::ask_password(&format!("Password of {user}: "));
            Zeroizing::new(read.map_err(|error| {
                let expected = "expected a password in --password-file, LARDER_PASSWORD or from a terminal";
                Failure::Usage(format!("--user: {expected}: {error}"))
            })?)
        }
    };
    if password.contains(['\r', '\n', '\0']) {
        return Err(Failure::Usage("the password: expected one line".to_owned()));
    }
    Ok(Login { user: user.to_owned(), token: Zeroizing::new(format!("{user} {}", password.as_str())) })
}
