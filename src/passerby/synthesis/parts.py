# SPDX-License-Identifier: Apache-2.0
"""The parts a person is made of, by name and number: what a pixel of a part-id picture can be.

Labels come from the visible pixels of these parts, not from what was put on. Numbers are stable: a new part goes
to the end. Nothing here knows a mesh.
"""

from __future__ import annotations

from collections.abc import Mapping

BACKGROUND = 0

PARTS: tuple[str, ...] = (
    "skin",  # body, eyes left out
    "eyes",
    "brows",
    "hair",
    "beard",
    "upper",  # outermost top that is no coat: shirt, pullover, hoodie, jacket
    "inner",  # what shows below or between an open top: shirt under a jacket, vest or coat
    "coat",  # long coat, sleeves and skirt of it
    "dress",
    "skirt",
    "lower",  # trousers of full length
    "shorts",
    "legwear",  # tights, leggings under a skirt, socks
    "shoes",
    "boots",  # foot and shaft
    "hat",  # anything on the head that was put on: cap, beanie, brimmed hat, helmet, headscarf
    "hood",  # of a hoodie or jacket, worn up
    "scarf",
    "glasses",  # spectacles and sunglasses
    "backpack",
    "backpack_strap",
    "shoulder_bag",  # cross-body bag, tote
    "shoulder_strap",
    "hand_bag",  # hand bag, shopping bag, briefcase
    "held",  # phone, cup, box, papers
    "stick",
    "umbrella",
)

PART_IDS: Mapping[str, int] = {name: number for number, name in enumerate(PARTS, start=1)}

# Where fabric hangs: a renderer may round and thicken these.
CLOTH = frozenset({"upper", "inner", "coat", "dress", "skirt", "lower", "shorts", "hat", "hood", "scarf"})
UPPER = frozenset({"upper", "coat", "dress", "inner"})
LOWER = frozenset({"lower", "shorts", "skirt", "dress", "coat", "legwear"})
