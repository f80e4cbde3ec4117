# SPDX-License-Identifier: Apache-2.0
"""An evaluation as files for people and programs: report.html, report.md, figures.json and the plots as PNG.

The figures come as the JSON that `attributes.evaluation` and `detection.evaluation` make; this package's report of an
old evaluation can be written again from its figures.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import atomic_write, check_writable
from .attributes.report import AttributeEvidence, attribute_sections, attribute_tiles
from .detection.report import DetectionEvidence, detection_sections, detection_tiles
from .report_page import Page, to_html, to_markdown

__all__ = ["AttributeEvidence", "DetectionEvidence", "ReportFiles", "write_report"]

HTML, MARKDOWN, FIGURES = "report.html", "report.md", "figures.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFiles:
    """What was written into `folder`: three files and the pictures of the Markdown one."""

    folder: Path
    html: Path
    markdown: Path
    figures: Path
    pictures: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """Paths as text."""
        return {
            "html": str(self.html),
            "markdown": str(self.markdown),
            "figures": str(self.figures),
            "pictures": [str(path) for path in self.pictures],
        }


def write_report(
    folder: Path,
    figures: Mapping[str, Any],
    evidence: AttributeEvidence | DetectionEvidence | None = None,
    *,
    title: str = "Evaluation",
    facts: Mapping[str, object] | None = None,
) -> ReportFiles:
    """Write the report of an evaluation.

    Args:
        folder: made; files of an earlier report are replaced.
        figures: `AttributeFigures.to_json()` or `DetectionFigures.to_json()`.
        evidence: crops or pictures with the model's answers, for the sheet of mistakes.
        title: of the page. facts: shown below it: model, data set, split.
    Raises:
        EngineError: `engine_missing`, matplotlib is not installed.
        OutputError: `output_full`, `output_unwritable`.
        ValueError: figures of an unknown kind, or evidence of the other kind.
    """
    check_writable(folder)
    page = make_page(figures, evidence, title=title, facts=facts or {})
    for picture in page.pictures():
        atomic_write(folder / picture.file, picture.data)
    text = json.dumps(figures, ensure_ascii=False, allow_nan=False, indent=2)
    for name, content in ((FIGURES, text + "\n"), (MARKDOWN, to_markdown(page)), (HTML, to_html(page))):
        atomic_write(folder / name, content.encode("utf-8", "backslashreplace"))
    return ReportFiles(
        folder=folder,
        html=folder / HTML,
        markdown=folder / MARKDOWN,
        figures=folder / FIGURES,
        pictures=tuple(folder / picture.file for picture in page.pictures()),
    )


def make_page(
    figures: Mapping[str, Any],
    evidence: AttributeEvidence | DetectionEvidence | None,
    *,
    title: str,
    facts: Mapping[str, object],
) -> Page:
    """The report as sections. Arguments and errors as of `write_report`."""
    kind = figures.get("kind")
    named = [(name, str(value)) for name, value in facts.items()]
    if kind == "attributes" and not isinstance(evidence, DetectionEvidence):
        named += [("crops", f"{figures['samples']:,}"), ("labels", f"{len(figures['labels'])}")]
        tiles, sections = attribute_tiles(figures), attribute_sections(figures, evidence)
    elif kind == "detector" and not isinstance(evidence, AttributeEvidence):
        named += [("pictures", f"{figures['pictures']:,}"), ("classes", f"{len(figures['classes'])}")]
        tiles, sections = detection_tiles(figures), detection_sections(figures, evidence)
    else:
        raise ValueError(f"figures of the kind {kind!r} with {type(evidence).__name__}")
    return Page(title=title, facts=tuple(named), tiles=tiles, sections=sections)
