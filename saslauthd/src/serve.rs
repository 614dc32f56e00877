//! From a plan to a standing house: pid file, sockets, limiter, children.
//!
//! Runs in the parent. Everything that can fail for a reason of the administrator's fails here, before the caller is
//! told that the daemon serves.

use sys::daemon::{self, Side, Waiting};
use sys::dir::Directory;
use sys::harden;
use sys::identity::{self, AccountFiles};
use sys::pidfile::PidFile;
use sys::signals::Signals;

use crate::command_line::Options;
use crate::config::complaint::Report;
use crate::config::file;
use crate::config::plan::{Foreground, Host, Plan};
use crate::failure::Failure;
use crate::log::Log;
use crate::supervision::errors::ChildErrors;
use crate::supervision::house::{House, Parts};
use crate::supervision::identities::{self, Identities};
use crate::supervision::limiter::{self, Limiter};
use crate::supervision::process::Programs;
use crate::supervision::sockets::{self, Listening, Sockets};
use sys::start::Handed;

/// Serves, in the foreground or detached; returns the caller's exit code.
pub fn serve(options: Options, handed: &Handed) -> Result<u8, Failure> {
    let foreground = match options.foreground || handed.is_supervised() {
        true => Foreground::Yes,
        false => Foreground::No,
    };
    // Errors of the configuration are shown on the terminal, with their carets, before anything is started.
    let first = plan(&options, foreground)?;
    let programs = Programs::find().map_err(Failure::new)?;
    let waiting = match foreground {
        Foreground::Yes => None,
        Foreground::No => match daemon::detach()? {
            Side::Caller(code) => return Ok(code),
            Side::Daemon(waiting) => Some(waiting),
        },
    };
    let start = Start {
        first,
        programs,
        notices: options.warnings.clone(),
        with_pid_file: !options.debug,
        errors: waiting.as_ref().map(|_| ChildErrors::capture()).transpose()?,
    };
    let replan = move || plan(&options, foreground);
    start.run(handed, Box::new(replan), |errors| waiting.map_or(Ok(()), |w| let_go(w, errors)))?;
    Ok(0)
}

/// The caller's process ends, and with it goes its standard error.
fn let_go(waiting: Waiting, errors: &mut Option<ChildErrors>) -> Result<(), Failure> {
    waiting.serving()?;
    errors.as_mut().map_or(Ok(()), ChildErrors::keep)?;
    Ok(())
}

/// Reads the configuration, puts the options over it, and looks everything up.
pub fn plan(options: &Options, foreground: Foreground) -> Result<Plan, Report> {
    let uid = identity::current().map_or(u32::MAX, |identity| identity.uid);
    let mut config = file::load(options.config.as_deref(), uid)?;
    options.apply(&mut config);
    config.plan(&host(foreground))
}

/// This host.
pub fn host(foreground: Foreground) -> Host {
    Host {
        accounts: AccountFiles::default(),
        name: sys::clock::hostname(),
        foreground,
        is_root: identity::is_root(),
    }
}

/// All that is known before the first descriptor is opened.
pub struct Start {
    /// What is to be done.
    pub first: Plan,
    /// The children's executables.
    pub programs: Programs,
    /// What to say of the command line.
    pub notices: Vec<String>,
    /// `-d` writes none, as in Cyrus.
    pub with_pid_file: bool,
    /// Standard error of a detached daemon.
    pub errors: Option<ChildErrors>,
}

impl Start {
    /// Builds the house, calls `serving` once it serves, and returns when it was ended.
    pub fn run(
        self,
        handed: &Handed,
        replan: crate::supervision::house::Replan,
        serving: impl FnOnce(&mut Option<ChildErrors>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let plan = self.first;
        harden::forbid_new_privileges()?;
        let signals = Signals::block()?;
        make_run_dir(&plan)?;
        let _pid_file = match self.with_pid_file {
            true => Some(PidFile::claim(&plan.run_dir.join("saslauthd.pid"))?),
            false => None,
        };
        let log = Log::new(&plan.checker.log, plan.foreground);
        let identities = Identities::of(&plan, &AccountFiles::default())?;
        let mut notices = self.notices;
        let limiter = kept_limiter(&plan, &mut notices)?;
        identities::prepare_accounts(&plan, &identities)?;
        let (notifier, watchdog) = (handed.notifier()?, handed.watchdog());
        let (sockets, control) = listen(&plan, handed)?;
        let house = House::new(Parts {
            plan,
            replan,
            programs: self.programs,
            identities,
            notices,
            sockets,
            control,
            limiter,
            signals,
            notifier,
            watchdog,
            log,
            errors: self.errors,
        });
        house.run(serving)
    }
}

fn make_run_dir(plan: &Plan) -> sys::Result<()> {
    Directory::open_or_create(&plan.run_dir, plan.run_dir_mode, plan.run_dir_group).map(drop)
}

/// The limiter as the last daemon left it.
fn kept_limiter(plan: &Plan, notices: &mut Vec<String>) -> Result<Limiter, Failure> {
    match limiter::prepare(&plan.state_dir) {
        Ok(()) => {}
        Err(e) if identity::is_root() => return Err(e.into()),
        Err(e) => notices.push(format!("{e}; set state_dir, or limits end with the daemon")),
    }
    let limiter = Limiter::new(plan.checker.limits.table_words())?;
    if let Err(warning) = limiter.load(&plan.state_dir) {
        notices.push(warning);
    }
    Ok(limiter)
}

/// The public sockets and the operators' one.
fn listen(plan: &Plan, handed: &Handed) -> sys::Result<(Sockets, Listening)> {
    let sockets = Sockets::open(plan, handed.sockets())?;
    let control = Listening::bind(&plan.control_socket(), sockets::Directory::of(plan));
    match control {
        Ok(control) => Ok((sockets, control)),
        Err(e) => {
            sockets.unlink();
            Err(e)
        }
    }
}
