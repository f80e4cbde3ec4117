"""The views that attributes are learnt from: operations against Pillow's, lots against their odds."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from passerby.decode import decode_image
from passerby.training.attributes import rand_augment as ops
from passerby.training.attributes.augment import augmented, erase

MAGNITUDE = 8.6


class Lots(np.random.Generator):
    """A generator whose coins always fall on one side, for operations that draw their sign."""

    def __new__(cls, *, plus: bool) -> Lots:
        return super().__new__(cls)

    def __init__(self, *, plus: bool) -> None:
        super().__init__(np.random.PCG64(0))
        self._value = 0.25 if plus else 0.75

    def random(self, *_args, **_kwargs):
        return self._value


@pytest.fixture(scope="module")
def crop():
    """A piece of the bundled street picture, 96 x 64, BGR."""
    street = decode_image((resources.files("passerby") / "assets/street.jpg").read_bytes())
    return np.ascontiguousarray(street[300:396, 400:464])


def as_pillow(pixels):
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, ::-1]))


def as_bgr(image):
    return np.asarray(image)[:, :, ::-1]


LEVEL = MAGNITUDE / 10
POINTWISE = {
    "auto_contrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "invert": lambda image, _: ImageOps.invert(image),
    "posterize": lambda image, _: ImageOps.posterize(image, 4 - int(4 * LEVEL)),
    "solarize": lambda image, _: ImageOps.solarize(image, 256 - int(256 * LEVEL)),
    "solarize_add": lambda image, _: image.point(
        [min(255, v + int(110 * LEVEL)) if v < 128 else v for v in range(256)] * 3
    ),
    "color": lambda image, sign: ImageEnhance.Color(image).enhance(1 + sign * 0.9 * LEVEL),
    "contrast": lambda image, sign: ImageEnhance.Contrast(image).enhance(1 + sign * 0.9 * LEVEL),
    "brightness": lambda image, sign: ImageEnhance.Brightness(image).enhance(1 + sign * 0.9 * LEVEL),
    "sharpness": lambda image, sign: ImageEnhance.Sharpness(image).enhance(1 + sign * 0.9 * LEVEL),
}


@pytest.mark.parametrize("plus", [True, False])
@pytest.mark.parametrize("name", POINTWISE)
def test_point_operations_are_pillows(crop, name, plus):
    expected = as_bgr(POINTWISE[name](as_pillow(crop), 1 if plus else -1)).astype(int)
    got = getattr(ops, name)(crop, MAGNITUDE, Lots(plus=plus)).astype(int)
    assert np.abs(got - expected).max() <= 1  # Pillow cuts where OpenCV rounds
    assert np.abs(got - crop.astype(int)).mean() > 1


def inverse_maps(sign):
    """Pillow's affine maps, output to input, of the moving operations on a picture of 64 x 96."""
    width, height = 64, 96
    move = sign * 0.45 * LEVEL
    return {
        "shear_x": (1, sign * 0.3 * LEVEL, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, sign * 0.3 * LEVEL, 1, 0),
        "translate_x": (1, 0, move * width, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, move * height),
    }


@pytest.mark.parametrize("plus", [True, False])
@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"])
def test_moving_operations_are_pillows_but_for_the_kernel(crop, name, plus):
    image, sign, fill = as_pillow(crop), 1 if plus else -1, (124, 116, 104)
    if name == "rotate":
        moved = image.rotate(sign * 30 * LEVEL, resample=Image.Resampling.BICUBIC, fillcolor=fill)
    else:
        how = {"resample": Image.Resampling.BICUBIC, "fillcolor": fill}
        moved = image.transform(image.size, Image.Transform.AFFINE, inverse_maps(sign)[name], **how)
    got = getattr(ops, name)(crop, MAGNITUDE, Lots(plus=plus)).astype(int)
    difference = np.abs(got - as_bgr(moved).astype(int))
    # two cubic kernels (-0.5 and -0.75), and a filled edge that one of them blends
    assert np.median(difference) <= 2
    assert np.quantile(difference, 0.9) <= 12
    unmoved = np.abs(crop.astype(int) - as_bgr(moved).astype(int))
    assert difference.mean() < 0.2 * unmoved.mean()


def test_flat_pictures_survive_every_operation():
    flat = np.full((40, 30, 3), 77, np.uint8)
    for operation in ops.OPERATIONS:
        out = operation(flat, MAGNITUDE, np.random.default_rng(0))
        assert out.shape == flat.shape
        assert out.dtype == np.uint8


@pytest.mark.parametrize("strength", ["paddle", "mild"])
def test_a_view_follows_from_its_generator_alone_and_leaves_the_crop(crop, strength):
    before = crop.copy()
    first, again, other = (
        augmented(crop, strength=strength, rng=np.random.default_rng((0, 3, 1, seed))) for seed in (5, 5, 6)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == crop.shape
    assert np.array_equal(crop, before)


def test_nothing_is_changed_on_request(crop):
    assert augmented(crop, strength="none", rng=np.random.default_rng(0)) is crop
    planes = np.ones((3, 8, 8), np.float32)
    for seed in range(20):
        erase(planes, strength="none", rng=np.random.default_rng(seed))
    assert (planes == 1).all()


def test_mild_views_stay_closer_to_the_crop(crop):
    def distance(strength):
        views = [augmented(crop, strength=strength, rng=np.random.default_rng(seed)) for seed in range(200)]
        plain = crop.astype(float)
        return np.quantile([min(np.abs(v - plain).mean(), np.abs(v[:, ::-1] - plain).mean()) for v in views], 0.9)

    assert distance("mild") < 0.75 * distance("paddle")


def test_the_padded_crop_shifts_by_at_most_the_padding():
    """A single bright pixel in the middle: where it lands says how far a view was shifted."""
    pixels = np.zeros((256, 192, 3), np.uint8)
    pixels[128, 96] = 255
    landed = set()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        if rng.random() < 0.8:  # the first lot decides about RandAugment
            continue
        view = augmented(pixels, strength="paddle", rng=np.random.default_rng(seed))
        ((y, x),) = np.argwhere(view[:, :, 0] == 255)
        landed.add((int(y) - 128, min(int(x) - 96, 95 - int(x), key=abs)))
    assert len(landed) > 20
    assert max(abs(v) for place in landed for v in place) <= 10


@pytest.mark.parametrize(("strength", "chance", "largest"), [("paddle", 0.4, 1 / 3), ("mild", 0.25, 0.15)])
def test_erased_rectangles_come_as_often_and_as_large_as_said(strength, chance, largest):
    shares = []
    for seed in range(400):
        planes = np.full((3, 64, 48), 9.0, np.float32)
        erase(planes, strength=strength, rng=np.random.default_rng(seed))
        gone = planes != 9.0
        assert (gone[0] == gone[1]).all()
        rows, columns = np.flatnonzero(gone[0].any(axis=1)), np.flatnonzero(gone[0].any(axis=0))
        assert gone[0].sum() == len(rows) * len(columns)
        shares.append(gone[0].mean())
    erased = np.array([share for share in shares if share])
    assert len(erased) / 400 == pytest.approx(chance, abs=0.08)
    assert erased.min() > 0.01
    assert erased.max() < largest * 1.05


def test_erasing_fills_with_noise_of_the_normalised_scale():
    planes = np.full((3, 256, 192), 9.0, np.float32)
    seed = next(s for s in range(100) if np.random.default_rng(s).random() < 0.1)
    erase(planes, strength="paddle", rng=np.random.default_rng(seed))
    noise = planes[planes != 9.0]
    assert noise.mean() == pytest.approx(0, abs=0.1)
    assert noise.std() == pytest.approx(1, abs=0.1)
