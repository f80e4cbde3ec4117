"""Names of results, so that no input's result overwrites another's.

A unique stem stays as it is; inputs that would share one keep their folder; those that still would (a.jpg beside
a.png, one file given twice) get a short hash of their path and occurrence. The same inputs give the same names.
Names are compared as the least careful file system compares them: without case and composed.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .files import STEM_BYTES, safe_name

_HASH_LENGTH = 8
_FOLDERS_BYTES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What names an input.

    Attributes:
        stem: its own name without suffix, not yet safe.
        folder: the folder it lies in, absolute; for URLs host and path; "" for values without a place.
        root: the folder the user named, above or equal to `folder`; "" for values without a place.
        identity: tells inputs apart: the path or URL, or a number.
    """

    stem: str
    folder: str = ""
    root: str = ""
    identity: str


def split_name(name: str) -> tuple[str, str]:
    """A file name's stem and suffix; a name that only begins with dots has no suffix.

    >>> split_name("a.b.png"), split_name(".hidden"), split_name("...jpg")
    (('a.b', '.png'), ('.hidden', ''), ('...jpg', ''))
    """
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem.strip(".") else (name, "")


class OutputNames:
    """Gives every input its stem. Remembers the names given out, about 100 bytes each."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def plan(self, origins: Sequence[Origin]) -> list[str]:
        """Stems for inputs that are all known, in their order."""
        stems = [safe_name(origin.stem) for origin in origins]
        shared = _shared(stems)
        if shared:
            base = _common(origins)
            for i, origin in enumerate(origins):
                if _key(stems[i]) in shared:
                    stems[i] = _in_folder(origin, base, stems[i])
            shared = _shared(stems)
        clear = [stem for stem in stems if _key(stem) not in shared]
        self._used.update(map(_key, clear))
        return [
            self._hashed(stem, origin.identity) if _key(stem) in shared else stem
            for stem, origin in zip(stems, origins, strict=True)
        ]

    def next(self, origin: Origin) -> str:
        """A stem for an input that was not known before: its own, or with a hash when that is taken."""
        return self._claim(safe_name(origin.stem), origin.identity)

    def page(self, stem: str, number: int) -> str:
        """A stem for one page of the input called `stem`."""
        folder, slash, name = stem.rpartition("/")
        tail = f"_{number}"
        return self._claim(folder + slash + safe_name(name, room=STEM_BYTES - len(tail)) + tail, f"{stem}/{number}")

    def _claim(self, stem: str, identity: str) -> str:
        if _key(stem) in self._used:
            return self._hashed(stem, identity)
        self._used.add(_key(stem))
        return stem

    def _hashed(self, stem: str, identity: str) -> str:
        folder, slash, name = stem.rpartition("/")
        short = folder + slash + safe_name(name, room=STEM_BYTES - 1 - _HASH_LENGTH)
        occurrence = 0
        while True:
            text = f"{identity}\0{occurrence}".encode("utf-8", "surrogatepass")
            candidate = f"{short}_{hashlib.sha256(text).hexdigest()[:_HASH_LENGTH]}"
            if _key(candidate) not in self._used:
                self._used.add(_key(candidate))
                return candidate
            occurrence += 1


def _key(stem: str) -> str:
    return stem if stem.isascii() and stem.islower() else unicodedata.normalize("NFC", stem).casefold()


def _shared(stems: Iterable[str]) -> set[str]:
    return {key for key, count in Counter(map(_key, stems)).items() if count > 1}


def _common(origins: Iterable[Origin]) -> str:
    """The deepest folder that holds everything the user named; "" when there is none (two drives)."""
    roots = {origin.root for origin in origins if origin.root}
    try:
        return os.path.commonpath(roots) if roots else ""
    except ValueError:
        return ""


def _in_folder(origin: Origin, base: str, stem: str) -> str:
    """`folder/stem`, the folder relative to `base`, every part of it safe."""
    folder = origin.folder
    if origin.root and base:
        folder = os.path.relpath(folder, base)
    parts = [safe_name(part) for part in folder.replace(os.sep, "/").split("/") if part not in ("", ".", "..")]
    if len("/".join(parts).encode("utf-8")) > _FOLDERS_BYTES:
        return stem  # too deep to be kept below another folder; the hash tells it apart
    return "/".join([*parts, stem])
