//! Servers that people run: nginx with its workers, redis with its benchmark; and what goes wrong on the way out, with
//! the same errno as natively.

mod world;

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use world::{Running, Stage, find, finish, free_port, need, repository, skip};

const LIMIT: Duration = Duration::from_secs(150);

fn shell(script: &str) -> Vec<OsString> {
    ["sh", "-c", script].map(OsString::from).into()
}

const NGINX: &str = "
daemon off; worker_processes 2; pid work/nginx.pid; error_log stderr;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path work/body; proxy_temp_path work/proxy; fastcgi_temp_path work/fastcgi;
    uwsgi_temp_path work/uwsgi; scgi_temp_path work/scgi;
    sendfile on;
    server { listen 8000 reuseport; listen [::]:8000 reuseport; location / { root .; } }
    server { listen 8001; location / { proxy_pass http://127.0.0.1:8000; } }
}
";

#[test]
fn nginx_serves_through_its_workers_and_its_proxy() {
    let (Some(nginx), Some(curl)) = (need("nginx", "nginx"), need("nginx", "curl")) else {
        return;
    };
    let stage = Stage::new();
    stage.write("nginx.conf", NGINX);
    stage.write("file", vec![b'n'; 3 << 20]);
    let port = free_port();
    let publish = format!("{port}:8001");
    let program: Vec<OsString> = vec![
        nginx.into(),
        "-p".into(),
        stage.path("").into(),
        "-c".into(),
        "nginx.conf".into(),
    ];
    let run = Running::start(&mut stage.run(&["-p", &publish], &program));
    // Until the workers listen the port is refused or reset; curl waits and asks again.
    let url = format!("http://127.0.0.1:{port}/file?[1-20]");
    let retry = [
        "-sS",
        "--max-time",
        "50",
        "--retry",
        "50",
        "--retry-delay",
        "1",
        "--retry-all-errors",
        "--fail",
    ];
    let mut fetch = stage.native(&curl, retry);
    fetch.args([
        "--no-progress-meter",
        "-Z",
        "-o",
        "got#1",
        "-w",
        "%{http_code} %{size_download}\n",
        &url,
    ]);
    let ended = finish(&mut fetch, LIMIT).expect_success();
    let whole = ended.stdout.lines().filter(|line| *line == "200 3145728").count();
    assert_eq!(whole, 20, "{}", ended.stdout);
    run.signal(rustix::process::Signal::QUIT);
    run.end(LIMIT).expect_success();
}

#[test]
fn redis_answers_its_benchmark() {
    let (Some(server), Some(_), Some(_)) = (
        need("redis", "redis-server"),
        need("redis", "redis-benchmark"),
        need("redis", "redis-cli"),
    ) else {
        return;
    };
    let stage = Stage::new();
    let script = format!(
        "{} --port 6379 --save '' --bind 127.0.0.1 -::1 >redis.log 2>&1 &
         until redis-cli ping 2>/dev/null | grep -q PONG; do :; done
         redis-benchmark -q -n 5000 -c 20 -t set,get && redis-benchmark -h ::1 -q -n 8000 -P 16 -t incr
         redis-cli get counter:__rand_int__; redis-cli shutdown nosave; wait",
        server.display()
    );
    let ended = finish(&mut stage.run(&[], &shell(&script)), LIMIT).expect_success();
    for command in ["SET: ", "GET: ", "INCR: "] {
        assert!(ended.stdout.contains(command), "{}{}", ended.stdout, ended.stderr);
    }
    assert!(
        ended.stdout.trim().ends_with("\n8000"),
        "every increment counts: {}",
        ended.stdout
    );
}

#[test]
fn errors_of_the_outside_world_are_those_of_the_kernel() {
    let Some(python) = need("errors of the outside", "python3") else {
        return;
    };
    if find("unshare").is_none() || find("ip").is_none() {
        skip("errors of the outside", "there is no unshare or ip");
        return;
    }
    let stage = Stage::new();
    let scripts = repository().join("crates/prise-cli/tests/outbound");
    let [host, attempts] = ["world.py", "attempts.py"].map(|name| stage.put(&scripts.join(name), name));
    // A network of its own for both: nothing leaves the machine, and what is unreachable is so by decree.
    let world = "ip link set lo up && ip route add unreachable 192.0.2.0/24 && exec \"$@\"";
    let mut command: Command = stage.native("unshare", ["-rn", "sh", "-c", world, "sh"]);
    command.arg(python).arg(host).arg(stage.path("prise")).arg(attempts);
    let ended = finish(&mut command, LIMIT);
    if ended.stderr.contains("unshare failed") {
        skip("errors of the outside", ended.stderr.trim());
        return;
    }
    let ended = ended.expect_success();
    let [_, native, prised] = ended.stdout.split("===\n").collect::<Vec<_>>()[..] else {
        panic!("{}{}", ended.stdout, ended.stderr)
    };
    assert_eq!(native.lines().count(), 9, "{native}");
    assert!(
        prised == native,
        "natively:\n{native}\nunder prise:\n{prised}\n{}",
        ended.stderr
    );
}
