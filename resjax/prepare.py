"""Prepares a data set of TensorFlow Datasets as array_record, which needs no TensorFlow to be read.

    python -m resjax.prepare --dataset=cifar10

Downloads the set and writes it to `--data_dir`. TensorFlow is needed once, for this (extra [prepare]).
"""

import dataclasses
import importlib.util
import logging

from resjax.lab import flags
from resjax.lab.config import option
from resjax.system.errors import Failure, UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """The options of this command."""

    dataset: str = option("cifar10", "a set of TensorFlow Datasets, as mnist, cifar10, cifar100, svhn_cropped")
    data_dir: str = option("", "where to put it (default: ~/tensorflow_datasets)")


def run(config: Config):
    """Downloads and prepares the set, unless it is there already.

    Raises:
      UserError: an unknown set, or TensorFlow is missing. Failure: the download or the preparation did not work.
    """
    import tensorflow_datasets as tfds  # two seconds that `--help` does not need

    logging.getLogger("absl").setLevel(logging.ERROR)  # it warns of every set that is not prepared yet
    try:
        builder = tfds.builder(config.dataset, data_dir=config.data_dir or None, file_format="array_record")
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        raise UserError(f"unknown dataset {config.dataset!r}: known are the sets of TensorFlow Datasets") from error
    if not builder.is_prepared() and not importlib.util.find_spec("tensorflow"):
        raise UserError("preparing a data set needs TensorFlow: install it with: pip install -e '.[prepare]'")
    try:
        builder.download_and_prepare()
    except Exception as error:  # of many kinds: no network, a wrong checksum, a full disk, a set by hand only
        raise Failure(f"cannot prepare {config.dataset}: {type(error).__name__}: {error}") from error
    print(f"{config.dataset} {builder.version} is prepared in {builder.data_path}")


if __name__ == "__main__":
    flags.main(Config, run)
