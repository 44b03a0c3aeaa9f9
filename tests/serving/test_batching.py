"""Natural batching: whoever shares a call gets what he would have got alone, and nobody waits for somebody else."""

import re
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batching import Batcher
from serving.columns import ColumnError
from serving.exchange import Problem
from serving.limits import Limits
from serving.metrics import Metrics
from serving.parts import Answers, Part
from serving.runtime import Model
from tests import bundles
from tests.servers import Turns

ROW = {"station": ["north"], "temperature": [1.5], "hour": [3], "holiday": [True]}


class Bench:
    """A batcher over the tiny bundle, with turns that the test ends."""

    def __init__(self, store: Path, **limits: float) -> None:
        self.model = Model(bundles.write(store))
        self.turns, self.counters = Turns(), Metrics(self.model.bundle, "1")
        self.batcher = Batcher(self.model, self.counters, Limits(**limits), self.turns)

    def ask(self, columns: dict[str, list], rows: int | None = None) -> list[Part | Exception]:
        """The list in which the one answer will be."""
        answers: list[Part | Exception] = []
        self.batcher.submit(columns, len(columns["hour"]) if rows is None else rows, answers.append)
        return answers

    def calls(self) -> list[float]:
        """The rows of each call of the model, as the metrics have it: calls, rows."""
        text = self.counters.render().decode()
        lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("ml_inference_batch_"))
        named = {name.partition("{")[0]: float(value) for name, value in lines.items() if "_bucket" not in name}
        return [named["ml_inference_batch_size_count"], named["ml_inference_batch_size_sum"]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def row(**change: object) -> dict[str, list]:
    return {**ROW, **{name: [value] for name, value in change.items()}}


def test_what_came_in_one_turn_is_one_call(bench: Bench) -> None:
    answers = [bench.ask(row(hour=hour)) for hour in range(5)]
    assert answers == [[]] * 5
    bench.turns.end()
    alone = [bench.model.predict(row(hour=hour))["probability"] for hour in range(5)]
    assert [answer["probability"].tolist() for (answer,) in answers] == [expected.tolist() for expected in alone]
    assert bench.calls() == [1, 5]


def test_one_bad_request_is_refused_and_the_others_are_answered(bench: Bench) -> None:
    good, bad, unknown, also_good = (
        bench.ask(row()),
        bench.ask(row(temperature="warm")),
        bench.ask({"our": [1], "hour": [1]}),
        bench.ask(row(hour=4)),
    )
    bench.turns.end()
    assert (bad[0].column, bad[0].reason) == ("temperature", "row 0 is not a number")
    assert isinstance(unknown[0], ColumnError)
    assert good[0]["probability"] == bench.model.predict(row())["probability"]
    assert also_good[0]["probability"] == bench.model.predict(row(hour=4))["probability"]


values = {
    "station": st.sampled_from(["north", "south", "unseen", "", None, 1, ["north"]]),
    "temperature": st.sampled_from(
        [1, 1.5, -0.0, 2**24, 2**24 + 1, 1e30, 1e300, -3.4028236e38, None, True, "1", float("nan")]
    ),
    "hour": st.sampled_from([0, 3, 3.0, 3.5, 2**53 + 1, 2**63 - 1, 2**64, None, False, "3"]),
    "holiday": st.sampled_from([True, False, 0, 1, 2, 0.0, None]),
}


@given(callers=st.lists(st.fixed_dictionaries(values), min_size=1, max_size=6))
def test_company_changes_nothing(tmp_path_factory: pytest.TempPathFactory, callers: list[dict]) -> None:
    bench = test_company_changes_nothing.__dict__.setdefault("bench", Bench(tmp_path_factory.mktemp("store")))
    answers = [bench.ask(row(**caller)) for caller in callers]
    bench.turns.end()
    for caller, (answer,) in zip(callers, answers, strict=True):
        if isinstance(answer, ColumnError):
            with pytest.raises(ColumnError, match=re.escape(str(answer))):
                bench.model.feeds(row(**caller))
        else:
            np.testing.assert_array_equal(answer["probability"], bench.model.predict(row(**caller))["probability"])


def test_a_request_that_would_hold_up_the_others_goes_to_the_thread(bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr(bench.batcher, "_seconds_per_row", 1.0)
    order: list[str] = []
    beside: list[Callable[[], None]] = []
    monkeypatch.setattr(bench.turns, "beside", lambda work, done: beside.append(lambda: done(work())))
    bench.batcher.submit(row(), 1, lambda answer: order.append("large"))
    monkeypatch.setattr(bench.batcher, "_seconds_per_row", 0.0)
    bench.batcher.submit(row(), 1, lambda answer: order.append("small"))
    bench.turns.end()
    assert order == ["small"]
    beside[0]()
    assert order == ["small", "large"]


def test_who_waits_too_long_is_told_so_and_not_answered_again(bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr(bench.batcher, "_seconds_per_row", 1.0)
    expire: list[Callable[[], None]] = []
    beside: list[Callable[[], None]] = []
    monkeypatch.setattr(bench.turns, "later", lambda seconds, call: expire.append(call) or (lambda: None))
    monkeypatch.setattr(bench.turns, "beside", lambda work, done: beside.append(lambda: done(work())))
    answers = bench.ask(row())
    expire[0]()
    beside[0]()
    (late,) = answers
    assert isinstance(late, Problem)
    assert (late.status, late.code) == (504, "deadline_exceeded")


def test_a_turn_that_came_too_late_answers_nobody_as_if_it_had_not(tmp_path: Path) -> None:
    bench = Bench(tmp_path, deadline_seconds=0.0)
    answers = bench.ask(row())
    bench.turns.end()
    assert answers[0].status == 504


def test_beyond_the_queue_requests_are_refused_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, queue=3)
    answers = []
    for _ in range(3):
        bench.batcher.require_room()
        answers.append(bench.ask(row()))
    with pytest.raises(Problem) as refusal:
        bench.batcher.require_room()
    refused = refusal.value
    assert (refused.status, refused.code, refused.headers) == (503, "overloaded", ((b"retry-after", b"1"),))
    bench.turns.end()
    assert [len(answer) for answer in answers] == [1, 1, 1]
    bench.batcher.require_room()


def test_rows_that_are_not_as_many_as_announced_are_refused(bench: Bench) -> None:
    assert isinstance(bench.ask(row(), rows=2)[0], ColumnError)
    assert isinstance(bench.ask({**ROW, "hour": [1, 2]}, rows=1)[0], ColumnError)
    assert bench.turns.waiting == []


def test_when_the_graph_gives_up_only_those_whose_rows_it_was_suffer(bench: Bench, monkeypatch) -> None:
    run = bench.model.run

    def fragile(feeds: dict[str, np.ndarray]) -> Answers:
        if (feeds["hour"] == 13).any():
            raise RuntimeError("no thirteenth hour")
        return run(feeds)

    monkeypatch.setattr(bench.model, "run", fragile)
    answers = [bench.ask(row(hour=hour)) for hour in (12, 13, 14)]
    bench.turns.end()
    assert [type(answer).__name__ for (answer,) in answers] == ["Part", "RuntimeError", "Part"]


@pytest.mark.parametrize("beside", [False, True])
def test_a_failure_of_ours_leaves_nobody_without_an_answer(bench: Bench, monkeypatch, beside: bool) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    if beside:
        monkeypatch.setattr("serving.batching.INLINE_SECONDS", 0.0)
    for name in ("feeds", "feeds_together", "feeds_typed"):
        monkeypatch.setattr(bench.model, name, fail)
    answers = [bench.ask(row()), bench.ask(row(hour=4))]
    bench.turns.end()
    assert [type(answer) for (answer,) in answers] == [MemoryError, MemoryError]
    assert bench.batcher._beside == 0


def test_every_call_is_looked_at_after_its_answers(bench: Bench) -> None:
    seen: list[object] = []
    bench.batcher.observers.append(lambda feeds, answers, rows: seen.append(rows))
    bench.batcher.submit(row(), 1, lambda answer: seen.append("answer"))
    bench.batcher.submit(row(), 1, lambda answer: seen.append("answer"))
    bench.turns.end()
    assert seen == ["answer", "answer", 2]


@pytest.mark.parametrize("at_once", [True, False])
def test_who_comes_alone_again_and_again_does_not_wait_for_company(bench: Bench, at_once: bool) -> None:
    bench.batcher.at_once = at_once

    def ask(arrived: float) -> bool:
        answers: list[Part | Exception] = []
        bench.batcher.submit(row(), 1, answers.append, arrived=arrived)
        return bool(answers)

    late, at_the_same_time = perf_counter() + 3600, 0.0
    assert not ask(late)  # nothing is known yet
    bench.turns.end()
    assert ask(late) == at_once
    bench.turns.end()
    assert not ask(at_the_same_time)  # a crowd
    assert not ask(late)
    bench.turns.end()
    assert not ask(late)  # the last turn was one
