//! Turns beside a model that is as simple as it is slow: lists that are searched.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Act {
    Push { device: u64, client: u64 },
    Start,
    Finish(prop::sample::Index),
    Again(prop::sample::Index),
    Withdraw(prop::sample::Index),
}

fn act() -> impl Strategy<Value = Act> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (0..40_u64, 0..4_u64).prop_map(|(device, client)| Act::Push { device, client }),
        // One that is much in demand.
        2 => (0..4_u64).prop_map(|client| Act::Push { device: 0, client }),
        6 => Just(Act::Start),
        1 => index().prop_map(Act::Finish),
        1 => index().prop_map(Act::Again),
        1 => index().prop_map(Act::Withdraw),
    ]
}

/// What has been asked for and not yet ended, in the order of asking.
#[derive(Default)]
struct Model {
    waiting: Vec<(u64, Whose)>,
    begun: Vec<(u64, Whose)>,
    /// How often one client of a device has been given a turn while another waited for its own.
    overtaken: HashMap<(Whose, u64), u32>,
}

impl Model {
    fn begun_on(&self, device: u64) -> usize {
        self.begun.iter().filter(|(_, whose)| whose.device == device).count()
    }

    fn somebody_waits_for(&self, device: u64) -> bool {
        self.waiting.iter().any(|(_, whose)| whose.device == device)
    }

    fn may_begin(&self, device: u64, limits: Limits) -> bool {
        let (all, here) = (self.begun.len(), self.begun_on(device));
        let another = here < limits.per_device && all < limits.shared();
        self.somebody_waits_for(device) && (another || (here == 0 && all < limits.threads()))
    }

    fn begin(&mut self, id: u64, whose: Whose, limits: Limits) {
        assert!(self.may_begin(whose.device, limits), "beyond a limit");
        let of_client = |(_, other): &&(u64, Whose)| *other == whose;
        assert_eq!(self.waiting.iter().find(of_client).unwrap().0, id, "a client's jobs in order");
        self.waiting.retain(|(waiting, _)| *waiting != id);
        self.overtaken.retain(|(waiter, _), _| *waiter != whose);
        let others = self.waiting.iter().map(|(_, other)| *other);
        let others: std::collections::HashSet<Whose> =
            others.filter(|other| other.device == whose.device && *other != whose).collect();
        for other in others {
            let times = self.overtaken.entry((other, whose.client)).or_default();
            *times += 1;
            assert!(*times <= 1, "{other:?} waits while {} goes twice", whose.client);
        }
        self.begun.push((id, whose));
    }

    fn withdraw(&mut self, id: u64, whose: Whose) {
        self.waiting.retain(|(waiting, _)| *waiting != id);
        if !self.waiting.iter().any(|(_, other)| *other == whose) {
            self.overtaken.retain(|(waiter, _), _| *waiter != whose);
        }
    }
}

fn check(turns: &Turns<u64>, model: &Model) {
    assert_eq!(turns.counts(), (model.waiting.len(), model.begun.len()));
    for device in 0..40 {
        let crowded = !model.waiting.is_empty() && model.begun.len() >= turns.limits().shared();
        let expected = crowded || model.somebody_waits_for(device);
        assert_eq!(turns.others_wait(device), expected, "device {device}");
    }
    for (id, whose) in &model.waiting {
        assert!(matches!(turns.stand(*id, *whose), Stand::Waits { .. }));
    }
    for (id, whose) in &model.begun {
        assert!(matches!(turns.stand(*id, *whose), Stand::Begun { .. }));
    }
    let known: std::collections::HashSet<u64> =
        model.waiting.iter().chain(&model.begun).map(|(_, whose)| whose.device).collect();
    assert_eq!(turns.devices.len(), known.len(), "a device that nobody wants is forgotten");
}

proptest! {
    #[test]
    fn limits_hold_and_clients_take_turns(
        acts in prop::collection::vec(act(), 0..300),
        per_device in 0..4_usize,
        queue in prop_oneof![Just(20_usize), Just(1000)],
    ) {
        let mut turns = Turns::new(Limits { per_device, queue });
        let limits = *turns.limits();
        let mut model = Model::default();
        let mut jobs: HashMap<u64, u64> = HashMap::new(); // of those that have begun
        let mut pushed = 0;
        for act in acts {
            match act {
                Act::Push { device, client } => {
                    let whose = Whose { device, client };
                    let full = model.waiting.len() >= limits.queue;
                    match turns.push(whose, pushed) {
                        Ok(id) => {
                            assert!(!full);
                            assert_eq!(id, pushed);
                            model.waiting.push((id, whose));
                            pushed += 1;
                        }
                        Err(job) => assert!(full && job == pushed),
                    }
                }
                Act::Start => match turns.start() {
                    Some(Started { id, whose, job }) => {
                        assert_eq!(job, id, "the job that belongs to the number");
                        model.begin(id, whose, limits);
                        jobs.insert(id, job);
                    }
                    None => assert!((0..40).all(|device| !model.may_begin(device, limits))),
                },
                Act::Finish(index) if !model.begun.is_empty() => {
                    let (id, whose) = model.begun.remove(index.index(model.begun.len()));
                    turns.finish(id, whose);
                    assert_eq!(turns.stand(id, whose), Stand::Over);
                }
                Act::Again(index) if !model.begun.is_empty() => {
                    let (id, whose) = model.begun.remove(index.index(model.begun.len()));
                    turns.again(Started { id, whose, job: jobs[&id] });
                    model.waiting.push((id, whose));
                }
                Act::Withdraw(index) if !model.waiting.is_empty() => {
                    let (id, whose) = model.waiting[index.index(model.waiting.len())];
                    assert_eq!(turns.withdraw(id, whose), Some(id));
                    assert_eq!(turns.withdraw(id, whose), None);
                    model.withdraw(id, whose);
                }
                Act::Finish(_) | Act::Again(_) | Act::Withdraw(_) => {}
            }
            check(&turns, &model);
        }
        // Whoever is left gets a turn: nobody starves, nothing is lost.
        let mut left = model.waiting.len();
        loop {
            while let Some(Started { id, whose, .. }) = turns.start() {
                model.begin(id, whose, limits);
                left -= 1;
            }
            let Some((id, whose)) = model.begun.pop() else { break };
            turns.finish(id, whose);
            check(&turns, &model);
        }
        assert_eq!(left, 0);
        assert!(turns.without.is_empty() && turns.with_some.is_empty());
    }
}

fn whose(device: u64, client: u64) -> Whose {
    Whose { device, client }
}

fn started(turns: &mut Turns<&'static str>) -> Option<&'static str> {
    turns.start().map(|started| started.job)
}

#[test]
fn a_client_with_many_connections_does_not_keep_one_with_one_waiting() {
    let mut turns = Turns::new(Limits { per_device: 1, ..Limits::default() });
    for job in ["a1", "a2", "a3"] {
        turns.push(whose(1, 100), job).unwrap();
    }
    let first = turns.start().unwrap();
    turns.push(whose(1, 200), "b1").unwrap();
    assert!(turns.start().is_none(), "one at a time");
    turns.again(first);
    let order: Vec<_> = std::iter::from_fn(|| {
        let next = turns.start()?;
        turns.finish(next.id, next.whose);
        Some(next.job)
    })
    .collect();
    assert_eq!(order, ["a2", "b1", "a3", "a1"]);
}

#[test]
fn dead_disks_leave_threads_to_those_that_live() {
    let limits = Limits { per_device: 4, ..Limits::default() };
    let mut turns = Turns::new(limits);
    // None of these ever ends.
    for device in 0..20 {
        for client in 0..100 {
            turns.push(whose(device, client), "dead").unwrap();
        }
    }
    while started(&mut turns).is_some() {}
    assert_eq!(turns.counts().1, 32, "four on each, as long as there are threads for that");
    turns.push(whose(99, 1), "alive").unwrap();
    assert_eq!(started(&mut turns), Some("alive"));
}

#[test]
fn a_stand_shows_whether_the_disk_has_answered() {
    let mut turns = Turns::new(Limits { per_device: 1, ..Limits::default() });
    let one = whose(1, 1);
    turns.push(one, "first").unwrap();
    let second = turns.push(one, "second").unwrap();
    let first = turns.start().unwrap();
    let (before, waits) = (turns.stand(first.id, one), turns.stand(second, one));
    assert_eq!(turns.stand(first.id, one), before, "nothing has happened");
    let id = first.id;
    turns.again(first);
    assert_ne!(turns.stand(second, one), waits);
    let other = turns.start().unwrap();
    turns.finish(other.id, one);
    let again = turns.start().unwrap();
    assert_eq!(again.id, id);
    assert_ne!(turns.stand(id, one), before, "another turn");
}
