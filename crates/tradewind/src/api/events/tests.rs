use std::time::Duration;

use tradewind_model::Sequence;

use super::{ListRequest, LogCursor, Start};
use crate::api::page;

#[test]
fn a_cursor_comes_back_as_it_went() {
    for sequence in [0, 1, u64::MAX].map(Sequence) {
        let request = ListRequest {
            cursor: Some(page::encode(LogCursor(sequence))),
            ..ListRequest::default()
        };
        assert_eq!(request.start().unwrap(), Start::After(sequence));
    }
}

#[test]
fn a_wait_ends_before_the_request_would() {
    let wait = |seconds, request_max| {
        let request = ListRequest {
            wait: Some(seconds),
            ..ListRequest::default()
        };
        request.wait(Duration::from_secs(request_max)).as_secs_f64()
    };
    let waits = [
        wait(10, 30),
        wait(60, 30),
        wait(i64::MAX, 300),
        wait(-1, 30),
    ];
    assert_eq!(
        waits.map(f64::to_bits),
        [10.0, 28.0, 60.0, 0.0].map(f64::to_bits)
    );
    assert_eq!(wait(60, 1).to_bits(), 0.5_f64.to_bits());
}

#[test]
fn an_answer_holds_so_many_events() {
    let limit = |limit| {
        let request = ListRequest {
            limit,
            ..ListRequest::default()
        };
        request.limit()
    };
    let limits = [None, Some(0), Some(-5), Some(1), Some(501), Some(i64::MAX)].map(limit);
    assert_eq!(limits, [100, 100, 100, 1, 500, 500]);
}
