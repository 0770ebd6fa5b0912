"""Audio to notes and a MIDI file.

Axes: N instruments, P keys, t or T frames, F frequency bins, K notes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pretty_midi
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from scoresep.arguments import TICKS_A_SECOND, as_choice, as_notes
from scoresep.audio.decoding.recording import Recording, open_recording
from scoresep.audio.source import ArraySource, Progress, Source
from scoresep.audio.spectrogram import stft
from scoresep.errors import Mismatch
from scoresep.files import as_target, check_new, replacing
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.instruments import Instrument
from scoresep.models.model import Model, as_model
from scoresep.models.streaming import (
    BLOCK_SECONDS,
    block_frames,
    level_of_source,
    network_blocks,
    relative_magnitudes,
)
from scoresep.separation.separate import Options, mask_blocks
from scoresep.transcription.note_decoder import Note, NoteDecoder, sort_notes

RESOLUTION = TICKS_A_SECOND // 2
"""Ticks per quarter note; at the default tempo of 120 a tick is about 1 ms."""
SHORTEST_MIDI_SECONDS = 1.5 / TICKS_A_SECOND
"""A shorter note is written as long as this, because rounded to ticks it might have no length."""
SIGNALS = ("mixture", "separated", "refined")
"""What the notes are read from: the mixture; its separated tracks, instrument i from track i; or these refined."""
PARTIALS = 3
"""Partials whose energy is a key's strength: more of them follow velocities less well (docs/research/use.md)."""


@dataclass(frozen=True)
class Posteriors:
    """The transcriptor's output for consecutive frames.

    Attributes:
        frame: probability that a key sounds, float32 (N, t, P).
        onset: probability that a note begins, float32 (N, t, P).
        strength: `key_strength` of the signal, relative to the level, float32 (N, t, P).
    """

    frame: np.ndarray
    onset: np.ndarray
    strength: np.ndarray


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
    audio: str | Path | Recording,
    model: Model,
    out_path: str | Path,
    block_seconds: float = BLOCK_SECONDS,
    progress: Progress | None = None,
    *,
    signal: str = "mixture",
    force: bool = False,
) -> dict[str, np.ndarray]:
    """Transcribe a file to the MIDI file `out_path`, one track per instrument; returns the notes.

    Args:
        signal: one of `SIGNALS`.
        force: replace a file that exists.

    Raises:
        ScoresepError: the audio cannot be read, the MIDI file cannot be written or exists already, or the model does
            not transcribe.
    """
    model, out_path = as_model(model), as_target(out_path, "MIDI file")
    check_new(out_path, force)
    source = audio if isinstance(audio, Recording) else open_recording(audio)
    blocks = posterior_stream(source, model, block_seconds, signal, progress)
    notes = transcribe_stream(blocks, model, source, progress)
    write_midi(out_path, notes, model.instruments)
    return notes


def transcribe_array(
    mixture: ArrayLike, rate: int, model: Model, block_seconds: float = BLOCK_SECONDS, signal: str = "mixture"
) -> Transcription:
    """Transcribe audio in memory, (L,) or (L, C) at `rate` Hz; also gives the roll of all frames."""
    model, source = as_model(model), ArraySource(mixture, rate)
    return _transcription(posterior_stream(source, model, block_seconds, signal), model, source)


def transcribe_tracks(stems: Mapping[str, np.ndarray], mixture: np.ndarray, model: Model) -> Transcription:
    """Each instrument as the transcriptor reads it off its own separated track.

    Magnitudes are taken relative to the mixture's level, as in training: a quiet stem stays quiet.

    Args:
        stems: instrument -> float32 (L,), at the model's rate as the mixture (L,) is.
    """
    grid, source = model.grid, ArraySource(mixture, model.grid.sample_rate)
    level = np.float32(level_of_source(source, grid))
    relative = np.concatenate([np.abs(stft(stems[name], grid.n_fft, grid.hop)) for name in model.names], axis=1)
    relative /= level  # (T, N F)
    blocks = _network_posteriors(iter([relative]), len(relative), model, track_posteriors, BLOCK_SECONDS)
    return _transcription(blocks, model, source)


def _transcription(blocks: Iterator[Posteriors], model: Model, source: Source) -> Transcription:
    limits = np.array(model.threshold, dtype=np.float32)[:, None, None]
    rolls: list[np.ndarray] = []

    def with_rolls() -> Iterator[Posteriors]:
        for block in blocks:
            rolls.append((block.frame >= limits).transpose(1, 0, 2))
            yield block

    notes = transcribe_stream(with_rolls(), model, source)
    return Transcription(notes, np.concatenate(rolls))


def posterior_stream(
    source: Source,
    model: Model,
    block_seconds: float = BLOCK_SECONDS,
    signal: str = "mixture",
    progress: Progress | None = None,
) -> Iterator[Posteriors]:
    """The transcriptor's probabilities, block by block. The source is read twice, first for its level.

    Raises:
        Mismatch: the model does not transcribe.
        InvalidValue: `signal` is not one of `SIGNALS`.
    """
    if not model.transcribes:
        raise Mismatch(
            f"the checkpoint's critic classifies who plays ({model.critic}) and gives no notes: it can only separate",
            remedy='transcribe with a checkpoint trained with supervision "score"',
        )
    as_choice(signal, SIGNALS, "signal")
    relative, frames = relative_magnitudes(source, model.grid, progress)
    return posteriors(relative, frames, model, block_seconds, signal)


def posteriors(
    relative: Iterator[np.ndarray],
    frames: int,
    model: Model,
    block_seconds: float = BLOCK_SECONDS,
    signal: str = "mixture",
) -> Iterator[Posteriors]:
    """`posterior_stream` of magnitudes relative to the level, float32 (t, F) at a time, `frames` together."""
    if signal == "mixture":
        return _network_posteriors(relative, frames, model, mixture_posteriors, block_seconds)
    options = Options(block_seconds=block_seconds, refine=signal == "refined")
    masked = mask_blocks(relative, frames, model, options)
    tracks = (np.concatenate(masks * magnitude.T).T for magnitude, masks in masked)  # (t, N F)
    return _network_posteriors(tracks, frames, model, track_posteriors, block_seconds)


def _network_posteriors(
    relative: Iterator[np.ndarray],
    frames: int,
    model: Model,
    network: Callable[[Model, Tensor], Tensor],
    block_seconds: float,
) -> Iterator[Posteriors]:
    """Run `mixture_posteriors` or `track_posteriors` over magnitudes, a block at a time."""
    context = model.transcriptor.eval().context
    block = block_frames(block_seconds, model.grid, context)
    for _, outputs in network_blocks(relative, partial(network, model), context, block, frames, model.device):
        yield Posteriors(*outputs.transpose(0, 1, 3, 2))


def mixture_posteriors(model: Model, magnitude: Tensor) -> Tensor:
    """All instruments from one magnitude (1, F, t): frame and onset probabilities and strength, (3, N, P, t)."""
    strength = key_strength(magnitude, model.grid).expand(len(model.instruments), -1, -1)
    return torch.stack([*(torch.sigmoid(roll[0]) for roll in model.transcriptor(magnitude)), strength])


def track_posteriors(model: Model, magnitudes: Tensor) -> Tensor:
    """Each instrument from its own track: magnitudes of all tracks, (1, N F, t), to (3, N, P, t)."""
    tracks = magnitudes.reshape(len(model.instruments), model.grid.bins, -1)  # (N, F, t): a batch of recordings
    rolls = (torch.sigmoid(roll.diagonal()).movedim(-1, 0) for roll in model.transcriptor(tracks))
    return torch.stack([*rolls, key_strength(tracks, model.grid)])


def transcribe_stream(
    blocks: Iterator[Posteriors], model: Model, source: Source, progress: Progress | None = None
) -> dict[str, np.ndarray]:
    """Notes of each instrument from blocks of probabilities; offsets end with the source."""
    seconds = source.samples / source.rate
    decoders = [
        NoteDecoder(threshold, onset_threshold, model.grid)
        for threshold, onset_threshold in zip(model.threshold, model.onset_threshold, strict=True)
    ]
    ended: list[list[Note]] = [[] for _ in decoders]
    frames = 0
    for block in blocks:
        rolls = (block.frame, block.onset, block.strength)
        for notes, decoder, frame, onset, strength in zip(ended, decoders, *rolls, strict=True):
            notes += decoder.push(frame, onset, strength)
        frames += block.frame.shape[1]
        if progress:
            progress("transcribing", min(model.grid.seconds(frames), seconds), seconds)
    for notes, decoder in zip(ended, decoders, strict=True):
        notes += decoder.finish()
    tables = [sort_notes(notes) for notes in ended]
    for table in tables:
        table[:, 1] = np.minimum(table[:, 1], seconds)
    return {
        instrument.name: table[table[:, 1] > table[:, 0]]
        for instrument, table in zip(model.instruments, tables, strict=True)
        if instrument.scored
    }


def key_strength(magnitude: Tensor, grid: Grid) -> Tensor:
    """Loudness of each key: root of the energy in the peaks of its first partials, (B, F, t) -> (B, P, t).

    A stand-in for a note's energy: whatever else sounds in those bins counts too.
    """
    peaks = functional.max_pool1d(magnitude.transpose(1, 2), 3, stride=1, padding=1)  # over a bin and its neighbours
    energy = torch.zeros(*peaks.shape[:2], PITCHES, device=magnitude.device)
    for bins, inside in partial_bins(grid, magnitude.device):
        energy += inside * peaks[..., bins] ** 2
    return energy.sqrt().transpose(1, 2)


@lru_cache(maxsize=8)
def partial_bins(grid: Grid, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Bins of the first, second, ... partial of all keys, int64 (P,), and whether the grid has them, bool (P,)."""
    hertz = 440.0 * 2.0 ** ((torch.arange(PITCHES) + LOWEST_PITCH - 69) / 12)
    bins = [torch.round(h * hertz / grid.bin_width).long() for h in range(1, PARTIALS + 1)]
    return [(places.clamp(max=grid.bins - 1).to(device), (places < grid.bins).to(device)) for places in bins]


def write_midi(path: str | Path, notes: Mapping[str, np.ndarray], instruments: Sequence[Instrument]) -> None:
    """Write notes (K, 4) as MIDI: one track an instrument that has any entry in `notes`, 120 beats per minute.

    Tracks are named after their instruments, in UTF-8.

    Raises:
        ScoresepError: `path` cannot be written, or the notes cannot be put into MIDI (`arguments.as_notes`).
    """
    path, notes = as_target(path, "MIDI file"), as_notes(notes, instruments)
    midi = pretty_midi.PrettyMIDI(resolution=RESOLUTION)
    for instrument in instruments:
        if instrument.name not in notes:
            continue
        name = instrument.name.encode().decode("latin-1")  # pretty_midi writes Latin-1: the file holds UTF-8
        part = pretty_midi.Instrument(instrument.midi_program, not instrument.pitched, name)
        part.notes = [
            pretty_midi.Note(int(velocity), int(pitch), onset, max(offset, onset + SHORTEST_MIDI_SECONDS))
            for onset, offset, pitch, velocity in notes[instrument.name].tolist()
        ]
        midi.instruments.append(part)
    with replacing(path) as temporary:
        midi.write(str(temporary))
