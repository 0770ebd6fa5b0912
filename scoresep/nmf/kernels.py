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
DIVIDING = {"error_model": "numpy"}
"""Of kernels that divide: nothing is compared with zero first, so that quotients are made many at a time."""
BACKGROUND = np.float32(1e-5)
"""Magnitude that every bin has besides its components, in track levels: keeps quotients finite."""
TOGETHER = 4
"""Frames from which a component learns at a time, read and written once for all: `learn` is written for four."""
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
    ratio, share, alike = side_by_side(bins), side_by_side(bins), side_by_side(bins)
    alike[:] = 1
    part, height = np.empty(bins, np.float32), np.empty(TOGETHER, np.float32)
    learnt[:] = 0
    exposure[:] = 0
    for start in range(0, frames, TOGETHER):
        place, ends = first[start : start + TOGETHER].copy(), first[start + 1 : start + TOGETHER + 1]
        for r in range(len(ends)):
            entries = slice(place[r], ends[r])
            explain(templates, instrument, component[entries], activation[entries], ratio[r], share[r], part)
            compare(magnitude[start + r], ratio[r], share[r])
        k = next_component(component, place, ends)
        while k >= 0:
            height[:] = 0
            for r in range(len(ends)):
                if place[r] < ends[r] and component[place[r]] == k:
                    height[r] = activation[place[r]]
            fit = learn(templates[k], ratio, share if weighted[k] else alike, height, learnt[k], exposure[k])
            for r in range(len(ends)):
                if place[r] < ends[r] and component[place[r]] == k:
                    activation[place[r]] = height[r] * fit[r]
                    place[r] += 1
            k = next_component(component, place, ends)


@compiled(fastmath=FAST)
def side_by_side(bins: int) -> np.ndarray:
    """Zeros, float32 (TOGETHER, at least `bins`), whose rows begin where a vector of the processor may: it reads them
    nearly twice as fast."""
    width = -(-bins // 16) * 16
    room = np.zeros(TOGETHER * width + 16, np.float32)
    begin = -(room.ctypes.data // 4) % 16
    return room[begin : begin + TOGETHER * width].reshape(TOGETHER, width)


@compiled(fastmath=FAST)
def next_component(component: np.ndarray, place: np.ndarray, ends: np.ndarray) -> int:
    """The lowest component among the entries at `place`, int64 (r,), of frames that are not at their `ends`; -1 where
    all are."""
    lowest = -1
    for r in range(len(ends)):
        if place[r] < ends[r] and (lowest < 0 or component[place[r]] < lowest):
            lowest = component[place[r]]
    return lowest


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
    """Write the sum of one frame's entries, and the largest sum of an instrument: model, largest, at least (F,).

    Entries are added in pairs, which halves the passes over `part`, (F,), room to work in.
    """
    bins = len(part)
    model[:] = BACKGROUND
    largest[:] = 0
    e = 0
    while e < len(component):
        player = instrument[component[e]]
        part[:] = 0
        while e < len(component) and instrument[component[e]] == player:
            paired = int(e + 1 < len(component) and instrument[component[e + 1]] == player)
            one, two = templates[component[e]], templates[component[e + paired]]
            height, other = activation[e], activation[e + paired] * np.float32(paired)
            for f in range(bins):
                part[f] += height * one[f] + other * two[f]
            e += 1 + paired
        for f in range(bins):
            model[f] += part[f]
            largest[f] = max(largest[f], part[f])


@compiled(fastmath=FAST, **DIVIDING)
def compare(magnitude: np.ndarray, model: np.ndarray, largest: np.ndarray) -> None:
    """Turn a frame's model into the mixture's ratio to it, and the largest part into the square of its share: (F,)."""
    for f in range(len(magnitude)):
        part = largest[f] / model[f]
        largest[f] = part * part
        model[f] = magnitude[f] / model[f]


@compiled(fastmath=FAST)
def learn(
    template: np.ndarray,
    ratio: np.ndarray,
    share: np.ndarray,
    height: np.ndarray,
    above: np.ndarray,
    below: np.ndarray,
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Add what a component learns from `TOGETHER` frames to `above` and `below`, (F,); returns how well it fits each.

    template: (F,); ratio, share: of the mixture to its model, and how much a bin teaches, (TOGETHER, at least F);
    height: activations (TOGETHER,), 0 in frames without the component.
    """
    a, b, c, d = height[0], height[1], height[2], height[3]
    fit_a = fit_b = fit_c = fit_d = np.float32(0)
    for f in range(len(template)):
        at_a, at_b, at_c, at_d = a * share[0, f], b * share[1, f], c * share[2, f], d * share[3, f]
        above[f] += at_a * ratio[0, f] + at_b * ratio[1, f] + at_c * ratio[2, f] + at_d * ratio[3, f]
        below[f] += at_a + at_b + at_c + at_d
        fit_a += template[f] * ratio[0, f]
        fit_b += template[f] * ratio[1, f]
        fit_c += template[f] * ratio[2, f]
        fit_d += template[f] * ratio[3, f]
    return fit_a, fit_b, fit_c, fit_d


@compiled(fastmath=FAST, **DIVIDING)
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
