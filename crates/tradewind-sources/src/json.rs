//! Reads JSON of which only a part is understood: whatever is missing or of another type is `None`.
//!
//! And places on earth, which are `geo:` URIs here and two numbers with everybody else.

mod posted;

use serde_json::Value;
use tradewind_model::Timestamp;

pub(crate) use self::posted::posted;

/// A smaller number is a time in seconds, another in milliseconds: 1973 in milliseconds, the year 5138 in seconds.
const SECONDS_BELOW: i64 = 100_000_000_000;

/// The object in `key`.
pub(crate) fn object<'a>(node: &'a Value, key: &str) -> Option<&'a Value> {
    node.get(key).filter(|value| value.is_object())
}

/// What is listed in `key`.
pub(crate) fn items<'a>(node: &'a Value, key: &str) -> &'a [Value] {
    let list = node.get(key).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// The text in `key`, if it is not empty. A number is taken for its text: ids are written both ways.
pub(crate) fn text(node: &Value, key: &str) -> Option<String> {
    match node.get(key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The address of something on the web.
pub(crate) fn link(node: &Value, key: &str) -> Option<String> {
    let url = text(node, key)?;
    (url.starts_with("https://") || url.starts_with("http://")).then_some(url)
}

pub(crate) fn is_true(node: &Value, key: &str) -> bool {
    node.get(key).and_then(Value::as_bool) == Some(true)
}

/// A time since 1970, in seconds or milliseconds, as a number or as its text.
pub(crate) fn time(node: &Value, key: &str) -> Option<Timestamp> {
    let number: i64 = text(node, key)?.parse().ok()?;
    if number < SECONDS_BELOW {
        Timestamp::from_second(number).ok()
    } else {
        Timestamp::from_millisecond(number).ok()
    }
}

/// A place on earth as a `geo:` URI; `keys` are those of its latitude and longitude.
pub(crate) fn place(node: &Value, keys: [&str; 2]) -> Option<String> {
    let degrees = |key: &str| text(node, key)?.parse::<f64>().ok();
    let [latitude, longitude] = keys;
    let (latitude, longitude) = (degrees(latitude)?, degrees(longitude)?);
    let on_earth = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
    on_earth.then(|| format!("geo:{latitude},{longitude}"))
}

/// Latitude and longitude of a `geo:` URI.
pub(crate) fn coordinates(url: &str) -> Option<(f64, f64)> {
    let place = url.strip_prefix("geo:")?.split(';').next()?;
    let mut degrees = place.split(',').map(|text| text.parse::<f64>().ok());
    Some((degrees.next()??, degrees.next()??))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tradewind_model::Timestamp;

    use super::{place, text, time};

    #[test]
    fn an_id_is_a_text_or_a_number() {
        let node = json!({"a": "1", "b": 18_446_744_073_709_551_615_u64, "c": "", "d": null});
        assert_eq!(text(&node, "a").as_deref(), Some("1"));
        assert_eq!(text(&node, "b").as_deref(), Some("18446744073709551615"));
        for key in ["c", "d", "e"] {
            assert_eq!(text(&node, key), None, "{key}");
        }
    }

    #[test]
    fn a_time_is_in_seconds_or_milliseconds() {
        let node =
            json!({"ms": 1_550_050_753_811_i64, "s": "1550050753", "far": i64::MAX, "no": "2021"});
        let ms = |ms| Some(Timestamp::from_millisecond(ms).unwrap());
        assert_eq!(time(&node, "ms"), ms(1_550_050_753_811));
        assert_eq!(time(&node, "s"), ms(1_550_050_753_000));
        assert_eq!(time(&node, "far"), None);
        assert_eq!(time(&json!({"at": "2021-09-08T06:34:04+0000"}), "at"), None);
    }

    #[test]
    fn a_place_is_on_earth() {
        let keys = ["lat", "long"];
        let at = |lat: f64, long: f64| place(&json!({"lat": lat, "long": long}), keys);
        assert_eq!(
            at(52.520_006_6, -13.404_954).as_deref(),
            Some("geo:52.5200066,-13.404954")
        );
        assert_eq!(at(1e-7, 0.0).as_deref(), Some("geo:0.0000001,0"));
        assert_eq!(at(91.0, 0.0), None);
        assert_eq!(place(&json!({"lat": 1}), keys), None);
    }
}
