//! Clients of published ports that are left to the driver, and the endpoints that it may connect to itself.

mod world;

use std::net::TcpStream;
use std::thread;

use prise_gateway::Transport;

use world::{PATIENCE, World, config, publish};

#[test]
fn a_client_is_the_drivers_and_may_be_admitted_all_the_same() {
    let mut config = config();
    config.publish = vec![publish(80, Transport::Tcp)];
    config.hand_over = true;
    let mut world = World::new(config);
    let port = world.gateway.published().next().expect("it is published").1;
    let (_, listener) = world.listen(80, None);
    let client = thread::spawn(move || {
        let stream = TcpStream::connect(port).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let local = stream.local_addr().unwrap();
        (stream, local)
    });
    let caller = world.until("a client", |world| world.gateway.caller());
    let (_stream, local) = client.join().unwrap();
    assert_eq!((caller.shown, caller.guest.port()), (world::host(local), 80));
    assert_eq!(world.gateway.connections(), 0, "nobody carries its octets");
    let now = world.now();
    world.gateway.admit(now, caller);
    let conn = world.accept(listener);
    let (_, remote) = world.guest.tcp_endpoints(conn).unwrap();
    assert_eq!((remote, world.gateway.connections()), (world::host(local), 1));
}

#[test]
fn the_hosts_endpoint_of_an_address_is_told_where_one_leads_there() {
    let world = World::new(config());
    let leads = |text: &str| world.gateway.host_endpoint(text.parse().unwrap());
    assert_eq!(leads("10.0.2.2:80"), Some("127.0.0.1:80".parse().unwrap()));
    assert_eq!(leads("[fd00:2::2]:80"), Some("[::1]:80".parse().unwrap()));
    assert_eq!(leads("198.51.100.7:443"), Some("198.51.100.7:443".parse().unwrap()));
    for nowhere in [
        "10.0.2.3:53",
        "10.0.2.3:80",
        "127.0.0.1:80",
        "224.0.0.1:80",
        "[fe80::1]:80",
    ] {
        assert_eq!(leads(nowhere), None, "{nowhere}");
    }
}
