"""The 26 labels of the official attribute model, in the order of its outputs: the vocabulary of the PA-100K data set.

Data, no code. Male is no label but the absence of `female`, and there is none for "no bag". Behind the 26 the shipped
attribute model carries the colours of upper and lower clothes and one judgement, which the official one does not know.
"""

from __future__ import annotations

from ..formats.metadata import Group, Label

LABELS: tuple[Label, ...] = (
    Label(id="hat", en="Hat", zh="帽子"),
    Label(id="glasses", en="Glasses", zh="眼镜"),
    Label(id="short_sleeve", en="Short sleeves", zh="短袖", group="sleeve"),
    Label(id="long_sleeve", en="Long sleeves", zh="长袖", group="sleeve"),
    Label(id="upper_stripe", en="Striped top", zh="上衣条纹"),
    Label(id="upper_logo", en="Logo on top", zh="上衣有标志"),
    Label(id="upper_plaid", en="Plaid top", zh="上衣格子"),
    Label(id="upper_splice", en="Colour-block top", zh="上衣拼接"),
    Label(id="lower_stripe", en="Striped trousers", zh="裤子条纹"),
    Label(id="lower_pattern", en="Patterned trousers", zh="裤子图案"),
    Label(id="long_coat", en="Long coat", zh="长外套"),
    Label(id="trousers", en="Trousers", zh="长裤", group="lower_garment"),
    Label(id="shorts", en="Shorts", zh="短裤", group="lower_garment"),
    Label(id="skirt_dress", en="Skirt or dress", zh="裙子或连衣裙", group="lower_garment"),
    Label(id="boots", en="Boots", zh="靴子"),
    Label(id="hand_bag", en="Handbag", zh="手提包"),
    Label(id="shoulder_bag", en="Shoulder bag", zh="单肩包"),
    Label(id="backpack", en="Backpack", zh="背包"),
    Label(id="hold_objects_in_front", en="Holds something in front", zh="手持物品在前"),
    Label(id="age_under_18", en="Under 18", zh="年龄小于18岁", group="age"),
    Label(id="age_18_60", en="18 to 60", zh="年龄在18-60岁之间", group="age"),
    Label(id="age_over_60", en="Over 60", zh="年龄大于60岁", group="age"),
    Label(id="female", en="Female", zh="女性"),
    Label(id="front", en="From the front", zh="面朝前", group="view"),
    Label(id="side", en="From the side", zh="侧面", group="view"),
    Label(id="back", en="From behind", zh="背面", group="view"),
)

GROUPS: tuple[Group, ...] = (
    Group(id="sleeve", en="sleeves"),
    Group(id="lower_garment", en="lower garment"),
    Group(id="age", en="age"),
    Group(id="view", en="view"),
)

COLOURS: dict[str, str] = {
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

COLOUR_LABELS: tuple[Label, ...] = (
    *(
        Label(id=f"upper_{c}", en=f"{c.capitalize()} top", zh=f"上衣{zh}", group="upper_colour")
        for c, zh in COLOURS.items()
    ),
    *(
        Label(id=f"lower_{c}", en=f"{c.capitalize()} bottom", zh=f"下装{zh}", group="lower_colour")
        for c, zh in COLOURS.items()
    ),
)

COLOUR_GROUPS: tuple[Group, ...] = (
    Group(id="upper_colour", en="upper colour"),
    Group(id="lower_colour", en="lower colour"),
)

JUDGEMENT = Label(id="unjudgeable", en="Cannot be judged", zh="无法判断")
"""The shipped attribute model's last output: no person, several without a main one, or unreadable. No attribute."""
