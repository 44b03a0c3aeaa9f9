import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.serving import contestants, environments, floor, networks, plan, questions
from bench.serving.processes import Process, Refused, ask, free_ports
from bench.serving.rounds import RATE, START, Measured, Rounds

# A server of two processes, the second one in a group of its own, as a supervisor may start them.
FAMILY = """
import os, time
child = os.fork()
if not child:
    os.setpgid(0, 0)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(condition, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_what_a_server_has_started_is_paused_and_stopped_with_it(tmp_path: Path) -> None:
    process = Process([sys.executable, "-c", FAMILY], {}, tmp_path, tmp_path / "log")
    try:
        assert wait_for(lambda: len(process._pids()) == 2)
        family = process._pids()
        assert process.memory() > 5
        process.pause()
    finally:
        process.stop()
    assert wait_for(lambda: not any(map(alive, family)))


def test_a_server_that_ends_is_refused_with_its_last_words(tmp_path: Path) -> None:
    model = questions.model(networks.write(tmp_path, "tensor", 8).path)
    process = Process([sys.executable, "-c", "raise SystemExit('no disk\\nno port')"], {}, tmp_path, tmp_path / "log")
    try:
        with pytest.raises(Refused, match="it ended with 1: no port"):
            process.first_answer(free_ports(1)[0], model.questions["json", 1], {})
    finally:
        process.stop()


def test_a_reply_that_nginx_would_read_as_its_own_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="plain text"):
        floor.configuration(tmp_path, 1, {"/v2": ({}, b"costs $request_time")})


@pytest.mark.skipif(not shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"), reason="nginx is not here")
def test_the_floor_replies_with_the_body_and_the_headers_of_ours(tmp_path: Path) -> None:
    model = questions.model(networks.write(tmp_path, "tensor", 8).path)
    contestant = contestants.EVERYBODY[contestants.FLOOR]
    question = contestant.question(model, "json", 32)
    (port,) = free_ports(1)
    replies = {question.path: ({"x-bundle-digest": "sha256:0"}, b'{"outputs": []}')}
    launch = contestant.launch(contestants.Place(model, (port,), tmp_path, None, replies))
    process = Process(launch.command, launch.variables, tmp_path, tmp_path / "log")
    try:
        assert wait_for(lambda: _listens(port))
        status, headers, body = ask(port, question, {})
    finally:
        process.stop()
    assert (status, headers["x-bundle-digest"], body) == (200, "sha256:0", b'{"outputs": []}')


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or (os.cpu_count() or 1) < 2, reason="needs two cores of Linux"
)
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not here")
def test_a_round_starts_checks_and_loads_this_server(tmp_path: Path) -> None:
    scenario = plan.chosen(["ours"], ["tensor:c1", "tensor:binary32"], None)[0]
    model = questions.model(
        networks.write(tmp_path, "tensor-32", scenario.hidden).path, {"x": networks.drawn(32, seed=3)}
    )
    ours = environments.installed(contestants.python_of_ours())
    rounds = Rounds(tmp_path, {"ours": ours}, seconds=1)
    steps = list(rounds.run(scenario, model, 1))
    assert rounds.left == []
    assert steps == ["start: this server", "c=1: this server", "32 rows binary, c=16: this server"]
    assert {(each.cell, each.metric) for each in rounds.found} >= {("", START), ("c1", RATE), ("binary32", RATE)}
    assert all(isinstance(each, Measured) and each.value > 0 for each in rounds.found)


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or (os.cpu_count() or 1) < 2, reason="needs two cores of Linux"
)
def test_who_cannot_be_prepared_is_left_out_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unprepared(place: contestants.Place) -> contestants.Launch:
        raise subprocess.CalledProcessError(1, "save the model")

    monkeypatch.setitem(contestants.EVERYBODY, "mlflow", contestants.Contestant("mlflow", "MLflow", unprepared))
    scenario = plan.chosen(["mlflow"], ["tensor:c1"], None)[0]
    rounds = Rounds(tmp_path, {"mlflow": None}, seconds=1)
    model = questions.model(networks.write(tmp_path, "tensor-32", 8).path)
    assert list(rounds.run(scenario, model, 1)) == ["start: MLflow"]
    assert [(left.server, "save the model" in left.reason) for left in rounds.left] == [("mlflow", True)]


def test_every_peer_has_pins_with_the_runtime_that_serves_here(root: Path) -> None:
    ours = (root / "requirements/serve.txt").read_text()
    wanted = next(line for line in ours.splitlines() if line.startswith("onnxruntime=="))
    for contestant in contestants.EVERYBODY.values():
        if contestant.pins and contestant.pins != "asgi":  # made from ours and its own
            assert wanted in (environments.PINS / f"{contestant.pins}.txt").read_text(), contestant.name


def test_a_variant_that_this_server_does_not_have_is_said_to_be_missing() -> None:
    variant = contestants.Contestant("ours-faster", "", contestants.EVERYBODY["ours"].launch, needs="--faster")
    assert contestants.missing(variant) == "this server has no --faster"


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
