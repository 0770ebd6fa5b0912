"""Data that the tests make themselves: tones with known answers, small corpora in Slakh's layout, a cache, configs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import pytest
import soundfile
import torch
import yaml

from scoresep import cli
from scoresep.cache.build import prepare
from scoresep.cache.reader import Cache
from scoresep.cache.schema import CacheSettings
from scoresep.datasets.slakh import open_slakh
from scoresep.errors import ScoresepError
from scoresep.executor import Engine
from scoresep.grid import Grid
from scoresep.instruments import choose
from scoresep.models.checkpoint import Checkpoint, save_checkpoint
from scoresep.models.model import Model
from scoresep.models.networks import Architecture
from scoresep.models.tcn import TCNSettings
from scoresep.training.config import Config
from scoresep.training.config_files import load_config

RATE = 16000
TINY = (
    "network.channels=8",
    "network.hidden=16",
    "network.blocks=2",
    "network.repeats=1",
    "data.clip_frames=32",
    "data.batch_size=4",
    "data.validation_clips=4",
    "validate_every=2",
    "stage1.steps=4",
    "stage2.steps=4",
    "stage3.steps=4",
)
"""Settings of a config whose stages take about a second each."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device", default="cuda", help="where the tests marked gpu run: cuda, or cpu to try them without a GPU"
    )
    parser.addoption("--every", type=int, default=1, help="of the tests marked gpu, run every so manieth alone")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of whole commands are no unit tests."""
    for item in items:
        if {"scoresep", "command"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.integration)


Note = tuple[float, float, int]
"""Onset in seconds, offset in seconds, MIDI pitch as it sounds."""


def tone(pitch: float, seconds: float, partials: int = 6, amplitude: float = 0.1, rate: int = RATE) -> np.ndarray:
    """A harmonic tone, float64 (L,): partial h has the amplitude amplitude / h; those above half the rate are left out.

    Its first and last 10 ms are faded, so that its energy stays in its partials.
    """
    time = np.arange(round(seconds * rate)) / rate
    fundamental = 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)
    heard = [h for h in range(1, partials + 1) if h * fundamental < 0.48 * rate]
    samples = sum((amplitude / h * np.sin(2 * np.pi * h * fundamental * time) for h in heard), np.zeros(len(time)))
    edge = min(round(0.01 * rate), len(time) // 2)
    fade = 0.5 - 0.5 * np.cos(np.pi * np.arange(edge) / max(edge, 1))
    samples[:edge] *= fade
    samples[len(samples) - edge :] *= fade[::-1]
    return samples


def play(notes: Sequence[Note], seconds: float, rate: int = RATE) -> np.ndarray:
    """The notes as harmonic tones, float64 (L,)."""
    samples = np.zeros(round(seconds * rate))
    for onset, offset, pitch in notes:
        first = min(round(onset * rate), len(samples))
        sound = tone(pitch, offset - onset, rate=rate)[: len(samples) - first]
        samples[first : first + len(sound)] += sound
    return samples


def write_midi(path: Path, notes: Sequence[Note], program: int = 0, is_drum: bool = False) -> None:
    """A MIDI file of one instrument; at 1000 ticks a beat and 120 beats a minute a tick is half a millisecond."""
    midi = pretty_midi.PrettyMIDI(resolution=1000, initial_tempo=120.0)
    instrument = pretty_midi.Instrument(program, is_drum=is_drum, name="part")
    instrument.notes = [pretty_midi.Note(90, pitch, onset, offset) for onset, offset, pitch in notes]
    midi.instruments.append(instrument)
    path.parent.mkdir(parents=True, exist_ok=True)
    midi.write(str(path))


@dataclass
class StemPlan:
    """A stem to write; `written` are the notes of its MIDI file, None for the notes that sound."""

    program: int
    notes: list[Note]
    is_drum: bool = False
    plugin: str = "generic.sfz"
    written: list[Note] | None = None
    about: dict[str, Any] = field(default_factory=dict)


def write_track(
    folder: Path, stems: dict[str, StemPlan], seconds: float = 3.0, rate: int = RATE, suffix: str = ".flac"
) -> Path:
    """A track in Slakh's layout with the metadata keys of the real one; returns its folder."""
    listed = {}
    mix = np.zeros(round(seconds * rate))
    (folder / "stems").mkdir(parents=True)
    for name, stem in stems.items():
        if stem.is_drum:
            samples = np.random.default_rng(len(mix)).normal(0, 0.02, len(mix))
        else:
            samples = play(stem.notes, seconds, rate)
        mix += samples
        soundfile.write(folder / "stems" / f"{name}{suffix}", samples, rate, subtype="PCM_16")
        write_midi(
            folder / "MIDI" / f"{name}.mid",
            stem.notes if stem.written is None else stem.written,
            0 if stem.is_drum else stem.program,
            stem.is_drum,
        )
        listed[name] = {
            "audio_rendered": True,
            "inst_class": "Drums" if stem.is_drum else "Any",
            "integrated_loudness": -20.0,
            "is_drum": stem.is_drum,
            "midi_program_name": "a name",
            "midi_saved": True,
            "plugin_name": stem.plugin,
            "program_num": stem.program,
            **stem.about,
        }
    soundfile.write(folder / f"mix{suffix}", mix, rate, subtype="PCM_16")
    metadata = {
        "UUID": f"uuid-of-{folder.name}",
        "audio_dir": f"{folder.name}/stems",
        "lmd_midi_dir": "somewhere/else.mid",
        "midi_dir": f"{folder.name}/MIDI",
        "normalization_factor": -13.0,
        "normalized": True,
        "overall_gain": 0.2,
        "stems": listed,
    }
    (folder / "metadata.yaml").write_text(yaml.safe_dump(metadata), encoding="utf-8")
    return folder


def usual_stems(seed: int, seconds: float = 3.0) -> dict[str, StemPlan]:
    """Piano, guitar, bass (written an octave high, as Slakh does for `.nkm`) and drums, different for each seed."""
    rng = np.random.default_rng(seed)

    def line(low: int, high: int, step: float) -> list[Note]:
        onsets = np.arange(0.1, seconds - step, step)
        return [(round(t, 3), round(t + 0.8 * step, 3), int(rng.integers(low, high))) for t in onsets]

    bass = line(29, 41, 0.6)
    return {
        "S00": StemPlan(0, line(60, 84, 0.4)),
        "S01": StemPlan(25, line(48, 60, 0.5)),
        "S02": StemPlan(33, bass, plugin="bass.nkm", written=[(a, b, pitch + 12) for a, b, pitch in bass]),
        "S03": StemPlan(128, [(0.5, 0.6, 36), (1.0, 1.1, 38)], is_drum=True),
    }


SPLIT_OF_FIVE = {1: "train", 2: "train", 3: "train", 4: "validation", 5: "test"}


def write_corpus(root: Path, splits: dict[int, str] | None = None, seconds: float = 3.0) -> Path:
    """A corpus of short tracks by number and split (five by default); returns `root`."""
    for number, split in (splits or SPLIT_OF_FIVE).items():
        write_track(root / split / f"Track{number:05d}", usual_stems(number, seconds), seconds)
    return root


class Make:
    """The makers above, for tests to use."""

    rate = RATE
    tone = staticmethod(tone)
    play = staticmethod(play)
    midi = staticmethod(write_midi)
    track = staticmethod(write_track)
    stem = StemPlan
    usual_stems = staticmethod(usual_stems)
    tiny = TINY
    corpus = staticmethod(write_corpus)

    @staticmethod
    def config(*assignments: str) -> Config:
        """The tiny config with changes."""
        return load_config("mini", [*TINY, *assignments])

    @staticmethod
    def checkpoint(path: Path, cache: Cache, seed: int = 0, loud: float = 1.0) -> Path:
        """A checkpoint of untrained networks that fit a cache; the transcriptor of a `loud` one finds many notes."""
        torch.manual_seed(seed)
        model = Model(cache.grid, cache.instruments, Architecture.both(TCNSettings(8, 16, 2, 1)), "softmax").eval()
        with torch.no_grad():
            model.transcriptor.head.weight.mul_(loud)
        save_checkpoint(path, Checkpoint(model, 3, 7, True, {"seed": seed}, str(cache.path), cache.digest))
        return path


@pytest.fixture(scope="session")
def make() -> type[Make]:
    """Makers of test data."""
    torch.set_num_threads(1)
    return Make


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five short tracks in split folders. Read only: copy it to change it."""
    return write_corpus(tmp_path_factory.mktemp("corpus") / "slakh2100_flac_redux")


@pytest.fixture
def corpus_copy(corpus: Path, tmp_path: Path) -> Path:
    """A copy of the corpus to damage."""
    return Path(shutil.copytree(corpus, tmp_path / corpus.name))


@pytest.fixture(scope="session")
def prepared(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus as a cache of three shards. Read only: copy it to change it."""
    out = tmp_path_factory.mktemp("cache") / "cache.h5"
    prepare(open_slakh(corpus), out, CacheSettings(tracks_per_shard=2), Engine(1))
    return out


@pytest.fixture
def cache(prepared: Path) -> Cache:
    """The cache, open. Read only."""
    return Cache(prepared)


@pytest.fixture
def cache_copy(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the cache to damage; returns its index."""
    shutil.copytree(prepared.with_name("cache.shards"), tmp_path / "cache.shards")
    return Path(shutil.copy(prepared, tmp_path / "cache.h5"))


@pytest.fixture(scope="session")
def real_clip() -> Path:
    """Two seconds of a real Slakh track in both layouts, which lie beside the checkout."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "slakh-clip"
    if not folder.is_dir():
        pytest.skip("the real clip is not here")
    return folder


def one_core() -> None:
    """Keep this process on one core: threads that wait for one another are slow where other work runs."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        os.sched_setaffinity(0, {cores[worker % len(cores)]})


@pytest.fixture
def scoresep(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs the command line in `tmp_path` as a user types it; keywords are environment variables."""

    def run(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("scoresep")), *line.split()[1:]]
        plain = {name: value for name, value in os.environ.items() if name != "SLAKH_ROOT"}
        settings = {**plain, "HOME": str(tmp_path), "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **environment}
        return subprocess.run(
            command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False, preexec_fn=one_core
        )

    return run


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Callable[[str], tuple[int, str, str]]:
    """A function that runs a command line in this process and folder: status, output, errors."""

    def run(line: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)  # one core
        capfd.readouterr()
        threads = torch.get_num_threads()
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        finally:
            torch.set_num_threads(threads)
        return (status, *capfd.readouterr())

    return run


MODEL_INSTRUMENTS = choose(["piano", "guitar", "bass"])


def build_model(mask: str) -> Model:
    torch.manual_seed(0)
    model = Model(Grid(), MODEL_INSTRUMENTS, Architecture.both(TCNSettings(16, 32, 3, 1)), mask).eval()
    with torch.no_grad():  # spread the outputs: masks near 1/3, and rolls without a note, would show little
        model.separator.head.weight.mul_(3)
        model.transcriptor.head.weight.mul_(8)
    return model


@pytest.fixture(scope="session")
def model() -> Model:
    return build_model("softmax")


@pytest.fixture(scope="session")
def sigmoid_model() -> Model:
    return build_model("sigmoid")


@pytest.fixture(scope="session")
def constant_model() -> Callable[[tuple[float, ...]], Model]:
    """A function from three shares to a model whose softmax masks are these shares in every bin."""

    def make(shares: tuple[float, ...]) -> Model:
        made = build_model("softmax")
        with torch.no_grad():
            made.separator.head.weight.zero_()
            made.separator.head.bias.copy_(torch.tensor(shares).log().repeat_interleave(made.grid.bins))
        return made

    return make


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium: one that is installed on the machine, else playwright's own."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    installed = next(filter(None, map(shutil.which, names)), None)
    with sync_api.sync_playwright() as engine:
        try:
            started = engine.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        except sync_api.Error as fault:
            pytest.skip(f"no Chromium here ({str(fault).splitlines()[0]}); `playwright install chromium`")
        yield started
        started.close()


Refused = Callable[..., AbstractContextManager[pytest.ExceptionInfo[ScoresepError]]]


@pytest.fixture
def refused() -> Refused:
    """A context in which one error of a kind must be raised, in one line, with its file and, by default, a remedy."""

    @contextmanager
    def expect(
        kind: type[ScoresepError], file: str | os.PathLike[str] | None = None, *, remedy: bool = True
    ) -> Iterator[pytest.ExceptionInfo[ScoresepError]]:
        with pytest.raises(kind) as info:
            yield info
        error = info.value
        assert type(error) is kind, f"a {type(error).__name__}: {error}"
        assert len(str(error).splitlines()) == 1, str(error)
        assert file is None or error.file == os.fspath(file), error.file
        assert bool(error.remedy) or not remedy, f"no remedy: {error}"

    return expect
