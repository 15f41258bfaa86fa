"""What is wrong with an environment, by the facts alone: one rule for each kind of alert."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.monitoring.alert_kinds import PATIENCE, PLACES, AlertKind
from deployments.monitoring.alerts import RULES, Check, Facts, Verdict, findings
from portal.looks import look

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
WELL = Facts(
    now=NOW, running=True, check=Check(Verdict.GOOD, "It answered 200.", 0.1, 9, NOW), restarts=0, used=1, limit=100
)
GIB = 1024**3


def kinds(facts: Facts) -> list[AlertKind]:
    return [finding.kind for finding in findings(facts)]


def checked(verdict: Verdict, count: int, seconds: float = 3.0) -> Check:
    return Check(verdict, "It answered 503.", seconds, count, NOW - timedelta(minutes=1))


def test_nothing_is_wrong_with_what_is_well() -> None:
    assert findings(WELL) == []


def test_nothing_is_known_of_what_nobody_looked_at_yet() -> None:
    assert findings(Facts(now=NOW, running=True)) == []


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"trouble": "It ended by itself: exit code 3."}, AlertKind.OFFLINE, "exit code 3"),
        ({"restarts": 3}, AlertKind.RESTARTS, "3 times within 10 minutes"),
        ({"check": checked(Verdict.FAILED, 3)}, AlertKind.UNHEALTHY, "It answered 503."),
        ({"check": checked(Verdict.SLOW, 4)}, AlertKind.SLOW, "took 3.0 s"),
        ({"critical_at": NOW - timedelta(minutes=14)}, AlertKind.LOGGED, "a line of the level CRITICAL"),
        (
            {"used": 9 * GIB, "limit": 10 * GIB},
            AlertKind.STORAGE,
            "90% of the room there is for them: they take 9.0 GB, and 1.0 GB more would fit.",
        ),
        ({"without_backup_since": NOW - timedelta(hours=26)}, AlertKind.BACKUP, "since 23 November, 10:00 UTC"),
    ],
)
def test_each_kind_has_its_fact_its_words_and_something_to_do(
    changes: dict[str, Any], kind: AlertKind, says: str
) -> None:
    (finding,) = findings(replace(WELL, **changes))
    assert finding.kind is kind
    assert says in finding.message
    assert finding.advice.endswith(".")


@pytest.mark.parametrize(
    "changes",
    [
        {"restarts": 2},
        {"check": checked(Verdict.FAILED, 2)},
        {"check": checked(Verdict.SLOW, 3)},
        {"critical_at": NOW - timedelta(minutes=15)},
        {"used": 89, "limit": 100},
        {"used": 89},
        {"without_backup_since": NOW - timedelta(hours=25, minutes=59)},
    ],
)
def test_a_little_less_is_nothing(changes: dict[str, Any]) -> None:
    assert findings(replace(WELL, **changes)) == []


def test_what_is_stopped_on_purpose_is_neither_offline_nor_unhealthy_but_wants_its_backup() -> None:
    stopped = replace(
        WELL,
        running=False,
        trouble="It ended by itself: exit code 3.",
        check=checked(Verdict.FAILED, 9),
        restarts=9,
        without_backup_since=NOW - timedelta(days=3),
    )
    assert kinds(stopped) == [AlertKind.BACKUP]


def test_what_is_offline_is_not_unhealthy_as_well() -> None:
    ended = replace(WELL, trouble="It ended by itself: signal 9.", check=checked(Verdict.FAILED, 5))
    assert kinds(ended) == [AlertKind.OFFLINE]


@pytest.mark.parametrize("kind", [AlertKind.UNHEALTHY, AlertKind.SLOW])
def test_one_good_check_is_not_the_end_of_it(kind: AlertKind) -> None:
    opened = replace(WELL, open=frozenset({kind}))
    assert kinds(replace(opened, check=checked(Verdict.GOOD, 1))) == [kind]
    assert kinds(replace(opened, check=checked(Verdict.GOOD, 2))) == []


def test_one_bad_check_more_is_enough_while_the_alert_is_open() -> None:
    opened = replace(WELL, open=frozenset({AlertKind.UNHEALTHY}))
    assert kinds(replace(opened, check=checked(Verdict.FAILED, 1))) == [AlertKind.UNHEALTHY]


def test_storage_stays_full_until_there_is_room_again() -> None:
    opened = replace(WELL, limit=100, open=frozenset({AlertKind.STORAGE}))
    assert kinds(replace(opened, used=86)) == [AlertKind.STORAGE]
    assert kinds(replace(opened, used=84)) == []


def test_every_kind_has_a_rule_a_patience_and_a_look_with_a_word() -> None:
    assert len(RULES) == len(AlertKind)
    assert set(PATIENCE) == set(AlertKind)
    assert set(PLACES) == set(AlertKind)
    for kind in AlertKind:
        assert look(kind).hue in ("warning", "critical")
        assert look(kind).word != look("no such state").word
    assert [kind.rank for kind in AlertKind] == sorted((kind.rank for kind in AlertKind), reverse=True)
