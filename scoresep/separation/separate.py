"""Audio to one stem per instrument.

Stems have the rate, the channels and the length of the input; the input's phase is kept. They add up to the input,
sample by sample: where the masks share everything out (softmax, all instruments asked for) by themselves, otherwise
with one stem more, `residual`, which is the rest of the input. Where it is said who plays, the others get nothing, and
softmax masks share everything out among those who do.

Chunk edges cannot be heard: networks see all the context that a block depends on (`models.streaming.network_blocks`),
and masked frames are overlapped and added across blocks (`_synthesise`). So the length of a block decides the memory,
never the result. Only `nmf_refine` fades between the pieces that it factorises.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike

from scoresep.arguments import as_choice, as_names, as_seconds, unknown
from scoresep.audio.decoding.recording import open_recording
from scoresep.audio.source import ArraySource, Progress, Recorder, Source
from scoresep.audio.spectrogram import OverlapAdd, frames_to_spectrum
from scoresep.errors import AlreadyExists, InvalidValue, Mismatch
from scoresep.files import as_path, check_writable, folder_for_results, same_file
from scoresep.models.model import Model, as_model
from scoresep.models.streaming import (
    BLOCK_SECONDS,
    PIECE_SECONDS,
    block_frames,
    level_of_source,
    magnitudes,
    model_audio,
    model_samples,
    network_blocks,
)
from scoresep.separation.mask_resampling import MaskMap, native_grid
from scoresep.separation.score_prior import SCORE_WEIGHT, ScorePrior, as_weight
from scoresep.separation.writing import FLOAT_WAV, SUBTYPES, Format, check_fits, write_stems

RESIDUAL = "residual"
LONG_WINDOW = 2
"""Times the length of the model's window, where a long one is asked for."""
NATIVE_FRAMES = 64
"""Frames synthesised at a time: bounds memory at high rates."""


@dataclass(frozen=True)
class Options:
    """How to separate.

    Attributes:
        instruments: the instruments wanted, in the order wanted; none for all of the model's.
        score: the aligned score, if there is one.
        refine: whether to factorise the recording by the transcriptor's notes (`nmf_refine`); always done with a score.
        block_seconds: audio that goes through the network at a time; decides the memory, not the result.
        piece_seconds: audio that is factorised at a time, if any; decides the memory, and a little the result.
        score_weight: how much notes count beside the separator's masks, 0 to 1, if the recording is factorised.
        progress: see `audio.source.Progress`.
        present: the instruments that play, if that is known: the others get nothing, and no stem; none for all.
        long_window: whether masks are applied to spectra of a window `LONG_WINDOW` times as long as the model's, whose
            phases suit narrower bins: a little better, and slower (docs/research/phase.md).
    """

    instruments: Sequence[str] = ()
    score: ScorePrior | None = None
    block_seconds: float = BLOCK_SECONDS
    progress: Progress | None = None
    refine: bool = False
    piece_seconds: float = PIECE_SECONDS
    present: Sequence[str] = ()
    score_weight: float = SCORE_WEIGHT
    long_window: bool = False

    def __post_init__(self) -> None:
        """Raises InvalidValue for values of other kinds."""
        for name in ("instruments", "present"):
            object.__setattr__(self, name, as_names(getattr(self, name)))
        for name in ("refine", "long_window"):
            object.__setattr__(self, name, as_choice(getattr(self, name), (True, False), name))
        for name in ("block_seconds", "piece_seconds"):
            object.__setattr__(self, name, as_seconds(getattr(self, name), name))
        object.__setattr__(self, "score_weight", as_weight(self.score_weight))

    @property
    def refines(self) -> bool:
        """Whether the recording is factorised."""
        return self.refine or self.score is not None


DEFAULT_OPTIONS = Options()


@dataclass(frozen=True)
class Written:
    """Stems on disk.

    Attributes:
        files: in the order of `stem_names`.
        gain: what all samples were multiplied by so that none clips; 1.0 if none would.
    """

    files: list[Path]
    gain: float


def separate_array(
    mixture: ArrayLike,
    rate: int,
    model: Model,
    options: Options = DEFAULT_OPTIONS,
    masks: list[np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Separate audio in memory.

    Args:
        mixture: (L,) or (L, C), full scale +-1 (`arguments.as_audio`).
        rate: its sample rate, Hz.
        masks: a list to put the masks of all instruments into, float32 (N, F, t) of consecutive frames.

    Returns:
        name (`stem_names`) -> float32 of the shape of `mixture`.

    Raises:
        InvalidValue: as `ArraySource`, or an instrument that the model does not know.
    """
    model = as_model(model)
    names = stem_names(model, options.instruments, options.present)
    source = ArraySource(mixture, rate)
    stems = np.concatenate([*separate_stream(source, model, options, masks)], axis=1)
    return {name: stem.reshape(source.shape) for name, stem in zip(names, stems, strict=True)}


def separate_file(
    audio: str | Path,
    model: Model,
    folder: str | Path,
    options: Options = DEFAULT_OPTIONS,
    form: Format = FLOAT_WAV,
    *,
    force: bool = False,
) -> Written:
    """Separate a file into `<folder>/<instrument>.<format>`, 32-bit float WAV unless `form` says otherwise.

    Nothing appears under a final name before all stems are whole. With `force` the stems of an earlier run give way,
    whatever their format; the recording itself never does.

    Raises:
        ScoresepError: the audio cannot be read, the format cannot hold it, stems exist already (without `force`), they
            cannot be written, or an instrument that the model does not know.
    """
    model = as_model(model)
    names = file_names(model, options.instruments, options.present)
    folder = as_path(folder, "folder of stems")
    earlier = earlier_stems(folder, model)
    if any(same_file(path, audio) for path in earlier):
        raise AlreadyExists("a stem would replace the recording itself", file=audio, remedy="give another --out")
    if earlier and not force:
        raise AlreadyExists("exists already", file=earlier[0], remedy="--force replaces it, or give another --out")
    source = open_recording(audio)
    check_fits(form, source)
    check_writable(folder / f"{names[0]}.{form.name}", "stem")  # before all of the audio is read for its level
    pieces = separate_stream(source, model, options)
    with folder_for_results(folder):
        written = Written(*write_stems(pieces, names, folder, source, form, options.progress))
        for path in set(earlier) - set(written.files):
            path.unlink()
    return written


def stem_names(model: Model, instruments: Sequence[str] = (), present: Sequence[str] = ()) -> list[str]:
    """Names of the stems: the instruments asked for (by default all that are present), and the residual unless they are
    everything.

    Raises:
        InvalidValue: an instrument that the model does not know, or one asked for that is not present.
    """
    for name in (*instruments, *present):
        if name not in model.names:
            raise unknown("instrument", name, model.names)
    playing = present_names(model, present)
    for name in instruments:
        if name not in playing:
            raise InvalidValue(f"{name} is asked for and not among those present", remedy="name it there, too")
    chosen = list(dict.fromkeys(instruments)) or playing
    return chosen if _complete(model, chosen, playing) else [*chosen, RESIDUAL]


def present_names(model: Model, present: Sequence[str]) -> list[str]:
    """Who plays, in the model's order: all if nobody is named."""
    return [name for name in model.names if name in present or not present]


def presence(model: Model, present: Sequence[str]) -> np.ndarray | None:
    """Who plays, bool (N,); None if nobody is named."""
    return np.isin(model.names, present) if present else None


def file_names(model: Model, instruments: Sequence[str] = (), present: Sequence[str] = ()) -> list[str]:
    """`stem_names` for files: no name from a checkpoint becomes a path.

    Raises:
        InvalidValue: as there.
        Mismatch: the checkpoint has a name that is no plain file name.
    """
    for name in model.names:
        if name != Path(name).name or name.startswith(".") or "\\" in name or name == RESIDUAL:
            problem = f"the checkpoint calls an instrument {name!r}, which is no name for a file"
            raise Mismatch(problem, remedy="train anew")
    return stem_names(model, instruments, present)


def earlier_stems(folder: Path, model: Model) -> list[Path]:
    """Stems of this model in a folder, of any format."""
    names = (f"{name}.{suffix}" for name in (*model.names, RESIDUAL) for suffix in SUBTYPES)
    return [path for name in names if (path := folder / name).exists()]


def _complete(model: Model, chosen: Sequence[str], playing: Sequence[str]) -> bool:
    """Whether the masks of the chosen instruments add up to one in every bin, where only some play."""
    return model.mask == "softmax" and set(chosen) == set(playing)


def separate_stream(
    source: Source, model: Model, options: Options = DEFAULT_OPTIONS, masks: list[np.ndarray] | None = None
) -> Iterator[np.ndarray]:
    """Separate a source piece by piece: stems, float32 (S, n, C), in the order of `stem_names`.

    The pieces do not overlap and together have the source's length; their stems add up to it.
    The source is read twice: at once, for its level (so that a fault of the file shows before anything is written),
    and for the pieces. `masks`: as in `separate_array`.

    Raises:
        Mismatch: there are no notes to refine by, or the score has parts of instruments that are not present.
    """
    check_refinable(model, options)
    check_score(model, options)
    level = np.float32(level_of_source(source, model.grid, options.progress))
    return _with_progress(_separated(source, model, level, options, masks), source, options.progress)


def check_refinable(model: Model, options: Options) -> None:
    """Refuse a model that has no notes to refine by.

    Raises:
        Mismatch: there is no score, and the model does not transcribe, or nobody plays whose sounds are learnt.
    """
    if not options.refine or options.score is not None:
        return
    if not model.transcribes:
        raise Mismatch(
            f"the checkpoint's critic classifies who plays ({model.critic}) and gives no notes to refine by",
            remedy='give a score, or a checkpoint trained with supervision "score"',
        )
    playing = present_names(model, options.present)
    if not any(instrument.pitched for instrument in model.instruments if instrument.name in playing):
        problem = f"the checkpoint separates {', '.join(playing)}, none of which has pitches to refine by"
        raise Mismatch(problem, remedy="give a score")


def check_score(model: Model, options: Options) -> None:
    """Refuse a score that has parts of instruments of which it is said that they do not play.

    Raises:
        Mismatch: it has.
    """
    if options.score is None or not options.present:
        return
    parts = zip(model.names, options.score.has_part, strict=True)
    if absent := [name for name, has_part in parts if has_part and name not in options.present]:
        problem = f"the score has a part of {', '.join(absent)}, not among those present"
        raise Mismatch(problem, remedy="name them there, too, or leave the score out")


def _separated(
    source: Source, model: Model, level: np.float32, options: Options, seen: list[np.ndarray] | None
) -> Iterator[np.ndarray]:
    """Recorder, mono at the model's rate, magnitudes, masks, stems."""
    grid, recorder = model.grid, Recorder(source)
    samples = model_samples(source, grid)
    frames = grid.frames(samples)
    relative = (part / level for part in magnitudes(model_audio(source, recorder.chunks(), grid), grid, samples))
    mapping = MaskMap(grid, native_grid(grid, source.rate, LONG_WINDOW if options.long_window else 1))
    wanted = [name for name in stem_names(model, options.instruments, options.present) if name != RESIDUAL]
    complete = _complete(model, wanted, present_names(model, options.present))
    chosen = [model.names.index(name) for name in wanted]

    def extended() -> Iterator[np.ndarray]:
        for magnitude, masks in mask_blocks(relative, frames, model, options):
            if seen is not None:
                seen.append(masks)
            yield mapping.extend(masks[chosen], magnitude)

    pieces = _synthesise(extended(), recorder, mapping, frames)
    return (_adding_up(stems, mixture, complete) for mixture, stems in pieces)


def mask_blocks(
    relative: Iterator[np.ndarray], frames: int, model: Model, options: Options = DEFAULT_OPTIONS
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Magnitudes (t, F) and masks of all instruments (N, F, t), float32, of consecutive frames.

    Args:
        relative: magnitudes divided by the level, float32 (t, F) at a time, `frames` together.
    """
    network, present = model.separator.eval(), presence(model, options.present)
    block = block_frames(options.block_seconds, model.grid, network.context)
    if options.refines:
        from scoresep.separation.nmf_refine import refined_blocks  # here: its compiled kernels take time to load

        pieces, weight = options.piece_seconds, options.score_weight
        return refined_blocks(relative, model, options.score, block, frames, pieces, present, weight)
    known = None if present is None else torch.from_numpy(present).to(model.device)
    return network_blocks(relative, lambda x: network(x, known)[0], network.context, block, frames, model.device)


def _adding_up(stems: np.ndarray, mixture: np.ndarray, complete: bool) -> np.ndarray:
    """Stems (S, n, C) that add up to the mixture (n, C), but for a rounding of the last one: what is missing is a
    residual or, if only rounding, the last stem's."""
    missing = mixture - stems.sum(axis=0, dtype=np.float64)
    if not complete:
        return np.concatenate([stems, missing[None].astype(np.float32)])
    stems[-1] += missing
    return stems


def _with_progress(pieces: Iterator[np.ndarray], source: Source, progress: Progress | None) -> Iterator[np.ndarray]:
    done = 0
    for stems in pieces:
        done += stems.shape[1]
        yield stems
        if progress:
            progress("separating", done / source.rate, source.samples / source.rate)


def _synthesise(
    extended: Iterator[np.ndarray], recorder: Recorder, mapping: MaskMap, frames: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Apply masks (S, t, F + 1), `frames` frames in all, to the recorded sound: mixture (n, C) and stems (S, n, C)."""
    native = mapping.native
    output = OverlapAdd(native.n_fft, native.hop, recorder.samples)
    total = -(-(recorder.samples + native.n_fft // 2) // native.hop)  # frames that begin before the end
    masks: np.ndarray | None = None
    first = done = emitted = 0
    for block in extended:
        masks = block if masks is None else np.concatenate([masks, block], axis=1)
        known = first + masks.shape[1]
        recorded = (recorder.end - native.n_fft // 2) // native.hop + 1
        ready = total if known == frames else min(mapping.ready(known), recorded, total)
        for start in range(done, ready, NATIVE_FRAMES):
            done = min(start + NATIVE_FRAMES, ready)
            sound = recorder.cut(start * native.hop - native.n_fft // 2, done * native.hop + native.n_fft // 2)
            spectra = [frames_to_spectrum(channel, done - start, native.n_fft, native.hop) for channel in sound]
            shares = mapping.masks_at(masks, first, start, done)
            stems = output.push(shares[:, None] * np.stack(spectra))
            count = stems.shape[-1]
            if count:
                yield recorder.cut(emitted, emitted + count).T, stems.transpose(0, 2, 1)
            emitted += count
            recorder.forget(min(emitted, done * native.hop - native.n_fft // 2))
        keep = min(int(mapping.frame_position(done)[0]), known - 1) - first
        masks, first = masks[:, max(keep, 0) :].copy(), first + max(keep, 0)
