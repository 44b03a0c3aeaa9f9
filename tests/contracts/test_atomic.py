"""Whatever interrupts a writer (an error, a full disk, kill -9 at any moment), a reader sees the whole thing or nothing."""

import itertools
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from contracts import atomic, bundle
from contracts.errors import InputError
from tests.contracts.test_bundle import PROVENANCE, contents

# A forked writer starts within a millisecond; that pytest has threads, which Python warns of, does not matter to it.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
FORK = multiprocessing.get_context("fork")
STEPS = {"open", "os.rename", "os.chmod", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "tempfile.mkdtemp"}


def killed_everywhere(work: Callable[[int], object]) -> Iterator[int]:
    """Runs `work` in a process that is killed, as by `kill -9`, at its first call into the file system, then at its
    second, and so on, until it gets through; yields the step after each kill."""
    for last in itertools.count(1):
        child = os.fork()
        if not child:
            code = 1
            try:
                killed_at(last)
                work(last)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            assert last > 3, "the writer was never killed"
            return
        assert os.WTERMSIG(status) == signal.SIGKILL
        yield last


def killed_at(last: int) -> None:
    calls = itertools.count(1)

    def kill(event: str, _arguments: object) -> None:
        if event in STEPS and next(calls) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)


def test_a_writer_killed_at_any_step_leaves_no_half_written_bundle(tmp_path):
    store = tmp_path / "store"
    for _ in killed_everywhere(lambda step: bundle.write(store, contents())):
        whole = list(bundle.bundles(store))
        assert all(path.name.startswith(".") for path in store.glob("*") if path not in {each.path for each in whole})
    assert len(list(bundle.bundles(store))) == 1
    assert bundle.write(store, contents()) == next(bundle.bundles(store))


def test_a_version_noted_by_a_writer_killed_at_any_step_leaves_a_bundle_that_loads(tmp_path):
    written = bundle.write(tmp_path, contents())
    for step in killed_everywhere(lambda step: bundle.record_version(written.path, str(step), None)):
        assert bundle.load(written.path, written.digest).provenance.version in {"", *map(str, range(1, step + 1))}
    assert bundle.load(written.path).provenance.version != ""


def test_a_file_written_by_a_writer_killed_at_any_step_is_the_old_one_or_the_new_one(tmp_path):
    file = tmp_path / "document.json"
    atomic.write_text(file, "old")
    for _ in killed_everywhere(lambda step: atomic.write_text(file, "new" * 1000)):
        assert file.read_text() in ("old", "new" * 1000)
    assert file.read_text() == "new" * 1000


@contextmanager
def full_disk() -> Iterator[None]:
    """No file grows beyond 64 bytes: what a full disk looks like, without root and on every system.

    Only for the write itself: pytest's own output may be such a file.
    """
    signalled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # else the kernel kills us instead of failing the write
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, signalled)


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    store = tmp_path / "store"
    with full_disk(), pytest.raises(InputError) as refused:
        bundle.write(store, contents())
    assert "cannot be written: File too large; free some space or choose another place" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert everything(tmp_path) == ["store"]


def test_a_full_disk_keeps_what_was_there(tmp_path):
    file = tmp_path / "document.json"
    atomic.write_text(file, "old")
    with full_disk(), pytest.raises(InputError, match="cannot be written: File too large"):
        atomic.write_bytes(file, b"x" * 100)
    assert (everything(tmp_path), file.read_text()) == (["document.json"], "old")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_inside_leaves_nothing(tmp_path, error):
    def write():
        with atomic.folder(tmp_path / "result") as folder:
            (folder / "part").write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert everything(tmp_path) == []


def test_a_folder_with_content_is_kept_and_an_empty_one_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    for _ in range(2):
        with atomic.folder(tmp_path / "empty") as folder:
            (folder / "file").write_text(str(len(everything(tmp_path))))
    assert (everything(tmp_path), (tmp_path / "empty" / "file").read_text()) == (["empty", "empty/file"], "2")


def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path):
    (tmp_path / "result").write_text("a file")
    with pytest.raises(InputError, match="result: cannot be written"), atomic.folder(tmp_path / "result") as folder:
        (folder / "part").write_text("x")
    assert everything(tmp_path) == ["result"]


def write_in_a_process(store: Path) -> str:
    return bundle.write(store, contents()).digest


def test_writers_of_the_same_bundle_agree(tmp_path):
    with ProcessPoolExecutor(4, FORK) as pool:
        digests = set(pool.map(write_in_a_process, [tmp_path / "store"] * 24))
    assert len(digests) == 1
    assert len(everything(tmp_path / "store")) == 1 + len(bundle.DIGESTED) + len(bundle.BESIDE)


def note_in_a_process(path: Path, version: int) -> None:
    bundle.record_version(path, str(version), None)


def test_a_reader_sees_a_whole_bundle_while_versions_are_noted(tmp_path):
    written = bundle.write(tmp_path, contents())
    with ProcessPoolExecutor(1, FORK) as pool:
        notes = [pool.submit(note_in_a_process, written.path, version) for version in range(1, 60)]
        while not all(note.done() for note in notes):
            assert bundle.load(written.path, written.digest).manifest == written.manifest
        for note in notes:
            note.result()
    assert bundle.load(written.path).provenance.version == "59" != PROVENANCE.version


def test_what_is_written_may_be_read_by_others(tmp_path):
    os.umask(os.umask(0o022))
    atomic.write_text(tmp_path / "file", "text")
    with atomic.folder(tmp_path / "folder") as folder:
        (folder / "part").write_text("x")
    assert [oct((tmp_path / name).stat().st_mode & 0o777) for name in ("file", "folder")] == ["0o644", "0o755"]
