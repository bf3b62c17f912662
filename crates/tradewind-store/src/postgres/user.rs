//! People, their passwords, and who is invited. Each function but those that only look runs in a
//! transaction that [`lock`] makes the only one of its kind.

use tokio_postgres::{Client, Row};
use tradewind_model::{Action, Actor, Invitation, InvitationId, Scope, Timestamp, User, UserId};

use super::{
    audit,
    row::{code, coded, id, number, params, read_text, text, time},
    token::{forget_logins, forget_logins_but},
};
use crate::{
    Accepted, Admitted, Credentials, NewUser, Removed, StoreError, TokenHash, UserKey,
    page::row_limit,
};

macro_rules! user_columns {
    () => {
        "id, email, first_name, last_name, scope, created_at_ms, password_hash"
    };
}

/// One change of users, invitations and tokens after the other.
pub(super) async fn lock(db: &Client) -> Result<(), StoreError> {
    db.query_typed(
        "SELECT pg_advisory_xact_lock(hashtextextended('tradewind accounts', 0))",
        &[],
    )
    .await?;
    Ok(())
}

pub(super) async fn create_owner(
    db: &Client,
    now: Timestamp,
    owner: &Credentials,
) -> Result<bool, StoreError> {
    lock(db).await?;
    if has_users(db).await? {
        return Ok(false);
    }
    write_user(db, now, owner).await?;
    Ok(true)
}

pub(super) async fn has_users(db: &Client) -> Result<bool, StoreError> {
    let row = db
        .query_typed_one("SELECT EXISTS (SELECT 1 FROM app_user)", &[])
        .await?;
    Ok(row.try_get(0)?)
}

pub(super) async fn find_user(
    db: &Client,
    key: &UserKey,
) -> Result<Option<Credentials>, StoreError> {
    let (id, email) = match key {
        UserKey::Id(id) => (Some(id.uuid()), None),
        UserKey::Email(email) => (None, Some(text(email))),
    };
    let row = db
        .query_typed_opt(
            concat!(
                "SELECT ",
                user_columns!(),
                " FROM app_user WHERE id = $1 OR email = $2"
            ),
            params![id => UUID, email => TEXT],
        )
        .await?;
    row.as_ref().map(credentials).transpose()
}

pub(super) async fn list_users(db: &Client, limit: usize) -> Result<Vec<User>, StoreError> {
    let rows = db
        .query_typed(
            concat!(
                "SELECT ",
                user_columns!(),
                " FROM app_user ORDER BY row LIMIT $1"
            ),
            params![row_limit(limit) => INT8],
        )
        .await?;
    rows.iter().map(|row| Ok(credentials(row)?.user)).collect()
}

pub(super) async fn invite(
    db: &Client,
    now: Timestamp,
    invitation: &Invitation,
    max: u64,
    by: &Actor,
) -> Result<Admitted, StoreError> {
    lock(db).await?;
    let taken = UserKey::Email(invitation.email.clone());
    if find_user(db, &taken).await?.is_some() {
        return Ok(Admitted::EmailTaken);
    }
    sweep_invitations(db, now).await?;
    let count = db
        .query_typed_one(
            "SELECT (SELECT COUNT(*) FROM app_user) + (SELECT COUNT(*) FROM invitation)",
            &[],
        )
        .await?;
    if number(&count, 0)? >= max {
        return Ok(Admitted::Full);
    }
    db.execute_typed(
        "INSERT INTO invitation (id, email, scope, created_at_ms, expires_at_ms, invited_by)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![
            invitation.id.uuid() => UUID,
            text(&invitation.email) => TEXT,
            code(invitation.scope) => INT2,
            invitation.created_at.as_millisecond() => INT8,
            invitation.expires_at.as_millisecond() => INT8,
            by.id => UUID,
        ],
    )
    .await?;
    let detail = format!("{}, {}", invitation.email, invitation.scope.name());
    // Not its id, which lets somebody in.
    let about = (invitation.email.as_str(), detail.as_str());
    audit::record(db, now, by, Action::UserInvited, about).await?;
    Ok(Admitted::Done)
}

pub(super) async fn accept_invitation(
    db: &Client,
    now: Timestamp,
    id: InvitationId,
    new: &NewUser,
) -> Result<Accepted, StoreError> {
    lock(db).await?;
    let Some(invitation) = find_invitation(db, id).await? else {
        return Ok(Accepted::NotFound);
    };
    if invitation.expires_at <= now {
        return Ok(Accepted::NotFound);
    }
    let taken = UserKey::Email(invitation.email.clone());
    if find_user(db, &taken).await?.is_some() {
        return Ok(Accepted::EmailTaken);
    }
    let user = new.clone().into_user(&invitation, now);
    let credentials = Credentials {
        user: user.clone(),
        password_hash: new.password_hash.clone(),
    };
    write_user(db, now, &credentials).await?;
    // Others to the same address are of no use any more.
    db.execute_typed(
        "DELETE FROM invitation WHERE id = $1 OR email = $2",
        params![id.uuid() => UUID, text(&user.email) => TEXT],
    )
    .await?;
    Ok(Accepted::Done(user))
}

pub(super) async fn change_password(
    db: &Client,
    now: Timestamp,
    id: UserId,
    (from, to): (&str, &str),
    kept: TokenHash,
) -> Result<bool, StoreError> {
    lock(db).await?;
    let known = find_user(db, &UserKey::Id(id)).await?;
    let Some(Credentials { user, .. }) = known.filter(|known| known.password_hash == from) else {
        return Ok(false);
    };
    db.execute_typed(
        "UPDATE app_user SET password_hash = $2 WHERE id = $1",
        params![id.uuid() => UUID, to => TEXT],
    )
    .await?;
    forget_logins_but(db, id, kept).await?;
    let subject = id.to_string();
    let about = (subject.as_str(), user.email.as_str());
    audit::record(db, now, &user.actor(), Action::PasswordChanged, about).await?;
    Ok(true)
}

pub(super) async fn remove_user(
    db: &Client,
    now: Timestamp,
    id: UserId,
    by: &Actor,
) -> Result<Removed, StoreError> {
    lock(db).await?;
    let Some(Credentials { user, .. }) = find_user(db, &UserKey::Id(id)).await? else {
        return Ok(Removed::NotFound);
    };
    let admins = db
        .query_typed_one(
            "SELECT COUNT(*) FROM app_user WHERE scope = $1",
            params![code(Scope::Admin) => INT2],
        )
        .await?;
    if user.scope == Scope::Admin && number(&admins, 0)? < 2 {
        return Ok(Removed::LastAdmin);
    }
    forget_logins(db, id).await?;
    db.execute_typed(
        "DELETE FROM invitation WHERE invited_by = $1",
        params![id.uuid() => UUID],
    )
    .await?;
    db.execute_typed(
        "DELETE FROM app_user WHERE id = $1",
        params![id.uuid() => UUID],
    )
    .await?;
    let subject = id.to_string();
    let about = (subject.as_str(), user.email.as_str());
    audit::record(db, now, by, Action::UserRemoved, about).await?;
    Ok(Removed::Done)
}

pub(super) async fn sweep_invitations(db: &Client, now: Timestamp) -> Result<(), StoreError> {
    db.execute_typed(
        "DELETE FROM invitation WHERE expires_at_ms <= $1",
        params![now.as_millisecond() => INT8],
    )
    .await?;
    Ok(())
}

async fn write_user(
    db: &Client,
    now: Timestamp,
    credentials: &Credentials,
) -> Result<(), StoreError> {
    let Credentials {
        user,
        password_hash,
    } = credentials;
    db.execute_typed(
        "INSERT INTO app_user
             (id, email, first_name, last_name, scope, created_at_ms, password_hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![
            user.id.uuid() => UUID,
            text(&user.email) => TEXT,
            text(&user.first_name) => TEXT,
            text(&user.last_name) => TEXT,
            code(user.scope) => INT2,
            user.created_at.as_millisecond() => INT8,
            password_hash => TEXT,
        ],
    )
    .await?;
    let subject = user.id.to_string();
    let detail = format!("{}, {}", user.email, user.scope.name());
    let about = (subject.as_str(), detail.as_str());
    audit::record(db, now, &user.actor(), Action::UserCreated, about).await
}

async fn find_invitation(db: &Client, id: InvitationId) -> Result<Option<Invitation>, StoreError> {
    let row = db
        .query_typed_opt(
            "SELECT email, scope, created_at_ms, expires_at_ms FROM invitation WHERE id = $1",
            params![id.uuid() => UUID],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Invitation {
        id,
        email: read_text(&row, 0)?,
        scope: coded(&row, 1)?,
        created_at: time(&row, 2)?,
        expires_at: time(&row, 3)?,
    }))
}

fn credentials(row: &Row) -> Result<Credentials, StoreError> {
    Ok(Credentials {
        user: User {
            id: id(row, 0)?,
            email: read_text(row, 1)?,
            first_name: read_text(row, 2)?,
            last_name: read_text(row, 3)?,
            scope: coded(row, 4)?,
            created_at: time(row, 5)?,
        },
        password_hash: read_text(row, 6)?,
    })
}
