//! The same programs on `std::net` and on `prise::net`: what holds for one must hold for the other.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

macro_rules! tests_on {
    ($module:ident, $net:path) => {
        mod $module {
            use super::*;
            use $net::{Shutdown, TcpListener, TcpStream, UdpSocket};

            fn pair(addr: &str) -> (TcpStream, TcpStream) {
                let listener = TcpListener::bind(addr).unwrap();
                let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (server, peer) = listener.accept().unwrap();
                assert_eq!(peer, client.local_addr().unwrap());
                assert_eq!(server.local_addr().unwrap(), client.peer_addr().unwrap());
                (client, server)
            }

            #[test]
            fn a_megabyte_crosses_between_threads_and_ends() {
                for addr in ["127.0.0.1:0", "[::1]:0"] {
                    let (mut client, mut server) = pair(addr);
                    let sent: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
                    let expected = sent.clone();
                    let writer = std::thread::spawn(move || client.write_all(&sent).map(|()| client));
                    let mut received = Vec::new();
                    let reader = std::thread::spawn(move || server.read_to_end(&mut received).map(|_| received));
                    drop(writer.join().unwrap().unwrap());
                    assert!(reader.join().unwrap().unwrap() == expected);
                }
            }

            #[test]
            fn half_a_connection_can_be_shut_down() {
                let (mut client, mut server) = pair("127.0.0.1:0");
                client.write_all(b"question").unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                let mut question = String::new();
                server.read_to_string(&mut question).unwrap();
                server.write_all(b"answer").unwrap();
                drop(server);
                let mut answer = String::new();
                client.read_to_string(&mut answer).unwrap();
                assert_eq!((&*question, &*answer), ("question", "answer"));
                assert_eq!(client.write(b"!").unwrap_err().kind(), ErrorKind::BrokenPipe);
            }

            #[test]
            fn nobody_listening_is_refused() {
                let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
                let error = TcpStream::connect(addr).unwrap_err();
                assert_eq!(
                    (error.kind(), error.raw_os_error()),
                    (ErrorKind::ConnectionRefused, Some(111))
                );
            }

            #[test]
            fn an_address_in_use_is_refused() {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let error = TcpListener::bind(listener.local_addr().unwrap()).unwrap_err();
                assert_eq!(
                    (error.kind(), error.raw_os_error()),
                    (ErrorKind::AddrInUse, Some(98))
                );
            }

            #[test]
            fn a_read_gives_up_after_its_timeout_and_not_at_all_when_nonblocking() {
                let (client, _server) = pair("127.0.0.1:0");
                let zero = client.set_read_timeout(Some(Duration::ZERO)).unwrap_err();
                assert_eq!(zero.kind(), ErrorKind::InvalidInput);
                let timeout = Some(Duration::from_millis(40));
                client.set_read_timeout(timeout).unwrap();
                assert_eq!(client.read_timeout().unwrap(), timeout);
                assert_eq!(
                    (&client).read(&mut [0; 8]).unwrap_err().kind(),
                    ErrorKind::WouldBlock
                );
                client.set_read_timeout(None).unwrap();
                client.try_clone().unwrap().set_nonblocking(true).unwrap();
                assert_eq!(
                    (&client).read(&mut [0; 8]).unwrap_err().kind(),
                    ErrorKind::WouldBlock
                );
            }

            #[test]
            fn a_peek_takes_nothing() {
                let (mut client, server) = pair("127.0.0.1:0");
                client.write_all(b"abc").unwrap();
                let mut buf = [0; 8];
                assert_eq!(server.peek(&mut buf).unwrap(), 3);
                assert_eq!((&server).read(&mut buf).unwrap(), 3);
                assert_eq!(&buf[..3], b"abc");
            }

            #[test]
            fn options_are_kept() {
                let (client, _server) = pair("127.0.0.1:0");
                client.set_nodelay(true).unwrap();
                client.set_ttl(42).unwrap();
                assert_eq!((client.nodelay().unwrap(), client.ttl().unwrap()), (true, 42));
                assert!(client.take_error().unwrap().is_none());
            }

            #[test]
            fn datagrams_come_whole_or_cut_and_from_somebody() {
                for addr in ["127.0.0.1:0", "[::1]:0"] {
                    let (one, other) = (UdpSocket::bind(addr).unwrap(), UdpSocket::bind(addr).unwrap());
                    one.send_to(b"datagram", other.local_addr().unwrap()).unwrap();
                    one.send_to(b"datagram", other.local_addr().unwrap()).unwrap();
                    let mut buf = [0; 4];
                    assert_eq!(other.peek_from(&mut buf).unwrap(), (4, one.local_addr().unwrap()));
                    assert_eq!(other.recv_from(&mut buf).unwrap(), (4, one.local_addr().unwrap()));
                    other.connect(one.local_addr().unwrap()).unwrap();
                    let mut buf = [0; 16];
                    assert_eq!(other.recv(&mut buf).unwrap(), 8);
                    assert_eq!(other.send(b"back").unwrap(), 4);
                    assert_eq!(one.recv_from(&mut buf).unwrap(), (4, other.local_addr().unwrap()));
                }
            }

            #[test]
            fn a_datagram_nobody_takes_is_told() {
                let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.connect(closed).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                socket.send(b"anybody?").unwrap();
                assert_eq!(
                    socket.recv(&mut [0; 8]).unwrap_err().kind(),
                    ErrorKind::ConnectionRefused
                );
            }
        }
    };
}

tests_on!(on_std, std::net);
tests_on!(on_prise, prise::net);
