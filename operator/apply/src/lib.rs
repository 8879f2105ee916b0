//! Server-side apply, pruning, events.
