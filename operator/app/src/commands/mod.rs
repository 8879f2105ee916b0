//! One file a command: arguments, one call, one answer.

pub(crate) mod check;
pub(crate) mod crds;
pub(crate) mod local;
pub(crate) mod operator;
pub(crate) mod status;
pub(crate) mod translate;
