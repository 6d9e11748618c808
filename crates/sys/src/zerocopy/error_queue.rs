//! The socket's error queue, where the kernel reports which zero-copy sends it is done with.
#![allow(unsafe_code)] // rustix cannot parse these control messages

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::raw;

/// `SO_EE_ORIGIN_ZEROCOPY` of linux/errqueue.h, which libc does not declare.
const ORIGIN_ZEROCOPY: u8 = 5;
/// `SO_EE_CODE_ZEROCOPY_COPIED`: the kernel made a copy after all.
const CODE_COPIED: u8 = 1;
/// Room for `struct sock_extended_err`, the address that may follow it, and their header.
const CONTROL: usize = 128;

/// The kernel's word that the sends `first..=last`, counted from 0 and wrapping, are done with.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) copied: bool,
}

/// Takes one message off the error queue: `None` if it is about something else, `EAGAIN` if there is none.
pub(super) fn read(socket: BorrowedFd<'_>) -> io::Result<Option<Report>> {
    // As u64, so that it is aligned for the header that the kernel puts there.
    let mut control = [0_u64; CONTROL / 8];
    // SAFETY: all-zero is a valid `msghdr`: null pointers with lengths of 0.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CONTROL as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the control buffer lives across the call and is as long as said; there is no other buffer.
    raw::count(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) })?;

    // SAFETY: the kernel filled in `message`, whose control buffer is still alive and has not moved.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: the macros return only headers that lie within the buffer, and the buffer is aligned for them.
        let (level, kind, len) =
            unsafe { ((*header).cmsg_level, (*header).cmsg_type, (*header).cmsg_len as usize) };
        let about_errors = matches!(
            (level, kind),
            (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR)
        );
        // SAFETY: computes a length.
        let whole = unsafe { libc::CMSG_LEN(size_of::<libc::sock_extended_err>() as u32) } as usize;
        if about_errors && len >= whole {
            // SAFETY: the message is long enough to hold the structure, any bits are a valid one, and `read_unaligned`
            // asks for no alignment.
            let error: libc::sock_extended_err = unsafe {
                libc::CMSG_DATA(header).cast::<libc::sock_extended_err>().read_unaligned()
            };
            if error.ee_origin == ORIGIN_ZEROCOPY && error.ee_errno == 0 {
                return Ok(Some(Report {
                    first: error.ee_info,
                    last: error.ee_data,
                    copied: error.ee_code & CODE_COPIED != 0,
                }));
            }
        }
        // SAFETY: as for the first header.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok(None)
}
