"""The course of a training run: `metrics.jsonl`, and TensorBoard if asked."""

import hashlib
import json
import os

import numpy as np
from etils import epath

from resjax.system import distributed, files
from resjax.system.errors import Failure


class Metrics:
    """`metrics.jsonl`, a line every so many steps, and TensorBoard if asked; written by the first process alone."""

    def __init__(self, folder: epath.Path, start: int, tensorboard: bool, sha256: str | None = None):
        """Opens the file to go on after step `start`; later lines, of steps done again, are dropped.

        Raises:
          Failure: the lines until there do not have the checksum `sha256`, if one is given.
        """
        self._path = folder / "metrics.jsonl"
        self._text = ""
        self._file = None
        self._board = None
        if not distributed.is_primary():
            return
        lines = self._path.read_bytes().decode(errors="replace").splitlines() if self._path.exists() else []
        self._text = "".join(f"{line}\n" for line in lines if _step_of(line) <= start)
        if sha256 not in (None, self._sha256()):
            raise Failure(f"{self._path} is damaged: remove its folder to train that network again")
        files.write(self._path, self._text)
        if not files.in_bucket(self._path):
            self._file = open(self._path, "a")  # noqa: SIM115 (closed by __exit__)
        if tensorboard:
            self._board = summary_writer()(str(folder / "tensorboard"), purge_step=start + 1)

    def checksum_on_disk(self) -> str:
        """The checksum of all lines so far, which are safely on disk."""
        if self._file:
            with files.writing(self._path):
                os.fsync(self._file.fileno())
        elif distributed.is_primary():
            files.write(self._path, self._text)
        return self._sha256()

    def _sha256(self) -> str:
        return hashlib.sha256(self._text.encode()).hexdigest()

    def write(self, step: int, **values):
        """One line: the step and these numbers, or lists of numbers, one a network."""
        values = {name: np.asarray(value, np.float64) for name, value in values.items()}
        line = json.dumps({"step": step} | {name: value.tolist() for name, value in values.items()}) + "\n"
        self._text += line
        if self._file:
            with files.writing(self._path):
                self._file.write(line)
                self._file.flush()
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(name, value.mean(), step)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if distributed.is_primary():
            self.checksum_on_disk()
        if self._file:
            with files.writing(self._path):
                self._file.close()
        if self._board:
            self._board.close()


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, TypeError, KeyError):
        return float("inf")  # torn by a kill; the step is done again


def summary_writer() -> type:
    """TensorBoard's writer.

    Raises:
      ImportError: the extra that has it is not installed.
    """
    try:
        from tensorboardX import SummaryWriter  # an extra
    except ImportError:
        raise ImportError("needs the extra [tensorboard]: pip install -e '.[tensorboard]'") from None
    return SummaryWriter
