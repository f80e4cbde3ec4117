"""Commands that the documentation shows exist, with these flags; its YAML and its Python can be read."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from passerby.cli.app import app
from passerby.config import load_pipeline_config
from passerby.config_schema import Section
from passerby.config_training import TrainingConfig, load_training_config
from passerby.errors import PasserbyError
from passerby.formats.safe_yaml import load_yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks(page: Path, *languages: str) -> Iterator[tuple[int, str]]:
    """Fenced blocks of a page in these languages, with their line."""
    text = page.read_text("utf-8")
    for found in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if found[1] in languages:
            yield text.count("\n", 0, found.start()) + 2, found[2]


def shell_lines() -> Iterator[Any]:
    for page in PAGES:
        for line, block in blocks(page, "sh", "bash", "console"):
            for command in block.replace("\\\n", " ").splitlines():
                words = shlex.split(command.removeprefix("$ "), comments=True)
                if words[:1] == ["passerby"]:
                    yield pytest.param(words[1:], id=f"{page.name}:{line}:{' '.join(words[1:4])}")


@pytest.mark.parametrize("words", list(shell_lines()))
def test_shown_commands_exist(words: list[str]) -> None:
    """Parsed by the real parser, as far as flags and arguments go; nothing is run."""
    command: Any = typer.main.get_command(app)
    name = "passerby"
    while hasattr(command, "commands"):
        first = next((w for w in words if not w.startswith("-")), None)
        if first not in command.commands or words[0] != first:
            break
        command, name, words = command.commands[first], first, words[1:]
    if words[:1] in (["--install-completion"], ["--version"], ["--help"]):
        return  # these act while they are parsed
    ends = [words.index(sign) for sign in ("|", ">") if sign in words]
    command.make_context(name, words[: min(ends, default=len(words))])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_shown_yaml_and_python_can_be_read(page: Path) -> None:
    for _, block in blocks(page, "yaml"):
        value = load_yaml(block.encode("utf-8")).value
        if isinstance(value, dict) and "pipeline_name" in value:
            load_pipeline_config(value)
        if isinstance(value, dict) and "Global" in value:
            load_training_config(value)
    for line, block in blocks(page, "python"):
        compile(block, f"{page.name}:{line}", "exec", ast.PyCF_ONLY_AST)


def test_exit_codes_are_those_of_the_table() -> None:
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    kinds = [k for k in PasserbyError.__subclasses__() for k in (k, *k.__subclasses__())]
    assert {status.exit_code for kind in kinds for status in kind.names.values()} | {0} == documented


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_page_names_every_key_of_a_training_file() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8").partition("## Training files")[2]
    words = set(re.findall(r"[A-Za-z_]\w*", text))
    plain = {"model", "mode", "dataset_dir", "device", "output", "enable", "src_dataset_type", "input", "model_dir"}
    plain |= {"train_percent", "val_percent", "log_interval", "eval_interval", "run_mode"}

    def keys(section: type[Section]) -> Iterator[str]:
        for name, field in section.model_fields.items():
            yield name
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
                yield from keys(field.annotation)

    assert (
        not set(keys(TrainingConfig)) - words - plain - {"Train", "Evaluate", "Export", "Predict", "convert", "split"}
    )
