//! The process between the server and a step's program: whatever the program starts ends with it.
//!
//! A program can leave its process group and its session (`setsid`), let its parent die and clear its environment, so none of these
//! tells what it started. On Linux a process may be the one that orphans below it get for their parent (`PR_SET_CHILD_SUBREAPER`):
//! then all that began below it stays below it. So the server does not start the program itself. It starts its own binary once more, which
//! becomes such a process, starts the program, and when the program ends, or the server asks by SIGTERM, or the server is gone, kills
//! everything below itself until there is nothing left.
//!
//! What is not ended: what the program asked somebody else to start (a service manager, a container engine, `cron`), and what runs
//! as another user. A program that kills the process above it ends with it; what it started may stay. Elsewhere than on Linux the
//! program is started directly and its process group is killed.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use tokio::process::Child;

/// The word by which the binary is this process; people have no use for it, so no help tells of it.
const WORD: &str = "step-supervisor";
/// How its complaint begins when the program cannot be started, and what it then exits with.
const COMPLAINT: &str = "labhouse step-supervisor: ";
const NOT_STARTED: u8 = 127;
/// How long the server waits for it to end after SIGTERM: longer than it tries to end the rest.
const SEE_OFF: Duration = Duration::from_secs(15);

/// What the command line asks to be started under supervision, if it does: the server's process number, and the program with
/// its arguments.
pub(crate) fn asked(arguments: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let mut arguments = arguments.skip(1);
    arguments.next().filter(|word| word == WORD)?;
    Some(arguments.collect())
}

/// Whether a program's end and its last words say that it could not be started; the reason if so.
pub(super) fn not_started(status: ExitStatus, complaint: &str) -> Option<&str> {
    let reason = complaint.strip_prefix(COMPLAINT)?;
    (status.code() == Some(NOT_STARTED.into())).then_some(reason.trim_end())
}

/// A command that runs a program so that nothing of it outlives it.
pub(super) fn command(program: &str, arguments: &[String]) -> tokio::process::Command {
    #[cfg(target_os = "linux")]
    {
        // The binary that runs, be another one in its place by now.
        let mut command = tokio::process::Command::new("/proc/self/exe");
        command.arg(WORD).arg(std::process::id().to_string());
        command.arg(program).args(arguments);
        command
    }
    #[cfg(not(target_os = "linux"))]
    {
        let mut command = tokio::process::Command::new(program);
        command.args(arguments);
        command
    }
}

/// What [`command`] started; it is ended when this is dropped, unless it is known to have ended.
pub(super) struct Running {
    child: Option<Child>,
    /// Its number while that is its own.
    process: Option<libc::pid_t>,
}

impl Running {
    /// Of a process that leads a group of its own.
    pub(super) fn of(child: Child) -> Self {
        let process = child.id().and_then(|id| libc::pid_t::try_from(id).ok());
        Self {
            child: Some(child),
            process: process.filter(|process| *process > 1),
        }
    }

    /// Waits for its end.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let child = self.child.as_mut();
        let child = child.ok_or_else(|| io::Error::other("a program that was let go of"))?;
        let status = child.wait().await?;
        if cfg!(target_os = "linux") {
            // The number may be another's now.
            self.process = None;
            tell_of_left(status);
        }
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(process) = self.process else { return };
        if !cfg!(target_os = "linux") {
            send(-process, libc::SIGKILL);
            return;
        }
        send(process, libc::SIGTERM);
        // Without a runtime the server is about to end, and what it started sees that.
        if let (Some(child), Ok(runtime)) = (self.child.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(see_off(child, process));
        }
    }
}

/// Waits for the end of a supervisor that was asked for it, and kills it when it does not come.
async fn see_off(mut child: Child, process: libc::pid_t) {
    let ended = match tokio::time::timeout(SEE_OFF, child.wait()).await {
        Ok(ended) => ended,
        Err(_elapsed) => {
            send(-process, libc::SIGKILL);
            child.wait().await
        }
    };
    match ended {
        Ok(status) => tell_of_left(status),
        Err(error) => tracing::warn!(process, %error, "the end of a step's processes is not known"),
    }
}

/// A supervisor that a signal ended, its own or another's, did not end everything below itself.
fn tell_of_left(status: ExitStatus) {
    if status.signal().is_some() {
        tracing::warn!(%status, "processes that a step's program started may be left: they could not be ended");
    }
}

#[expect(
    unsafe_code,
    reason = "the standard library kills one process, never asks it to end nor a group"
)]
fn send(whom: libc::pid_t, signal: libc::c_int) {
    // SAFETY: a plain system call with two numbers; the process is our child, and was not waited for.
    let sent = unsafe { libc::kill(whom, signal) };
    tracing::trace!(whom, signal, sent, "a step's processes are ended");
}

/// Runs a program as asked on the command line; the exit code is the program's, or 128 and the signal that ended it.
#[cfg(target_os = "linux")]
pub(crate) fn supervise(asked: &[OsString]) -> ExitCode {
    use std::io::Write;

    match linux::run(asked) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{COMPLAINT}{error}");
            ExitCode::from(NOT_STARTED)
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn supervise(_asked: &[OsString]) -> ExitCode {
    ExitCode::from(NOT_STARTED)
}

#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "signals and orphans are the kernel's; the standard library has no words for them"
)]
mod linux {
    use std::ffi::OsString;
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    use libc::{c_int, pid_t};

    /// How often it is looked whether the server is still there.
    const LOOK_S: libc::time_t = 1;
    /// Between two rounds of killing: what was killed needs a moment to go. The pause grows while the same ones stay.
    const PAUSE: Duration = Duration::from_millis(5);
    const PAUSE_MAX: Duration = Duration::from_millis(500);
    /// For how long it is tried to end everything: what runs as another user, or hangs in the kernel, does not go.
    const END_FOR: Duration = Duration::from_secs(10);

    pub(super) fn run(asked: &[OsString]) -> io::Result<u8> {
        let [server, program, arguments @ ..] = asked else {
            return Err(io::Error::other("it is the server's, to run a step's program"));
        };
        let server = server.to_str().and_then(|server| server.parse::<pid_t>().ok());
        adopt_orphans()?;
        let signals = Signals::held()?;
        let child = start(program, arguments)?;
        let program = pid_t::try_from(child.id()).map_err(io::Error::other)?;
        let code = watch(&signals, program, server);
        if !end_all() {
            // Its own end by a signal tells the server that something is left.
            // SAFETY: plain system calls with numbers.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
        code
    }

    /// Starts the program in a group of its own, so that what it sends to its group does not come here; it ends when this process does.
    fn start(program: &OsString, arguments: &[OsString]) -> io::Result<Child> {
        // SAFETY: a plain system call without arguments.
        let own = unsafe { libc::getpid() };
        let mut command = Command::new(program);
        command.args(arguments).process_group(0);
        // SAFETY: between fork and exec there are only plain system calls with numbers, and nothing is allocated.
        unsafe {
            command.pre_exec(move || {
                let (signal, none): (libc::c_ulong, libc::c_ulong) = (libc::SIGKILL as libc::c_ulong, 0);
                if libc::prctl(libc::PR_SET_PDEATHSIG, signal, none, none, none) != 0 {
                    return Err(io::Error::last_os_error());
                }
                // It may have ended before that was said.
                match libc::getppid() == own {
                    true => Ok(()),
                    false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
                }
            });
        }
        command.spawn()
    }

    /// Waits until the program ended, the server asks for the end, or is gone; the code that the program ended with.
    fn watch(signals: &Signals, program: pid_t, server: Option<pid_t>) -> io::Result<u8> {
        // The pipes are the program's now: the server sees their ends when the program closes them.
        let_go_of_pipes()?;
        loop {
            let is_asked = signals.next() == Some(libc::SIGTERM);
            // SAFETY: a plain system call without arguments.
            let is_alone = server.is_some_and(|server| unsafe { libc::getppid() } != server);
            if is_asked || is_alone {
                return Ok(u8::MAX);
            }
            while let Reaped::One(process, status) = reap() {
                if process == program {
                    return Ok(code_of(status));
                }
            }
        }
    }

    /// From now on whatever loses its parent below this process is its child.
    fn adopt_orphans() -> io::Result<()> {
        let (on, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
        // SAFETY: a plain system call with numbers.
        match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, on, none, none, none) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The signals that are waited for; the standard library gives programs that it starts an empty mask again.
    struct Signals(libc::sigset_t);

    impl Signals {
        fn held() -> io::Result<Self> {
            // SAFETY: the set is initialised by the first call and lives longer than the others; this process has one thread.
            unsafe {
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&raw mut set);
                libc::sigaddset(&raw mut set, libc::SIGCHLD);
                libc::sigaddset(&raw mut set, libc::SIGTERM);
                match libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) {
                    0 => Ok(Self(set)),
                    _ => Err(io::Error::last_os_error()),
                }
            }
        }

        /// The next signal; none after a while.
        fn next(&self) -> Option<c_int> {
            let wait = libc::timespec {
                tv_sec: LOOK_S,
                tv_nsec: 0,
            };
            // SAFETY: both pointers are to values that live longer than the call; what the signal brings is not asked for.
            let signal = unsafe { libc::sigtimedwait(&raw const self.0, std::ptr::null_mut(), &raw const wait) };
            (signal > 0).then_some(signal)
        }
    }

    fn let_go_of_pipes() -> io::Result<()> {
        let nothing = File::options().read(true).write(true).open("/dev/null")?;
        for pipe in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
            // SAFETY: a plain system call with two numbers; nothing here reads or writes these any more.
            if unsafe { libc::dup2(nothing.as_raw_fd(), pipe) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    enum Reaped {
        One(pid_t, c_int),
        /// All that are left are alive.
        Alive,
        /// There are none.
        Nobody,
    }

    /// Takes note of one child that ended, without waiting.
    fn reap() -> Reaped {
        let mut status = 0;
        // SAFETY: the pointer is to a number that lives longer than the call.
        match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
            0 => Reaped::Alive,
            process if process > 0 => Reaped::One(process, status),
            _ => Reaped::Nobody,
        }
    }

    fn code_of(status: c_int) -> u8 {
        let code = match libc::WIFEXITED(status) {
            true => libc::WEXITSTATUS(status),
            false => 128 + libc::WTERMSIG(status),
        };
        u8::try_from(code).unwrap_or(u8::MAX)
    }

    /// Kills all that is below this process: its children, then those that thereby became its children, until there is none;
    /// whether it came so far.
    fn end_all() -> bool {
        let begun = Instant::now();
        let (mut before, mut pause) = (Vec::new(), PAUSE);
        while begun.elapsed() < END_FOR {
            let found = children();
            for process in &found {
                // SAFETY: a plain system call with two numbers. Nobody else takes note of the ends of our children, so
                // the number is still that one's.
                unsafe { libc::kill(*process, libc::SIGKILL) };
            }
            loop {
                match reap() {
                    Reaped::One(..) => {}
                    Reaped::Alive => break,
                    Reaped::Nobody => return true,
                }
            }
            std::thread::sleep(pause);
            pause = match found == before {
                true => (pause * 2).min(PAUSE_MAX),
                false => PAUSE,
            };
            before = found;
        }
        false
    }

    fn children() -> Vec<pid_t> {
        // SAFETY: a plain system call without arguments.
        let own = unsafe { libc::getpid() };
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        processes.filter(|process| parent(*process) == Some(own)).collect()
    }

    /// The parent of a process: the second word after its name, which may hold anything and be cut amid a letter.
    fn parent(process: pid_t) -> Option<pid_t> {
        let stat = std::fs::read(format!("/proc/{process}/stat")).ok()?;
        let name_end = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
        rest.split_ascii_whitespace().nth(1)?.parse().ok()
    }
}
