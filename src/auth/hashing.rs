//! Hashes of passwords: argon2id, in the usual text form with its own salt and costs.

use argon2::password_hash::rand_core::{OsRng, RngCore};
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use blake2::Blake2sMac256;
use blake2::digest::{KeyInit, Mac};
use parking_lot::Mutex;

/// What a hash costs: KiB of memory, passes and lanes.
pub(super) type Costs = (u32, u32, u32);

/// Costs of new hashes: 7 MiB and five passes, one of the sets that OWASP recommends; some 20 ms.
const MEMORY_KIB: u32 = 7 << 10;
const PASSES: u32 = 5;
/// Costs beyond which a file is refused: one login would hold up all others for too long.
const MEMORY_KIB_MAX: u32 = 64 << 10;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 4;

/// A password as a file of users has it.
pub(super) struct Hash {
    text: String,
    costs: Costs,
    /// A keyed digest of the password once it has been right: clients that come back in a crowd need not wait
    /// for a costly hash each. The key never leaves the process.
    known: Mutex<Option<[u8; 32]>>,
    key: [u8; 32],
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).unwrap_or(Params::DEFAULT);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

impl Hash {
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Hash, &'static str> {
        const WANTED: &str = "expected a hash as `larder passwd` prints it, certificate or nopass";
        const CHEAPER: &str = "expected a hash that costs at most 64 MiB, 16 passes and 4 lanes";
        let hash = PasswordHash::new(text).map_err(|_| WANTED)?;
        // Before argon2 multiplies it, for which it may be too large.
        if hash.params.get_decimal("p").is_some_and(|lanes| lanes > LANES_MAX) {
            return Err(CHEAPER);
        }
        let params = Params::try_from(&hash).map_err(|_| WANTED)?;
        if hash.algorithm.as_str() != "argon2id" || hash.hash.is_none() || hash.salt.is_none() {
            return Err(WANTED);
        }
        let is_cheap = params.m_cost() <= MEMORY_KIB_MAX
            && params.t_cost() <= PASSES_MAX
            && params.p_cost() <= LANES_MAX;
        if !is_cheap {
            return Err(CHEAPER);
        }
        let mut key = [0; 32];
        OsRng.fill_bytes(&mut key);
        let costs = (params.m_cost(), params.t_cost(), params.p_cost());
        Ok(Hash { text: text.to_owned(), costs, known: Mutex::new(None), key })
    }

    /// A hash of `password` in text form.
    ///
    /// # Errors
    /// If there is no such hash, which does not happen with our costs.
    pub fn of(password: &[u8]) -> Result<String, String> {
        let salt = SaltString::generate(&mut OsRng);
        hasher()
            .hash_password(password, &salt)
            .map(|hash| hash.to_string())
            .map_err(|error| error.to_string())
    }

    /// What comparing a password with it costs.
    pub fn costs(&self) -> Costs {
        self.costs
    }

    /// Whether it is the same text, salt and all.
    pub fn is_same(&self, other: &Hash) -> bool {
        self.text == other.text
    }

    /// The hash of a password that nobody knows, with these costs.
    ///
    /// # Errors
    /// As [`Hash::of`].
    pub fn unknown((memory_kib, passes, lanes): Costs) -> Result<Hash, String> {
        let mut password = [0; 32];
        OsRng.fill_bytes(&mut password);
        // A hash takes its time, and this is asked for by a thread that serves clients: it is made up.
        let salt = SaltString::generate(&mut OsRng);
        let output = SaltString::encode_b64(&password).map_err(|error| error.to_string())?;
        let text = format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${output}");
        Hash::parse(&text).map_err(str::to_owned)
    }

    fn digest(&self, password: &[u8]) -> Option<Blake2sMac256> {
        let digest = <Blake2sMac256 as KeyInit>::new_from_slice(&self.key).ok()?;
        Some(digest.chain_update(password))
    }

    /// Whether `password` is one that was right before. Cheap; `false` says nothing.
    pub fn is_known(&self, password: &[u8]) -> bool {
        let known = *self.known.lock();
        match (known, self.digest(password)) {
            (Some(known), Some(digest)) => digest.verify_slice(&known).is_ok(),
            _ => false,
        }
    }

    /// Whether `password` is right. Takes its time, unless it is known.
    pub fn verify(&self, password: &[u8]) -> bool {
        // Of a crowd that came at once the first has paid for all.
        if self.is_known(password) {
            return true;
        }
        let is_right = PasswordHash::new(&self.text)
            .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok());
        if is_right {
            *self.known.lock() = self.digest(password).map(|digest| digest.finalize().into_bytes().into());
        }
        is_right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_and_no_other() {
        let text = Hash::of(b"secret").unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{text}");
        assert_ne!(text, Hash::of(b"secret").unwrap());
        let hash = Hash::parse(&text).unwrap();
        assert!(!hash.is_known(b"secret"));
        assert!(!hash.verify(b"secre") && !hash.is_known(b"secre"));
        assert!(hash.verify(b"secret") && hash.is_known(b"secret"));
        assert!(!hash.is_known(b"secre") && !hash.is_known(b""));
    }

    #[test]
    fn nobody_knows_the_password_of_nobody() {
        let hash = Hash::unknown((MEMORY_KIB, PASSES, 1)).unwrap();
        assert_eq!(hash.costs(), Hash::parse(&Hash::of(b"").unwrap()).unwrap().costs());
        assert!(!hash.verify(b"") && !hash.is_known(b""));
        assert!(PasswordHash::new(&hash.text).unwrap().hash.is_some());
    }

    /// Found by fuzzing: argon2 multiplies the lanes, which ends the process where that overflows and is checked.
    #[test]
    fn more_lanes_than_can_be_multiplied_are_refused() {
        for lanes in [1 << 29, u32::MAX] {
            let text = Hash::of(b"x").unwrap().replace("p=1", &format!("p={lanes}"));
            assert!(Hash::parse(&text).is_err_and(|wanted| wanted.contains("4 lanes")));
        }
    }

    #[test]
    fn hashes_that_are_none_or_cost_too_much_are_refused() {
        let text = Hash::of(b"x").unwrap();
        for wrong in [
            "secret",
            "$argon2id$",
            "$1$abc$def",
            &text[..text.len() - 50],
            &text.replace("argon2id", "argon2i"),
            &text.replace("m=7168", "m=70000"),
            &text.replace("t=5", "t=17"),
            &text.replace("p=1", "p=5"),
        ] {
            assert!(Hash::parse(wrong).is_err(), "{wrong}");
        }
    }
}
