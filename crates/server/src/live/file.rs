//! A file that is followed: looked at once per change, and read once for all followers that are equally far.

use super::{
    Live,
    verdict::{self, Name, Path, Seen, State, Verdict, Writers},
    watch::{Counts, Watch, What},
};
use bytes::Bytes;
use sendrail_files::{Found, OpenError, OpenFile};
use sendrail_http::live::{CHUNK_END, Ending, write_chunk_head};
use sendrail_sys::{
    Stat, fstat, is_open_for_writing,
    pread::{ReadFlags, preadv2},
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    future::pending,
    io,
    os::fd::AsFd,
    pin::pin,
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::Notify, task::AbortHandle};

/// What followers must have in common to share a file: the inode, and the name that it may lose.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    device: u64,
    inode: u64,
    path: Arc<[u8]>,
}

impl Key {
    pub(super) fn of(file: &OpenFile, path: &[u8]) -> Self {
        let facts = file.facts();
        Self { device: facts.device, inode: facts.inode, path: path.into() }
    }
}

/// What all followers of a file share. The watch ends with the last of them.
#[derive(Debug)]
pub(crate) struct LiveFile {
    file: OpenFile,
    key: Key,
    state: Cell<State>,
    changed: Notify,
    frames: RefCell<[Option<Frame>; FRAMES]>,
    keeper: OnceCell<AbortHandle>,
    live: Weak<Live>,
}

/// Pieces kept for followers that are equally far. Most are at the end of the file; those that are not are few, or far.
const FRAMES: usize = 4;

/// A piece of the file, framed as a chunk.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    from: u64,
    to: u64,
    head: usize,
    bytes: Bytes,
}

impl Frame {
    /// The chunk, as all of it goes out.
    pub(crate) fn chunk(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The bytes alone.
    pub(crate) fn content(&self) -> Bytes {
        self.bytes.slice(self.head..self.bytes.len() - CHUNK_END.len())
    }
}

impl LiveFile {
    /// Begins to watch a file.
    pub(super) fn begin(live: &Rc<Live>, file: &OpenFile, key: &Key) -> Rc<Self> {
        let facts = file.facts();
        let inode = (facts.device, facts.inode);
        let watch = live.watches.watch(What::File, file.as_fd(), inode, facts.file_system);
        let counts = watch.counts();
        // Only now, so that nothing is missed in between.
        let now = if is_local(file) { fstat(file.as_fd()).ok() } else { None };
        let len = now.map_or(facts.len, |now| now.len);
        let new = Rc::new(Self {
            file: file.clone(),
            key: key.clone(),
            state: Cell::new(State { len, over: None }),
            changed: Notify::new(),
            frames: RefCell::default(),
            keeper: OnceCell::new(),
            live: Rc::downgrade(live),
        });
        let modified = now.map_or(facts.modified, |now| now.modified);
        let modified = Duration::new(modified.seconds.max(0) as u64, modified.nanoseconds);
        let quiet = SystemTime::now().duration_since(UNIX_EPOCH + modified).unwrap_or_default();
        let keeper = Keeper {
            file: Rc::downgrade(&new),
            live: Rc::clone(live),
            watch,
            seen: Counts { names: u64::MAX, ..counts },
            moved_before: counts.moved,
            closed_before: counts.closed,
            quiet_before: quiet,
            began: Instant::now(),
            changed_at: None,
            lost_at: None,
            name: Name::Kept,
            asked_again: 0,
        };
        let keeper = tokio::task::spawn_local(keeper.keep()).abort_handle();
        new.keeper.get_or_init(|| keeper);
        new
    }

    /// What it is for its followers.
    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    pub(super) fn is_over(&self) -> bool {
        self.state.get().over.is_some()
    }

    /// Waits until the state may be another. Who has looked at it in the same turn of the event loop misses nothing.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The open file.
    pub(crate) fn open(&self) -> &OpenFile {
        &self.file
    }

    /// The bytes from one offset to another as a chunk in memory, if they are few, and in the page cache. Says what it took
    /// to read them; nothing, if somebody else has.
    pub(crate) fn frame(&self, from: u64, to: u64) -> Option<(Frame, Option<u64>)> {
        let live = self.live.upgrade()?;
        if to - from > live.shared {
            return None;
        }
        let mut frames = self.frames.borrow_mut();
        let known = frames.iter().flatten().find(|frame| (frame.from, frame.to) == (from, to));
        if let Some(known) = known {
            return Some((known.clone(), None));
        }
        let len = (to - from) as usize;
        let mut bytes = Vec::with_capacity(len + 24);
        write_chunk_head(&mut bytes, len as u64);
        let head = bytes.len();
        bytes.resize(head + len, 0);
        let flags = ReadFlags { nowait: true, ..ReadFlags::default() };
        // Whatever is out of the ordinary is met again by the engine, which has a name for it.
        let read = preadv2(self.file.as_fd(), &mut bytes[head..], from, flags).ok()?;
        if read < len {
            return None;
        }
        bytes.extend_from_slice(CHUNK_END);
        let frame = Frame { from, to, head, bytes: bytes.into() };
        frames.rotate_right(1);
        frames[0] = Some(frame.clone());
        Some((frame, Some(len as u64)))
    }

    fn set(&self, state: State) {
        self.state.set(state);
        self.changed.notify_waiters();
    }
}

impl Drop for LiveFile {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
        if let Some(live) = self.live.upgrade() {
            live.forget(&self.key);
        }
    }
}

/// A file system that lies elsewhere may take its time to answer.
fn is_local(file: &OpenFile) -> bool {
    !file.facts().file_system.is_network_or_fuse()
}

/// Looks at the file for its followers, whenever something has happened to it.
struct Keeper {
    file: Weak<LiveFile>,
    live: Rc<Live>,
    watch: Rc<Watch>,
    /// What had happened when it was looked at last.
    seen: Counts,
    /// What had happened before anybody followed.
    moved_before: u64,
    /// What had happened when it changed last.
    closed_before: u64,
    /// For how long it had not changed then.
    quiet_before: Duration,
    began: Instant,
    changed_at: Option<Instant>,
    lost_at: Option<Instant>,
    name: Name,
    /// How often the kernel has been asked who writes since it was closed last.
    asked_again: usize,
}

/// Who has closed a file is still counted as a writer for a moment, in which nothing else is told: so it is asked again.
const ASK_AGAIN: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_secs(1), Duration::from_secs(10)];

/// When a disk thread is to be had again, where there was none.
const LATER: Duration = Duration::from_secs(1);

impl Keeper {
    async fn keep(mut self) {
        loop {
            let counts = self.watch.counts();
            let judged = self.look(counts).await;
            let Some(verdict) = judged else { return };
            self.seen = counts;
            let pause = match verdict {
                Verdict::Over(ending) => {
                    if let Some(file) = self.file.upgrade() {
                        file.set(State { over: Some(ending), ..file.state() });
                    }
                    return;
                }
                Verdict::After(pause) => Some(pause),
                Verdict::Open => None,
            };
            let pause = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = self.watch.changed(counts.any) => {}
                () = pause => {}
            }
        }
    }

    /// Looks at the file and judges it. Nothing, if nobody follows it any more, or it is over.
    async fn look(&mut self, counts: Counts) -> Option<Verdict> {
        let file = self.file.upgrade()?;
        let now = match self.stat(&file).await {
            Ok(now) => now,
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                return Some(Verdict::After(LATER));
            }
            // ESTALE, EIO, ENOTCONN: what it lies on has gone.
            Err(_) => {
                file.set(State { over: Some(Ending::Removed), ..file.state() });
                return None;
            }
        };
        self.take(&file, &now, counts)?;
        if counts.names != self.seen.names {
            self.find_name(&file, counts).await?;
        }
        let instant = Instant::now();
        let since = |at: Instant| instant.saturating_duration_since(at);
        let seen = Seen {
            name: self.name,
            quiet: self.changed_at.map_or(self.quiet_before + since(self.began), since),
            watched: since(self.changed_at.max(self.lost_at).unwrap_or(self.began)),
            closed: counts.closed != self.closed_before,
        };
        let finished_after = self.live.rules.finished_after;
        let due = verdict::due(&seen, finished_after);
        if !due.is_zero() {
            return Some(Verdict::After(due));
        }
        let verdict = verdict::verdict(&seen, writers(&file), finished_after);
        match verdict {
            // What has been done to it since it was looked at may not have been told yet: something was written, and then
            // it was closed; or it was renamed.
            Verdict::Over(_) => {
                let before = (file.state(), self.name);
                self.find_name(&file, counts).await?;
                let the_same = (file.state(), self.name) == before && self.watch.counts() == counts;
                Some(if the_same { verdict } else { Verdict::After(Duration::ZERO) })
            }
            Verdict::Open if self.watch.is_blind() => Some(Verdict::Open), // it is looked at anyway
            Verdict::Open => {
                if counts.closed != self.seen.closed {
                    self.asked_again = 0;
                }
                let again = ASK_AGAIN.get(self.asked_again).filter(|_| seen.closed);
                self.asked_again += 1;
                Some(again.map_or(Verdict::Open, |pause| Verdict::After(*pause)))
            }
            Verdict::After(_) => Some(verdict),
        }
    }

    /// Takes down what `fstat(2)` has said. Nothing, if the file is over by that.
    fn take(&mut self, file: &LiveFile, now: &Stat, counts: Counts) -> Option<()> {
        let State { len, .. } = file.state();
        if now.len < len {
            file.set(State { len, over: Some(Ending::Truncated) });
            return None;
        }
        if now.len > len {
            self.changed_at = Some(Instant::now());
            // What was closed before this look, was closed before these bytes came, or after: that cannot be told here.
            self.closed_before =
                if counts.closed > self.seen.closed { self.seen.closed } else { counts.closed };
            file.set(State { len: now.len, over: None });
        }
        Some(())
    }

    async fn stat(&self, file: &LiveFile) -> io::Result<Stat> {
        if is_local(&file.file) {
            return fstat(file.file.as_fd());
        }
        let open = file.file.clone();
        let looked = self.live.in_pool(file.key.device, move || fstat(open.as_fd())).await;
        looked.unwrap_or_else(|| Err(io::ErrorKind::ResourceBusy.into()))
    }

    /// Finds out what has become of its name. Nothing, if the file is over by what has come meanwhile.
    async fn find_name(&mut self, file: &LiveFile, counts: Counts) -> Option<()> {
        let path = self.path(file, counts).await?;
        // How many names it has is asked for after that, so that what takes one away is seen by one or the other.
        let Ok(now) = self.stat(file).await else { return Some(()) };
        self.take(file, &now, counts)?;
        self.name = verdict::name(path, now.links, counts.moved != self.moved_before);
        if self.name != Name::Kept {
            self.lost_at.get_or_insert_with(Instant::now);
        }
        Some(())
    }

    /// What the path leads to by which the file was found. That may take a disk its time, in which the followers are not
    /// held up. Nothing, if the file is over by what has come meanwhile.
    async fn path(&mut self, file: &LiveFile, counts: Counts) -> Option<Path> {
        let live = Rc::clone(&self.live);
        let mut path = pin!(where_it_leads(&live, &file.key));
        let mut told = counts.any;
        loop {
            tokio::select! {
                path = &mut path => return Some(path),
                () = self.watch.changed(told) => {}
            }
            told = self.watch.counts().any;
            if let Ok(now) = self.stat(file).await {
                self.take(file, &now, counts)?;
            }
        }
    }
}

async fn where_it_leads(live: &Live, key: &Key) -> Path {
    let root = live.ground.root();
    let Key { device, inode, path } = key.clone();
    let look = move || match root.find(&path) {
        Ok(Found::File(there)) => {
            let facts = there.facts();
            if (facts.device, facts.inode) == (device, inode) { Path::Same } else { Path::Other }
        }
        Ok(Found::Directory(_)) | Err(OpenError::NotAFile { .. }) => Path::Other,
        Err(OpenError::NotFound | OpenError::Forbidden { .. }) => Path::Nothing,
        // No descriptor left, or a disk that does not answer: nothing is known to have changed.
        Err(_) => Path::Same,
    };
    // Without an answer neither.
    live.in_pool(device, look).await.unwrap_or(Path::Same)
}

fn writers(file: &LiveFile) -> Writers {
    // A file system that lies elsewhere has no leases, or waits for another machine to give one.
    if !is_local(&file.file) {
        return Writers::Unknown;
    }
    match is_open_for_writing(file.file.as_fd()) {
        Ok(true) => Writers::Some,
        Ok(false) => Writers::None,
        Err(_) => Writers::Unknown,
    }
}
