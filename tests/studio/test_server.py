"""The server as a stranger, another site and an unlucky user meet it."""

from __future__ import annotations

import http.client
import io
import json
import shutil
import socket
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import soundfile

from scoresep.audio.source import Progress
from scoresep.errors import Unavailable
from scoresep.studio.server import PAGE, Server


class Client:
    """Asks the server, and gives status, headers and body."""

    def __init__(self, server: Server) -> None:
        self.server, self.port = server, server.server_address[1]

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        token = self.server.token if token is None else token
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/{token}/{path}", body, sent)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    def json(self, method: str, path: str, value: Any = None) -> tuple[int, Any]:
        status, _, body = self.ask(method, path, None if value is None else json.dumps(value))
        return status, json.loads(body)

    def open(self, song: Path) -> None:
        status, _, body = self.ask("POST", f"api/open?name={quote(song.name)}", song.read_bytes())
        assert status == 200, body
        self.done()

    def done(self) -> dict[str, Any]:
        self.server.studio.worker.wait()
        state = self.json("GET", "api/state")[1]
        assert not state["job"]["running"] and not state["job"]["error"], state["job"]
        return state


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def test_the_page_and_nothing_else_is_served(serving: Callable[..., Any]) -> None:
    with serving() as server:
        client = Client(server)
        for name in ["", *PAGE]:
            status, headers, body = client.ask("GET", name)
            assert status == 200 and body
            assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
            assert "default-src 'none'" in headers["Content-Security-Policy"]
        climbing = ["../server.py", "..%2fserver.py", "%2e%2e/server.py", "page/../../server.py", "/etc/passwd"]
        climbing += ["..\\server.py", "project.json", "app.js/", "api/../app.js"]
        climbing += ["api/stems/0/..", "api/stems/../0", "api/stems/-1/0"]
        for path in climbing:
            status, _, body = client.ask("GET", path)
            assert status == 404, path
            assert b"import" not in body and b"root:" not in body


def test_strangers_are_refused(serving: Callable[..., Any]) -> None:
    with serving() as server:
        client, here = Client(server), f"127.0.0.1:{server.server_address[1]}"
        for token in ("", "x", server.token[:-1], server.token + "x", "api"):
            assert client.ask("GET", "api/state", token=token)[0] == 403
        assert client.ask("GET", "api/state", Host="evil.example")[0] == 403  # a name that leads here
        assert client.ask("GET", "api/state", Host=f"evil.example:{client.port}")[0] == 403
        for origin in ("http://evil.example", "null", f"https://{here}", f"http://localhost:{client.port}"):
            assert client.ask("GET", "api/state", Origin=origin)[0] == 403
        assert client.ask("GET", "api/state", Origin=f"http://{here}")[0] == 200
        for method in ("OPTIONS", "DELETE", "HEAD", "TRACE"):
            assert client.ask(method, "api/state")[0] == 501
        assert server.socket.getsockname()[0] == "127.0.0.1"


def test_what_makes_no_sense_is_refused(serving: Callable[..., Any], song: Path) -> None:
    with serving() as server:
        client = Client(server)
        for method, path, body in [
            ("GET", "api/stems/0/0?start=0&stop=10", None),
            ("GET", "api/export?kind=midi", None),
            ("POST", "api/separate", "{"),
            ("POST", "api/separate", '{"weight": 1, "present": []}'),
            ("PUT", "api/notes", "[]"),
            ("PUT", "api/notes", '{"notes": 3, "revision": 0}'),
            ("PUT", "api/notes", '{"notes": {}, "revision": 1e999}'),
            ("PUT", "api/notes", "[" * 100_000),
            ("PUT", "api/mix", '{"piano": 3}'),
            ("PUT", "api/beat", '{"beat": [0, 1]}'),
            ("POST", "api/open?name=a.exe", "MZ"),
            ("POST", "api/open?name=a.wav", "no sound"),
            ("POST", "api/open?name=a.scoresep", "no project"),
            ("POST", "api/open", "no name"),
            ("POST", "api/score?name=a.mid", "no score"),
            ("GET", "api/score?number=0", None),
            ("POST", "api/prepare", "{}"),
            ("POST", "api/cancel", "{}"),
        ]:
            status, _, answer = client.ask(method, path, body)
            assert status in (400, 404), (path, status)
            assert json.loads(answer)["error"]
        client.open(song)
        assert client.ask("POST", "api/score?name=a.exe", "MZ")[0] == 400
        sound = ["stems/0/9?start=0&stop=9", "stems/7/0?start=0&stop=9", "mixture?start=0&stop=99999999"]
        sound += ["mixture?start=-5&stop=9", "mixture?start=0&stop=9&x=1", "picture?start=0&stop=999999"]
        exports = ["export?kind=../../etc", "export?kind=stem&part=9", "export?kind=stem&format=exe"]
        for path in (f"api/{each}" for each in sound + exports):
            assert client.ask("GET", path)[0] in (400, 404), path


def test_huge_uploads_are_refused_before_they_are_read(serving: Callable[..., Any], song: Path) -> None:
    with serving(largest=1000) as server:
        client = Client(server)
        status, _, body = client.ask("POST", "api/open?name=a.wav", Content_Length=str(10**15))
        assert status == 413 and "0 MB are taken" in json.loads(body)["error"]
        for length in ("", "-5", "many"):
            assert client.ask("POST", "api/open?name=a.wav", Content_Length=length)[0] == 400
        assert client.ask("PUT", "api/notes", Content_Length=str(10**12))[0] == 413
        assert not server.studio.project.state.recording


def test_a_tab_that_closes_in_the_middle_leaves_nothing(
    serving: Callable[..., Any], song: Path, tmp_path: Path
) -> None:
    with serving(tmp_path / "p") as server:
        with socket.create_connection(server.server_address) as cut:
            head = (
                f"POST /{server.token}/api/open?name=a.wav HTTP/1.1\r\nHost: 127.0.0.1:{server.server_address[1]}\r\n"
            )
            cut.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode() + song.read_bytes()[:5000])
        client = Client(server)
        client.open(song)  # nothing is in its way
        assert sorted(path.name for path in (tmp_path / "p").iterdir() if path.name.startswith(".upload")) == []


def test_a_song_from_upload_to_export(serving: Callable[..., Any], song: Path) -> None:
    sound = soundfile.read(song, dtype="float32")[0]
    with serving() as server:
        client = Client(server)
        client.open(song)
        state = client.done()
        assert state["ready"] and state["name"] == "my song" and state["samples"] == len(sound)
        span = "start=1000&stop=3000"
        mixture = np.frombuffer(client.ask("GET", f"api/mixture?{span}")[2], "<f4").reshape(-1, 2)
        np.testing.assert_array_equal(mixture, sound[1000:3000])
        stems = [np.frombuffer(client.ask("GET", f"api/stems/0/{n}?{span}")[2], "<f4") for n in range(3)]
        np.testing.assert_allclose(sum(stems).reshape(-1, 2), mixture, atol=1e-6)
        picture = client.ask("GET", "api/picture?start=0&stop=100")[2]
        assert len(picture) == 100 * 88 * state["picture"]["rowsAKey"]
        assert (
            client.json("POST", "api/separate", {"weight": 1, "present": ["piano", "bass"], "span": [1, 2]})[0] == 200
        )
        state = client.done()
        assert [each["present"] for each in state["versions"]] == [["piano", "guitar", "bass"], ["piano", "bass"]]
        status, headers, body = client.ask("GET", "api/export?kind=stems&format=mp3&version=1")
        assert status == 200 and headers["Content-Disposition"].startswith('attachment; filename="my song stems.zip"')
        files = unzipped(body)
        assert list(files) == ["piano.mp3", "guitar.mp3", "bass.mp3"]
        packed = client.ask("GET", "api/export?kind=project")[2]
    with serving() as server:
        client = Client(server)
        assert client.ask("POST", "api/open?name=x.scoresep", packed)[0] == 200
        assert client.done()["versions"] == state["versions"]
        assert unzipped(client.ask("GET", "api/export?kind=stems&format=mp3&version=1")[2]) == files


def test_the_spectrogram_shows_what_sounds_at_its_key(serving: Callable[..., Any], make: Any, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", make.tone(69, 2.0, partials=1), 16000)
    with serving() as server:
        client = Client(server)
        client.open(tmp_path / "a.wav")
        about = client.done()["picture"]
        rows = np.frombuffer(client.ask("GET", "api/picture?start=20&stop=30")[2], np.uint8).reshape(10, -1)
        assert set(rows.argmax(axis=1) // about["rowsAKey"] + about["lowest"]) == {69}


def test_two_tabs_do_not_overwrite_each_other(serving: Callable[..., Any], song: Path) -> None:
    with serving() as server:
        client = Client(server)
        client.open(song)
        notes = {"piano": [[0.0, 1.0, 60, 90]]}
        assert client.json("PUT", "api/notes", {"notes": notes, "revision": 0}) == (200, {"revision": 1})
        status, answer = client.json("PUT", "api/notes", {"notes": {}, "revision": 0})
        assert status == 409 and "another tab" in answer["error"]
        assert client.json("GET", "api/notes")[1]["notes"]["piano"] == notes["piano"]


def test_one_thing_at_a_time(serving: Callable[..., Any], song: Path) -> None:
    with serving() as server:
        client = Client(server)
        client.open(song)
        with server.studio.worker.alone():
            for method, path, body in (("POST", "api/separate", '{"weight": 1, "present": ["piano"]}'),
                                       ("GET", "api/export?kind=midi", None),
                                       ("POST", "api/open?name=b.wav", song.read_bytes())):  # fmt: skip
                assert client.ask(method, path, body)[0] == 409
        assert client.ask("GET", "api/export?kind=midi")[0] == 200


def cancelled(client: Client, gate: threading.Event) -> dict[str, Any]:
    """The state after the job that waits for the gate was cancelled."""
    number = client.json("GET", "api/state")[1]["job"]["number"]
    for each in (number + 1, number):  # another one is none of its business
        assert client.json("POST", "api/cancel", {"number": each})[0] == 200
    gate.set()
    state = client.done()
    assert state["job"]["cancelled"]
    return state


def test_separating_is_cancelled_and_the_stems_stay(
    serving: Callable[..., Any], song: Path, gate: threading.Event
) -> None:
    with serving() as server:
        client, project = Client(server), server.studio.project
        gate.set()
        client.open(song)
        files = {path: path.read_bytes() for path in (project.folder / "versions").rglob("*.*")}
        gate.clear()

        def work(progress: Progress) -> None:
            gate.wait(60)
            project.separate(1.0, (), None, progress)

        server.studio.worker.start("separate", work)
        assert [each["id"] for each in cancelled(client, gate)["versions"]] == [0]
        assert files == {path: path.read_bytes() for path in (project.folder / "versions").rglob("*.*")}
        assert not (project.folder / "versions" / "new").exists()
        assert client.json("POST", "api/separate", {"weight": 1, "present": ["piano"]})[0] == 200
        assert [each["id"] for each in client.done()["versions"]] == [0, 1]


def test_opening_is_cancelled_as_if_it_had_not_begun(
    serving: Callable[..., Any], song: Path, tmp_path: Path, gate: threading.Event
) -> None:
    with serving(tmp_path / "p") as server:
        client = Client(server)
        assert client.ask("POST", "api/open?name=a.wav", song.read_bytes())[0] == 200
        assert not cancelled(client, gate)["opened"]
        assert sorted(path.name for path in (tmp_path / "p").iterdir()) == [".lock", "project.json"]
        client.open(song)
        assert client.done()["ready"]


def test_the_song_before_is_back_when_opening_is_cancelled(
    serving: Callable[..., Any], song: Path, temporary: Path, gate: threading.Event
) -> None:
    with serving() as server:
        client = Client(server)
        gate.set()
        client.open(song)
        gate.clear()
        assert client.ask("POST", "api/open?name=b.wav", song.read_bytes())[0] == 200
        assert client.json("GET", "api/state")[1]["name"] == "b"
        state = cancelled(client, gate)
        assert state["ready"] and state["name"] == "my song"
        assert [*temporary.iterdir()] == [server.studio.project.folder]


def test_work_that_was_cancelled_goes_on(
    serving: Callable[..., Any], song: Path, tmp_path: Path, gate: threading.Event
) -> None:
    with serving(tmp_path / "p") as server:
        gate.set()
        Client(server).open(song)
    shutil.rmtree(tmp_path / "p" / "versions" / "0")  # a killed server left it so
    gate.clear()
    with serving(tmp_path / "p") as server:
        client = Client(server)
        state = cancelled(client, gate)
        assert state["opened"] and not state["ready"]


def test_a_score_is_loaded(serving: Callable[..., Any], song: Path, make: Any, tmp_path: Path) -> None:
    make.midi(tmp_path / "a.mid", [(0.5, 1.0, 60)], program=33)
    with serving() as server:
        client = Client(server)
        client.open(song)
        for align in (1, 0):
            path = f"api/score?name={quote('my bass.mid')}&align={align}"
            assert client.ask("POST", path, (tmp_path / "a.mid").read_bytes())[0] == 200
            server.studio.worker.wait()
            job = client.json("GET", "api/state")[1]["job"]
            status, answer = client.json("GET", f"api/score?number={job['number']}")
            if align:  # a single note is found nowhere
                assert job["error"].startswith("my bass.mid: not aligned: ") and status == 404
        assert answer["notes"] == {"piano": [], "guitar": [], "bass": [[0.5, 1.0, 60.0, 90.0]]}
        assert client.json("GET", "api/notes")[1]["revision"] == 0


def test_what_is_damaged_is_named_as_it_was_given(serving: Callable[..., Any], song: Path) -> None:
    with serving() as server:
        client = Client(server)
        for name in ("broken.scoresep", "broken.wav"):
            status, _, answer = client.ask("POST", f"api/open?name={name}", "neither")
            assert status == 400 and json.loads(answer)["error"].startswith(f"{name}: ")


def test_a_killed_server_goes_on_where_it_was(serving: Callable[..., Any], song: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "p") as server:
        client = Client(server)
        client.open(song)
        client.json("PUT", "api/notes", {"notes": {"bass": [[0.0, 1.0, 40, 90]]}, "revision": 0})
    (tmp_path / "p" / "versions" / "new").mkdir()  # what it was at
    with serving(tmp_path / "p") as server:
        client = Client(server)
        state = client.done()
        assert state["ready"] and state["revision"] == 1
        assert client.json("GET", "api/notes")[1]["notes"]["bass"] == [[0.0, 1.0, 40, 90]]
        status, _, body = client.ask("POST", "api/open?name=b.wav", song.read_bytes())
        assert status == 400 and "holds a recording" in json.loads(body)["error"]


def test_a_port_that_is_taken(serving: Callable[..., Any], refused: Callable[..., Any]) -> None:
    with serving() as server, refused(Unavailable):
        Server(server.studio, server.server_address[1])


def test_another_song_is_another_project(serving: Callable[..., Any], song: Path) -> None:
    with serving() as server:
        client = Client(server)
        client.open(song)
        first = server.studio.project.folder
        client.open(song)
        assert server.studio.project.folder != first and (first / "project.json").exists()
