"""Reads `model/metadata.json` strictly: each key as the type it must be, refusals in words."""

import json
from typing import NamedTuple, NoReturn

from deployments.archive_names import PackageRefused, has_invisible, shown

METADATA = "model/metadata.json"


class Number(NamedTuple):
    """A JSON number as it was written: nothing is rounded, and no digits are too many to read."""

    text: str


class Fields:
    """One JSON object. A key is found as `health_path`, `healthPath` or `HealthPath`; null counts as absent."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            refuse(f"{where} must be an object in braces")
        self._values: dict[str, object] = value
        self.where = where

    @classmethod
    def parse(cls, content: bytes) -> "Fields":
        try:
            text = content.decode("utf-8-sig")
            value = json.loads(
                text, parse_int=Number, parse_float=Number, parse_constant=_no_constant, object_pairs_hook=_no_doubles
            )
        except UnicodeDecodeError:
            refuse("it is not UTF-8 text")
        except json.JSONDecodeError as error:
            refuse(f"it is not JSON (line {error.lineno}, column {error.colno})")
        except RecursionError:
            refuse("it is nested too deeply")
        return cls(value, "the content")

    def text(self, *names: str, longest: int, lines: bool = False) -> str | None:
        """Text without control characters; with `lines` line breaks and tabs are fine."""
        value = self._get(names)
        if value is None:
            return None
        if not isinstance(value, str):
            self.refuse(names[0], "must be text in quotes")
        if len(value) > longest:
            self.refuse(names[0], f"is longer than {longest:,} characters")
        if has_invisible(value.translate({9: 32, 10: 32, 13: 32}) if lines else value):
            self.refuse(names[0], "has control or invisible characters")
        return value.strip() or None

    def required_text(self, name: str, *, longest: int) -> str:
        value = self.text(name, longest=longest)
        if value is None:
            self.refuse(name, "is missing")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._get((name,))
        if not isinstance(value, bool | None):
            self.refuse(name, "must be true or false")
        return default if value is None else value

    def whole_number(self, name: str) -> int | None:
        value = self._get((name,))
        if value is None:
            return None
        if not isinstance(value, Number) or not value.text.isdecimal() or len(value.text) > 18:
            self.refuse(name, "must be a whole number")
        return int(value.text)

    def value(self, *names: str) -> str | Number | bool | None:
        value = self._get(names)
        if not isinstance(value, str | Number | bool | None):
            self.refuse(names[0], "must be text, a number, true or false")
        return value

    def objects(self, name: str, *, at_most: int) -> "list[Fields]":
        values = self._get((name,))
        if values is None:
            return []
        if not isinstance(values, list):
            self.refuse(name, "must be a list in brackets")
        if len(values) > at_most:
            self.refuse(name, f"has more than {at_most} items")
        return [Fields(value, f"item {number} of {name}") for number, value in enumerate(values, 1)]

    def refuse(self, name: str, problem: str) -> NoReturn:
        refuse(f"“{name}” of {self.where} {problem}")

    def _get(self, names: tuple[str, ...]) -> object:
        wanted = {_plain(name) for name in names}
        found = [value for key, value in self._values.items() if _plain(key) in wanted]
        if len(found) > 1:
            self.refuse(names[0], "is there twice, spelled in two ways")
        return found[0] if found else None


def refuse(problem: str) -> NoReturn:
    """Refuses the package for what its metadata says."""
    raise PackageRefused(f"{METADATA} can't be used: {problem}.", METADATA)


def _plain(key: str) -> str:
    return key.replace("_", "").lower()


def _no_constant(text: str) -> NoReturn:
    refuse(f"{text} is not a number")


def _no_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [key for key, _ in pairs]
        double = next(key for key in names if names.count(key) > 1)
        refuse(f"“{shown(double)}” is there twice in one object")
    return values
