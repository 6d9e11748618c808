//! Stopping: the orders that the main thread gives to the workers, and the signals behind them.

use tokio::sync::watch;

/// What the workers are to do. Orders only ever go up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// Serve.
    Run,
    /// Accept no more, finish what is being sent.
    Drain,
    /// Close what is left.
    Stop,
}

/// The main thread's end.
#[derive(Debug)]
pub(crate) struct Commander(watch::Sender<Order>);

impl Commander {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Order::Run))
    }

    /// Gives an order to all workers.
    pub(crate) fn give(&self, order: Order) {
        self.0.send_replace(order);
    }

    /// A worker's end.
    pub(crate) fn orders(&self) -> Orders {
        Orders(self.0.subscribe())
    }
}

/// A worker's end.
#[derive(Debug, Clone)]
pub(crate) struct Orders(watch::Receiver<Order>);

impl Orders {
    /// Waits until at least this much has been ordered. A commander that is gone has stopped.
    pub(crate) async fn wait_for(&mut self, order: Order) {
        let _ = self.0.wait_for(|given| *given >= order).await;
    }
}
