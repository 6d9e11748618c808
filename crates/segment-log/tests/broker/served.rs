//! A broker in a thread of its own.

use crate::common::*;
use sendrail_segment_log::{
    Client, Log, Options,
    broker::{ServeOptions, Stats, serve_counted},
};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot};

pub(crate) struct Served {
    pub(crate) log: Arc<Log>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub(crate) fn begin(options: Options, serve: ServeOptions) -> Self {
        let folder = folder();
        let log = Arc::new(Log::open(folder.path(), options).unwrap());
        let stats = Arc::new(Stats::default());
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let (its_log, its_stats) = (Arc::clone(&log), Arc::clone(&stats));
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    ended = serve_counted(listener, its_log, serve, its_stats) => match ended.unwrap() {},
                    _ = stopped => {}
                }
            });
        });
        let address = told.recv().unwrap();
        Self { log, stats, address, folder, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn with(options: Options) -> Self {
        Self::begin(options, ServeOptions::default())
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address).unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}
