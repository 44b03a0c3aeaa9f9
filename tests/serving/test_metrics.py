import mmap
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import yaml
from msgspec.structs import replace

from contracts import budgets
from contracts.bundle import CategoricalProfile, Input, NumericProfile
from serving import assembly, metrics
from serving.arguments import arguments
from serving.metrics import Histogram, Metrics, drift, vocabulary
from tests import bundles
from tests.servers import Turns

LINE = re.compile(r'([a-z_]+)(\{[a-z_]+="(?:[^"\\\n]|\\.)*"(?:,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? (\S+)')


def exposition(counters: Metrics) -> dict[str, float]:
    """The page as samples, after a look at its form: every sample under its type, none twice."""
    samples: dict[str, float] = {}
    declared = ""
    for line in counters.render().decode().splitlines():
        if line.startswith("# TYPE "):
            declared = line.split()[2]
        elif not line.startswith("#"):
            name, labels, value = LINE.fullmatch(line).groups()
            assert re.fullmatch(rf"{declared}(_bucket|_sum|_count)?", name), line
            key = name + re.sub(r'model="rainy-days",version="1",?', "", labels or "")
            assert key not in samples
            samples[key] = float(value)
    return samples


def feeds(rows: int = 2) -> dict[str, np.ndarray]:
    return {
        "station": np.array(["north", "atlantis"] * (rows // 2), object),
        "temperature": np.array([10.0, np.nan] * (rows // 2), np.float32),
        "hour": np.array([6, 23] * (rows // 2), np.int64),
        "holiday": np.array([True, False] * (rows // 2)),
    }


def test_values_are_counted_in_the_bins_of_the_training_data(tmp_path: Path) -> None:
    counters = Metrics(bundles.write(tmp_path), "1")
    counters.drift.observe(feeds(), {"probability": np.array([0.25, 0.9], np.float32)}, 2)
    page = exposition(counters)
    assert page['ml_feature_bin_total{feature="station",bin="north"}'] == 1
    assert page['ml_feature_bin_total{feature="station",bin="__other__"}'] == 1
    assert page['ml_feature_unseen_category_total{feature="station"}'] == 1
    assert page['ml_feature_bin_total{feature="temperature",bin="10.0"}'] == 1  # an edge belongs to the bin below
    assert page['ml_feature_bin_total{feature="temperature",bin="__missing__"}'] == 1
    assert page['ml_feature_missing_total{feature="temperature"}'] == 1
    assert page['ml_feature_bin_total{feature="hour",bin="6.0"}'] == 1
    assert page['ml_feature_bin_total{feature="hour",bin="+Inf"}'] == 1
    assert page['ml_feature_bin_total{feature="holiday",bin="true"}'] == 1
    assert page['ml_prediction_bin_total{output="probability",bin="0.25"}'] == 1
    assert page['ml_prediction_bin_total{output="probability",bin="+Inf"}'] == 1
    assert page['ml_feature_reference_ratio{feature="station",bin="south"}'] == 0.3
    assert page["ml_feature_untracked{}"] == 0


def test_every_row_is_counted_once_whatever_the_batches(tmp_path: Path) -> None:
    counters = Metrics(bundles.write(tmp_path), "1")
    for rows in (2, 300, 254, 2):
        columns = feeds(rows)
        columns["temperature"] = np.repeat(columns["temperature"], 2)[::2]  # a view with gaps is a column too
        counters.drift.observe(columns, {"probability": np.full(rows, 0.5, np.float32)}, rows)
    page = exposition(counters)
    for feature in ("station", "temperature", "hour", "holiday"):
        bins = [value for name, value in page.items() if name.startswith(f'ml_feature_bin_total{{feature="{feature}"')]
        assert sum(bins) == 558


def test_predictions_are_counted_in_bins_that_every_version_has(tmp_path: Path) -> None:
    pages = []
    for shift in (0.0, 1.0):
        counters = Metrics(bundles.write(tmp_path, shift=shift), "1")
        counters.drift.observe(feeds(), {"probability": np.array([0.25, 0.97], np.float32)}, 2)
        pages.append(
            {name: n for name, n in exposition(counters).items() if name.startswith("ml_prediction_grid_total")}
        )
    assert pages[0] == pages[1]
    assert pages[0]['ml_prediction_grid_total{output="probability",bin="0.25"}'] == 1
    assert pages[0]['ml_prediction_grid_total{output="probability",bin="+Inf"}'] == 1
    assert sum(pages[0].values()) == 2


def test_a_number_without_a_range_is_counted_by_its_size(tmp_path: Path) -> None:
    counters = Metrics(bundles.write(tmp_path, "regression"), "1")
    counters.drift.observe(feeds(), {"value": np.array([-3.0, 100.0], np.float32)}, 2)
    page = exposition(counters)
    assert page['ml_prediction_grid_total{output="value",bin="-2.0"}'] == 1
    assert page['ml_prediction_grid_total{output="value",bin="128.0"}'] == 1


def test_of_scores_of_classes_the_highest_is_counted(tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path, "multiclass")
    (output,) = bundle.manifest.outputs
    assert output.width == 3
    counters = Metrics(bundle, "1")
    scores = np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2], [0.0, 0.1, 0.9], [np.nan, 0.0, 0.0]], np.float32)
    counters.drift.observe(feeds(), {output.name: scores[:2]}, 2)
    counters.drift.observe(feeds(), {output.name: scores[2:]}, 2)
    names = bundle.manifest.classes or ("0", "1", "2")
    found = {name: count for name, count in exposition(counters).items() if name.startswith("ml_prediction_grid_total")}
    assert found == {
        f'ml_prediction_grid_total{{output="{output.name}",bin="{name}"}}': count
        for name, count in zip((*names, "__missing__"), (1, 0, 2, 1), strict=True)
    }


def test_of_many_classes_the_last_ones_share_a_bin() -> None:
    bins = drift.ClassBins([str(place) for place in range(1000)])
    bins.add(np.eye(1000, dtype=np.float32)[[0, 19, 20, 999]])
    counted = {label: count for label, count in zip(bins.labels, bins.counts.tolist(), strict=True) if count}
    assert counted == {"0": 1, "19": 1, "__other__": 2}
    assert len(bins.labels) == 22


def test_a_tensor_of_many_numbers_has_no_bins_and_does_no_harm(tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path)
    _, *others = bundle.manifest.inputs
    tensor = Input(name="station", dtype="float32", width=3)
    counters = Metrics(replace(bundle, manifest=replace(bundle.manifest, inputs=(tensor, *others))), "1")
    counters.drift.observe(feeds() | {"station": np.ones((2, 3), np.float32)}, {"probability": np.zeros(2)}, 2)
    page = exposition(counters)
    assert page["ml_feature_untracked{}"] == 1
    assert page['ml_feature_bin_total{feature="hour",bin="6.0"}'] == 1
    assert not any("station" in name for name in page)


def test_reference_shares_add_up_to_one(tmp_path: Path) -> None:
    page = exposition(Metrics(bundles.write(tmp_path), "1"))
    for feature in ("station", "temperature", "hour", "holiday"):
        prefix = f'ml_feature_reference_ratio{{feature="{feature}"'
        assert sum(value for name, value in page.items() if name.startswith(prefix)) == pytest.approx(1)


def test_edges_that_are_equal_make_one_bin() -> None:
    bins = drift.NumericBins(NumericProfile(edges=[0.0, 0.0, 0.0, 5.0], counts=[7, 0, 0, 2, 1], missing=0))
    bins.add(np.array([-1.0, 0.0, 3.0, 9.0]))
    assert bins.labels == ["0.0", "5.0", "+Inf", "__missing__"]
    assert bins.counts.tolist() == [2, 1, 1, 0]
    assert bins.reference.tolist() == [0.7, 0.2, 0.1, 0.0]


def test_a_number_that_never_varied_has_one_bin() -> None:
    bins = drift.NumericBins(NumericProfile(edges=[], counts=[9], missing=1))
    bins.add(np.array([1.0, np.nan]))
    assert (bins.labels, bins.counts.tolist()) == (["+Inf", "__missing__"], [1, 1])


def test_rare_categories_share_a_bin() -> None:
    profile = CategoricalProfile(counts={f"c{n}": 100 - n for n in range(50)}, other=5, missing=0)
    column = Input(name="c", dtype="string", categories=tuple(profile.counts))
    bins = drift.CategoricalBins(profile, column)
    bins.add(np.array(["c0", "c49", "new", ""], object))
    assert len(bins.labels) == drift.CATEGORIES + 2
    assert bins.counts.tolist() == [1, *[0] * 19, 2, 1]
    assert bins.unseen == 1  # c49 is rare, but training saw it
    assert bins.reference.sum() == pytest.approx(1)


def test_what_analysis_asks_for_is_there_before_it_happens(tmp_path: Path) -> None:
    """A series that begins at 1 has never increased, as Prometheus sees it."""
    page = exposition(Metrics(bundles.write(tmp_path), "1"))
    for route in ("infer", "invocations"):
        for code in (200, 500, 503, 504):
            assert page[f'ml_inference_requests_total{{route="{route}",code="{code}"}}'] == 0
    assert page['ml_inference_rejected_total{reason="no_finite_answer"}'] == 0


def test_many_features_stay_within_two_thousand_series(tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path)
    edges = [float(n) for n in range(9)]
    names = [f"f{n}" for n in range(300)]
    columns = tuple(Input(name=name, dtype="float32") for name in names)
    profiles = {name: NumericProfile(edges=edges, counts=[1] * 10, missing=0) for name in names}
    wide = replace(
        bundle,
        manifest=replace(bundle.manifest, inputs=columns),
        profile=replace(bundle.profile, inputs=profiles),
    )
    counters = Metrics(wide, "1")
    page = exposition(counters)
    assert 1000 < len(page) < 2000
    assert page["ml_feature_untracked{}"] == 300 - len(counters.drift.features)


def test_a_label_may_hold_any_text(tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path)
    odd = 'a"b\\c\nd'
    profile = replace(bundle.profile, inputs={"station": CategoricalProfile(counts={odd: 1}, other=0, missing=0)})
    page = exposition(Metrics(replace(bundle, profile=profile), "1"))
    assert page[r'ml_feature_bin_total{feature="station",bin="a\"b\\c\nd"}'] == 0


def test_a_histogram_counts_a_bound_below_itself() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    assert (histogram.counts, histogram.total) == ([2, 1, 1], 12.0)


def test_a_call_of_the_model_is_counted_with_its_requests_rows_and_stages(tmp_path: Path) -> None:
    counters = Metrics(bundles.write(tmp_path), "1")
    counters.batch(3, 40, 0.5, 0.25, 0.125)
    counters.batch(1, 1, 0.5, 0.25, 0.125)
    page = exposition(counters)
    assert page['ml_inference_batch_requests_bucket{le="1"}'] == 1
    assert page['ml_inference_batch_requests_bucket{le="4"}'] == 2
    assert page["ml_inference_batch_requests_sum{}"] == 4
    assert page['ml_inference_batch_size_bucket{le="32"}'] == 1
    assert page["ml_inference_batch_size_sum{}"] == 41
    assert page['ml_inference_stage_duration_seconds_sum{stage="decode"}'] == 1.0
    assert page['ml_inference_stage_duration_seconds_sum{stage="encode"}'] == 0.25
    assert page['ml_inference_stage_duration_seconds_count{stage="infer"}'] == 2


def test_what_has_no_name_in_the_metrics_is_counted_as_other(tmp_path: Path) -> None:
    counters = Metrics(bundles.write(tmp_path), "1")
    counters.answered("a new route", 200)
    counters.answered("infer", 299)
    counters.refused("a_new_code")
    assert counters.requests == {("other", 200): 1, ("infer", 0): 1}
    assert counters.rejected == {"other": 1}
    assert exposition(counters)['ml_inference_rejected_total{reason="other"}'] == 1


def test_every_reason_to_refuse_and_every_route_has_a_name_in_the_metrics(root: Path, tmp_path: Path) -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted((root / "serving").rglob("*.py")))
    codes = set(re.findall(r'\bProblem\(\s*\d+,\s*"(\w+)"', sources))
    assert {"invalid_request", "not_ready"} <= codes
    assert codes <= set(vocabulary.CODES), "put them into CODES of serving/metrics/vocabulary.py"
    bundle = bundles.write(tmp_path)
    site = assembly.assemble(arguments().parse_args(["--bundle", str(bundle.path)]), bundle, Turns())
    routes = {route.name for application in (site.clients, site.platform) for route in application.routes.values()}
    assert {"infer", "metrics"} <= routes
    assert routes <= set(vocabulary.ROUTES), "put them into ROUTES of serving/metrics/vocabulary.py"


def count_something(counters: Metrics) -> None:
    """One of everything."""
    counters.answered("infer", 200)
    counters.answered("none", 404)
    counters.refused("not_found")
    counters.duration.observe(0.003)
    counters.batch(2, 2, 0.1, 0.2, 0.3)
    counters.drift.observe(feeds(), {"probability": np.array([0.25, 0.9], np.float32)}, 2)
    counters.drift.count()


def test_several_processes_are_summed_by_summing_their_memories(tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path)
    one, two, both, total = (Metrics(bundle, "1") for _ in range(4))
    parts = []
    for counters, times in ((one, 1), (two, 2), (both, 3)):
        parts.append(memoryview(bytearray(counters.sheet.bytes)))
        counters.sheet.place(parts[-1])
        for _ in range(times):
            count_something(counters)
    for _ in range(2):  # a second look does not count anything twice
        total.sheet.total(parts[:2])
    pages = ({n: v for n, v in exposition(c).items() if not n.startswith("process_")} for c in (total, both))
    assert next(pages) == pytest.approx(next(pages))
    assert total.requests == {("infer", 200): 3, ("none", 404): 3}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_what_a_killed_process_had_counted_is_still_there(tmp_path: Path) -> None:
    counters = Metrics(bundles.write(tmp_path), "1")
    memory = mmap.mmap(-1, counters.sheet.bytes)
    child = os.fork()
    if not child:
        counters.sheet.place(memoryview(memory))
        count_something(counters)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert counters.requests == {}
    counters.sheet.place(memoryview(memory))  # as the next process in its place does: it goes on from there
    count_something(counters)
    assert counters.requests == {("infer", 200): 2, ("none", 404): 2}
    assert counters.duration.total == pytest.approx(0.006)


def test_the_latencies_that_the_budgets_decide_on_are_bounds_of_the_histogram(root: Path) -> None:
    path = root / "conf" / "base" / "budgets.yml"
    names = yaml.safe_load(path.read_text(encoding="utf-8")).get("environments", {})
    for environment in (None, *names):
        service = budgets.load(path, environment).service
        for limit in (service.latency_p50_ms, service.latency_p99_ms):
            assert limit / 1000 in metrics.SECONDS, (
                f"{path}: put {limit / 1000} into SECONDS of serving/metrics/counters.py"
            )
