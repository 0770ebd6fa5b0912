"""Score-informed non-negative matrix factorisation: what each instrument sounds like in one mixture, from its score.

A mixture's magnitude is explained as a sum of components, a template (F,) times an activation (T,) each:

- a pitch of a harmonic instrument: active only where the score has it, and for a decay after;
- the attacks of a harmonic instrument: one broad-band template, active around its onsets;
- a drum of a percussive instrument: active from each of its strokes on;
- what has no score: a few templates, active everywhere.

Templates and activations are found by multiplicative updates for the Kullback-Leibler divergence, both in one pass over
the frames: those of probabilistic latent component analysis (Smaragdis, Raj, Shashanka, "A probabilistic latent
variable model for acoustic modeling", NIPS workshop 2006), with zeros from a score as in Ewert, Mueller, "Using
score-informed constraints for NMF-based source separation", ICASSP 2012. Of our own: neighbouring pitches share a
spectral envelope, and bins that an instrument has to itself teach templates most (docs/research/teacher.md).

Axes besides those of `grid`: K components, E entries (an entry is one component in one frame).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from scoresep.grid import LOWEST_PITCH, Grid
from scoresep.nmf.components import Components, FactoriseSettings, bands, components_of, with_unwritten
from scoresep.nmf.kernels import combine, project, share, sweep

POWER = 1.5
"""Exponent of the instruments' magnitudes in the masks: between their ratio and the Wiener filter."""
TINY = np.float32(1e-9)
"""Magnitude, in track levels, below which there is nothing to learn from."""
FAINT = np.float32(1e-2)
"""Share of a frame's largest activation below which unwritten notes are taken for silent."""
UNLIKELIEST = 1e-3
"""Least likelihood of a key that may sound: what begins with nothing stays nothing."""


@dataclass(frozen=True)
class Factors:
    """A factorised mixture: entries first[t] to first[t + 1] are of frame t, ordered by component.

    Attributes:
        templates: float32 or float16 (K, F), largest bin 1; only components that occur.
        instrument: int32 (K,), ascending.
        pitch: int32 (K,), MIDI pitch (of a drum: its key), `ATTACK` or `FREE`.
        first: int64 (T + 1,).
        component: int32 or uint16 (E,).
        activation: float32 or float16 (E,): magnitude of the component's largest bin, in the mixture's unit.
        instruments: N.
    """

    templates: np.ndarray
    instrument: np.ndarray
    pitch: np.ndarray
    first: np.ndarray
    component: np.ndarray
    activation: np.ndarray
    instruments: int

    @property
    def frames(self) -> int:
        """T."""
        return len(self.first) - 1

    @property
    def frame(self) -> np.ndarray:
        """The frame of each entry, int64 (E,)."""
        return np.repeat(np.arange(self.frames), np.diff(self.first))

    def half(self) -> Factors:
        """The same in float16 and uint16, to be stored."""
        templates, activation = self.templates.astype(np.float16), self.activation.astype(np.float16)
        return replace(self, templates=templates, component=self.component.astype(np.uint16), activation=activation)

    def dense(self) -> np.ndarray:
        """Activations as a matrix A, float32 (K, T): components k sound like `templates[k].T @ A[k]`, (F, T)."""
        matrix = np.zeros((len(self.templates), self.frames), dtype=np.float32)
        matrix[self.component, self.frame] = self.activation
        return matrix


def factorise(
    magnitude: np.ndarray,
    rolls: np.ndarray,
    kinds: Sequence[str],
    grid: Grid,
    onsets: np.ndarray | None = None,
    settings: FactoriseSettings | None = None,
    likelihood: np.ndarray | None = None,
) -> Factors:
    """Explain a mixture by the notes of its score.

    Args:
        magnitude: of the mixture, (F, T), finite, relative to the track's level. A transposed float32 (T, F) is not
            copied.
        rolls: sounding keys, bool (N, P, T).
        kinds: of the instruments, see `scoresep.instruments.INSTRUMENT_KINDS`.
        onsets: first frames of notes, bool (N, P, T); None: wherever a key begins to sound, so that notes that follow
            one another on a key count as one.
        likelihood: how likely each key sounds, (N, P, T), where that is not sure: activations begin in proportion to
            it, and multiplicative updates keep preferring what they began with. None: all alike.

    Raises:
        ValueError: shapes that do not fit together.
    """
    settings = settings or FactoriseSettings()
    begun = begin(magnitude, rolls, kinds, grid, onsets, settings, likelihood)
    return finished(search(begun.factors, begun.start, begun.mixture, grid, settings), settings)


class ScoredMixture(NamedTuple):
    """A mixture's magnitude (F, T), its rolls and onsets, bool (N, P, T) each, as `factorise` takes them."""

    magnitude: np.ndarray
    rolls: np.ndarray
    onsets: np.ndarray


class Begun(NamedTuple):
    """What a search begins with: the mixture, float32 (T, F), what its score asks for, and first factors."""

    mixture: np.ndarray
    start: Components
    factors: Factors


def begin(
    magnitude: np.ndarray,
    rolls: np.ndarray,
    kinds: Sequence[str],
    grid: Grid,
    onsets: np.ndarray | None,
    settings: FactoriseSettings,
    likelihood: np.ndarray | None = None,
) -> Begun:
    """Components as the score asks for them, equally loud in each frame or as loud as they are likely.

    Arguments and exceptions are those of `factorise`.
    """
    if rolls.shape[::2] != (len(kinds), magnitude.shape[1]) or magnitude.shape[0] != grid.bins:
        raise ValueError(f"magnitude {magnitude.shape}, rolls {rolls.shape}, {len(kinds)} kinds, {grid.bins} bins")
    if onsets is None:
        onsets = rolls & ~np.pad(rolls, [(0, 0), (0, 0), (1, 0)])[..., :-1]
    if onsets.shape != rolls.shape:
        raise ValueError(f"onsets {onsets.shape}, rolls {rolls.shape}")
    if likelihood is not None and likelihood.shape != rolls.shape:
        raise ValueError(f"likelihood {likelihood.shape}, rolls {rolls.shape}")
    if settings.unwritten and likelihood is None:
        rolls, onsets, likelihood = with_unwritten(rolls, onsets, kinds, grid, settings)
    mixture = np.ascontiguousarray(magnitude.T, dtype=np.float32)
    start = components_of(rolls, onsets, kinds, grid, settings)
    count = start.support.sum(axis=1)
    factors = Factors(
        templates=start.templates,
        instrument=start.instrument,
        pitch=start.pitch,
        first=np.append(0, np.cumsum(count)).astype(np.int64),
        component=np.nonzero(start.support)[1].astype(np.int32),
        activation=np.repeat(mixture.sum(axis=1) / np.maximum(count, 1), count).astype(np.float32),
        instruments=len(kinds),
    )
    if likelihood is not None:
        factors = replace(factors, activation=factors.activation * weights(factors, likelihood))
    return Begun(mixture, start, factors)


def weights(factors: Factors, likelihood: np.ndarray) -> np.ndarray:
    """What the likelihood of keys (N, P, T) says of each entry, float32 (E,); 1 for attacks and free components."""
    instrument, pitch = factors.instrument[factors.component], factors.pitch[factors.component]
    likely = likelihood[instrument, np.maximum(pitch - LOWEST_PITCH, 0), factors.frame]
    return np.where(pitch >= 0, np.maximum(likely, UNLIKELIEST), 1.0).astype(np.float32)


def search(
    factors: Factors, start: Components, mixture: np.ndarray, grid: Grid, settings: FactoriseSettings
) -> Factors:
    """Better factors of a mixture (T, F): templates of sum 1; `factors` are what to begin with.

    Templates are updated multiplicatively, those of pitches under a prior: (learnt + prior * shared) / (exposure +
    prior), scaled to sum 1, where `shared` is the comb under the envelope of the pitch and its neighbours.
    """
    templates, activation, pitched = factors.templates.copy(), factors.activation.copy(), start.pitched
    shapes = bands(grid, settings.bands).astype(np.float32)
    envelopes = SharedEnvelopes(neighbours(start, settings), start.templates[pitched], shapes, project, combine)
    learnt, exposure = np.empty_like(templates), np.empty_like(templates)
    prior = np.float32(settings.prior)
    weighted = np.zeros(len(templates), dtype=bool)
    weighted[pitched] = settings.weighted
    for iteration in range(settings.iterations):
        sweep(
            mixture,
            templates,
            factors.instrument,
            factors.first,
            factors.component,
            activation,
            learnt,
            exposure,
            weighted,
        )
        learnt *= templates
        shared = envelopes.update(learnt[pitched], exposure[pitched])
        learnt[pitched] += prior * shared
        exposure[pitched] += prior
        learnt /= np.maximum(exposure, TINY)
        if iteration < settings.shared:
            learnt[pitched] = shared
        total = learnt.sum(axis=1, keepdims=True)
        np.divide(learnt, total, out=templates, where=total > 0)
    return replace(factors, templates=templates, activation=activation)


def neighbours(start: Components, settings: FactoriseSettings) -> np.ndarray:
    """How much pitched components share an envelope: float32 (U, U), 0 for those of different instruments."""
    pitch, instrument = start.pitch[start.pitched].astype(np.float32), start.instrument[start.pitched]
    distance = (pitch[:, None] - pitch) / settings.neighbours
    same = instrument[:, None] == instrument
    return np.where(same, np.exp(-0.5 * distance**2), 0.0).astype(np.float32)


class SharedEnvelopes:
    """Spectral envelopes that pitches of an instrument share with their neighbours: coarse, in H bands.

    An envelope's height in a band is what a sweep has learnt there divided by what combs without any envelope would
    have there, both summed over the pitch and its neighbours: a rarely heard pitch sounds like those beside it.

    Args:
        near: `neighbours`, float32 (..., U, U); of components that are not pitched, zeros.
        comb: what the pitches start as, float32 (..., U, F); of components that are not pitched, zeros.
        bands: float32 (H, F).
        project: function of (..., U, F) and (H, F) to the product of the first with the second transposed.
        combine: matrix product of (..., U, H) with (H, F) or (..., U, U) with (..., U, H).
    """

    def __init__(
        self, near: Any, comb: Any, bands: Any, project: Callable[[Any, Any], Any], combine: Callable[[Any, Any], Any]
    ) -> None:
        self._near, self._comb, self._bands, self._project, self._combine = near, comb, bands, project, combine
        self._scale: Any = 1.0

    def update(self, learnt: Any, exposure: Any) -> Any:
        """Renew the envelopes from what a sweep learnt, (..., U, F); returns combs under envelopes, rows of sum 1."""
        heard = self._combine(self._near, self._project(learnt, self._bands))
        expected = self._combine(self._near, self._project(self._comb * exposure, self._bands) / self._scale)
        shapes = self._comb * self._combine((heard + TINY) / (expected + TINY), self._bands)
        total = shapes.sum(-1)[..., None]
        self._scale = total + (total == 0)  # 1 for rows of zeros
        return shapes / self._scale


def finished(factors: Factors, settings: FactoriseSettings) -> Factors:
    """What a search found, as it is kept."""
    found = with_peaks_of_one(factors)
    return heard(found) if settings.unwritten else found


def with_peaks_of_one(factors: Factors) -> Factors:
    """The same factors with templates whose largest bin is 1, so that float16 holds both well."""
    peak = factors.templates.max(axis=1, initial=0.0)
    return replace(
        factors,
        templates=factors.templates / peak[:, None],
        activation=factors.activation * peak[factors.component],
    )


def heard(factors: Factors) -> Factors:
    """The entries of factors that are more than `FAINT` times the largest of their frame."""
    largest = np.zeros(factors.frames, dtype=np.float32)
    np.maximum.at(largest, factors.frame, factors.activation)
    kept = factors.activation > FAINT * largest[factors.frame]
    count = np.bincount(factors.frame[kept], minlength=factors.frames)
    first = np.append(0, np.cumsum(count)).astype(np.int64)
    return replace(factors, first=first, component=factors.component[kept], activation=factors.activation[kept])


def masks(factors: Factors, power: float = POWER) -> np.ndarray:
    """Ratio masks of the instruments, float32 (N, F, T), a transposed (N, T, F); they add up to 1 in every bin.

    Where nothing may sound, all share equally.

    Args:
        power: exponent of the instruments' magnitudes: 1 compares magnitudes, 2 energies.
    """
    templates, activation = (
        values.astype(np.float32, copy=False) for values in (factors.templates, factors.activation)
    )
    component = factors.component.astype(np.int32, copy=False)
    shares = np.empty((factors.instruments, factors.frames, templates.shape[1]), dtype=np.float32)
    share(templates, factors.instrument, factors.first, component, activation, shares, np.float32(power))
    return shares.transpose(0, 2, 1)
