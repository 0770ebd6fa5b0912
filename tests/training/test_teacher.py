"""The teacher's factors on their way to the losses: the right slices, the right products, nothing from elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scoresep import nmf as factorisation
from scoresep.losses.batch import DATASETS, TEACHER
from scoresep.losses.formulas import shares, teacher_magnitudes
from scoresep.losses.table import LOSSES, datasets_of
from scoresep.training.clip_dataset import ShardClips
from scoresep.training.loader import open_source, stream
from scoresep.training.teacher import collate, excerpt

CPU = torch.device("cpu")
CROPS = [(0, 0), (1, 31), (2, 62), (0, 80), (2, 93)]
"""At a track's beginning, in it, at its end, over its end, its last frame: tracks have 94 frames."""


def song() -> dict[str, np.ndarray]:
    """Two instruments, three templates of two bins, four frames: of two entries, one, none, and two."""
    return {
        "template": np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float16),
        "template_of": np.array([[0, 60], [0, 62], [1, 40]], dtype=np.int16),
        "component": np.array([0, 2, 1, 0, 1], dtype=np.uint16),
        "activation": np.array([3, 1, 5, 2, 4], dtype=np.float16),
        "activation_end": np.array([2, 3, 3, 5], dtype=np.uint32),
    }


def crop(first: int, frames: int):
    arrays = song()
    return excerpt(lambda name, at, count: arrays[name][at : at + count], 3, 4, first, frames)


def test_an_excerpt_by_hand():
    found = crop(0, 3)
    assert found.instrument.tolist() == [0, 0, 1] and found.templates.tolist() == [[1, 0], [0, 1], [1, 1]]
    assert found.activation.tolist() == [[3, 0, 0], [0, 5, 0], [1, 0, 0]]
    found = crop(1, 5)
    assert found.instrument.tolist() == [0, 0] and found.templates.tolist() == [[1, 0], [0, 1]]
    assert found.activation.tolist() == [[0, 0, 2, 0, 0], [5, 0, 4, 0, 0]]
    found = crop(2, 1)
    assert found.templates.shape == (0, 2) and found.activation.shape == (0, 1)
    assert crop(4, 2).activation.shape == (0, 2)


def test_masks_by_hand():
    """In the first frame of the first clip: bins 3 and 0 of one instrument against 1 and 1 of the other."""
    factors = collate([crop(0, 2), crop(2, 2)], 2)
    assert factors["template"].shape == (2, 2, 2, 2) and factors["activation"].shape == (2, 2, 2, 2)
    found = shares(teacher_magnitudes(factors["template"].float(), factors["activation"].float()))
    assert found[0, 0, :, 0].tolist() == pytest.approx([0.75, 0.0])
    assert found[0, :, 0, 1].tolist() == [0.5, 0.5] and found[0, :, 1, 1].tolist() == [1.0, 0.0]
    assert found[1, :, :, 0].unique().tolist() == [0.5] and found[1, 0, :, 1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("resident", ["", "host", "device"])
@pytest.mark.parametrize("workers", [0, 2])
def test_masks_are_those_of_the_factorisation(cache, resident, workers):
    source = open_source(cache, "train", 32, CPU, ("magnitude", TEACHER), resident)
    (batch,) = stream(cache, 32, [CROPS], workers, CPU, source)
    found = shares(teacher_magnitudes(batch.template, batch.activation))
    assert found.shape == (5, 3, 1025, 32) and found.dtype == torch.float32
    for place, (row, first) in enumerate(CROPS):
        here = min(32, 94 - first)
        expected = factorisation.masks(cache.factors(row), power=1.0)[..., first : first + here]
        assert np.abs(found[place, :, :, :here].numpy() - expected).max() < 1e-5
        assert torch.allclose(found[place, :, :, here:], torch.tensor(1 / 3)), "after the end nobody is heard"


def test_half_precision_of_the_networks_leaves_the_masks_alone(cache):
    (batch,) = stream(cache, 32, [CROPS], 0, CPU, ShardClips(cache, 32, ("magnitude", TEACHER)))
    exact = teacher_magnitudes(batch.template, batch.activation)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(teacher_magnitudes(batch.template, batch.activation), exact)


def test_factors_are_read_where_a_loss_asks_for_them_and_nowhere_else(cache):
    readers = {name for name, loss in LOSSES["separator"].items() if TEACHER in datasets_of([loss])}
    assert readers == {"teacher"}
    (batch,) = stream(cache, 32, [CROPS], 0, CPU)
    assert batch.template is None and batch.activation is None and set(batch.tensors()) == set(DATASETS)
