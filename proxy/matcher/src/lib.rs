//! Index over an ordered rule list.
