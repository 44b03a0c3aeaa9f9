"""The fixed point: under its own names the reference comes out as it is; under others nothing of them is left."""

import tomllib

import pytest

from tests.template.trees import OTHER, OVERLAY, TOKENS, files, live


def test_with_the_default_answers_every_live_file_comes_out_byte_for_byte(generate, template):
    generated = generate()
    assert generated.name == "late-arrivals"
    expected = {path: (template / path).read_bytes() for path in live(template)}
    assert files(generated) == {**expected, **files(template / OVERLAY)}


def test_a_script_stays_executable(generate, template):
    generated = generate()
    modes = {path: ((template / path).stat().st_mode, (generated / path).stat().st_mode) for path in live(template)}
    assert [path for path, (before, after) in modes.items() if before != after] == []


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Churn Risk", "churn-risk"),
        ("Köln Ärger", "koln-arger"),
        ("a", "a"),
        ("Überlange Bezeichnung (EU) für ein Modell 2.0 mit Zusätzen", "uberlange-bezeichnung-eu-fur-ein-modell"),
    ],
)
def test_with_another_name_no_token_of_the_reference_is_left(generate, template, name, slug):
    generated = generate(**{**OTHER, "model_name": name, "repo_slug": slug})
    assert generated.name == slug
    found = files(generated)
    assert len(found) == len(live(template)) + len(files(template / OVERLAY))
    left = [(p, token) for p, content in found.items() for token in TOKENS if token in p or token.encode() in content]
    assert left == []
    assert name in found["README.md"].decode()
    assert OTHER["image"].encode() in b"".join(found.values())


def test_what_is_not_answered_follows_from_the_name(generate):
    generated = generate(model_name="Köln Ärger", github_owner="Example-Bank")
    readme = (generated / "README.md").read_text()
    assert generated.name == "koln-arger"
    assert "# Köln Ärger" in readme
    assert "@Example-Bank/" in readme
    every = b"".join(files(generated).values())
    assert b"ghcr.io/example-bank/koln-arger" in every, "registries know no upper-case names"


def test_an_answer_that_holds_another_token_is_not_replaced_again(generate):
    generated = generate(**{**OTHER, "model_name": "Late Arrivals 2", "owner_team": "late-arrivals"})
    assert "# Late Arrivals 2\n" in (generated / "README.md").read_text()
    assert "@Example-Bank/late-arrivals" in (generated / "README.md").read_text()


def test_the_generated_names_are_the_only_ones_in_the_projects_settings(generate):
    settings = tomllib.loads((generate(**OTHER) / "pyproject.toml").read_text())
    assert settings["project"]["name"] == OTHER["repo_slug"]
    assert settings["tool"]["kedro"]["project_name"] == OTHER["model_name"]
    assert settings["tool"]["kedro"]["package_name"] == "pipelines"
