"""Which audio is read, and which is known and is not: the one home of file suffixes."""

from __future__ import annotations

from pathlib import PurePath
from shlex import quote

READ = {
    "WAV": (".wav", ".wave", ".bwf", ".rf64"),
    "W64": (".w64",),
    "AIFF": (".aiff", ".aif", ".aifc"),
    "AU": (".au", ".snd"),
    "CAF": (".caf",),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga"),
    "Opus": (".opus",),
    "MP3": (".mp3", ".mp2", ".mpga"),
}
"""What is read, and the suffixes that such files have in folders. A file's content decides how it is read."""
AUDIO_SUFFIXES = tuple(suffix for suffixes in READ.values() for suffix in suffixes)
FORMATS = ", ".join(list(READ)[:-1]) + f" or {list(READ)[-1]}"
"""For messages and help."""
UNREAD_SUFFIXES = (
    *(".m4a", ".m4b", ".m4p", ".mp4", ".aac", ".3gp", ".alac", ".wma", ".asf", ".mka", ".webm", ".ape", ".wv", ".mpc"),
    *(".tta", ".ac3", ".dts", ".amr", ".ra", ".dsf", ".dff", ".spx", ".voc", ".8svx", ".sph", ".sd2", ".gsm"),
)
"""Audio that is not read; in folders it is named."""
REPLACE = "replace it"
"""The remedy for a file that is cut or damaged."""
_LAYER3 = (0xE2, 0xE3, 0xF2, 0xF3, 0xFA, 0xFB)
"""Second bytes of MPEG audio's headers, layer III; the third is below 12 where the bit rate is free."""
UNREAD = (
    (4, b"ftyp", "MP4 (M4A: AAC or ALAC)"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
    (0, b"ADIF", "AAC"),
    (0, b"\x30\x26\xb2\x75", "Windows Media (WMA)"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"wvpk", "WavPack"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"TTA1", "True Audio"),
    (0, b"DSD ", "DSD"),
    (0, b"FRM8", "DSD"),
    (0, b"#!AMR", "AMR"),
    (0, b"\x0b\x77", "AC-3"),
    (0, b"Creative Voice File", "VOC"),
    (0, b"NIST_1A", "NIST Sphere"),
    (0, b"MThd", "MIDI, which is a score and no sound"),
    *((0, bytes([0xFF, second, third]), "MP3 of a free bit rate") for second in _LAYER3 for third in range(12)),
)
"""Offset, magic bytes and name of formats that are not read."""


def unread_format(head: bytes) -> str:
    """The name of a format that is not read, by a file's first bytes; '' if they tell nothing."""
    return next((name for at, magic, name in UNREAD if head[at : at + len(magic)] == magic), "")


def conversion(name: str | PurePath) -> str:
    """The remedy for a file that is not read: a command that converts it."""
    path = PurePath(name)
    wanted = f"{path.stem}{'.flac' if path.suffix.lower() == '.wav' else '.wav'}"
    return f"convert it: ffmpeg -i {quote(path.name)} {quote(wanted)}"
