//! What a figure may be.

use serde::Serialize;

use super::figure::rounded;

/// A bound on a figure, and whether it is kept.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Budget {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// Whether it is the least or the most that the figure may be.
    pub(crate) bound: Bound,
    #[serde(rename = "budget")]
    pub(crate) allowed: f64,
    pub(crate) measured: f64,
    pub(crate) met: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtMost,
    AtLeast,
}

impl Budget {
    pub(crate) fn at_most(
        name: &'static str,
        measured: f64,
        allowed: f64,
        unit: &'static str,
    ) -> Self {
        Self {
            name,
            unit,
            bound: Bound::AtMost,
            allowed: rounded(allowed),
            measured: rounded(measured),
            met: measured <= allowed,
        }
    }

    pub(crate) fn at_least(
        name: &'static str,
        measured: f64,
        allowed: f64,
        unit: &'static str,
    ) -> Self {
        Self {
            bound: Bound::AtLeast,
            met: measured >= allowed,
            ..Self::at_most(name, measured, allowed, unit)
        }
    }
}
