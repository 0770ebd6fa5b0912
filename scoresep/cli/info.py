"""The command `scoresep info`: what a file is, for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoresep.console import console, one_line
from scoresep.errors import InvalidValue, WrongFormat
from scoresep.files import existing_file

if TYPE_CHECKING:
    from scoresep.cache.reader import Cache

Lines = list[tuple[str, str]]


def info(
    file: Annotated[
        Path | None, typer.Argument(help="A cache or a checkpoint; default: the model that comes with scoresep.")
    ] = None,
    plot: Annotated[
        str | None, typer.Option(metavar="TRACK", help="Draw this track of a cache: mixture, rolls and masks.")
    ] = None,
    span: Annotated[
        str | None, typer.Option(metavar="FROM-TO", help="Seconds to draw, such as 60-75; default: where most happens.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the picture goes; default: TRACK.png.")] = None,
) -> None:
    """Say what a cache or a checkpoint is, or draw a track of a cache, to see whether score and audio agree.

    Example: scoresep info cache.h5 --plot Track00001
    """
    from scoresep.pretrained import SHIPPED_CARD, SHIPPED_MODEL

    if plot is not None:
        from scoresep.cache.reader import Cache
        from scoresep.plots.cache_track import draw_track

        if file is None:
            raise InvalidValue("no cache is named", remedy="name it: scoresep info cache.h5 --plot TRACK")
        target = out or Path(f"{Path(plot).name}.png")
        draw_track(target, Cache(file), plot, read_span(span))
        console.print(f"picture: {target}", markup=False)
        return
    for name, value in describe(file or SHIPPED_MODEL):
        console.print(f"[bold]{name:>12}[/]  ", end="")
        console.print(one_line(value), markup=False)
    if file is None:
        console.print(SHIPPED_CARD.read_text("utf-8"), markup=False)


def read_span(text: str | None) -> tuple[float, float] | None:
    """The seconds of '60-75'."""
    if text is None:
        return None
    first, _, last = text.partition("-")
    try:
        span = float(first), float(last)
    except ValueError:
        span = (0.0, 0.0)
    if not 0 <= span[0] < span[1]:
        raise InvalidValue(f"--span '{text}' is not FROM-TO in seconds", remedy="give them as in 60-75")
    return span


def describe(path: Path) -> Lines:
    """(name, value) lines about a cache or a checkpoint.

    Raises:
        WrongFormat: it is neither.
        ScoresepError: it is missing or damaged.
    """
    import h5py

    from scoresep.cache.reader import Cache
    from scoresep.models.checkpoint import is_checkpoint

    existing_file(path, "file", "give a cache or a checkpoint")
    if h5py.is_hdf5(path):
        return describe_cache(Cache(path))
    if is_checkpoint(path):
        return describe_checkpoint(path)
    raise WrongFormat("neither a cache nor a checkpoint of scoresep", file=path, remedy="give one of the two")


def describe_cache(cache: Cache) -> Lines:
    """Corpus, size, grid, instruments and what was left out."""
    tracks, grid = cache.tracks, cache.grid
    hours = tracks["samples"].sum() / grid.sample_rate / 3600
    shards = [cache.shard_path(shard) for shard in sorted(set(tracks["shard"].tolist()))]
    missing = sum(not path.exists() for path in shards)
    size = sum(path.stat().st_size for path in shards if path.exists())
    counts = [f"{int((tracks['split'] == split).sum())} {split}" for split in sorted(set(tracks["split"]))]
    active = [f"{name} in {int(n)}" for name, n in zip(cache.names, tracks.active.sum(0), strict=True)]
    lines = [
        ("cache", str(cache.path)),
        ("corpus", f"{cache.corpus}, split set {cache.split_set}, label rules: {', '.join(cache.rules) or 'none'}"),
        ("tracks", f"{len(tracks)} ({', '.join(counts)}), {hours:.2f} hours"),
        ("instruments", f"{', '.join(active)} tracks"),
        ("grid", f"{grid}: {grid.frame_rate:g} frames/s"),
        (
            "shards",
            f"{len(shards)}, {size / 2**20:.0f} MiB" + (f"; {missing} MISSING, prepare again" if missing else ""),
        ),
        ("teacher", cache.settings.teacher),
        ("digest", cache.digest),
    ]
    lines += [("left out", f"{item.track}: {item.reason}") for item in cache.excluded if not item.deliberate]
    if deliberate := sum(item.deliberate for item in cache.excluded):
        lines.append(("omitted", f"{deliberate}, by the split set or as duplicates"))
    lines += [("flagged", f"{item.track} {item.stem}: {item.detail}".replace(" :", ":")) for item in cache.findings]
    if cache.split_leakage:
        count = len(cache.split_leakage)
        lines.append(("split leakage", f"{count} compositions lie in several splits (prepare with --dedupe)"))
    return lines


def describe_checkpoint(path: Path) -> Lines:
    """Stage, networks, instruments, grid, thresholds and where the data lay."""
    from scoresep.models.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(path)
    model, grid = checkpoint.model, checkpoint.model.grid
    sizes = [
        f"{name} {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters"
        for name, network in model.networks.items()
    ]
    band = f", of what is below {model.bandwidth:g} Hz" * bool(model.bandwidth)
    state = "complete" if checkpoint.complete else "to be continued"
    thresholds = [f"{name} {value:.2f}" for name, value in zip(model.names, model.threshold, strict=True)]
    return [
        ("checkpoint", str(path)),
        ("stage", f"{checkpoint.stage}, {checkpoint.steps} steps, {state}"),
        *((role, written(settings)) for role, settings in model.architecture.to_dict().items()),
        ("networks", f"{', '.join(sizes)}; masks {model.mask}{band}"),
        ("instruments", ", ".join(model.names)),
        ("grid", f"{grid}: {grid.frame_rate:g} frames/s"),
        ("thresholds", ", ".join(thresholds)),
        ("seed", str(checkpoint.config.get("seed"))),
        ("cache", f"{checkpoint.cache or 'not said'} (digest {checkpoint.cache_digest[:12]})"),
    ]


def written(settings: Mapping[str, object]) -> str:
    """A network's name and settings as text: `tcn: channels 384, hidden 256`."""
    name, *sizes = settings.items()
    return f"{name[1]}: {', '.join(f'{key} {value}' for key, value in sizes)}"
