"""The rounds: in each one every server is started, and every cell is measured with one server after the other."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import SubprocessError

from msgspec import Struct, structs

from bench.serving import loads
from bench.serving.contestants import EVERYBODY, FLOOR, OURS, Contestant, Place, headers
from bench.serving.environments import ROOT, Environment
from bench.serving.loads import Cell, Figures
from bench.serving.plan import Scenario
from bench.serving.processes import Process, Refused, ask, cores, free_ports, on
from bench.serving.questions import ROWS, Model, wrong
from contracts.errors import InputError

START, MEMORY, CPU, RATE, P50, P99, P99_ALL, HELD_UP = (
    "start_seconds",
    "memory_megabytes",
    "cpu_microseconds",
    "requests_per_second",
    "p50_microseconds",
    "p99_microseconds",
    "p99_all_microseconds",
    "held_up",
)
SERVER = ""  # the cell of what is measured of a server as a whole


class Measured(Struct, frozen=True):
    """One figure of one server in one round."""

    scenario: str
    cell: str
    server: str
    metric: str
    round: int
    value: float


class Left(Struct, frozen=True):
    """What was not measured, and why."""

    scenario: str
    server: str
    reason: str


class Entrant:
    """A contestant in one round of one scenario: its process, and where it listens."""

    def __init__(self, contestant: Contestant, model: Model, folder: Path, environment: Environment | None) -> None:
        self.contestant, self.model, self.folder = contestant, model, folder
        self.environment = environment
        self.headers = headers(contestant)
        self.process: Process | None = None
        self.port = 0

    def start(self, core: tuple[int, ...], replies: Mapping[str, tuple[Mapping[str, str], bytes]]) -> float:
        """Seconds until the first right answer; raises Refused."""
        ports = free_ports(3)
        self.port = ports[0]
        self.folder.mkdir(parents=True, exist_ok=True)
        place = Place(self.model, tuple(ports), self.folder, self.environment, replies)
        launch = self.contestant.launch(place)
        with on(*core):
            self.process = Process(launch.command, launch.variables, ROOT, self.folder / "log")
        return self.process.first_answer(self.port, self.contestant.question(self.model, "json", 1), self.headers)

    def check(self, cells: tuple[Cell, ...]) -> dict[str, tuple[Mapping[str, str], bytes]]:
        """Compare the answers of everything that will be asked with onnxruntime's, and give them by path.

        Raises Refused for a wrong one.
        """
        answers: dict[str, tuple[Mapping[str, str], bytes]] = {}
        for dialect in sorted({cell.dialect for cell in cells}):
            for rows in ROWS:
                question = self.contestant.question(self.model, dialect, rows)
                status, received, body = ask(self.port, question, self.headers)
                if why := wrong(question, status, received, body):
                    raise Refused(f"{rows} rows as {dialect}: {why}")
                if dialect == "json":
                    answers[f"{question.path}/{rows}"] = (received, body)
        return answers

    def load(self, cell: Cell, seconds: int) -> tuple[Figures, float]:
        """The figures of one cell, and the microseconds of processor time per answer."""
        assert self.process is not None
        question = self.contestant.question(self.model, cell.dialect, cell.rows)
        before = self.process.cpu_seconds()
        if cell.loop == "open":
            figures = loads.at_a_rate(cell, self.port, question, self.headers, seconds)
        else:
            figures = loads.closed(cell, self.port, question, self.headers, seconds, self.folder)
        spent = self.process.cpu_seconds() - before
        return figures, spent / max(figures.rate * seconds, 1.0) * 1e6

    def stop(self) -> None:
        """End it, if it runs."""
        if self.process is not None:
            self.process.stop()


class Rounds:
    """All measurements so far, and what was left out."""

    def __init__(self, folder: Path, environments: Mapping[str, Environment | None], seconds: int) -> None:
        self._folder, self._environments, self._seconds = folder, environments, seconds
        self.found: list[Measured] = []
        self.left: list[Left] = []

    def run(self, scenario: Scenario, model: Model, number: int) -> Generator[str, None, None]:
        """One round of one scenario; says before each step what it does."""
        served, asking = cores() if scenario.pinned else (None, None)
        core = () if served is None else (served,)
        with on(*(() if asking is None else (asking,))), self._entrants(scenario, model) as entrants:
            yield from self._start(scenario, entrants, core, number)
            for cell in scenario.cells:
                for entrant in list(entrants):
                    if cell in scenario.contestants[entrant.contestant.name]:
                        yield f"{cell.title}: {entrant.contestant.title}"
                        self._load(scenario, entrant, cell, number)
            for entrant in entrants:
                assert entrant.process is not None
                self._keep(scenario, SERVER, entrant, MEMORY, number, entrant.process.memory())

    @contextmanager
    def _entrants(self, scenario: Scenario, model: Model) -> Iterator[list[Entrant]]:
        refused = {left.server for left in self.left if left.scenario == scenario.name}
        entrants = [
            Entrant(EVERYBODY[name], model, self._folder / scenario.name / name, self._environments[name])
            for name in sorted(scenario.contestants, key=lambda name: name == FLOOR)  # needs the replies of ours
            if name not in refused
        ]
        everybody = list(entrants)
        try:
            yield entrants
        finally:
            running = [entrant.process for entrant in everybody if entrant.process]
            for process in running:
                process.ask_to_stop()
            for process in running:
                process.stop()

    def _start(self, scenario: Scenario, entrants: list[Entrant], core: tuple[int, ...], number: int) -> Iterator[str]:
        replies: dict[str, tuple[Mapping[str, str], bytes]] = {}
        for entrant in list(entrants):
            name = entrant.contestant.name
            yield f"start: {entrant.contestant.title}"
            try:
                if name == FLOOR and not replies:
                    raise Refused("it answers as this server does, which is not among those measured")
                seconds = entrant.start(core, replies)
                answers = entrant.check(scenario.contestants[name])
            except (Refused, OSError, ValueError, InputError, SubprocessError) as reason:
                self.left.append(Left(scenario.name, name, str(reason)))
                entrants.remove(entrant)
                entrant.stop()
                continue
            if name == OURS:
                replies = answers
            assert entrant.process is not None
            entrant.process.pause()
            self._keep(scenario, SERVER, entrant, START, number, seconds)

    def _load(self, scenario: Scenario, entrant: Entrant, cell: Cell, number: int) -> None:
        assert entrant.process is not None
        entrant.process.resume()
        figures, spent = entrant.load(cell, self._seconds)
        entrant.process.pause()
        if figures.fault:
            reason = f"{cell.title}, round {number}: {figures.fault}"
            self.left.append(Left(f"{scenario.name}:{cell.name}", entrant.contestant.name, reason))
            return
        kept = {RATE: figures.rate, P50: figures.p50, P99: figures.p99, CPU: spent}
        if cell.loop == "open":
            kept |= {P99_ALL: figures.p99_all, HELD_UP: float(figures.held_up)}
        for metric, value in kept.items():
            self._keep(scenario, cell.name, entrant, metric, number, value)

    def _keep(self, scenario: Scenario, cell: str, entrant: Entrant, metric: str, number: int, value: float) -> None:
        self.found.append(Measured(scenario.name, cell, entrant.contestant.name, metric, number, value))


def steps(scenario: Scenario) -> int:
    """How many steps a round of it takes."""
    return len(scenario.contestants) + sum(map(len, scenario.contestants.values()))


def as_rows(found: list[Measured]) -> list[dict[str, object]]:
    """For JSON."""
    return [structs.asdict(each) for each in found]
