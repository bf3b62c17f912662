//! People, their logins, invitations, and the record of who changed what.

use std::time::Duration;

use tradewind_model::{
    Action, Actor, AuditEntry, Invitation, InvitationId, Scope, Token, TokenId, User, UserId,
};
use tradewind_store::{
    Accepted, Admitted, Credentials, NewUser, Removed, Retention, TokenHash, UserKey,
};
use uuid::Uuid;

use crate::world::{World, at};

conformance![
    the_first_user_is_the_only_one_who_needs_no_invitation,
    of_owners_at_once_one_comes_first,
    users_are_found_by_id_and_by_email,
    an_invitation_is_good_for_one_user_and_for_a_time,
    nobody_is_invited_twice_over,
    there_is_room_for_so_many_users,
    a_changed_password_ends_other_logins,
    a_password_that_was_changed_meanwhile_is_not_good,
    a_user_who_goes_takes_their_logins_along,
    a_user_who_goes_takes_their_invitations_along,
    the_last_admin_stays,
    of_a_users_logins_the_newest_are_kept,
    tokens_are_listed_and_revoked,
    a_revoked_last_token_is_not_made_anew,
    there_is_room_for_so_many_tokens,
    tokens_that_are_over_are_swept,
    who_changed_what_is_on_record,
    what_changed_nothing_is_not_on_record,
    the_record_is_paged_and_swept,
];

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA";

fn user_id(number: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number))
}

fn owner(number: u128) -> Credentials {
    Credentials {
        user: User {
            id: user_id(number),
            email: format!("user{number}@example.org"),
            first_name: "Ada".to_owned(),
            last_name: "Lovelace".to_owned(),
            scope: Scope::Admin,
            created_at: at(0),
        },
        password_hash: HASH.to_owned(),
    }
}

fn invitation(number: u128, email: &str, scope: Scope) -> Invitation {
    Invitation {
        id: InvitationId::from_uuid(Uuid::from_u128(number)),
        email: email.to_owned(),
        scope,
        created_at: at(0),
        expires_at: at(100),
    }
}

fn new_user(number: u128) -> NewUser {
    NewUser {
        id: user_id(number),
        first_name: "Grace".to_owned(),
        last_name: "Hopper".to_owned(),
        password_hash: HASH.to_owned(),
    }
}

fn token(number: u8, user: Option<UserId>) -> (Token, TokenHash) {
    let token = Token {
        id: TokenId::from_uuid(Uuid::from_u128(number.into())),
        name: format!("token {number}"),
        scope: Scope::Agent,
        expires_at: Some(at(1_000)),
        created_at: at(number.into()),
        user_id: user,
    };
    (token, TokenHash([number; 32]))
}

fn ada() -> Actor {
    Actor {
        id: Some(Uuid::from_u128(77)),
        name: "Ada's token".to_owned(),
    }
}

async fn put(world: &World, number: u8) {
    let (token, hash) = token(number, None);
    let put = world.store.put_token(token, hash, 100, ada()).await;
    assert_eq!(put.unwrap(), Admitted::Done);
}

async fn log_in(world: &World, number: u8, user: u128) -> bool {
    let (token, hash) = token(number, Some(user_id(user)));
    let password_hash = HASH.to_owned();
    world
        .store
        .log_in(token, hash, password_hash, 3)
        .await
        .unwrap()
}

async fn is_known(world: &World, number: u8) -> bool {
    let found = world.store.find_token(TokenHash([number; 32])).await;
    found.unwrap().is_some()
}

async fn join(world: &World, number: u128, scope: Scope) {
    let email = format!("user{number}@example.org");
    let invited = world
        .store
        .invite(invitation(number, &email, scope), 100, ada())
        .await;
    assert_eq!(invited.unwrap(), Admitted::Done);
    let id = InvitationId::from_uuid(Uuid::from_u128(number));
    let accepted = world.store.accept_invitation(id, new_user(number)).await;
    assert!(matches!(accepted.unwrap(), Accepted::Done(_)));
}

async fn audit(world: &World) -> Vec<AuditEntry> {
    world.store.list_audit(None, 100).await.unwrap().items
}

async fn the_first_user_is_the_only_one_who_needs_no_invitation(world: World) {
    assert!(!world.store.has_users().await.unwrap());
    assert!(world.store.create_owner(owner(1)).await.unwrap());
    assert!(world.store.has_users().await.unwrap());
    assert!(!world.store.create_owner(owner(2)).await.unwrap());
    assert_eq!(world.store.list_users(10).await.unwrap(), [owner(1).user]);
}

async fn of_owners_at_once_one_comes_first(world: World) {
    let many = (1..=8).map(|number| world.store.create_owner(owner(number)));
    let made = futures_util::future::join_all(many).await;
    let made = made.into_iter().filter(|made| *made.as_ref().unwrap());
    assert_eq!(made.count(), 1);
    assert_eq!(world.store.list_users(10).await.unwrap().len(), 1);
}

async fn users_are_found_by_id_and_by_email(world: World) {
    world.store.create_owner(owner(1)).await.unwrap();
    for key in [
        UserKey::Id(user_id(1)),
        UserKey::Email("user1@example.org".to_owned()),
    ] {
        assert_eq!(world.store.find_user(key).await.unwrap(), Some(owner(1)));
    }
    for key in [UserKey::Id(user_id(2)), UserKey::Email("x".to_owned())] {
        assert_eq!(world.store.find_user(key).await.unwrap(), None);
    }
}

async fn an_invitation_is_good_for_one_user_and_for_a_time(world: World) {
    let accept = async |number: u128, user: u128| {
        let id = InvitationId::from_uuid(Uuid::from_u128(number));
        world
            .store
            .accept_invitation(id, new_user(user))
            .await
            .unwrap()
    };
    for (number, email) in [(1, "grace@example.org"), (2, "late@example.org")] {
        let invitation = invitation(number, email, Scope::Agent);
        let invited = world.store.invite(invitation, 10, ada()).await.unwrap();
        assert_eq!(invited, Admitted::Done);
    }
    assert_eq!(accept(9, 1).await, Accepted::NotFound);
    let Accepted::Done(grace) = accept(1, 1).await else {
        panic!("not accepted");
    };
    assert_eq!(
        (grace.email.as_str(), grace.scope),
        ("grace@example.org", Scope::Agent)
    );
    assert_eq!(accept(1, 2).await, Accepted::NotFound);
    world.advance(100);
    assert_eq!(accept(2, 2).await, Accepted::NotFound);
    assert_eq!(world.store.list_users(10).await.unwrap(), [grace]);
}

async fn nobody_is_invited_twice_over(world: World) {
    world.store.create_owner(owner(1)).await.unwrap();
    let invite = async |number, email| {
        let invitation = invitation(number, email, Scope::Agent);
        world.store.invite(invitation, 10, ada()).await.unwrap()
    };
    assert_eq!(invite(1, "user1@example.org").await, Admitted::EmailTaken);
    assert_eq!(invite(2, "grace@example.org").await, Admitted::Done);
    assert_eq!(invite(3, "grace@example.org").await, Admitted::Done);
    let accept = async |number: u128, user: u128| {
        let id = InvitationId::from_uuid(Uuid::from_u128(number));
        world
            .store
            .accept_invitation(id, new_user(user))
            .await
            .unwrap()
    };
    assert!(matches!(accept(3, 3).await, Accepted::Done(_)));
    assert_eq!(accept(2, 2).await, Accepted::NotFound);
}

async fn there_is_room_for_so_many_users(world: World) {
    world.store.create_owner(owner(1)).await.unwrap();
    let invite = async |number, email| {
        let invitation = invitation(number, email, Scope::Agent);
        world.store.invite(invitation, 2, ada()).await.unwrap()
    };
    assert_eq!(invite(1, "a@example.org").await, Admitted::Done);
    assert_eq!(invite(2, "b@example.org").await, Admitted::Full);
    world.advance(100);
    let later = Invitation {
        expires_at: at(200),
        ..invitation(3, "b@example.org", Scope::Agent)
    };
    let invited = world.store.invite(later, 2, ada()).await.unwrap();
    assert_eq!(invited, Admitted::Done);
}

async fn a_changed_password_ends_other_logins(world: World) {
    world.store.create_owner(owner(1)).await.unwrap();
    for number in [1, 2] {
        assert!(log_in(&world, number, 1).await);
    }
    put(&world, 3).await;
    let kept = TokenHash([2; 32]);
    let change = |user| {
        let change = (HASH.to_owned(), "new".to_owned());
        world.store.change_password(user_id(user), change, kept)
    };
    assert!(change(1).await.unwrap());
    assert!(!change(9).await.unwrap());
    let known = [
        is_known(&world, 1).await,
        is_known(&world, 2).await,
        is_known(&world, 3).await,
    ];
    assert_eq!(known, [false, true, true]);
    let found = world
        .store
        .find_user(UserKey::Id(user_id(1)))
        .await
        .unwrap();
    assert_eq!(found.unwrap().password_hash, "new");
}

async fn a_user_who_goes_takes_their_logins_along(world: World) {
    world.store.create_owner(owner(1)).await.unwrap();
    join(&world, 2, Scope::Agent).await;
    assert!(log_in(&world, 1, 2).await);
    let removed = world.store.remove_user(user_id(2), ada()).await.unwrap();
    assert_eq!(removed, Removed::Done);
    assert!(!is_known(&world, 1).await);
    assert!(!log_in(&world, 2, 2).await);
    assert!(!is_known(&world, 2).await);
    let removed = world.store.remove_user(user_id(2), ada()).await.unwrap();
    assert_eq!(removed, Removed::NotFound);
}

async fn a_password_that_was_changed_meanwhile_is_not_good(world: World) {
    world.store.create_owner(owner(1)).await.unwrap();
    let kept = TokenHash([9; 32]);
    let change = |from: &str| {
        let change = (from.to_owned(), "new".to_owned());
        world.store.change_password(user_id(1), change, kept)
    };
    assert!(change(HASH).await.unwrap());
    assert!(!change(HASH).await.unwrap());
    assert!(!log_in(&world, 1, 1).await);
    assert!(!is_known(&world, 1).await);
}

async fn a_user_who_goes_takes_their_invitations_along(world: World) {
    world.store.create_owner(owner(1)).await.unwrap();
    join(&world, 2, Scope::Admin).await;
    let grace = Actor {
        id: Some(user_id(2).uuid()),
        name: "grace".to_owned(),
    };
    for (number, by) in [(7, grace), (8, ada())] {
        let invitation = invitation(number, &format!("x{number}@example.org"), Scope::Admin);
        world.store.invite(invitation, 10, by).await.unwrap();
    }
    world.store.remove_user(user_id(2), ada()).await.unwrap();
    let accept = |number| {
        let id = InvitationId::from_uuid(Uuid::from_u128(number));
        world.store.accept_invitation(id, new_user(number))
    };
    assert_eq!(accept(7).await.unwrap(), Accepted::NotFound);
    assert!(matches!(accept(8).await.unwrap(), Accepted::Done(_)));
}

async fn the_last_admin_stays(world: World) {
    world.store.create_owner(owner(1)).await.unwrap();
    join(&world, 2, Scope::Agent).await;
    let remove = |number| world.store.remove_user(user_id(number), ada());
    assert_eq!(remove(1).await.unwrap(), Removed::LastAdmin);
    join(&world, 3, Scope::Admin).await;
    assert_eq!(remove(1).await.unwrap(), Removed::Done);
}

async fn of_a_users_logins_the_newest_are_kept(world: World) {
    world.store.create_owner(owner(1)).await.unwrap();
    join(&world, 2, Scope::Agent).await;
    assert!(log_in(&world, 9, 2).await);
    for number in 1..=5 {
        assert!(log_in(&world, number, 1).await);
    }
    let mut known = Vec::new();
    for number in [1, 2, 3, 4, 5, 9] {
        known.push(is_known(&world, number).await);
    }
    assert_eq!(known, [false, false, true, true, true, true]);
}

async fn tokens_are_listed_and_revoked(world: World) {
    world.store.create_owner(owner(1)).await.unwrap();
    assert!(log_in(&world, 9, 1).await);
    for number in [2, 1] {
        put(&world, number).await;
    }
    let ids = async || {
        let tokens = world.store.list_tokens(10).await.unwrap();
        tokens
            .into_iter()
            .map(|token| token.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids().await, ["token 1", "token 2"]);
    let (first, _) = token(1, None);
    assert!(is_known(&world, 1).await);
    assert!(world.store.revoke_token(first.id, ada()).await.unwrap());
    assert!(!world.store.revoke_token(first.id, ada()).await.unwrap());
    assert!(!is_known(&world, 1).await);
    assert_eq!(ids().await, ["token 2"]);
    let (login, _) = token(9, None);
    assert!(world.store.revoke_token(login.id, ada()).await.unwrap());
    assert!(!is_known(&world, 9).await);
}

async fn a_revoked_last_token_is_not_made_anew(mut world: World) {
    assert!(!world.store.has_tokens().await.unwrap());
    put(&world, 1).await;
    world
        .store
        .revoke_token(token(1, None).0.id, ada())
        .await
        .unwrap();
    assert!(world.store.list_tokens(10).await.unwrap().is_empty());
    world.reopen().await;
    assert!(world.store.has_tokens().await.unwrap());
}

async fn there_is_room_for_so_many_tokens(world: World) {
    let put = async |number| {
        let (token, hash) = token(number, None);
        world.store.put_token(token, hash, 2, ada()).await.unwrap()
    };
    assert_eq!(put(1).await, Admitted::Done);
    assert_eq!(put(2).await, Admitted::Done);
    assert_eq!(put(2).await, Admitted::Done);
    assert_eq!(put(3).await, Admitted::Full);
}

const SHORT: Retention = Retention {
    log: None,
    messages: None,
    idempotency_keys: None,
    attempts: None,
    audit: Some(jiff::SignedDuration::from_secs(500)),
};

async fn tokens_that_are_over_are_swept(world: World) {
    put(&world, 1).await;
    let (lasting, hash) = token(2, None);
    let lasting = Token {
        expires_at: None,
        ..lasting
    };
    world
        .store
        .put_token(lasting, hash, 10, ada())
        .await
        .unwrap();
    world.clock.advance(Duration::from_secs(1_001));
    world.store.sweep(&SHORT).await.unwrap();
    assert!(!is_known(&world, 1).await);
    assert!(is_known(&world, 2).await);
}

async fn who_changed_what_is_on_record(world: World) {
    let channel = crate::world::channel("site");
    let id = channel.id;
    world.store.connect_channel(channel, ada()).await.unwrap();
    world.advance(5);
    world.store.disconnect_channel(id, ada()).await.unwrap();
    put(&world, 1).await;
    world
        .store
        .revoke_token(token(1, None).0.id, ada())
        .await
        .unwrap();
    world.store.create_owner(owner(1)).await.unwrap();
    join(&world, 2, Scope::Read).await;
    let kept = TokenHash([1; 32]);
    let changed = world
        .store
        .change_password(user_id(1), (HASH.to_owned(), "x".to_owned()), kept);
    assert!(changed.await.unwrap());
    world.store.remove_user(user_id(2), ada()).await.unwrap();

    let audit = audit(&world).await;
    let actions: Vec<_> = audit
        .iter()
        .rev()
        .map(|entry| entry.action.as_str())
        .collect();
    let expected = [
        Action::ChannelConnected,
        Action::ChannelDisconnected,
        Action::TokenCreated,
        Action::TokenRevoked,
        Action::UserCreated,
        Action::UserInvited,
        Action::UserCreated,
        Action::PasswordChanged,
        Action::UserRemoved,
    ];
    assert_eq!(actions, expected.map(Action::name));
    let first = audit.last().unwrap();
    assert_eq!((first.at, &first.actor), (at(0), &ada()));
    assert_eq!(first.subject, id.to_string());
    assert_eq!(audit[7].at, at(5));
    assert_eq!(audit[1].actor, owner(1).user.actor());
    assert_eq!(audit[2].detail, "user2@example.org, read");
}

async fn what_changed_nothing_is_not_on_record(world: World) {
    world.connect("site").await;
    let before = audit(&world).await;
    let site = world.connect("site").await;
    world.store.create_owner(owner(1)).await.unwrap();
    world.store.create_owner(owner(2)).await.unwrap();
    world
        .store
        .disconnect_channel(site.id, ada())
        .await
        .unwrap();
    world
        .store
        .disconnect_channel(site.id, ada())
        .await
        .unwrap();
    world
        .store
        .revoke_token(token(7, None).0.id, ada())
        .await
        .unwrap();
    world.store.remove_user(user_id(1), ada()).await.unwrap();
    world.store.remove_user(user_id(9), ada()).await.unwrap();
    assert_eq!(audit(&world).await.len(), before.len() + 2);
}

async fn the_record_is_paged_and_swept(world: World) {
    for number in 1..=5 {
        put(&world, number).await;
        world.advance(200);
    }
    let page = world.store.list_audit(None, 2).await.unwrap();
    assert_eq!((page.items.len(), page.total), (2, 5));
    let rest = world.store.list_audit(page.next, 10).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (3, None));
    assert_eq!(rest.items[2].subject, token(1, None).0.id.to_string());
    world.store.sweep(&SHORT).await.unwrap();
    assert_eq!(audit(&world).await.len(), 2);
}
