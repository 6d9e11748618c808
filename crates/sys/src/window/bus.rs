//! The handler of SIGBUS: a page of zeros where a file is shorter than a window of it.
#![allow(unsafe_code)] // a signal handler

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use super::{DAMAGED, SPACE, VACANT};

/// Who minded the signal before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Installs it, once.
pub(super) fn guard() {
    BEFORE.get_or_init(|| {
        let mut action: libc::sigaction = {
            // SAFETY: all zeros are a valid sigaction(2): no flags, no handler, an empty set.
            unsafe { MaybeUninit::zeroed().assume_init() }
        };
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = handle;
        action.sa_sigaction = handler as *const () as usize;
        // On the thread's own signal stack, where it has one.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        let mut before = MaybeUninit::zeroed();
        // SAFETY: both point to a sigaction of the right kind; `handle` does only what a signal handler may, see there.
        unsafe {
            libc::sigaction(libc::SIGBUS, &raw const action, before.as_mut_ptr());
            before.assume_init()
        }
    });
}

/// Called by the kernel, on a thread that has just touched a page that is not there.
///
/// It may do little (signal-safety(7)): here, loads and stores of atomics, and mmap(2), which is a bare system call.
extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo_t, in which SIGBUS has an address.
    let address = unsafe { (*info).si_addr() };
    if is_mended(address) {
        return; // and the thread reads zeros
    }
    let before = BEFORE.get();
    match before.map(|before| (before.sa_sigaction, before.sa_flags)) {
        Some((handler, flags)) if handler != libc::SIG_DFL && handler != libc::SIG_IGN => {
            if flags & libc::SA_SIGINFO != 0 {
                // SAFETY: whoever installed it said that it takes these three.
                let handler = unsafe {
                    std::mem::transmute::<
                        usize,
                        extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void),
                    >(handler)
                };
                handler(signal, info, context);
            } else {
                // SAFETY: whoever installed it said that it takes this one.
                let handler =
                    unsafe { std::mem::transmute::<usize, extern "C" fn(c_int)>(handler) };
                handler(signal);
            }
        }
        // As if this one had not been there: the instruction is tried again, and ends the process.
        _ => {
            // SAFETY: the kernel's own way to deal with it.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}

/// Puts a page of zeros there, if it belongs to a window.
fn is_mended(address: *mut c_void) -> bool {
    let Some(Some(space)) = SPACE.get() else { return false };
    let Some((place, _)) = space.place_of(address as usize) else { return false };
    let state = &space.places[place].state;
    if state.load(Ordering::Acquire) == VACANT {
        return false; // what lies there is not ours
    }
    // First of all: another thread that reads the zeros does not come by here, and asks the moment after.
    state.store(DAMAGED, Ordering::Release);
    let page = crate::limits::page_size();
    let start = (address as usize / page) * page;
    // SAFETY: the page lies in the space of windows, and somebody reads from it, so its window is alive. What is replaced is a page of
    // a file that is not there: nobody loses anything.
    let mapped = unsafe {
        libc::mmap(
            ptr::without_provenance_mut(start),
            page,
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    mapped != libc::MAP_FAILED
}
