"""What `conf/base/parameters_training.yml` may hold."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta

from contracts.errors import InputError
from pipelines.parameters import Section

Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Positive = Annotated[float, Meta(gt=0)]
PLACE = "conf/base/parameters_training.yml: training"


class Encoding(Section, frozen=True, kw_only=True):
    """How columns become numbers."""

    bins: Count
    most_categories: Count
    least_rows: Count
    integer_levels: Annotated[int, Meta(ge=0)]


class Network(Section, frozen=True, kw_only=True):
    """The shape of the network."""

    hidden: tuple[Count, ...]
    dropout: Share
    embedding: Count


class Optimisation(Section, frozen=True, kw_only=True):
    """How the network is fitted."""

    maximum_epochs: Count
    patience: Count
    batch_rows: Annotated[int, Meta(ge=2)]
    buffer_rows: Count
    learning_rate: Positive
    warmup_steps: Count
    weight_decay: Annotated[float, Meta(ge=0)]
    averaging: Share
    unknown_share: Share


class Baselines(Section, frozen=True, kw_only=True):
    """How much the baselines may see and try."""

    rows: Count
    regularisation: tuple[Positive, ...]
    boosting_iterations: Count
    boosting_rate: Positive


class Parameters(Section, frozen=True, kw_only=True):
    """Everything the training pipeline can be told."""

    train_until: dt.date
    test_until: dt.date
    validation_every_days: Annotated[int, Meta(ge=2)]
    seed: Annotated[int, Meta(ge=0, lt=2**31)]
    device: Literal["auto", "cpu", "cuda"]
    sample_rows: Count
    segment_rows: Count
    encoding: Encoding
    network: Network
    optimisation: Optimisation
    baselines: Baselines

    def __post_init__(self) -> None:
        if self.test_until <= self.train_until:
            reason = f"{self.test_until} is not after train_until, {self.train_until}"
            raise InputError(f"{PLACE}.test_until: {reason}; leave days to test on")
