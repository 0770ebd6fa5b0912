"""A trained model as an object for arrays: what `scoresep.load` returns (docs/reference/use.md).

The model that comes with scoresep lies here with its card; `pipelines/shipped` makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from scoresep.arguments import as_choice, as_names
from scoresep.machine import choose_device
from scoresep.models.checkpoint import load_checkpoint, untrained_separator
from scoresep.models.model import Model
from scoresep.separation.score_prior import SCORE_WEIGHT, read_score_prior
from scoresep.separation.separate import Options, separate_array
from scoresep.transcription.transcribe import SIGNALS, Transcription, transcribe_array, write_midi

SHIPPED_MODEL = Path(__file__).with_name("model.pt")
"""A checkpoint with weights of eight bits (`models.compact`)."""
SHIPPED_CARD = Path(__file__).with_name("card.md")
"""What it was trained on, what it reaches and what it is not good at."""


class Pretrained:
    """The networks of a checkpoint, ready for music.

    Attributes:
        model: the networks and what belongs to them.
        separates: whether its separator was trained.
    """

    def __init__(self, model: Model, separates: bool = True) -> None:
        self.model = model.eval()
        self.separates = separates

    def __repr__(self) -> str:
        return f"<scoresep model of {', '.join(self.instruments)} on {self.model.device}>"

    @property
    def instruments(self) -> tuple[str, ...]:
        """Names of the instruments that it separates."""
        return self.model.names

    @property
    def sample_rate(self) -> int:
        """Hz of the audio that its networks see; audio of any rate may be given."""
        return self.model.grid.sample_rate

    def separate(
        self,
        audio: ArrayLike,
        rate: int,
        instruments: str | Iterable[str] = (),
        score: str | Path | None = None,
        refine: bool = False,
        present: str | Iterable[str] = (),
        score_weight: float = SCORE_WEIGHT,
        long_window: bool = False,
    ) -> dict[str, np.ndarray]:
        """One stem per instrument; together they add up to the audio.

        Args:
            audio: samples (L,) or (L, C), in full scale +-1: an array, a tensor on any device, or nested lists.
            rate: its sample rate, Hz.
            instruments: those wanted, also by comma in one string; none for all.
            score: MIDI file aligned with the audio, to help.
            refine: learn the sounds of this recording from the notes that the model reads in it: better on sounds
                unlike those of training (docs/research/teacher.md). With a score this is always done.
            present: those that play, as `instruments`, if you know: the others get nothing, and no stem; none for all.
            score_weight: how much notes count beside the model's masks then, from 0 (masks alone) to 1 (notes alone).
            long_window: apply masks by a window twice as long: a little better, and slower (docs/research/phase.md).

        Returns:
            name -> float32 array of the shape of `audio`. If some instruments are left out, or the model's masks are
            independent of one another (sigmoid), the rest of the audio is `residual`.

        Raises:
            ScoresepError: audio or a rate that is none (`arguments.as_audio`, `as_rate`), an unknown instrument, one
                asked for (or with a part in the score) that is not present, an unreadable score, `refine` without
                notes (neither a score nor a model that hears any), or a checkpoint of stage 1.
        """
        if not self.separates:
            raise untrained_separator()
        prior = read_score_prior(score, self.model.instruments, self.model.grid) if score is not None else None
        options = Options(
            as_names(instruments),
            prior,
            refine=refine,
            present=as_names(present),
            score_weight=score_weight,
            long_window=long_window,
        )
        return separate_array(audio, rate, self.model, options)

    def transcribe(self, audio: ArrayLike, rate: int, signal: str = "mixture") -> Transcription:
        """What each instrument plays.

        Args:
            audio, rate: as in `separate`.
            signal: what the notes are read from: `mixture`; `separated`, each instrument's separated track; or
                `refined`, the same with refined tracks.

        Returns:
            `notes`: instrument -> float64 (K, 4), onset s, offset s, pitch (MIDI number), velocity, ordered by onset;
            `roll`: keys that sound, bool (T, N, P), frame t at `model.grid.seconds(t)`, key 0 is MIDI pitch 21.

        Raises:
            ScoresepError: audio or a rate that is none, as in `separate`, an unknown `signal`, or a model that
                knows no notes; one of stage 1, whose `signal` can only be `mixture`.
        """
        if not self.separates and as_choice(signal, SIGNALS, "signal") != "mixture":
            raise untrained_separator()
        return transcribe_array(audio, rate, self.model, signal=signal)

    def write_midi(self, path: str | Path, notes: Mapping[str, np.ndarray]) -> None:
        """Write notes as `transcribe` gives them to a MIDI file, a track and a program for each instrument.

        Folders that are missing are made. A note that is shorter than 1.5 ms is written as long as that.

        Raises:
            ScoresepError: `path` cannot be written, an unknown instrument, or notes that MIDI cannot say
                (`arguments.as_notes`).
        """
        write_midi(path, notes, self.model.instruments)


def load(checkpoint: str | Path | None = None, device: str = "auto") -> Pretrained:
    """See `scoresep.load`."""
    loaded = load_checkpoint(SHIPPED_MODEL if checkpoint is None else checkpoint)
    return Pretrained(loaded.model.to(choose_device(device)), loaded.separates)
