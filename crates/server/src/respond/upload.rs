//! What a request that brings something asks for, from its head alone; and the answer to it, rendered.

use super::{
    Site,
    file::SERVER,
    reply::{Cost, Reply, Source},
};
use crate::uploads::{
    UNFINISHED, Uploads,
    answer::{To, unauthorized},
    arriving::{Arriving, What},
};
use sendrail_files::UploadId;
use sendrail_http::{
    head::{Framing, Head, Method},
    render::Envelope,
    status::Status,
    target::{PathTarget, Target, resolve},
    upload::{self, Ask, Fields, Interop, ask, file_name},
};
use sendrail_transfer::Chain;

/// Methods that are answered where files may arrive.
const ALLOW: &str = "GET, HEAD, OPTIONS, PUT, POST";
/// Methods that are answered where they may not.
const ALLOW_READING: &str = Method::ALLOW;

impl Site {
    /// The reply to a request that brings something, or that is about an upload: one that has to be prepared. `None`: it is neither, or
    /// nothing is taken here.
    pub(super) fn arriving(&self, head: &Head<'_>, bytes: &[u8], persist: bool) -> Option<Reply> {
        let uploads = self.config.uploads.as_ref()?;
        let brings = matches!(head.method, Method::Known("PUT" | "POST" | "PATCH" | "DELETE"));
        if !brings && !names_unfinished(head) {
            return None;
        }
        let fields = Fields::read(head.raw);
        let interop = fields.as_ref().ok().and_then(|fields| fields.interop);
        let refuse = |status, why| Err(Box::new(upload::Reply::error(status, why, interop)));
        let mut user = None;
        let what = match &fields {
            Err(refusal) => refuse(refusal.status, refusal.why),
            Ok(fields) => match resolve(&head.method, head.target) {
                Err(refusal) => refuse(refusal.status, refusal.why),
                Ok(Target::Server) => return None,
                Ok(Target::Path(target)) => match uploads.below(&target.path) {
                    None => Err(Box::new(not_allowed(ALLOW_READING, interop))),
                    Some(below) => match uploads.who(fields.authorization) {
                        Err(()) => Err(Box::new(unauthorized(interop))),
                        Ok(who) => {
                            user = who;
                            what(uploads, head, bytes, fields, &target, below)
                        }
                    },
                },
            },
        };
        let arriving = Arriving {
            what: what.unwrap_or_else(What::Refused),
            framing: head.framing,
            expects: head.expect_continue,
            user,
            to: To {
                version: head.version,
                head_only: head.method == Method::Head,
                persist,
                interop,
            },
        };
        Some(Reply {
            // What the log says if nobody waits for the answer.
            status: Status::BAD_REQUEST,
            head_len: 0,
            source: Source::Upload(Box::new(arriving)),
            cost: Cost::default(),
            device: 0,
            record: None,
        })
    }

    /// The answer, in memory of its own.
    pub(crate) fn uploaded(&mut self, said: &upload::Reply, to: To, persist: bool) -> Reply {
        self.clock.tick(); // the sender may have taken its time
        let envelope = Envelope {
            date: self.clock.date(),
            server: Some(SERVER),
            keep_alive: persist,
            version: to.version,
        };
        self.scratch.clear();
        said.write(&mut self.scratch, to.head_only, &envelope);
        let end = self.scratch.windows(4).position(|four| four == b"\r\n\r\n");
        let mut reply = Reply {
            status: said.status,
            head_len: end.map_or(self.scratch.len(), |end| end + 4) as u64,
            source: Source::Scratch(Chain::new()),
            cost: Cost::default(),
            device: 0,
            record: None,
        };
        self.keep(&mut reply);
        reply
    }

    /// What OPTIONS and 405 say that can be done with a target.
    pub(super) fn allowed(&self, target: &Target<'_>) -> Vec<(&'static str, String)> {
        let Some(uploads) = &self.config.uploads else {
            return vec![("Allow", ALLOW_READING.to_owned())];
        };
        let takes = match target {
            // All of what is here takes them, or not all.
            Target::Server => uploads.prefix.is_empty(),
            Target::Path(target) => uploads.below(&target.path).is_some(),
        };
        if !takes {
            return vec![("Allow", ALLOW_READING.to_owned())];
        }
        vec![
            ("Allow", ALLOW.to_owned()),
            ("Accept-Patch", upload::PARTIAL_UPLOAD.to_owned()),
            ("Upload-Limit", uploads.limits().to_string()),
        ]
    }
}

/// Whether a target may be that of an upload. One that only is when its escapes have been undone is not: nobody was told of it so.
fn names_unfinished(head: &Head<'_>) -> bool {
    const NAME: &[u8] = b"/.uploads/";
    head.target.windows(NAME.len()).any(|part| part == NAME)
}

fn what(
    uploads: &Uploads,
    head: &Head<'_>,
    bytes: &[u8],
    fields: &Fields<'_>,
    target: &PathTarget<'_>,
    below: &[u8],
) -> Result<What, Box<upload::Reply>> {
    let interop = fields.interop;
    let refuse = |status, why| Err(Box::new(upload::Reply::error(status, why, interop)));
    if let Some(rest) = below.strip_prefix(UNFINISHED)
        && matches!(rest, [] | [b'/', ..])
    {
        return match rest.get(1..).and_then(UploadId::parse) {
            Some(id) => Ok(What::Resource(id, bytes.into())),
            None => refuse(Status::NOT_FOUND, "there is no such upload"),
        };
    }
    if !matches!(head.method, Method::Known("PUT" | "POST")) {
        return Err(Box::new(not_allowed(ALLOW, interop)));
    }
    // Any page can have a browser POST something elsewhere, with the user's credentials; but not PUT, and not with this field, without
    // asking (https://fetch.spec.whatwg.org/#http-cors-protocol), which is not granted.
    if head.method == Method::Known("POST") && fields.complete.is_none() {
        let why =
            "POST begins a resumable upload, and Upload-Complete is missing: PUT stores a file";
        return refuse(Status::BAD_REQUEST, why);
    }
    let mut path = below.to_vec();
    if target.directory {
        // A form's way to say where it goes: a directory, and a name.
        let name = fields.content_disposition.and_then(file_name);
        match name.filter(|_| head.method == Method::Known("POST")) {
            Some(name) => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(name.as_bytes());
            }
            None => return refuse(Status::CONFLICT, "a directory has this address"),
        }
    }
    // An empty file has a length; who says nothing of one has forgotten his file.
    if head.framing == Framing::None && !says_length(head) && fields.complete.is_none() {
        return refuse(Status::LENGTH_REQUIRED, "Content-Length is missing");
    }
    match ask(head, fields, &uploads.limits())? {
        Ask::Store(store) => Ok(What::Store(path, store)),
        Ask::Create(create) => Ok(What::Create(path, create)),
    }
}

/// Whether there is a Content-Length, which may be 0.
fn says_length(head: &Head<'_>) -> bool {
    const NAME: &[u8] = b"\ncontent-length:";
    head.raw.windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME))
}

fn not_allowed(allow: &'static str, interop: Option<Interop>) -> upload::Reply {
    let why = if allow == ALLOW {
        "files are read and stored here, and nothing else"
    } else {
        "files are only read here"
    };
    let mut reply = upload::Reply::error(Status::METHOD_NOT_ALLOWED, why, interop);
    reply.allow = Some(allow);
    reply
}
