"""Impulse responses of cabinets, rooms and devices: a folder of the user's (`--impulses`), or synthesised ones.

A folder holds audio files in `cabinet/`, `room/` and `device/` (or named so). A Markdown table in its `INDEX.md` may
say more, in columns called file, kind, licence and attribution. Cabinets with "bass" in kind or name are for basses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.signal import fftconvolve

from scoresep.audio.loading import read_audio
from scoresep.errors import NothingToDo, ScoresepError
from scoresep.files import existing_folder
from scoresep.rendering.sources.base import NO_CREDIT, Credit

IMPULSE_KINDS = ("cabinet", "bass cabinet", "room", "device")
_WORDS = (
    ("cab", "cabinet"),
    ("room", "room"),
    ("hall", "room"),
    ("plate", "room"),
    ("reverb", "room"),
    ("device", "device"),
)
_SUFFIXES = (".wav", ".flac", ".ogg", ".aif", ".aiff")
SYNTHESISED = {"cabinet": 12, "bass cabinet": 6, "room": 12}
"""Kind to how many are synthesised where a folder has none. Devices are not."""
_FIRST_SOUND = 0.1
"""The direct sound is the first sample above this share of the highest."""
_LATEST_PEAK = 0.06
"""Seconds: an impulse response that is loudest later is an echo, no room."""
_TIGHT = "_tight"


@dataclass(frozen=True)
class Impulse:
    """An impulse response: a file, or a number to synthesise one from.

    Attributes:
        kind: one of `IMPULSE_KINDS`.
        label: as metadata name it.
        path: the file; None: synthesised.
        number: seed of a synthesised one.
    """

    kind: str
    label: str
    path: Path | None = None
    number: int = 0
    credit: Credit = NO_CREDIT


@dataclass(frozen=True)
class ImpulseSet:
    """Impulse responses by kind, and label to the reason of what is not used."""

    by_kind: dict[str, tuple[Impulse, ...]]
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def all(self) -> tuple[Impulse, ...]:
        return tuple(impulse for impulses in self.by_kind.values() for impulse in impulses)


def read_impulses(folder: Path | None) -> ImpulseSet:
    """The impulse responses below `folder`, and synthesised ones of the kinds that it lacks.

    Raises:
        NotFound: there is no such folder.
        NothingToDo: it has none that can be used.
    """
    by_kind: dict[str, list[Impulse]] = {kind: [] for kind in IMPULSE_KINDS}
    left_out: dict[str, str] = {}
    for impulse in _listed(folder, left_out) if folder else []:
        by_kind[impulse.kind].append(impulse)
    if folder and not any(by_kind.values()):
        reason = next((f"the first, {label}: {text}" for label, text in left_out.items()), "no .wav or .flac files")
        problem = f"no impulse response that can be used ({reason})"
        raise NothingToDo(problem, file=folder, remedy="name another folder, or leave --impulses out")
    for kind, count in SYNTHESISED.items():
        if not by_kind[kind]:
            by_kind[kind] = [Impulse(kind, f"synthesised {kind} {n}", number=n) for n in range(count)]
    return ImpulseSet({kind: tuple(impulses) for kind, impulses in by_kind.items()}, tuple(sorted(left_out.items())))


def _listed(folder: Path, left_out: dict[str, str]) -> list[Impulse]:
    existing_folder(folder, "folder of impulse responses", "name another, or none")
    index = _index(folder / "INDEX.md")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and not path.is_dir())
    names = {path.stem for path in files}
    impulses = []
    for path in files:
        label = path.relative_to(folder).as_posix()
        about = index.get(label, {})
        kind = _kind(label, about.get("kind", ""))
        reason = _fault(path, kind, names)
        if reason:
            left_out[label] = reason
        else:
            credit = Credit(about.get("licence", ""), about.get("attribution", ""))
            impulses.append(Impulse(str(kind), label, path, credit=credit))
    return impulses


def _kind(label: str, kind: str) -> str | None:
    from_path = next((name for word, name in _WORDS if word in label.lower()), None)
    return "bass cabinet" if from_path == "cabinet" and "bass" in f"{label} {kind}".lower() else from_path


def _fault(path: Path, kind: str | None, names: set[str]) -> str | None:
    if kind is None:
        return "its path does not tell whether it is a cabinet, a room or a device; put it into a folder called so"
    if path.stem + _TIGHT in names:
        return "a version of it with a tight low end is used"
    try:
        samples, rate = read_audio(path)
    except ScoresepError as fault:
        return str(fault)
    if not samples.any():
        return "silent"
    if kind == "room" and np.argmax(np.abs(samples)) - _first(samples) > _LATEST_PEAK * rate:
        return "an echo: it is loudest late"
    return None


def _index(path: Path) -> dict[str, dict[str, str]]:
    """File to the columns of its row in a Markdown table; nothing where there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if line.startswith("|")]
    if not rows or "file" not in rows[0]:
        return {}
    return {about["file"]: about for row in rows[1:] if (about := dict(zip(rows[0], row, strict=False))).get("file")}


@lru_cache(maxsize=64)
def response(impulse: Impulse, sample_rate: int) -> np.ndarray:
    """The response from its direct sound on, mono float32 (L,), of unit energy."""
    if impulse.path is None:
        samples = _SYNTHESES[impulse.kind](np.random.default_rng([*impulse.kind.encode(), impulse.number]), sample_rate)
    else:
        samples, _ = read_audio(impulse.path, sample_rate)
    samples = samples[_first(samples) :]
    unit: np.ndarray = samples / np.sqrt(np.square(samples, dtype=np.float64).sum())
    return unit.astype(np.float32)


def _first(samples: np.ndarray) -> int:
    return int(np.argmax(np.abs(samples) > _FIRST_SOUND * np.abs(samples).max()))


def convolve(samples: np.ndarray, impulse: np.ndarray) -> np.ndarray:
    """The first L samples of (L,) convolved with an impulse response: float32, nothing later than the response is."""
    convolved: np.ndarray = fftconvolve(samples, impulse)[: len(samples)]
    return convolved.astype(np.float32)


# Synthesised ones


def minimum_phase(magnitude: np.ndarray) -> np.ndarray:
    """The minimum-phase impulse response (2 (F - 1),) with a magnitude (F,) over 0 to half the rate, by its cepstrum.

    Source: Oppenheim and Schafer, Discrete-Time Signal Processing, section 13 (homomorphic processing).
    """
    size = 2 * (len(magnitude) - 1)
    cepstrum = np.fft.irfft(np.log(np.maximum(magnitude, 1e-6)), size)
    cepstrum[1 : size // 2] *= 2
    cepstrum[size // 2 + 1 :] = 0
    return np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), size)


def _cabinet(
    rng: np.random.Generator, sample_rate: int, lowest: tuple[float, float], highest: tuple[float, float]
) -> np.ndarray:
    """A loudspeaker: a resonant low end, a few bells, a steep loss of treble."""
    size = 2 ** int(np.ceil(np.log2(0.08 * sample_rate)))
    hertz = np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 1.0)
    low, high = rng.uniform(*lowest), rng.uniform(*highest)
    decibels = -10 * np.log10(1 + (low / hertz) ** 4) - 10 * np.log10(1 + (hertz / high) ** rng.uniform(6, 10))
    bells = [(low * 1.3, rng.uniform(1, 5), 0.5), (rng.uniform(300, 700), rng.uniform(-6, 0), 0.6)]
    bells += [(high * rng.uniform(0.5, 0.8), rng.uniform(2, 8), 0.5)]
    bells += [(rng.uniform(800, 5000), rng.uniform(-8, 4), 0.15) for _ in range(4)]
    for centre, gain, octaves in bells:
        decibels = decibels + gain * np.exp(-0.5 * (np.log2(hertz / centre) / octaves) ** 2)
    return minimum_phase(10 ** (decibels / 20))[: int(0.06 * sample_rate)]


def _guitar_cabinet(rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    return _cabinet(rng, sample_rate, (70, 120), (3500, 6000))


def _bass_cabinet(rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    return _cabinet(rng, sample_rate, (35, 60), (2500, 7000))


def _room(rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    """Reflections, and noise whose treble decays faster than its bass; the direct sound first."""
    seconds = float(np.exp(rng.uniform(np.log(0.2), np.log(2.5))))
    length = int(1.2 * seconds * sample_rate)
    time = np.arange(length) / sample_rate
    noise = rng.standard_normal(length)
    bright = noise - np.convolve(noise, np.ones(8) / 8, mode="same")
    tail = (noise - bright) * 10 ** (-3 * time / seconds)
    tail += bright * 10 ** (-3 * time / (rng.uniform(0.3, 0.7) * seconds))
    tail *= rng.uniform(0.02, 0.08) * (1 - np.exp(-time / rng.uniform(0.003, 0.02)))
    for delay, gain in zip(rng.uniform(0.002, 0.03, 8), rng.uniform(-0.5, 0.5, 8), strict=True):
        tail[int(delay * sample_rate) % length] += gain
    tail[0] = 1.0
    return tail


_SYNTHESES = {"cabinet": _guitar_cabinet, "bass cabinet": _bass_cabinet, "room": _room}
