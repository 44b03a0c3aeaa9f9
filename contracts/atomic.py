"""Files and folders that are either whole or not there, whatever interrupts the writer."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.errors import InputError


def write_bytes(path: Path, data: bytes, scratch: Path | None = None) -> None:
    """Write `data` so that a reader sees the old file or the new one, never a part.

    A killed writer leaves a hidden file beside `path`, or in `scratch`, a folder on the same file system, where it
    would be in the way. Raises InputError when the place cannot be written to: missing rights, a full disk.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=scratch or path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)  # mkstemp makes it private; what we write is meant to be read
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written: {error.strerror}; free some space or choose another place"
        ) from error


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for UTF-8 text with Unix line ends."""
    write_bytes(path, text.encode())


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`, and rename it to `path` when the block ends without an error.

    A folder that is already there is kept when it is not empty: what has a name by content is written once.
    Raises InputError when the disk is full or the place cannot be written to; nothing is left behind then.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        temporary.chmod(0o755)
        try:
            os.replace(temporary, path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written: {error.strerror}; free some space or choose another place"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
