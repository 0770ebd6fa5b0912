"""The command line: every command parses, calls one function and prints. Entry point `main`."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import typer.core

from scoresep import __version__
from scoresep.console import console, errors, losses_line, meter
from scoresep.errors import ScoresepError
from scoresep.instruments import DEFAULT_INSTRUMENTS
from scoresep.machine import available_cores

if TYPE_CHECKING:
    from scoresep.training.checkpoint import Model


class Commands(typer.core.TyperGroup):
    """Says a word when a command is stopped, which Typer would end in silence."""

    def invoke(self, ctx: typer.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            errors.print("stopped; finished parts are kept, the same command goes on")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Music source separation that learns from mixtures and their scores, without isolated stems.",
)
prepare_app = typer.Typer(no_args_is_help=True, help="Compile a corpus into a cache for training.")
app.add_typer(prepare_app, name="prepare")

DEFAULT_CACHE, DEFAULT_CHECKPOINT, DEFAULT_RUN = Path("cache.h5"), Path("ckpt.pt"), Path("run")
DEFAULT_METRICS, DEFAULT_STEMS, DEFAULT_SCORES = Path("metrics.json"), Path("stems"), Path("scores")

Jobs = Annotated[int, typer.Option(help="Worker processes; 0 for one a core.", min=0)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
CheckpointOption = Annotated[Path, typer.Option("--ckpt", help="Checkpoint made by `scoresep train`.")]


def main() -> None:
    """Run the command line; what a user can put right is one line on standard error and exit status 2."""
    try:
        app()
    except ScoresepError as fault:
        fail(str(fault))
    except OSError as fault:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            fail(f"the disk is full{named(fault)}; free some space and run the same command again")
        if fault.errno in (errno.EACCES, errno.EROFS):
            fail(f"no permission to write{named(fault)}; choose another place")
        if fault.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
            fail(f"cannot write{named(fault)}: {fault.strerror}; choose another place")
        raise


def fail(message: str) -> None:
    """Print one line and exit with status 2."""
    errors.print(f"error: {' '.join(message.split())}", markup=False)
    sys.exit(2)


def named(fault: OSError) -> str:
    """The file of a fault, for a message: the name that was wanted rather than a temporary one."""
    name = fault.filename2 or fault.filename
    return f" ({name})" if name else ""


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        console.print(f"scoresep {__version__}")
        raise typer.Exit


@app.command()
def render(
    out: Annotated[Path, typer.Argument(help="Folder of the corpus to make.")],
    songs: Annotated[int | None, typer.Option(help="Songs; default 60 composed ones, or all of --midi.", min=1)] = None,
    midi: Annotated[Path | None, typer.Option(help="Folder of MIDI files to render instead of composing.")] = None,
    soundfont: Annotated[
        list[Path] | None, typer.Option(help="SoundFont (.sf2); repeatable; default: the one of pretty_midi.")
    ] = None,
    groups: Annotated[
        str, typer.Option(help="Instruments to render, by comma, such as piano,guitar,bass; default: all.")
    ] = "",
    seed: Annotated[int, typer.Option(help="The same seed gives the same corpus.", min=0)] = 0,
    seconds: Annotated[float, typer.Option(help="Length of a song, longest excerpt of a MIDI file.")] = 30.0,
    sample_rate: Annotated[int, typer.Option(help="Of the audio files, Hz.")] = 44100,
    jobs: Jobs = 0,
) -> None:
    """Make a corpus in Slakh's layout, from composed music or from your own MIDI files.

    Test songs use compositions, and where the SoundFonts allow it patches, that training never sees.

    Example: scoresep render corpus --songs 60 --seed 1
    """
    from scoresep.rendering.render import RenderSettings, render_corpus

    banks = {"soundfonts": tuple(soundfont)} if soundfont else {}
    settings = RenderSettings(
        songs=songs,
        midi_dir=midi,
        groups=by_comma(groups),
        seed=seed,
        seconds=seconds,
        sample_rate=sample_rate,
        **banks,
    )
    with meter("songs") as progress:
        report = render_corpus(
            out,
            settings,
            jobs=jobs or available_cores(),
            progress=lambda done, total, what: progress(what, done, total),
        )
    for file, reason in report.skipped:
        console.print(f"  skipped {file}: {reason}", markup=False)
    for group, patches in sorted(report.held_out.items()):
        console.print(f"  {group}: only test songs use {', '.join(patches)}", markup=False)
    counts = ", ".join(f"{count} {split}" for split, count in report.tracks.items())
    console.print(
        f"{out}: {counts} songs, {report.seconds / 60:.0f} minutes; {report.made} made, {report.reused} were there; "
        f"next: scoresep prepare slakh {out}",
        markup=False,
    )


@prepare_app.command("slakh")
def prepare_slakh(
    corpus: Annotated[Path | None, typer.Argument(metavar="[ROOT]", help="Folder of the corpus.")] = None,
    out: Annotated[Path, typer.Option(help="Cache to write; its shards lie in a folder beside it.")] = DEFAULT_CACHE,
    instruments: Annotated[str, typer.Option(help="Groups to separate, by comma.")] = ",".join(DEFAULT_INSTRUMENTS),
    jobs: Jobs = 0,
) -> None:
    """Compile Slakh2100 (FLAC or 16 kHz WAV edition), or a corpus made by `scoresep render`.

    Without ROOT: the folder that SLAKH_ROOT names, else a usual folder name such as slakh2100_flac_redux.
    A stopped run goes on where it was.

    Example: scoresep prepare slakh ~/slakh2100_flac_redux --out cache.h5
    """
    from scoresep.cache.prepare import prepare
    from scoresep.cache.schema import CacheSettings
    from scoresep.corpora.slakh import open_slakh

    found = open_slakh(corpus)
    console.print(f"{found.root}: {len(found.tracks)} tracks, split set {found.split_set}", markup=False)
    with meter("tracks") as progress:
        report = prepare(
            found,
            out,
            CacheSettings(instruments=by_comma(instruments)),
            jobs or available_cores(),
            lambda done, total: progress("preparing", done, total),
        )
    for track, reason in report.excluded:
        console.print(f"  left out {track}: {reason}", markup=False)
    counts = ", ".join(f"{count} {split}" for split, count in report.tracks.items())
    console.print(
        f"{report.path}: {counts}; {len(report.excluded)} left out; {report.reused} of {report.shards} "
        "shards were there",
        markup=False,
    )


@app.command()
def train(
    stage: Annotated[int, typer.Option(help="Last stage to train.", min=1, max=3)] = 3,
    cache: Annotated[Path, typer.Option(help="Cache made by `scoresep prepare`.")] = DEFAULT_CACHE,
    recipe: Annotated[
        str | None, typer.Option(help="mini, paper or a TOML file; default: mini on a CPU, paper on a GPU.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; repeatable.")
    ] = None,
    steps: Annotated[
        str | None, typer.Option(help="Steps of every stage, or of stages 1,2,3 by comma; default: the recipe's.")
    ] = None,
    device: Device = "auto",
    resident: Annotated[
        str, typer.Option(help="Hold the training split in memory: host or device; default: read it as it is needed.")
    ] = "",
    run: Annotated[Path, typer.Option(help="Folder of logs and stage checkpoints.")] = DEFAULT_RUN,
    out: Annotated[Path, typer.Option(help="Where the last stage's checkpoint is copied to.")] = DEFAULT_CHECKPOINT,
    force: Annotated[bool, typer.Option("--force", help="Train the last stage anew even if it is there.")] = False,
) -> None:
    """Train the transcriptor (1), the separator with the transcriptor as critic (2), both against each other (3).

    Stages before the one asked for are trained first where their checkpoints are missing from the run's folder.
    Ctrl-C saves; the same command goes on. Several GPUs or machines: `torchrun ... -m scoresep train ...`.

    Example: scoresep train --stage 3 --set stage2.separator.harmonic_mixture=1.0
    """
    import torch

    from scoresep.cache.reader import Cache
    from scoresep.training.log import NoLog, RunLog
    from scoresep.training.ranks import joined
    from scoresep.training.recipe import load_recipe
    from scoresep.training.run import Stopped, choose_device, default_recipe
    from scoresep.training.run import train as run_training
    from scoresep.training.stream import RESIDENT

    if resident not in RESIDENT:
        raise ScoresepError(f"--resident '{resident}' is neither host nor device")
    chosen = choose_device(device)
    name = recipe or default_recipe(chosen)
    wanted = load_recipe(name, [*step_settings(steps), *(settings or [])])
    data = Cache(cache)
    with joined(chosen) as ranks, meter("steps") as progress:
        torch.set_num_threads(max(1, available_cores() // ranks.local))
        console.quiet = not ranks.first
        console.print(
            f"{cache}: {data.corpus}, {', '.join(data.instruments)}; recipe {name}; device {chosen}", markup=False
        )
        show = lambda title, done, total, losses: progress(title, done, total, losses_line(losses))  # noqa: E731
        log = RunLog(run, show, lambda text: console.print(text, markup=False)) if ranks.first else NoLog()
        try:
            run_training(data, stage, wanted, chosen, run, out, log, force, resident, ranks)
        except Stopped as stop:
            again = "the same command without --force" if force else "the same command"
            errors.print(f"{stop}; everything is saved in {run}, {again} goes on", markup=False)
            raise typer.Exit(130) from None
        finally:
            log.close()
    console.print(f"{out}: stage {stage}; next: scoresep evaluate {out}", markup=False)


def by_comma(text: str) -> tuple[str, ...]:
    """The names in 'piano, guitar,bass'."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def step_settings(steps: str | None) -> list[str]:
    """`--steps 300` or `--steps 300,200,100` as settings of the recipe."""
    if steps is None:
        return []
    counts = steps.split(",")
    if len(counts) not in (1, 3) or not all(count.strip().isdecimal() for count in counts):
        raise ScoresepError(f"--steps '{steps}' is neither a number nor three by comma, such as 300,200,100")
    return [f"stage{n}.steps={int(count)}" for n, count in enumerate(counts * (3 // len(counts)), start=1)]


@app.command()
def evaluate(
    ckpt: Annotated[Path, typer.Argument(help="Checkpoint made by `scoresep train`.")] = DEFAULT_CHECKPOINT,
    cache: Annotated[Path | None, typer.Option(help="Cache; default: the one the checkpoint was trained on.")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    out: Annotated[Path, typer.Option(help="Where the figures go.")] = DEFAULT_METRICS,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the split's first track, with its score, to this file.")
    ] = None,
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Evaluate anew even if --out holds this very result.")] = False,
) -> None:
    """Compare separation and transcription with the truth; print tables and write metrics.json.

    Beside the model stand the mixture itself, the score's harmonic mask and the oracle ratio mask.

    Example: scoresep evaluate ckpt.pt --split validation --plot first.png
    """
    import torch

    from scoresep.evaluation.evaluate import Evaluation, up_to_date
    from scoresep.evaluation.evaluate import evaluate as run_evaluation
    from scoresep.evaluation.report import plot_track, report
    from scoresep.training.run import choose_device

    torch.set_num_threads(available_cores())
    chosen = str(choose_device(device))
    result = None if force else Evaluation.load(out)
    if result and up_to_date(result, ckpt, cache, split):
        console.print(f"{out} holds the result for {ckpt}; --force evaluates anew", markup=False)
    else:
        with meter("tracks") as progress:
            result = run_evaluation(ckpt, cache, split, chosen, lambda done, total: progress("evaluating", done, total))
        result.save(out)
    console.print(report(result))
    console.print(f"figures: {out}", markup=False)
    if plot:
        plot_track(plot, ckpt, cache, split, chosen)
        console.print(f"picture: {plot}", markup=False)


@app.command()
def separate(
    audio: Annotated[list[Path], typer.Argument(help="WAV, FLAC, OGG or MP3 files, any rate, length and channels.")],
    ckpt: CheckpointOption = DEFAULT_CHECKPOINT,
    out: Annotated[Path, typer.Option(help="Folder; each file gets a folder of stems in it.")] = DEFAULT_STEMS,
    device: Device = "auto",
) -> None:
    """Split recordings into one stem per instrument, which add up to the input. No score is needed.

    Example: scoresep separate song.flac --ckpt ckpt.pt --out stems
    """
    from scoresep.inference.separate import result_names, separate_file

    model = load_model(ckpt, device)
    names = result_names(audio)
    for path, name in zip(audio, names, strict=True):
        with meter("s of audio") as progress:
            title = f"separating {name}"
            written = separate_file(path, model, out, progress=lambda done, total, t=title: progress(t, done, total))
        for stem in written:
            console.print(str(stem), markup=False)


@app.command()
def transcribe(
    audio: Annotated[list[Path], typer.Argument(help="WAV, FLAC, OGG or MP3 files, any rate, length and channels.")],
    ckpt: CheckpointOption = DEFAULT_CHECKPOINT,
    out: Annotated[Path, typer.Option(help="Folder for the MIDI files.")] = DEFAULT_SCORES,
    device: Device = "auto",
) -> None:
    """Write down what each instrument plays: a MIDI file with one track per instrument.

    Example: scoresep transcribe song.flac --ckpt ckpt.pt --out scores
    """
    from scoresep.inference.separate import result_names
    from scoresep.inference.transcribe import transcribe_file

    model = load_model(ckpt, device)
    for path, name in zip(audio, result_names(audio), strict=True):
        target = out / f"{name}.mid"
        with meter("s of audio") as progress:
            title = f"transcribing {name}"
            notes = transcribe_file(path, model, target, progress=lambda d, n, t=title: progress(t, d, n))
        counts = ", ".join(f"{len(found)} {instrument}" for instrument, found in notes.items())
        console.print(f"{target}: {counts} notes", markup=False)


@app.command()
def info(file: Annotated[Path, typer.Argument(help="A cache or a checkpoint.")]) -> None:
    """Say what a cache or a checkpoint is.

    Example: scoresep info cache.h5
    """
    from scoresep.about import describe

    for name, value in describe(file):
        console.print(f"[bold]{name:>12}[/]  ", end="")
        console.print(value, markup=False)


def load_model(ckpt: Path, device: str) -> Model:
    """The networks of a checkpoint on a device, with all cores at work."""
    import torch

    from scoresep.training.checkpoint import load_checkpoint
    from scoresep.training.run import choose_device

    torch.set_num_threads(available_cores())
    return load_checkpoint(ckpt).model.to(choose_device(device))
