//! Networks in memory.

use crate::driver::Wire;
use prise_link::ImpairmentConfig;
use std::sync::Arc;

/// A network segment in this process's memory, to which [hosts](crate::Host) are attached.
///
/// Frames cross it by reference: a megabyte sent is copied once on its way in and once on its way out. With
/// [`impaired`](Network::impaired) it behaves like a line of limited virtue, in real time.
///
/// Cloning gives another handle on the same network.
///
/// ```
/// use prise::{Host, Network};
///
/// # fn main() -> std::io::Result<()> {
/// let network = Network::new();
/// let alice = Host::builder().attach(&network, &["10.0.0.1/24"]).build()?;
/// let bob = Host::builder().attach(&network, &["10.0.0.2/24"]).build()?;
/// # drop((alice, bob));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Network {
    pub(crate) wire: Arc<Wire>,
    pub(crate) mtu: u32,
    pub(crate) line: ImpairmentConfig,
}

impl Network {
    /// A perfect network, with the MTU of Ethernet.
    pub fn new() -> Self {
        Self {
            wire: Wire::new(),
            mtu: 1500,
            line: ImpairmentConfig::default(),
        }
    }

    /// With another MTU, in octets, for hosts attached from now on by this handle.
    #[must_use]
    pub fn with_mtu(mut self, mtu: u32) -> Self {
        self.mtu = mtu;
        self
    }

    /// What hosts attached from now on by this handle send suffers this: delay, loss and so on.
    ///
    /// ```
    /// use prise::{ImpairmentConfig, Network, Probability};
    /// use std::time::Duration;
    ///
    /// let slow = Network::new().impaired(ImpairmentConfig {
    ///     delay: Duration::from_millis(40),
    ///     loss: Probability::new(0.01).unwrap(),
    ///     seed: 7,
    ///     ..ImpairmentConfig::default()
    /// });
    /// # drop(slow);
    /// ```
    #[must_use]
    pub fn impaired(mut self, line: ImpairmentConfig) -> Self {
        self.line = line;
        self
    }

    /// How many frames were for an address that no host on the network has.
    pub fn undeliverable(&self) -> u64 {
        self.wire.undeliverable()
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}
