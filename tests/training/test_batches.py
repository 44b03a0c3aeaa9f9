import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import dataset as ds

from pipelines.training import batches
from pipelines.training.encoding import Category, Encoding, Number, Target

ENCODING = Encoding(
    categories=(Category(name="c", values=("a", "b"), missing=False),),
    numbers=(Number(name="n", fill=0, mean=0, std=1, low=0, high=1, edges=(0.0, 1.0)),),
    target=Target(task="regression"),
)


def split(folder, rows: int) -> ds.Dataset:
    number = np.arange(rows, dtype=np.float64)
    table = pa.table({"c": np.array(["a", "b"])[np.arange(rows) % 2], "n": number, "label": number})
    pq.write_table(table, folder / f"{rows}.parquet", row_group_size=4096)
    return ds.dataset(folder / f"{rows}.parquet")


def order(data: ds.Dataset, seed: object, rows: int = 1000, buffer: int = 8192) -> list[float]:
    return np.concatenate([part.labels for part in batches.shuffled(data, ENCODING, rows, buffer, seed)]).tolist()


def test_an_epoch_has_every_row_once_in_whole_batches(tmp_path):
    data = split(tmp_path, 30_001)
    sizes = [part.rows for part in batches.shuffled(data, ENCODING, 1000, 8192, 1)]

    assert sizes == [1000] * 30 + [1]
    assert sorted(order(data, 1)) == list(range(30_001))


def test_columns_of_a_row_stay_together(tmp_path):
    for part in batches.shuffled(split(tmp_path, 10_000), ENCODING, 512, 4096, 3):
        np.testing.assert_array_equal(part.numbers[:, 0], part.labels)
        np.testing.assert_array_equal(part.codes[:, 0], 2 + part.labels % 2)


def test_the_seed_alone_decides_the_order(tmp_path):
    data = split(tmp_path, 20_000)

    assert order(data, (7, 1)) == order(data, (7, 1))
    assert order(data, (7, 1)) != order(data, (7, 2))


def test_a_batch_mixes_rows_of_several_row_groups(tmp_path):
    first = order(split(tmp_path, 60_000), 1, buffer=16_384)[:1000]

    assert len({int(number) // 4096 for number in first}) >= 4


@pytest.mark.parametrize("reader", ["shuffled", "ordered"])
def test_memory_does_not_grow_with_rows(tmp_path, reader):
    def peak(rows: int) -> int:
        data = split(tmp_path, rows)
        before = pa.total_allocated_bytes()
        held = 0
        tracemalloc.start()
        stream = (
            batches.shuffled(data, ENCODING, 1000, 8192, 1)
            if reader == "shuffled"
            else batches.ordered(data, ENCODING, 1000)
        )
        for _ in stream:
            held = max(held, pa.total_allocated_bytes() - before)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest + held

    assert peak(400_000) - peak(40_000) < 400_000  # bytes; nine megabytes of columns more


def test_rows_of_a_class_that_training_does_not_know_are_left_out(tmp_path):
    pq.write_table(pa.table({"c": ["a"] * 4, "n": [1.0] * 4, "label": ["x", "y", "z", "x"]}), tmp_path / "t.parquet")
    known = Encoding(
        categories=ENCODING.categories, numbers=ENCODING.numbers, target=Target(task="multiclass", classes=("x", "y"))
    )

    (part,) = batches.shuffled(ds.dataset(tmp_path / "t.parquet"), known, 10, 10, 1)
    assert sorted(part.labels.tolist()) == [0, 0, 1]


def test_the_head_is_the_first_rows(tmp_path):
    assert batches.head(split(tmp_path, 9000), ["label"], 5000)["label"].to_pylist() == list(range(5000))
