"""Checkpoints of one training run: Orbax, strict, with a checksum of every file.

Orbax fills missing leaves with zeros, casts a wrong dtype and returns flipped bits without a word.
So a step counts only if SHA256SUMS has its files (written last, after the step is complete), and every byte matches;
it is restored only if configuration, shapes and dtypes are the expected ones.
"""

import contextlib
import logging
import re
import shutil
import sys
import warnings
from collections.abc import Container, Iterator
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from resjax.system import checksums, distributed
from resjax.system.errors import Failure
from resjax.system.files import absolute, in_bucket, writable

KEEP = 2  # steps on disk: the newest, and one to fall back on
FOLDER = "checkpoints"
STEP = re.compile(rf"{FOLDER}/([0-9]+)/")  # how the names of its files begin
MARGIN = 4 << 20  # bytes: what Orbax writes beside the arrays, and the records that follow


class Checkpoints:
    """The checkpoints in `folder`, for the run whose configuration has the hash `digest`.

    `folder/checkpoints` is Orbax's; `folder/SHA256SUMS` holds the checksums. The steps in `keep` stay, beside the
    newest two.
    """

    def __init__(self, folder: epath.Path, digest: str, keep: Container[int] = ()):
        self.folder = epath.Path(folder)
        self.digest = digest
        self.keep = keep
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax reports every save, and what it cannot read

    def save(self, step: int, train_state: Any, place: dict[str, Any] | None = None) -> None:
        """Writes the tree `train_state` as step `step` and returns when it is safely on disk.

        `place`, where the training data go on, is plain data that JSON can hold.

        Raises:
          Failure: the disk is full or not writable; earlier steps stay as they were.
        """
        content = ocp.args.Composite(
            train_state=ocp.args.StandardSave(train_state),
            place=ocp.args.JsonSave(place or {}),
            meta=ocp.args.JsonSave(_describe(train_state, self.digest)),
        )
        if distributed.is_primary():
            self._make_room(step, train_state)
        distributed.barrier("room for a checkpoint")
        try:
            with _one_voice(), self._manager() as manager:
                manager.save(step, args=content)
            if distributed.is_primary():
                checksums.add(self.folder, checksums.names(self.folder, f"{FOLDER}/{step}"))
                for old in self.steps()[:-KEEP]:
                    if old not in self.keep:
                        self._remove(old)
        except Exception as error:  # tensorstore reports a full disk as a ValueError, among others
            raise Failure(f"cannot write checkpoint {self._step(step)}: {error}") from error

    def _make_room(self, step: int, train_state: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.folder, self.folder / FOLDER):
            if folder.exists() and not writable(folder):
                raise Failure(f"cannot write checkpoint {self._step(step)}: {folder} may not be written")
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(train_state)) + MARGIN
        free = needed if in_bucket(self.folder) else shutil.disk_usage(self.folder).free  # a bucket has room
        if free < needed:
            raise Failure(
                f"cannot write checkpoint {self._step(step)}: it needs {needed >> 20} MiB and {free >> 20} MiB are free"
            )
        self._remove(step)  # left over from a killed or damaged save; Orbax would not write over it

    def restore(self, train_state: Any) -> tuple[int, Any, dict[str, Any]] | None:
        """The newest sound step as (step, tree, place), or None where nothing was saved.

        A damaged step is named on stderr and the next older one is used; it is removed only after a
        sound one has been restored.

        Args:
          train_state: a tree of arrays or `jax.ShapeDtypeStruct`s with the structure to restore.

        Raises:
          Failure: no step is sound, or the checkpoint belongs to another configuration.
        """
        damaged = []
        for step in reversed(self.steps()):
            fault = self._fault(step)
            if fault:
                print(f"checkpoint {self._step(step)} is damaged ({fault}): looking for an older one", file=sys.stderr)
                damaged.append(step)
                continue
            restored = self._restore(step, train_state)
            for other in damaged if distributed.is_primary() else ():
                self._remove(other)
            return step, *restored
        if damaged:
            raise Failure(
                f"every checkpoint in {self.folder} is damaged: remove the folder to train that network again"
            )
        return None

    def read(self, step: int, train_state: Any) -> Any:
        """The tree of one step, with the structure of `train_state` (see `restore`).

        Raises:
          Failure: it is missing or damaged, or belongs to another configuration.
        """
        if fault := self._fault(step):
            raise Failure(
                f"checkpoint {self._step(step)} is damaged ({fault}): remove {self.folder} to train that network again"
            )
        return self._restore(step, train_state)[0]

    def steps(self) -> list[int]:
        """The steps whose files have checksums, oldest first; those of a save that was killed half-way have none."""
        found = (STEP.match(name) for name in checksums.sums(self.folder))
        return sorted({int(match[1]) for match in found if match})

    def _restore(self, step: int, train_state: Any) -> tuple[Any, dict[str, Any]]:
        with self._manager() as manager:
            expected = _describe(train_state, self.digest)
            found = manager.restore(step, args=_meta())["meta"]
            for name in {**expected, **found}:
                if expected.get(name) != found.get(name):
                    raise Failure(
                        f"checkpoint {self._step(step)} is of another run: {name} is {found.get(name)}, "
                        f"expected {expected.get(name)}"
                    )
            target = jax.tree.map(_target, train_state)
            wanted = ocp.args.Composite(train_state=ocp.args.StandardRestore(target), place=ocp.args.JsonRestore())
            restored = manager.restore(step, args=wanted)
            return restored["train_state"], restored["place"]

    def _manager(self) -> ocp.CheckpointManager:
        # Saving is synchronous: it takes tens of milliseconds, and checksums need finished files.
        options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False)
        return ocp.CheckpointManager(absolute(self.folder / FOLDER), options=options)

    def _step(self, step: int) -> epath.Path:
        return self.folder / FOLDER / str(step)

    def _remove(self, step: int) -> None:
        checksums.forget(self.folder, f"{FOLDER}/{step}")
        self._step(step).rmtree(missing_ok=True)

    def _fault(self, step: int) -> str:
        """What is wrong with the files of a step; empty if nothing is."""
        if step not in self.steps():
            return "it has no checksums"
        try:
            wrong = checksums.fault(self.folder, f"{FOLDER}/{step}")
        except OSError as error:
            return f"it cannot be read: {error}"
        return f"{wrong} differs from its checksum" if wrong else ""


def _target(leaf: Any) -> jax.ShapeDtypeStruct:
    """Where a leaf goes: to where it is, or to this process's first device. It may have been saved on others."""
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


@contextlib.contextmanager
def _one_voice() -> Iterator[None]:
    """A save that fails half-way raises, and prints nothing: else each of its threads would, for as long as they last.

    tensorstore's threads report to an event loop that Orbax has closed by then; asyncio logs what nobody waited for,
    and Python warns, at its end, of what was never begun.
    """
    usual = sys.unraisablehook
    log = logging.getLogger("asyncio")
    level = log.level

    def others(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            usual(unraisable)

    sys.unraisablehook = others
    log.setLevel(logging.CRITICAL)
    try:
        yield
    except BaseException:
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        raise
    sys.unraisablehook = usual  # not where the save has failed: its threads are still at it
    log.setLevel(level)


def _meta() -> ocp.args.Composite:
    return ocp.args.Composite(meta=ocp.args.JsonRestore())


def _describe(train_state: Any, digest: str) -> dict[str, str]:
    """Every leaf's path with its shape and dtype, and the configuration's hash."""
    leaves = jax.tree_util.tree_leaves_with_path(train_state)
    described = {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}
    return described | {"configuration": digest}
