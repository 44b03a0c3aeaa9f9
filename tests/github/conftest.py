from tests.github.fixtures import github, origin  # noqa: F401
