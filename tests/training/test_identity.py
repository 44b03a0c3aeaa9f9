import ibis
import msgspec
import numpy as np
import pyarrow as pa
import pytest

from contracts.errors import InputError
from pipelines.training import identity, nodes, splits
from tests.training import small


def hashed(rows: dict[str, list]) -> str:
    return identity.hash_rows(ibis.memtable(pa.table(rows)))


def identified(table: pa.Table, code=small.CODE, requirements=b"torch==2\n", **changes):
    parameters = small.parameters(**changes)
    budgets = small.budgets.load("conf/base/budgets.yml")
    files = {"requirements/train.txt": requirements}
    return nodes.identify(ibis.memtable(table), small.schema(), budgets, code, files, parameters, small.PACKAGING)


def test_the_order_of_rows_and_columns_does_not_change_the_data_hash():
    table = small.feature_table()
    shuffled = table.take(np.random.default_rng(0).permutation(table.num_rows)).select(table.column_names[::-1])

    assert identity.hash_rows(ibis.memtable(table)) == identity.hash_rows(ibis.memtable(shuffled))


@pytest.mark.parametrize(
    "other",
    [
        {"a": ["x", ""], "b": [1.0, 2.0]},  # empty is not missing
        {"a": ["x", None], "b": [1.0, 2.0000000000000004]},
        {"a": [None, "x"], "b": [1.0, 2.0]},
        {"a": ["x", None, None], "b": [1.0, 2.0, 2.0]},  # a row twice
        {"a": ["x", None], "b": [1, 2]},  # another type
        {"a": ["x", None], "c": [1.0, 2.0]},
    ],
)
def test_other_data_have_another_hash(other):
    assert hashed({"a": ["x", None], "b": [1.0, 2.0]}) != hashed(other)


def test_values_that_read_the_same_side_by_side_have_another_hash():
    assert hashed({"a": ["ab"], "b": ["c"]}) != hashed({"a": ["a"], "b": ["bc"]})
    assert hashed({"a": ["1:x"], "b": [""]}) != hashed({"a": [""], "b": ["1:x"]})


def test_data_parameters_code_and_requirements_each_make_another_inputs_hash():
    table = small.feature_table()
    later = table.set_column(table.column_names.index("price"), "price", pa.array(np.ones(table.num_rows)))
    first = identified(table)
    others = [
        identified(later),
        identified(table, seed=8),
        identified(table, network={"dropout": 0.2}),
        identified(table, code={"pipelines/x.py": b"x = 2\n"}),
        identified(table, code={"pipelines/y.py": b"x = 1\n"}),
        identified(table, requirements=b"torch==3\n"),
    ]

    assert first == identified(table)
    assert len({first.inputs_hash, *(other.inputs_hash for other in others)}) == len(others) + 1


def test_rows_that_no_split_takes_do_not_change_the_inputs_hash():
    table = small.feature_table()
    until = small.START.astype("datetime64[D]") + 99
    late = table.filter(pa.compute.less(table["prediction_time"], pa.scalar(until.astype("datetime64[us]"))))

    assert late.num_rows < table.num_rows
    assert identified(late).inputs_hash == identified(table).inputs_hash


def test_the_data_window_is_that_of_the_rows_that_train_or_validate():
    found = identified(small.feature_table())

    assert found.data_from == "2024-01-01T00:00:00Z"
    assert "2024-03-14T12:00:00Z" < found.data_until < "2024-03-15T00:00:00Z"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_until": "2023-12-01"}, "no row is left for train (train_until 2023-12-01"),
        ({"train_until": "2024-03-01", "validation_every_days": 30_000}, "no row is left for validation"),
        ({"train_until": "2030-01-01", "test_until": "2030-02-01"}, "no row is left for test"),
    ],
)
def test_a_split_without_a_row_is_one_line_that_says_what_to_change(changes, words):
    with pytest.raises(InputError) as refused:
        splits.survey(
            splits.assign(ibis.memtable(small.feature_table()), small.parameters(**changes)),
            small.parameters(**changes),
        )

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_things_of_two_runs_are_not_mixed():
    one, other = identified(small.feature_table()), identified(small.feature_table(), seed=9)

    class Made(msgspec.Struct):
        inputs_hash: str

    identity.require_same(one, model=Made(one.inputs_hash))
    with pytest.raises(InputError, match=r"model: inputs_hash: is .* run it again"):
        identity.require_same(one, model=Made(other.inputs_hash))
