"""What the gates' tests share: the tiny bundle and clean splits that it predicts well."""

import pyarrow as pa
import pytest
from pyarrow import dataset as ds

from contracts.bundle import Bundle
from pipelines.validation import window
from pipelines.validation.parameters import Parameters
from pipelines.validation.window import Window
from tests import bundles
from tests.validation import station


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def splits(model: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ds.Dataset]:
    return station.splits(model, tmp_path_factory.mktemp("splits"))


@pytest.fixture(scope="session")
def test_rows(splits: dict[str, ds.Dataset]) -> pa.Table:
    return splits["test"].to_table()


@pytest.fixture(scope="session")
def train_rows(splits: dict[str, ds.Dataset]) -> pa.Table:
    return splits["train"].to_table()


@pytest.fixture(scope="session")
def predicted(model: Bundle, splits: dict[str, ds.Dataset]) -> Window:
    return window.predict(splits["test"], {"candidate": model}, 4096)


@pytest.fixture(scope="session")
def parameters() -> Parameters:
    return station.parameters()
