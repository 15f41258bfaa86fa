"""What a package says of itself in its Procfile and `model/metadata.json`; docs/packages.md has the format."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deployments.archive_names import PackageRefused, has_invisible, shown
from deployments.metadata import Fields, Number, refuse
from deployments.schedules import schedule_problem
from deployments.variables import ValueType, name_problem, value_problem

PROCFILE = "Procfile"
MAX_COMMAND_LENGTH = 2000
MAX_TEXT = 200
MAX_DESCRIPTION = 5000
MAX_CONSTANTS = 500
MAX_EVENTS = 100
PROCFILE_LINE = re.compile(r"([A-Za-z0-9_-]+)[ \t]*:(.*)")
# RFC 3986 path characters: what may stand in a request line as it is; no query, no fragment
HEALTH_PATH = re.compile(r"/|(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+/?")
EVENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")
SHORTEST_INTERVAL, LONGEST_INTERVAL = 60, 31 * 24 * 3600  # seconds


@dataclass(frozen=True)
class Constant:
    """A value that each environment sets; without a default (None) it must be set before the app starts."""

    name: str
    type: ValueType
    default: str | None
    description: str


@dataclass(frozen=True)
class ScheduledEvent:
    """A command run on a schedule (five cron fields, UTC) or every so many seconds; exactly one of them is set."""

    name: str
    command: str
    schedule: str | None
    interval: int | None


@dataclass(frozen=True)
class Metadata:
    """The content of `model/metadata.json`; as it stands here when the package has none."""

    name: str | None = None
    version: str | None = None
    description: str = ""
    runtime: str | None = None
    constants: tuple[Constant, ...] = ()
    scheduled_events: tuple[ScheduledEvent, ...] = ()
    health_path: str = "/"
    runs_twice: bool = True


@dataclass(frozen=True)
class Manifest(Metadata):
    """What is known of a package: its metadata, the command of its `web:` line, its size unpacked.

    `name` and `version` are None when the package is silent: the file name is all there is then.
    """

    web: str = ""
    files: int = 0
    unpacked_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values for JSON; `from_dict` reads it back."""
        values = asdict(self)
        return {**values, "constants": list(values["constants"]), "scheduled_events": list(values["scheduled_events"])}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Manifest":
        constants = tuple(Constant(**{**c, "type": ValueType(c["type"])}) for c in values["constants"])
        events = tuple(ScheduledEvent(**event) for event in values["scheduled_events"])
        return cls(**{**values, "constants": constants, "scheduled_events": events})


def read_procfile(content: bytes) -> str:
    """The command of the one `web:` line; other process types are allowed and not run."""
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise PackageRefused("The Procfile is not UTF-8 text.", PROCFILE) from error
    commands = list(_web_commands(lines))
    if not commands:
        raise PackageRefused(
            "The Procfile has no “web:” line, so the portal can't tell how to start the app.", PROCFILE
        )
    if len(commands) > 1:
        raise PackageRefused("The Procfile has more than one “web:” line.", PROCFILE)
    if problem := command_problem(commands[0]):
        raise PackageRefused(f"The “web:” line of the Procfile {problem}.", PROCFILE)
    return commands[0]


def _web_commands(lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        text = line.strip(" \t\r")
        if not text or text.startswith("#"):
            continue
        match = PROCFILE_LINE.fullmatch(text)
        if not match:
            raise PackageRefused(
                f"Line {number} of the Procfile, “{shown(text)}”, is not of the form “web: command”.", PROCFILE
            )
        if match[1] == "web":
            yield match[2].strip(" \t")


def command_problem(command: str) -> str | None:
    """Why this is no command, as the rest of a sentence about it; None when it is one."""
    if not command:
        return "has no command"
    if len(command) > MAX_COMMAND_LENGTH:
        return f"is longer than {MAX_COMMAND_LENGTH:,} characters"
    if has_invisible(command):
        return "has control or invisible characters"
    return None


def read_metadata(content: bytes) -> Metadata:
    """The validated content of `model/metadata.json`. Unknown keys are left alone; wrong values are refused."""
    fields = Fields.parse(content)
    constants = tuple(_constant(each) for each in fields.objects("constants", at_most=MAX_CONSTANTS))
    events = tuple(_event(each) for each in fields.objects("scheduled_events", at_most=MAX_EVENTS))
    _refuse_doubles([constant.name for constant in constants], "constant")
    _refuse_doubles([event.name for event in events], "scheduled event")
    return Metadata(
        name=fields.text("name", "project_name", longest=100),
        version=fields.text("version", "model_version", longest=60),
        description=fields.text("description", longest=MAX_DESCRIPTION, lines=True) or "",
        runtime=fields.text("runtime", "runtime_version", longest=MAX_TEXT),
        constants=constants,
        scheduled_events=events,
        health_path=_health_path(fields),
        runs_twice=fields.flag("runs_twice", default=True),
    )


def _constant(fields: Fields) -> Constant:
    name = fields.required_text("name", longest=MAX_TEXT)
    if problem := name_problem(name):
        fields.refuse("name", f"is “{shown(name)}”: {_inside(problem)}")
    kind = (fields.text("type", longest=MAX_TEXT) or ValueType.STRING).lower()
    if kind not in set(ValueType):
        fields.refuse("type", f"must be one of {', '.join(ValueType)}")
    default = _default(fields, ValueType(kind))
    description = fields.text("description", longest=MAX_DESCRIPTION, lines=True) or ""
    return Constant(name, ValueType(kind), default, description)


def _default(fields: Fields, kind: ValueType) -> str | None:
    given = fields.value("default", "default_value")
    if given is None:
        return None
    if kind is ValueType.SECRET:
        if given == "":
            return None
        # SECURITY: whoever may download the package would read it
        fields.refuse("default", "must be left out, since a package is no place for a secret")
    if isinstance(given, bool):
        text = str(given).lower() if kind is ValueType.BOOLEAN else None
    elif isinstance(given, Number):
        text = given.text if kind in (ValueType.INTEGER, ValueType.DECIMAL) else None
    else:
        text = given
    if text is None:
        fields.refuse("default", f"is no {kind}")
    if problem := value_problem(kind, text):
        fields.refuse("default", f"can't be used: {_inside(problem)}")
    return text


def _event(fields: Fields) -> ScheduledEvent:
    name = fields.required_text("name", longest=MAX_TEXT)
    if not EVENT_NAME.fullmatch(name):
        fields.refuse("name", "may have letters A to Z, digits, spaces, “.”, “_” and “-” only")
    command = fields.required_text("command", longest=MAX_COMMAND_LENGTH)
    schedule, interval = fields.text("schedule", longest=MAX_TEXT), fields.whole_number("interval")
    if (schedule is None) == (interval is None):
        fields.refuse("name", f"is “{name}”, and it needs either a “schedule” or an “interval”")
    if schedule is not None and (problem := schedule_problem(schedule)):
        fields.refuse("schedule", f"can't be used: {_inside(problem)}")
    if interval is not None and not SHORTEST_INTERVAL <= interval <= LONGEST_INTERVAL:
        fields.refuse("interval", f"must be from {SHORTEST_INTERVAL} to {LONGEST_INTERVAL} seconds")
    return ScheduledEvent(name, command, schedule, interval)


def _health_path(fields: Fields) -> str:
    path = fields.text("health_path", longest=MAX_TEXT)
    if path is None:
        return "/"
    if problem := health_path_problem(path):
        fields.refuse("health_path", f"can't be used: {_inside(problem)}")
    return path


def health_path_problem(path: str) -> str | None:
    """Why the health check can't ask for this path, as a sentence; None when it can.

    SECURITY: the path goes into a request line and must stay on the app's own host, so `//host` is refused.
    """
    if len(path) > MAX_TEXT:
        return f"The path is longer than {MAX_TEXT} characters."
    if not HEALTH_PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        return "The path begins with one / and has letters A to Z, digits and ordinary signs only."
    return None


def _refuse_doubles(names: Sequence[str], what: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            refuse(f"the {what} “{shown(name)}” is there twice")


def _inside(sentence: str) -> str:
    """A sentence as part of another one."""
    return sentence[0].lower() + sentence[1:].removesuffix(".") if sentence.startswith("The ") else sentence[:-1]
