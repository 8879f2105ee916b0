//! Objects to claims.
