//! What a policy needs before the program starts: nothing inherited that leads past the supervisor, and a domain that
//! keeps the program away from processes beyond the run.

use std::io;

use prise_sys::inherited::{self, Nature};
use prise_sys::landlock::Ruleset;
use prise_sys::launch::Confinement;

use crate::start::config::RunConfig;
use crate::start::outcome::RunError;

/// The standard streams, which cannot be withheld.
const STANDARD: core::ops::Range<i32> = 0..3;

/// Prepares the confinement of a run, if its policy asks for one.
pub(crate) fn prepare(config: &RunConfig) -> Result<Option<Confinement>, RunError> {
    if config.policy.is_empty() {
        return Ok(None);
    }
    withhold()?;
    let domain = Ruleset::new().map_err(|error| RunError::Setup {
        step: "make a Landlock domain",
        error,
    })?;
    Ok(Some(Confinement { domain }))
}

/// Keeps the program from having the sockets and other ways out that prise was started with. The standard streams stay:
/// an AF_UNIX stream there, as service managers and editors give it, leads to who started prise.
fn withhold() -> Result<(), RunError> {
    let setup = |error: io::Error| RunError::Setup {
        step: "look at the descriptors that the program would inherit",
        error,
    };
    for fd in inherited::list().map_err(setup)? {
        // Closed meanwhile: the list was read through a descriptor of its own.
        let Ok(nature) = inherited::nature(fd) else { continue };
        match nature {
            Nature::Harmless => (),
            Nature::Socket(libc::AF_UNIX) if STANDARD.contains(&fd) => (),
            Nature::Socket(_) if STANDARD.contains(&fd) => return Err(RunError::StandardSocket { fd }),
            Nature::Anonymous | Nature::PacketDevice | Nature::Socket(_) => inherited::withhold(fd).map_err(setup)?,
        }
    }
    Ok(())
}
