"""Files that are there whole or not at all, on a disk or in a bucket, and say so if they are not what was written."""

import contextlib
import logging
import os
from collections.abc import Iterator

from etils import epath

from resjax.system.errors import Failure, UserError


def place(text: str) -> epath.Path:
    """The path that a flag names, of a disk or of a bucket.

    Raises:
      UserError: it is in a bucket that cannot be read from here, or in the home of nobody.
    """
    text = os.path.expanduser(text)  # which a shell leaves alone behind a "="
    if text.startswith("~"):
        raise UserError(f"{text}: there is no such user; a folder of that name is ./{text}")
    if in_bucket(text) and not text.startswith("gs://"):
        raise UserError(f"{text}: must be a directory or gs://BUCKET/FOLDER")
    path = epath.Path(text)
    if in_bucket(path):
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs tracebacks of what it raises
        try:
            path.exists()
        except ImportError as error:
            raise UserError(f"{text}: buckets need the extra [gcs]: pip install -e '.[gcs]'") from error
        except Exception as error:  # the network's, Google's, or gcsfs's own
            raise UserError(f"{text} cannot be read: {error}") from error
    return path


def in_bucket(path: epath.PathLike) -> bool:
    """Whether a path is one like gs://bucket/folder: no locks there, no free space to run out of, no appending."""
    return "://" in str(path)


def writable(path: epath.Path) -> bool:
    """Whether this process may write there; of a bucket it is found out by trying."""
    return in_bucket(path) or os.access(path, os.W_OK)


def absolute(path: epath.Path) -> epath.Path:
    """The path from the root of the disk, or of the bucket."""
    return path if in_bucket(path) else path.resolve()


def write(path: epath.Path, content: str | bytes) -> None:
    """Writes a file whole or not at all."""
    content = content.encode() if isinstance(content, str) else content
    if in_bucket(path):
        path.write_bytes(content)  # an object is whole by nature
        return
    temporary = path.with_name(path.name + ".tmp")
    try:
        with writing(path), open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
    except Failure:
        with contextlib.suppress(OSError):  # it has been said what is wrong
            temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def writing(path: epath.Path) -> Iterator[None]:
    """Within this context an OSError, as of a full disk, which names no file, becomes a Failure that does."""
    try:
        yield
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from error
