"""Bad and odd requests, each with what it must get, and slow clients beside a healthy one."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.reliability import clients, misuse, models, processes, questions, wire
from bench.reliability.misuse import Misuse
from bench.reliability.models import Oracle
from bench.reliability.processes import Server
from contracts.bundle import Bundle

CASES = list(misuse.all_of())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return models.write(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def server(bundle: Bundle) -> Iterator[Server]:
    with processes.serving(bundle.path) as server:
        yield server


@pytest.fixture(scope="module")
def oracle(bundle: Bundle) -> Oracle:
    return Oracle(bundle.model)


@pytest.mark.parametrize("case", CASES, ids=[case.name[:60] for case in CASES])
def test_it_gets_a_clear_problem_or_the_right_answer(server: Server, oracle: Oracle, case: Misuse) -> None:
    assert clients.fault(server.port, case, oracle) == ""


def test_nothing_that_was_sent_comes_back(server: Server) -> None:
    secret = "4111-1111-1111-1111"
    for column in ("load", "age", "member"):
        body = misuse.changed(column, data=[secret, secret])
        (answer,) = wire.say(server.port, [questions.request(body)]).answers
        assert answer.status == 400
        assert secret.encode() not in answer.body


def test_after_all_of_it_the_server_is_as_it_was(server: Server, bundle: Bundle) -> None:
    before = processes.memory(server.pid)
    for _ in range(3):
        assert clients.misused(server.port, bundle.model) == []
    assert processes.memory(server.pid) - before < 30
    assert server.process.poll() is None
    assert server.metrics()["ml_inference_inflight{}"] == 0


@pytest.mark.slow
def test_five_hundred_slow_clients_are_told_so_and_cost_the_others_nothing(bundle: Bundle) -> None:
    async def scene(server: Server) -> list[str]:
        slow = [asyncio.create_task(clients.slow_client(server.port, number % 3)) for number in range(500)]
        while not all(task.done() for task in slow):
            begun = time.monotonic()
            heard = await asyncio.to_thread(wire.say, server.port, [questions.request(questions.document(misuse.ROWS))])
            assert heard.statuses == [200]
            assert time.monotonic() - begun < 2
            await asyncio.sleep(0.5)
        return [await task for task in slow]

    with processes.serving(bundle.path) as server:
        assert asyncio.run(scene(server)) == ["408"] * 500


def test_a_row_on_which_the_graph_gives_up_costs_nobody_else_and_is_not_in_the_log(tmp_path: Path) -> None:
    brittle = models.write(tmp_path, brittle=True)
    secret = 77_345_678  # an age that its table does not have
    bodies = [questions.document(misuse.ROWS | {"age": [3, secret if number == 5 else 4]}) for number in range(10)]
    server = processes.start(brittle.path)
    try:
        with wire.connect(server.port) as connection:  # in one packet, so that they share a batch
            wire.send(connection, [b"".join(questions.request(body) for body in bodies)])
            heard = wire.listen(connection, 10, 10.0)
        assert heard.statuses == [200] * 5 + [500] + [200] * 4
        assert str(secret).encode() not in heard.answers[5].body
    finally:
        server.process.terminate()
        output, errors = server.process.communicate(timeout=30)
    assert str(secret) not in output + errors
    assert errors.count("\n") == 1  # the failure, by its kind and place
