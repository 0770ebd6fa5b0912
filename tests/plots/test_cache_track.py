"""The picture of a cached track: panels, titles, what is painted and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from scoresep.errors import NotFound
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.instruments import INSTRUMENTS, OTHER, Instrument, choose
from scoresep.plots.cache_track import TrackExcerpt, clock, draw_excerpt, draw_track

GRID = Grid()
FRAMES = 40


def excerpt_of(instruments: tuple[Instrument, ...], with_stems: bool = True) -> TrackExcerpt:
    """Instrument n holds key 30 + n from frame 10 to 30 and sounds in bins 100 to 110, of which its mask has half.

    A percussive instrument is struck in frames 10 and 20; `other` sounds everywhere and may.
    """
    count = len(instruments)
    stems = np.zeros((FRAMES, count, GRID.bins), dtype=np.float32)
    roll = np.zeros((FRAMES, count, PITCHES), dtype=bool)
    onset = np.zeros_like(roll)
    mask = np.zeros((FRAMES, count, GRID.bins), dtype=bool)
    for n, instrument in enumerate(instruments):
        if not instrument.scored:
            stems[:, n], mask[:, n] = 0.1, True
            continue
        stems[10:30, n, 100:110] = 0.2
        mask[10:30, n, 105:120] = True
        roll[10:30, n, 30 + n] = True
        onset[[10, 20] if instrument.kind == "percussive" else [10], n, 30 + n] = True
    span = (GRID.seconds(-0.5), GRID.seconds(FRAMES - 0.5))
    return TrackExcerpt(instruments, GRID, span, stems.sum(axis=1), stems if with_stems else None, roll, onset, mask)


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def colourful(figure: Figure, panel: str) -> bool:
    """Whether the image of a panel has anything that is no grey."""
    axes = figure.axes[titles(figure).index(panel)]
    return bool(np.ptp(np.asarray(axes.images[0].get_array()), axis=2).max() > 0.01)


@pytest.mark.parametrize(
    ("names", "panels"),
    [
        (["piano", "bass"], ["mixture", "score", "piano", "bass"]),
        (["drums", "other"], ["mixture", "score, drums", "drums", "other"]),
        (["piano", "drums", "other"], ["mixture", "score", "score, drums", "piano", "drums", "other"]),
        (
            ["piano", "guitar", "bass", "strings", "brass", "reed", "drums", "other"],
            [
                "mixture",
                "score",
                "score, drums",
                "piano",
                "guitar",
                "bass",
                "strings",
                "brass",
                "reed",
                "drums",
                "other",
            ],
        ),
    ],
)
def test_panels_from_two_to_eight_instruments_on_one_time_axis(names, panels):
    instruments = choose(names)
    figure = draw_excerpt(excerpt_of(instruments), "a title")
    assert titles(figure) == panels
    assert {axes.get_xlim() for axes in figure.axes} == {(GRID.seconds(-0.5), GRID.seconds(FRAMES - 0.5))}
    for name in names:
        assert colourful(figure, name) == (name != "other")
    assert not colourful(figure, "mixture")
    figure.canvas.draw()  # a layout that cannot be made warns, and warnings of ours are errors


def test_how_much_of_a_stem_its_mask_covers_is_said():
    instruments = choose(["piano", "other"])
    figure = draw_excerpt(excerpt_of(instruments), "")
    assert figure.axes[2].get_title(loc="right") == "mask over its stem: 50 % of the energy lies inside"
    assert figure.axes[3].get_title(loc="right") == "its stem; it has no score"


def test_without_stems_masks_lie_over_the_mixture_and_other_has_nothing_to_show():
    instruments = choose(["piano", "drums", "other"])
    figure = draw_excerpt(excerpt_of(instruments, with_stems=False), "a title")
    assert titles(figure) == ["mixture", "score", "score, drums", "piano", "drums"]
    assert figure.axes[3].get_title(loc="right") == "mask over the mixture"
    assert figure.get_suptitle() == "a title"
    assert colourful(figure, "piano")


def test_a_silent_instrument_is_named_and_has_no_panel():
    instruments = choose(["piano", "bass", "other"])
    excerpt = excerpt_of(instruments)
    for values in (excerpt.stems, excerpt.roll, excerpt.onset, excerpt.mask):
        values[:, 1:] = 0
    figure = draw_excerpt(excerpt, "a title")
    assert titles(figure) == ["mixture", "score", "piano"]
    assert figure.get_suptitle() == "a title; silent here: bass, other"


def test_sound_without_notes_has_a_panel():
    instruments = choose(["piano", "bass"])
    excerpt = excerpt_of(instruments)
    for values in (excerpt.roll, excerpt.onset, excerpt.mask):
        values[:, 1] = False
    figure = draw_excerpt(excerpt, "")
    assert titles(figure) == ["mixture", "score", "piano", "bass"]
    assert not colourful(figure, "bass")


def test_nothing_at_all_is_a_mixture():
    instruments = choose(["piano", "drums"])
    excerpt = excerpt_of(instruments)
    nothing = TrackExcerpt(
        instruments,
        GRID,
        excerpt.span,
        *(np.zeros_like(v) for v in (excerpt.mixture, excerpt.stems, *([excerpt.roll] * 2))),
        excerpt.mask * False,
    )
    figure = draw_excerpt(nothing, "")
    assert titles(figure) == ["mixture"]


def strokes(figure: Figure, panel: str) -> list[float]:
    """Times of the vertical strokes of a panel."""
    axes = figure.axes[titles(figure).index(panel)]
    return sorted(
        {
            float(segment[0][0])
            for lines in axes.collections
            if hasattr(lines, "get_segments")
            for segment in lines.get_segments()
        }
    )


def test_onsets_are_visible_in_score_and_masks():
    instruments = choose(["piano", "drums"])
    figure = draw_excerpt(excerpt_of(instruments), "")
    begin, again = (GRID.seconds(frame - 0.5) for frame in (10, 20))
    middle = GRID.seconds(0.5)  # in masks the stroke stands in the middle of its frame
    assert strokes(figure, "score") == pytest.approx([begin])
    assert strokes(figure, "score, drums") == pytest.approx([begin, again])
    assert strokes(figure, "piano") == pytest.approx([begin + middle])
    assert strokes(figure, "drums") == pytest.approx([begin + middle, again + middle])


def test_drums_are_named_where_pitches_name_drums():
    key = 36 - LOWEST_PITCH
    for instruments, name in (
        (choose(["piano", "drums"]), "Bass Drum 1 36"),
        ((INSTRUMENTS["piano"], Instrument("mallets", (11,), 11, "percussive")), "36"),
    ):
        excerpt = excerpt_of(instruments)
        excerpt.roll[:, 1] = False
        excerpt.roll[12:15, 1, key] = True
        labels = draw_excerpt(excerpt, "").axes[2].get_yticklabels()
        assert [label.get_text() for label in labels] == [name]


def test_a_track_is_drawn_with_what_a_result_must_name(cache, tmp_path):
    draw_track(tmp_path / "a.svg", cache, "Track00004")
    text = (tmp_path / "a.svg").read_text()
    assert "Track00004 (validation) of corpus 'slakh', split set 'redux'" in text.replace("&#x27;", "'")
    assert "0:00.0 to 0:03.0 of 0:03.0: the 3 s in which most instruments sound" in text
    draw_track(tmp_path / "b.png", cache, "Track00004", (1.0, 2.0))
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.png"]


def test_an_unknown_track_writes_nothing(cache, tmp_path, refused):
    with refused(NotFound, cache.path):
        draw_track(tmp_path / "a.png", cache, "track00004")
    assert not list(tmp_path.iterdir())


def test_other_is_never_left_with_a_colour_of_its_mask():
    instruments = (INSTRUMENTS["piano"], OTHER)
    assert not colourful(draw_excerpt(excerpt_of(instruments), ""), "other")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00.0"), (83.44, "1:23.4"), (59.96, "1:00.0"), (3600, "60:00.0")])
def test_clock(seconds, text):
    assert clock(seconds) == text
