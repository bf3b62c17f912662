//! What people say of themselves, checked.

use secrecy::{ExposeSecret as _, SecretString};

use crate::api::{error::ApiError, extract::check_line};

/// Shortest password in characters, and longest in bytes.
const PASSWORD_MIN: usize = 8;
const PASSWORD_BYTES_MAX: usize = 1_024;
/// Longest e-mail address and name, in bytes.
pub(super) const EMAIL_BYTES_MAX: usize = 254;
const NAME_BYTES_MAX: usize = 200;

/// An e-mail address, in lower case. Whether mail arrives there is not for us to say.
pub(super) fn email(text: &str) -> Result<String, ApiError> {
    let email = text.trim().to_lowercase();
    let is_email = email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    let is_plain = !email.contains(|c: char| c.is_whitespace() || c.is_control());
    if !is_email || !is_plain || email.len() > EMAIL_BYTES_MAX {
        return Err(ApiError::invalid("email", "must be an e-mail address"));
    }
    Ok(email)
}

pub(super) fn names(first: &str, last: &str) -> Result<(String, String), ApiError> {
    for (field, name) in [("first_name", first), ("last_name", last)] {
        if name.trim().is_empty() {
            return Err(ApiError::invalid(field, "must not be empty"));
        }
        check_line(field, name, 0..=NAME_BYTES_MAX)?;
    }
    Ok((first.trim().to_owned(), last.trim().to_owned()))
}

pub(super) fn check_password(field: &str, password: &SecretString) -> Result<(), ApiError> {
    let password = password.expose_secret();
    if password.chars().count() < PASSWORD_MIN {
        let why = format!("must have at least {PASSWORD_MIN} characters");
        return Err(ApiError::invalid(field, why));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        let why = format!("must be at most {PASSWORD_BYTES_MAX} bytes long");
        return Err(ApiError::invalid(field, why));
    }
    Ok(())
}
