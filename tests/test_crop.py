"""What is cut out of an image: its area, its middle, and what cannot be."""

import numpy as np
import pytest
from PIL import Image

from resjax.data import crop


def test_a_resized_crop_is_a_part_of_the_image_of_the_given_area():
    y, x = np.mgrid[:100, :200]  # a pixel's colour says where it is
    image = Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8))
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(50):
        part = np.asarray(crop.resized_crop(area=(0.2, 0.4))(rng, image, (64, 64)), float)
        assert part.shape == (64, 64, 3)
        spans = [(part[..., axis].max() - part[..., axis].min()) * 64 / 63 for axis in (0, 1)]
        areas.append(np.prod(spans) / 20_000)
    assert 0.17 < min(areas) < 0.25 and 0.35 < max(areas) < 0.43


def test_the_middle_is_seven_eighths_of_the_shorter_side():
    image = np.zeros((80, 120, 3), np.uint8)
    image[5:75, 25:95] = 200  # 70 of 80 pixels
    cut = crop.cropped({"image": image, "label": 1}, shape=(32, 32, 3))["image"]
    assert (cut[1:-1, 1:-1] == 200).all() and (cut > 100).all()  # the edge is mixed with what is around


@pytest.mark.parametrize(
    ("options", "says"),
    (
        ({"area": (0.0, 1.0)}, r"area=\(0\.0, 1\.0\): must be made of what is above 0 and at most 1"),
        ({"area": (0.5, 0.2)}, "area must be two shares"),
        ({"area": (0.5,)}, r"area=\(0\.5,\): must be 2 in parentheses"),
        ({"ratio": 0.0}, r"ratio=0\.0: must be above 0"),
    ),
)
def test_a_crop_that_cannot_be(options, says):
    with pytest.raises(ValueError, match=says):
        crop.resized_crop(**options)
