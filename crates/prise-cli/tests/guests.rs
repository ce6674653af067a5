//! Every program of examples/guests, unmodified: under `prise run` it prints the same and ends the same as natively.

mod world;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use world::{Ended, Stage, finish, is_root, need, repository, skip};

/// Every guest ends by itself within 30 s (its own alarm); this is for the machine that is busy with everything else.
const LIMIT: Duration = Duration::from_secs(150);

/// What a guest exits with where the system does not let it do what it shows.
const NOT_ALLOWED: i32 = 77;

/// Guests that need a peer on the host: run by `handed.rs` and `listeners.rs`.
const WITH_ANOTHER_SIDE: [&str; 3] = ["accepted.py", "outside.py", "visited.py"];

/// Guests that are the same only where every octet goes by our TCP (docs/compat.md).
const BY_OUR_TCP_ONLY: [&str; 1] = ["left_listed.py"];

/// Guests that show what only root may do.
const OF_ROOT: [&str; 2] = ["packet_socket.py", "served_files.py"];

/// How a guest is started: by its interpreter, or built first.
fn prepare(stage: &Stage, guest: &str, what: &str) -> Option<Vec<OsString>> {
    let source = repository().join("examples/guests").join(guest);
    let interpreted = |interpreter: &str| {
        let interpreter = need(what, interpreter)?;
        Some(vec![interpreter.into(), stage.put(&source, guest).into()])
    };
    let extension = Path::new(guest).extension().and_then(|extension| extension.to_str());
    match extension {
        Some("py") => interpreted("python3"),
        Some("js") => interpreted("node"),
        Some("go") => Some(vec![build_go(stage, &source, what)?.into()]),
        Some("c") => Some(vec![build_c(stage, &source, what)?.into()]),
        other => panic!("no way to start a guest that ends in {other:?}"),
    }
}

fn build_go(stage: &Stage, source: &Path, what: &str) -> Option<PathBuf> {
    let target = stage.path("guest-go");
    let mut build = Command::new(need(what, "go")?);
    build.args(["build", "-o"]).arg(&target).arg(source);
    build
        .env("CGO_ENABLED", "0")
        .env("GO111MODULE", "off")
        .env("GOTOOLCHAIN", "local");
    build.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"));
    // The first build compiles Go's standard library.
    finish(&mut build, Duration::from_mins(5)).expect_success();
    Some(target)
}

fn build_c(stage: &Stage, source: &Path, what: &str) -> Option<PathBuf> {
    let target = stage.path("guest-c");
    let mut build = Command::new(need(what, "cc")?);
    build.args(["-static", "-o"]).arg(&target).arg(source);
    let built = finish(&mut build, LIMIT);
    if !built.status.success() {
        skip(what, &format!("there is no static C library: {}", built.stderr.trim()));
        return None;
    }
    Some(target)
}

/// Runs the guest natively and under prise; both must agree.
fn compare(guest: &str, family: &str) {
    compare_with(&[], guest, family);
}

fn compare_with(options: &[&str], guest: &str, family: &str) {
    let what = format!("{guest} {family}");
    let stage = Stage::new();
    let Some(mut program) = prepare(&stage, guest, &what) else {
        return;
    };
    program.push(family.into());
    let prised = stage.run(options, &program);
    compare_command(&stage, &what, &program, prised);
}

/// The kernel's own answers differ now and then: it limits how many ICMP errors it sends, and its acknowledgements may
/// come late. What it says in one of several runs is right.
const NATIVE_RUNS_MAX: usize = 5;

fn compare_command(stage: &Stage, what: &str, program: &[OsString], mut prised: Command) {
    let natively = || finish(&mut stage.native(&program[0], &program[1..]), LIMIT);
    let first = natively();
    let prised = finish(&mut prised, LIMIT);
    if first.status.code() == Some(NOT_ALLOWED) {
        skip(&format!("the native half of {what}"), first.stdout.trim());
        prised.expect_success();
        return;
    }
    let (prised_told, native_told) = (told(&prised), told(&first));
    let agrees = prised_told == native_told || (1..NATIVE_RUNS_MAX).any(|_| told(&natively()) == prised_told);
    assert!(
        agrees,
        "{what} differs\n--- natively\n{native_told}\n--- under prise\n{prised_told}\n--- its standard error\n{}",
        prised.stderr
    );
}

/// Packet sockets are root's, who stays root here: in a network name space of the test's own, where nobody else has a loopback.
#[test]
fn packet_sockets_of_root_are_the_kernels() {
    /// As containers have it.
    const READ_ONLY: &str = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys";
    let what = "packet sockets";
    if !is_root() || need(what, "unshare").is_none() || need(what, "ip").is_none() {
        return skip(what, "only root may have them, in a network name space (unshare, ip)");
    }
    if let Err(error) = std::fs::File::open("/dev/net/tun") {
        return skip(what, &format!("/dev/net/tun cannot be opened: {error}"));
    }
    // With bad lines, connections within the run are joined until somebody looks.
    for (options, family, before) in [
        (&["run", "--no-join", "--"][..], "4", "true"),
        (&["run", "--delay", "1ms", "--"], "6", "true"),
        (&["run", "--no-join", "--"], "6", READ_ONLY),
    ] {
        let stage = Stage::new();
        let Some(guest) = prepare(&stage, "packet_socket.py", what) else {
            return;
        };
        let apart = format!("ip link set lo up && {before} && exec \"$@\"");
        let apart = |before: &[OsString]| {
            let mut command = Command::new("unshare");
            command
                .args(["--net", "--mount", "sh", "-c", &apart, "sh"])
                .args(before);
            command.args(&guest).arg(family).env("PYTHONDONTWRITEBYTECODE", "1");
            finish(&mut command, LIMIT)
        };
        let natively = apart(&[]);
        if natively.stderr.contains("unshare:") || natively.status.code() == Some(NOT_ALLOWED) {
            return skip(what, natively.stderr.trim());
        }
        let prise = [stage.path("prise").into_os_string()];
        let options: Vec<OsString> = prise.into_iter().chain(options.iter().map(OsString::from)).collect();
        let prised = apart(&options);
        assert_eq!(told(&prised), told(&natively), "{}", prised.stderr);
    }
}

/// A path through a file system that a process of the run serves, which opens files while it answers, is not looked at.
#[test]
fn files_that_a_process_of_the_run_serves_are_not_waited_for() {
    let what = "a file system of a program's";
    if !is_root() || !Path::new("/dev/fuse").exists() {
        return skip(what, "only root may have one, by /dev/fuse");
    }
    let stage = Stage::new();
    let Some(guest) = prepare(&stage, "served_files.py", what) else {
        return;
    };
    let mut natively = Command::new(&guest[0]);
    let natively = finish(natively.args(&guest[1..]), LIMIT);
    if natively.status.code() != Some(0) {
        return skip(what, natively.stderr.trim());
    }
    for options in [&["run", "--"][..], &["run", "--no-preload", "--"]] {
        let prised = finish(Command::new(stage.path("prise")).args(options).args(&guest), LIMIT);
        assert_eq!(told(&prised), told(&natively), "{}", prised.stderr);
    }
}

/// Where pidfd_getfd(2) is refused, as Docker's default profile does. Resets show otherwise there (docs/run.md): these guests
/// meet none.
#[test]
fn guests_whose_descriptors_cannot_be_fetched_see_the_same() {
    const PIDFD_GETFD_REFUSED: &str = "438=1";
    let what = "a filter in front of prise";
    let Some(python) = need(what, "python3") else { return };
    for guest in [
        "tcp_lifecycle.py",
        "asyncio_echo.py",
        "prefork.py",
        "flags.py",
        "udp_connected.py",
        "udp_lite.py",
        "net_server.js",
        "udp_client.go",
    ] {
        let stage = Stage::new();
        let what = format!("{guest} without pidfd_getfd");
        let Some(mut program) = prepare(&stage, guest, &what) else {
            continue;
        };
        program.push("6".into());
        let filter = stage.write("without.py", include_str!("doctor/without.py"));
        let mut prised = stage.native(&python, [&filter]);
        prised.arg(PIDFD_GETFD_REFUSED).arg(stage.path("prise"));
        prised.args(["run", "--"]).args(&program);
        compare_command(&stage, &what, &program, prised);
    }
}

/// A transfer within the run passes our TCP by, unless somebody looks at packets.
#[test]
fn octets_that_nobody_looks_at_pass_tcp_by() {
    let what = "a transfer that passes TCP by";
    let stage = Stage::new();
    let Some(program) = prepare(&stage, "transfers.py", what) else {
        return;
    };
    let passes_by = |options: &[&str]| {
        let options = [&["--no-join", "--log", "debug"], options].concat();
        let ended = finish(&mut stage.run(&options, &program), LIMIT).expect_success();
        ended.stderr.contains("a transfer passes TCP by")
    };
    assert!(passes_by(&[]));
    assert!(!passes_by(&["--capture", "/dev/null"]));
}

fn told(ended: &Ended) -> String {
    format!("{}[{}]", ended.stdout, ended.status)
}

macro_rules! guests {
    ($($name:ident: $guest:literal $family:literal;)*) => {
        $(
            #[test]
            fn $name() {
                compare($guest, $family);
            }
        )*

        #[test]
        fn every_guest_is_run() {
            let listed = [$($guest),*];
            let directory = repository().join("examples/guests");
            for entry in std::fs::read_dir(directory).expect("the guests") {
                let name = entry.expect("a file").file_name().into_string().expect("UTF-8");
                let elsewhere = WITH_ANOTHER_SIDE.into_iter().chain(BY_OUR_TCP_ONLY).chain(OF_ROOT);
                let listed = listed.into_iter().chain(elsewhere).any(|listed| listed == name);
                assert!(name == "README.md" || listed, "{name} is run by no test");
            }
        }
    };
}

guests! {
    tcp_over_ipv4: "tcp.py" "4";
    tcp_over_ipv6: "tcp.py" "6";
    tcp_lifecycle_over_ipv4: "tcp_lifecycle.py" "4";
    tcp_lifecycle_over_ipv6: "tcp_lifecycle.py" "6";
    endings_over_ipv4: "endings.py" "4";
    endings_over_ipv6: "endings.py" "6";
    udp_over_ipv4: "udp.py" "4";
    udp_over_ipv6: "udp.py" "6";
    udp_connected_over_ipv4: "udp_connected.py" "4";
    udp_connected_over_ipv6: "udp_connected.py" "6";
    fast_open_over_ipv4: "fast_open.py" "4";
    fast_open_over_ipv6: "fast_open.py" "6";
    udp_lite_over_ipv4: "udp_lite.py" "4";
    udp_lite_over_ipv6: "udp_lite.py" "6";
    segments_over_ipv4: "segments.py" "4";
    segments_over_ipv6: "segments.py" "6";
    sources_over_ipv4: "sources.py" "4";
    sources_over_ipv6: "sources.py" "6";
    control_data_over_ipv4: "control_data.py" "4";
    control_data_over_ipv6: "control_data.py" "6";
    flow_labels_over_ipv4: "flow_labels.py" "4";
    flow_labels_over_ipv6: "flow_labels.py" "6";
    datagram_stamps_over_ipv4: "datagram_stamps.py" "4";
    datagram_stamps_over_ipv6: "datagram_stamps.py" "6";
    requests_over_ipv4: "requests.py" "4";
    requests_over_ipv6: "requests.py" "6";
    http_server_over_ipv4: "http_server.py" "4";
    http_server_over_ipv6: "http_server.py" "6";
    http_library_over_ipv4: "http_library.py" "4";
    http_library_over_ipv6: "http_library.py" "6";
    nonblocking_epoll_over_ipv4: "nonblocking_epoll.py" "4";
    nonblocking_epoll_over_ipv6: "nonblocking_epoll.py" "6";
    accept_ready_over_ipv4: "accept_ready.py" "4";
    accept_ready_over_ipv6: "accept_ready.py" "6";
    listeners_over_ipv4: "listeners.py" "4";
    listeners_over_ipv6: "listeners.py" "6";
    listener_asked_over_ipv4: "listener_asked.py" "4";
    listener_asked_over_ipv6: "listener_asked.py" "6";
    ip_options_over_ipv4: "ip_options.py" "4";
    ip_options_over_ipv6: "ip_options.py" "6";
    desynchronised_over_ipv4: "desynchronised.py" "4";
    desynchronised_over_ipv6: "desynchronised.py" "6";
    raw_tcp_over_ipv4: "raw_tcp.py" "4";
    raw_tcp_over_ipv6: "raw_tcp.py" "6";
    bound_to_link_over_ipv4: "bound_to_link.py" "4";
    bound_to_link_over_ipv6: "bound_to_link.py" "6";
    least_hops_over_ipv4: "least_hops.py" "4";
    least_hops_over_ipv6: "least_hops.py" "6";
    told_of_octets_over_ipv4: "told_of_octets.py" "4";
    unspecified_over_ipv4: "unspecified.py" "4";
    told_of_octets_over_ipv6: "told_of_octets.py" "6";
    unspecified_over_ipv6: "unspecified.py" "6";
    urgent_inline_over_ipv4: "urgent_inline.py" "4";
    urgent_inline_over_ipv6: "urgent_inline.py" "6";
    waited_for_over_ipv4: "waited_for.py" "4";
    waited_for_over_ipv6: "waited_for.py" "6";
    shut_reading_over_ipv4: "shut_reading.py" "4";
    shut_reading_over_ipv6: "shut_reading.py" "6";
    stream_options_over_ipv4: "stream_options.py" "4";
    stream_options_over_ipv6: "stream_options.py" "6";
    packet_filter_over_ipv4: "packet_filter.py" "4";
    packet_filter_over_ipv6: "packet_filter.py" "6";
    sending_told_over_ipv4: "sending_told.py" "4";
    sending_told_over_ipv6: "sending_told.py" "6";
    refused_over_ipv4: "refused.py" "4";
    refused_over_ipv6: "refused.py" "6";
    refused_datagrams_over_ipv4: "refused_datagrams.py" "4";
    refused_datagrams_over_ipv6: "refused_datagrams.py" "6";
    copies_over_ipv4: "copies.py" "4";
    copies_over_ipv6: "copies.py" "6";
    full_backlog_over_ipv4: "full_backlog.py" "4";
    full_backlog_over_ipv6: "full_backlog.py" "6";
    select_chat_over_ipv4: "select_chat.py" "4";
    select_chat_over_ipv6: "select_chat.py" "6";
    asyncio_echo_over_ipv4: "asyncio_echo.py" "4";
    asyncio_echo_over_ipv6: "asyncio_echo.py" "6";
    websocket_over_ipv4: "websocket.py" "4";
    websocket_over_ipv6: "websocket.py" "6";
    transfers_over_ipv4: "transfers.py" "4";
    transfers_over_ipv6: "transfers.py" "6";
    closed_peer_over_ipv4: "closed_peer.py" "4";
    closed_peer_over_ipv6: "closed_peer.py" "6";
    two_processes_over_ipv4: "two_processes.py" "4";
    two_processes_over_ipv6: "two_processes.py" "6";
    executed_anew_over_ipv4: "executed_anew.py" "4";
    executed_anew_over_ipv6: "executed_anew.py" "6";
    prefork_over_ipv4: "prefork.py" "4";
    prefork_over_ipv6: "prefork.py" "6";
    options_over_ipv4: "options.py" "4";
    options_over_ipv6: "options.py" "6";
    kept_options_over_ipv4: "kept_options.py" "4";
    kept_options_over_ipv6: "kept_options.py" "6";
    flags_over_ipv4: "flags.py" "4";
    flags_over_ipv6: "flags.py" "6";
    errors_over_ipv4: "errors.py" "4";
    errors_over_ipv6: "errors.py" "6";
    ping_over_ipv4: "ping.py" "4";
    ping_over_ipv6: "ping.py" "6";
    dual_stack: "dual_stack.py" "6";
    names: "names.py" "4";
    unix_local: "unix_local.py" "4";
    node_net_over_ipv4: "net_server.js" "4";
    node_net_over_ipv6: "net_server.js" "6";
    node_http_and_dgram_over_ipv4: "http_dgram.js" "4";
    node_http_and_dgram_over_ipv6: "http_dgram.js" "6";
    go_over_ipv4: "udp_client.go" "4";
    go_over_ipv6: "udp_client.go" "6";
    posix_calls_over_ipv4: "posix.c" "4";
    posix_calls_over_ipv6: "posix.c" "6";
    many_messages: "many_messages.c" "4";
}

/// The same where every octet goes by our TCP.
macro_rules! guests_by_our_tcp {
    ($($name:ident: $guest:literal $family:literal;)*) => {
        mod by_our_tcp {
            $(
                #[test]
                fn $name() {
                    super::compare_with(&["--no-join"], $guest, $family);
                }
            )*
        }
    };
}

guests_by_our_tcp! {
    tcp: "tcp.py" "4";
    tcp_lifecycle: "tcp_lifecycle.py" "6";
    endings: "endings.py" "4";
    http_server: "http_server.py" "6";
    http_library: "http_library.py" "4";
    nonblocking_epoll: "nonblocking_epoll.py" "6";
    accept_ready: "accept_ready.py" "4";
    listener_asked: "listener_asked.py" "6";
    copies: "copies.py" "4";
    least_hops_over_ipv4: "least_hops.py" "4";
    least_hops_over_ipv6: "least_hops.py" "6";
    flow_labels: "flow_labels.py" "6";
    stream_options_over_ipv4: "stream_options.py" "4";
    stream_options_over_ipv6: "stream_options.py" "6";
    left_listed_over_ipv4: "left_listed.py" "4";
    left_listed_over_ipv6: "left_listed.py" "6";
    told_of_octets_over_ipv4: "told_of_octets.py" "4";
    unspecified_over_ipv4: "unspecified.py" "4";
    told_of_octets_over_ipv6: "told_of_octets.py" "6";
    unspecified_over_ipv6: "unspecified.py" "6";
    urgent_inline: "urgent_inline.py" "4";
    waited_for_over_ipv4: "waited_for.py" "4";
    waited_for_over_ipv6: "waited_for.py" "6";
    shut_reading: "shut_reading.py" "6";
    full_backlog: "full_backlog.py" "6";
    select_chat: "select_chat.py" "4";
    asyncio_echo: "asyncio_echo.py" "6";
    websocket: "websocket.py" "4";
    transfers: "transfers.py" "6";
    closed_peer: "closed_peer.py" "6";
    two_processes: "two_processes.py" "4";
    executed_anew: "executed_anew.py" "4";
    prefork: "prefork.py" "6";
    options: "options.py" "4";
    kept_options: "kept_options.py" "4";
    flags: "flags.py" "6";
    errors: "errors.py" "4";
    dual_stack: "dual_stack.py" "6";
    node_net: "net_server.js" "4";
    node_http: "http_dgram.js" "6";
    go: "udp_client.go" "4";
    posix_calls: "posix.c" "6";
}
