"""Compiled kernels of the score-informed factorisation.

A frame of music holds few notes, so activations are kept frame by frame, only those that the score allows: entries
first[t] to first[t + 1] are of frame t; entry e is component[e], active by activation[e]. A frame's entries are
ordered by component, and components by instrument. One frame's spectra and its few templates stay in the processor's
cache during all that is done with them; a dense product would compute every component in every frame.

Axes: K components, E entries.
"""

from __future__ import annotations

import numpy as np

from scoresep.compiled import compiled

FAST = {"reassoc", "contract", "arcp", "nsz"}
"""What sums and quotients may be rearranged to; infinite values and NaN keep their meaning."""
BACKGROUND = np.float32(1e-5)
"""Magnitude that every bin has besides its components, in track levels: keeps quotients finite."""
FAINTEST = np.float32(1e-12)
"""Magnitude, in track levels, below which a bin belongs to nobody: reciprocals of smaller numbers can overflow."""


def warm_up() -> None:
    """Compile every kernel, or load it from numba's cache; call it once before forking or starting workers."""
    spectra, rows = np.zeros((1, 1), dtype=np.float32), np.zeros(1, dtype=np.int32)
    first, activation = np.zeros(2, dtype=np.int64), np.zeros(0, dtype=np.float32)
    entries = (rows, first, rows[:0], activation)
    sweep(spectra, spectra, *entries, spectra, spectra.copy(), rows > 0)
    share(spectra, *entries, np.zeros((1, 1, 1), dtype=np.float32), np.float32(1.0))
    combine(project(spectra, spectra), spectra)


@compiled(fastmath=FAST)
def sweep(
    magnitude: np.ndarray,
    templates: np.ndarray,
    instrument: np.ndarray,
    first: np.ndarray,
    component: np.ndarray,
    activation: np.ndarray,
    learnt: np.ndarray,
    exposure: np.ndarray,
    weighted: np.ndarray,
) -> None:
    """One pass over all frames: update the activations, and gather what the templates' update needs.

    magnitude: float32 (T, F); templates: float32 (K, F), each of sum 1; instrument: int32 (K,); first: int64 (T + 1,);
    component: int32 (E,); activation: float32 (E,), updated. Overwritten: learnt, exposure: float32 (K, F), numerator
    and denominator of the templates' multiplicative update, summed over the frames with the activations as they were.
    weighted: bool (K,), components whose templates a bin teaches by the square of the largest share of an instrument.
    """
    frames, bins = magnitude.shape
    model, part, largest = np.empty(bins, np.float32), np.empty(bins, np.float32), np.empty(bins, np.float32)
    learnt[:] = 0
    exposure[:] = 0
    for t in range(frames):
        begin, end = first[t], first[t + 1]
        if begin == end:
            continue
        explain(templates, instrument, component[begin:end], activation[begin:end], model, largest, part)
        for f in range(bins):
            ratio = largest[f] / model[f]
            largest[f] = ratio * ratio
            model[f] = magnitude[t, f] / model[f]
            part[f] = model[f] * largest[f]
        learn(templates, component[begin:end], activation[begin:end], weighted, model, largest, part, learnt, exposure)


@compiled(fastmath=FAST)
def explain(
    templates: np.ndarray,
    instrument: np.ndarray,
    component: np.ndarray,
    activation: np.ndarray,
    model: np.ndarray,
    largest: np.ndarray,
    part: np.ndarray,
) -> None:
    """Write what the entries of one frame sum up to, and the largest sum of an instrument: model, largest (F,).

    part: (F,), room to work in.
    """
    bins = len(model)
    model[:] = BACKGROUND
    largest[:] = 0
    e = 0
    while e < len(component):
        player = instrument[component[e]]
        part[:] = 0
        while e < len(component) and instrument[component[e]] == player:
            height, template = activation[e], templates[component[e]]
            for f in range(bins):
                part[f] += height * template[f]
            e += 1
        for f in range(bins):
            model[f] += part[f]
            largest[f] = max(largest[f], part[f])


@compiled(fastmath=FAST)
def learn(
    templates: np.ndarray,
    component: np.ndarray,
    activation: np.ndarray,
    weighted: np.ndarray,
    ratio: np.ndarray,
    share: np.ndarray,
    weighted_ratio: np.ndarray,
    learnt: np.ndarray,
    exposure: np.ndarray,
) -> None:
    """Add one frame to what its components learn, and update their activations; arguments as in `sweep`.

    ratio, share, weighted_ratio: (F,), of the mixture to its model, the square of the largest share, their product.
    """
    bins = len(ratio)
    for e in range(len(component)):
        height, template = activation[e], templates[component[e]]
        above, below = learnt[component[e]], exposure[component[e]]
        fit = np.float32(0)
        if weighted[component[e]]:
            for f in range(bins):
                above[f] += height * weighted_ratio[f]
                below[f] += height * share[f]
                fit += template[f] * ratio[f]
        else:
            for f in range(bins):
                above[f] += height * ratio[f]
                below[f] += height
                fit += template[f] * ratio[f]
        activation[e] = height * fit


@compiled(fastmath=FAST)
def share(
    templates: np.ndarray,
    instrument: np.ndarray,
    first: np.ndarray,
    component: np.ndarray,
    activation: np.ndarray,
    masks: np.ndarray,
    power: float,
) -> None:
    """Write each instrument's share of every bin, its magnitude to the `power`: masks, float32 (N, T, F).

    Where nothing sounds, all instruments share equally. Templates may have any scale.
    """
    count, frames, bins = masks.shape
    for t in range(frames):
        masks[:, t] = 0
        for e in range(first[t], first[t + 1]):
            height, template = activation[e], templates[component[e]]
            mask = masks[instrument[component[e]], t]
            for f in range(bins):
                mask[f] += height * template[f]
        for f in range(bins):
            highest = np.float32(0)
            for n in range(count):
                highest = max(highest, masks[n, t, f])
            total = np.float32(0)
            for n in range(count):
                if highest > FAINTEST:
                    masks[n, t, f] = (masks[n, t, f] / highest) ** power
                else:
                    masks[n, t, f] = np.float32(1)
                total += masks[n, t, f]
            for n in range(count):
                masks[n, t, f] /= total


@compiled(fastmath=FAST)
def project(values: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """values (U, F) @ shapes (B, F) transposed: float32 (U, B).

    The products of a BLAS library depend on its number of threads, and then a cache on who prepared it.
    """
    product = np.empty((len(values), len(shapes)), np.float32)
    for u in range(len(values)):
        for b in range(len(shapes)):
            total = np.float32(0)
            for f in range(values.shape[1]):
                total += values[u, f] * shapes[b, f]
            product[u, b] = total
    return product


@compiled(fastmath=FAST)
def combine(weights: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """weights (U, B) @ shapes (B, F): float32 (U, F), whatever the number of threads."""
    product = np.zeros((len(weights), shapes.shape[1]), np.float32)
    for u in range(len(weights)):
        for b in range(len(shapes)):
            weight = weights[u, b]
            for f in range(shapes.shape[1]):
                product[u, f] += weight * shapes[b, f]
    return product
