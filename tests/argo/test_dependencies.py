"""The DAG of the workflow is Kedro's own: one pipeline waits for another exactly when it reads what that one makes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kedro.pipeline import Pipeline, node

from contracts.errors import InputError
from pipelines.argo.dependencies import Crossing, check_persistent, crossings, waits_for
from pipelines.pipeline_registry import DATA, TRAIN, Registry
from tests.argo.pipelines_of import CHAIN, catalog, nothing, pipeline

REGISTRY = Registry()
REGISTERED = {name: REGISTRY[name] for name in (*DATA, *TRAIN) if name in REGISTRY}


@st.composite
def split_pipelines(draw):
    """A random acyclic pipeline, cut into parts such that no two parts wait for each other."""
    size = draw(st.integers(2, 9))
    nodes = []
    for number in range(size):
        earlier = [f"d{other}" for other in range(number)]
        reads = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if earlier else []
        nodes.append(node(nothing, [*reads, "params:x"], f"d{number}", name=f"n{number}"))
    cuts = sorted(draw(st.sets(st.integers(1, size - 1), max_size=5)))
    parts = [nodes[start:end] for start, end in zip([0, *cuts], [*cuts, size], strict=True)]
    shuffled = draw(st.permutations([(f"part{number}", Pipeline(part)) for number, part in enumerate(parts)]))
    return dict(shuffled)


def direct(parts):
    """The definition, by brute force: a -> b iff an output of a is an input of b."""
    return {
        (a, b)
        for a in parts
        for b in parts
        if a != b and {out for n in parts[a].nodes for out in n.outputs} & {i for n in parts[b].nodes for i in n.inputs}
    }


def closure(edges):
    reached = set(edges)
    while more := {(a, d) for a, b in reached for c, d in reached if b == c} - reached:
        reached |= more
    return reached


def edges(waiting):
    return {(maker, name) for name, makers in waiting.items() for maker in makers}


@given(split_pipelines())
@settings(max_examples=60, deadline=None)
def test_who_waits_for_whom_is_what_passes_between_them_and_nothing_else(parts):
    found = edges(waits_for(parts))
    assert found <= direct(parts)
    assert closure(found) == closure(direct(parts))
    assert {(c.maker, c.reader) for c in crossings(parts)} == direct(parts)


@given(split_pipelines())
@settings(max_examples=60, deadline=None)
def test_nobody_waits_for_what_another_already_waits_for(parts):
    found = edges(waits_for(parts))
    for edge in found:
        assert edge not in closure(found - {edge})


@given(split_pipelines())
@settings(max_examples=60, deadline=None)
def test_every_pipeline_comes_after_those_it_waits_for(parts):
    order = list(waits_for(parts))
    assert sorted(order) == sorted(parts)
    assert all(order.index(a) < order.index(b) for a, b in direct(parts))


def test_the_registered_pipelines_wait_for_each_other_as_kedros_nodes_do():
    assert set(REGISTERED) == {*DATA, *TRAIN}
    waiting = waits_for(REGISTERED)
    whole = REGISTRY["__default__"]
    home = {n.name: name for name, part in REGISTERED.items() for n in part.nodes}
    assert {n.name for n in whole.nodes} == set(home), "every node of the default pipeline runs in exactly one pod"
    of_nodes = {(home[a.name], home[b.name]) for b, before in whole.node_dependencies.items() for a in before}
    assert closure(edges(waiting)) == closure({(a, b) for a, b in of_nodes if a != b})


def test_of_two_ways_the_longer_one_is_kept():
    assert waits_for(CHAIN) == {"ingestion": (), "training": ("ingestion",), "report": ("training",)}
    assert crossings(CHAIN) == (
        Crossing("ingestion", "report", "table"),
        Crossing("ingestion", "training", "table"),
        Crossing("training", "report", "metrics"),
    )


def test_pipelines_with_nothing_between_them_run_side_by_side():
    parts = {"a": pipeline("> x"), "b": pipeline("x > y"), "c": pipeline("x > z"), "d": pipeline("y z > w")}
    assert waits_for(parts) == {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


def test_a_transcoded_dataset_is_one_dataset():
    parts = {"a": pipeline("> table@pandas"), "b": pipeline("table@ibis > y")}
    assert waits_for(parts) == {"a": (), "b": ("a",)}


def test_pipelines_that_wait_for_each_other_are_refused_by_name():
    parts = {"a": pipeline("> x", "z > w"), "b": pipeline("x > z")}
    with pytest.raises(InputError, match=r"^pipelines: (a, b|b, a): each waits for what another of them makes; .*$"):
        waits_for(parts)


FILE = {"type": "pipelines.datasets.ParquetTable", "filepath": "data/table.parquet"}


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({}, "is kept in memory"),
        ({"metrics": {"type": "MemoryDataset"}}, "is kept in memory"),
        ({"metrics": {"type": "kedro.io.MemoryDataset", "copy_mode": "assign"}}, "is kept in memory"),
        ({"{name}": {"type": "kedro.io.MemoryDataset"}}, "is kept in memory"),
        ({"metrics": {**FILE, "filepath": "scratch/metrics.parquet"}}, "lies in scratch/metrics.parquet"),
        ({"metrics": {**FILE, "filepath": "/var/metrics.parquet"}}, "lies in /var/metrics.parquet"),
        ({"metrics": {"type": "some.Folder", "path": "data-elsewhere"}}, "lies in data-elsewhere"),
    ],
)
def test_what_passes_between_pods_must_lie_where_both_see_it(entries, reason):
    with pytest.raises(InputError) as refused:
        check_persistent(crossings(CHAIN), catalog(table=FILE, **entries), "data", "conf/argo")
    assert str(refused.value) == (
        f"conf/argo/catalog.yml: metrics: {reason}, but training makes it and report reads it, each in a pod of its own; "
        "give it a place under data/"
    )


@pytest.mark.parametrize(
    "entry",
    [FILE, {"type": "some.Folder", "path": "data"}, {"type": "some.Table", "filepath": "s3://bucket/metrics.parquet"}],
)
def test_a_place_on_the_volume_or_in_an_object_store_will_do(entry):
    check_persistent(crossings(CHAIN), catalog(table=FILE, metrics=entry), "data", "conf/argo")


def test_what_stays_inside_a_pipeline_may_be_in_memory():
    passing = crossings(CHAIN)
    assert {c.dataset for c in passing} == {"table", "metrics"}
    check_persistent(passing, catalog(table=FILE, metrics=FILE, raw={"type": "MemoryDataset"}), "data", "conf/argo")
