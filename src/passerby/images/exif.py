"""The orientation of a picture from its Exif block, the one value that changes the pixels; all others stay unread."""

from __future__ import annotations

import struct

PREFIX = b"Exif\0\0"
_ORIENTATION = 0x0112
_SHORT = 3


def orientation(block: bytes) -> int:
    """The orientation tag of the first directory of an Exif block.

    Args:
        block: a TIFF header and what follows, with or without the `Exif` prefix.
    Returns:
        1 to 8; 1 when the block is unreadable, has no such tag, or the tag holds another number.
    """
    if block.startswith(PREFIX):
        block = block[len(PREFIX) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        return 1
    (at,) = struct.unpack_from(order + "I", block, 4)
    if at + 2 > len(block):
        return 1
    (count,) = struct.unpack_from(order + "H", block, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(block) - 11), 12):
        tag, kind, values = struct.unpack_from(order + "HHI", block, entry)
        if tag == _ORIENTATION:
            (value,) = struct.unpack_from(order + "H", block, entry + 8)
            return value if kind == _SHORT and values == 1 and 1 <= value <= 8 else 1
    return 1
