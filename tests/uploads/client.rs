//! A client of the draft (draft-ietf-httpbis-resumable-upload): creates an upload, asks how far it has come, goes on.

use crate::harness::{Connection, Response, Server};

/// An upload that can be gone on with.
pub(super) struct Resumable {
    /// The path of its resource.
    pub(super) location: String,
    /// Further field lines of each request, each ended by CRLF.
    fields: String,
}

/// How far it has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) offset: u64,
    pub(super) complete: bool,
}

/// The path of an absolute or relative reference.
pub(super) fn path_of(location: &str) -> String {
    match location.split_once("://") {
        Some((_, rest)) => rest[rest.find('/').unwrap()..].to_owned(),
        None => location.to_owned(),
    }
}

impl Resumable {
    /// Creates one without any bytes yet.
    pub(super) fn create(server: &Server, target: &str, fields: &str) -> Self {
        Self::try_create(server, target, fields)
            .unwrap_or_else(|refused| panic!("{}", refused.head))
    }

    pub(super) fn try_create(
        server: &Server,
        target: &str,
        fields: &str,
    ) -> Result<Self, Response> {
        let mut connection = server.connect();
        connection.send(format!(
            "POST {target} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\nUpload-Complete: ?0\r\n{fields}\r\n"
        ));
        let mut response = connection.response(false);
        if response.status == 104 {
            response = connection.response(false);
        }
        match response.field("Location") {
            Some(location) if response.status == 201 => {
                Ok(Self { location: path_of(location), fields: authorization(fields) })
            }
            _ => Err(response),
        }
    }

    /// One that was created elsewhere.
    pub(super) fn at(location: &str) -> Self {
        Self { location: path_of(location), fields: String::new() }
    }

    pub(super) fn ask(&self, server: &Server) -> Response {
        server.connect().ask("HEAD", &self.location, &self.fields)
    }

    pub(super) fn standing(&self, server: &Server) -> Standing {
        let response = self.ask(server);
        assert_eq!(response.status, 204, "{}", response.head);
        assert_eq!(response.field("Cache-Control"), Some("no-store"));
        Standing {
            offset: response.field("Upload-Offset").unwrap().parse().unwrap(),
            complete: response.field("Upload-Complete") == Some("?1"),
        }
    }

    /// Begins to append `len` bytes at `offset`, which are the last ones or not.
    pub(super) fn begin_append(
        &self,
        connection: &mut Connection,
        offset: u64,
        len: usize,
        last: bool,
    ) {
        let Self { location, fields } = self;
        connection.send(format!(
            "PATCH {location} HTTP/1.1\r\nHost: t\r\nContent-Length: {len}\r\n\
             Content-Type: application/partial-upload\r\nUpload-Offset: {offset}\r\n\
             Upload-Complete: ?{}\r\n{fields}\r\n",
            u8::from(last)
        ));
    }

    pub(super) fn append(
        &self,
        server: &Server,
        offset: u64,
        bytes: &[u8],
        last: bool,
    ) -> Response {
        let mut connection = server.connect();
        self.begin_append(&mut connection, offset, bytes.len(), last);
        connection.send(bytes);
        final_response(&mut connection)
    }

    pub(super) fn cancel(&self, server: &Server) -> Response {
        server.connect().ask("DELETE", &self.location, &self.fields)
    }
}

/// The first response that is not an interim one.
pub(super) fn final_response(connection: &mut Connection) -> Response {
    loop {
        let response = connection.response(false);
        if response.status >= 200 {
            return response;
        }
    }
}

/// What has to be said with each request.
fn authorization(fields: &str) -> String {
    fields.split_inclusive("\r\n").filter(|line| line.starts_with("Authorization:")).collect()
}
