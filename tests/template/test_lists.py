"""Every tracked file is in exactly one of three lists, so that a forgotten folder is seen."""

from pathlib import PurePosixPath

import pytest

from tests.template.trees import OVERLAY, ROOT, SPEC, TOKENS, live, owners, tracked


def test_every_tracked_file_is_live_or_overlay_or_template_only():
    assert [(path, owners(path)) for path in tracked(ROOT) if len(owners(path)) != 1] == []


@pytest.mark.parametrize("entry", [*SPEC["_live"], *SPEC["_template_only"], OVERLAY])
def test_every_entry_of_the_lists_names_something(entry):
    assert any(PurePosixPath(path).is_relative_to(entry) for path in tracked(ROOT))


def test_no_file_is_both_live_and_in_the_overlay():
    overlay = {str(PurePosixPath(path).relative_to(OVERLAY)) for path in tracked(ROOT) if owners(path) == ["overlay"]}
    assert overlay.isdisjoint(live(ROOT))


def test_there_are_no_symbolic_links():
    assert [path for path in tracked(ROOT) if (ROOT / path).is_symlink()] == []


def test_no_live_python_file_holds_the_identity():
    """Code takes names from the configuration: one of another length would be formatted in another way."""
    python = [path for path in live(ROOT) if path.endswith(".py")]
    assert [path for path in python for token in TOKENS if token in (ROOT / path).read_text(encoding="utf-8")] == []


def test_at_most_six_questions_are_asked_and_each_says_what_it_is():
    questions = [key for key in SPEC if not key.startswith("_")]
    assert len(questions) <= 6
    assert list(SPEC["__prompts__"]) == questions == list(SPEC["_reference"])


def test_the_identity_is_written_in_no_other_spelling():
    """The generator knows exact tokens only: `late_arrivals` or `LateArrivals` would survive it."""
    slug = SPEC["_reference"]["repo_slug"]
    words = slug.split("-")
    spellings = ["_".join(words), "".join(word.title() for word in words), "_".join(words).upper(), "".join(words)]
    found = [
        (path, spelling)
        for path in live(ROOT)
        for spelling in spellings
        if spelling.encode() in (ROOT / path).read_bytes() or spelling in path
    ]
    assert found == []
