"""Inputs to frames: paths, folders, patterns, URLs, arrays, Pillow pictures, bytes, open files, and lists of these.

Names are listed at once, pictures are read one at a time when the next frame is asked for. An input that fails becomes
a `Failure` in its place and the rest goes on.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image

from .decode import MAX_BYTES, decode_page, image_pages
from .errors import EngineError, InputError, PasserbyError, shown
from .fetch import CLI_POLICY, FetchPolicy, fetch, is_url
from .images.page import MAX_PIXELS
from .output_names import Origin, OutputNames, split_name
from .source_listing import Found, is_listing, list_path
from .source_values import array_to_bgr, pillow_image_to_bgr, read_open_file
from .types import ImageBgr
from .urls import bare_url

_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture, ready to be analysed.

    Attributes:
        image_bgr: (H, W, 3) uint8 BGR, C-contiguous, upright. For an array of that layout the caller's own memory,
            else the frame's.
        input_path: path as listed, or URL without login and query; None for values.
        page_index: number of the page in a file with several, else None.
        index: number of this frame or failure in the run, from 0.
        output_stem: name of its results without tail and suffix, unique in the run; `/` parts folders.
        suffix: suffix of the input's name, with its dot and case; "" when it has none.
        reread: reads the same pixels again (files only); errors as in `decode_image`.
    """

    image_bgr: ImageBgr
    input_path: str | None
    page_index: int | None
    index: int
    output_stem: str
    suffix: str
    reread: Callable[[], ImageBgr] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An input, or a page of one, that gave no frame. Attributes as of `Frame`."""

    error: PasserbyError
    input_path: str | None
    page_index: int | None
    index: int
    output_stem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """One thing to read: a file, a URL or a value; or the reason why there is none."""

    value: object
    path: str | None
    origin: Origin
    suffix: str = ""
    error: InputError | None = None
    copy: bool = False  # the caller may overwrite the array before it is used


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    policy: FetchPolicy
    max_pixels: int


def is_single(input: object) -> bool:
    """Whether an input stands for one picture, so that its error is the error of the call."""
    if isinstance(input, (str, os.PathLike)):
        path = _path_text(input)
        return _is_url(path) or not is_listing(path)
    return not _is_several(input)


def frames(
    input: object, *, fetch_policy: FetchPolicy | None = None, max_pixels: int = MAX_PIXELS
) -> Iterator[Frame | Failure]:
    """Read an input, or many, one at a time and in order.

    Args:
        input: path (text or PathLike), http(s) URL, folder (walked, sorted), glob pattern, array (H, W[, 1, 3, 4])
            uint8 BGR, Pillow picture, encoded bytes, open binary file, or a sequence or iterator of these.
        fetch_policy: which URLs may be asked; default that of the command line.
        max_pixels: larger pictures are refused before any memory is taken.
    Returns:
        an iterator of frames and failures. Iterators are consumed lazily; arrays out of them are copied.
    Raises:
        InputError: while iterating, when `input` as a whole stands for nothing: an empty folder, a pattern without
            matches, nested lists of pixels.
    """
    limits = _Limits(policy=fetch_policy or CLI_POLICY, max_pixels=max_pixels)
    names, index = OutputNames(), 0
    for item, stem in _named(input, names):
        for outcome in _read(item, stem, names, limits):
            yield dataclasses.replace(outcome, index=index)
            index += 1
            del outcome  # the caller alone decides how long the pixels live


def _is_several(input: object) -> bool:
    if isinstance(input, (str, bytes, bytearray, memoryview, np.ndarray)) or hasattr(input, "read"):
        return False
    if isinstance(input, Sequence):
        return not _looks_like_pixels(input)
    return isinstance(input, Iterator)


def _looks_like_pixels(values: Sequence[object]) -> bool:
    return len(values) > 0 and all(isinstance(value, (list, tuple, int, float)) for value in values)


def _named(input: object, names: OutputNames) -> Iterator[tuple[_Item, str]]:
    """Every item with the stem of its results; all stems are fixed beforehand where all items are known."""
    if isinstance(input, Iterator) and _is_several(input):
        for number, value in enumerate(input):
            for item in _items(value, number, lazy=True):
                yield item, names.next(item.origin)
            del value
        return
    if isinstance(input, Sequence) and _is_several(input):
        items = [item for number, value in enumerate(input) for item in _items(value, number)]
    else:
        items = _items(input, 0)
        if len(items) == 1 and items[0].error is not None and is_listing(items[0].path or ""):
            raise items[0].error
    stems = names.plan([item.origin for item in items])
    yield from zip(items, stems, strict=True)


def _items(value: object, number: int, *, lazy: bool = False) -> list[_Item]:
    if isinstance(value, (str, os.PathLike)):
        path = _path_text(value)
        if _is_url(path):
            return [_url_item(path)]
        try:
            return [_file_item(found) for found in list_path(path)]
        except InputError as error:
            return [dataclasses.replace(_file_item(Found(path=path, root=path)), error=error)]
    return [_Item(value=value, path=None, origin=Origin(stem=f"array_{number}", identity=str(number)), copy=lazy)]


def _path_text(path: str | os.PathLike[str]) -> str:
    return os.fsdecode(path)


def _is_url(text: str) -> bool:
    """A scheme makes a URL, unless it has no `//` and a file of that very name exists."""
    return is_url(text) and ("://" in text or not _exists(text))


def _exists(path: str) -> bool:
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


def _url_item(url: str) -> _Item:
    shown_url = bare_url(url)
    try:
        parts = urlsplit(shown_url)
        host, *folders = [parts.hostname or "url", *(unquote(part) for part in parts.path.split("/") if part)]
    except ValueError:
        host, folders = "url", []
    name = folders.pop() if folders else host
    stem, suffix = split_name(name) if name != host else (name, "")
    origin = Origin(stem=stem, folder="/".join([host, *folders]), identity=url)
    return _Item(value=url, path=shown_url, origin=origin, suffix=suffix)


def _file_item(found: Found) -> _Item:
    folder, name = os.path.split(found.path)
    stem, suffix = split_name(name)
    try:
        place, root = os.path.abspath(folder), os.path.abspath(found.root)  # noqa: PTH100
    except (OSError, ValueError):
        place = root = ""
    origin = Origin(stem=stem, folder=place, root=root, identity=found.path)
    return _Item(value=None, path=found.path, origin=origin, suffix=suffix, error=found.error)


def _read(item: _Item, stem: str, names: OutputNames, limits: _Limits) -> Iterator[Frame | Failure]:
    """The frames of one item, or its failure; `index` is left to the caller."""
    try:
        for number, load in _pictures(item, limits):
            page_stem = stem if number is None else names.page(stem, number)
            outcome = _loaded(item, number, load)
            if isinstance(outcome, PasserbyError):
                yield Failure(error=outcome, input_path=item.path, page_index=number, index=0, output_stem=page_stem)
                continue
            again = None
            if item.path is not None and not isinstance(item.value, str):
                again = functools.partial(_read_again, item.path, number or 0, limits.max_pixels)
            yield Frame(
                image_bgr=outcome,
                input_path=item.path,
                page_index=number,
                index=0,
                output_stem=page_stem,
                suffix=item.suffix,
                reread=again,
            )
            del outcome
    except PasserbyError as error:
        yield Failure(error=_about(error, item.path), input_path=item.path, page_index=None, index=0, output_stem=stem)


def _loaded(item: _Item, number: int | None, load: Callable[[], ImageBgr]) -> ImageBgr | PasserbyError:
    try:
        return load()
    except InputError as error:
        return _about(error, item.path)
    except MemoryError:
        return EngineError(
            "out_of_memory", "not enough memory to decode this picture", input=item.path, hint="make it smaller first"
        )


def _about(error: PasserbyError, path: str | None) -> PasserbyError:
    if error.input is not None or path is None:
        return error
    return type(error)(error.name, error.happened, input=path, hint=error.hint)


def _pictures(item: _Item, limits: _Limits) -> Iterable[tuple[int | None, Callable[[], ImageBgr]]]:
    """(page number or None, what makes the pixels) for everything in one item."""
    value = item.value
    if item.error is not None:
        raise item.error
    if item.path is not None:
        data = read_file(item.path) if value is None else fetch(str(value), limits.policy)
        pages = image_pages(data, input=item.path, max_pixels=limits.max_pixels)
        several = len(pages) > 1
        return [
            (number if several else None, functools.partial(decode_page, page, input=item.path))
            for number, page in enumerate(pages)
        ]
    if isinstance(value, np.ndarray):
        return [(None, functools.partial(array_to_bgr, value, max_pixels=limits.max_pixels, copy=item.copy))]
    if isinstance(value, Image.Image):
        return [(None, functools.partial(pillow_image_to_bgr, value, max_pixels=limits.max_pixels))]
    if hasattr(value, "read"):
        value = read_open_file(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return [(None, functools.partial(decode_page, image_pages(value, max_pixels=limits.max_pixels)[0]))]
    raise _wrong_type(value)


def _wrong_type(value: object) -> InputError:
    hint = "pass a path, URL, folder, array, PIL image, bytes, or a list of these"
    if isinstance(value, (list, tuple)):
        hint = "pixels: np.asarray(..., np.uint8); several inputs: one flat list"
    elif hasattr(value, "__array__"):
        hint = "pass np.asarray(...), (H, W, 3) uint8 BGR"
    return InputError("input_type", f"a value of type {shown(type(value).__name__, 40)} is no picture", hint=hint)


def _read_again(path: str, page: int, max_pixels: int) -> ImageBgr:
    pages = image_pages(read_file(path), input=path, max_pixels=max_pixels)
    return decode_page(pages[min(page, len(pages) - 1)], input=path)


def read_file(path: str) -> bytes:
    """The bytes of a regular file of at most 128 MiB. Pipes, sockets and devices are refused before they are opened.

    Raises:
        InputError: `input_missing`, `input_unreadable`, `input_too_large`.
    """
    try:
        _check_regular(os.stat(path), path)  # noqa: PTH116
        # between the look and the opening the file may have become a pipe: do not wait for one, and look again
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            _check_regular(os.fstat(file.fileno()), path)
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno in _MISSING:
            raise InputError("input_missing", "no such file", input=path, hint="check the path") from None
        reason = os.strerror(error.errno).lower() if error.errno else "no reason given"
        raise InputError("input_unreadable", f"the file cannot be read ({reason})", input=path) from None
    if len(data) > MAX_BYTES:
        raise InputError("input_too_large", f"more than {MAX_BYTES >> 20} MiB", input=path)
    return data


def _check_regular(info: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(info.st_mode):
        what = "a folder" if stat.S_ISDIR(info.st_mode) else "a pipe, socket or device"
        raise InputError("input_unreadable", f"{what}, not a file", input=path)
    if info.st_size > MAX_BYTES:
        raise InputError("input_too_large", f"{info.st_size >> 20} MiB; at most {MAX_BYTES >> 20} are read", input=path)
