"""Critics of who plays: shapes, labels, and how a clip's logit comes from its frames."""

from __future__ import annotations

import pytest
import torch

from scoresep.models.tcn import TCN, TCNClassifier, TCNSettings

TRUNK = TCNSettings(8, 16, 2, 1)


@pytest.mark.parametrize(
    ("critic", "shape"), [("keys", (2, 3, 88, 7)), ("frames", (2, 3, 1, 7)), ("clips", (2, 3, 1, 1))]
)
def test_logits_and_labels_have_one_shape(critic, shape):
    network = TCN.critics[critic](33, 3, TRUNK)
    assert network(torch.rand(2, 33, 7)).frame.shape == shape
    assert network.labels(torch.zeros(2, 3, 88, 7)).shape == shape


def test_labels_say_who_plays():
    roll = torch.zeros(1, 2, 88, 3)
    roll[0, 1, (5, 9), 2] = 1
    assert TCNClassifier(33, 2, TRUNK, pooled=False).labels(roll).flatten().tolist() == [0, 0, 0, 0, 0, 1]
    assert TCNClassifier(33, 2, TRUNK, pooled=True).labels(roll).flatten().tolist() == [0, 1]


def test_a_clip_is_a_soft_maximum_of_its_frames():
    torch.manual_seed(0)
    frames, clips = (TCNClassifier(33, 2, TRUNK, pooled=pooled).eval() for pooled in (False, True))
    clips.load_state_dict(frames.state_dict())
    x = torch.rand(2, 33, 9)
    single, pooled = frames(x).frame.double(), clips(x).frame.double()
    assert torch.allclose(pooled, single.exp().mean(3, keepdim=True).log(), atol=1e-5)
    assert (pooled <= single.amax(3, keepdim=True) + 1e-6).all() and (
        pooled >= single.mean(3, keepdim=True) - 1e-6
    ).all()
