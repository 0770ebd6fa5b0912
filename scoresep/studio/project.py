"""A project: a folder with a recording, what the networks say of it, its notes, and versions of its stems.

    project.json      what `Project.state` says, replaced as a whole
    recording.*       the file as it was opened
    mixture.wav       the same, decoded, float
    analysis/         `analysis.Analysis`
    versions/K/       masks.npy (T, N, F) float16, and a float WAV a stem: 0.wav, 1.wav, ...
    .lock             held by the studio that has it open (`lock`)

A file appears under its final name when it is complete, so a server that is killed loses only what it was computing.
"""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from scoresep.arguments import as_notes
from scoresep.audio.decoding.formats import AUDIO_SUFFIXES, FORMATS
from scoresep.audio.decoding.recording import open_recording
from scoresep.audio.source import Progress
from scoresep.errors import AlreadyExists, InvalidValue, Mismatch, NotFound, WrongFormat
from scoresep.files import make_folder, replacing, system_name, writing
from scoresep.models.model import Model, identity
from scoresep.separation.score_prior import SCORE_WEIGHT, as_weight
from scoresep.separation.separate import RESIDUAL, presence, present_names, stem_names
from scoresep.studio.analysis import (
    FADE_SECONDS,
    Analysis,
    analyse,
    masks_again,
    new_array,
    open_analysis,
)
from scoresep.studio.lock import LOCK
from scoresep.studio.state import STATE, Conflict, State, Version, as_beat, as_mix, open_state, write_state
from scoresep.studio.stems import empty_stems, stems_between, write_span
from scoresep.transcription.transcribe import write_midi

KEPT = 3
"""Versions of the stems that are kept: the model's own, the present one and the one before."""
MOST_NOTES = 200_000
"""An instrument's notes; no music has more."""


class Project:
    """A folder and the model that works on it. Methods that compute are called by one thread at a time.

    Attributes:
        folder: where everything is.
        model: the networks.
        state: see `State`; changed only by methods here, which save it.
    """

    def __init__(self, folder: Path, model: Model) -> None:
        """Open or begin a project.

        Raises:
            Damaged: project.json cannot be read.
            Mismatch: another model made it.
        """
        if not model.transcribes:
            problem = f"the checkpoint's critic classifies who plays ({model.critic}) and hears no notes"
            raise Mismatch(problem, remedy='give a checkpoint trained with supervision "score"')
        self.folder, self.model, self.state = folder, model, State(model=identity(model))
        self._lock = threading.RLock()
        if (folder / STATE).exists():
            self.state = open_state(folder / STATE, model)
        elif folder.is_dir() and any(path.name != LOCK for path in folder.iterdir()):
            raise AlreadyExists("a folder that holds something else", file=folder, remedy="name an empty or a new one")
        else:
            with writing(folder):
                make_folder(folder)
            self.save()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stems."""
        return tuple(stem_names(self.model))

    @property
    def mixture(self) -> Path:
        return self.folder / "mixture.wav"

    def analysis(self) -> Analysis:
        return open_analysis(self.folder / "analysis")

    def version(self, number: int | None = None) -> Version:
        """The version of that number, or the latest.

        Raises:
            NotFound: there is none.
        """
        found = [each for each in self.state.versions if number in (None, each.id)]
        if not found:
            raise NotFound("there is no such version of the stems")
        return found[-1]

    def stem(self, version: int, part: int) -> Path:
        """The file of a stem.

        Raises:
            NotFound: there is none.
        """
        if not 0 <= part < len(self.names):
            raise NotFound("there is no such stem")
        return self._place(self.version(version)) / f"{part}.wav"

    def _place(self, version: Version) -> Path:
        """The folder of a version."""
        return self.folder / "versions" / str(version.id)

    def save(self) -> None:
        """Write what is remembered."""
        with self._lock:
            write_state(self.folder, self.state)

    # -- opening ----------------------------------------------------------------------------------------------------

    def take(self, file: Path, name: str) -> None:
        """Take a recording into the empty project; `file` is copied.

        Raises:
            AlreadyExists: the project has a recording.
            WrongFormat: its name says that it is none.
            ScoresepError: it cannot be read.
        """
        if self.state.recording:
            raise AlreadyExists("has a recording already", file=self.folder, remedy="open the other in a new project")
        suffix = Path(name).suffix.lower()
        if suffix not in AUDIO_SUFFIXES:
            raise WrongFormat(f"'{suffix}' is no audio that is read here", file=name, remedy=f"give {FORMATS}")
        open_recording(file)
        self._clear()
        kept = f"recording{suffix}"
        with replacing(self.folder / kept) as temporary:
            shutil.copyfile(file, temporary)
        self.state.name, self.state.recording = Path(name).stem, kept
        self.save()

    def give_up(self) -> None:
        """Be empty again, as if no recording had been taken."""
        with self._lock:
            self.state = State(model=self.state.model)
            self.save()
        self._clear()

    def _clear(self) -> None:
        """Remove what is left of a recording that was given up."""
        for path in (*self.folder.glob("recording.*"), self.mixture):
            path.unlink(missing_ok=True)
        for name in ("analysis.new", "analysis", "versions"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def prepare(self, progress: Progress | None = None) -> None:
        """Decode the recording, hear its notes and separate it, as far as that is not done."""
        self.decode(progress)
        if not self.state.heard:
            self._hear(progress)
        if not self.state.versions:
            self.separate(0.0, self.model.names, None, progress)
        for version in self.state.versions:
            if not self.stem(version.id, 0).exists():
                self._render(version, self._place(version), progress)

    def decode(self, progress: Progress | None = None) -> None:
        """Write the recording as float samples, from which any span is read at once."""
        if self.mixture.exists():
            return
        source, done = open_recording(self.folder / self.state.recording), 0
        self.state.rate, self.state.channels, self.state.samples = source.rate, source.channels, source.samples
        with replacing(self.mixture) as temporary:
            empty_stems([temporary], source.rate, source.channels, source.samples)
            with soundfile.SoundFile(system_name(temporary), "r+") as file:
                for chunk in source.chunks():
                    file.write(chunk)
                    done += len(chunk)
                    if progress:
                        progress("reading", done, source.samples)
        self.save()

    def _hear(self, progress: Progress | None) -> None:
        place = _emptied(self.folder / "analysis.new")
        notes = analyse(open_recording(self.mixture), self.model, place, progress)
        _moved(place, self.folder / "analysis")
        self.state.heard = {name: np.round(table, 4).tolist() for name, table in notes.items()}
        self.state.notes = {name: list(rows) for name, rows in self.state.heard.items()}
        self.save()

    # -- notes ------------------------------------------------------------------------------------------------------

    def edit(self, notes: Any, revision: int) -> int:
        """Replace the notes; returns the new revision.

        Raises:
            Conflict: they have changed since `revision`.
            InvalidValue: they are none.
        """
        tables = as_notes(notes, self.model.instruments)
        if any(len(table) > MOST_NOTES for table in tables.values()):
            raise InvalidValue("more notes than any music has")
        with self._lock:
            if revision != self.state.revision:
                raise Conflict("the notes were changed in another tab", remedy="load the page again")
            self.state.notes = {name: tables[name].tolist() if name in tables else [] for name in self.state.heard}
            self.state.revision += 1
            self.save()
            return self.state.revision

    def set_mix(self, mix: Any) -> None:
        """Remember levels, pans, mute and solo; raises as `as_mix`."""
        with self._lock:
            self.state.mix = as_mix(mix, self.names)
            self.save()

    def set_beat(self, beat: Any) -> None:
        """Remember a beat that was tapped; raises as `as_beat`."""
        with self._lock:
            self.state.beat = as_beat(beat)
            self.save()

    def write_midi(self, path: Path) -> None:
        """The notes as they are now."""
        write_midi(path, self.tables(), self.model.instruments)

    def tables(self) -> dict[str, np.ndarray]:
        """The notes as they are now: instrument -> float64 (K, 4)."""
        return {name: np.array(rows).reshape(-1, 4) for name, rows in self.state.notes.items()}

    # -- separating -------------------------------------------------------------------------------------------------

    def separate(
        self,
        weight: float = SCORE_WEIGHT,
        present: Sequence[str] = (),
        span: tuple[float, float] | None = None,
        progress: Progress | None = None,
    ) -> Version:
        """Separate by the notes as they are now; outside of a span of seconds the version before stays.

        Args:
            weight: of the notes beside the separator's masks, 0 to 1.
            present: names of the instruments that play; none for all.
            span: seconds; none for all.

        Raises:
            InvalidValue: a weight, an instrument or a span that is none.
        """
        stem_names(self.model, present=present)  # knows them
        wanted = tuple(present_names(self.model, present))
        if span and not 0 <= span[0] < span[1] < math.inf:
            raise InvalidValue(f"a span from {span[0]} to {span[1]} s")
        before = self.state.versions[-1] if self.state.versions else None
        span = span if before else None
        new = Version(before.id + 1 if before else 0, as_weight(weight), wanted, span)
        with writing(self.folder):
            place = _emptied(self.folder / "versions" / "new")
            try:
                self._masks(new, before, place, progress)
                self._render(new, place, progress, before)
                _moved(place, self._place(new))
            finally:
                shutil.rmtree(place, ignore_errors=True)
        self.state.versions.append(new)
        if dropped := self.state.versions[1 : -(KEPT - 1)]:
            self.state.versions = [each for each in self.state.versions if each not in dropped]
        self.save()
        for each in dropped:
            shutil.rmtree(self._place(each), ignore_errors=True)
        return new

    def _masks(self, new: Version, before: Version | None, place: Path, progress: Progress | None) -> None:
        """Write the masks of a version; at the ends of a span they fade into those of the version before."""
        analysis, present = self.analysis(), presence(self.model, new.present)
        target = place / "masks.npy"
        start, stop = 0, len(analysis)
        if new.span and before:
            shutil.copyfile(self._place(before) / "masks.npy", target)
            start, stop = self._faded(new.span)
            masks = np.load(target, mmap_mode="r+")
        else:
            masks = new_array(target, analysis.masks.shape)
        fade = _fade(start, stop, len(analysis), self.model.grid.frames_in(FADE_SECONDS))
        span = (start, stop) if new.span else None
        pieces = masks_again(analysis, self.model, self.tables(), new.weight, present, span)
        for first, piece in pieces:
            inside = slice(first, first + piece.shape[2])
            share = fade[first - start : first - start + piece.shape[2], None, None]
            fresh = piece.transpose(2, 0, 1)
            masks[inside] = fresh if not new.span else share * fresh + (1 - share) * masks[inside]
            if progress:
                progress("separating", inside.stop - start, stop - start)
        masks.flush()

    def _faded(self, span: tuple[float, float]) -> tuple[int, int]:
        """The frames of a span and of the fades at its ends: the first, and the one after the last."""
        grid, count = self.model.grid, len(np.load(self.folder / "analysis" / "frame.npy", mmap_mode="r"))
        fade, start = grid.frames_in(FADE_SECONDS), min(grid.frame_at(span[0]), count - 1)
        stop = max(grid.frame_at(span[1]) + 1, start + 1)
        return max(start - fade, 0), min(stop + fade, count)

    def touched(self, version: Version) -> tuple[int, int]:
        """Samples that differ from the version before: the first, and the one after the last."""
        if not version.span:
            return 0, self.state.samples
        start, stop = self._faded(version.span)
        grid, reach = self.model.grid, self.state.rate * self.model.grid.n_fft // self.model.grid.sample_rate
        first, last = (round(grid.seconds(frame) * self.state.rate) for frame in (start, stop))
        return max(first - 2 * reach, 0), min(last + 2 * reach, self.state.samples)

    def _render(self, version: Version, place: Path, progress: Progress | None, before: Version | None = None) -> None:
        """Write the stems of a version whose masks are in `place`."""
        final = [place / f"{part}.wav" for part in range(len(self.names))]
        files = [path.with_name(f"unfinished-{path.name}") for path in final]
        start, stop = self.touched(version) if before else (0, self.state.samples)
        if version.span and before:
            for part, path in enumerate(files):
                shutil.copyfile(self.stem(before.id, part), path)
        else:
            empty_stems(files, self.state.rate, self.state.channels, self.state.samples)
        masks, magnitude = np.load(place / "masks.npy", mmap_mode="r"), self.analysis().magnitude
        complete = RESIDUAL not in self.names
        pieces = stems_between(self.mixture, magnitude, masks, self.model.grid, start, stop, complete)
        write_span(files, pieces, progress, start, stop)
        for path, name in reversed([*zip(files, final, strict=True)]):  # the first, which is looked for, comes last
            path.replace(name)


def _fade(start: int, stop: int, count: int, length: int) -> np.ndarray:
    """Shares float32 (stop - start,) that rise over the first and fall over the last frames, not at the song's ends."""
    frames = np.arange(stop - start, dtype=np.float32)
    rising = (frames + 1) / (length + 1) if start > 0 else np.ones_like(frames)
    falling = (stop - start - frames) / np.float32(length + 1) if stop < count else np.ones_like(frames)
    return np.minimum(np.minimum(rising, falling), np.float32(1.0)).astype(np.float32)


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _moved(folder: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    folder.rename(target)
