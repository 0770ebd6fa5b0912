"""The command `scoresep render`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from scoresep.cli.options import Jobs, by_comma
from scoresep.console import console, meter
from scoresep.machine import available_cores

if TYPE_CHECKING:
    from scoresep.rendering.render import RenderReport

UNITS = {"reading MIDI": "files", "probing sounds": "sounds"}
"""What is counted while something else than songs is."""
Levels = Literal["equal", "record"]


def render(
    out: Annotated[Path, typer.Argument(help="Folder of the corpus to make.")],
    songs: Annotated[int | None, typer.Option(help="Songs; default 60 composed ones, or all of --midi.", min=1)] = None,
    midi: Annotated[Path | None, typer.Option(help="Folder of MIDI files to render instead of composing.")] = None,
    soundfont: Annotated[
        list[Path] | None, typer.Option(help="SoundFont (.sf2); repeatable; default: the one of pretty_midi.")
    ] = None,
    sounds: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of sounds (packs, .sfz, .sf2) to play beside the SoundFonts; repeatable."),
    ] = None,
    impulses: Annotated[
        Path | None,
        typer.Option(help="Folder of impulse responses of cabinets, rooms and devices; default: synthesised ones."),
    ] = None,
    chains: Annotated[
        bool | None,
        typer.Option(
            "--chains/--no-chains",
            help="Send stems through amplifiers, effects and rooms; default: with --sounds or --impulses.",
            show_default=False,
        ),
    ] = None,
    pack_share: Annotated[
        float | None,
        typer.Option(help="Share of the parts that --sounds play, where they can; SoundFonts the rest; default: 0.7."),
    ] = None,
    weak_packs: Annotated[
        bool,
        typer.Option("--weak-packs", help="Use packs and voices whose file says that their provenance is weak, too."),
    ] = False,
    bands: Annotated[
        bool, typer.Option("--bands", help="Compose for whole bands with singers, in styles from rock to bossa nova.")
    ] = False,
    charts: Annotated[Path | None, typer.Option(help="Folder of Billboard chord charts that bands play from.")] = None,
    grooves: Annotated[
        Path | None, typer.Option(help="Folder of the Groove MIDI Dataset: the drummers of the bands.")
    ] = None,
    voices: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with a folder of recordings for each singer; repeatable; default: formants sing."),
    ] = None,
    levels: Annotated[
        Levels | None, typer.Option(help="How loud stems are; default: record for --bands, else equal.")
    ] = None,
    groups: Annotated[
        str, typer.Option(help="Instruments to render, by comma, such as piano,guitar,bass; default: all.")
    ] = "",
    seed: Annotated[int, typer.Option(help="The same seed gives the same corpus.", min=0)] = 0,
    seconds: Annotated[float, typer.Option(help="Length of a song, longest excerpt of a MIDI file.")] = 30.0,
    sample_rate: Annotated[int, typer.Option(help="Of the audio files, Hz.")] = 44100,
    preview: Annotated[
        bool, typer.Option("--preview", help="Write OUT/preview.html: a dozen songs to look at and listen to.")
    ] = False,
    jobs: Jobs = 0,
) -> None:
    """Make a corpus in Slakh's layout, from composed music or from your own MIDI files.

    Test songs use compositions, and where SoundFonts and folders of sounds allow it patches, that training never sees.

    Example: scoresep render corpus --songs 60 --seed 1 --sounds my_packs --impulses my_impulses
    """
    from scoresep.rendering.render import render_corpus
    from scoresep.rendering.settings import RenderSettings

    given: dict[str, Any] = {"soundfonts": tuple(soundfont)} if soundfont else {}
    if pack_share is not None:
        given["pack_share"] = pack_share
    settings = RenderSettings(
        songs=songs,
        midi_dir=midi,
        groups=by_comma(groups),
        seed=seed,
        seconds=seconds,
        sample_rate=sample_rate,
        sounds=tuple(sounds or ()),
        impulses=impulses,
        chains=chains,
        weak_packs=weak_packs,
        voices=tuple(voices or ()),
        bands=bands,
        charts=charts,
        grooves=grooves,
        levels=levels,
        **given,
    )
    with meter("songs") as progress:
        report = render_corpus(
            out,
            settings,
            jobs=jobs or available_cores(),
            progress=lambda done, total, what: progress(what, done, total, unit=UNITS.get(what, "songs")),
        )
    print_report(report)
    if preview:
        print_preview(out)
    console.print(f"next: scoresep prepare slakh {out}", markup=False)


def print_preview(corpus: Path) -> None:
    """Write the page of a corpus, and say where it is."""
    from scoresep.reporting.corpus import write_preview
    from scoresep.reporting.page import size_text

    with meter("songs") as progress:
        path, size = write_preview(corpus, progress=partial(progress, "drawing"))
    console.print(f"preview: {path} ({size_text(size)})", markup=False)


def print_report(report: RenderReport) -> None:
    """Print what was left out, what only test songs use, and what was made."""
    from scoresep.cli.prepare import MOST_LISTED
    from scoresep.rendering.render import summary

    skipped = [f"skipped {file}: {reason}" for file, reason in report.skipped]
    more = [f"skipped {len(skipped) - MOST_LISTED} more"] * (len(skipped) > MOST_LISTED)
    for line in (*skipped[:MOST_LISTED], *more, *summary(report.left_out)):
        console.print(f"  {line}", markup=False)
    if report.left_out:
        console.print(f"  all of it: {report.table}", markup=False)
    for reason, labels in by_reason(report.unused).items():
        console.print(f"  not used: {', '.join(labels)}: {reason}", markup=False)
    for group, patches in sorted(report.held_out.items()):
        console.print(f"  {group}: only test songs use {', '.join(patches)}", markup=False)
    counts = ", ".join(f"{count} {split}" for split, count in report.tracks.items())
    console.print(
        f"{report.out}: {counts} songs, {report.seconds / 60:.0f} minutes; "
        f"{report.made} made, {report.reused} were there already",
        markup=False,
    )


def by_reason(unused: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Reason to the labels that share it."""
    reasons: dict[str, list[str]] = {}
    for label, reason in unused:
        reasons.setdefault(reason, []).append(label)
    return reasons
