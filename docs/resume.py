#!/usr/bin/env python3
"""Uploads a file to sendrail serve --uploads, and goes on where it was cut: docs/uploads.md.

    python3 resume.py FILE http://HOST:PORT/path/name

The token is taken from the environment, SENDRAIL_TOKEN. Where the upload is, is kept in FILE.upload until it is whole: run it again, after
whatever has happened, and it goes on. It speaks draft-ietf-httpbis-resumable-upload, and needs nothing but Python 3.8.
"""

import http.client
import os
import sys
import time
from urllib.parse import urljoin, urlsplit


def ask(method, url, fields, body=None):
    parts = urlsplit(url)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.netloc, timeout=300)
    token = os.environ.get("SENDRAIL_TOKEN")
    if token:
        fields = {**fields, "Authorization": "Bearer " + token}
    connection.request(method, parts.path or "/", body, fields)
    answer = connection.getresponse()
    return answer, answer.read().decode(errors="replace")


def create(url, length):
    fields = {"Upload-Complete": "?0", "Upload-Length": str(length), "Content-Length": "0"}
    answer, text = ask("POST", url, fields)
    if answer.status != 201:
        sys.exit(f"{url}: {answer.status} {answer.reason}: {text}")
    return urljoin(url, answer.getheader("Location"))


def go_on(upload, path, length):
    """Sends what is missing. True when all of it is there; None if there is no such upload any more."""
    answer, text = ask("HEAD", upload, {})
    if answer.status in (404, 410):
        return None
    if answer.status // 100 != 2:
        sys.exit(f"{upload}: {answer.status} {answer.reason}: {text}")
    if answer.getheader("Upload-Complete") == "?1":
        return True
    offset = int(answer.getheader("Upload-Offset"))
    print(f"{offset} of {length} bytes are there")
    fields = {
        "Content-Type": "application/partial-upload",
        "Content-Length": str(length - offset),
        "Upload-Offset": str(offset),
        "Upload-Complete": "?1",
    }
    with open(path, "rb") as file:
        file.seek(offset)
        answer, text = ask("PATCH", upload, fields, file)
    if answer.status // 100 == 2:
        return True
    if answer.status // 100 == 4 and answer.status not in (408, 409):
        sys.exit(f"{upload}: {answer.status} {answer.reason}: {text}")
    return False


def main(path, url):
    length, note = os.path.getsize(path), path + ".upload"
    upload, wait = None, 1
    if os.path.exists(note):
        with open(note) as file:
            upload = file.read().strip()
    while True:
        try:
            if upload is None:
                upload = create(url, length)
                with open(note, "w") as file:
                    file.write(upload)
            done = go_on(upload, path, length)
            if done:
                os.remove(note)
                return print(f"{url}: all {length} bytes are there")
            if done is None:
                upload = None  # it was kept for as long as --upload-keep says
                continue
        except (OSError, http.client.HTTPException) as error:
            print(f"{error}; again in {wait} s", file=sys.stderr)
        time.sleep(wait)
        wait = min(2 * wait, 60)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
