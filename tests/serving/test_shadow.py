"""A second bundle behind the first: what it finds out, and that nothing it does is felt."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from msgspec.structs import replace

from contracts import bundle as bundles_on_disk
from contracts import signature
from contracts.bundle import Bundle, Input, Manifest, Output
from serving.metrics import Metrics
from serving.runtime import Model
from serving.shadow import Shadow
from serving.shadow.__main__ import Comparison, decisions
from serving.shadow.copies import BYTES, ROWS, Feed, Form
from serving.shadow.verdicts import SERVING, Verdicts
from tests import bundles, servers
from tests.servers import Running, body

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the shadow is looked at through /proc")

INFER = "/v2/models/rainy-days/infer"
ROWS_ASKED = {"station": ["north", None], "temperature": [1.5, None], "hour": [3, 4], "holiday": [True, False]}
COMPARED = 'ml_shadow_requests_total{outcome="compared"}'


class Primary:
    """The side of who serves, without a server: it calls the model and lets the shadow see it."""

    def __init__(self, served: Bundle, shadow: Path, keys: Path | None = None) -> None:
        self.model = Model(served)
        self.shadow = Shadow(shadow, served.manifest, keys)
        self.counters = Metrics(served, "1")
        self.feed = self.shadow.feed(self.counters)

    def ask(self, rows: int = 1) -> np.ndarray:
        """One call of the model, on golden rows over and over."""
        golden = self.model.feeds(self.model.bundle.golden.inputs)
        feeds = {name: np.resize(array, rows) for name, array in golden.items()}
        answers = self.model.run(feeds)
        self.feed.observe(feeds, answers, rows)
        return answers[self.model.output_names[0]]

    def page(self) -> dict[str, float]:
        lines = [line.rpartition(" ") for line in self.counters.render().decode().splitlines() if line[0] != "#"]
        return {re.sub(r'model="[^"]*",version="[^"]*",?', "", name): float(value) for name, _, value in lines}

    def until(self, true: Callable[[dict[str, float]], object]) -> dict[str, float]:
        """Go on looking after the shadow until the metrics say something."""
        return until(lambda: (self.shadow.tick(), self.page())[1], true)


def until(page: Callable[[], dict[str, float]], true: Callable[[dict[str, float]], object]) -> dict[str, float]:
    """The metrics, as soon as they say something."""
    end = time.monotonic() + 20
    while not true(found := page()):
        assert time.monotonic() < end, {name: value for name, value in found.items() if "shadow" in name}
        time.sleep(0.02)
    return found


def up(page: dict[str, float]) -> bool:
    return page["ml_shadow_up{}"] == 1


def children() -> list[int]:
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("store"), shift=0.7, version="2")


@pytest.fixture
def primary(served: Bundle, other: Bundle) -> Iterator[Primary]:
    primary = Primary(served, other.path)
    yield primary
    primary.shadow.end()


def test_its_answers_are_held_against_the_primarys(primary: Primary, other: Bundle) -> None:
    primary.until(up)
    answers = primary.ask(100)
    primary.ask(1)
    page = primary.until(lambda page: page.get(COMPARED) == 2)
    own = np.resize(other.golden.outputs["probability"], 100)
    assert page['ml_shadow_rows_total{outcome="compared"}'] == 101
    differing = ((answers >= 0.5) != (own >= 0.5)).sum()
    assert 0 < differing < 100
    assert differing <= page['ml_shadow_rows_total{outcome="differing"}'] <= differing + 1
    assert page["ml_shadow_difference_count{}"] == 101
    assert page["ml_shadow_difference_sum{}"] == pytest.approx(np.abs(answers - own).sum(), rel=0.02)
    assert page["ml_shadow_duration_seconds_count{}"] == 2
    assert page[f'ml_shadow_info{{digest="{other.digest}"}}'] == 1
    assert page["ml_shadow_restarts_total{}"] == 0


def test_a_shadow_that_is_the_same_never_differs(served: Bundle) -> None:
    primary = Primary(served, served.path)
    try:
        primary.until(up)
        primary.ask(50)
        page = primary.until(lambda page: page.get(COMPARED) == 1)
        assert page['ml_shadow_rows_total{outcome="differing"}'] == 0
        assert page['ml_shadow_difference_bucket{le="1e-06"}'] == 50
    finally:
        primary.shadow.end()


def test_it_gives_way_to_everything_else(primary: Primary) -> None:
    primary.until(up)
    (shadow,) = children()
    fields = Path(f"/proc/{shadow}/stat").read_text().rpartition(")")[2].split()
    assert int(fields[16]) == 19
    assert os.sched_getscheduler(shadow) == os.SCHED_IDLE
    assert Path(f"/proc/{shadow}/oom_score_adj").read_text() == "1000\n"


def test_a_shadow_that_died_is_started_again(primary: Primary) -> None:
    primary.until(up)
    primary.ask()
    primary.until(lambda page: page.get(COMPARED) == 1)
    os.kill(children()[0], signal.SIGKILL)
    primary.until(lambda page: page["ml_shadow_restarts_total{}"] == 1 and up(page))
    primary.ask()
    page = primary.until(lambda page: page[COMPARED] == 2)  # what was counted before its death is still there
    assert page['ml_shadow_requests_total{outcome="sent"}'] == 2


def test_who_is_not_there_is_sent_nothing(primary: Primary) -> None:
    primary.ask(3)
    page = primary.page()
    assert page['ml_shadow_requests_total{outcome="dropped"}'] == 1
    assert page['ml_shadow_rows_total{outcome="dropped"}'] == 3
    assert page["ml_shadow_up{}"] == 0


def test_a_shadow_that_stands_still_is_not_waited_for(primary: Primary) -> None:
    primary.until(up)
    (shadow,) = children()
    os.kill(shadow, signal.SIGSTOP)
    began = time.monotonic()
    calls = 0
    while primary.page().get('ml_shadow_requests_total{outcome="dropped"}', 0) < 100:
        for _ in range(100):
            primary.ask(100)
        calls += 100
    assert time.monotonic() - began < 10
    os.kill(shadow, signal.SIGCONT)
    page = primary.until(lambda page: page.get(COMPARED, 0) == page['ml_shadow_requests_total{outcome="sent"}'])
    assert page[COMPARED] + page['ml_shadow_requests_total{outcome="dropped"}'] == calls
    primary.until(lambda page: primary.ask() is not None and page[COMPARED] > calls)


def test_a_shadow_of_other_columns_is_refused_once_and_for_all(
    served: Bundle, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    contents = bundles.tiny()
    first, *others = contents.manifest.inputs
    renamed = replace(
        contents.manifest, inputs=(*others, replace(first, nullable=False), Input(name="x", dtype="bool"))
    )
    golden = replace(contents.golden, inputs=contents.golden.inputs | {"x": [True] * 6})
    foreign = bundles_on_disk.write(tmp_path, replace(contents, manifest=renamed, golden=golden))
    primary = Primary(served, foreign.path)
    primary.until(lambda page: page["ml_shadow_refused{}"] and not children())
    for _ in range(5):
        primary.shadow.tick()
        primary.ask()
    page = primary.page()
    assert (page["ml_shadow_up{}"], page["ml_shadow_restarts_total{}"]) == (0, 0)
    assert page['ml_shadow_requests_total{outcome="dropped"}'] == 5
    assert children() == []
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1
    assert "bundle.json: inputs: x: differs from the model that is served" in errors


def test_a_shadow_that_is_no_bundle_is_refused(
    served: Bundle, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    primary = Primary(served, tmp_path / "nothing")
    primary.until(lambda page: page["ml_shadow_refused{}"])
    assert re.fullmatch(r"shadow: .*no such bundle.*\n", capfd.readouterr().err)


def test_where_bundles_have_to_be_signed_the_shadow_has_to_be_too(
    served: Bundle, other: Bundle, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    assert signature.main(["new-key", "--private", str(private), "--public", str(public)]) == 0
    copied = bundles.write(tmp_path / "store", shift=0.7)
    for signed in (False, True):
        if signed:
            signature.sign(copied.path, private.read_bytes())
        capfd.readouterr()
        primary = Primary(served, copied.path, public)
        try:
            primary.until(up if signed else lambda page: page["ml_shadow_refused{}"])
        finally:
            primary.shadow.end()
        assert capfd.readouterr().err.count("\n") == (0 if signed else 1)


def test_what_it_cannot_answer_is_counted_and_said_once(
    served: Bundle, other: Bundle, capfd: pytest.CaptureFixture[str]
) -> None:
    verdicts = Verdicts()
    comparison = Comparison(served.manifest, Model(other), verdicts)
    for _ in range(3):
        comparison.compare(b"canary-4711")
    assert verdicts.calls.counts() == {"failed": 3}
    errors = capfd.readouterr().err
    assert errors.startswith("shadow: failure error=")
    assert errors.count("\n") == 1
    assert "canary" not in errors


@pytest.mark.parametrize("rows", [1, 2, ROWS, ROWS + 1])
def test_a_copy_holds_what_the_model_saw(rows: int) -> None:
    columns = (
        Input(name="text", dtype="string"),
        Input(name="whole", dtype="int64"),
        Input(name="number", dtype="float32"),
        Input(name="truth", dtype="bool"),
        Input(name="tensor", dtype="float32", width=3),
    )
    outputs = (Output(name="one"), Output(name="three", width=3))
    form = Form(Manifest(name="m", task="multiclass", target="t", inputs=columns, outputs=outputs))
    feeds = {
        "text": np.array(["", "ä", "x"] * rows, object)[:rows],
        "whole": np.arange(rows, dtype=np.int64) - 2**60,
        "number": np.linspace(-1, 1, rows, dtype=np.float32),
        "truth": np.arange(rows) % 2 == 0,
        "tensor": np.arange(3 * rows, dtype=np.float32).reshape(rows, 3),
    }
    answers = {"one": np.ones(rows, np.float32), "three": np.ones((rows, 3), np.float32)}
    seen, given = form.read(form.write(feeds, answers, rows))
    for before, after in ((feeds, seen), (answers, given)):
        for name, values in before.items():
            assert after[name].dtype == values.dtype
            assert after[name].tolist() == values[:ROWS].tolist()


def test_what_is_too_long_to_be_copied_is_dropped(served: Bundle) -> None:
    class Nobody:
        def send(self, data: bytes) -> None:
            raise AssertionError("it was to be dropped")

    verdicts = Verdicts()
    verdicts.is_now(SERVING)
    feed = Feed(Form(served.manifest), Nobody(), verdicts)
    feeds = Model(served).feeds(served.golden.inputs) | {"station": np.array(["x" * BYTES] * 6, object)}
    feed.observe(feeds, {"probability": np.zeros(6, np.float32)}, 6)
    feed.observe({}, {}, 1)  # nor does anything else that goes wrong reach who answers
    assert feed.calls.counts() == {"dropped": 2}


def test_what_a_model_decides_depends_on_its_task(served: Bundle) -> None:
    two = np.array([0.4, 0.6], np.float32)
    assert decisions(served.manifest, {"probability": two}).tolist() == [0, 1]
    assert decisions(replace(served.manifest, decision_threshold=0.3), {"probability": two}).tolist() == [1, 1]
    several = bundles.tiny("multiclass").manifest
    three = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]], np.float32)
    assert decisions(several, {"probabilities": three}).tolist() == [1, 0]
    number = bundles.tiny("regression").manifest
    assert decisions(number, {"value": two}).tolist() == [0, 0]


# --- behind a server


def ask(server: Running, times: int) -> None:
    with requests.Session() as session:
        for _ in range(times):
            assert session.post(server.url + INFER, data=body(ROWS_ASKED), timeout=10).status_code == 200


def processes(server: Running) -> list[int]:
    """The shadows of a server."""
    pid = server.process.pid
    own = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [child for child in own if b"serving.shadow" in Path(f"/proc/{child}/cmdline").read_bytes()]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_has_one_shadow_however_many_workers(served: Bundle, other: Bundle, workers: int) -> None:
    with servers.running(served.path, "--shadow", str(other.path), "--workers", str(workers)) as server:
        until(server.metrics, up)
        ask(server, 20)
        page = until(server.metrics, lambda page: page.get(COMPARED) == 20)
        assert page['ml_shadow_requests_total{outcome="sent"}'] == 20
        assert page['ml_shadow_rows_total{outcome="compared"}'] == 40
        assert page['ml_inference_requests_total{route="infer",code="200"}'] == 20
        (shadow,) = processes(server)
        os.kill(shadow, signal.SIGKILL)
        until(server.metrics, lambda page: page["ml_shadow_restarts_total{}"] == 1 and up(page))
        (shadow,) = processes(server)
        server.process.terminate()
        assert server.process.communicate(timeout=20)[0].endswith("stopped cut_off=0\n")
        assert server.process.returncode == 0
        assert gone(shadow)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shadow_does_not_outlive_its_server(served: Bundle, other: Bundle, workers: int) -> None:
    with servers.running(served.path, "--shadow", str(other.path), "--workers", str(workers)) as server:
        until(server.metrics, up)
        (shadow,) = processes(server)
        server.process.kill()
        end = time.monotonic() + 10
        while not gone(shadow):
            assert time.monotonic() < end
            time.sleep(0.02)


def test_a_shadow_that_is_refused_does_not_keep_the_server_from_answering(served: Bundle, tmp_path: Path) -> None:
    with servers.running(served.path, "--shadow", str(tmp_path)) as server:
        page = until(server.metrics, lambda page: page["ml_shadow_refused{}"])
        ask(server, 1)
        assert page["ml_shadow_up{}"] == 0
        server.process.terminate()
        assert re.fullmatch(r"shadow: .*\n", server.process.communicate(timeout=20)[1])
