"""The stand-in as a process of its own."""

import os
import signal
import subprocess
import sys

from tests.github.test_stand_in import Client


class Place:
    def __init__(self, url, full_name):
        self.url, self.full_name = url, full_name


def test_it_says_where_it_listens_and_what_it_was_asked(origin, root):
    command = [sys.executable, "-m", "tests.github.serve", str(origin), "--repository", "a/b", "--check", "gate"]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        said = dict(word.split("=", 1) for word in process.stdout.readline().split()[1:])
        ask = Client(Place(said["GITHUB_API_URL"], said["GITHUB_REPOSITORY"]), said["GITHUB_TOKEN"])
        assert ask("GET", "/branches/main")[1]["protected"] is True
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert output.splitlines() == ["200 GET /repos/a/b/branches/main", "all as GitHub describes it"]
    assert process.returncode == 0
