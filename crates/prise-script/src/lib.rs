//! Segment scripts: what TCP must do, line by line; the same lines run against our stack in virtual time and against
//! Linux in real time.
//!
//! A script plays the peer of one host, the *subject*, and the program on it. It says which segments arrive, which
//! must leave and when, which socket calls the program makes and what they must answer. Against our stack
//! ([`ours`]) there is no thread, no clock and no descriptor; against Linux ([`linux`]) the segments cross a TUN device in a
//! network namespace and the calls are system calls.
//!
//! ```console
//! $ cargo test -p prise-script                      # all against our stack, over IPv4 and IPv6; a sample against Linux
//! $ cargo run -p prise-script -- linux              # all against this kernel
//! $ cargo run -p prise-script -- ours -v handshake  # what happens in the scripts whose name contains this
//! ```
//!
//! # The language
//!
//! A file `scripts/*.script` holds many scripts. `#` begins a comment. A script begins with `==` and its title, a sentence
//! of the specification, then headers, then one step a line:
//!
//! ```text
//! == A segment beyond the window is answered by an ACK
//! rfc: 9293 MUST-58; 5961 §5        what it proves (docs/rfc.md is generated from this)
//! differs: the reason               why lines marked [ours] and [linux] differ (docs/linux.md is generated from this)
//! linux: no, the reason             not run against Linux
//! ours: not yet, the reason         not run against our stack
//! only: ipv4, the reason            not run over IPv6
//! sysctl: tcp_ecn=1                 settings below net.ipv4 of both subjects; prise.NAME=1 of ours, in scripts not run on Linux
//! buffers: kernel                   our stack counts what packets take up in Linux (`BufferAccounting::Kernel`)
//! mtu: 1500                         of the link (IPv6 has 20 more, so that segments are the same)
//! open passive <mss 1000,sackOK>
//! +10ms < P. 70001:70101 ack 1
//! > . 1 ack 1
//! ```
//!
//! **Time.** A step happens at once, or after `+TIME` counted from the step before it (`20us`, `10ms`, `1.5s`, `2min`). An
//! expected segment must leave in that time give or take 2 ms, or what `+200ms±20ms` says, or within `+180ms..240ms`, or
//! `+*` at any time of the next five seconds. Linux gets more on top, for its ticks and for a busy machine. `wait TIME`: nothing
//! may be sent for so long; and nothing may be left when the script ends.
//!
//! **Segments.** `< FLAGS …` arrives, `> FLAGS …` must be the next that leaves; `<2` and `>2` belong to flow 2, which has
//! another port at the peer. Flags are letters: `S F R P U E W A` (SYN FIN RST PSH URG ECE CWR AE) and `.` for ACK; `-`: none. An
//! expected segment without `P` may have it. Then any of:
//!
//! | term | meaning |
//! |---|---|
//! | `1:1001`, `1`, `+1000` | sequence numbers relative to the sender's ISN; so many octets from the sender's next one (which is the default) |
//! | `new` | an expected SYN with an ISN of its own, from which numbers count from now on |
//! | `ack 1`, `ack *` | relative to the other's ISN; all that the other has sent (the default in what arrives; unchecked in what leaves) |
//! | `win 500`, `win 1..9` | the field, unscaled; by default the one before |
//! | `urg 3` | the urgent pointer |
//! | `<mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>` | the options exactly, in order; also `eol`, `sack 1:2`, `FO`, `FO-request`, `FO HEX`, `FO $name` (any cookie, remembered; or that one), `md5 KEY` (a right signature by that key), `raw KIND:HEX`, `hex HEX` |
//! | `sack 1:2 5:9` | SACK blocks, beside the options that the connection always has; an expected segment without this has none |
//! | `ts 500`, `ecr 7`, `ecr a`, `no-ts` | the timestamp to send; the echo, as a number or as the one saved as `a`; no timestamps |
//! | `save a` | remembers the TSval of this segment |
//! | `ect0`, `ect1`, `ce`, `not-ect` | the ECN field of the IP header |
//! | `tos 16`, `ttl 9` | the differentiated-services field and the time to live of what leaves |
//! | `ip-options` | what arrives has options in its IPv4 header |
//! | `"abc"` | these octets instead of the pattern |
//! | `bad-checksum`, `data-offset 4`, `reserved 7` | what is wrong with what arrives |
//!
//! `< icmp KIND seq N`: an ICMP error about the segment that began at N; kinds are `too-big MTU`, `network-unreachable`,
//! `host-unreachable`, `port-unreachable`, `protocol-unreachable`, `prohibited`, `time-exceeded`, `quench`.
//!
//! **Calls.** `[@socket] call … [-> result]`, all non-blocking: `socket`, `bind PORT`, `listen [BACKLOG]`, `accept`, `connect [FLOW]`,
//! `disconnect`, `write N|"octets" [more] [oob] [fastopen]`, `sendto FLOW N|"octets" [fastopen]`, `read N [peek] [oob] [trunc]`, `shutdown rd|wr|both`, `close`,
//! `set OPTION VALUE[,VALUE]` (`set TCP_MD5SIG "KEY"` for the peer, `""` to forget it), `get OPTION`, `info FIELD=VALUE…` (of `tcp_info`; `1..9` is a range), `poll`, `inq`, `outq`,
//! `outqnsd`, `atmark`. Without a name they mean the socket made last; the listener is `@l`, accepted ones `@c`, `@c2`, others
//! `@s`, `@s2`. A result is a number, a range, an error's name, poll bits (`IN|OUT`), octets in quotes, or `ok`, which is the
//! default.
//!
//! `open passive|active [flow N] [<options>] [win N] [then-win N] [rtt TIME] [ecn]` stands for the usual handshake, with a peer that
//! says `<mss 1000,sackOK>` and a window of 65535. `repeat N` … `end` stands for the lines between, N times.
//!
//! # What every segment is held to
//!
//! Whatever the script is about, each segment of the subject must have right checksums and well-formed options, octets
//! that the program wrote at that place, no more of them than the peer's MSS, and none beyond the peer's window; its
//! acknowledgments, timestamps and right window edge must not go back ([`flow`]).
#![forbid(unsafe_code)]

pub mod docs;
pub mod failure;
pub mod flow;
pub mod library;
pub mod linux;
pub mod names;
pub mod option;
pub mod ours;
pub mod packet;
pub mod parse;
pub mod run;
pub mod script;
mod segment;
mod sockets;
pub mod subject;
