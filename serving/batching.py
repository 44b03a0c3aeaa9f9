"""Natural batching: what arrived in one turn of the event loop goes through the model in one call.

No timer: a lone request waits for nothing, and the busier the server, the larger its batches. A request whose rows
would hold up the others goes to a thread, one after the other.
"""

from collections.abc import Callable, Mapping
from time import perf_counter

import numpy as np
from msgspec import Struct

from serving.columns import ColumnError, Values
from serving.exchange import Problem
from serving.expected import Typed
from serving.limits import Limits
from serving.metrics import Metrics
from serving.parts import Answers, Part, Shared, all_finite, sound
from serving.runtime import Model
from serving.scheduling import Scheduler

Columns = Mapping[str, Values]  # raw, of equal length; a column of width k as an array [rows, k] or a flat list
Done = Callable[[Part | Exception], None]
Observer = Callable[[Mapping[str, np.ndarray], Answers, int], None]  # feeds, answers, rows

INLINE_SECONDS = 0.005  # that one request may hold up the event loop
LONE_SECONDS = 50e-6  # from the last answer to the arrival of a request; in a crowd, the next one is there sooner
BATCH_ROWS = 4096  # in one call; with more, a call takes longer and costs no less per row
TRIAL_ROWS = 256


class Ask(Struct):
    """A request that waits for its part of an answer: with columns, or with what they are read from."""

    columns: Columns | None
    rows: int
    done: Done
    deadline: float  # by perf_counter
    typed: Typed | None = None

    def read(self) -> Columns:
        """Its columns."""
        if self.columns is None:
            assert self.typed is not None
            self.columns, self.typed = self.typed.again(), None
        return self.columns


class Call(Struct):
    """One call of the model: who is answered, with what; who is refused, and why; seconds to decode and to infer."""

    asks: list[Ask]
    rows: int
    feeds: Mapping[str, np.ndarray]
    answers: Answers | Exception
    refused: list[tuple[Ask, Exception]]
    decode: float
    infer: float


class Batcher:
    """Predicts for everybody. `observers` look at every call after its answers have gone out.

    `together=False` calls the model for every request alone, which is there to be compared with.
    """

    def __init__(
        self, model: Model, counters: Metrics, limits: Limits, scheduler: Scheduler, together: bool = True
    ) -> None:
        self.observers: list[Observer] = [counters.drift.observe]
        self._model, self._counters, self._limits, self._scheduler = model, counters, limits, scheduler
        self._together, self._most, self._patience = together, limits.queue, limits.deadline_seconds
        self._waiting: list[Ask] = []
        self._waiting_typed: list[Ask] = []
        self._flushing = False  # at the end of this turn
        # When requests come one by one, each is answered at once: the end of the turn would bring no company. A front
        # that takes long for each request cannot tell a crowd by its haste, and switches this off.
        self.at_once = True
        self._lone, self._answered = False, 0.0
        self._beside = 0  # requests in the thread, or on their way to it
        self._columns = [(column.name, column.width) for column in model.manifest.inputs]
        self._seconds_per_row = _trial(model)

    def require_room(self) -> None:
        """Raises Problem when as many wait as may: before anything is decoded, since a refusal has to be cheap."""
        if len(self._waiting) + len(self._waiting_typed) + self._beside >= self._most:
            raise overloaded()

    def submit(self, columns: Columns, rows: int, done: Done, even: bool = False, arrived: float = 0.0) -> None:
        """Predict for `rows` rows, once there is room. `done` gets this request's outputs, or the error that it has.

        `even`: it is known that every column has so many rows. `arrived`: when the request was there, by perf_counter.
        """
        try:
            self._model.require_columns(columns)
            if not even:
                self._require_even(columns, rows)
        except ColumnError as error:
            done(error)
            return
        self._take(Ask(columns, rows, done, perf_counter() + self._limits.deadline_seconds), self._waiting, arrived)

    def submit_typed(self, typed: Typed, done: Done, arrived: float) -> None:
        """As `submit`, for what needs no further look."""
        ask = Ask(None, typed.rows, done, arrived + self._patience, typed)
        self._take(ask, self._waiting_typed, arrived)

    def _take(self, ask: Ask, waiting: list[Ask], arrived: float) -> None:
        if ask.rows * self._seconds_per_row > INLINE_SECONDS:
            self._hand_over(ask)
        elif self._flushing:
            waiting.append(ask)
        elif self._lone and self.at_once and arrived - self._answered > LONE_SECONDS:
            self._deliver(self._call([ask], ask.rows))
            self._answered = perf_counter()
        else:
            self._lone, self._flushing = False, True
            waiting.append(ask)
            self._scheduler.soon(self._flush)

    def _require_even(self, columns: Columns, rows: int) -> None:
        for name, width in self._columns:
            values = columns[name]
            if len(values) != rows * width if type(values) is list else len(values) != rows:
                raise ColumnError(name, f"does not have the {rows} rows of the others", "send as many in every column")

    def _flush(self) -> None:
        # Apart, since one that has to be read more carefully would have all others read so, too.
        kinds = self._waiting_typed, self._waiting
        self._waiting_typed, self._waiting, self._flushing = [], [], False
        self._lone = sum(map(len, kinds)) == 1
        now = perf_counter()
        for waiting in kinds:
            batch: list[Ask] = []
            rows = 0
            for ask in waiting:
                if ask.deadline < now:
                    ask.done(too_late())
                    continue
                if batch and (rows + ask.rows > BATCH_ROWS or not self._together):
                    self._deliver(self._call(batch, rows))
                    batch, rows = [], 0
                batch.append(ask)
                rows += ask.rows
            if batch:
                self._deliver(self._call(batch, rows))
        self._answered = perf_counter()

    def _hand_over(self, ask: Ask) -> None:
        """To the thread; whoever waits too long there is told so at once."""
        state = Waiting(ask)
        state.call_off = self._scheduler.later(self._limits.deadline_seconds, state.expire)
        self._beside += 1
        self._scheduler.beside(
            lambda: None if state.expired else self._call([ask], ask.rows), lambda call: self._hand_back(state, call)
        )

    def _hand_back(self, state: "Waiting", call: Call | None) -> None:
        self._beside -= 1
        if call is not None and call.rows:
            self._seconds_per_row += 0.1 * ((call.decode + call.infer) / call.rows - self._seconds_per_row)
        if call is not None and not state.expired:
            state.call_off()
            self._deliver(call)

    def _call(self, asks: list[Ask], rows: int) -> Call:
        """Read the columns of all, and run the model. Touches nothing that another thread uses."""
        started = perf_counter()
        model = self._model
        refused: list[tuple[Ask, Exception]] = []
        try:
            feeds = self._feeds(asks, rows)
        except Exception:  # noqa: BLE001  whatever it is, nobody is left without an answer
            # Somebody's column is at fault. Each is read alone, so that everybody gets what he would have got alone.
            asks, refused = self._sorted_out(asks)
            rows = sum(ask.rows for ask in asks)
            try:
                feeds = model.feeds_together([ask.read() for ask in asks]) if asks else {}
            except Exception as error:  # noqa: BLE001
                asks, refused, feeds = [], [*refused, *((ask, error) for ask in asks)], {}
        decoded = perf_counter()
        try:
            answers: Answers | Exception = model.run(feeds) if asks else {}
        except Exception as error:  # noqa: BLE001  onnxruntime's exceptions share no base class but this
            answers = error
        return Call(asks, rows, feeds, answers, refused, decoded - started, perf_counter() - decoded)

    def _feeds(self, asks: list[Ask], rows: int) -> dict[str, np.ndarray]:
        typed = [ask.typed.values for ask in asks if ask.typed is not None]
        if len(typed) == len(asks) and (feeds := self._model.feeds_typed(typed, rows)) is not None:
            return feeds
        return self._model.feeds_together([ask.read() for ask in asks])

    def _sorted_out(self, asks: list[Ask]) -> tuple[list[Ask], list[tuple[Ask, Exception]]]:
        fit: list[Ask] = []
        refused: list[tuple[Ask, Exception]] = []
        for ask in asks:
            try:
                self._model.feeds(ask.read())
                fit.append(ask)
            except Exception as error:  # noqa: BLE001
                refused.append((ask, error))
        return fit, refused

    def _deliver(self, call: Call) -> None:
        """Everybody's part of the answers, then the counting."""
        for ask, error in call.refused:
            ask.done(error)
        if not call.asks:
            return
        if isinstance(call.answers, Exception):
            self._deliver_failure(call, call.answers)
            return
        started = perf_counter()
        answers = call.answers
        shared = Shared(answers, call.rows)
        fine = all_finite(answers)
        start = 0
        for ask in call.asks:
            stop = start + ask.rows
            part = Part(shared, start, stop, ask.rows)
            ask.done(part if fine else sound(part, answers))
            start = stop
        self._counters.batch(len(call.asks), call.rows, call.decode, call.infer, perf_counter() - started)
        for observe in self.observers:
            observe(call.feeds, answers, call.rows)

    def _deliver_failure(self, call: Call, error: Exception) -> None:
        """The graph gave up on somebody's rows: the others are not to suffer for them."""
        if len(call.asks) == 1:
            call.asks[0].done(error)
            return
        for ask in call.asks:
            self._deliver(self._call([ask], ask.rows))


class Waiting:
    """A request in the thread, or on its way to it."""

    def __init__(self, ask: Ask) -> None:
        self.ask, self.expired = ask, False
        self.call_off: Callable[[], None] = lambda: None

    def expire(self) -> None:
        """It waited too long; what the thread still finds out about it is of no use."""
        self.expired = True
        self.ask.done(too_late())


def overloaded() -> Problem:
    """For a request beyond those that may wait."""
    detail = "the server has as many requests waiting as it takes; try again, or another one"
    return Problem(503, "overloaded", detail, headers=((b"retry-after", b"1"),))


def too_late() -> Problem:
    """For a request whose answer would come after its deadline."""
    return Problem(504, "deadline_exceeded", "the answer would have come too late; send fewer rows, or try again")


def _trial(model: Model) -> float:
    """Seconds per row, tried on golden rows."""
    golden = model.feeds(model.bundle.golden.inputs)
    feeds = {name: np.resize(array, (TRIAL_ROWS, *array.shape[1:])) for name, array in golden.items()}
    started = perf_counter()
    model.run(feeds)
    return (perf_counter() - started) / TRIAL_ROWS
