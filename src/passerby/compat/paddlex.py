"""PaddleX's names: the pipeline's and the label strings. Nothing else in this package knows them."""

from __future__ import annotations

from collections.abc import Mapping

from ..formats.metadata import Label

PIPELINE_NAME = "pedestrian_attribute_recognition"

# Label strings in the order of the official model's outputs; "Stride" is the original's spelling of stripe.
LABEL_STRINGS: Mapping[str, str] = {
    "hat": "Hat(帽子)",
    "glasses": "Glasses(眼镜)",
    "short_sleeve": "ShortSleeve(短袖)",
    "long_sleeve": "LongSleeve(长袖)",
    "upper_stripe": "UpperStride(上衣条纹)",
    "upper_logo": "UpperLogo(上衣有标志)",
    "upper_plaid": "UpperPlaid(上衣格子)",
    "upper_splice": "UpperSplice(上衣拼接)",
    "lower_stripe": "LowerStripe(裤子条纹)",
    "lower_pattern": "LowerPattern(裤子图案)",
    "long_coat": "LongCoat(长外套)",
    "trousers": "Trousers(长裤)",
    "shorts": "Shorts(短裤)",
    "skirt_dress": "Skirt&Dress(裙子或连衣裙)",
    "boots": "Boots(靴子)",
    "hand_bag": "HandBag(手提包)",
    "shoulder_bag": "ShoulderBag(单肩包)",
    "backpack": "Backpack(背包)",
    "hold_objects_in_front": "HoldObjectsInFront(手持物品在前)",
    "age_under_18": "AgeLess18(年龄小于18岁)",
    "age_18_60": "Age18-60(年龄在18-60岁之间)",
    "age_over_60": "AgeOver60(年龄大于60岁)",
    "female": "Female(女性)",
    "front": "Front(面朝前)",
    "side": "Side(侧面)",
    "back": "Back(背面)",
}


def label_string(label: Label) -> str:
    """A label as PaddleX prints it: its own string for the 26, else `English(Chinese)`.

    A user's own `hat` with another Chinese name is not the official one and keeps its own names.
    """
    official = LABEL_STRINGS.get(label.id, "")
    if official.endswith(f"({label.zh})"):
        return official
    return f"{label.en}({label.zh})" if label.zh else label.en
