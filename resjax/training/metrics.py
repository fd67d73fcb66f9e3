"""The course of a training run: `metrics.jsonl`, and TensorBoard if asked."""

import json
from typing import Any

import numpy as np
from etils import epath

from resjax.system import distributed, files


class Metrics:
    """`metrics.jsonl`, a line every so many steps, and TensorBoard if asked; written by the first process alone."""

    def __init__(self, folder: epath.Path, start: int = 0, text: str = "", tensorboard: bool = False):
        """Opens the file to go on after step `start`, until which it held `text`."""
        self._path = folder / "metrics.jsonl"
        self.text = text
        self._file = None
        self._board = None
        if not distributed.is_primary():
            return
        files.write(self._path, text)
        if not files.in_bucket(self._path):
            self._file = open(self._path, "a")  # noqa: SIM115 (closed by __exit__)
        if tensorboard:
            self._board = summary_writer()(str(folder / "tensorboard"), purge_step=start + 1)

    def write(self, step: int, **values: Any) -> None:
        """One line: the step and these numbers, or lists with an entry a network, which may be lists in turn.

        TensorBoard gets the means over the networks, and nothing of what has an entry a block.
        """
        values = {name: np.asarray(value, np.float64) for name, value in values.items()}
        line = json.dumps({"step": step} | {name: value.tolist() for name, value in values.items()}) + "\n"
        self.text += line
        if self._file:
            with files.writing(self._path):
                self._file.write(line)
                self._file.flush()
        if self._board:
            for name, value in values.items():
                if value.ndim < 2:
                    self._board.add_scalar(name, value.mean(), step)

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file:
            with files.writing(self._path):
                self._file.close()
        if self._board:
            self._board.close()


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
