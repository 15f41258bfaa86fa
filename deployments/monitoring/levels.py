"""How serious a line of a log is, as far as the line says so. Pure: no database, no runtime."""

import re
from enum import IntEnum


class Level(IntEnum):
    """The levels of Python's logging, which other languages have under much the same names."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50

    @property
    def label(self) -> str:
        return self.name.capitalize()

    @property
    def tone(self) -> str:
        """How it is coloured; the line itself holds the word."""
        return {Level.WARNING: "warning", Level.ERROR: "critical", Level.CRITICAL: "critical"}.get(self, "")


NAMES = {
    "trace": Level.DEBUG,
    "debug": Level.DEBUG,
    "info": Level.INFO,
    "notice": Level.INFO,
    "warn": Level.WARNING,
    "warning": Level.WARNING,
    "error": Level.ERROR,
    "err": Level.ERROR,
    "severe": Level.ERROR,
    "critical": Level.CRITICAL,
    "crit": Level.CRITICAL,
    "alert": Level.CRITICAL,
    "emerg": Level.CRITICAL,
    "fatal": Level.CRITICAL,
    "panic": Level.CRITICAL,
}
NEAR = 120  # characters in which a level stands: time, process and a long logger's name come before it
LONGEST = 4096  # characters of a JSON line that are looked through
_WORDS = "TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|CRITICAL|FATAL"
# A word by itself in capitals; small ones count in brackets ("[error]", as nginx writes) or first with a colon
_WORD = re.compile(rf"\b({_WORDS})\b|\[({'|'.join(NAMES)})\]|^({'|'.join(NAMES)}):", re.ASCII)
# {"level": "error"} and pino's {"level": 50}; level=error as logfmt has it
_FIELD = re.compile(r'"(?:level|levelname|log\.level|severity|lvl)"\s*:\s*(?:"([A-Za-z]+)"|(\d\d)\b)', re.ASCII)
_PAIR = re.compile(r'\b(?:level|lvl|severity)="?([A-Za-z]+)', re.ASCII)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TRACEBACK = "Traceback (most recent call last)"
# What belongs to the line before: indented, or a piece of a stack trace
_GOES_ON = re.compile(r"\s|$|Traceback |Caused by|During handling of|The above exception|[\w.$]*(?:Error|Exception)\b")
OWN = "[portal] "


def level_of(text: str) -> Level | None:
    """Say how serious a line says it is; None where it says nothing."""
    if text.startswith(OWN):
        return Level.INFO
    start = text[:LONGEST]
    if "\x1b" in start:
        start = _COLOURS.sub("", start)
    if start.startswith("{"):
        return _of_json(start)
    match = _WORD.search(start, 0, NEAR)
    if match:
        return NAMES[(match[1] or match[2] or match[3]).lower()]
    match = _PAIR.search(start, 0, NEAR)
    if match:
        return NAMES.get(match[1].lower())
    return Level.ERROR if start.startswith(_TRACEBACK) else None


def goes_on(text: str) -> bool:
    """Say whether a line without a level belongs to the one before it."""
    return _GOES_ON.match(text) is not None


def _of_json(text: str) -> Level | None:
    match = _FIELD.search(text)
    if match is None:
        return None
    if match[1]:
        return NAMES.get(match[1].lower())
    # pino counts to 60, where Python ends at 50
    return Level(max(10, min(50, int(match[2]) // 10 * 10)))
