"""What was done and what was seen in one scenario. All times are milliseconds since 1970, by the clock that the processes
share."""

import dataclasses


@dataclasses.dataclass
class Death:
    """An instance was killed: asked for, and certainly dead."""

    name: str
    asked_ms: float
    dead_ms: float


@dataclasses.dataclass
class Outage:
    """All instances were dead; then one answered again."""

    begun_ms: float
    dead_ms: float
    back_ms: float


@dataclasses.dataclass
class Stop:
    """An instance was told to stand still, stood still, and went on."""

    name: str
    begun_ms: float
    stood_ms: float
    went_on_ms: float


@dataclasses.dataclass
class Record:
    """What was done and what was seen in one scenario."""

    # Failed and slow requests, as the clients told of them.
    failed: list = dataclasses.field(default_factory=list)
    slow: list = dataclasses.field(default_factory=list)
    # The clients' sum.
    sum: dict = dataclasses.field(default_factory=dict)
    # Of each POST's id, the instances that noted it.
    notes: dict = dataclasses.field(default_factory=dict)
    # Of the id of each GET that asked for time, the instances that noted it, and when.
    visits: dict = dataclasses.field(default_factory=dict)
    # What clients of this proxy are told of a request that was lost with its instance.
    lost_as: tuple = ("status-502",)
    # Moments after which traffic had to move.
    marks: list = dataclasses.field(default_factory=list)
    deaths: list = dataclasses.field(default_factory=list)
    outages: list = dataclasses.field(default_factory=list)
    stops: list = dataclasses.field(default_factory=list)
    # Times from a start to the first answer.
    first_answers_ms: list = dataclasses.field(default_factory=list)
