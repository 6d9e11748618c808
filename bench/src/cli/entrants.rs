//! Who takes part in a run: the subject, and those of the others that are wanted.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::Arguments;
use crate::arena::Entrant;
use crate::case::Discipline;
use crate::peer::{self, Peer};
use crate::report::Role;

/// The Sendrail binary.
pub(super) fn sendrail(arguments: &Arguments) -> Result<PathBuf> {
    arguments.server_binary.canonicalize().with_context(|| {
        let shown = arguments.server_binary.display();
        format!("no Sendrail at {shown} (cargo build --release, or say where with --server-binary)")
    })
}

/// The subject first.
pub(super) fn of(
    arguments: &Arguments,
    discipline: Discipline,
    cold: bool,
) -> Result<Vec<Entrant>> {
    match discipline {
        Discipline::Files => of_files(arguments, cold),
        Discipline::Live => {
            let server = peer::Sendrail::at(sendrail(arguments)?);
            Ok(vec![entrant(Role::Subject, Box::new(server))])
        }
        Discipline::Uploads => {
            let binary = sendrail(arguments)?;
            let [plain, synced] = peer::Sendrail::for_uploads(&binary);
            let ours = vec![
                entrant(Role::Subject, Box::new(plain)),
                entrant(Role::Variant, Box::new(synced)),
            ];
            beside(ours, peer::of_uploads(&arguments.built_peers), &arguments.peers)
        }
        Discipline::Segments => {
            let shown = arguments.broker_binary.display();
            let binary = arguments.broker_binary.canonicalize().with_context(|| {
                format!(
                    "no broker at {shown} (cargo build --release -p sendrail-segment-log --all-features --examples, or \
                     say where with --broker-binary)"
                )
            })?;
            let broker = entrant(Role::Subject, Box::new(peer::Broker::at(binary)));
            beside(vec![broker], peer::of_segments(), &arguments.peers)
        }
    }
}

fn entrant(role: Role, peer: Box<dyn Peer>) -> Entrant {
    Entrant { role, peer }
}

/// Ours, and those of the others that are wanted: all, if none is named.
fn beside(
    mut entrants: Vec<Entrant>,
    others: Vec<Box<dyn Peer>>,
    wanted: &[String],
) -> Result<Vec<Entrant>> {
    known(&others, wanted)?;
    for peer in others {
        if wanted.is_empty() || wanted.iter().any(|name| name == peer.name()) {
            entrants.push(entrant(Role::Peer, peer));
        }
    }
    Ok(entrants)
}

fn known(others: &[Box<dyn Peer>], wanted: &[String]) -> Result<()> {
    let known: Vec<&str> = others.iter().map(|peer| peer.name()).collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no peer {unknown:?} here; there are {}", known.join(", "));
    }
    Ok(())
}

fn of_files(arguments: &Arguments, cold: bool) -> Result<Vec<Entrant>> {
    if arguments.self_check {
        return Ok(vec![
            entrant(Role::Subject, Box::new(peer::Nginx::named("nginx-a"))),
            entrant(Role::Peer, Box::new(peer::Nginx::named("nginx-b"))),
        ]);
    }
    let binary = sendrail(arguments)?;
    let mut entrants = vec![entrant(Role::Subject, Box::new(peer::Sendrail::at(binary.clone())))];
    for typed in &arguments.variant {
        let variant = peer::Sendrail::variant(binary.clone(), typed)?;
        entrants.push(entrant(Role::Peer, Box::new(variant)));
    }
    let others = peer::others(&arguments.built_peers);
    known(&others, &arguments.peers)?;
    let named = |peer: &dyn Peer| arguments.peers.iter().any(|name| name == peer.name());
    if let Some(peer) = others.iter().find(|peer| peer.for_cold_files() && named(peer.as_ref()))
        && !cold
    {
        bail!("{} takes part in the cold cases alone", peer.name());
    }
    let wanted = |peer: &dyn Peer| {
        let unnamed = arguments.peers.is_empty() && !peer.is_floor();
        (cold || !peer.for_cold_files()) && (unnamed || named(peer))
    };
    for peer in others.into_iter().filter(|peer| wanted(peer.as_ref())) {
        let role = if peer.is_floor() { Role::Floor } else { Role::Peer };
        entrants.push(entrant(role, peer));
    }
    if arguments.floor {
        entrants.push(entrant(Role::Floor, Box::new(peer::Floor)));
    }
    Ok(entrants)
}
