"""What a path stands for: one file, the pictures of a folder, or those a pattern matches. Nothing is opened here."""

from __future__ import annotations

import glob
import itertools
import os
from dataclasses import dataclass

from .errors import InputError
from .output_names import split_name

PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .gif .webp .avif .tif .tiff .bmp .dib .pbm .pgm .ppm .pnm .ras .sr".split()
)
_COMMON = "jpg, png, webp, tif, bmp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file to read, or a folder that cannot be listed.

    Attributes:
        path: as the user would write it: his folder, then the way down.
        root: the folder he named, or the one his file lies in.
        error: why there is nothing to read, or None.
    """

    path: str
    root: str
    error: InputError | None = None


def is_listing(path: str) -> bool:
    """Whether a path stands for several files: a folder, or a pattern that is no file itself."""
    try:
        # Path('') would be the current folder
        return os.path.isdir(path) or (glob.has_magic(path) and not os.path.lexists(path))  # noqa: PTH112
    except (OSError, ValueError):
        return False


def list_path(path: str) -> list[Found]:
    """The files that a path stands for, folders walked, in code-point order of their paths.

    Raises:
        InputError: `folder_empty`, `input_missing` or `input_unreadable`, for the folder or pattern as a whole.
    """
    if not is_listing(path):
        return [Found(path=path, root=os.path.dirname(path) or ".")]  # noqa: PTH120
    return _folder(path) if os.path.isdir(path) else _pattern(path)  # noqa: PTH112


def _is_picture(name: str) -> bool:
    return split_name(name)[1].lower() in PICTURE_SUFFIXES


def _folder(root: str) -> list[Found]:
    """Walk without following links to folders; names that begin with a dot are left out."""
    found, waiting, others = [], [root], 0
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif _is_picture(entry.name) and not _leads_to_folder(entry):
                        found.append(Found(path=entry.path, root=root))
                    else:
                        others += 1
        except OSError as error:
            found.append(Found(path=folder, root=root, error=_unlisted(error, folder)))
    if not found:
        many = f"{others} files, none of them a picture" if others else "no files"
        raise InputError("folder_empty", f"{many} in this folder", input=root, hint=f"pictures end in {_COMMON}")
    if len(found) == 1 and found[0].error is not None and found[0].path == root:
        raise found[0].error
    return sorted(found, key=lambda one: one.path)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:
        return False  # a link to itself: reading it will say so


def _unlisted(error: OSError, folder: str) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError("input_missing", "no such folder", input=folder)
    return InputError("input_unreadable", "the folder cannot be listed", input=folder, hint="check its permissions")


def _pattern(pattern: str) -> list[Found]:
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.split("/")[:-1])
    root = "/".join(fixed) or ("/" if pattern.startswith("/") else ".")
    matches = [path for path in sorted(glob.glob(pattern, recursive=True)) if not os.path.isdir(path)]  # noqa: PTH112, PTH207
    if not matches:
        hint = "check the spelling, and quote the pattern"
        raise InputError("input_missing", "no file matches this pattern", input=pattern, hint=hint)
    pictures = [Found(path=path, root=root) for path in matches if _is_picture(path)]
    if not pictures:
        happened = f"{len(matches)} files match this pattern, none of them a picture"
        raise InputError("folder_empty", happened, input=pattern, hint=f"pictures end in {_COMMON}")
    return pictures
