"""The command `scoresep studio`."""

from __future__ import annotations

import shlex
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from scoresep.cli.options import CheckpointOption, Device
from scoresep.console import console


def studio(
    audio: Annotated[
        Path | None, typer.Argument(help="Recording, or a project that the page exported; default: drop one there.")
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps the work; default: a temporary one, kept if you change anything."),
    ] = None,
    ckpt: CheckpointOption = None,
    port: Annotated[int, typer.Option(help="Port of the page's address; 0 for a free one.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    device: Device = "auto",
) -> None:
    """Listen, mute, correct the notes, separate again: a page in the browser, for this machine alone.

    Whoever knows the address can use the page; it is not reachable from other machines. Everything is kept in the
    project's folder as it is done: the same command goes on after a stop.

    Example: scoresep studio song.flac --project my_song
    """
    from scoresep.cli.inputs import load_model
    from scoresep.files import existing_file
    from scoresep.studio.server import Server
    from scoresep.studio.studio import Studio

    if audio is not None:
        existing_file(audio, "recording", "give a recording")
    work = Studio(load_model(ckpt, device), project)
    try:
        with Server(work, port) as server, suppress(KeyboardInterrupt):
            if audio is not None and not work.project.state.recording:
                work.open_file(audio)
            elif audio is not None:
                opened = f"{work.project.folder} holds {work.project.state.name} already, which is opened"
                console.print(opened, markup=False)
            console.print(f"studio: {server.url}", markup=False)
            console.print("Ctrl-C ends it")
            if browser:
                webbrowser.open(server.url)
            server.serve_forever()
    finally:
        kept = work.close()
    for folder in kept:
        console.print(f"kept: scoresep studio --project {shlex.quote(str(folder))}", markup=False)
