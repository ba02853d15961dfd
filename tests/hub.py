"""A model hub on this computer: a real HTTP server with as much of the hub's API as is needed.

Within `with Hub() as hub:`, publish a folder by `commit = hub.add("org/name", folder)`, run a
process with `HF_ENDPOINT` set to `hub.url`, and look at `hub.requests` and `hub.fetched`.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit


class Request(NamedTuple):
    """What was asked of the hub."""

    method: str
    path: str
    authorization: str | None


class Hub:
    """Repositories by commit, in memory. `add` again to make a newer commit."""

    def __init__(self, server: ThreadingHTTPServer | None = None):
        """At an address of its own, or at that of a server that runs already."""
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.refs: dict[str, dict[str, str]] = {}
        self.gated: set[str] = set()
        self.broken = False
        """Answer everything with status 503."""
        self.requests: list[Request] = []
        handler = type("Handler", (_Handler,), {"hub": self})
        self._is_own = server is None
        self._server = server or ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.RequestHandlerClass = handler
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Hub:
        if self._is_own:
            self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self.stop()

    def stop(self) -> None:
        """Go off the network: later connections are refused."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def add(self, repo: str, folder: str | Path, branch: str = "main") -> str:
        """Publish a folder as a new commit of `repo`; the commit's id."""
        folder = Path(folder)
        files = {file.relative_to(folder).as_posix(): file.read_bytes()
                 for file in sorted(folder.rglob("*")) if file.is_file()}  # fmt: skip
        text = repr([(name, hashlib.sha1(data).hexdigest()) for name, data in files.items()])
        commit = hashlib.sha1(text.encode()).hexdigest()
        self.commits.setdefault(repo, {})[commit] = files
        self.refs.setdefault(repo, {})[branch] = commit
        return commit

    @property
    def fetched(self) -> list[str]:
        """Names of the files whose bytes were sent, sorted."""
        found = (re.search(r"/resolve/[^/]+/(.*)", request.path) for request in self.requests
                 if request.method == "GET")  # fmt: skip
        return sorted(unquote(match[1]) for match in found if match)


@contextmanager
def listening():
    """A server at one address, for hubs that take turns."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer()

    do_HEAD = do_GET

    def log_message(self, *arguments):
        pass

    def _answer(self):
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(Request(self.command, path, self.headers.get("Authorization")))
        if self.hub.broken:
            return self._error(503, "Unavailable")
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if not (match := api or file):
            return self._error(404, "NotFound")
        repo, revision = match[1], (match[3] if api else match[2]) or "main"
        if repo not in self.hub.commits:
            return self._error(401, "RepoNotFound")
        commit = self.hub.refs[repo].get(revision, revision)
        if commit not in self.hub.commits[repo]:
            return self._error(404, "RevisionNotFound")
        files = self.hub.commits[repo][commit]
        if file:
            return self._file(repo, commit, files, match[3])
        return self._tree(files) if match[2] == "tree" else self._info(repo, commit, files)

    def _info(self, repo, commit, files):
        siblings = [{"rfilename": name} for name in files]
        self._json({"id": repo, "modelId": repo, "sha": commit, "private": False,
                    "tags": [], "downloads": 0, "siblings": siblings})  # fmt: skip

    def _tree(self, files):
        self._json([
            {"type": "file", "path": name, "size": len(data), "oid": _etag(data)}
            for name, data in files.items()
        ])  # fmt: skip

    def _file(self, repo, commit, files, name):
        if repo in self.hub.gated:
            return self._error(403, "GatedRepo")
        if name not in files:
            return self._error(404, "EntryNotFound")
        data, headers = files[name], {"X-Repo-Commit": commit, "ETag": f'"{_etag(files[name])}"'}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and int(wanted[1]):
            start = int(wanted[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return self._send(206, data[start:], headers)
        return self._send(200, data, headers)

    def _json(self, value):
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, status, code):
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status, data, headers):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
