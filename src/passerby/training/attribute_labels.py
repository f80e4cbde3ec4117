"""The labels of the shipped attribute model: 26 of the original, then the words for upper and lower colour.

The first 26 stand in the order of PP-LCNet_x1_0_pedestrian_attribute, so that a list of 26 thresholds keeps its
meaning; the colours come after them. Data, no code: the model file carries a copy of what stands here.
"""

from __future__ import annotations

from ..formats.metadata import Group, Label

# Column of labels.csv -> (id, English, Chinese, group)
_ATTRIBUTES = {
    "Hat": ("hat", "Hat", "帽子", ""),
    "Glasses": ("glasses", "Glasses", "眼镜", ""),
    "ShortSleeve": ("short_sleeve", "ShortSleeve", "短袖", "sleeve"),
    "LongSleeve": ("long_sleeve", "LongSleeve", "长袖", "sleeve"),
    "UpperStride": ("upper_stripe", "UpperStride", "上衣条纹", ""),
    "UpperLogo": ("upper_logo", "UpperLogo", "上衣有标志", ""),
    "UpperPlaid": ("upper_plaid", "UpperPlaid", "上衣格子", ""),
    "UpperSplice": ("upper_splice", "UpperSplice", "上衣拼接", ""),
    "LowerStripe": ("lower_stripe", "LowerStripe", "裤子条纹", ""),
    "LowerPattern": ("lower_pattern", "LowerPattern", "裤子图案", ""),
    "LongCoat": ("long_coat", "LongCoat", "长外套", ""),
    "Trousers": ("trousers", "Trousers", "长裤", "lower_garment"),
    "Shorts": ("shorts", "Shorts", "短裤", "lower_garment"),
    "Skirt&Dress": ("skirt_dress", "Skirt&Dress", "裙子或连衣裙", "lower_garment"),
    "boots": ("boots", "Boots", "靴子", ""),
    "HandBag": ("hand_bag", "HandBag", "手提包", ""),
    "ShoulderBag": ("shoulder_bag", "ShoulderBag", "单肩包", ""),
    "Backpack": ("backpack", "Backpack", "背包", ""),
    "HoldObjectsInFront": ("hold_objects_in_front", "HoldObjectsInFront", "手持物品在前", ""),
    "AgeLess18": ("age_under_18", "AgeLess18", "年龄小于18岁", "age"),
    "Age18-60": ("age_18_60", "Age18-60", "年龄在18-60岁之间", "age"),
    "AgeOver60": ("age_over_60", "AgeOver60", "年龄大于60岁", "age"),
    "Female": ("female", "Female", "女性", ""),
    "Front": ("front", "Front", "面朝前", "view"),
    "Side": ("side", "Side", "侧面", "view"),
    "Back": ("back", "Back", "背面", "view"),
}
_COLOURS = {
    "black": "黑色",
    "white": "白色",
    "grey": "灰色",
    "red": "红色",
    "orange": "橙色",
    "yellow": "黄色",
    "green": "绿色",
    "blue": "蓝色",
    "purple": "紫色",
    "pink": "粉色",
    "brown": "棕色",
    "beige": "米色",
}

ATTRIBUTE_COLUMNS: tuple[str, ...] = tuple(_ATTRIBUTES)
"""Columns of labels.csv in the order of the model's first 26 outputs."""

COLOUR_WORDS: tuple[str, ...] = tuple(_COLOURS)
"""Words of both colour groups. `multi` is no word: such garments are unlabelled, not negative."""

LABELS: tuple[Label, ...] = (
    *(Label(id=i, en=en, zh=zh, group=group) for i, en, zh, group in _ATTRIBUTES.values()),
    *(Label(id=f"upper_{c}", en=f"upper {c}", zh=f"上衣{zh}", group="upper_colour") for c, zh in _COLOURS.items()),
    *(Label(id=f"lower_{c}", en=f"lower {c}", zh=f"下装{zh}", group="lower_colour") for c, zh in _COLOURS.items()),
)

GROUPS: tuple[Group, ...] = (
    Group(id="sleeve", en="sleeves"),
    Group(id="lower_garment", en="lower garment"),
    Group(id="age", en="age"),
    Group(id="view", en="view"),
    Group(id="upper_colour", en="upper colour"),
    Group(id="lower_colour", en="lower colour"),
)

ATTRIBUTE_COUNT = len(ATTRIBUTE_COLUMNS)
LABEL_COUNT = len(LABELS)
UPPER_COLOUR = slice(ATTRIBUTE_COUNT, ATTRIBUTE_COUNT + len(COLOUR_WORDS))
LOWER_COLOUR = slice(ATTRIBUTE_COUNT + len(COLOUR_WORDS), LABEL_COUNT)
