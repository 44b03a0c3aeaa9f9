"""A run: Locust in this process, bounded in time, without its web page; gives what was seen."""

import logging
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import gevent
from locust.env import Environment
from locust.html import get_html_report
from locust.stats import stats_history
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from contracts import atomic
from contracts.bundle import Bundle
from loadtests.locustfile import DIGEST, Client, WrongAnswerError
from loadtests.observations import Observations

VERSION = "X-Model-Version"


class Plan(Struct, frozen=True, kw_only=True):
    """How to ask."""

    url: str
    users: int
    seconds: int
    warmup_seconds: int
    rows: int


class Recorder:
    """Keeps what Locust reports of each request from `begin` (seconds since the epoch) on."""

    def __init__(self, begin: float, seconds: int) -> None:
        self.begin = begin
        self.seen = Observations(
            seconds=float(seconds),
            latencies=[],
            per_second=[0] * seconds,
            errors=Counter(),
            wrong=Counter(),
            digests=Counter(),
            versions=Counter(),
            golden=0,
        )

    def __call__(
        self,
        response_time: float,
        response: Any,
        context: dict,
        exception: Exception | None,
        start_time: float,
        **_: Any,
    ) -> None:
        """Locust's `request` event."""
        second = int(start_time + response_time / 1000 - self.begin)
        if start_time < self.begin or second >= len(self.seen.per_second):
            return
        headers = getattr(response, "headers", None) or {}
        if digest := headers.get(DIGEST):
            self.seen.digests[digest] += 1
            self.seen.versions[headers.get(VERSION, "")] += 1
        if exception is not None and not isinstance(exception, WrongAnswerError):
            self.seen.errors[_reason(exception)] += 1
            return
        self.seen.latencies.append(response_time)
        self.seen.per_second[second] += 1
        if exception is None:
            self.seen.golden += context["golden"]
        else:
            self.seen.wrong[str(exception)] += 1


def run(bundle: Bundle, plan: Plan, page: Path) -> Observations:
    """Ask for the time of the plan, and write Locust's own page to `page`."""
    logging.getLogger("locust").setLevel(logging.WARNING)
    os.environ["LOADTEST_BUNDLE"] = str(bundle.path)
    os.environ["LOADTEST_ROWS"] = str(plan.rows)
    environment = Environment(user_classes=[Client], host=plan.url, catch_exceptions=True)
    runner = environment.create_local_runner()
    recorder = Recorder(time.time() + plan.warmup_seconds, plan.seconds)
    environment.events.request.add_listener(recorder)
    history = gevent.spawn(stats_history, runner)
    runner.start(plan.users, spawn_rate=plan.users)
    try:
        _watch(recorder, plan)
    finally:
        runner.quit()
        history.kill()
    if runner.exceptions:
        first = next(iter(runner.exceptions.values()))
        raise RuntimeError(f"the clients failed, not the server: {first['msg']}\n{first['traceback']}")
    atomic.write_text(page, get_html_report(environment, show_download_link=False))
    return recorder.seen


def _watch(recorder: Recorder, plan: Plan) -> None:
    """Wait until the time is over, with one line that moves on a terminal."""
    console = Console(stderr=True)
    end = recorder.begin + plan.seconds
    columns = (TextColumn("load test"), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("warming up", total=plan.warmup_seconds + plan.seconds)
        while (left := end - time.time()) > 0:
            gevent.sleep(min(left, 0.5))
            if recorder.seen.requests:
                done = max(time.time() - recorder.begin, 0.1)
                rate = len(recorder.seen.latencies) / done
                failed = recorder.seen.errors.total() + recorder.seen.wrong.total()
                progress.update(task, description=f"{rate:,.0f} answers/s, {failed} failed")
            progress.update(task, completed=plan.warmup_seconds + plan.seconds - left)


def _reason(exception: Exception) -> str:
    """What failed, without addresses and numbers that would make a hundred reasons of one."""
    text = str(exception) or type(exception).__name__
    return text if text.startswith("status ") else type(exception).__name__
