# SPDX-License-Identifier: Apache-2.0
"""Where the outputs of the shipped attribute model find their columns in labels.csv.

The first 26 stand in the order of the original, so that a list of 26 thresholds keeps its meaning; 12 words for the
upper and 12 for the lower colour follow. Ids, names and groups are those of `models.pa100k`.
"""

from __future__ import annotations

from ...formats.metadata import InputRecipe, ModelMetadata
from ...models.pa100k import COLOUR_GROUPS, COLOUR_LABELS, COLOURS, JUDGEMENT
from ...models.pa100k import GROUPS as ATTRIBUTE_GROUPS
from ...models.pa100k import LABELS as ATTRIBUTE_LABELS

LABELS = (*ATTRIBUTE_LABELS, *COLOUR_LABELS, JUDGEMENT)
GROUPS = (*ATTRIBUTE_GROUPS, *COLOUR_GROUPS)

COLUMN_OF = {
    "hat": "Hat",
    "glasses": "Glasses",
    "short_sleeve": "ShortSleeve",
    "long_sleeve": "LongSleeve",
    "upper_stripe": "UpperStride",
    "upper_logo": "UpperLogo",
    "upper_plaid": "UpperPlaid",
    "upper_splice": "UpperSplice",
    "lower_stripe": "LowerStripe",
    "lower_pattern": "LowerPattern",
    "long_coat": "LongCoat",
    "trousers": "Trousers",
    "shorts": "Shorts",
    "skirt_dress": "Skirt&Dress",
    "boots": "boots",
    "hand_bag": "HandBag",
    "shoulder_bag": "ShoulderBag",
    "backpack": "Backpack",
    "hold_objects_in_front": "HoldObjectsInFront",
    "age_under_18": "AgeLess18",
    "age_18_60": "Age18-60",
    "age_over_60": "AgeOver60",
    "female": "Female",
    "front": "Front",
    "side": "Side",
    "back": "Back",
}

ATTRIBUTE_COLUMNS: tuple[str, ...] = tuple(COLUMN_OF[label.id] for label in ATTRIBUTE_LABELS)
"""Columns of labels.csv in the order of the model's first 26 outputs."""

COLOUR_WORDS: tuple[str, ...] = tuple(COLOURS)
"""Words of both colour groups. `multi` is no word: such garments are unlabelled, not negative."""

ATTRIBUTE_COUNT = len(ATTRIBUTE_COLUMNS)
LABEL_COUNT = len(LABELS)
UPPER_COLOUR = slice(ATTRIBUTE_COUNT, ATTRIBUTE_COUNT + len(COLOUR_WORDS))
LOWER_COLOUR = slice(ATTRIBUTE_COUNT + len(COLOUR_WORDS), ATTRIBUTE_COUNT + 2 * len(COLOUR_WORDS))
COLOUR_OUTPUTS = slice(UPPER_COLOUR.start, LOWER_COLOUR.stop)
JUDGEMENT_OUTPUT = LABEL_COUNT - 1
INPUT_HW = (256, 192)


def description(name: str) -> ModelMetadata:
    """The shipped attribute model without card, probe and what is measured; thresholds stand at 0.5 until then."""
    return ModelMetadata(
        kind="attributes",
        name=name,
        network="PP-LCNet",
        input=InputRecipe(height=INPUT_HW[0], width=INPUT_HW[1], interpolation="linear"),
        labels=LABELS,
        thresholds=(0.5,) * LABEL_COUNT,
        groups=GROUPS,
    )
