//! What `--allow`, `--deny` and `--audit` ask for: attempts are judged and recorded, and every way past the supervisor is closed.

pub(crate) mod audit;
pub(crate) mod confinement;
pub(crate) mod filter_policy;
pub(crate) mod local_sockets;
pub(crate) mod permit;
