import ibis
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from contracts.errors import InputError
from pipelines.training import splits
from pipelines.training.datasets import SplitFiles
from pipelines.training.splits import Plan
from tests.training import small

DAY = np.timedelta64(1, "D")


def arranged(table=None, **changes):
    parameters = small.parameters(**changes)
    rows = splits.assign(ibis.memtable(small.feature_table()) if table is None else table, parameters)
    return {name: part.to_pyarrow() for name, part in splits.arrange(rows, ["id"], parameters.seed).items()}


def files(folder) -> SplitFiles:
    return SplitFiles(path=str(folder), connection={"backend": "duckdb", "database": ":memory:"})


def plan(inputs_hash: str, **changes) -> Plan:
    parameters = small.parameters(**changes)
    rows = splits.assign(ibis.memtable(small.feature_table()), parameters)
    return Plan(splits.arrange(rows, ["id"], parameters.seed), inputs_hash)


def test_a_row_trains_only_if_its_label_was_known_by_then():
    parts = arranged()
    train_until = np.datetime64("2024-03-15")

    assert max(parts["train"]["label_known_at"].to_numpy()) < train_until
    assert max(parts["validation"]["label_known_at"].to_numpy()) < train_until
    assert min(parts["test"]["prediction_time"].to_numpy()) >= train_until
    assert max(parts["test"]["prediction_time"].to_numpy()) < np.datetime64("2024-04-09")


def test_validation_takes_every_fifth_day_and_whole():
    parts = arranged()
    train, validation = (
        set(parts[name]["prediction_time"].to_numpy().astype("datetime64[D]")) for name in ("train", "validation")
    )

    assert not train & validation
    assert {int(day.astype(np.int64)) % 5 for day in validation} == {0}
    assert min(np.diff(sorted(validation))) == 5 * DAY


def test_rows_without_a_label_are_in_no_split():
    parts = arranged()

    assert small.feature_table()["label"].null_count > 0
    assert sum(part["label"].null_count for part in parts.values()) == 0


def test_training_rows_lie_shuffled_in_an_order_that_threads_and_the_table_do_not_change(tmp_path):
    table = small.feature_table()
    pq.write_table(table, tmp_path / "one.parquet")
    pq.write_table(table.take(np.arange(table.num_rows)[::-1]), tmp_path / "other.parquet", row_group_size=100)
    one, many = (ibis.duckdb.connect(threads=threads) for threads in (1, 4))
    first = arranged(one.read_parquet(tmp_path / "one.parquet"))["train"]["id"].to_pylist()

    assert first == arranged(many.read_parquet(tmp_path / "other.parquet"))["train"]["id"].to_pylist()
    assert abs(np.corrcoef(np.arange(len(first)), first)[0, 1]) < 0.1
    assert first != arranged(seed=8)["train"]["id"].to_pylist()


def test_the_other_splits_lie_in_the_order_of_time():
    for name in ("validation", "test"):
        times = arranged()[name]["prediction_time"].to_numpy()
        assert (np.diff(times) >= np.timedelta64(0)).all()


def test_splits_of_the_same_inputs_are_not_written_again(tmp_path):
    dataset = files(tmp_path)
    dataset.save(plan("a" * 64))
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}

    dataset.save(plan("a" * 64))
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before

    dataset.save(plan("b" * 64, seed=8))
    assert dataset.load().inputs_hash == "b" * 64
    assert all(file.stat().st_mtime_ns != before[file.name] for file in tmp_path.iterdir())


@pytest.mark.parametrize("harm", ["no note", "shorter file", "no file", "no folder"])
def test_splits_that_a_killed_run_left_are_refused_and_written_anew(tmp_path, harm):
    dataset = files(tmp_path / "splits")
    dataset.save(plan("a" * 64))
    whole = dataset.load()["train"].count_rows()
    train = tmp_path / "splits" / "train.parquet"
    if harm == "no note":
        (tmp_path / "splits" / "splits.json").unlink()
    elif harm == "shorter file":
        train.write_bytes(train.read_bytes()[:-100])
    elif harm == "no file":
        train.unlink()
    else:
        dataset = files(tmp_path / "elsewhere")

    with pytest.raises(DatasetError, match="not there, or not whole; run it again") as refused:
        dataset.load()
    assert isinstance(refused.value.__cause__, InputError)
    dataset.save(plan("a" * 64))
    assert dataset.load()["train"].count_rows() == whole


def test_parameters_that_leave_no_days_to_test_on_are_one_line():
    with pytest.raises(InputError, match=r"training.test_until: 2024-01-01 is not after train_until") as refused:
        small.parameters(test_until="2024-01-01")
    assert "\n" not in str(refused.value)


def test_a_label_that_came_too_late_to_train_on_is_not_tested_on_either():
    table = small.feature_table()
    parts = arranged()
    taken = pc.is_in(table["id"], value_set=pc.cast(parts["train"]["id"], "int64"))
    between = pc.and_(
        pc.greater_equal(table["label_known_at"], np.datetime64("2024-03-15", "us")),
        pc.less(table["prediction_time"], np.datetime64("2024-03-15", "us")),
    )

    assert pc.sum(between).as_py() > 0
    assert not pc.any(pc.and_(taken, between)).as_py()
    assert not set(table.filter(between)["id"].to_pylist()) & set(parts["test"]["id"].to_pylist())
