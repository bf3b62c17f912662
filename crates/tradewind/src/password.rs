//! Passwords: hashed with Argon2id, a few at a time, as each takes 19 MiB and some ten milliseconds.

use std::sync::Arc;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;
use tradewind_store::StoreError;

use crate::api::error::ApiError;

/// Passwords that are hashed at once; others wait.
const HASHED_AT_ONCE_MAX: usize = 2;

/// A hash of nobody's password. Who names an unknown user waits for it as for a real one, so that the time
/// does not tell who is known.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$dHJhZGV3aW5kIG5vYm9keQ$\
                      K1bSb9Ug3rXlq4cYkGkDDcZ3e4v0TAdNDIuZzi1sQ0A";

#[derive(Debug)]
pub(crate) struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(HASHED_AT_ONCE_MAX)))
    }
}

impl Passwords {
    /// The hash under which a password is kept, in the PHC string format.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, ApiError> {
        self.beside(move || {
            let hash = Argon2::default().hash_password(password.expose_secret().as_bytes());
            hash.map(|hash| hash.to_string()).map_err(broken)
        })
        .await
    }

    /// Whether `password` is the one with this hash. Takes as long when there is none.
    pub(crate) async fn verify(
        &self,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<bool, ApiError> {
        self.beside(move || {
            let kept = PasswordHash::new(hash.as_deref().unwrap_or(NOBODY)).map_err(broken)?;
            let verified =
                Argon2::default().verify_password(password.expose_secret().as_bytes(), &kept);
            Ok(verified.is_ok() && hash.is_some())
        })
        .await
    }

    async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        // It is never closed; if it were, there only would be more at once.
        let permit = Arc::clone(&self.0).acquire_owned().await;
        // Whoever asked may go away, and it goes on all the same: the permit goes with it.
        let counted = move || {
            let done = work();
            drop(permit);
            done
        };
        tokio::task::spawn_blocking(counted)
            .await
            .unwrap_or(Err(ApiError::Panicked))
    }
}

fn broken(error: impl std::fmt::Display) -> ApiError {
    ApiError::Internal(StoreError::Broken(error.to_string().into()))
}

#[cfg(test)]
mod tests {
    use argon2::{Argon2, Params, password_hash::phc::PasswordHash};

    use super::{NOBODY, Passwords};

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_alone() {
        let passwords = Passwords::default();
        let hash = passwords.hash("secret 42".into()).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert_ne!(hash, passwords.hash("secret 42".into()).await.unwrap());
        let verify = async |password: &str, hash: Option<&str>| {
            let hash = hash.map(str::to_owned);
            passwords.verify(password.into(), hash).await.unwrap()
        };
        assert!(verify("secret 42", Some(&hash)).await);
        assert!(!verify("secret 43", Some(&hash)).await);
        assert!(!verify("secret 42", None).await);
    }

    #[test]
    fn nobody_costs_as_much_as_anybody() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let params = Params::try_from(&nobody).unwrap();
        let usual = Argon2::default().params().clone();
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost()),
            (usual.m_cost(), usual.t_cost(), usual.p_cost())
        );
        assert_eq!(nobody.algorithm.as_str(), "argon2id");
    }
}
