"""The broken delivery keeps every value and ties none of them to its row."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from demo.fault import rotate

distinct_with_gaps = st.lists(
    st.none() | st.integers(-1000, 1000), max_size=40, unique_by=lambda value: value or object()
)


@given(distinct_with_gaps)
def test_rotating_a_column_keeps_its_values_and_its_gaps(values: list[int | None]) -> None:
    rotated = rotate(pa.array(values, pa.int64())).to_pylist()
    assert sorted(v for v in rotated if v is not None) == sorted(v for v in values if v is not None)
    assert [v is None for v in rotated] == [v is None for v in values]


@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=40, unique=True))
def test_no_value_stays_on_its_row(values: list[int]) -> None:
    rotated = rotate(pa.array(values, pa.int64())).to_pylist()
    assert all(before != after for before, after in zip(values, rotated, strict=True))
