# SPDX-License-Identifier: Apache-2.0
"""A report as sections of text, tables and pictures, and the same as Markdown and as one HTML file.

All text is foreign here (labels, file names, cameras) and is escaped on the way out. The HTML holds its pictures and
its style and loads nothing; it is made for paper as much as for a screen.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

from ..errors import shown

CELL_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A figure that stands large at the top."""

    value: str
    name: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells as text. Columns from `words` on hold numbers and stand right."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture and the name of its file beside the report.

    Attributes:
        file: name with its suffix, .png.
        data: the file.
        alt: what is to be seen, for those who do not see it.
        width: largest width on the page, px.
    """

    file: str
    data: bytes
    alt: str
    width: int = 1000


Item: TypeAlias = Text | Table | Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands below it."""

    title: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A report.

    Attributes:
        title: of the whole.
        facts: what was measured, by name: model, data set, split.
        tiles: the figures that matter most.
        sections: the rest, in order.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]

    def pictures(self) -> Iterable[Picture]:
        """All pictures, in order."""
        return (item for section in self.sections for item in section.items if isinstance(item, Picture))


def number(value: float | None, digits: int = 3) -> str:
    """A figure as text; a dash where it cannot be told.

    >>> number(0.91234), number(None), number(7, 0)
    ('0.912', '–', '7')
    """
    return "–" if value is None else f"{value:.{digits}f}"


# --- Markdown -----------------------------------------------------------------------------------------------------


def to_markdown(page: Page) -> str:
    """The report as Markdown; pictures are files beside it."""
    lines = [f"# {_md(page.title)}", ""]
    lines += [f"* {_md(name)}: {_md(value)}" for name, value in page.facts]
    rows = tuple((tile.name, tile.note, tile.value) for tile in page.tiles)
    lines += ["", *_md_table(Table(head=("figure", "", "value"), rows=rows, words=2))]
    for section in page.sections:
        lines += ["", f"## {_md(section.title)}"]
        for item in section.items:
            lines.append("")
            if isinstance(item, Text):
                lines.append(_md(item.text, limit=None))
            elif isinstance(item, Table):
                lines += _md_table(item)
            else:
                lines.append(f"![{_md(item.alt)}]({item.file})")
    return "\n".join(lines) + "\n"


def _md(text: str, limit: int | None = CELL_CHARACTERS) -> str:
    """Foreign text that stays text: signs that mean something to Markdown or HTML are escaped."""
    plain = shown(text, limit or len(text) * 12 + 1)
    return re.sub(r"([\\`*_{}\[\]<>#|~!&$]|^[-+=]|^\d+[.)](?=\s))", lambda sign: _md_escape(sign[0]), plain)


def _md_escape(sign: str) -> str:
    return f"{sign[:-1]}\\{sign[-1]}"


def _md_table(table: Table) -> list[str]:
    rule = [":--" if place < table.words else "--:" for place in range(len(table.head))]
    rows = [[_md(cell) for cell in row] for row in (table.head, *table.rows)]
    rows.insert(1, rule)
    return [f"| {' | '.join(row)} |" for row in rows]


# --- HTML ---------------------------------------------------------------------------------------------------------

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f5f7; color: #1c2026; font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans",
  "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 36px 48px; background: #fff; min-height: 100vh; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 12px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 40px 0 10px; padding-top: 14px; border-top: 1px solid #e2e5e9; break-after: avoid; }
p { margin: 8px 0; max-width: 76ch; color: #3c434c; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; margin: 0 0 22px; font-size: 14px; }
dt { color: #6b727b; }
dd { margin: 0; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(128px, 1fr)); gap: 10px; }
.tile { border: 1px solid #e2e5e9; border-radius: 8px; padding: 10px 14px 12px; break-inside: avoid; }
.tile b { display: block; font-size: 25px; line-height: 1.2; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { display: block; font-size: 14px; }
.tile small { display: block; font-size: 12px; line-height: 1.35; color: #6b727b; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 12px 0; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px 4px 0; text-align: right; border-bottom: 1px solid #eceef1; vertical-align: top; }
th { color: #6b727b; font-weight: 500; border-bottom: 1px solid #c9ced4; vertical-align: bottom; }
.w { text-align: left; max-width: 32ch; overflow-wrap: break-word; }
tr { break-inside: avoid; }
thead { display: table-header-group; }
figure { margin: 14px 0; break-inside: avoid; }
img { display: block; max-width: 100%; height: auto; }
@media print {
  @page { size: A4; margin: 14mm 12mm; }
  body { background: #fff; font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  .wide { overflow: visible; }
  table { font-size: 8pt; }
  th, td { padding-right: 6px; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(84px, 1fr)); gap: 6px; }
  .tile { padding: 6px 9px 8px; }
  .tile b { font-size: 15pt; }
  p { break-after: avoid; max-width: none; }
  img { max-height: 215mm; }
}
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def to_html(page: Page) -> str:
    """The report as one HTML file with everything in it."""
    facts = "".join(f"<dt>{_html(name)}</dt><dd>{_html(value)}</dd>" for name, value in page.facts)
    tiles = "".join(
        f'<div class="tile"><b>{_html(tile.value)}</b><span>{_html(tile.name)}</span>'
        f"<small>{_html(tile.note)}</small></div>"
        for tile in page.tiles
    )
    sections = "\n".join(_html_section(section) for section in page.sections)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{_html(page.title)}</title>\n'
        f"<style>{STYLE}</style></head>\n<body><main><h1>{_html(page.title)}</h1>\n<dl>{facts}</dl>\n"
        f'<div class="tiles">{tiles}</div>\n{sections}\n</main></body></html>\n'
    )


def _html_section(section: Section) -> str:
    items = "\n".join(_html_item(item) for item in section.items)
    return f"<section><h2>{_html(section.title)}</h2>\n{items}</section>"


def _html(text: str, limit: int | None = CELL_CHARACTERS) -> str:
    return escape(shown(text, limit or len(text) * 12 + 1))


def _html_item(item: Item) -> str:
    if isinstance(item, Text):
        return f"<p>{_html(item.text, limit=None)}</p>"
    if isinstance(item, Table):
        return _html_table(item)
    source = "data:image/png;base64," + base64.b64encode(item.data).decode("ascii")
    return f'<figure><img style="width:{item.width}px" alt="{_html(item.alt)}" src="{source}"></figure>'


def _html_table(table: Table) -> str:
    def row(cells: tuple[str, ...], tag: str) -> str:
        words = [' class="w"' if place < table.words else "" for place in range(len(cells))]
        inner = "".join(f"<{tag}{word}>{_html(cell)}</{tag}>" for cell, word in zip(cells, words, strict=True))
        return f"<tr>{inner}</tr>"

    body = "\n".join(row(cells, "td") for cells in table.rows)
    return f'<div class="wide"><table><thead>{row(table.head, "th")}</thead>\n<tbody>{body}</tbody></table></div>'
