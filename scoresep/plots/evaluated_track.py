"""The picture of one track of a split."""

from __future__ import annotations

from pathlib import Path

from scoresep.evaluation.evaluate import open_both
from scoresep.evaluation.tracks import Settings
from scoresep.plots.result import draw_picture
from scoresep.separation.separate import Options, separate_array
from scoresep.transcription.transcribe import transcribe_array


def plot_track(
    path: str | Path,
    checkpoint_path: str | Path,
    cache_path: str | Path | None,
    split: str,
    device: str,
    refine: bool = False,
) -> None:
    """Draw the first track of `split`: spectrograms of mixture and estimates, transcription and score.

    `refine`: whether the estimates are refined, as in `evaluate`.

    Raises:
        ScoresepError: as `evaluate`, or `path` cannot be written.
    """
    checkpoint, cache = open_both(checkpoint_path, cache_path, Settings(split, (), refine=refine))
    model, row = checkpoint.model.to(device), int(cache.rows(split)[0])
    mixture, rate, truth = cache.mixture(row), cache.grid.sample_rate, cache.notes(row)
    draw_picture(
        path,
        mixture,
        separate_array(mixture, rate, model, Options(refine=refine)),
        cache.grid,
        transcribe_array(mixture, rate, model).notes if model.transcribes else {},
        {name: truth[truth[:, 4] == n][:, :4] for n, name in enumerate(model.names)},
        title=f"{cache.tracks['id'][row]} of {cache.corpus}, split '{split}'",
    )
