"""A small share of the fuzzing that `python -m bench.reliability --scenarios fuzz` does, the same on every run."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.reliability import corpus, fuzz, models, processes, schema, tensors
from bench.reliability.fuzz import Score
from bench.reliability.models import Oracle
from bench.reliability.processes import Server
from contracts.bundle import Bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return models.write(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def server(bundle: Bundle) -> Iterator[Server]:
    with processes.serving(bundle.path, "--maximum-body-bytes", str(fuzz.SMALL)) as server:
        yield server
        server.process.terminate()
        output, errors = server.process.communicate(timeout=30)
        # Whatever came, the log has no line about it: what a client sends may be personal.
        assert (server.process.returncode, output.endswith("stopped cut_off=0\n"), errors) == (0, True, "")


@pytest.fixture(scope="module")
def oracle(bundle: Bundle) -> Oracle:
    return Oracle(bundle.model)


def test_tensors_of_every_type_sound_and_broken_get_the_right_answer_or_a_refusal(
    server: Server, oracle: Oracle
) -> None:
    score = fuzz.ask_tensors(server.port, oracle, 2000, random.Random(1))
    assert score.flaws == []
    assert {kind for kind in score.kinds if kind.startswith("sound")} == {
        f"sound {form}: 200" for form in ("JSON", "binary", "frame")
    }
    assert score.kinds["broken JSON: 400"] > 100
    assert score.kinds["broken binary: 400"] > 100
    assert score.kinds["broken frame: 400"] > 100


def test_no_request_is_smuggled(server: Server, oracle: Oracle) -> None:
    score, probe = Score(), tensors.sound_json(random.Random(7), 2)
    for case in corpus.smuggled(probe.body):
        fuzz.ask_case(score, server.port, probe, case, oracle)
    assert score.flaws == []
    assert set(score.statuses) <= {400, 413, 417, 431, 501, 505}


def test_a_request_is_answered_however_it_is_cut_and_spelled(server: Server, oracle: Oracle) -> None:
    score, probe = Score(), tensors.sound_json(random.Random(7), 2)
    for case in corpus.sound(probe.body):
        fuzz.ask_case(score, server.port, probe, case, oracle)
    assert score.flaws == []
    assert set(score.statuses) == {200}


def test_bytes_changed_anywhere_in_a_head_do_no_harm(server: Server, oracle: Oracle) -> None:
    score, draw = Score(), random.Random(3)
    probe = tensors.sound_json(draw, 2)
    for _ in range(300):
        fuzz.ask_case(score, server.port, probe, corpus.mutated(draw, probe.body), oracle)
    fuzz.healthy(score, server.port, probe, oracle)
    assert score.flaws == []
    assert 400 in score.statuses


def test_the_server_keeps_what_its_openapi_document_says(server: Server) -> None:
    said = schema.fuzz(server.port, 5)
    assert (said.flaws, said.not_run) == ([], "")
    assert said.requests >= 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", [10, 11])
def test_many_more_of_all_of_it(server: Server, bundle: Bundle, seed: int) -> None:
    assert fuzz.part("tensors", server.port, bundle.model, 5000, seed).flaws == []
    assert fuzz.part("bytes", server.port, bundle.model, 2500, seed).flaws == []
    assert schema.fuzz(server.port, 60).flaws == []


def test_an_answer_that_is_wrong_would_be_seen(bundle: Bundle, tmp_path: Path) -> None:
    other = models.write(tmp_path, 1.0)
    with processes.serving(other.path) as server:
        score = fuzz.ask_tensors(server.port, Oracle(bundle.model), 50, random.Random(1))
    assert any("sound JSON: another prediction" in flaw for flaw in score.flaws)
