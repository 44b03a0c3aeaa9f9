from pathlib import Path

import pytest

from contracts.errors import InputError
from pipelines import parameters
from pipelines.features.parameters import Parameters


def test_parameters_become_the_struct_of_their_pipeline() -> None:
    assert parameters.convert({"part": "7d"}, Parameters, "parameters_features.yml") == Parameters(part="7d")


def test_a_misspelt_parameter_names_file_key_and_what_there_is() -> None:
    with pytest.raises(InputError) as refused:
        parameters.convert({"part": "7d", "parts": 3}, Parameters, "conf/base/parameters_features.yml", "features")
    expected = "conf/base/parameters_features.yml: features: Object contains unknown field `parts`; known here: part"
    assert str(refused.value) == expected


def test_parameters_of_no_pipeline_are_refused() -> None:
    with pytest.raises(InputError, match=r"^parameters: fetaures: no pipeline has such parameters; known: .*features"):
        parameters.typed({"fetaures": {"part": "7d"}})


def test_every_parameters_file_has_its_struct(root: Path) -> None:
    files = {file.stem.removeprefix("parameters_") for file in (root / "conf/base").glob("parameters_*.yml")}
    assert files == set(parameters.types())
