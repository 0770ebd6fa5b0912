"""The studio's server: one page for one person on this machine.

It listens on the loopback interface alone. The first part of every path is a token that only who started the server
knows; the names of host and origin are checked too, so that no page of another site can reach it, not by a name that
leads to this machine either. Requests name files by numbers and by entries of tables, never by paths.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, quote, urlsplit

from scoresep.errors import InvalidValue, NotFound, ScoresepError, Unavailable
from scoresep.studio.exports import export
from scoresep.studio.giving import MODULES, read
from scoresep.studio.state import Conflict, as_span
from scoresep.studio.studio import Studio
from scoresep.studio.worker import Busy

HOST = "127.0.0.1"
PAGE = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    **dict.fromkeys(MODULES, "text/javascript; charset=utf-8"),
}
"""Files of the page: all that is served from the package."""
LARGEST_JSON, LARGEST_SCORE = 2**25, 2**25
"""Bytes of a request; `Studio` says how large an upload may be."""
MOST_SAMPLES = 2**21
"""Samples of all channels that a request can ask for."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
STATUS: Mapping[type[ScoresepError], HTTPStatus] = {
    NotFound: HTTPStatus.NOT_FOUND,
    Busy: HTTPStatus.CONFLICT,
    Conflict: HTTPStatus.CONFLICT,
}


class TooLarge(InvalidValue):
    """A request with more than is taken."""


class Server(ThreadingHTTPServer):
    """Serves a studio.

    Attributes:
        url: the address of the page, with the token.
    """

    daemon_threads = True

    def __init__(self, studio: Studio, port: int = 0, token: str = "") -> None:
        """Raises Unavailable: another program has the port."""
        try:
            super().__init__((HOST, port), Handler)
        except OSError as fault:
            problem = f"port {port} cannot be used ({fault.strerror})"
            raise Unavailable(problem, remedy="leave --port out") from fault
        self.studio, self.token = studio, token or secrets.token_urlsafe(24)
        self.page = {name: read(name).encode() for name in PAGE}
        self.hosts = {f"{name}:{self.server_address[1]}" for name in (HOST, "localhost")}

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no fault; anything else is a bug and shows its traceback."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "scoresep", ""
    timeout = 60.0

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the address in it is a secret."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        if not (place := self._admitted()):
            self._refuse(HTTPStatus.FORBIDDEN, "not for you")
            return
        path, query = place
        try:
            if method == "GET" and (name := path or "index.html") in self.server.page:
                self.send(self.server.page[name], PAGE[name])
                return
            for verb, pattern, work in ROUTES:
                if verb == method and (found := re.fullmatch(pattern, path)):
                    work(self, *map(int, found.groups()), **query)
                    return
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
        except TooLarge as fault:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(fault))
        except ScoresepError as fault:
            self._refuse(STATUS.get(type(fault), HTTPStatus.BAD_REQUEST), str(fault))
        except (TypeError, ValueError, OverflowError, RecursionError, KeyError, AttributeError) as fault:
            self._refuse(HTTPStatus.BAD_REQUEST, f"not understood ({fault})")

    def _admitted(self) -> tuple[str, dict[str, str]] | None:
        """The path behind the token and the query; None for who must not be here."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if host not in self.server.hosts or origin not in (None, f"http://{host}"):
            return None
        parts = urlsplit(self.path)
        token, slash, path = parts.path.removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            return None
        return path, {name: values[-1] for name, values in parse_qs(parts.query).items()}

    # -- answers ----------------------------------------------------------------------------------------------------

    def send(self, body: bytes, kind: str = "application/octet-stream") -> None:
        self._head(HTTPStatus.OK, kind, len(body))
        self.wfile.write(body)

    def send_json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        body = json.dumps(value).encode()
        self._head(status, "application/json", len(body))
        self.wfile.write(body)

    def send_file(self, path: Path, name: str) -> None:
        """A file to keep, called `name`."""
        plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
        extra = {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"}
        with path.open("rb") as file:
            self._head(HTTPStatus.OK, "application/octet-stream", path.stat().st_size, extra)
            shutil.copyfileobj(file, self.wfile)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True  # the body, if there is one, was not read
        self.send_json({"error": why}, status)

    def _head(self, status: HTTPStatus, kind: str, length: int, extra: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        closing = {"Connection": "close"} if self.close_connection else {}
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(length), **closing,
                            **(extra or {})}.items():  # fmt: skip
            self.send_header(name, value)
        self.end_headers()

    # -- bodies -----------------------------------------------------------------------------------------------------

    def _length(self, limit: int) -> int:
        text = self.headers.get("Content-Length", "")
        if not text.isdecimal():
            raise InvalidValue("a request without its length")
        if int(text) > limit:
            raise TooLarge(f"{int(text) / 1e6:.0f} MB, and at most {limit / 1e6:.0f} MB are taken")
        return int(text)

    def body(self, limit: int) -> bytes:
        length = self._length(limit)
        content = self.rfile.read(length)
        if len(content) < length:
            raise InvalidValue("the connection ended too soon")
        return content

    def read_json(self) -> dict[str, Any]:
        value = json.loads(self.body(LARGEST_JSON))
        if not isinstance(value, dict):
            raise InvalidValue("not an object")
        return value

    def into(self, file: BinaryIO, limit: int) -> None:
        """Copy the body into a file, a piece at a time."""
        left = self._length(limit)
        while left:
            piece = self.rfile.read(min(left, 1 << 20))
            if not piece:
                raise InvalidValue("the connection ended too soon")
            file.write(piece)
            left -= len(piece)


def get_state(request: Handler) -> None:
    request.send_json(request.server.studio.about())


def get_notes(request: Handler) -> None:
    request.send_json(request.server.studio.notes())


def put_notes(request: Handler) -> None:
    given = request.read_json()
    request.send_json({"revision": request.server.studio.project.edit(given["notes"], int(given["revision"]))})


def put_mix(request: Handler) -> None:
    request.server.studio.project.set_mix(request.read_json())
    request.send_json({})


def put_beat(request: Handler) -> None:
    request.server.studio.project.set_beat(request.read_json()["beat"])
    request.send_json({})


def post_score(request: Handler, name: str, align: str = "1") -> None:
    studio = request.server.studio
    studio.load_score(request.body(LARGEST_SCORE), name, align == "1")
    request.send_json(studio.about())


def get_score(request: Handler, number: str) -> None:
    request.send_json(asdict(request.server.studio.score(int(number))))


def post_cancel(request: Handler) -> None:
    request.server.studio.worker.cancel(int(request.read_json()["number"]))
    request.send_json({})


def post_prepare(request: Handler) -> None:
    request.server.studio.prepare()
    request.send_json(request.server.studio.about())


def post_open(request: Handler, name: str) -> None:
    """A recording or a project that was dropped on the page."""
    studio = request.server.studio
    with tempfile.TemporaryDirectory(dir=studio.project.folder, prefix=".upload-") as place:
        path = Path(place) / "upload"
        with path.open("wb") as file:
            request.into(file, studio.largest)
        studio.open_file(path, name)
    request.send_json(studio.about())


def post_separate(request: Handler) -> None:
    given, studio = request.read_json(), request.server.studio
    present = [str(name) for name in given["present"]]
    studio.separate(float(given["weight"]), present, as_span(given.get("span")))
    request.send_json(studio.about())


def get_mixture(request: Handler, start: str, stop: str) -> None:
    request.send(request.server.studio.samples(None, 0, *span_of(start, stop)))


def get_stem(request: Handler, version: int, part: int, start: str, stop: str) -> None:
    request.send(request.server.studio.samples(version, part, *span_of(start, stop)))


def span_of(start: str, stop: str) -> tuple[int, int]:
    """Samples that are asked for; raises ValueError."""
    first, last = int(start), int(stop)
    if not 0 <= first < last <= first + MOST_SAMPLES:
        raise ValueError("no such span")
    return first, last


def get_picture(request: Handler, start: str, stop: str) -> None:
    request.send(request.server.studio.picture(int(start), int(stop)))


def get_export(request: Handler, kind: str, format: str = "wav", version: str = "", part: str = "0") -> None:
    studio = request.server.studio
    project = studio.project
    with tempfile.TemporaryDirectory(dir=project.folder, prefix=".export-") as place:
        with studio.worker.alone():  # not while it is sent
            file = export(project, Path(place), kind, format, int(version) if version else None, int(part))
        plain = kind in ("project", "page")
        request.send_file(file, f"{project.state.name}{file.suffix if plain else f' {file.name}'}")


ROUTES: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("GET", "api/state", get_state),
    ("GET", "api/notes", get_notes),
    ("PUT", "api/notes", put_notes),
    ("PUT", "api/mix", put_mix),
    ("PUT", "api/beat", put_beat),
    ("POST", "api/score", post_score),
    ("GET", "api/score", get_score),
    ("POST", "api/cancel", post_cancel),
    ("POST", "api/prepare", post_prepare),
    ("POST", "api/open", post_open),
    ("POST", "api/separate", post_separate),
    ("GET", "api/mixture", get_mixture),
    ("GET", r"api/stems/(\d{1,9})/(\d{1,3})", get_stem),
    ("GET", "api/picture", get_picture),
    ("GET", "api/export", get_export),
)
"""Method, path and what is done; keywords come from the query."""
