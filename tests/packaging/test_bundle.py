import json

import numpy as np
import pyarrow as pa
import pytest
from kedro.io import DataCatalog

from contracts import bundle as bundles
from contracts.bundle import CategoricalProfile, NumericProfile
from pipelines.packaging import profile
from serving.runtime import Model as Runtime
from tests.training import small


@pytest.fixture(scope="module", params=small.TASKS)
def made(request) -> DataCatalog:
    return small.finished(request.param).catalog


def test_the_golden_rows_are_reproduced_and_hold_what_is_missing_and_unseen(made):
    bundle = made.load("bundle")
    golden = bundle.golden

    assert Runtime(bundle).verify_golden() <= golden.absolute_tolerance
    assert {len(values) for values in golden.inputs.values()} == {small.PACKAGING["golden_rows"]}
    for column in bundle.manifest.inputs:
        if column.nullable:
            assert golden.inputs[column.name][-2] is None
        if column.dtype == "string":
            assert golden.inputs[column.name][-1] not in (None, *column.categories)


def test_golden_answers_that_move_are_noticed(made, tmp_path):
    bundle = made.load("bundle")
    output = bundle.manifest.outputs[0].name
    moved = json.loads((bundle.path / "golden.json").read_text())
    moved["outputs"][output][3] = (
        np.asarray(moved["outputs"][output][3]) + 10 * moved["absolute_tolerance"] + 1e-3
    ).tolist()
    for file in bundle.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "golden.json").write_text(json.dumps(moved))

    with pytest.raises(bundles.BundleError, match="row 3 differs"):
        Runtime(bundles.load(tmp_path)).verify_golden()


def test_the_manifest_says_what_training_saw(made):
    manifest = made.load("bundle").manifest
    columns = {column.name: column for column in manifest.inputs}

    assert columns["town"].categories[0] == "Ahl"  # the most frequent
    assert (columns["shelves"].minimum, columns["shelves"].maximum) == (1, 11)
    assert manifest.outputs[0].width == (3 if manifest.task == "multiclass" else 1)
    assert manifest.classes == (("high", "low", "middle") if manifest.task == "multiclass" else ())
    assert (manifest.decision_threshold is None) == (manifest.task != "binary")


def test_every_row_of_the_profile_is_in_a_bin_or_missing(made):
    found = made.load("bundle").profile
    rows = made.load("splits")["train"].count_rows()

    assert found.rows == rows
    for name, column in found.inputs.items():
        counts = column.counts if isinstance(column, NumericProfile) else [*column.counts.values(), column.other]
        assert sum(counts) + column.missing == rows, name
        if isinstance(column, NumericProfile):
            assert len(column.counts) == len(column.edges) + 1
            assert sorted(set(column.edges)) == column.edges
    for column in found.predictions.values():
        assert min(column.counts) > 0.15 * rows  # five bins of about equal count
    assert set(found.predictions) == ({"probability", "value"} & {made.load("bundle").manifest.outputs[0].name})


def test_a_profile_of_a_category_names_the_frequent_values_only():
    column = pa.chunked_array([["b", "a", "b", None, "c", "d", "", "b"]])

    assert profile.categorical(column, 2) == CategoricalProfile(counts={"b": 3, "a": 1}, other=2, missing=2)


def test_a_profile_of_numbers_puts_a_value_on_an_edge_into_the_bin_below():
    found = profile.numeric(np.array([1, 1, 1, 2, 3, 4, 5, 6, 7, np.nan, np.inf], np.float32), 4)

    assert found.missing == 1
    assert sum(found.counts) == 10
    assert found.edges[0] == 1.0
    assert found.counts[0] == 3
    assert (found.minimum, found.maximum) == (1, 7)


def test_the_model_card_says_what_it_is_for_what_it_is_worth_and_how_to_go_back(made):
    bundle, found = made.load("bundle"), made.load("evaluation")
    card = (bundle.path / "MODEL_CARD.md").read_text()
    identity = made.load("training_identity")
    first = found.models["mlp"][found.metric]

    for words in (
        "Owner: shop-team",
        "make rollback ENV=production",
        f"{first.value:.4f} [{first.lower:.4f}, {first.upper:.4f}]",
        "gradient boosting",
        "ridge regression" if found.task == "regression" else "logistic regression",
        identity.data_from,
        identity.inputs_hash,
        f"seed {identity.seed}",
        "| town | Ahl |",
        "Every row has one.",
    ):
        assert words in card
    assert str(bundle.path.parent) not in card


def test_provenance_names_everything_that_decided_the_bundle(made):
    bundle, identity = made.load("bundle"), made.load("training_identity")

    for name in ("inputs_hash", "data_hash", "parameters_hash", "code_hash", "requirements_hash", "seed", "data_from"):
        assert getattr(bundle.provenance, name) == getattr(identity, name)
    assert bundle.provenance.device == "cpu"
    assert bundle.provenance.version == ""
