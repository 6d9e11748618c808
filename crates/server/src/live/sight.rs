//! What a client that waits has to keep an eye on: the file, if it is there, and its name in the nearest directory that is.

use super::watch::{Name, Watch, Watches, What};
use sendrail_files::{Directory, Found, OpenError, OpenFile, Root};
use std::{future::poll_fn, os::fd::AsFd, pin::pin, rc::Rc, task::Poll};

/// Where what a client waits for is, or would be.
#[derive(Debug)]
pub(crate) struct Places {
    file: Option<OpenFile>,
    directory: Directory,
    name: Box<[u8]>,
}

impl Places {
    /// Finds them. Waits for the disk. Nothing, if there is nothing to wait for.
    pub(crate) fn find(root: &Root, path: &[u8], index: &[String]) -> Option<Self> {
        match root.find(path) {
            Ok(Found::File(file)) => Self::beside(root, path, Some(file)),
            Ok(Found::Directory(directory)) => {
                // As it is answered: by the first index file that is there, or the first that may come.
                let joined = |name: &String| [path, b"/", name.as_bytes()].concat();
                let joined = |name: &String| match path {
                    [] => name.clone().into_bytes(),
                    _ => joined(name),
                };
                let there = index.iter().find_map(|name| match root.find(&joined(name)) {
                    Ok(Found::File(file)) => Some((name, file)),
                    _ => None,
                });
                let (name, file) = match there {
                    Some((name, file)) => (name, Some(file)),
                    None => (index.first()?, None),
                };
                Some(Self { file, directory, name: name.as_bytes().into() })
            }
            Err(OpenError::NotFound) => Self::beside(root, path, None),
            Err(_) => None,
        }
    }

    /// The name of `path`, or of the first directory above it that is not there either.
    fn beside(root: &Root, path: &[u8], file: Option<OpenFile>) -> Option<Self> {
        let mut path = path;
        loop {
            let (parent, name) = match path.iter().rposition(|&byte| byte == b'/') {
                Some(slash) => (&path[..slash], &path[slash + 1..]),
                None => (&path[..0], path),
            };
            match root.find(parent) {
                Ok(Found::Directory(directory)) => {
                    return Some(Self { file, directory, name: name.into() });
                }
                Err(OpenError::NotFound) if !parent.is_empty() => path = parent,
                _ => return None,
            }
        }
    }
}

/// What is watched for one client, and how much had happened there when it was looked at.
#[derive(Debug)]
pub(crate) struct Sight {
    file: Option<(Rc<Watch>, u64)>,
    name: (Rc<Name>, u64),
}

impl Sight {
    pub(super) fn of(watches: &Rc<Watches>, places: &Places) -> Self {
        let file = places.file.as_ref().map(|file| {
            let facts = file.facts();
            let inode = (facts.device, facts.inode);
            let watch = watches.watch(What::File, file.as_fd(), inode, facts.file_system);
            let count = watch.counts().any;
            (watch, count)
        });
        let facts = places.directory.facts();
        let inode = (facts.device, facts.inode);
        let directory =
            watches.watch(What::Directory, places.directory.as_fd(), inode, facts.file_system);
        let name = directory.name(&places.name);
        let count = name.count();
        Self { file, name: (name, count) }
    }

    /// Waits until something has happened there since this was made.
    pub(crate) async fn changed(&self) {
        let (name, count) = &self.name;
        let mut name = pin!(name.changed(*count));
        let mut file = pin!(async {
            match &self.file {
                Some((watch, count)) => watch.changed(*count).await,
                None => std::future::pending().await,
            }
        });
        poll_fn(|context| {
            if name.as_mut().poll(context).is_ready() || file.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }
}
