"""Asks a guard, and waits for what happens beside it."""

import time
from collections.abc import Callable

from serving.exchange import Problem
from serving.security.guard import Guard


def ask(guard: Guard, scope: str = "predict", **headers: bytes) -> Problem | None:
    """What the guard says to `authorization=…` or `x_api_key=…`: None when it lets pass."""
    try:
        guard.check({name.replace("_", "-").encode(): value for name, value in headers.items()}, scope)
    except Problem as problem:
        return problem
    return None


def bearer(guard: Guard, credential: bytes, scope: str = "predict") -> tuple[int, str]:
    """Status and detail for a bearer credential; 200 when it passes."""
    problem = ask(guard, scope, authorization=b"Bearer " + credential)
    return (problem.status, problem.detail) if problem else (200, "")


def header(problem: Problem, name: bytes) -> bytes:
    return dict(problem.headers)[name]


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it comes to hold; looks every few milliseconds."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
