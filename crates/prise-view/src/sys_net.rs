//! Files of `/sys/class/net` (the kernel's Documentation/ABI/testing/sysfs-class-net): one value of a link each.

use alloc::format;
use alloc::string::{String, ToString};

use prise_stack::Link;

use crate::View;

/// Where they are.
pub const PLACE: &[u8] = b"/sys/class/net/";

/// What the file of this path says; none if it is no link's, or no file that is told of.
#[must_use]
pub fn text(view: &View<'_>, path: &[u8]) -> Option<String> {
    let path = core::str::from_utf8(path.strip_prefix(PLACE)?).ok()?;
    let (name, attribute) = path.split_once('/')?;
    let links = view.host.stack().links();
    let link = links.iter().find(|link| link.name() == name)?;
    let value = match attribute.split_once('/') {
        Some(("statistics", which)) => statistic(link, which)?.to_string(),
        Some(_) => return None,
        None => value(link, attribute)?,
    };
    Some(value + "\n")
}

fn value(link: &Link, attribute: &str) -> Option<String> {
    /// `IFF_UP`, `IFF_BROADCAST`, `IFF_LOOPBACK`, `IFF_MULTICAST`.
    const ETHERNET: u32 = 0x1003;
    const LOOPBACK: u32 = 0x9;
    let is_loopback = link.is_loopback();
    let either = |ethernet: &str, loopback: &str| if is_loopback { loopback } else { ethernet }.to_string();
    let index = link.id().interface_index();
    let mac = link.mac().map_or([0; 6], |mac| mac.0);
    Some(match attribute {
        "address" => mac.map(|octet| format!("{octet:02x}")).join(":"),
        "broadcast" => either("ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"),
        "addr_len" => "6".to_string(),
        "addr_assign_type" | "dormant" | "dev_port" | "link_mode" | "testing" | "netdev_group" | "proto_down" => {
            "0".to_string()
        }
        "carrier" => "1".to_string(),
        "carrier_changes" | "carrier_up_count" | "carrier_down_count" => "0".to_string(),
        "dev_id" => "0x0".to_string(),
        "flags" => format!("0x{:x}", if is_loopback { LOOPBACK } else { ETHERNET }),
        "ifindex" | "iflink" => index.to_string(),
        "ifalias" => String::new(),
        "mtu" => link.mtu().to_string(),
        "operstate" => either("up", "unknown"),
        "tx_queue_len" => "1000".to_string(),
        // ARPHRD_ETHER, ARPHRD_LOOPBACK.
        "type" => either("1", "772"),
        "uevent" => format!("INTERFACE={}\nIFINDEX={index}", link.name()),
        _ => return None,
    })
}

fn statistic(link: &Link, which: &str) -> Option<u64> {
    let it = link.counters();
    Some(match which {
        "rx_bytes" => it.received_octets,
        "rx_packets" => it.received_frames,
        "rx_dropped" => it.received_discards,
        "tx_bytes" => it.transmitted_octets,
        "tx_packets" => it.transmitted_frames,
        "tx_dropped" => it.transmit_discards,
        "collisions"
        | "multicast"
        | "rx_compressed"
        | "rx_crc_errors"
        | "rx_errors"
        | "rx_fifo_errors"
        | "rx_frame_errors"
        | "rx_length_errors"
        | "rx_missed_errors"
        | "rx_nohandler"
        | "rx_over_errors"
        | "tx_aborted_errors"
        | "tx_carrier_errors"
        | "tx_compressed"
        | "tx_errors"
        | "tx_fifo_errors"
        | "tx_heartbeat_errors"
        | "tx_window_errors" => 0,
        _ => return None,
    })
}
