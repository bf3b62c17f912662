//! Numbers, as they are worked out and shown.

/// Exact up to 2⁵³.
pub(super) fn float(number: u64) -> f64 {
    let part = |bits: u64| u32::try_from(bits & 0xffff_ffff).map_or(0.0, f64::from);
    part(number >> 32) * 4_294_967_296.0 + part(number)
}

pub(super) fn mebibytes(bytes: f64) -> f64 {
    bytes / 1_048_576.0
}

/// The whole number next to it; 0 if it is none.
pub(super) fn whole(number: f64) -> u64 {
    format!("{number:.0}").parse().unwrap_or_default()
}

/// Rounded to so many digits that count, which is more than is certain of it.
pub(super) fn rounded(number: f64) -> f64 {
    format!("{number:.4e}").parse().unwrap_or(number)
}

/// The middle one; of an even number of them, the mean of the two.
pub(super) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let upper = numbers.get(middle).copied().unwrap_or(f64::NAN);
    if numbers.len().is_multiple_of(2) {
        let lower = middle.checked_sub(1).and_then(|at| numbers.get(at));
        f64::midpoint(lower.copied().unwrap_or(f64::NAN), upper)
    } else {
        upper
    }
}

/// As a person reads it: three digits that count, thousands apart.
pub(super) fn shown(number: f64) -> String {
    if !number.is_finite() {
        return "-".to_owned();
    }
    if number.abs() < 99.95 {
        let decimals = if number.abs() < 9.995 { 2 } else { 1 };
        return format!("{number:.decimals$}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{float, median, shown};

    #[test]
    fn a_median_is_the_middle_one() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn numbers_are_shown_short() {
        for (number, text) in [
            (0.046, "0.05"),
            (1.5, "1.50"),
            (12.34, "12.3"),
            (123.4, "123"),
            (12_345.6, "12,346"),
            (1_234_567.0, "1,234,567"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(shown(number), text);
        }
        assert!((float(1 << 40) - 1_099_511_627_776.0).abs() < f64::EPSILON);
    }
}
