import numpy as np
import pyarrow as pa
import pytest

from contracts.errors import InputError
from pipelines.training import encoder, encoding
from pipelines.training.encoding import Target
from tests.training import small

HOW = small.parameters().encoding


def learned(columns: dict[str, pa.Array], **changes):
    return encoder.learn(
        pa.table(columns), list(columns), Target(task="binary"), small.parameters(encoding=changes).encoding
    )


def test_a_category_keeps_its_frequent_values_by_frequency_then_by_name():
    column = ["b"] * 9 + ["a"] * 9 + ["c"] * 20 + ["rare"] * 2 + [None] * 5 + [""]
    (category,) = learned({"x": pa.array(column)}).categories

    assert category.values == ("c", "a", "b")
    assert category.missing


def test_only_so_many_categories_are_kept():
    column = [f"{number:03}" for number in range(100) for _ in range(10 + number % 3)]
    (category,) = learned({"x": pa.array(column)}, most_categories=7).categories

    assert len(category.values) == 7


def test_unknown_and_missing_values_have_codes_of_their_own():
    made = learned({"x": pa.array(["a"] * 9 + [None] * 9), "n": pa.array([1] * 9 + [2] * 9)})
    asked = pa.table({"x": ["a", "z", None, ""], "n": pa.array([1, 7, 2, 1])})

    assert encoding.codes(asked, made).tolist() == [[2, 2], [1, 1], [0, 3], [0, 2]]


def test_missing_where_training_never_saw_it_counts_as_unknown():
    made = learned({"x": pa.array(["a"] * 9)})

    assert encoding.codes(pa.table({"x": pa.array([None, ""], pa.string())}), made).tolist() == [[1], [1]]


def test_integers_of_few_values_are_categories_and_numbers_of_many_only_numbers():
    made = learned({"few": pa.array(list(range(5)) * 10), "many": pa.array(range(50))})

    assert [category.name for category in made.categories] == ["few"]
    assert [number.name for number in made.numbers] == ["few", "many"]


def test_numbers_are_float32_with_nan_for_missing_and_booleans_are_zero_and_one():
    made = learned({"n": pa.array([1.5, None, 3.0]), "b": pa.array([True, False, None])})
    found = encoding.numbers(pa.table({"n": pa.array([0.1, None]), "b": pa.array([None, True])}), made)

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([[0.1, np.nan], [np.nan, 1]], np.float32))


def test_bin_edges_never_lie_so_close_that_a_slope_is_infinite():
    values = np.concatenate([np.ones(500), 1 + np.arange(500) * 1e-9, [1e6]])
    (number,) = learned({"n": pa.array(values)}).numbers

    assert np.all(np.isfinite(1 / np.diff(np.array(number.edges, np.float32))))


def test_a_constant_column_has_no_bins_and_no_infinite_scale():
    (number,) = learned({"n": pa.array([3.0] * 20)}).numbers

    assert (number.std, number.low, number.high, number.edges) == (1.0, 3.0, 3.0, (3.0,))


@pytest.mark.parametrize(
    "column", [pa.array([None] * 9, pa.float64()), pa.array([np.inf] * 9), pa.array([None] * 9, pa.string())]
)
def test_a_column_without_a_value_is_one_line_that_names_it(column):
    with pytest.raises(InputError, match="training: n: has no") as refused:
        learned({"n": column})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("task", "label", "words"),
    [
        ("binary", [1, 1, 1], "label: has 1 distinct value"),
        ("binary", [0, 1, 2], "a binary task needs 0 and 1"),
        ("regression", [2.5, 2.5], "label: has 1 distinct value"),
        ("multiclass", ["a", None], "label: has 1 distinct value"),
    ],
)
def test_a_label_that_teaches_nothing_is_one_line(task, label, words):
    with pytest.raises(InputError, match=words):
        encoder.target(pa.table({"label": label}), task)


def test_classes_are_in_the_order_of_their_names_and_others_have_no_number():
    target = encoder.target(pa.table({"label": ["b", "a", "b", "c"]}), "multiclass")

    assert target.classes == ("a", "b", "c")
    assert encoding.labels(pa.table({"label": ["c", "zz", "a"]}), target).tolist() == [2, -1, 0]
