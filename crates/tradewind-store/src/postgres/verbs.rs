//! What a verb needs around its statements: a connection, a transaction, a limit of time.

/// Runs statements on a connection.
macro_rules! on {
    ($store:expr, $db:ident => $work:expr) => {
        on!($store, VERB_MAX, $db => $work)
    };
    ($store:expr, $at_most:expr, $db:ident => $work:expr) => {{
        let $db = $store.pool.get().await?;
        let outcome = within($at_most, $work).await;
        $db.release(outcome)
    }};
}

/// Runs statements in a transaction.
macro_rules! within_transaction {
    ($store:expr, $db:ident => $work:expr) => {
        within_transaction!($store, VERB_MAX, $db => $work)
    };
    ($store:expr, $at_most:expr, $db:ident => $work:expr) => {{
        let $db = $store.pool.get().await?;
        let outcome = within($at_most, async {
            $db.begin().await?;
            let worked = $work.await;
            $db.end(worked).await
        })
        .await;
        $db.release(outcome)
    }};
}

/// Runs statements that read what was there at one moment, for longer if need be.
macro_rules! reading {
    ($store:expr, $db:ident => $work:expr) => {{
        let $db = $store.pool.get().await?;
        let outcome = within(LONG_MAX, async {
            $db.begin_reading().await?;
            let worked = $work.await;
            $db.end_reading().await?;
            worked
        })
        .await;
        $db.release(outcome)
    }};
}

/// The same for what may change webhooks or replays, which all nodes are told.
macro_rules! change {
    ($store:expr, $db:ident => $work:expr) => {{
        let (value, changed) = within_transaction!($store, $db => async {
            let (value, changed) = $work.await?;
            if changed {
                $store.signals.tell_others(&$db).await?;
            }
            Ok((value, changed))
        })?;
        if changed {
            $store.signals.tell_here();
        }
        Ok(value)
    }};
}
