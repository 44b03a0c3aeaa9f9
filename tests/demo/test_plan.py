"""The demo's own configuration is refused in one line when it is wrong."""

from pathlib import Path

import pytest

from contracts.errors import InputError
from demo import plan

GOOD = """
first: {name: early, train_until: "2020-01-01", test_until: "2020-02-01"}
second: {name: late, train_until: "2020-02-01", test_until: "2020-03-01"}
fault: {table: visits, columns: [stayed]}
"""


def test_a_plan_names_the_months_as_training_parameters(tmp_path: Path) -> None:
    (tmp_path / "demo.yml").write_text(GOOD)
    first = plan.load(tmp_path / "demo.yml").first
    assert first.parameters == "training.train_until=2020-01-01,training.test_until=2020-02-01"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (GOOD.replace("fault", "failure"), "failure"),
        (GOOD.replace('"2020-01-01"', "7"), "first.train_until"),
        ("first: [", "demo.yml"),
    ],
)
def test_a_wrong_plan_is_refused_with_file_and_key(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "demo.yml").write_text(text)
    with pytest.raises(InputError, match=named) as refused:
        plan.load(tmp_path / "demo.yml")
    assert "\n" not in str(refused.value)
    assert "demo.yml" in str(refused.value)


def test_a_missing_plan_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yml"):
        plan.load(tmp_path / "nowhere.yml")


def test_the_plan_of_this_repository_is_sound(root: Path) -> None:
    story = plan.load(root / "conf/base/demo.yml")
    assert story.first.train_until < story.second.train_until
