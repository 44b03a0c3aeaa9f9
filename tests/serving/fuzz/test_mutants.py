"""Changed bundles, each offered to a real server: some in every run, all of them in the slow ones."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.reliability import models, mutants, mutations, signatures
from bench.reliability.mutations import Mutant
from contracts.bundle import Bundle


def refused(sound: Bundle, chosen: list[Mutant], folder: Path) -> list[str]:
    """Those that were not refused as they must be."""
    with ThreadPoolExecutor(2) as pool:
        starts = [
            pool.submit(mutants.refusal, sound, mutant, folder / f"{number}") for number, mutant in enumerate(chosen)
        ]
        ended = [start.result() for start in starts]
    return [f"{end.mutant.family}: {end.mutant.name}: {end.wrong}: {end.line}" for end in ended if end.wrong]


def everything(folder: Path) -> tuple[Bundle, list[Mutant]]:
    sound, other = (models.write(folder / "store", shift) for shift in (0.0, 1.0))
    return sound, [*mutations.all_of(sound, other), *signatures.all_of(sound, other, folder / "keys")]


def test_a_changed_bundle_is_refused_in_one_line(tmp_path: Path) -> None:
    sound, known = everything(tmp_path)
    assert len(known) >= 200
    assert len({(mutant.family, mutant.name) for mutant in known}) == len(known)
    assert refused(sound, known[::33], tmp_path) == []


@pytest.mark.slow
def test_every_changed_bundle_is_refused_in_one_line(tmp_path: Path) -> None:
    sound, known = everything(tmp_path)
    assert refused(sound, known, tmp_path) == []


def test_a_sound_bundle_is_not_called_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "SECONDS", 3.0)
    sound = models.write(tmp_path / "store")
    (wrong,) = refused(sound, [Mutant("none", "unchanged", lambda folder: None)], tmp_path)
    assert wrong.startswith("none: unchanged: served")
