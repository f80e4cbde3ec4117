"""Who walks in the demo picture: one declarative table, plain data.

`attributes` are what a person looking at the picture would say; scripts/render_street writes them, with the
boxes, as the truth of the picture.
"""

from __future__ import annotations

from passerby.synthesis.figure import Arm, BodyShape, Pose
from passerby.synthesis.people import Carried, Garment, Look, PersonSpec

DENIM = Look(material="denim", colour="#8fa3bd")
LIGHT_DENIM = Look(material="denim", colour="#8d9aa8", tinted=True)

COAT_WOMAN = PersonSpec(
    name="woman in a camel coat",
    shape=BodyShape(gender=0.0, years=33, muscle=0.45, weight=0.42, height=0.6, asian=1, caucasian=0.2),
    pose=Pose(
        stride=0.75, phase=0.03, lean=2.0, head_turn=6.0,
        left_arm=Arm(swing=16, bend=50, inward=14, out=4, curl=40), right_arm=Arm(swing=-12, bend=-18),
    ),
    skin="young_lightskinned_female_diffuse2",
    hair="bob02", hair_colour="#2a1c15",
    garments=(
        Garment(piece="tucked_trousers", look=Look(colour="#23242b", material="denim")),
        Garment(piece="coat_top", look=Look(colour="#b08a5c", skirt_line=True), thickness=0.08),
        Garment(piece="coat_skirt", look=Look(colour="#b08a5c", skirt_line=True), thickness=0.08),
        Garment(piece="belt", look=Look(colour="#9c7749"), thickness=0.06),
        Garment(piece="coat_collar", look=Look(colour="#a67f52"), thickness=0.1),
        Garment(piece="boots", look=Look(colour="#2b1a13", material="leather"), thickness=0.03),
    ),
    carried=(Carried(kind="forearm_bag", side="l", looks={"bag": Look(colour="#7d1f26", material="leather"),
             "bag_dark": Look(colour="#571318", material="leather")}),),
    attributes=("long_sleeve", "long_coat", "trousers", "boots", "hand_bag", "age_18_60", "female", "front"),
)  # fmt: skip

BOX_MAN = PersonSpec(
    name="man with a parcel",
    shape=BodyShape(gender=1.0, years=31, muscle=0.68, weight=0.5, height=0.62, african=1, caucasian=0),
    pose=Pose(
        stride=0.7, phase=0.53, lean=1.0, head_turn=-8.0,
        left_arm=Arm(swing=-9, bend=34, inward=23, out=4, curl=30),
        right_arm=Arm(swing=-9, bend=34, inward=23, out=4, curl=30),
    ),
    skin="young_darkskinned_male_diffuse",
    hair="short04", hair_colour="#0d0b0a", hair_cut=0.9,
    garments=(
        Garment(piece="clothes/male_casualsuit04:lower", look=DENIM, own_texture=True, below=0.8),
        Garment(piece="t_shirt", look=Look(colour="#d8573a", second="#f4c95a", pattern="logo"), thickness=0.06),
        Garment(piece="shoes/shoes05", look=Look(), own_texture=True),
        Garment(piece="cap", look=Look(colour="#23395b"), thickness=0.06),
    ),
    carried=(Carried(kind="box", size=0.92),),
    attributes=("hat", "short_sleeve", "upper_logo", "trousers", "hold_objects_in_front", "age_18_60", "front"),
)  # fmt: skip

SCHOOL_BOY = PersonSpec(
    name="boy with a backpack",
    shape=BodyShape(gender=0.9, years=10, muscle=0.5, weight=0.5, height=0.55),
    pose=Pose(stride=0.85, phase=0.06, lean=2.0, head_nod=-3),
    skin="young_lightskinned_male_diffuse2",
    hair="short02", hair_colour="#7a5a36",
    garments=(
        Garment(piece="shorts", look=Look(colour="#3d4a38"), thickness=0.06, below=0.7),
        Garment(piece="t_shirt", look=Look(colour="#f0efe8", second="#27508c", pattern="stripe", period=0.95)),
        Garment(piece="shoes/shoes06", look=Look(), own_texture=True),
    ),
    carried=(Carried(kind="backpack", size=0.9, looks={"bag": Look(colour="#c8382c"),
             "bag_dark": Look(colour="#7d1e1a")}),),
    attributes=("short_sleeve", "upper_stripe", "shorts", "backpack", "age_under_18", "side"),
)  # fmt: skip

OLD_MAN = PersonSpec(
    name="old man with a stick",
    shape=BodyShape(gender=1.0, years=74, muscle=0.4, weight=0.62, height=0.45),
    pose=Pose(
        stride=0.55, phase=0.02, lean=5.0, head_turn=10, head_nod=2,
        right_arm=Arm(swing=14, bend=2, out=5, curl=42),
    ),
    skin="old_lightskinned_male_diffuse2",
    hair="short04", hair_colour="#b9b6b0", hair_cut=0.95,
    garments=(
        Garment(piece="trousers", look=Look(colour="#6d6252"), below=0.8),
        Garment(piece="shirt", look=Look(colour="#8e2f2b", second="#22303f", pattern="plaid", period=1.1)),
        Garment(piece="shoes/shoes01", look=Look(), own_texture=True),
        Garment(piece="hats/fedora", look=Look(colour="#5a4a38"), thickness=0.03),
    ),
    carried=(Carried(kind="glasses"), Carried(kind="stick", side="r")),
    attributes=("hat", "glasses", "long_sleeve", "upper_plaid", "trousers", "age_over_60", "front"),
)  # fmt: skip

DRESS_WOMAN = PersonSpec(
    name="woman in a summer dress",
    shape=BodyShape(gender=0.0, years=27, muscle=0.5, weight=0.52, height=0.5, african=0.8, caucasian=0.4),
    pose=Pose(stride=0.7, phase=0.55, lean=1.5, head_turn=14),
    skin="middleage_darkskinned_female_diffuse",
    hair="braid01", hair_colour="#20140e",
    garments=(
        Garment(piece="dress_top", look=Look(colour="#1f6f6b", second="#e8e0c8", pattern="dots", period=0.4)),
        Garment(piece="dress_skirt", look=Look(colour="#1f6f6b", second="#e8e0c8", pattern="dots", period=0.4)),
        Garment(piece="sash", look=Look(colour="#174f4d"), thickness=0.04),
        Garment(piece="shoes/shoes05", look=Look(), own_texture=True),
    ),
    carried=(Carried(kind="tote", side="r", size=1.05, looks={"bag": Look(colour="#caa46a", material="leather"),
             "bag_dark": Look(colour="#8a6a3c", material="leather")}),),
    attributes=("short_sleeve", "skirt_dress", "shoulder_bag", "age_18_60", "female", "back"),
)  # fmt: skip

STUDENT = PersonSpec(
    name="student with a backpack",
    shape=BodyShape(gender=1.0, years=23, muscle=0.5, weight=0.38, height=0.68),
    pose=Pose(stride=0.85, phase=0.05, lean=1.5, head_turn=-12),
    skin="young_lightskinned_male_diffuse3",
    hair="short03", hair_colour="#3a2416",
    garments=(
        Garment(piece="clothes/male_casualsuit06:lower", look=LIGHT_DENIM, own_texture=True, below=0.9),
        Garment(piece="hoodie", look=Look(colour="#7f8790", second="#2c3f57", pattern="splice"), thickness=0.09),
        Garment(piece="hood", look=Look(colour="#2c3f57"), thickness=0.12),
        Garment(piece="shoes/shoes05", look=Look(), own_texture=True),
    ),
    carried=(Carried(kind="backpack", size=1.1, looks={"bag": Look(colour="#3f5a44"),
             "bag_dark": Look(colour="#27362b")}),),
    attributes=("long_sleeve", "upper_splice", "trousers", "backpack", "age_18_60", "back"),
)  # fmt: skip

SKIRT_WOMAN = PersonSpec(
    name="woman with a coffee",
    shape=BodyShape(gender=0.0, years=46, muscle=0.5, weight=0.66, height=0.45),
    pose=Pose(
        stride=0.7, phase=0.05, lean=1.5,
        right_arm=Arm(swing=18, bend=58, inward=12, curl=46),
    ),
    skin="middleage_lightskinned_female_diffuse2",
    hair="ponytail01", hair_colour="#55321c",
    garments=(
        Garment(piece="skirt", look=Look(colour="#28324a"), thickness=0.06),
        Garment(piece="tucked_tee", look=Look(colour="#f1ece2", second="#b23a48", pattern="stripe", period=0.75)),
        Garment(piece="shoes/shoes04", look=Look(), own_texture=True),
    ),
    carried=(Carried(kind="cup", side="r"), Carried(kind="cross_bag", side="r", size=0.8,
             looks={"bag": Look(colour="#37302a", material="leather")})),
    attributes=("long_sleeve", "upper_stripe", "skirt_dress", "shoulder_bag", "age_18_60", "female", "side"),
)  # fmt: skip

PLACES: tuple[tuple[PersonSpec, tuple[float, float], float], ...] = (
    (COAT_WOMAN, (-0.69, 6.9), 8.0),
    (BOX_MAN, (1.13, 8.2), -10.0),
    (SCHOOL_BOY, (0.2, 6.5), 82.0),
    (OLD_MAN, (-2.5, 7.0), 20.0),
    (DRESS_WOMAN, (2.7, 7.3), 172.0),
    (STUDENT, (-2.2, 9.8), 186.0),
    (SKIRT_WOMAN, (2.2, 8.8), -78.0),
)
