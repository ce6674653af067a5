//! Rules against endpoints and names, as tables.

use core::time::Duration;

use super::*;

/// `+subject[@ports]` allows, `-` denies; a subject with a letter is a name.
fn rule(text: &str) -> Rule {
    let (sign, rest) = text.split_at(1);
    let (subject, ports) = rest.split_once('@').unwrap_or((rest, ""));
    let network = |text: &str| {
        let (address, len) = text.split_once('/')?;
        Some(Subject::Network {
            address: address.parse().ok()?,
            prefix_len: len.parse().ok()?,
        })
    };
    let port = |text: &str| text.parse::<u16>().unwrap();
    Rule {
        decision: if sign == "+" { Decision::Allow } else { Decision::Deny },
        subject: match subject {
            "*" => Subject::Any,
            _ => network(subject).unwrap_or_else(|| match subject.strip_prefix("*.") {
                Some(parent) => Subject::Beneath(parent.to_owned()),
                None => Subject::Name(subject.to_owned()),
            }),
        },
        ports: match ports {
            "" => Ports::all(),
            ports => Ports::ranges(
                ports
                    .split(',')
                    .map(|range| range.split_once('-').unwrap_or((range, range)))
                    .map(|(first, last)| (port(first), port(last)))
                    .collect(),
            ),
        },
    }
}

fn policy(rules: &str) -> Policy {
    Policy::new(rules.split_ascii_whitespace().map(rule).collect())
}

/// Judges with 198.51.100.1 and 2001:db8::1 known as good.example.com, 10.1.2.3 as evil.example.com.
fn judge(policy: &Policy, endpoint: &str) -> bool {
    let mut learned = Learned::new(true);
    let ttl = Duration::from_secs(30);
    let good = ["198.51.100.1", "2001:db8::1", "169.254.169.254", "10.0.2.2"].map(|text| text.parse().unwrap());
    learned.learn(Instant::ZERO, "good.example.com", &good, ttl);
    learned.learn(Instant::ZERO, "evil.example.com", &["10.1.2.3".parse().unwrap()], ttl);
    let endpoint: SocketAddr = endpoint.parse().unwrap();
    let is_host = endpoint.ip() == IpAddr::from([10, 0, 2, 2]);
    policy.for_endpoint(Instant::ZERO, Asked { endpoint, is_host }, &learned) == Decision::Allow
}

#[track_caller]
fn table(rules: &str, allowed: &str, denied: &str) {
    let policy = policy(rules);
    for endpoint in allowed.split_ascii_whitespace() {
        assert!(judge(&policy, endpoint), "{rules}: {endpoint} is denied");
    }
    for endpoint in denied.split_ascii_whitespace() {
        assert!(!judge(&policy, endpoint), "{rules}: {endpoint} is allowed");
    }
}

#[test]
fn without_rules_everything_passes() {
    table("", "192.0.2.1:80 10.0.2.2:80 169.254.169.254:80 [2001:db8::9]:1", "");
    assert_eq!(policy("").for_name("example.com"), Decision::Allow);
}

#[test]
fn a_denial_alone_leaves_the_rest_open() {
    table(
        "-192.0.2.0/24 -*@25",
        "192.0.3.1:80 10.0.2.2:80 169.254.169.254:80",
        "192.0.2.1:80 192.0.3.1:25",
    );
}

#[test]
fn the_first_allow_closes_everything_else() {
    table(
        "+192.0.2.0/24@443,8000-8999 +2001:db8:1::/48",
        "192.0.2.9:443 192.0.2.9:8000 192.0.2.9:8999 [2001:db8:1::9]:1",
        "192.0.2.9:80 192.0.2.9:9000 192.0.3.9:443 [2001:db8:2::9]:1 10.0.2.2:80",
    );
}

#[test]
fn the_longest_prefix_decides_in_whatever_order_and_of_equals_the_denial() {
    for rules in [
        "+10.0.0.0/8 -10.1.0.0/16 +10.1.9.0/24 -10.1.9.0/24@22",
        "-10.1.9.0/24@22 +10.1.9.0/24 -10.1.0.0/16 +10.0.0.0/8",
    ] {
        table(rules, "10.2.0.1:80 10.1.9.1:80", "10.1.0.1:80 10.1.9.1:22 11.0.0.1:80");
    }
    table("+192.0.2.1/32 -192.0.2.1/32", "", "192.0.2.1:80");
}

#[test]
fn everyone_is_the_least_specific() {
    table("+* -192.0.2.0/24", "192.0.3.1:80 [2001:db8::9]:80", "192.0.2.1:80");
    table(
        "-* +good.example.com@443",
        "198.51.100.1:443",
        "198.51.100.1:80 192.0.2.1:443",
    );
    table("-0.0.0.0/0 +good.example.com", "198.51.100.1:443", "192.0.2.1:443");
    table("+0.0.0.0/0", "192.0.2.1:443", "[2001:db8::9]:80");
}

#[test]
fn an_allowed_name_opens_its_addresses_and_no_denied_network() {
    table(
        "+*.example.com@443",
        "198.51.100.1:443 [2001:db8::1]:443 10.1.2.3:443",
        "198.51.100.1:80 198.51.100.2:443",
    );
    table("+*.example.com -10.0.0.0/8", "198.51.100.1:443", "10.1.2.3:443");
    table(
        "+10.0.0.0/8 -evil.example.com@25",
        "10.1.2.3:80 10.9.9.9:25",
        "10.1.2.3:25",
    );
}

#[test]
fn names_and_stars_do_not_open_the_inside_of_the_host() {
    let inside = "169.254.169.254:80 100.100.100.200:80 168.63.129.16:80 [fd00:ec2::254]:80 10.0.2.2:80 \
        [64:ff9b::a9fe:a9fe]:80 [2002:a9fe:a9fe::1]:80";
    table("+*", "192.0.2.1:80", inside);
    table("+good.example.com", "198.51.100.1:80", inside);
    table(
        "+169.254.169.254/32@80 +host.prise.internal@80",
        "169.254.169.254:80 10.0.2.2:80",
        "10.0.2.2:81",
    );
    table("+10.0.2.2/32", "10.0.2.2:80", "192.0.2.1:80");
    table("-host.prise.internal", "192.0.2.1:80", "10.0.2.2:80");
}

#[test]
fn ipv6_forms_of_a_denied_ipv4_address_are_denied() {
    table(
        "-192.0.2.0/24",
        "[64:ff9b::c000:301]:80 [2001:db8::c000:201]:80",
        "[64:ff9b::c000:201]:80 [64:ff9b:1::c000:201]:80 [2002:c000:201::1]:80 [::192.0.2.1]:80 [::ffff:192.0.2.1]:80",
    );
}

#[test]
fn lookups_follow_names_and_stars_only() {
    let decide = |rules: &str, name: &str| policy(rules).for_name(name) == Decision::Allow;
    assert!(decide("+api.example.com@443", "api.example.com"));
    assert!(decide("+*.example.net", "a.b.example.net"));
    for denied in ["example.net", "badexample.net", ".example.net", "example.com"] {
        assert!(!decide("+*.example.net", denied), "{denied}");
    }
    assert!(!decide("+192.0.2.0/24", "example.com"));
    assert!(decide("+*@443 -evil.example", "example.com"));
    assert!(!decide("+* -*.evil.example", "x.evil.example"));
    assert!(decide("-evil.example@25", "evil.example"));
    assert!(!decide("-evil.example", "evil.example"));
    assert!(decide("-evil.example", "good.example"));
    assert!(decide("-example.com +example.com@443", "example.com"));
    assert!(decide("-*.example.com +api.example.com", "api.example.com"));
    assert!(!decide("+*.example.com -internal.example.com", "internal.example.com"));
    assert!(!decide("-*", "example.com"));
}
