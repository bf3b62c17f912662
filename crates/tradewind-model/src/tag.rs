//! Tags of conversations.

use crate::TagId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub id: TagId,
    pub name: String,
    pub color: TagColor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagColor {
    Red,
    Green,
    Blue,
    Purple,
}

impl TagColor {
    pub const ALL: [Self; 4] = [Self::Red, Self::Green, Self::Blue, Self::Purple];

    /// As requests name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Red => "tag-red",
            Self::Green => "tag-green",
            Self::Blue => "tag-blue",
            Self::Purple => "tag-purple",
        }
    }

    /// As `tags.list` shows it: clients of Airy Core know colours by these names only.
    pub fn listed_name(self) -> &'static str {
        match self {
            Self::Red => "RED",
            Self::Green => "GREEN",
            Self::Blue => "BLUE",
            Self::Purple => "PURPLE",
        }
    }
}
