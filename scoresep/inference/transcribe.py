"""Audio to notes and a MIDI file. Called by `scoresep transcribe`, evaluation and threshold tuning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pretty_midi
import torch
from torch import Tensor

from scoresep.errors import ScoresepError
from scoresep.files import replacing
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.inference.notes import Note, NoteDecoder, sort_notes
from scoresep.inference.source import ArraySource, FileSource, Progress, Source
from scoresep.inference.stream import (
    BLOCK_SECONDS,
    block_frames,
    level_of_source,
    magnitudes,
    model_audio,
    model_samples,
    network_blocks,
)
from scoresep.instruments import Instrument
from scoresep.training.checkpoint import Model

RESOLUTION = 480
"""Ticks per quarter note; at the default tempo of 120 a tick is about 1 ms."""


@dataclass(frozen=True)
class Posteriors:
    """What the transcriptor says about consecutive frames.

    Attributes:
        magnitude: the mixture relative to its level, float32 (t, F).
        frame: probability that a key sounds, float32 (N, t, P).
        onset: probability that a note begins, float32 (N, t, P).
    """

    magnitude: np.ndarray
    frame: np.ndarray
    onset: np.ndarray


@dataclass(frozen=True)
class Transcription:
    """A transcribed recording.

    Attributes:
        notes: instrument -> float64 (K, 4), onset s, offset s, pitch, velocity, ordered by onset.
        roll: keys whose probability reaches the threshold, bool (T, N, P).
    """

    notes: dict[str, np.ndarray]
    roll: np.ndarray


def transcribe_file(
    audio: str | Path,
    model: Model,
    out_path: str | Path,
    block_seconds: float = BLOCK_SECONDS,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Transcribe a file to the MIDI file `out_path`, one track per instrument; returns the notes.

    Raises:
        ScoresepError: the audio cannot be read, the MIDI file cannot be written, or the model knows no notes.
    """
    source = FileSource(audio)
    notes = transcribe_stream(posterior_stream(source, model, block_seconds), model, source, progress)
    write_midi(out_path, notes, model.instruments)
    return notes


def transcribe_array(
    mixture: np.ndarray, rate: int, model: Model, block_seconds: float = BLOCK_SECONDS
) -> Transcription:
    """Transcribe audio in memory, (L,) or (L, C) at `rate` Hz; also gives the roll of all frames."""
    source = ArraySource(mixture, rate)
    rolls: list[np.ndarray] = []

    def noted() -> Iterator[Posteriors]:
        for block in posterior_stream(source, model, block_seconds):
            rolls.append(active_keys(block.frame, model))
            yield block

    notes = transcribe_stream(noted(), model, source)
    return Transcription(notes, np.concatenate(rolls))


def active_keys(frame: np.ndarray, model: Model) -> np.ndarray:
    """Keys that sound by the model's thresholds: probabilities (N, T, P) -> bool (T, N, P)."""
    limits = np.array(model.threshold, dtype=np.float32)[:, None, None]
    return (frame >= limits).transpose(1, 0, 2)


def posterior_stream(source: Source, model: Model, block_seconds: float = BLOCK_SECONDS) -> Iterator[Posteriors]:
    """The transcriptor's probabilities, block by block. The source is read twice, first for its level.

    Raises:
        ScoresepError: the model knows no notes.
    """
    if not model.transcribes:
        raise ScoresepError(
            f"the checkpoint's critic tells who plays ({model.critic}) and knows no notes, so it can only separate; "
            'transcribe with one trained with supervision "score"'
        )
    grid = model.grid
    level = np.float32(level_of_source(source, grid))
    samples = model_samples(source, grid)
    relative = (part / level for part in magnitudes(model_audio(source, source.chunks(), grid), grid, samples))
    return posteriors(relative, grid.frames(samples), model, block_seconds)


def posteriors(
    relative: Iterator[np.ndarray], frames: int, model: Model, block_seconds: float = BLOCK_SECONDS
) -> Iterator[Posteriors]:
    """The same from magnitudes relative to the level, float32 (t, F) at a time, `frames` together."""
    network = model.transcriptor.eval()

    def run(magnitude: Tensor) -> Tensor:
        return torch.sigmoid(torch.cat(network(magnitude)))  # (2, N, P, t)

    block = block_frames(block_seconds, model.grid, network.context)
    for magnitude, outputs in network_blocks(relative, run, network.context, block, frames, model.device):
        frame, onset = outputs.transpose(0, 1, 3, 2)
        yield Posteriors(magnitude, frame, onset)


def transcribe_stream(
    blocks: Iterator[Posteriors], model: Model, source: Source, progress: Progress | None = None
) -> dict[str, np.ndarray]:
    """Notes of each instrument from blocks of probabilities; offsets end with the source."""
    seconds = source.samples / source.rate
    decoders = [
        NoteDecoder(threshold, onset_threshold, model.grid)
        for threshold, onset_threshold in zip(model.threshold, model.onset_threshold, strict=True)
    ]
    found: list[list[Note]] = [[] for _ in decoders]
    frames = 0
    for block in blocks:
        strength = key_strength(block.magnitude, model.grid)
        for notes, decoder, frame, onset in zip(found, decoders, block.frame, block.onset, strict=True):
            notes += decoder.push(frame, onset, strength)
        frames += len(strength)
        if progress:
            progress(min(model.grid.seconds(frames), seconds), seconds)
    for notes, decoder in zip(found, decoders, strict=True):
        notes += decoder.finish()
    tables = [sort_notes(notes) for notes in found]
    for table in tables:
        table[:, 1] = np.minimum(table[:, 1], seconds)
    return {
        instrument.name: table[table[:, 1] > table[:, 0]]
        for instrument, table in zip(model.instruments, tables, strict=True)
        if instrument.scored
    }


def key_strength(magnitude: np.ndarray, grid: Grid) -> np.ndarray:
    """Loudness of each key: the larger of the magnitudes at its fundamental and its octave, (T, F) -> (T, P).

    A cheap stand-in for a note's energy: other notes that share those bins count too.
    """
    hertz = 440.0 * 2.0 ** ((np.arange(PITCHES) + LOWEST_PITCH - 69) / 12)
    bins = np.rint(hertz / grid.bin_width).astype(np.int64)
    first, second = np.minimum(bins, grid.bins - 1), np.minimum(2 * bins, grid.bins - 1)
    return np.maximum(magnitude[:, first], magnitude[:, second])


def write_midi(path: str | Path, notes: Mapping[str, np.ndarray], instruments: Sequence[Instrument]) -> None:
    """Write notes (K, 4) as MIDI: one named track an instrument that has any entry in `notes`, 120 beats per minute.

    Raises:
        ScoresepError: `path` cannot be written.
    """
    midi = pretty_midi.PrettyMIDI(resolution=RESOLUTION)
    for instrument in instruments:
        if instrument.name not in notes:
            continue
        part = pretty_midi.Instrument(instrument.midi_program, not instrument.pitched, instrument.name)
        part.notes = [
            pretty_midi.Note(int(velocity), int(pitch), float(onset), float(offset))
            for onset, offset, pitch, velocity in notes[instrument.name]
        ]
        midi.instruments.append(part)
    try:
        with replacing(path) as temporary:
            midi.write(str(temporary))
    except OSError as fault:
        raise ScoresepError(f"{path} cannot be written ({fault}); check the disk or give another --out") from fault
