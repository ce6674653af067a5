//! The leave for a program to make connections which leave the run, and to accept clients of a published port, without asking: the library that it is loaded with ([`prise_shortcut`]).
//!
//! A connection that leaves is nothing but a stream of the host kernel's own with a mark ([`crate::handed::marked`]), where nobody wants its packets or has to know of it.
//! A program that is linked with glibc makes one by itself, for which the filter lets connect(2) pass that shows a number of this run's: not a
//! secret, because what it opens is open to everybody. Its file is a descriptor of the supervisor's; the variable that names it is gone when main begins.
//! So it is with accept(2) of a published port's clients, and with files of the host's that are opened for reading; only the last is left to it where
//! connections go by our TCP (`--no-join`, `--capture`, bad lines, other links). What the program executes is loaded so, too ([`Supervisor::judge_program`]); static programs are judged as ever, and what they execute.

use std::cell::Cell;
use std::env;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::rc::Rc;

use prise_gateway::Addresses;
use prise_shortcut::chart::{Chart, Edge, Edges, Mark, PATH_MAX, answer, place_of, question, wish};
use prise_socket::Errno;
use prise_sys::launch::is_executable;
use rustix::fs::{MemfdFlags, memfd_create, readlink};
use rustix::net::SocketFlags;
use rustix::process::{DumpableBehavior, dumpable_behavior};

use crate::guest::notify::{Call, DONE, Judged};
use crate::handed::adopted::name_space;
use crate::handed::marked;
use crate::start::config::RunConfig;
use crate::start::filter::Token;
use crate::start::linked;
use crate::supervisor::Supervisor;
use crate::world::gate::Gate;

/// The variable by which the dynamic linker is told (ld.so(8)).
const VARIABLE: &[u8] = b"LD_PRELOAD=";

/// The library, told what it may do.
#[derive(Debug)]
pub(crate) struct Shortcut {
    environment: Vec<CString>,
    token: Token,
    connects: Leave,
    accepts: Leave,
    opens: Leave,
    programs: Programs,
}

/// A leave that the library has, a number in its file, which it reads there again and again.
#[derive(Debug, Clone)]
pub(crate) struct Leave(Rc<Given>);

#[derive(Debug)]
struct Given {
    file: Rc<File>,
    at: u64,
    ended: Cell<bool>,
}

impl Leave {
    fn new(file: &Rc<File>, at: usize, is_given: bool) -> Self {
        Self(Rc::new(Given {
            file: Rc::clone(file),
            at: at as u64,
            ended: Cell::new(!is_given),
        }))
    }

    /// Whether it holds.
    fn holds(&self) -> bool {
        !self.0.ended.get()
    }

    /// Takes it back, for good.
    pub(crate) fn end(&self) {
        if self.0.ended.replace(true) {
            return;
        }
        if let Err(error) = self.0.file.write_all_at(&0u32.to_ne_bytes(), self.0.at) {
            tracing::debug!(%error, "calls go on unasked");
        }
    }
}

/// What the library need not ask again about programs, in its file.
#[derive(Debug)]
struct Programs {
    file: Rc<File>,
    at: u64,
}

impl Programs {
    /// Takes the place of another one that has it.
    fn note(&self, version: u64, is_wanted: bool) {
        let at = self.at + (place_of(version) * size_of::<u64>()) as u64;
        if let Err(error) = self.file.write_all_at(&answer(version, is_wanted).to_ne_bytes(), at) {
            tracing::debug!(%error, "a program is asked about again");
        }
    }
}

impl Shortcut {
    /// The library for the program of `config`; none if that is not to have it or could not. `gate` is what connections leave by that may be the
    /// kernel's own.
    pub(crate) fn new(config: &RunConfig, gate: Option<&Gate>) -> Option<Self> {
        let program = || linked::program(&find(&config.program)?);
        // Under a policy and a record every call is judged, whoever makes it.
        let may_pass = config.policy.is_empty() && config.audit.is_none();
        if !config.preload || !may_pass || !program().is_some_and(linked::can_have_library) {
            return None;
        }
        Self::prepare(gate, config.proc_net).unwrap_or_else(|error| {
            tracing::debug!(%error, "connections that leave the run are judged");
            None
        })
    }

    fn prepare(gate: Option<&Gate>, opens: bool) -> io::Result<Option<Self>> {
        let crossing = match gate {
            Some(gate) => home_of_marked()?.map(|home| (home, edges(&gate.addresses()))),
            None => None,
        };
        let has_sockets = crossing.is_some();
        if !has_sockets && !opens {
            return Ok(None);
        }
        let (home, edges) = crossing.unwrap_or((Chart::NONE.home, Chart::NONE.edges));
        let library = File::from(memfd_create(c"prise-shortcut", MemfdFlags::CLOEXEC)?);
        // Of this process, by its number in the name space that /proc shows: the program's own numbers are its own affair.
        let ourselves = readlink("/proc/self", Vec::new())?;
        let path = format!("/proc/{}/fd/{}", ourselves.to_string_lossy(), library.as_raw_fd());
        let chart = Chart {
            open: u32::from(has_sockets),
            accepts: u32::from(has_sockets),
            opens: u32::from(opens),
            token: draw_token()?,
            home,
            library: linked::number(&library)?,
            edges,
            ..Chart::NONE
        };
        let Some(image) = with_path(chart, &path).and_then(|chart| prise_shortcut::image(&chart)) else {
            return Ok(None);
        };
        library.write_all_at(&image.octets, 0)?;
        // What the dynamic linker cannot open or map it would complain about to the program's standard error.
        File::open(&path)?;
        if dumpable_behavior()? != DumpableBehavior::Dumpable || !is_executable(library.as_fd()) {
            return Ok(None);
        }
        let file = Rc::new(library);
        Ok(Some(Self {
            environment: environment(&path),
            token: Token {
                number: chart.token,
                of_sockets: has_sockets,
            },
            connects: Leave::new(&file, image.open_at, has_sockets),
            accepts: Leave::new(&file, image.accepts_at, has_sockets),
            opens: Leave::new(&file, image.opens_at, opens),
            programs: Programs {
                at: image.known_at as u64,
                file,
            },
        }))
    }

    /// What a call shows that comes from the library.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// Whether it makes calls on sockets.
    pub(crate) fn has_sockets(&self) -> bool {
        self.token.of_sockets
    }

    /// What the program starts with.
    pub(crate) fn environment(&self) -> &[CString] {
        &self.environment
    }

    /// The leave to accept without asking, while it holds, if a call is the library's, which wishes for it.
    pub(crate) fn leave_for(&self, call: &Call) -> Option<Leave> {
        (call.args[5] == wish(self.token.number) && self.accepts.holds()).then(|| self.accepts.clone())
    }
}

impl Supervisor {
    /// Whether the library is for the program in the file that the caller has open, where the call asks that ([`prise_shortcut::chart::question`]).
    pub(crate) fn judge_program(&mut self, call: &Call) -> Option<Judged> {
        let shortcut = self.shortcut.as_ref()?;
        if call.number != libc::SYS_connect || call.args[5] != question(shortcut.token.number) {
            return None;
        }
        let program = self.guests.descriptor(call.tid, call.fd()).ok();
        let judged = program.and_then(|program| linked::judge(program.into()));
        if let Some((version, is_wanted)) = judged {
            shortcut.programs.note(version, is_wanted);
        }
        Some(if judged.is_some_and(|it| it.1) {
            DONE
        } else {
            Err(Errno::ENOEXEC)
        })
    }

    /// Somebody wants to know of connections that leave the run, or to see their packets.
    pub(crate) fn close_shortcut(&mut self) {
        if let Some(shortcut) = &self.shortcut {
            shortcut.connects.end();
        }
    }

    /// Somebody has a filter of its own, which knows nothing of the library's calls.
    pub(crate) fn close_library(&mut self) {
        if let Some(shortcut) = &self.shortcut {
            shortcut.connects.end();
            shortcut.accepts.end();
            shortcut.opens.end();
        }
    }
}

/// The host's network name space, as sockets tell it (`SO_NETNS_COOKIE`), if they do and the run's can be marked; where they cannot, connections are noted.
fn home_of_marked() -> io::Result<Option<u64>> {
    let stream = Supervisor::hosts_object(prise_socket::Family::Inet, SocketFlags::empty())?;
    let is_marked = marked::mark(&stream, Mark::Outside);
    Ok(name_space(&stream).filter(|_| is_marked).map(u64::from_ne_bytes))
}

fn draw_token() -> io::Result<u64> {
    let mut token = [0; 8];
    rustix::rand::getrandom(&mut token, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(token))
}

fn edges(addresses: &Addresses) -> Edges {
    Edges {
        v4: Edge {
            own: addresses.guest_v4.octets(),
            mask: mask(u32::MAX, 32, addresses.prefix_len_v4).to_be_bytes(),
            gateway: addresses.gateway_v4.octets(),
        },
        v6: Edge {
            own: addresses.guest_v6.octets(),
            mask: mask(u128::MAX, 128, addresses.prefix_len_v6).to_be_bytes(),
            gateway: addresses.gateway_v6.octets(),
        },
    }
}

/// The chart with the library's path in it, and a zero at least behind that; none if there is no room.
fn with_path(mut chart: Chart, path: &str) -> Option<Chart> {
    let place = chart.path.get_mut(..path.len()).filter(|it| it.len() < PATH_MAX)?;
    place.copy_from_slice(path.as_bytes());
    Some(chart)
}

/// The mask of a prefix's length.
fn mask<T: core::ops::Shl<u32, Output = T> + Default>(ones: T, bits: u32, len: u8) -> T {
    match u32::from(len) {
        0 => T::default(),
        len => ones << (bits - len.min(bits)),
    }
}

/// The environment with the library in it, which is named last: it hides the end of the list. A variable that goes altogether leaves an even number of
/// words, with an empty one behind it.
fn environment(path: &str) -> Vec<CString> {
    let (preloaded, mut all): (Vec<CString>, Vec<CString>) = prise_sys::launch::environment()
        .into_iter()
        .partition(|line| line.to_bytes().starts_with(VARIABLE));
    // Of several the C library takes the first. An empty one stays empty.
    let mut line = match preloaded.first() {
        Some(first) => [first.to_bytes(), b":"].concat(),
        None => VARIABLE.to_vec(),
    };
    line.extend_from_slice(path.as_bytes());
    all.extend(CString::new(line));
    if preloaded.is_empty() {
        all.push(CString::default());
    }
    all
}

/// The file that execvp(3) executes.
fn find(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(program.into());
    }
    let is_executable = |path: &PathBuf| {
        let metadata = path.metadata();
        metadata.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(program))
        .find(is_executable)
}
