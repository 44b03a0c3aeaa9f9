import shutil

import pytest

from bench.monitoring import rendered
from tests.gitops.manifests import ENVIRONMENTS

COMES_WITH = {"promtool": "Prometheus", "prometheus": "Prometheus", "amtool": "Alertmanager"}


@pytest.fixture(scope="session")
def needs():
    """Skip, in one line, where a program is missing."""

    def needs(program):
        if not shutil.which(program):
            pytest.skip(f"{program} is not on PATH; it comes with {COMES_WITH[program]} 3: not run")

    return needs


@pytest.fixture(scope="session")
def production():
    """What is rendered for production."""
    return rendered.read("production")


@pytest.fixture(scope="session", params=ENVIRONMENTS)
def seen(request):
    """What is rendered, for each environment."""
    return rendered.read(request.param)
