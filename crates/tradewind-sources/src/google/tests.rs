//! Google's posts as its documents showed them, and its API as the stand-in plays it.

mod api;
mod posts;
