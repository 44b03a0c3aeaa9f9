"""API keys: who passes, who does not, and what happens when the file changes under a running server."""

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import yaml

from contracts.errors import InputError
from serving.security import keys
from serving.security.guard import Guard
from serving.security.keys import Keys, load, main
from tests.serving.security.asking import ask, bearer, eventually, header

OLD, NEW, READER = b"slipway_old", b"slipway_new", b"slipway_reader"


def line(key: bytes, name: str, *scopes: str, **more: object) -> dict:
    return {"id": name, "sha256": hashlib.sha256(key).hexdigest(), "scopes": scopes or ("predict", "metadata"), **more}


def write(path: Path, *lines: dict) -> Path:
    """As an editor does: in full, then in place of the old one."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"format": 1, "keys": lines}))
    return new.replace(path)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(keys, "POLL_SECONDS", 0.01)


@pytest.fixture
def guards():
    made = []

    def guard(path: Path) -> Guard:
        made.append(Guard(Keys(path)))
        return made[-1]

    yield guard
    for each in made:
        each.close()


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "keys.json", line(OLD, "old"), line(READER, "reader", "metadata"))


@pytest.fixture
def guard(guards, path):
    return guards(path)


@pytest.mark.parametrize(
    "headers", [{"authorization": b"Bearer " + OLD}, {"x_api_key": OLD}, {"authorization": b"BEARER " + OLD}]
)
def test_a_key_passes_in_either_header(guard, headers):
    assert ask(guard, "predict", **headers) is None
    assert ask(guard, "metadata", **headers) is None


def test_who_has_no_key_learns_how_to_send_one(guard):
    problem = ask(guard)
    assert (problem.status, problem.code) == (401, "unauthorized")
    assert header(problem, b"www-authenticate") == b'Bearer realm="models"'


@pytest.mark.parametrize(
    "headers",
    [
        {"x_api_key": b""},
        {"x_api_key": b"slipway_another"},
        {"x_api_key": OLD + b" "},
        {"x_api_key": OLD[:-1]},
        {"x_api_key": OLD + b", " + OLD},  # the header came twice
        {"x_api_key": b"\xff" * 5000},
        {"x_api_key": b"slipway_another", "authorization": b"Bearer " + OLD},
        {"authorization": OLD},
        {"authorization": b"Bearer"},
        {"authorization": b"Bearer "},
        {"authorization": b"Bearer  " + OLD},
        {"authorization": b"Basic " + OLD},
        {"authorization": b"Bearer " + hashlib.sha256(OLD).hexdigest().encode()},
        {"authorization": b"Bearer a.b.c"},
    ],
)
def test_anything_else_is_refused_without_a_word_of_it(guard, headers):
    problem = ask(guard, **headers)
    assert (problem.status, problem.code) == (401, "invalid_credential")
    assert b'error="invalid_token"' in header(problem, b"www-authenticate")
    said = problem.detail.encode() + header(problem, b"www-authenticate")
    assert not any(value in said for value in headers.values() if value and value != b"Bearer" and value != b"Bearer ")


def test_a_key_is_good_for_its_scopes_only(guard):
    assert bearer(guard, READER, "metadata")[0] == 200
    problem = ask(guard, "predict", x_api_key=READER)
    assert (problem.status, problem.code) == (403, "forbidden")
    assert b'error="insufficient_scope", scope="predict"' in header(problem, b"www-authenticate")


def test_what_is_open_asks_for_no_key(guard):
    assert ask(guard, "") is None
    assert ask(guard, "", x_api_key=b"wrong") is None


def test_keys_are_rotated_without_a_restart(guard, path):
    write(path, line(OLD, "old"), line(NEW, "new"))
    assert eventually(lambda: bearer(guard, NEW)[0] == 200)
    assert bearer(guard, OLD)[0] == 200
    write(path, line(NEW, "new"))
    assert eventually(lambda: bearer(guard, OLD)[0] == 401)
    assert bearer(guard, NEW)[0] == 200


def test_the_last_key_can_be_taken_away(guard, path):
    write(path)
    assert eventually(lambda: bearer(guard, OLD)[0] == 401)


@pytest.mark.parametrize("broken", ["{", "[]", '{"format": 2, "keys": []}', '{"format": 1, "keys": [{"id": "x"}]}', ""])
def test_a_broken_file_changes_nothing_but_one_line_in_the_log(guard, path, caplog, broken):
    path.write_text(broken)
    assert eventually(lambda: len(caplog.records) == 1)
    assert eventually(lambda: guard._keys._seen == guard._keys._read)
    assert bearer(guard, OLD)[0] == 200
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "stay in force" in caplog.messages[0]
    write(path, line(NEW, "new"))
    assert eventually(lambda: bearer(guard, NEW)[0] == 200)


def test_a_file_that_is_gone_changes_nothing(guard, path, caplog):
    path.unlink()
    assert eventually(lambda: len(caplog.records) == 1)
    assert bearer(guard, OLD)[0] == 200


def test_a_file_that_is_being_written_is_not_read(guard, path, monkeypatch):
    half = write(path.with_name("half.json"), line(NEW, "new")).read_bytes()
    stamps = iter(range(1000))
    monkeypatch.setattr(keys, "_stamp", lambda _: (next(stamps), 0, 0))
    path.write_bytes(half)
    assert eventually(lambda: next(stamps) > 20)
    assert bearer(guard, NEW)[0] == 401
    monkeypatch.setattr(keys, "_stamp", lambda _: (1000, 0, 0))
    assert eventually(lambda: bearer(guard, NEW)[0] == 200)


def test_a_mounted_secret_is_swapped_by_its_link(guards, tmp_path):
    for folder, key in (("one", OLD), ("two", NEW)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "keys.json", line(key, "only"))
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "mounted.json").symlink_to("data/keys.json")
    guard = guards(tmp_path / "mounted.json")
    assert bearer(guard, OLD)[0] == 200
    (tmp_path / "data.new").symlink_to("two")
    (tmp_path / "data.new").replace(tmp_path / "data")
    assert eventually(lambda: bearer(guard, NEW)[0] == 200)
    assert bearer(guard, OLD)[0] == 401


def test_a_key_ends_with_its_last_day(guards, tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "_today", lambda: date(2027, 1, 31))
    guard = guards(write(tmp_path / "keys.json", line(OLD, "old", not_after="2027-01-31")))
    assert bearer(guard, OLD)[0] == 200
    monkeypatch.setattr(keys, "_today", lambda: date(2027, 2, 1))
    assert eventually(lambda: bearer(guard, OLD)[0] == 401)
    # The same words as for a key that never was: an old key is not told from a guess.
    assert bearer(guard, OLD) == bearer(guard, b"slipway_guess")


def test_a_rate_is_kept_key_by_key(guards, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(keys, "monotonic", lambda: now[0])
    guard = guards(write(tmp_path / "keys.json", line(OLD, "old", requests_per_second=3), line(NEW, "new")))
    assert [bearer(guard, OLD)[0] for _ in range(4)] == [200, 200, 200, 429]
    problem = ask(guard, x_api_key=OLD)
    assert (problem.status, problem.code, header(problem, b"retry-after")) == (429, "too_many_requests", b"1")
    assert {bearer(guard, NEW)[0] for _ in range(100)} == {200}
    now[0] += 1 / 3 + 0.001
    assert [bearer(guard, OLD)[0] for _ in range(2)] == [200, 429]
    now[0] += 3600
    assert [bearer(guard, OLD)[0] for _ in range(4)] == [200, 200, 200, 429]


def test_a_slow_rate_says_how_long_to_wait_and_survives_another_reading(guards, tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "monotonic", lambda: 0.0)
    path = write(tmp_path / "keys.json", line(OLD, "old", requests_per_second=0.05))
    guard = guards(path)
    assert [bearer(guard, OLD)[0] for _ in range(2)] == [200, 429]
    assert header(ask(guard, x_api_key=OLD), b"retry-after") == b"20"
    write(path, line(OLD, "old", requests_per_second=0.05), line(NEW, "new"))
    assert eventually(lambda: bearer(guard, NEW)[0] == 200)
    assert bearer(guard, OLD)[0] == 429


@pytest.mark.parametrize("key", [OLD, OLD[:-1] + b"x", b"", b"slipway_guess", b"\0" * 9])
def test_every_key_takes_the_same_way(guard, monkeypatch, key):
    compared = []
    monkeypatch.setattr(keys, "compare_digest", lambda *digests: compared.append(digests) or digests[0] == digests[1])
    ask(guard, x_api_key=key)
    assert [[len(digest) for digest in digests] for digests in compared] == [[32, 32]]


def test_no_key_is_kept(guard):
    found = repr([vars(guard._keys), guard._keys._holders, guard._keys._file])
    assert OLD.decode() not in found


GOOD = line(OLD, "old")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("format: 1\nkeys: [", "is neither YAML nor JSON"),
        ("\x00", "is neither YAML nor JSON"),
        ("!!python/object/apply:os.system [id]", "is neither YAML nor JSON"),
        ("[" * 100_000, "is neither YAML nor JSON"),
        ("format: 1", "document: Object missing required field `keys`"),
        ("format: 3\nkeys: []", "format: "),
        ({"keys": [{**GOOD, "sha256": OLD.decode()}]}, "keys[0].sha256: Expected `str` matching"),
        ({"keys": [{**GOOD, "sha256": GOOD["sha256"].upper()}]}, "keys[0].sha256: "),
        ({"keys": [{**GOOD, "scopes": [OLD.decode()]}]}, "keys[0].scopes[0]: is none of"),
        ({"keys": [{**GOOD, "scopes": []}]}, "keys[0].scopes: "),
        ({"keys": [{**GOOD, "id": "a b"}]}, "keys[0].id: "),
        ({"keys": [{**GOOD, "key": "x"}]}, "unknown field `key`"),
        ({"keys": [{**GOOD, "not_after": "soon"}]}, "keys[0].not_after: "),
        ({"keys": [{**GOOD, "requests_per_second": 0}]}, "keys[0].requests_per_second: "),
        ({"keys": [{**GOOD, "requests_per_second": float("nan")}]}, "keys[0].requests_per_second: "),
        ({"keys": [GOOD, {**GOOD, "id": "other"}]}, "keys[1].sha256: is there twice"),
        ({"keys": [GOOD, line(NEW, "old")]}, "keys[1].id: is there twice"),
        ({"keys": [line(b"", "empty")]}, "keys[0].sha256: is that of an empty key"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_one_line(tmp_path, document, said):
    path = tmp_path / "keys.yml"
    path.write_text(document if isinstance(document, str) else json.dumps({"format": 1, **document}))
    with pytest.raises(InputError) as refused:
        load(path)
    text = str(refused.value)
    assert said in text
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert OLD.decode() not in text


def test_a_file_that_is_missing_or_huge_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "nothing.yml")
    (tmp_path / "huge.yml").write_bytes(b"#" * (keys.MAXIMUM_BYTES + 1))
    with pytest.raises(InputError, match="is larger than"):
        load(tmp_path / "huge.yml")


def test_a_new_key_is_printed_once_and_its_line_fits_the_file(capsys, tmp_path, guards):
    assert (
        main(["new", "--id", "007", "--scope", "predict", "--not-after", "2999-12-31", "--requests-per-second", "5"])
        == 0
    )
    first, second = capsys.readouterr().out.splitlines()
    key = re.fullmatch(r"key, shown only now: (slipway_\S{43})", first)[1].encode()
    path = tmp_path / "keys.yml"
    path.write_text(f"format: 1\nkeys:\n{second.removeprefix('line for the file: ')}\n")
    assert yaml.safe_load(path.read_text())["keys"][0]["id"] == "007"
    assert key.decode() not in path.read_text()
    assert (bearer(guards(path), key)[0], bearer(guards(path), key, "metadata")[0]) == (200, 403)


@pytest.mark.parametrize("rate", ["1000000", "999999.9", "123456.7", "0.00001", "0.5"])
def test_a_rate_is_written_as_it_is_read(capsys, tmp_path, rate):
    assert main(["new", "--id", "a", "--requests-per-second", rate]) == 0
    path = tmp_path / "keys.yml"
    path.write_text(f"format: 1\nkeys:\n{capsys.readouterr().out.rpartition('line for the file: ')[2]}")
    assert load(path).keys[0].requests_per_second == float(rate)


def test_the_command_makes_a_different_key_each_time_and_refuses_a_strange_name(root):
    command = [sys.executable, "-m", "serving.security.keys", "new"]
    made = {subprocess.run([*command, "--id", "a"], cwd=root, check=True, capture_output=True).stdout for _ in range(2)}
    assert len(made) == 2
    for more, said in (
        (["--id", "a: b"], "takes 1 to 64 characters"),
        (["--id", "a", "--requests-per-second", "0"], "above 0"),
    ):
        refused = subprocess.run([*command, *more], cwd=root, capture_output=True, text=True)
        assert refused.returncode == 2
        assert said in refused.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_worker_goes_on_reading(guard, path):
    child = os.fork()
    if child == 0:  # no assertion may leave the child
        write(path, line(NEW, "new"))
        os._exit(0 if eventually(lambda: bearer(guard, NEW)[0] == 200) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
