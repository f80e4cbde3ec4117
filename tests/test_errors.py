"""The error contract: names, codes and messages."""

from __future__ import annotations

import json
import pickle

import pytest

from passerby import errors
from passerby.errors import InputError, PasserbyError, shown, without_secrets

from .conftest import CORPUS


def all_children() -> list[type[PasserbyError]]:
    out, todo = [], [PasserbyError]
    while todo:
        kind = todo.pop()
        out.append(kind)
        todo.extend(kind.__subclasses__())
    return out


def test_every_name_of_the_contract_belongs_to_one_class() -> None:
    contract = json.loads((CORPUS / "manifest.json").read_text("utf-8"))["errors"]
    ours = [name for kind in all_children() if "names" in vars(kind) for name in kind.names]
    assert sorted(ours) == sorted(contract)


def test_the_drawn_tree_shows_every_class() -> None:
    assert errors.__doc__ is not None
    for kind in all_children():
        assert kind.__name__ in errors.__doc__


def test_message_is_one_line_with_name_input_and_hint() -> None:
    error = InputError("image_corrupt", "a chunk is too long", input="two\nlines.png", hint="save it again")
    assert str(error) == "image_corrupt: a chunk is too long: two\\nlines.png; save it again"
    assert error.exit_code == 1
    assert error.http_status == 422


def test_long_paths_are_cut() -> None:
    error = InputError("input_missing", "no such file", input="a" * 100_000)
    assert len(error.message) <= 400
    assert "…" in error.message


def test_a_message_never_holds_a_login_or_a_query() -> None:
    text = str(InputError("input_missing", "x", input="http://me:secret@host/a.jpg?token=SECRET#SECRET"))
    assert "secret" not in text.lower()
    assert without_secrets("HTTPS://a:b@c@host/x") == "HTTPS://host/x"


def test_terminal_controls_are_escaped() -> None:
    assert shown("\x1b[31mred\u202e") == "\\x1b[31mred\\u202e"


def test_errors_survive_pickling() -> None:
    error = InputError("image_unknown", "not a picture", input="a.bin", hint="look at it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is InputError
    assert (again.name, again.message) == (error.name, error.message)


def test_a_name_of_another_room_is_refused() -> None:
    with pytest.raises(ValueError, match="no error called"):
        InputError("model_hash", "x")
