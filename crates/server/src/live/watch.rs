//! Watches: one inotify instance per worker, one watch per file or directory, however many wait for it.
//!
//! Whoever waits for a change counts: he remembers the count from before he looked, and waits until it is another. So
//! nothing that happens between a look and a wait is missed.

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};
use sendrail_sys::FileSystem;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    rc::{Rc, Weak},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::Notify,
};

/// How often is looked where the kernel does not tell.
const LOOK: Duration = Duration::from_secs(1);

/// What is told within this time is taken together, but for the first: a program that writes single bytes would keep the
/// event loop busy with each of them.
const GATHER: Duration = Duration::from_millis(1);

/// What a file does to those who read it: it grows or shrinks, it loses a name, it gets another, a writer leaves.
/// IN_DELETE_SELF does not come while the file is open; that its last name is gone is a change of its attributes.
const FILE: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::CLOSE_WRITE);

/// What happens to the names in a directory, and to itself.
const DIRECTORY: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// How often something has happened, by what it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Anything at all.
    pub(crate) any: u64,
    /// Somebody who could write has closed it.
    pub(crate) closed: u64,
    /// One of its names may be gone, or another there.
    pub(crate) names: u64,
    /// It was renamed.
    pub(crate) moved: u64,
}

/// One file or directory that is watched. The watch ends when nobody holds this any more.
#[derive(Debug)]
pub(crate) struct Watch {
    inode: (u64, u64),
    /// `None`: it is looked at instead, now and then.
    descriptor: Option<i32>,
    counts: Cell<Counts>,
    changed: Notify,
    names: RefCell<HashMap<Box<[u8]>, Weak<Name>>>,
    owner: Weak<Watches>,
}

/// A name in a directory that somebody waits for.
#[derive(Debug)]
pub(crate) struct Name {
    count: Cell<u64>,
    changed: Notify,
    /// For as long as somebody waits for the name.
    _directory: Rc<Watch>,
}

impl Watch {
    /// How often something has happened.
    pub(crate) fn counts(&self) -> Counts {
        self.counts.get()
    }

    /// Whether nobody tells when something happens, so that it has to be looked at.
    pub(crate) fn is_blind(&self) -> bool {
        self.descriptor.is_none()
    }

    /// Waits until something has happened since the count was this.
    pub(crate) async fn changed(&self, since: u64) {
        while self.counts.get().any == since {
            self.changed.notified().await;
        }
    }

    /// Waits for one name in this directory.
    pub(crate) fn name(self: &Rc<Self>, name: &[u8]) -> Rc<Name> {
        let mut names = self.names.borrow_mut();
        if let Some(known) = names.get(name).and_then(Weak::upgrade) {
            return known;
        }
        names.retain(|_, name| name.strong_count() > 0);
        let held = Rc::clone(self);
        let new = Rc::new(Name { count: Cell::new(0), changed: Notify::new(), _directory: held });
        names.insert(name.into(), Rc::downgrade(&new));
        new
    }

    fn happened(&self, what: ReadFlags) {
        let mut counts = self.counts.get();
        counts.any += 1;
        counts.closed += u64::from(what.contains(ReadFlags::CLOSE_WRITE));
        counts.names += u64::from(what.intersects(ReadFlags::ATTRIB | ReadFlags::MOVE_SELF));
        counts.moved += u64::from(what.contains(ReadFlags::MOVE_SELF));
        self.counts.set(counts);
    }

    /// Something that is of all names, and may be of everything.
    fn anything(&self) {
        self.happened(ReadFlags::ATTRIB);
        self.changed.notify_waiters();
        self.names.borrow().values().filter_map(Weak::upgrade).for_each(|name| name.happened());
    }

    fn happened_to(&self, name: &[u8]) {
        let names = self.names.borrow();
        let stem = [&b".zst"[..], b".br", b".gz"].iter().find_map(|end| name.strip_suffix(*end));
        for name in std::iter::once(name).chain(stem) {
            if let Some(name) = names.get(name).and_then(Weak::upgrade) {
                name.happened();
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.upgrade() {
            owner.forget(self);
        }
    }
}

impl Name {
    /// How often something has happened to it.
    pub(crate) fn count(&self) -> u64 {
        self.count.get()
    }

    /// Waits until something has happened since the count was this.
    pub(crate) async fn changed(&self, since: u64) {
        while self.count.get() == since {
            self.changed.notified().await;
        }
    }

    fn happened(&self) {
        self.count.set(self.count.get() + 1);
        self.changed.notify_waiters();
    }
}

/// All watches of a worker.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    /// Not before the first is wanted.
    queue: RefCell<Option<Rc<OwnedFd>>>,
    by_descriptor: RefCell<HashMap<i32, Weak<Watch>>>,
    by_inode: RefCell<HashMap<(u64, u64), Weak<Watch>>>,
}

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    File,
    Directory,
}

impl Watches {
    /// Watches what `descriptor` refers to, whatever its names. `inode` is its `st_dev` and `st_ino`.
    ///
    /// To be called before the first look. Where the kernel does not tell, every second counts as a change.
    pub(crate) fn watch(
        self: &Rc<Self>,
        what: What,
        descriptor: BorrowedFd<'_>,
        inode: (u64, u64),
        file_system: FileSystem,
    ) -> Rc<Watch> {
        if let Some(known) = self.by_inode.borrow().get(&inode).and_then(Weak::upgrade) {
            return known;
        }
        let told = if tells(file_system) {
            self.add(what, descriptor).inspect_err(say_refused)
        } else {
            say_untold(file_system);
            Err(io::ErrorKind::Unsupported.into())
        };
        let watch = Rc::new(Watch {
            inode,
            descriptor: told.ok(),
            counts: Cell::default(),
            changed: Notify::new(),
            names: RefCell::default(),
            owner: Rc::downgrade(self),
        });
        if let Some(descriptor) = watch.descriptor {
            self.by_descriptor.borrow_mut().insert(descriptor, Rc::downgrade(&watch));
        } else {
            tokio::task::spawn_local(tick(Rc::downgrade(&watch)));
        }
        self.by_inode.borrow_mut().insert(inode, Rc::downgrade(&watch));
        watch
    }

    fn add(self: &Rc<Self>, what: What, descriptor: BorrowedFd<'_>) -> io::Result<i32> {
        let queue = self.queue()?;
        let flags = match what {
            What::File => FILE,
            What::Directory => DIRECTORY,
        };
        // By the descriptor, so that it is that very inode; and a magic link waits for no disk (`proc_pid_fd(5)`).
        let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
        Ok(inotify::add_watch(&*queue, path, flags)?)
    }

    fn queue(self: &Rc<Self>) -> io::Result<Rc<OwnedFd>> {
        if let Some(queue) = &*self.queue.borrow() {
            return Ok(Rc::clone(queue));
        }
        let queue = Rc::new(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?);
        let events = readable(Rc::clone(&queue))?;
        tokio::task::spawn_local(listen(Rc::downgrade(self), events));
        self.queue.replace(Some(Rc::clone(&queue)));
        Ok(queue)
    }

    fn forget(&self, watch: &Watch) {
        let mut by_inode = self.by_inode.borrow_mut();
        if by_inode.get(&watch.inode).is_some_and(|known| known.strong_count() == 0) {
            by_inode.remove(&watch.inode);
        }
        if let (Some(descriptor), Some(queue)) = (watch.descriptor, &*self.queue.borrow()) {
            self.by_descriptor.borrow_mut().remove(&descriptor);
            // EINVAL: the kernel has removed it already, with what it watched.
            let _ = inotify::remove_watch(&**queue, descriptor);
        }
    }

    /// Takes what has been told, some of it. Says whether there may be more.
    fn take_events(&self, queue: &OwnedFd) -> io::Result<bool> {
        /// Some 200 events without names. `inotify(7)`: at least one with the longest name.
        const ROOM: usize = 4096;
        let mut room = [MaybeUninit::uninit(); ROOM];
        let mut reader = inotify::Reader::new(queue, &mut room);
        let mut watches: Vec<Rc<Watch>> = Vec::new();
        let more = loop {
            match reader.next() {
                Ok(event) => {
                    let what = event.events();
                    if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                        self.all().into_iter().for_each(|watch| watch.anything());
                    } else if let Some(watch) = self.of(event.wd()) {
                        match event.file_name() {
                            Some(name) => watch.happened_to(name.to_bytes()),
                            None if what.contains(ReadFlags::IGNORED) => self.unlist(&watch),
                            None => {
                                watch.happened(what);
                                if !watches.iter().any(|known| Rc::ptr_eq(known, &watch)) {
                                    watches.push(watch);
                                }
                            }
                        }
                    }
                    if reader.is_buffer_empty() {
                        break true;
                    }
                }
                Err(Errno::AGAIN) => break false,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        // Once for each, however much has happened to it.
        for watch in watches {
            watch.changed.notify_waiters();
            watch
                .names
                .borrow()
                .values()
                .filter_map(Weak::upgrade)
                .for_each(|name| name.happened());
        }
        Ok(more)
    }

    fn of(&self, descriptor: i32) -> Option<Rc<Watch>> {
        self.by_descriptor.borrow().get(&descriptor).and_then(Weak::upgrade)
    }

    fn all(&self) -> Vec<Rc<Watch>> {
        self.by_descriptor.borrow().values().filter_map(Weak::upgrade).collect()
    }

    /// The kernel has ended the watch of what is no more: who comes next needs another.
    fn unlist(&self, watch: &Watch) {
        self.by_inode.borrow_mut().remove(&watch.inode);
        watch.anything();
    }
}

// As for the parking place: an `Rc` of an `OwnedFd` always returns the same number, and keeps it open.
#[allow(deprecated)]
fn readable(queue: Rc<OwnedFd>) -> io::Result<AsyncFd<Rc<OwnedFd>>> {
    AsyncFd::with_interest(queue, Interest::READABLE)
}

/// Hears of changes for as long as there are watches to be.
async fn listen(watches: Weak<Watches>, events: AsyncFd<Rc<OwnedFd>>) {
    while let Ok(mut ready) = events.readable().await {
        let Some(watches) = watches.upgrade() else { return };
        match watches.take_events(ready.get_inner()) {
            // Whoever waits gets his turn before more is taken: what comes meanwhile is told together.
            Ok(true) => {
                drop((ready, watches));
                tokio::task::yield_now().await;
            }
            Ok(false) => {
                ready.clear_ready();
                drop((ready, watches));
                tokio::time::sleep(GATHER).await;
            }
            Err(error) => {
                tracing::error!(%error, "inotify(7): files that are followed may seem to stand still");
                return;
            }
        }
    }
}

async fn tick(watch: Weak<Watch>) {
    loop {
        tokio::time::sleep(LOOK).await;
        match watch.upgrade() {
            Some(watch) => watch.anything(),
            None => return,
        }
    }
}

/// Whether the kernel tells of all changes there. Elsewhere others make them, or nobody says so.
fn tells(file_system: FileSystem) -> bool {
    use FileSystem::{Cgroup, Proc, Sysfs};
    !file_system.is_network_or_fuse() && !matches!(file_system, Proc | Sysfs | Cgroup)
}

fn say_refused(error: &io::Error) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            %error,
            "inotify(7) is refused for some files: they are looked at every second while they are waited for \
             (fs.inotify.max_user_watches and max_user_instances; ENOENT: /proc is not mounted)"
        );
    }
}

fn say_untold(file_system: FileSystem) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        let on = file_system.name();
        tracing::info!(
            "files on {on} are looked at every second while they are waited for: inotify(7) does not see all changes there"
        );
    }
}
