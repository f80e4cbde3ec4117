"""The names of the catalogue, the 26 labels, and what an unknown name gets."""

from __future__ import annotations

import pytest

from passerby.compat import paddlex
from passerby.errors import ModelError
from passerby.models import catalogue, pa100k

OFFICIAL = ["PP-YOLOE-L_human", "PP-YOLOE-S_human", "PP-LCNet_x1_0_pedestrian_attribute"]


def test_entries() -> None:
    shipped = [e for e in catalogue.ENTRIES.values() if e.shipped]
    assert {e.kind for e in shipped} == {"detector", "attributes"}
    assert all(not e.sources and not e.architecture for e in shipped)
    for name in OFFICIAL:
        entry = catalogue.find(name)
        assert entry.licence == "Apache-2.0" and not entry.shipped
        assert [url.rpartition("/")[2] for url in entry.sources] == [
            f"{name}_infer.tar",
            f"{name}_infer.tar",
            f"{name}_pretrained.pdparams",
        ]
        assert all(url.startswith("https://") for url in entry.sources)


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("PP-YOLOE-L-human", "PP-YOLOE-L_human"),
        ("pp-yoloe-s_human", "PP-YOLOE-S_human"),
        ("PP-LCNet_x1_0_pedestrian_atribute", "PP-LCNet_x1_0_pedestrian_attribute"),
        ("passerby-detector", "passerby-detector-416"),
    ],
)
def test_unknown_name_gets_the_nearest_and_the_list(asked: str, near: str) -> None:
    with pytest.raises(ModelError) as caught:
        catalogue.find(asked)
    assert caught.value.name == "model_unknown" and caught.value.exit_code == 3
    assert f"did you mean {near}?" in caught.value.message
    assert all(name in (caught.value.hint or "") for name in catalogue.ENTRIES)


def test_strange_names_are_shown_safely() -> None:
    with pytest.raises(ModelError) as caught:
        catalogue.find("x\x1b[31m\n" + "y" * 100_000)
    assert "\n" not in caught.value.message and "\x1b" not in caught.value.message


def test_labels_stand_in_the_order_of_the_original() -> None:
    assert [label.id for label in pa100k.LABELS] == list(paddlex.LABEL_STRINGS)
    for label in pa100k.LABELS:
        assert paddlex.LABEL_STRINGS[label.id].endswith(f"({label.zh})")


def test_ids_and_groups() -> None:
    labels = pa100k.LABELS + pa100k.COLOUR_LABELS
    assert len({label.id for label in labels}) == len(labels) == 26 + 24
    groups = {group.id for group in pa100k.GROUPS + pa100k.COLOUR_GROUPS}
    assert {label.group for label in labels} - {""} == groups
