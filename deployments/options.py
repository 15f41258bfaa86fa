"""What a team sets on an environment: constants, variables, scheduled events, health check, log level.

Pure: no database. One value is all of it at one moment; each job that starts something keeps the value it used.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from django.db.models import TextChoices

from deployments.manifests import Constant, Manifest
from deployments.variables import ValueType, name_problem, value_problem

LOG_LEVEL = "LOG_LEVEL"  # the variable that tells an app the log level
MOST_VARIABLES = 100
SHOWN_LENGTH = 200  # characters of a value where it is told what differs
LONGEST_PATIENCE = 3600  # seconds; a deployment that waits for longer holds up all others
EVENT = "Event "
SECRET, OTHER_SECRET = "a secret", "another secret"


class LogLevel(TextChoices):
    DEBUG = "DEBUG", "Debug"
    INFO = "INFO", "Info"
    WARNING = "WARNING", "Warning"
    ERROR = "ERROR", "Error"
    CRITICAL = "CRITICAL", "Critical"


@dataclass(frozen=True)
class Setting:
    """A value that somebody set; of a secret one nothing is shown but who set it and when (ISO 8601, UTC).

    SECURITY: `secret` stays with the value. A package that declares the constant as plain text shows it no more
    than the one before did.
    """

    value: str
    secret: bool = False
    set_by: str = ""
    set_at: str = ""

    @property
    def shown(self) -> str:
        return SECRET if self.secret else _short(self.value)


class Change(NamedTuple):
    """What is different under one name, in words that keep secrets; empty where nothing is set."""

    name: str
    before: str
    after: str

    @property
    def deed(self) -> str:
        """Say what was done, without any value, for those who may not see the options."""
        if self.name.startswith(EVENT):  # no constant or variable has a space in its name
            return f"switched {self.after}"
        if not self.before:
            return "set"
        return "changed" if self.after else "removed"


class Lack(NamedTuple):
    """A constant without a usable value, and a sentence that says so."""

    constant: Constant
    sentence: str


Settings = Mapping[str, Setting]


@dataclass(frozen=True)
class Options:
    """Everything that is set; what is missing is as the package says, or as the portal's settings do.

    `events_on_since` has the moments (ISO 8601) at which events that had been off were switched on.
    """

    constants: Settings = field(default_factory=dict)
    variables: Settings = field(default_factory=dict)
    events_off: frozenset[str] = frozenset()
    events_on_since: Mapping[str, str] = field(default_factory=dict)
    health_path: str = ""
    patience: int | None = None
    log_level: str = ""

    def as_json(self) -> str:
        return json.dumps({**asdict(self), "events_off": sorted(self.events_off)})

    @classmethod
    def from_json(cls, text: str) -> "Options":
        values: dict[str, Any] = json.loads(text)
        for name in ("constants", "variables"):
            values[name] = {key: Setting(**setting) for key, setting in values[name].items()}
        return cls(**{**values, "events_off": frozenset(values["events_off"])})

    def variables_for(self, manifest: Manifest) -> dict[str, str]:
        """Give what the app gets in its environment, besides what the portal sets itself."""
        values = {c.name: value for c in manifest.constants if (value := self.value_of(c)) is not None}
        values |= {name: setting.value for name, setting in self.variables.items()}
        return values | ({LOG_LEVEL: self.log_level} if self.log_level else {})

    def value_of(self, constant: Constant) -> str | None:
        """Give a constant's value: the one that is set, else its default."""
        setting = self.constants.get(constant.name)
        return setting.value if setting else constant.default

    def is_secret(self, constant: Constant) -> bool:
        setting = self.constants.get(constant.name)
        return constant.type is ValueType.SECRET or bool(setting and setting.secret)

    def problems(self, manifest: Manifest) -> list[Lack]:
        """List the constants without which a package can't start: no value, or one of another type."""
        return [Lack(c, sentence) for c in manifest.constants if (sentence := self.problem(c))]

    def problem(self, constant: Constant) -> str | None:
        """Why a constant has no value that can be used, as a sentence; None when it has one."""
        value = self.value_of(constant)
        if value is None or (value == "" and constant.default is None):
            return f"{constant.name} has no value."
        problem = value_problem(constant.type, value)
        return f"{constant.name}: {problem}" if problem else None

    def difference(self, after: "Options") -> list[Change]:
        """List what is different afterwards, by name; values of secrets are never among it."""
        changes = _settings_changed(self.constants, after.constants)
        changes += _settings_changed(self.variables, after.variables)
        for name in sorted(self.events_off ^ after.events_off):
            before_and_after = ("on", "off") if name in after.events_off else ("off", "on")
            changes.append(Change(EVENT + name, *before_and_after))
        pairs = (
            ("Health path", self.health_path, after.health_path),
            ("Patience in seconds", self.patience or "", after.patience or ""),
            ("Log level", self.log_level, after.log_level),
        )
        return changes + [Change(name, str(old), str(new)) for name, old, new in pairs if old != new]

    def difference_at_restart(self, after: "Options", manifest: Manifest) -> list[Change]:
        """List what an app that started with these would get differently if it were started with those."""
        old, new = self.variables_for(manifest), after.variables_for(manifest)
        secret = self._secrets(manifest) | after._secrets(manifest)
        return [
            _change(name, old.get(name), new.get(name), secret=name in secret)
            for name in sorted(old | new)
            if old.get(name) != new.get(name)
        ]

    def back_to(self, then: "Options", manifest: Manifest) -> "Options":
        """Give the options of an earlier time again for the package of then.

        Constants that it does not have keep the values of now: a version that has them finds them again.
        """
        declared = {constant.name for constant in manifest.constants}
        kept = {name: setting for name, setting in self.constants.items() if name not in declared}
        return replace(then, constants={**then.constants, **kept})

    def stamped(self, before: "Options", by: str, at: str) -> "Options":
        """Note who set what differs from before, and when; what was a secret stays one."""
        since = {name: moment for name, moment in before.events_on_since.items() if name not in self.events_off}
        return replace(
            self,
            constants=_stamped(before.constants, self.constants, by, at),
            variables=_stamped(before.variables, self.variables, by, at),
            events_on_since=since | dict.fromkeys(before.events_off - self.events_off, at),
        )

    def _secrets(self, manifest: Manifest) -> set[str]:
        names = {name for name, setting in self.variables.items() if setting.secret}
        return names | {c.name for c in manifest.constants if self.is_secret(c)}


def variable_problem(name: str, manifest: Manifest | None) -> str | None:
    """Why no environment variable may have this name, as a sentence; None when it may."""
    if problem := name_problem(name):
        return problem
    if name == LOG_LEVEL:
        return f"{LOG_LEVEL} is set by the log level further down."
    if manifest and name in {constant.name for constant in manifest.constants}:
        return f"{name} is a constant of the package. Set it above."
    return None


def _stamped(before: Settings, after: Settings, by: str, at: str) -> Settings:
    stamped = {}
    for name, setting in after.items():
        old = before.get(name)
        secret = setting.secret or bool(old and old.secret)
        same = old is not None and old.value == setting.value
        stamped[name] = replace(old if old and same else Setting(setting.value, set_by=by, set_at=at), secret=secret)
    return stamped


def _settings_changed(before: Settings, after: Settings) -> list[Change]:
    changes = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if (old.value if old else None) != (new.value if new else None):
            secret = any(setting.secret for setting in (old, new) if setting)
            changes.append(_change(name, old.value if old else None, new.value if new else None, secret=secret))
    return changes


def _change(name: str, before: str | None, after: str | None, *, secret: bool) -> Change:
    if secret:
        words = SECRET if before is None else OTHER_SECRET
        return Change(name, "" if before is None else SECRET, "" if after is None else words)
    return Change(name, _shown(before), _shown(after))


def _shown(value: str | None) -> str:
    if value is None:
        return ""
    return _short(value) or "empty text"


def _short(value: str) -> str:
    return value if len(value) <= SHOWN_LENGTH else f"{value[:SHOWN_LENGTH]}…"
