"""Fonts and label texts: which letters can be drawn here, and what to write when they cannot.

No font is ever downloaded. English is set in the font that Pillow carries (Aileron); Chinese in a font of the
system, when there is one, else the English half or the stable id of the label is drawn, never empty boxes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import shown

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

LABEL_LETTERS = 48

# Path and face number. Noto's collection holds Japanese first; its face 2 has the simplified Chinese forms.
CHINESE_FONTS: tuple[tuple[str, int], ...] = (
    ("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", 2),
    ("/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc", 2),
    ("/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc", 2),
    ("/usr/share/fonts/google-noto-sans-cjk-fonts/NotoSansCJK-Regular.ttc", 2),
    ("/usr/share/fonts/google-noto-sans-cjk-vf-fonts/NotoSansCJK-VF.ttc", 2),
    ("/usr/share/fonts/opentype/noto/NotoSansCJKsc-Regular.otf", 0),
    ("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc", 0),
    ("/usr/share/fonts/wenquanyi/wqy-microhei/wqy-microhei.ttc", 0),
    ("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc", 0),
    ("/usr/share/fonts/wqy-zenhei/wqy-zenhei.ttc", 0),
    ("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf", 0),
    ("/usr/share/fonts/truetype/arphic/uming.ttc", 0),
    ("/System/Library/Fonts/PingFang.ttc", 2),
    ("/System/Library/Fonts/Hiragino Sans GB.ttc", 0),
    ("/System/Library/Fonts/STHeiti Medium.ttc", 1),
    ("/Library/Fonts/Arial Unicode.ttf", 0),
    ("C:/Windows/Fonts/msyh.ttc", 0),
    ("C:/Windows/Fonts/msyh.ttf", 0),
    ("C:/Windows/Fonts/simhei.ttf", 0),
    ("C:/Windows/Fonts/simsun.ttc", 0),
)

# "Hat(帽子)": PaddleX's strings carry the Chinese name in brackets behind the English one.
_BRACKETED = re.compile(r"\s*[(（][^()（）]*[)）]\s*$")


@lru_cache(maxsize=1)
def chinese_font_path() -> tuple[str, int] | None:
    """Path and face of a system font with Chinese letters; None when none of the usual ones opens."""
    from PIL import ImageFont

    for path, face in CHINESE_FONTS:
        if Path(path).is_file():
            try:
                ImageFont.truetype(path, 12, index=face)
            except OSError:  # a broken or foreign file: the next one may do
                continue
            return path, face
    return None


def can_draw_chinese() -> bool:
    """Whether this machine has a font for Chinese labels; without one their English names are drawn."""
    return chinese_font_path() is not None


@lru_cache(maxsize=64)
def font(size_px: int, *, chinese: bool) -> FreeTypeFont:
    """The font of a size, px; `chinese` asks for the system's font and must only be used when there is one."""
    from PIL import ImageFont

    path = chinese_font_path() if chinese else None
    if path is not None:
        return ImageFont.truetype(path[0], size_px, index=path[1])
    bundled = ImageFont.load_default(size_px)
    if not isinstance(bundled, ImageFont.FreeTypeFont):  # a Pillow built without FreeType has a bitmap font only
        raise OSError("this Pillow was built without FreeType")
    return bundled


def is_plain(text: str) -> bool:
    """Whether the bundled font has all letters of a text.

    >>> is_plain("Handbag"), is_plain("手提包")
    (True, False)
    """
    return all(" " <= c <= "~" or c in "·…" for c in text)


def drawable(text: str, label_id: str, *, chinese: bool) -> str:
    """What to write for a label: its text, made safe, or a stand-in in plain letters.

    Args:
        text: the label as it was chosen. label_id: its stable id, words joined by "_".
        chinese: whether a font with Chinese letters is at hand.
    >>> drawable("Hat(帽子)", "hat", chinese=False), drawable("长袖", "long_sleeve", chinese=False)
    ('Hat', 'long sleeve')
    """
    safe = shown(text, LABEL_LETTERS)
    if chinese or is_plain(safe):
        return safe
    for candidate in (_BRACKETED.sub("", safe), shown(label_id.replace("_", " "), LABEL_LETTERS)):
        if candidate and is_plain(candidate):
            return candidate
    return "?"


@lru_cache(maxsize=4096)
def text_width(text: str, size_px: int, *, chinese: bool) -> float:
    """Length of a text in px."""
    return font(size_px, chinese=chinese).getlength(text)
