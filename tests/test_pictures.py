"""Pictures in folders: read as what they are, streamed where they differ, refused where they cannot be."""

import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from resjax import data
from resjax.data.pictures import decode, form_of
from tests.small_sets import address_of

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (24, 6, 5), np.uint8)
WANTED = data.Wanted(image_size=8)


def draw(folder, name, pixels, mode=None):
    """A picture in a file of its own, in a mode of Pillow's."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path)


def classes(folder, count=6, size=(4, 5)):
    for label, name in enumerate(("cat", "dog")):
        for at in range(count):
            draw(folder, f"{name}/{at}.png", np.full(size, 100 * label + at, np.uint8))


def test_pictures_of_one_size_are_held_in_memory_as_they_are(tmp_path, capsys):
    classes(tmp_path)
    (tmp_path / "cat/notes.txt").write_text("no picture")
    found = data.folder(tmp_path, WANTED)
    assert "has no test split: 2 of the 12 examples" in capsys.readouterr().err
    assert isinstance(found.train, data.Split) and found.train.shape == (4, 5, 1) and found.classes == 2
    for split in (found.train, found.test):
        assert np.array_equal(split.images[:, 0, 0, 0] // 100, split.labels)


def test_a_class_may_be_called_as_a_split_is(tmp_path):
    classes(tmp_path)
    (tmp_path / "cat").rename(tmp_path / "valid")
    assert data.folder(tmp_path, WANTED).classes == 2


def test_the_first_pictures_stand_for_all_classes(tmp_path):
    classes(tmp_path, 60, (2, 2))
    train = data.folder(tmp_path, WANTED).first(50).train
    assert abs(int(train.labels.sum()) - 25) < 15  # four standard deviations


@pytest.mark.parametrize("second", ("test", "validation", "val", "valid"))
def test_folders_of_splits_are_the_splits(tmp_path, second):
    classes(tmp_path / "train")
    classes(tmp_path / second, 2)
    (tmp_path / "unlabelled").mkdir()
    found = data.folder(tmp_path, WANTED)
    assert sorted(found.train.labels.tolist()) == 6 * [0] + 6 * [1] and sorted(found.test.labels.tolist()) == [
        0,
        0,
        1,
        1,
    ]


def test_a_folder_of_pictures_to_test_that_has_no_classes_has_no_labels(tmp_path):
    classes(tmp_path / "train")
    classes(tmp_path / "val", 1)
    draw(tmp_path, "test/7.png", X[0])
    assert len(data.folder(tmp_path, WANTED).test) == 2


def test_pictures_of_all_sizes_and_modes_are_streamed_in_colour(tmp_path):
    for at, mode in enumerate((None, "RGBA", "P", "L", "LA", "1", "CMYK")):
        ending = "tif" if mode == "CMYK" else "png"
        draw(tmp_path, f"train/b/{at}.{ending}", np.full((9 + at, 20, 3), 255, np.uint8), mode)
    draw(tmp_path, "train/a/deep.png", np.full((10, 3), 65535, np.uint16))
    draw(tmp_path, "train/a/long.png", np.full((1, 40, 3), 255, np.uint8))
    shutil.copytree(tmp_path / "train", tmp_path / "test")
    found = data.folder(tmp_path, WANTED)
    assert isinstance(found.train, data.Stream) and found.train.shape == (8, 8, 3)
    images, labels = next(found.test.all(9))
    white = (255 - np.array(data.streaming.MEAN)) / np.array(data.streaming.STD)
    np.testing.assert_allclose(images, np.broadcast_to(white, images.shape), atol=1e-5)
    assert sorted(labels.tolist()) == [0, 0] + 7 * [1]


def test_grey_pictures_of_8_and_16_bits_are_on_one_scale(tmp_path):
    draw(tmp_path, "a/shallow.png", np.full((4, 4), 100, np.uint8))
    draw(tmp_path, "a/deep.png", np.full((4, 4), 12345, np.uint16))
    form = form_of(tmp_path, ("a/shallow.png", "a/deep.png"))
    assert form.shape == (4, 4, 1) and form.dtype == "uint16"
    assert decode(tmp_path / "a/deep.png", form).max() == 12345
    assert decode(tmp_path / "a/shallow.png", form).max() == 100 / 255 * 65535


def test_pictures_of_16_bits_are_normalised_with_their_own_statistics(tmp_path):
    values = RNG.integers(0, 4096, (12, 4, 5)).astype(np.uint16)  # 12 of the 16 bits
    for at, pixels in enumerate(values):
        draw(tmp_path, f"{'ab'[at % 2]}/{at:02}.png", pixels)
    train = data.folder(tmp_path, WANTED).train
    images, _ = next(train.all(len(train)))
    np.testing.assert_allclose([images.mean(), images.std()], [0, 1], atol=1e-5)
    assert {image.tobytes() for image in np.asarray(train.images, np.uint16)} <= {one.tobytes() for one in values}


def deep_colors(pixels):
    """A PNG of uint16 colours (H W C, by the PNG specification, section 11), which Pillow cannot write."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


@pytest.mark.parametrize("channels", (2, 3, 4))
def test_of_colours_of_16_bits_the_upper_8_are_read_and_it_is_said(tmp_path, capsys, channels):
    pixels = RNG.integers(0, 65536, (4, 5, channels)).astype(np.uint16)
    for at in range(12):
        (tmp_path / "ab"[at % 2]).mkdir(exist_ok=True)
        (tmp_path / "ab"[at % 2] / f"{at}.png").write_bytes(deep_colors(pixels))
    train = data.folder(tmp_path, WANTED).train
    colors = pixels[..., [0, 0, 0]] if channels == 2 else pixels[..., :3]
    assert np.array_equal(train.images[0], colors // 256)
    assert capsys.readouterr().err.count("a/0.png has colours of 16 bits: the upper 8 are read\n") == 1


@pytest.mark.parametrize(
    ("make", "says"),
    (
        (lambda folder: shutil.rmtree(folder), "there is no such folder"),
        (
            lambda folder: shutil.rmtree(folder / "dog"),
            "needs a folder of pictures for each of two classes or more, but",
        ),
        (lambda folder: (folder / "fox").mkdir(), "fox holds no picture"),
        (lambda folder: (folder / "dog/1.png").write_bytes(b"GIF"), r"dog/1\.png is no picture that can be read"),
        (lambda folder: truncate(folder / "dog/1.png"), r"split train: example \d+ cannot be read: dog/1\.png: "),
        (
            lambda folder: draw(folder, "dog/1.tif", np.ones((4, 5), np.float32)),
            r"dog/1\.tif has 32-bit numbers, but cat/0\.png has mode L",
        ),
        (
            lambda folder: shutil.move(splits(folder) / "test/dog", folder / "test/fox"),
            "test/fox is a class that train",
        ),
        (
            lambda folder: (splits(folder) / "train").rename(folder / "Training"),
            "Training and test: folders that hold those of the classes must be called train, and test, validation",
        ),
        (lambda folder: (splits(folder) / "test").rename(folder / "Testing"), "Testing: folders that hold those"),
    ),
)
def test_folders_that_cannot_be(tmp_path, make, says):
    classes(tmp_path / "own")
    make(tmp_path / "own")
    with pytest.raises(ValueError, match=f"folder:{tmp_path}/own.*{says}"):
        data.folder(tmp_path / "own", WANTED)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-25])


def splits(folder):
    shutil.rmtree(folder)
    classes(folder / "train")
    classes(folder / "test")
    return folder


def test_which_class_a_picture_is_in_decides_the_address(tmp_path):
    classes(tmp_path / "pictures")
    whole = address_of("folder", tmp_path / "pictures")
    (tmp_path / "pictures/cat/0.png").rename(tmp_path / "pictures/dog/10.png")
    assert address_of("folder", tmp_path / "pictures") != whole
