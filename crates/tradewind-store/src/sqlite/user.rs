//! People, their passwords, and who is invited.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tradewind_model::{Action, Actor, Invitation, InvitationId, Scope, Timestamp, User, UserId};

use super::{
    audit,
    row::get,
    token::{forget_logins, forget_logins_but},
    writer::Batch,
};
use crate::{
    Accepted, Admitted, Credentials, NewUser, Removed, StoreError, TokenHash, UserKey,
    coded::Coded as _,
};

macro_rules! user_columns {
    () => {
        "id, email, first_name, last_name, scope, created_at_ms, password_hash"
    };
}

pub(super) fn create_owner(
    batch: &Batch<'_>,
    now: Timestamp,
    owner: &Credentials,
) -> Result<bool, StoreError> {
    if has_users(batch)? {
        return Ok(false);
    }
    write_user(batch, now, owner)?;
    Ok(true)
}

pub(super) fn has_users(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("-- has_users\n SELECT EXISTS (SELECT 1 FROM app_user)")?
        .query_row([], |row| row.get(0))
}

pub(super) fn find_user(db: &Connection, key: &UserKey) -> Result<Option<Credentials>, StoreError> {
    let (id, email) = match key {
        UserKey::Id(id) => (Some(id.uuid()), None),
        UserKey::Email(email) => (None, Some(email.as_str())),
    };
    let found = db
        .prepare_cached(concat!(
            "-- find_user\n SELECT ",
            user_columns!(),
            " FROM app_user WHERE id = ?1 OR email = ?2"
        ))?
        .query_row((id, email), credentials)
        .optional()?;
    Ok(found)
}

pub(super) fn list_users(db: &Connection, limit: i64) -> Result<Vec<User>, StoreError> {
    let users = db
        .prepare_cached(concat!(
            "-- list_users\n SELECT ",
            user_columns!(),
            " FROM app_user ORDER BY row LIMIT ?1"
        ))?
        .query_map([limit], |row| Ok(credentials(row)?.user))?
        .collect::<Result<_, _>>()?;
    Ok(users)
}

pub(super) fn invite(
    batch: &Batch<'_>,
    now: Timestamp,
    invitation: &Invitation,
    max: u64,
    by: &Actor,
) -> Result<Admitted, StoreError> {
    if find_user(batch, &UserKey::Email(invitation.email.clone()))?.is_some() {
        return Ok(Admitted::EmailTaken);
    }
    sweep_invitations(batch, now)?;
    let count: u64 = batch
        .prepare_cached(
            "-- invite
             SELECT (SELECT COUNT(*) FROM app_user) + (SELECT COUNT(*) FROM invitation)",
        )?
        .query_row([], |row| get(row, 0))?;
    if count >= max {
        return Ok(Admitted::Full);
    }
    batch
        .prepare_cached(
            "-- invite
             INSERT INTO invitation (id, email, scope, created_at_ms, expires_at_ms, invited_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            invitation.id.uuid(),
            invitation.email,
            invitation.scope.code(),
            invitation.created_at.as_millisecond(),
            invitation.expires_at.as_millisecond(),
            by.id,
        ])?;
    let detail = format!("{}, {}", invitation.email, invitation.scope.name());
    // Not its id, which lets somebody in.
    let about = (invitation.email.as_str(), detail.as_str());
    audit::record(batch, now, by, Action::UserInvited, about)?;
    Ok(Admitted::Done)
}

pub(super) fn accept_invitation(
    batch: &Batch<'_>,
    now: Timestamp,
    id: InvitationId,
    new: &NewUser,
) -> Result<Accepted, StoreError> {
    let Some(invitation) = find_invitation(batch, id)? else {
        return Ok(Accepted::NotFound);
    };
    if invitation.expires_at <= now {
        return Ok(Accepted::NotFound);
    }
    if find_user(batch, &UserKey::Email(invitation.email.clone()))?.is_some() {
        return Ok(Accepted::EmailTaken);
    }
    let user = new.clone().into_user(&invitation, now);
    let credentials = Credentials {
        user: user.clone(),
        password_hash: new.password_hash.clone(),
    };
    write_user(batch, now, &credentials)?;
    // Others to the same address are of no use any more.
    batch
        .prepare_cached(
            "-- accept_invitation\n DELETE FROM invitation WHERE id = ?1 OR email = ?2",
        )?
        .execute((id.uuid(), &user.email))?;
    Ok(Accepted::Done(user))
}

pub(super) fn change_password(
    batch: &Batch<'_>,
    now: Timestamp,
    id: UserId,
    (from, to): (&str, &str),
    kept: TokenHash,
) -> Result<bool, StoreError> {
    let known = find_user(batch, &UserKey::Id(id))?;
    let Some(Credentials { user, .. }) = known.filter(|known| known.password_hash == from) else {
        return Ok(false);
    };
    batch
        .prepare_cached(
            "-- change_password\n UPDATE app_user SET password_hash = ?2 WHERE id = ?1",
        )?
        .execute((id.uuid(), to))?;
    forget_logins_but(batch, id, kept)?;
    let (actor, subject) = (user.actor(), id.to_string());
    let about = (subject.as_str(), user.email.as_str());
    audit::record(batch, now, &actor, Action::PasswordChanged, about)?;
    Ok(true)
}

pub(super) fn remove_user(
    batch: &Batch<'_>,
    now: Timestamp,
    id: UserId,
    by: &Actor,
) -> Result<Removed, StoreError> {
    let Some(Credentials { user, .. }) = find_user(batch, &UserKey::Id(id))? else {
        return Ok(Removed::NotFound);
    };
    let admins: u64 = batch
        .prepare_cached("-- remove_user\n SELECT COUNT(*) FROM app_user WHERE scope = ?1")?
        .query_row([Scope::Admin.code()], |row| get(row, 0))?;
    if user.scope == Scope::Admin && admins < 2 {
        return Ok(Removed::LastAdmin);
    }
    forget_logins(batch, id)?;
    batch
        .prepare_cached("-- remove_user\n DELETE FROM invitation WHERE invited_by = ?1")?
        .execute([id.uuid()])?;
    batch
        .prepare_cached("-- remove_user\n DELETE FROM app_user WHERE id = ?1")?
        .execute([id.uuid()])?;
    let subject = id.to_string();
    audit::record(batch, now, by, Action::UserRemoved, (&subject, &user.email))?;
    Ok(Removed::Done)
}

pub(super) fn sweep_invitations(db: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    db.prepare_cached("-- sweep_invitations\n DELETE FROM invitation WHERE expires_at_ms <= ?1")?
        .execute([now.as_millisecond()])
}

fn write_user(
    db: &Connection,
    now: Timestamp,
    credentials: &Credentials,
) -> Result<(), StoreError> {
    let Credentials {
        user,
        password_hash,
    } = credentials;
    db.prepare_cached(
        "-- write_user
         INSERT INTO app_user
             (id, email, first_name, last_name, scope, created_at_ms, password_hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        user.id.uuid(),
        user.email,
        user.first_name,
        user.last_name,
        user.scope.code(),
        user.created_at.as_millisecond(),
        password_hash,
    ])?;
    let subject = user.id.to_string();
    let detail = format!("{}, {}", user.email, user.scope.name());
    audit::record(
        db,
        now,
        &user.actor(),
        Action::UserCreated,
        (&subject, &detail),
    )?;
    Ok(())
}

fn find_invitation(db: &Connection, id: InvitationId) -> Result<Option<Invitation>, StoreError> {
    let found = db
        .prepare_cached(
            "-- find_invitation
             SELECT email, scope, created_at_ms, expires_at_ms FROM invitation WHERE id = ?1",
        )?
        .query_row([id.uuid()], |row| {
            Ok(Invitation {
                id,
                email: row.get(0)?,
                scope: get(row, 1)?,
                created_at: get(row, 2)?,
                expires_at: get(row, 3)?,
            })
        })
        .optional()?;
    Ok(found)
}

fn credentials(row: &Row<'_>) -> rusqlite::Result<Credentials> {
    Ok(Credentials {
        user: User {
            id: get(row, 0)?,
            email: row.get(1)?,
            first_name: row.get(2)?,
            last_name: row.get(3)?,
            scope: get(row, 4)?,
            created_at: get(row, 5)?,
        },
        password_hash: row.get(6)?,
    })
}
