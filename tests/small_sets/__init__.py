"""Small sets of TensorFlow Datasets of any features, prepared for real, and without TensorFlow."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from resjax import data
from resjax.lab import datasets
from resjax.lab.trial import Trial, address

GREY = tfds.features.Image(shape=(None, None, 1))
COLOR = tfds.features.Image(shape=(None, None, 3))
LABEL = tfds.features.ClassLabel(num_classes=3)
FIXED = {"image": tfds.features.Image(shape=(4, 4, 1))}  # options of a set whose images have one size: those of `flat`


def png(pixels, mode=None):
    """The picture in a file: of uint8 grey (H W) or colours (H W C), of uint16 grey, or in another mode of Pillow's."""
    file = io.BytesIO()
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(file, "png")
    return file.getvalue()


def flat(index):
    """A picture of one grey."""
    return png(np.full((4, 4), 10 * index, np.uint8))


def load(folder, name="small", **options):
    """The set that `prepare` wrote."""
    return data.load(name, str(folder), image_size=8, **options)


def address_of(kind, path):
    """The address of a network that trains on these files, as another process would find it."""
    datasets._checksum.cache_clear()  # a process reads a file once
    return address(Trial(dataset=f"{kind}:{path}"))


def examples(count, label=lambda index: index % 3, image=None):
    """So many examples, whose pictures are png of H W uint8 unless `image(index)` says what they are."""
    image = image or (lambda index: png(np.full((9 + index, 12), 10 * index, np.uint8)))
    return [{"image": image(index), "label": label(index)} for index in range(count)]


def prepare(folder, name="small", image=GREY, label=LABEL, features=None, file_format="array_record", **splits):
    """Writes the set with these splits (lists of examples) to a folder, and returns the set's own."""
    chosen = tfds.features.FeaturesDict(features or {"image": image, "label": label})

    with tfds.core.registered.skip_registration():

        class Small(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                return self.dataset_info_from_configs(features=chosen, disable_shuffling=True)

            def _split_generators(self, dl_manager):
                return {split: enumerate(rows) for split, rows in splits.items()}

            def _generate_examples(self):
                """The splits are generators already."""

    Small.name = name
    builder = Small(data_dir=str(folder), file_format=file_format)
    builder.download_and_prepare()
    return folder / name / "1.0.0"
