use std::ops::Bound;

use proptest::prelude::*;
use uuid::Uuid;

use super::{CLAUSES_MAX, Condition, FILTER_BYTES_MAX, Filter, NESTING_MAX, Pattern, Span, Value};
use crate::Id;

const ID: &str = "6c7093c7-bcb0-5e97-acf5-045d7d91bc0b";

fn parse(text: &str) -> Filter {
    match Filter::parse(text) {
        Ok(filter) => filter,
        Err(error) => panic!("{text}: {error}"),
    }
}

fn error(text: &str) -> String {
    Filter::parse(text).unwrap_err().to_string()
}

/// Both mean the same.
#[track_caller]
fn same(one: &str, other: &str) {
    assert_eq!(parse(one), parse(other), "{one} and {other}");
}

fn name(pattern: Pattern) -> Filter {
    Filter::Is(Condition::Name(pattern))
}

fn created(min: Option<i64>, max: Option<i64>) -> Filter {
    Filter::Is(Condition::Created(Span { min, max }))
}

#[test]
fn operators_bind_as_they_are_read() {
    same("a AND b OR c", "(a AND b) OR c");
    same("a OR b AND c", "a OR (b AND c)");
    same("a AND NOT b", "a AND (NOT b)");
    same("a && b || !c", "a AND b OR NOT c");
    same("NOT NOT a", "a");
    same("a b c", "a OR b OR c");
    same("a b AND c", "a OR (b AND c)");
    same("NOT(a)", "-a");
}

#[test]
fn clauses_side_by_side_are_as_in_lucene() {
    same("a -b", "a AND NOT b");
    same("a NOT b", "a AND NOT b");
    same("-b a", "a AND NOT b");
    same("a b -c", "(a OR b) AND NOT c");
    same("+a b", "a");
    same("+a +b c -d", "a AND b AND NOT d");
    same("-a -b", "NOT a AND NOT b");
    same("a OR NOT b", "a OR (NOT b)");
}

#[test]
fn a_group_has_one_field() {
    same(
        "source:(facebook OR google)",
        "source:facebook OR source:google",
    );
    same("source:(+facebook)", "source:facebook");
    same(
        "unread_count:(>5 OR 1)",
        "unread_count:>5 OR unread_count:1",
    );
    same(
        "source:(facebook OR display_name:ada)",
        "source:facebook OR ada",
    );
}

#[test]
fn dashes_of_an_id_are_escaped_or_not() {
    let escaped = ID.replace('-', "\\-");
    same(&format!("id:{ID}"), &format!("id:{escaped}"));
    same(&format!("id:{ID}"), &format!("id:\"{escaped}\""));
    same(&format!("id:{ID}"), &format!("id:\"{ID}\""));
    same(&format!("id:{}", ID.to_uppercase()), &format!("id:{ID}"));
    same(ID, &format!("id:{ID} OR display_name:{ID}"));
}

#[test]
fn values_are_in_lower_case_and_fields_as_they_are() {
    same("display_name:GRACE", "display_name:grace");
    same("metadata.City:ULM", "metadata.City:ulm");
    assert_ne!(parse("metadata.City:ulm"), parse("metadata.city:ulm"));
    assert!(Filter::parse("Source:facebook").is_err());
    same("createdAt:>5", "created_at:>5");
    same("unreadCount:3", "unread_count:[3 TO 3]");
}

#[test]
fn wildcards_are_at_the_ends() {
    assert_eq!(parse("Gra*"), name(Pattern::Starts("gra".to_owned())));
    assert_eq!(parse("*lace"), name(Pattern::Ends("lace".to_owned())));
    assert_eq!(parse("*ovel*"), name(Pattern::Contains("ovel".to_owned())));
    assert_eq!(parse("\"Ada*\""), name(Pattern::Whole("ada*".to_owned())));
    assert_eq!(parse("Ada\\*"), name(Pattern::Whole("ada*".to_owned())));
    assert_eq!(parse("display_name:*"), Filter::Is(Condition::Named));
    assert_eq!(parse("tag_ids:*"), Filter::Is(Condition::Tagged));
    for everything in ["*", "*:*", "id:*", "source:*", "created_at:[* TO *]"] {
        assert_eq!(parse(everything), Filter::Everything, "{everything}");
    }
}

#[test]
fn a_phrase_is_words_with_a_blank_between() {
    same("\" Ada \t Lovelace \"", "\"ada lovelace\"");
    same("display_name:ada\\ lov*", "ada\\ lov*");
}

#[test]
fn a_time_is_a_day_a_moment_or_a_number() {
    let day = 1_795_478_400_000;
    assert_eq!(
        parse("created_at:2026-11-24"),
        created(Some(day), Some(day + 86_399_999))
    );
    assert_eq!(
        parse("created_at:>2026-11-24"),
        created(Some(day + 86_400_000), None)
    );
    assert_eq!(
        parse("created_at:<=2026-11-24"),
        created(None, Some(day + 86_399_999))
    );
    same("created_at:{2026-11-24 TO *]", "created_at:>2026-11-24");
    same(
        "created_at:[2026-11-24 TO 2026-11-25}",
        "created_at:2026-11-24",
    );
    same(
        "created_at:2026-11-24T00:00:00Z",
        "created_at:1795478400000",
    );
    same(
        "created_at:\"2026-11-24T01:00:00+01:00\"",
        "created_at:1795478400000",
    );
    same(
        "created_at:[2026-11-24T00:00:00Z TO *]",
        "created_at:>=1795478400000",
    );
}

#[test]
fn ranges_of_values_are_of_numbers_or_of_texts() {
    let value = |text: &str| match parse(text) {
        Filter::Is(Condition::Metadata { value, .. }) => value,
        other => panic!("{other}"),
    };
    let (two, ten) = (Bound::Included(2.0), Bound::Excluded(10.5));
    assert_eq!(value("metadata.n:[2 TO 10.5}"), Value::Numbers(two, ten));
    let (a, b) = (
        Bound::Included("2".to_owned()),
        Bound::Included("x".to_owned()),
    );
    assert_eq!(value("metadata.n:[2 TO X]"), Value::Texts(a.clone(), b));
    assert_eq!(
        value("metadata.n:>=\"2\""),
        Value::Texts(a, Bound::Unbounded)
    );
    assert_eq!(value("metadata.n:[* TO *]"), Value::Present);
}

#[test]
fn an_error_says_where_it_is_and_what_was_expected() {
    let told = [
        ("", "at character 1, the end: expected a clause"),
        (
            "display_name:",
            "at character 14, the end: expected a value after \":\"",
        ),
        ("ü AND", "at character 6, the end: expected a clause"),
        (
            "a) b",
            "at character 2, `) b`: there is no \"(\" that this closes",
        ),
        ("a AND (b", "at character 7, `(b`: this \"(\" is not closed"),
        ("\"ada", "at character 1, `\"ada`: this quote is not closed"),
        ("id:6c7093", "at character 4, `6c7093`: expected a UUID"),
        (
            "OR a",
            "at character 1, `OR a`: expected a clause before OR",
        ),
        (
            "unread_count:many",
            "at character 14, `many`: expected a whole number",
        ),
        (
            "unread_count:[1 5]",
            "at character 17, `5]`: expected TO, as in [2 TO 5]",
        ),
        (
            "unread_count:[1 TO 5",
            "at character 14, `[1 TO 5`: this range is not closed",
        ),
        (
            "source:>a",
            "at character 8, `>a`: only created_at, unread_count and metadata.KEY have ranges",
        ),
        (
            "a\\",
            "at character 3, the end: expected a character after the \\",
        ),
        (
            "ada~2",
            "at character 4, `~2`: there are no fuzzy terms; a ~ in a text is written \\~",
        ),
        (
            "g*ce",
            "at character 2, `*ce`: a wildcard stands at the beginning or the end of a term only",
        ),
    ];
    for (text, expected) in told {
        assert_eq!(error(text), expected, "{text}");
    }
    assert!(error("naem:ada").starts_with("at character 1, `naem:ada`: there is no such field"));
    assert!(error("a:").starts_with("at character 1"), "{}", error("a:"));
    assert!(error("created_at:2026-13-01").contains("expected a time"));
}

#[test]
fn a_filter_is_bounded() {
    let deep = |depth| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&deep(NESTING_MAX)).is_ok());
    assert!(error(&deep(NESTING_MAX + 1)).contains("at most 16 deep"));
    assert!(error(&"(".repeat(FILTER_BYTES_MAX)).contains("at most 16 deep"));
    assert!(error(&"-".repeat(FILTER_BYTES_MAX)).contains("expected a clause"));
    assert!(Filter::parse(&"a ".repeat(CLAUSES_MAX)).is_ok());
    assert!(error(&"a ".repeat(CLAUSES_MAX + 1)).contains("at most 64 clauses"));
    assert!(error(&"a".repeat(FILTER_BYTES_MAX + 1)).contains("at most 4096 bytes"));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9]{1,6}", "[ -~ßΣİ\u{301}]{1,8}"].prop_map(|text| text.to_lowercase())
}

fn pattern(text: impl Strategy<Value = String>) -> impl Strategy<Value = Pattern> {
    (text, 0..4).prop_map(|(text, kind)| match kind {
        0 => Pattern::Whole(text),
        1 => Pattern::Starts(text),
        2 => Pattern::Ends(text),
        _ => Pattern::Contains(text),
    })
}

fn span(low: i64, high: i64) -> impl Strategy<Value = Span> {
    let end = move || proptest::option::of(low..high);
    (end(), end())
        .prop_map(|(min, max)| Span { min, max })
        .prop_filter("open", |span| span.min.is_some() || span.max.is_some())
}

fn bound<T: std::fmt::Debug + Clone>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Bound<T>> {
    (value, any::<bool>()).prop_map(|(value, included)| {
        if included {
            Bound::Included(value)
        } else {
            Bound::Excluded(value)
        }
    })
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Present),
        pattern(text()).prop_map(Value::Is),
        (bound(text()), bound(text())).prop_map(|(from, to)| Value::Texts(from, to)),
        bound(text()).prop_map(|to| Value::Texts(Bound::Unbounded, to)),
        (bound(-1e9..1e9), bound(-5.0..5.0)).prop_map(|(from, to)| Value::Numbers(from, to)),
        bound(any::<i32>())
            .prop_map(|from| { Value::Numbers(from.map(f64::from), Bound::Unbounded) }),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    fn id<K>(number: u128) -> Id<K> {
        Id::from_uuid(Uuid::from_u128(number))
    }
    let words = text()
        .prop_map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
        .prop_filter("a word", |text| !text.is_empty());
    prop_oneof![
        any::<u128>().prop_map(|number| Condition::Id(id(number))),
        any::<u128>().prop_map(|number| Condition::Channel(id(number))),
        any::<u128>().prop_map(|number| Condition::Tag(id(number))),
        Just(Condition::Tagged),
        Just(Condition::Named),
        pattern(text()).prop_map(Condition::Source),
        pattern(words).prop_map(Condition::Name),
        span(-1_000_000_000_000, 4_000_000_000_000).prop_map(Condition::Created),
        span(0, 4_000_000_000).prop_map(Condition::Unread),
        (text(), value()).prop_map(|(key, value)| Condition::Metadata { key, value }),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let leaf = prop_oneof![
        1 => Just(Filter::Everything),
        9 => condition().prop_map(Filter::Is),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|filter| Filter::Not(Box::new(filter))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::All),
            prop::collection::vec(inner, 2..4).prop_map(Filter::Any),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn what_is_rendered_parses_to_the_same(filter in filter()) {
        let text = filter.to_string();
        prop_assume!(text.len() <= FILTER_BYTES_MAX);
        prop_assert_eq!(Filter::parse(&text), Ok(filter), "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(AND|OR|NOT|TO|id:|created_at:|metadata\\.a:|[-+!&|(){}\\[\\]^\"~*?:\\\\<>= a0ü]){0,40}") {
        let _ = Filter::parse(&text);
    }

    #[test]
    fn an_error_points_into_the_text(text in ".{0,60}") {
        if let Err(error) = Filter::parse(&text) {
            prop_assert!(error.character <= text.chars().count() + 1);
        }
    }
}
