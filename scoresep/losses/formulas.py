"""The losses of "Transcription Is All You Need" (Hung, Wichern, Le Roux 2021), and that of stems: pure functions.

Axes: B batch, N instruments, F bins, T frames, P pitches. Rolls are float 0 or 1, logits are the transcriptor's frame
logits, magnitudes are >= 0. H is binary cross-entropy, averaged over batch, pitches and frames and summed over
instruments, so that adding an instrument does not weaken the others. Mixture losses are divided by the batch's total
magnitude, so their weights hold for any grid and loudness (docs/explanation/method.md).

A critic of who plays gives one logit an instrument and frame (P = 1) or an instrument and clip (P = T = 1), and its
labels stand where rolls do: all that follows holds for them, the harmonic loss aside.

`counted`, bool (B,), leaves clips out without changing what the rest is divided by: a loss over some clips plus the
same loss over the others is the loss over all. So does `open_keys`, float 0 or 1 of a roll's shape, with keys of which
weak labels do not say whether they sound (`score.weak_labels`); None where all is known.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional

from scoresep.losses import fused
from scoresep.losses.fused.mixture_error import MixtureError
from scoresep.losses.fused.stem_error import StemError
from scoresep.nmf.kernels import FAINTEST
from scoresep.score.weak_labels import ABSENT, FIRST_SET


def cross_entropy(
    logits: Tensor, target: Tensor, counted: Tensor | None = None, open_keys: Tensor | None = None
) -> Tensor:
    """H(y, p) with p = sigmoid(logits): (B, ..., P, T) -> scalar, mean over B, P, T, sum over the axes between."""
    weight = None if counted is None else counted.to(logits.dtype).reshape(-1, *[1] * (logits.ndim - 1))
    if open_keys is not None:
        weight = (1 - open_keys) * (1 if weight is None else weight)
    return _for_each_key(functional.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum"), logits)


def least_squares(logits: Tensor, target: Tensor, *, open_keys: Tensor | None = None) -> Tensor:
    """(sigmoid(logits) - y)^2, summed and averaged as `cross_entropy` (Mao et al. 2017): bounded, so that no single key
    that one network is sure of and the other denies outweighs all the rest."""
    error = (torch.sigmoid(logits) - target).square()
    return _for_each_key((error if open_keys is None else error * (1 - open_keys)).sum(), logits)


def _for_each_key(total: Tensor, logits: Tensor) -> Tensor:
    """A sum over all of `logits` (B, ..., P, T) as a mean over B, P, T, a sum over the axes between."""
    return total / (logits.shape[0] * logits.shape[-2] * logits.shape[-1])


Objective = Callable[..., Tensor]
OBJECTIVES: dict[str, Objective] = {"cross-entropy": cross_entropy, "least-squares": least_squares}
"""What the adversarial losses measure between logits and labels, as configs name it."""


def score_loss(logits: Tensor, roll: Tensor, open_keys: Tensor | None = None) -> Tensor:
    """Stage 1: H(y, T(X)). Logits and roll (B, N, P, T)."""
    return cross_entropy(logits, roll, open_keys=open_keys)


def note_set_loss(logits: Tensor, roll: Tensor, weak: Tensor) -> Tensor:
    """Each key of a set of notes sounds somewhere in its bar: -log of its likeliest moment there, averaged over B and P
    and summed over instruments and bars (multiple-instance learning, Dietterich et al. 1997).

    Args:
        logits, roll: (B, N, P, T).
        weak: uint8 (B, N, T). Bars that reach the edge of a clip are left out, since the note may lie beyond it.
    """
    total = logits.new_zeros(())
    for number in sorted({*weak.flatten().tolist()} - {*range(FIRST_SET)}):
        clips = (weak == number).any(2).any(1)
        bar = (weak[clips] == number).unsqueeze(2)
        whole = ~(bar[..., 0] | bar[..., -1])
        wanted = (roll[clips] * bar).amax(3) * whole
        likeliest = logits[clips].masked_fill(~bar, -torch.inf).amax(3)
        total = total + functional.softplus(-likeliest[wanted > 0]).sum()
    return total / (logits.shape[0] * logits.shape[2])


def own_part_targets(roll: Tensor) -> Tensor:
    """What separated track i should transcribe to: part i for instrument i, nothing for the others.

    (B, N, P, T) -> (B, N track, N instrument, P, T).
    """
    return roll.unsqueeze(2) * _diagonal(roll)


def other_parts_targets(roll: Tensor) -> Tensor:
    """The opposite: nothing for instrument i on track i, the parts of the others. Shapes as `own_part_targets`."""
    return roll.unsqueeze(1) * (1 - _diagonal(roll))


def _diagonal(roll: Tensor) -> Tensor:
    count = roll.shape[1]
    return torch.eye(count, dtype=roll.dtype, device=roll.device)[None, :, :, None, None]


def transcription_loss(
    track_logits: Tensor, roll: Tensor, counted: Tensor | None = None, open_keys: Tensor | None = None
) -> Tensor:
    """L_tr = sum_i [H(y_i, T_i(S_i)) + sum_{j != i} H(0, T_j(S_i))], minimised by the separator.

    Args:
        track_logits: T_j(S_i), (B, N track i, N instrument j, P, T).
        roll: y, (B, N, P, T).
        counted: bool (B,), clips that count; None for all.
    """
    open_keys = None if open_keys is None else own_part_targets(open_keys)
    return cross_entropy(track_logits, own_part_targets(roll), counted, open_keys)


def adversarial_transcription_loss(
    track_logits: Tensor, roll: Tensor, objective: Objective = cross_entropy, open_keys: Tensor | None = None
) -> Tensor:
    """sum_i [H(0, T_i(S_i)) + sum_{j != i} H(y_j, T_j(S_i))], minimised by the transcriptor. Shapes as above."""
    open_keys = None if open_keys is None else other_parts_targets(open_keys)
    return objective(track_logits, other_parts_targets(roll), open_keys=open_keys)


def adversarial_mixture_transcriptor_loss(logits: Tensor, objective: Objective = cross_entropy) -> Tensor:
    """H(0, T(X~)): the transcriptor is to find nothing in a mixture of tracks from different clips. (B, N, P, T)."""
    return objective(logits, torch.zeros_like(logits))


def adversarial_mixture_separator_loss(
    logits: Tensor, roll: Tensor, objective: Objective = cross_entropy, open_keys: Tensor | None = None
) -> Tensor:
    """H(y~, T(X~)): the separator is to make X~ transcribe to the parts that its tracks came with. (B, N, P, T)."""
    return objective(logits, roll, open_keys=open_keys)


def mixture_loss(mixture: Tensor, separated: Tensor, active: Tensor, counted: Tensor | None = None) -> Tensor:
    """L_mix(A): active tracks add up to the mixture, inactive ones are silent.

    sum_{f,t} |X - sum_{i in A} S_i| + sum_{f,t} sum_{i not in A} |S_i|, divided by sum X over the batch.

    Args:
        mixture: X, (B, F, T).
        separated: S = M X >= 0, (B, N, F, T).
        active: A, bool, broadcast to (B, N, F, T).
        counted: bool, broadcast to (B, F, T), bins that the sums run over; None for all.
    """
    everywhere = torch.ones((1, 1, 1), dtype=torch.bool, device=mixture.device)
    counted = everywhere if counted is None else counted
    error = MixtureError.apply if fused.applies(mixture, separated=separated) else plain_mixture_error
    return error(mixture, separated, active, counted) / _whole(mixture)


def plain_mixture_error(mixture: Tensor, separated: Tensor, active: Tensor, counted: Tensor) -> Tensor:
    """`MixtureError` as tensor operations, for any device and type; `counted` broadcasts to (B, F, T)."""
    kept = (separated * active).sum(1)
    inactive = separated.sum(1) - kept  # of tracks that are nowhere negative: half the passes of summing the others
    return (((mixture - kept).abs() + inactive) * counted).sum()


def _whole(mixture: Tensor) -> Tensor:
    """The batch's total magnitude, not 0."""
    return mixture.sum().clamp_min(torch.finfo(mixture.dtype).tiny)


def clip_activity(roll: Tensor, unscored: Tensor | None = None) -> Tensor:
    """Who sounds anywhere in the clip: roll (B, N, P, T) -> bool (B, N, 1, 1).

    Instruments that are `unscored`, bool (N,), may sound everywhere.
    """
    return _or_unscored((roll > 0).flatten(2).any(2)[:, :, None, None], unscored)


def frame_activity(roll: Tensor, unscored: Tensor | None = None) -> Tensor:
    """Who sounds in which frame: roll (B, N, P, T) -> bool (B, N, 1, T); `unscored` as above."""
    return _or_unscored((roll > 0).any(2, keepdim=True), unscored)


def _or_unscored(active: Tensor, unscored: Tensor | None) -> Tensor:
    return active if unscored is None else active | unscored[:, None, None]


def clip_mixture_loss(
    mixture: Tensor, separated: Tensor, roll: Tensor, unscored: Tensor | None = None, counted: Tensor | None = None
) -> Tensor:
    """L_c-mix: activity by clip; `counted`, bool (B,), says which clips count."""
    return mixture_loss(mixture, separated, clip_activity(roll, unscored), _whole_clips(counted))


def frame_mixture_loss(
    mixture: Tensor, separated: Tensor, roll: Tensor, unscored: Tensor | None = None, counted: Tensor | None = None
) -> Tensor:
    """L_f-mix: activity by frame; `counted` as above."""
    return mixture_loss(mixture, separated, frame_activity(roll, unscored), _whole_clips(counted))


def harmonic_mixture_loss(
    mixture: Tensor, separated: Tensor, harmonic: Tensor, counted: Tensor | None = None
) -> Tensor:
    """L_h-mix: activity by bin, from harmonic masks bool (B, N, F, T); `counted` as above.

    Bins that no mask covers are not counted: the score says nothing about them (noise, attacks, reverberation), and
    to count them would push every track to silence there.
    """
    covered = reduce(torch.logical_or, harmonic.unbind(1))  # several times as fast as `any`
    clips = _whole_clips(counted)
    return mixture_loss(mixture, separated, harmonic, covered if clips is None else covered & clips)


def literal_harmonic_mixture_loss(
    mixture: Tensor, separated: Tensor, harmonic: Tensor, counted: Tensor | None = None
) -> Tensor:
    """L_h-mix by the letter: every bin counts, so all tracks are to be silent where no mask covers anything.

    With softmax masks, which share X out whatever happens, those bins add a constant and the gradient is that of
    `harmonic_mixture_loss`; with sigmoid masks it is not. Shapes as there.
    """
    return mixture_loss(mixture, separated, harmonic, _whole_clips(counted))


def _whole_clips(counted: Tensor | None) -> Tensor | None:
    return None if counted is None else counted[:, None, None]


def absence_loss(mixture: Tensor, separated: Tensor, weak: Tensor) -> Tensor:
    """sum over the frames in which weak labels (uint8 (B, N, T)) say that i does not sound of |S_i|, divided as the
    mixture losses are, which know clips and scores alone. Shapes as there."""
    return (separated.sum(2) * (weak == ABSENT)).sum() / _whole(mixture)


def stem_loss(mixture: Tensor, separated: Tensor, stems: Tensor, counted: Tensor | None = None) -> Tensor:
    """sum_i sum_{f,t} |S_i - E_i|, divided by sum X over the batch as the mixture losses are.

    Magnitude approximation by the mean absolute error, the usual loss of supervised separators that mask magnitudes.

    Args:
        mixture: X, (B, F, T).
        separated: S = M X, (B, N, F, T).
        stems: E, magnitudes of the true stems, or what a teacher takes for them, (B, N, F, T).
        counted: bool (B,), clips whose stems are known; None for all.
    """
    if fused.applies(mixture, stems, separated=separated):
        error: Tensor = StemError.apply(mixture, separated, stems, counted, False)  # type: ignore[no-untyped-call]
        return error / _whole(mixture)
    return plain_stem_error(separated, stems, counted) / _whole(mixture)


def plain_stem_error(separated: Tensor, stems: Tensor, counted: Tensor | None = None) -> Tensor:
    """`StemError` as tensor operations, for any device and type."""
    error = (separated - stems).abs()
    if counted is not None:
        error = error * counted[:, None, None, None]
    return error.sum()


def teacher_loss(mixture: Tensor, separated: Tensor, parts: Tensor, counted: Tensor | None = None) -> Tensor:
    """L_teach: `stem_loss` with the shares of X that a teacher gives the instruments, M^t_i X, for stems.

    Args:
        mixture, separated: as there.
        parts: what the teacher takes the instruments' magnitudes for, (B, N, F, T); M^t_i is their ratio to the sum.
        counted: bool (B,), clips that have a teacher; None for all.
    """
    if fused.applies(mixture, parts, separated=separated):
        error: Tensor = StemError.apply(mixture, separated, parts, counted, True)  # type: ignore[no-untyped-call]
        return error / _whole(mixture)
    return plain_stem_error(separated, shares(parts) * mixture.unsqueeze(1), counted) / _whole(mixture)


@torch.no_grad()
def teacher_magnitudes(template: Tensor, activation: Tensor) -> Tensor:
    """What the teacher takes the instruments' magnitudes for: its factors multiplied, float32 (B, N, F, T).

    Args:
        template: float32 (B, N, U, F), U templates an instrument.
        activation: float32 (B, N, U, T).
    """
    with torch.autocast(template.device.type, enabled=False):
        return template.transpose(2, 3) @ activation


def shares(parts: Tensor) -> Tensor:
    """Ratio masks of magnitudes (B, N, F, T), of sum 1 over N; where there is next to nothing, all share equally."""
    total = parts.sum(1, keepdim=True)
    return torch.where(total > float(FAINTEST), parts / total.clamp_min(float(FAINTEST)), 1.0 / parts.shape[1])


def cross_mixture(separated: Tensor, roll: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """X~ = sum_i S_i^{(pi_i(b))} and its parts y~, tracks of one sum from different clips.

    Args:
        separated: S, (B, N, F, T).
        roll: y, (B, N, P, T).
        shifts: int64 (N,), pi_i(b) = (b + shifts[i]) mod B; different for each i (`different_clips`).

    Returns:
        X~ (B, F, T) and y~ (B, N, P, T).
    """
    moves = shifts.tolist()
    mixed = torch.stack([separated[:, i].roll(-move, 0) for i, move in enumerate(moves)])
    parts = torch.stack([roll[:, i].roll(-move, 0) for i, move in enumerate(moves)], dim=1)
    return mixed.sum(0), parts


def different_clips(batch: int, instruments: int, generator: torch.Generator) -> Tensor:
    """Random shifts for `cross_mixture`: different for each instrument, so no two tracks share a clip. int64 (N,).

    A batch with fewer clips than instruments cannot avoid sharing; then as few as possible do.
    """
    rounds = -(-instruments // batch)
    return torch.cat([torch.randperm(batch, generator=generator) for _ in range(rounds)])[:instruments]
