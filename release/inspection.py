"""The commands that change nothing: they look, and say."""

import argparse
import datetime as dt
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from contracts.checks import Check
from contracts.errors import InputError
from release import annotations, check, doctor, dora, forges, running, status, summary
from release.github import doctor as github_doctor
from release.oci import Layout

NO = 1


def show(options: argparse.Namespace) -> int:
    """What an environment runs, as git has it."""
    git, forge = forges.chosen(options)
    found = running.running(git, forge.tip(), options.environment, forge.target, _layout(options))
    if options.json:
        return _json(found)
    rows = msgspec.structs.asdict(found)
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        print(f"{name.replace('_', ' '):{width}}  {value or '-'}")
    return 0


def statuses(options: argparse.Namespace) -> int:
    """What runs where, since when, who let it in, on which gates."""
    git, forge = forges.chosen(options)
    layout = _layout(options)
    if options.environment:
        found = status.status(git, forge, options.environment, layout)
        return _json(found) if options.json else _print(status.details(found))
    everything = status.everywhere(git, forge, layout)
    return _json(everything) if options.json else _print(status.text(everything))


def changes(options: argparse.Namespace) -> int:
    """All that an environment ran."""
    git, forge = forges.chosen(options)
    found = status.changes(git, forge, options.environment)
    if options.json:
        return _json(found)
    return _print(status.changes_text(found) if found else f"{options.environment}: nothing was ever released")


def figures(options: argparse.Namespace) -> int:
    """DORA's four figures."""
    git, forge = forges.chosen(options)
    names = [options.environment] if options.environment else status.in_order(git)
    if options.days <= 0:
        raise InputError(f"--days: is {options.days:g}; more than 0 are needed to count in")
    found = [dora.measure(git, forge, name, options.days, time.time()) for name in names]
    return _json(found) if options.json else _print(dora.text(found))


def diagnosis(options: argparse.Namespace) -> int:
    """What the repository lacks; 1 when it cannot release without it."""
    found = doctor.local(options.repository, options.target, options.remote, options.layout)
    found = (*found, *_forge_says(options))
    if options.json:
        _json(found)
    else:
        print(doctor.text(found))
        lacks = sum(each.refused for each in found)
        print(f"\n{lacks} to mend before a release" if lacks else "\nnothing keeps it from a release")
    return NO if any(each.refused for each in found) else 0


def admission(options: argparse.Namespace) -> int:
    """May something new go out now? 1: not now."""
    moment = _moment(options.at)
    verdict = check.check(options.repository, options.environment, moment)
    rollback = check.is_rollback(options.labels, options.branch)
    refused = verdict.refuses(options.strict)
    for line in (*verdict.against, *verdict.unknown, *verdict.good):
        print(line)
    if refused and rollback:
        print(f"{options.environment}: a rollback goes in all the same")
        return 0
    print(f"{options.environment}: {'not now' if refused else 'may be released to'}")
    return NO if refused else 0


def summarise(options: argparse.Namespace) -> int:
    """Reports as job summary, annotations and comment; with --verdict 1 when one of them refuses."""
    found = summary.read(options.reports)
    place = os.environ.get("GITHUB_STEP_SUMMARY", "")
    if place:
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(summary.whole(found))
    else:
        print(summary.short(found), end="")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for each in annotations.annotations(options.repository, found, options.environment or ""):
            print(each)
    if options.pull_request:
        _, forge = forges.chosen(options)
        print(summary.comment(forge, options.pull_request, found))
    return NO if options.verdict and not all(report.passed for report in found) else 0


def _forge_says(options: argparse.Namespace) -> tuple[Check, ...]:
    """What the forge lacks, when it is one that can be asked."""
    if not forges.on_github(options):
        return ()
    try:
        return github_doctor.checks(options.repository)
    except InputError as error:  # what the clone itself lacks is worth knowing all the same
        return (Check(gate=github_doctor.GATE, name="settings", status="not_run", detail=str(error)),)


def _layout(options: argparse.Namespace) -> Layout | None:
    return Layout.open(options.layout) if (options.layout / "oci-layout").exists() else None


def _moment(text: str) -> dt.datetime:
    if not text:
        return dt.datetime.now(dt.UTC)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--at: {text!r} is no moment, as 2026-12-23T18:00+01:00 is") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _print(text: str) -> int:
    print(text)
    return 0


def _json(found: Any) -> int:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
    return 0


RUNS = {
    "show": show,
    "status": statuses,
    "history": changes,
    "dora": figures,
    "doctor": diagnosis,
    "check": admission,
    "summarise": summarise,
}
