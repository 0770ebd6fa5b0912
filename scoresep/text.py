"""Names in files that do not say how their letters are encoded, and names compared."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Sequence

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_TAGS = {b"{@LATIN}": "cp1252", b"{@JP}": "cp932"}
"""What RP-026 lets a file say at the beginning of a text."""
_WIDE = r"[\u3000-\u30ff\u4e00-\u9fff\uff01-\uff60]"
_JAPANESE = re.compile(rf"(?:(?<![A-Za-z]){_WIDE}(?![A-Za-z])|{_WIDE}{{2,}}|[\uff65-\uff9f]{{2,}}|[\x00-\x7f])*")
_CYRILLIC_WORD = re.compile(rb"(?<![A-Za-z\x80-\xff])[\xc0-\xff\xa8\xb8]{2,}(?![A-Za-z\x80-\xff])")
_ACCENTED_WORD = re.compile(rb"[A-Za-z][\xc0-\xff]|[\xc0-\xff][A-Za-z]")


def decode_names(names: Sequence[bytes]) -> list[str]:
    """Names of one file as text: Unicode where they are that, else in the encoding that fits all the others best."""
    encoding = _guess([name for name in names if _unicode(name) is None])
    found = [_unicode(name) for name in names]
    return [_clean(_legacy(name, encoding) if text is None else text) for name, text in zip(names, found, strict=True)]


def _unicode(name: bytes) -> str | None:
    """A name in UTF-8 or UTF-16, or with a tag that names its encoding; else None."""
    for mark, encoding in _MARKS:
        if name.startswith(mark):
            return name.decode(encoding, "replace")
    for tag, encoding in _TAGS.items():
        if name.startswith(tag):
            return _legacy(name[len(tag) :], encoding)
    text = name.rstrip(b"\0")
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(text) > 2 and not any(name[first::2]) and all(name[1 - first :: 2].rstrip(b"\0")):
            return name.decode(encoding, "replace")
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _guess(names: Sequence[bytes]) -> str:
    """Shift-JIS if it gives words of Japanese, Windows-1251 if whole words are of its letters, else Windows-1252."""
    if names and all(_is_japanese(name) for name in names):
        return "cp932"
    words = b"\n".join(names)
    return "cp1251" if _CYRILLIC_WORD.search(words) and not _ACCENTED_WORD.search(words) else "cp1252"


def _is_japanese(name: bytes) -> bool:
    """Whether a name is Shift-JIS: a lone character between Latin letters is an accent, and so are half-width letters
    without any of the commonest (a vowel or k, s)."""
    try:
        text = name.decode("cp932")
    except UnicodeDecodeError:
        return False
    half = re.findall(r"[\uff61-\uff9f]+", text)
    return bool(_JAPANESE.fullmatch(text)) and all(re.search(r"[\uff70-\uff7f]", run) for run in half)


def _legacy(name: bytes, encoding: str) -> str:
    try:
        return name.decode(encoding)
    except UnicodeDecodeError:
        return name.decode("latin-1")


def _clean(text: str) -> str:
    """Without the zeros and blanks that fill fields of fixed length."""
    return text.strip("\0 \t\r\n")


def folded(text: str) -> str:
    """A text to compare: one form of each letter (NFKC), without letter case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def latin_carrier(text: str) -> str:
    """A text for writers of MIDI that know Latin-1 only, such as pretty_midi: the file will hold it in UTF-8."""
    return text.encode("utf-8", "replace").decode("latin-1")
