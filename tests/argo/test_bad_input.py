"""What a person got wrong in conf/argo is one line, and nothing is written."""

import shutil
from pathlib import Path

import pytest

from contracts.errors import InputError
from pipelines.argo.__main__ import compiled, main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def conf(tmp_path):
    shutil.copytree(ROOT / "conf", tmp_path / "conf", ignore=shutil.ignore_patterns("local"))
    return tmp_path / "conf"


def refusal(conf):
    with pytest.raises(InputError) as refused:
        compiled(conf)
    line = str(refused.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("format: 1", "format: 9", "workflow.yml: format: is 9, this version reads 1; correct it there"),
        ("  limit: 2", "  limit: 0", "workflow.yml: retry.limit: Expected `int` >= 1"),
        ("  limit: 2", "  limits: 2", "workflow.yml: retry: Object contains unknown field `limits`"),
        ("memory: 4Gi", "memory: plenty", "workflow.yml: pods.usual.memory: Expected `str` matching regex"),
        ("    training:", "    trainings:", "workflow.yml: pods.differing.trainings: no such pipeline; known: "),
        ("format: 1", "format: [1", "workflow.yml: is not YAML"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(conf, before, after, line):
    settings = conf / "argo" / "workflow.yml"
    text = settings.read_text()
    assert before in text
    settings.write_text(text.replace(before, after, 1))
    assert line in refusal(conf)


def test_missing_settings_are_said_to_be_missing(conf):
    (conf / "argo" / "workflow.yml").unlink()
    assert refusal(conf) == (
        f"{conf}/argo/workflow.yml: No such file or directory; it says what a cluster gives the pipelines"
    )


def test_a_dataset_in_memory_between_two_pods_is_one_line_and_nothing_is_written(conf, capsys):
    (conf / "argo" / "catalog.yml").write_text("feature_table: {type: kedro.io.MemoryDataset}\n")
    assert main(["--conf-source", str(conf), "--output", str(conf.parent / "out")]) == 2
    assert capsys.readouterr().err.splitlines() == [refusal(conf)]
    assert refusal(conf).startswith(
        f"{conf}/argo/catalog.yml: feature_table: is kept in memory, but features makes it and"
    )
    assert not (conf.parent / "out").exists()
