//! Who beats how often.

use std::time::Duration;

use axum::{body::Bytes, extract::ws::Message as WsMessage};

/// Heart-beats go as often as a client wants within these.
const HEART_BEAT_MIN: Duration = Duration::from_secs(1);
const HEART_BEAT_MAX: Duration = Duration::from_mins(1);
/// How often a client without heart-beats is pinged.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Silence of this many of its intervals means that a client is gone.
const SILENT_INTERVALS_MAX: u32 = 3;

pub(super) struct Pace {
    /// We send something at least this often.
    pub(super) send_every: Duration,
    /// What we send when we have nothing to say.
    pub(super) beat: WsMessage,
    /// After this much silence the client is gone.
    pub(super) silence_max: Duration,
}

impl Pace {
    /// Each side beats as often as the other wants, but not more often than it can (STOMP 1.2,
    /// "Heart-beating"). Gives the pace, and the `heart-beat` header that says what we offer.
    pub(super) fn negotiate(client: Option<&str>) -> (Self, String) {
        let (can, wants) = client
            .and_then(|header| header.split_once(','))
            .unwrap_or(("0", "0"));
        let interval = |text: &str| match text.trim().parse() {
            Ok(0) | Err(_) => None,
            Ok(ms) => Some(Duration::from_millis(ms).clamp(HEART_BEAT_MIN, HEART_BEAT_MAX)),
        };
        let (sends, hears) = (interval(can), interval(wants));
        let pace = Self {
            send_every: hears.unwrap_or(PING_EVERY),
            beat: match hears {
                Some(_) => WsMessage::Text("\n".into()),
                None => WsMessage::Ping(Bytes::new()),
            },
            silence_max: sends
                .unwrap_or(PING_EVERY)
                .saturating_mul(SILENT_INTERVALS_MAX),
        };
        let offer = HEART_BEAT_MIN.as_millis();
        (pace, format!("{offer},{offer}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{PING_EVERY, Pace};

    #[test]
    fn heart_beats_are_as_often_as_the_client_wants() {
        let pace = |header| {
            let (pace, _) = Pace::negotiate(header);
            (pace.send_every, pace.silence_max)
        };
        let seconds = Duration::from_secs;
        assert_eq!(pace(Some("4000,10000")), (seconds(10), seconds(12)));
        assert_eq!(pace(Some("1,1")), (seconds(1), seconds(3)));
        let often = seconds(60);
        assert_eq!(pace(Some("4294967295,4294967295")), (often, often * 3));
        assert_eq!(pace(Some("0,0")), (PING_EVERY, PING_EVERY * 3));
        assert_eq!(pace(None), (PING_EVERY, PING_EVERY * 3));
        assert_eq!(pace(Some("nonsense")), (PING_EVERY, PING_EVERY * 3));
    }
}
