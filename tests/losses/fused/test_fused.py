"""Where losses are computed in one pass, and in how many threads."""

from __future__ import annotations

import pytest
import torch

from scoresep.losses.fused import applies, over_clips


def test_it_stands_aside_where_it_does_not_apply():
    mixture, separated = torch.rand(1, 2, 2), torch.rand(1, 2, 2, 2)
    assert applies(mixture, separated=separated)
    assert applies(mixture, torch.rand(1, 2, 2, 2), separated=separated.requires_grad_())
    assert not applies(mixture.double(), separated=separated.double())
    assert not applies(mixture.clone().requires_grad_(), separated=separated)
    assert not applies(mixture.to("meta"), separated=separated.to("meta"))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_clip_is_worked_on_once(threads):
    before, seen = torch.get_num_threads(), []
    try:
        torch.set_num_threads(threads)
        for clips in (1, 2, 7):
            over_clips(lambda begin, end: seen.extend(range(begin, end)), clips)
    finally:
        torch.set_num_threads(before)
    assert sorted(seen) == sorted([*range(1), *range(2), *range(7)])


def test_a_fault_in_a_thread_is_raised():
    def work(begin: int, end: int) -> None:
        raise ValueError(f"clip {end - 1}")

    with pytest.raises(ValueError, match="clip"):
        over_clips(work, 8)
