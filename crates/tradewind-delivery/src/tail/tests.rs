//! What counts as failure: an entry that a follower wants does not reach it, reaches it twice or out of
//! order, or reaches it while it is not woken; a follower is woken for what it does not want, or leaves a
//! seat behind; more is kept than is said.

use futures_util::FutureExt as _;
use proptest::prelude::*;
use tradewind_model::{
    Channel, Content, Conversation, DeliveryState, EntryKind, Message, MessageId, Sender,
    SenderType, Source, Subject, Timestamp,
};
use tradewind_store::Wanted;

use super::{
    kept::{KEPT_ENTRIES_MAX, KEPT_WEIGHT_MAX},
    *,
};

const KINDS: [EntryKind; 9] = EntryKind::ALL;

fn entry(sequence: u64, kind: EntryKind, sender: SenderType) -> LogEntry {
    let source = Source::parse("chat_plugin").unwrap();
    let channel = Channel {
        id: Channel::id_of(&source, "test"),
        source: source.clone(),
        source_channel_id: "test".to_owned(),
        name: None,
        image_url: None,
        token: None,
        connected: true,
    };
    let message = Message {
        id: MessageId::derived("test", &sequence.to_string()),
        conversation_id: Conversation::id_of(channel.id, "test"),
        channel_id: channel.id,
        source,
        contact_source_id: "test".to_owned(),
        position: 1,
        sender: Sender {
            id: "test".to_owned(),
            kind: sender,
        },
        content: Content::text("text"),
        state: DeliveryState::Delivered,
        receipt: None,
        failure_reason: None,
        sent_at: Timestamp::UNIX_EPOCH,
    };
    let subject = match kind {
        EntryKind::ChannelConnected | EntryKind::ChannelDisconnected => Subject::Channel(channel),
        _ => Subject::Message {
            message,
            conversation_created_at: Timestamp::UNIX_EPOCH,
        },
    };
    LogEntry {
        sequence: Sequence(sequence),
        position: 1,
        kind,
        at: Timestamp::UNIX_EPOCH,
        subject,
    }
}

fn interest(kinds: &[EntryKind]) -> Interest {
    Interest::of(&Wanted {
        kinds: kinds.to_vec(),
        senders: Vec::new(),
    })
}

/// The log behind a tail.
#[derive(Default)]
struct Log(Vec<EntryKind>);

impl Log {
    fn head(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap()
    }

    fn page(&self, after: Sequence, limit: usize) -> LogPage {
        let skipped = usize::try_from(after.0).unwrap();
        let rest = self.0.iter().zip(1_u64..).skip(skipped);
        let like = KINDS.map(|kind| entry(0, kind, SenderType::SourceContact));
        let like = |kind: EntryKind| like.iter().find(|entry| entry.kind == kind).unwrap();
        let entries: Vec<_> = rest
            .take(limit)
            .map(|(kind, sequence)| {
                Arc::new(LogEntry {
                    sequence: Sequence(sequence),
                    ..like(*kind).clone()
                })
            })
            .collect();
        let read_to = entries.last().map_or(after, |entry| entry.sequence);
        LogPage {
            more: read_to.0 < self.head(),
            entries,
            read_to,
        }
    }

    /// What the tail's task does.
    fn bring(&self, tail: &Tail, limit: usize) {
        let after = tail.lock().kept.read_to;
        tail.lock().take(self.page(after, limit));
    }
}

/// What a driver does.
struct Reader {
    follower: Follower,
    wants: Interest,
    began: u64,
    after: Sequence,
    is_open: bool,
    got: Vec<u64>,
    woken: usize,
}

impl Reader {
    fn join(tail: &Tail, wants: Interest, after: u64) -> Self {
        Self {
            follower: tail.follow(wants),
            wants,
            began: after,
            after: Sequence(after),
            is_open: true,
            got: Vec::new(),
            woken: 0,
        }
    }

    /// Takes one part; whether there was any reason to.
    fn step(&mut self, log: &Log, limit: usize) -> bool {
        if !self.is_open {
            if self.follower.news().now_or_never().is_none() {
                return false;
            }
            self.is_open = true;
            self.woken += 1;
        }
        if let Some(part) = self.follower.next(self.after, limit, usize::MAX) {
            self.got
                .extend(part.entries.iter().map(|entry| entry.sequence.0));
            assert!(part.read_to >= self.after, "a follower never goes back");
            self.after = part.read_to;
            self.is_open = part.more;
        } else {
            let page = log.page(self.after, limit);
            let wanted = page
                .entries
                .iter()
                .filter(|entry| self.wants.contains(entry));
            self.got.extend(wanted.map(|entry| entry.sequence.0));
            self.after = page.read_to;
        }
        true
    }

    fn check(&mut self, log: &Log) {
        while self.step(log, 100) {}
        let all = log.0.iter().zip(1_u64..);
        let wanted = all.filter(|(kind, sequence)| {
            *sequence > self.began && self.wants.meets(interest(&[**kind]))
        });
        let wanted: Vec<_> = wanted.map(|(_, sequence)| sequence).collect();
        assert_eq!(self.got, wanted);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Append(usize, u16),
    Bring(usize),
    Step(usize, usize),
    Join(Vec<usize>, u64),
    Leave(usize),
    TellAll,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..6_usize, 1..40_u16).prop_map(|(kind, count)| Op::Append(kind, count)),
        1 => (0..6_usize, 1..2_500_u16).prop_map(|(kind, count)| Op::Append(kind, count)),
        4 => (1..600_usize).prop_map(Op::Bring),
        8 => (any::<usize>(), 1..600_usize).prop_map(|(who, limit)| Op::Step(who, limit)),
        2 => (prop::collection::vec(0..6_usize, 0..4), 0..9_u64).prop_map(|(kinds, back)| Op::Join(kinds, back)),
        1 => any::<usize>().prop_map(Op::Leave),
        1 => Just(Op::TellAll),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_follower_gets_what_it_wants_once_and_in_order(ops in prop::collection::vec(op(), 1..80)) {
        let mut log = Log::default();
        let tail = Tail::new(Sequence::START);
        let mut readers: Vec<Reader> = Vec::new();
        for op in ops {
            let count = readers.len().max(1);
            match op {
                Op::Append(kind, many) => log.0.extend((0..many).map(|_| KINDS[kind])),
                Op::Bring(limit) => log.bring(&tail, limit),
                Op::Step(who, limit) => {
                    if let Some(reader) = readers.get_mut(who % count) {
                        reader.step(&log, limit);
                    }
                }
                Op::Join(kinds, back) => {
                    let kinds: Vec<_> = kinds.into_iter().map(|kind| KINDS[kind]).collect();
                    let after = log.head().saturating_sub(back * back * back * back);
                    readers.push(Reader::join(&tail, interest(&kinds), after));
                }
                Op::Leave(who) => {
                    if who % count < readers.len() {
                        readers.swap_remove(who % count);
                    }
                }
                Op::TellAll => tail.lock().tell_all(),
            }
            let state = tail.lock();
            let waiting = state.seats.values().filter(|seat| seat.place == Place::Waiting);
            assert_eq!(state.waiting.values().map(HashSet::len).sum::<usize>(), waiting.count());
            assert!(state.kept.len() <= KEPT_ENTRIES_MAX);
        }
        while tail.lock().kept.read_to.0 < log.head() {
            log.bring(&tail, READ_MAX);
        }
        for reader in &mut readers {
            reader.check(&log);
        }
        drop(readers);
        let state = tail.lock();
        prop_assert!(state.seats.is_empty() && state.waiting.is_empty());
    }

    #[test]
    fn an_interest_is_what_is_wanted(kinds in prop::collection::vec(0..6_usize, 0..6), senders in prop::collection::vec(0..3_usize, 0..3)) {
        let wanted = Wanted {
            kinds: kinds.into_iter().map(|kind| KINDS[kind]).collect(),
            senders: senders.into_iter().map(|sender| SenderType::ALL[sender]).collect(),
        };
        for kind in KINDS {
            for sender in SenderType::ALL {
                let entry = entry(1, kind, sender);
                prop_assert_eq!(Interest::of(&wanted).contains(&entry), wanted.contains(&entry));
            }
        }
    }
}

#[test]
fn who_wants_nothing_of_it_is_not_woken() {
    let mut log = Log::default();
    let tail = Tail::new(Sequence::START);
    let mut wanting = Reader::join(&tail, interest(&[EntryKind::Received]), 0);
    let mut quiet = Reader::join(&tail, interest(&[EntryKind::Sent]), 0);
    for _ in 0..100 {
        wanting.step(&log, 100);
        quiet.step(&log, 100);
        log.0.push(EntryKind::Received);
        log.bring(&tail, 100);
    }
    wanting.step(&log, 100);
    assert_eq!((wanting.woken, quiet.woken), (100, 0));
    assert_eq!(quiet.follower.stand().passed(), Some(Sequence(100)));
    log.0.push(EntryKind::Sent);
    log.bring(&tail, 100);
    assert_eq!(quiet.follower.stand().passed(), Some(Sequence(100)));
    quiet.check(&log);
    assert_eq!((quiet.woken, quiet.got), (1, vec![101]));
}

#[test]
fn who_waits_is_told_now_and_then_how_far_the_log_was_read() {
    let mut log = Log::default();
    let tail = Tail::new(Sequence::START);
    let mut quiet = Reader::join(&tail, Interest::NOTHING, 0);
    quiet.step(&log, 1);
    let due_at = tail.tell_at(None);
    assert_eq!(due_at, None, "nothing happened");
    log.0.push(EntryKind::Received);
    log.bring(&tail, 1);
    let due_at = tail.tell_at(None);
    assert!(due_at.is_some() && tail.tell_at(due_at) == due_at);
    assert!(!quiet.step(&log, 1), "it is not told at once");
    for _ in 0..UNTOLD_MAX {
        log.0.push(EntryKind::Received);
    }
    while tail.lock().kept.read_to.0 < log.head() {
        log.bring(&tail, READ_MAX);
    }
    assert_eq!(tail.tell_at(due_at), None);
    assert!(quiet.step(&log, 1));
    assert_eq!(quiet.after, Sequence(UNTOLD_MAX + 1));
}

#[test]
fn who_changes_its_interest_gets_what_comes_from_then_on() {
    let mut log = Log(vec![EntryKind::Received, EntryKind::Sent]);
    let tail = Tail::new(Sequence::START);
    let mut reader = Reader::join(&tail, interest(&[EntryKind::SendFailed]), 0);
    log.bring(&tail, 10);
    reader.step(&log, 10);
    reader.follower.stand().change(interest(&[EntryKind::Sent]));
    log.0.extend([EntryKind::Received, EntryKind::Sent]);
    log.bring(&tail, 10);
    while reader.step(&log, 10) {}
    assert_eq!(reader.got, [4]);
    assert_eq!(tail.lock().waiting.len(), 1);
}

#[test]
fn who_is_far_behind_is_sent_to_the_store_and_what_is_kept_is_bounded() {
    let log = Log(vec![EntryKind::Received; 3 * KEPT_ENTRIES_MAX]);
    let tail = Tail::new(Sequence::START);
    let reader = Reader::join(&tail, Interest::ALL, 0);
    while tail.lock().kept.read_to.0 < log.head() {
        log.bring(&tail, READ_MAX);
        assert!(tail.lock().kept.weight() <= KEPT_WEIGHT_MAX);
    }
    assert_eq!(tail.lock().kept.len(), KEPT_ENTRIES_MAX);
    assert_eq!(reader.follower.next(Sequence(1), 10, usize::MAX), None);
    let newest = reader
        .follower
        .next(Sequence(log.head() - 1), 10, usize::MAX);
    let newest = newest.unwrap();
    assert_eq!((newest.entries.len(), newest.more), (1, false));
}

#[test]
fn what_nobody_is_behind_of_is_not_kept() {
    let mut log = Log::default();
    let tail = Tail::new(Sequence::START);
    let mut reader = Reader::join(&tail, Interest::ALL, 0);
    for _ in 0..10 {
        reader.step(&log, 10);
        log.0.push(EntryKind::Received);
        log.bring(&tail, 10);
        assert_eq!(tail.lock().kept.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_between_threads() {
    const COUNT: u64 = 20_000;
    let tail = Tail::new(Sequence::START);
    let follow = |wants: Interest, kind: EntryKind| {
        let follower = tail.follow(wants);
        async move {
            let (mut after, mut got) = (Sequence::START, 0_u64);
            loop {
                let part = follower.next(after, 16, usize::MAX).unwrap();
                got += u64::try_from(part.entries.len()).unwrap();
                after = part.read_to;
                if got == COUNT / 2 {
                    return kind;
                }
                if !part.more {
                    follower.news().await;
                }
            }
        }
    };
    let received = follow(interest(&[EntryKind::Received]), EntryKind::Received);
    let sent = follow(interest(&[EntryKind::Sent]), EntryKind::Sent);
    let append = {
        let tail = tail.clone();
        move || {
            for sequence in 1..=COUNT {
                let kind = [EntryKind::Sent, EntryKind::Received][usize::from(sequence % 2 == 0)];
                // Whoever is too far behind would have to read a store.
                while tail.lock().kept.len() > KEPT_ENTRIES_MAX - 2 && !tail.all_wait() {
                    std::thread::yield_now();
                }
                tail.lock().take(LogPage {
                    entries: vec![entry(sequence, kind, SenderType::SourceContact).into()],
                    read_to: Sequence(sequence),
                    more: false,
                });
            }
        }
    };
    let appending = tokio::task::spawn_blocking(append);
    let all = async { tokio::join!(received, sent, appending) };
    let ended = tokio::time::timeout(Duration::from_mins(1), all).await;
    ended.expect("a follower waits for ever").2.unwrap();
}

impl Tail {
    fn all_wait(&self) -> bool {
        let state = self.lock();
        state
            .seats
            .values()
            .all(|seat| seat.place == Place::Waiting)
    }
}
