"""What a line says about how serious it is."""

import logging
from io import StringIO

import pytest

from deployments.monitoring.levels import Level, goes_on, level_of

WRITTEN = {
    "ERROR:root:It broke.": Level.ERROR,
    "2026-05-03 12:00:00,123 - app.orders - WARNING - Slow.": Level.WARNING,
    "[2026-05-03 12:00:00 +0000] [12] [INFO] Listening at: http://127.0.0.1:8000": Level.INFO,
    "2026/05/03 12:00:00 [error] 12#0: *1 open() failed": Level.ERROR,
    "2026-05-03T12:00:00.000Z  WARN 1 --- [main] o.s.boot : Deprecated": Level.WARNING,
    "May 03, 2026 12:00:00 PM org.example.Main run\tSEVERE: no": Level.ERROR,
    "DEBUG worker=3 took 4 ms": Level.DEBUG,
    "CRITICAL The price list is gone": Level.CRITICAL,
    "FATAL:  password authentication failed": Level.CRITICAL,
    "error: no such file": Level.ERROR,
    "warn: old": Level.WARNING,
    "\x1b[31mERROR\x1b[0m red": Level.ERROR,
    "\x1b[1;33mWARNING:\x1b[0m yellow": Level.WARNING,
    '{"time": 1, "level": "error", "msg": "INFO"}': Level.ERROR,
    '{"levelname":"WARNING","message":"x"}': Level.WARNING,
    '{"severity": "Critical"}': Level.CRITICAL,
    '{"level":50,"msg":"x"}': Level.CRITICAL,
    '{"level":30,"msg":"pino"}': Level.WARNING,
    'time=1 level=warning msg="x"': Level.WARNING,
    'ts=1 level="debug"': Level.DEBUG,
    "Traceback (most recent call last):": Level.ERROR,
    "[portal] The app ended: exit code 3.": Level.INFO,
    "INFO 0 of 12 jobs ended with ERROR": Level.INFO,
    "x" * 200 + " ERROR": None,
    "An error occurred": None,
    "TERRORS and INFORMATION": None,
    "ERRORS": None,
    "the level=high water": None,
    '{"level": "loud"}': None,
    '{"msg": "ERROR"}': None,
    "": None,
}


@pytest.mark.parametrize(("text", "level"), WRITTEN.items())
def test_a_level_is_read_where_it_stands(text: str, level: Level | None) -> None:
    assert level_of(text) is level


@pytest.mark.parametrize(
    "style", [logging.BASIC_FORMAT, "%(asctime)s %(levelname)s %(message)s", "[%(levelname)s] %(message)s"]
)
@pytest.mark.parametrize("level", Level)
def test_what_pythons_logging_writes_is_understood(style: str, level: Level) -> None:
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter(style))
    logger = logging.Logger("tried", logging.DEBUG)
    logger.addHandler(handler)
    logger.log(level, "Something INFO and ERROR")
    assert level_of(written.getvalue()) is level


@pytest.mark.parametrize(
    ("text", "belongs"),
    [
        ("  File 'x.py', line 1", True),
        ("\tat org.example.Main.run(Main.java:7)", True),
        ("Caused by: java.io.IOException", True),
        ("django.db.utils.OperationalError: gone", True),
        ("", True),
        ("Listening", False),
        ("Error handling is fine", True),
    ],
)
def test_a_stack_trace_belongs_to_the_line_before(text: str, belongs: bool) -> None:
    assert goes_on(text) == belongs


def test_a_line_of_megabytes_costs_nothing() -> None:
    assert level_of("{" + '"a": 1, ' * 1_000_000) is None
    assert level_of(" " * 10_000_000) is None
