"""Alerts open and close once, however many workers look, and tell those who receive them, as things stand now."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from accounts.actor import Actor
from deployments.flows import request_job
from deployments.models import Alert, Backup, Job, Live, Measurement, Watch
from deployments.monitoring import checking, watch
from deployments.monitoring.alert_flow import forget_old, receivers_of, settle
from deployments.monitoring.alert_kinds import AlertKind
from deployments.monitoring.alerts import Finding
from deployments.monitoring.sampling import Sampler
from deployments.monitoring.unsaved import without_backup_since
from deployments.reconciliation import reconcile
from deployments.runtimes.base import Health, Instance, LogPart, Stored
from deployments.states import BackupKind, BackupState, JobKind, JobState
from deployments.worker import Worker
from environments.models import Environment, Membership, Role
from environments.permissions import Permission
from tests.cast import Cast, make_person, signed_in, unlocked
from tests.deployments.fakes import FakeRuntime, actor_with_window, make_package

OFFLINE = Finding(AlertKind.OFFLINE, "It ended by itself: exit code 3.", "Restart it.")
LOGGED = Finding(AlertKind.LOGGED, "It wrote a line.", "Read it.")


class Watched(FakeRuntime):
    """A runtime whose health checks and log a test writes."""

    def __init__(self) -> None:
        super().__init__()
        self.health = Health(True, "It answered 200.", 0.01)
        self.written = ""
        self.sampler = Sampler(self, "tester")

    def check(self, instance: Instance, path: str, timeout: float) -> Health:
        self._call("check", path)
        return self.health

    def log_before(self, environment: int, before: str, most: int) -> LogPart:
        return self._part(0 if not before else max(0, int(before) - most), int(before or len(self.written)))

    def log_after(self, environment: int, after: str, most: int) -> LogPart:
        return self._part(int(after), len(self.written))

    def log_left(self, environment: int, after: str) -> int:
        return len(self.written) - int(after)

    def _part(self, begin: int, end: int) -> LogPart:
        return LogPart(self.written[begin:end].encode(), str(begin), str(end), False)

    def write(self, text: str) -> None:  # type: ignore[override]
        self.written += f"{timezone.now():%Y-%m-%dT%H:%M:%S.%f}+00:00 1 {text}\n"


@pytest.fixture
def runtime() -> Watched:
    return Watched()


@pytest.fixture
def running(cast: Cast, runtime: Watched) -> Environment:
    """Test with a package that runs."""
    package = make_package(cast.app, cast.alice)
    request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
    assert Worker(runtime, "tester").run_once()
    return cast.test


@pytest.fixture
def told(django_capture_on_commit_callbacks: Any) -> Any:
    """A function that acts and gives the mails that were sent for it, as (to, subject)."""

    def act(what: Any, *args: Any) -> list[tuple[str, str]]:
        before = len(mail.outbox)
        with django_capture_on_commit_callbacks(execute=True):
            what(*args)
        return [(each.to[0], str(each.subject)) for each in mail.outbox[before:]]

    return act


def look(runtime: Watched, now: datetime) -> None:
    """What a worker does in its turn: ask and measure, then see what that means."""
    runtime.sampler.sample(now)
    watch.look(runtime, now)


def later(**time: float) -> datetime:
    return timezone.now() + timedelta(**time)


def states(environment: Environment) -> list[tuple[str, bool]]:
    return [(alert.kind, alert.is_open) for alert in environment.alerts.told().order_by("pk")]


def formatted(sent: Any) -> str:
    """Give what a mail says in HTML."""
    ((content, kind),) = sent.alternatives
    assert kind == "text/html"
    return str(content)


# Opening and closing


def test_it_is_told_once_when_it_opens_and_once_when_it_is_over(cast: Cast, told: Any) -> None:
    now = timezone.now()
    opened = told(settle, cast.test, [LOGGED], now)
    assert opened == [("alice@example.org", "Calc, Test: Logged CRITICAL")]
    assert told(settle, cast.test, [LOGGED], now + timedelta(minutes=1)) == []
    over = told(settle, cast.test, [], now + timedelta(minutes=20))
    assert over == [("alice@example.org", "Calc, Test: over after 20 min 0 s: Logged CRITICAL")]
    assert told(settle, cast.test, [], now + timedelta(minutes=21)) == []
    assert states(cast.test) == [("logged", False)]


def test_what_is_over_before_anybody_had_to_know_leaves_nothing(cast: Cast, told: Any) -> None:
    now = timezone.now()
    assert told(settle, cast.test, [OFFLINE], now) == []
    assert told(settle, cast.test, [], now + timedelta(seconds=10)) == []
    assert not Alert.objects.exists()


def test_what_lasts_is_told_with_the_moment_when_it_began(cast: Cast, told: Any) -> None:
    now = timezone.now()
    told(settle, cast.test, [OFFLINE], now)
    assert len(told(settle, cast.test, [OFFLINE], now + timedelta(seconds=15))) == 1
    assert Alert.objects.get().began_at == now


def test_a_flapping_one_stays_open_and_mails_once(cast: Cast, told: Any) -> None:
    now = timezone.now()
    told(settle, cast.test, [OFFLINE], now)
    mails = []
    for minute in range(1, 30):
        mails += told(settle, cast.test, [OFFLINE] if minute % 2 else [], now + timedelta(minutes=minute))
    assert len(mails) == 1
    assert states(cast.test) == [("offline", True)]
    quiet = now + timedelta(minutes=30)
    told(settle, cast.test, [], quiet)
    assert len(told(settle, cast.test, [], quiet + timedelta(minutes=2))) == 1
    assert Alert.objects.get().closed_at == quiet, "it was over when it became quiet, not when that was certain"


def test_kinds_are_told_apart_and_environments_too(cast: Cast, told: Any) -> None:
    now = timezone.now()
    told(settle, cast.test, [LOGGED], now)
    backup = Finding(AlertKind.BACKUP, "There was none.", "Take one.")
    assert len(told(settle, cast.test, [LOGGED, backup], now)) == 1
    assert len(told(settle, cast.acceptance, [LOGGED], now)) == 1
    assert Alert.objects.open().count() == 3


def test_it_may_open_again_after_it_was_over(cast: Cast, told: Any) -> None:
    now = timezone.now()
    for hours in (0, 2):
        told(settle, cast.test, [LOGGED], now + timedelta(hours=hours))
        told(settle, cast.test, [], now + timedelta(hours=hours + 1))
    assert states(cast.test) == [("logged", False), ("logged", False)]


def test_a_worker_that_read_before_another_one_wrote_tells_nobody(cast: Cast, told: Any, monkeypatch: Any) -> None:
    """Both find the same: what one has written the other one finds changed under its hands."""
    now = timezone.now()

    def raced(found: list[Finding], moment: datetime) -> None:
        known = list(cast.test.alerts.filter(closed_at=None))
        settle(cast.test, found, moment)
        with monkeypatch.context() as stale:
            stale.setattr(Environment, "alerts", _Stale(known))
            settle(Environment.objects.get(pk=cast.test.pk), found, moment)

    assert len(told(raced, [LOGGED], now)) == 1
    assert len(told(raced, [], now + timedelta(minutes=1))) == 1
    told(settle, cast.test, [OFFLINE], now)
    assert len(told(raced, [OFFLINE], now + timedelta(minutes=1))) == 1
    assert Alert.objects.count() == 2


class _Stale:
    """The rows that a worker has read a moment ago."""

    def __init__(self, rows: list[Alert]) -> None:
        self.rows = rows

    def filter(self, **lookups: object) -> list[Alert]:
        return self.rows


# Whom


def test_it_tells_the_technical_contact_and_whoever_receives_alerts_there_now(cast: Cast) -> None:
    erin = make_person("erin")
    Membership.objects.create(app=cast.app, user=erin, role=Role.objects.get(name="End-user"))
    assert receivers_of(cast.test) == [cast.alice]
    cast.grant(cast.bob, cast.test, Permission.ALERTS)
    assert receivers_of(cast.test) == [cast.alice, cast.bob]
    assert receivers_of(cast.production) == [cast.alice]
    cast.membership(cast.bob).node_permissions.update(granted=False)
    assert receivers_of(cast.test) == [cast.alice]


def test_nobody_who_left_was_deactivated_or_lost_the_role(cast: Cast) -> None:
    cast.grant(cast.bob, cast.test, Permission.ALERTS)
    cast.bob.is_active = False
    cast.bob.save()
    assert receivers_of(cast.test) == [cast.alice]
    cast.bob.is_active = True
    cast.bob.save()
    Membership.objects.filter(user=cast.bob).update(role=Role.objects.get(name="End-user"))
    assert receivers_of(cast.test) == [cast.alice]
    Membership.objects.filter(user=cast.bob).delete()
    assert receivers_of(cast.test) == [cast.alice]


def test_the_mails_say_what_since_when_what_to_do_and_how_long(cast: Cast, told: Any) -> None:
    cast.grant(cast.bob, cast.test, Permission.ALERTS)
    now = timezone.now() - timedelta(minutes=30)
    told(settle, cast.test, [LOGGED], now)
    to_alice, to_bob = (str(each.body) for each in mail.outbox)
    assert f"since {now:%-d %B %Y, %H:%M} UTC: Logged CRITICAL." in to_alice
    assert "It wrote a line." in to_alice
    assert "What to do first: Read it." in to_alice
    assert "http://localhost:8000/apps/calc/alerts/" in to_alice
    assert "because you are the Technical Contact of Calc" in to_alice
    assert "you can switch that off on its Permissions page" in to_bob
    told(settle, cast.test, [], now + timedelta(minutes=20))
    over = mail.outbox[-1]
    assert f"since {now + timedelta(minutes=20):%-d %B %Y, %H:%M} UTC and after 20 min 0 s" in str(over.body)
    assert "It wrote a line." in formatted(over)


def test_names_can_not_write_into_a_mail(cast: Cast, told: Any) -> None:
    Environment.objects.filter(pk=cast.test.pk).update(name="Test\r\n\r\nPay <b>here</b>")
    told(settle, Environment.objects.get(pk=cast.test.pk), [LOGGED], timezone.now())
    (sent,) = mail.outbox
    assert "\n" not in sent.subject
    assert "Test Pay <b>here</b> of Calc since" in str(sent.body)
    assert "<b>here" not in formatted(sent)


# Looking


def test_an_app_that_ended_by_itself_is_offline_and_back_after_a_restart(
    running: Environment, runtime: Watched, told: Any, cast: Cast
) -> None:
    runtime.ended[Instance(running.pk, 1)] = "exit code 3"
    reconcile(runtime)
    assert told(look, runtime, timezone.now()) == []
    opened = told(look, runtime, later(seconds=20))
    assert opened == [("alice@example.org", "Calc, Test: Went offline")]
    request_job(JobKind.RESTART, running, Actor(cast.alice))
    assert Worker(runtime, "tester").run_once()
    reconcile(runtime)
    told(look, runtime, later(seconds=60))
    assert told(look, runtime, later(minutes=4))[0][1].startswith("Calc, Test: over after 1 min")


@pytest.mark.parametrize("kind", [JobKind.STOP, JobKind.RESTART, JobKind.TRANSPORT])
def test_jobs_raise_nothing(running: Environment, runtime: Watched, told: Any, cast: Cast, kind: JobKind) -> None:
    """While a job runs, what it stops looks like an app that ended; nobody is told, then or later."""
    package = make_package(cast.app, cast.alice, "2.0.0") if kind is JobKind.TRANSPORT else None
    job = request_job(kind, running, Actor(cast.alice), package)
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, worker="elsewhere")
    Live.objects.update(trouble="It ended by itself: signal 15.")
    runtime.health = Health(False, "It does not run.", 0.0)
    for seconds in range(0, 300, 10):
        assert told(look, runtime, later(seconds=seconds)) == []
    assert not Alert.objects.exists()
    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED, worker="")
    runtime.health = Health(True, "It answered 200.", 0.01)
    assert Worker(runtime, "tester").run_once()
    reconcile(runtime)
    for seconds in range(300, 600, 10):
        assert told(look, runtime, later(seconds=seconds)) == []


def test_what_a_job_works_on_counts_for_no_alert(running: Environment, runtime: Watched, cast: Cast) -> None:
    job = request_job(JobKind.RESTART, running, Actor(cast.alice))
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, worker="elsewhere")
    runtime.health = Health(False, "It answered 503.", 0.01)
    look(runtime, timezone.now())
    assert not Watch.objects.exclude(verdict="").exists()
    Job.objects.filter(pk=job.pk).update(state=JobState.DONE)
    look(runtime, later(seconds=15))
    assert Watch.objects.get().count == 1


def test_checks_of_what_ended_by_itself_count_for_no_alert_when_it_is_back(
    running: Environment, runtime: Watched, told: Any
) -> None:
    Live.objects.update(trouble="It ended by itself: signal 15.")
    runtime.health = Health(False, "It does not run.", 0.0)
    for seconds in range(0, 120, 15):
        told(look, runtime, later(seconds=seconds))
    Live.objects.update(trouble="")
    assert told(look, runtime, later(seconds=120)) == []
    assert [kind for kind, _ in states(running)] == ["offline"]


def test_a_trouble_that_a_starting_job_left_is_forgotten_before_anybody_hears(
    running: Environment, runtime: Watched, told: Any
) -> None:
    Live.objects.update(trouble="It ended by itself: signal 15.")
    assert told(look, runtime, timezone.now()) == []
    Live.objects.update(state="stopped", trouble="", instance=None)
    assert told(look, runtime, later(seconds=20)) == []
    assert not Alert.objects.exists()


def test_three_failed_checks_in_a_row_are_an_alert_within_a_minute(
    running: Environment, runtime: Watched, told: Any
) -> None:
    asked = runtime.calls.count("check /")
    runtime.health = Health(False, "It answered 503.", 0.01)
    for seconds in (0, 5, 15, 20):
        assert told(look, runtime, later(seconds=seconds)) == [], "one answer is no news, nor are two"
    assert told(look, runtime, later(seconds=30)) == [("alice@example.org", "Calc, Test: Health check fails")]
    assert "It answered 503." in str(mail.outbox[-1].body)
    assert runtime.calls.count("check /") == asked + 3, "it is not asked again so soon"
    runtime.health = Health(True, "It answered 200.", 0.01)
    for seconds in (60, 75, 90, 300):
        assert told(look, runtime, later(seconds=seconds)) == []
    assert len(told(look, runtime, later(seconds=500))) == 1


def test_a_check_that_flaps_is_no_alert(running: Environment, runtime: Watched, told: Any) -> None:
    for number in range(20):
        runtime.health = Health(not number % 3, "It answered 503.", 0.01)
        assert told(look, runtime, later(seconds=15 * number)) == []


def test_four_slow_answers_are_an_alert(running: Environment, runtime: Watched, told: Any, settings: Any) -> None:
    runtime.health = Health(True, "It answered 200.", settings.HEALTH_SLOW)
    found = [told(look, runtime, later(seconds=15 * number)) for number in range(4)]
    assert [len(mails) for mails in found] == [0, 0, 0, 1]
    assert found[-1][0][1] == "Calc, Test: Health check is slow"
    runtime.health = Health(True, "It answered 200.", 0.01)
    over = [told(look, runtime, later(seconds=60 + 15 * number)) for number in range(23)]
    assert [mails[0][1] for mails in over if mails] == ["Calc, Test: over after 1 min 15 s: Health check is slow"]


def test_what_was_found_of_another_instance_does_not_count(
    running: Environment, runtime: Watched, told: Any, monkeypatch: Any
) -> None:
    runtime.health = Health(False, "It answered 503.", 0.01)
    for seconds in (0, 15):
        told(look, runtime, later(seconds=seconds))
    Live.objects.update(instance=2)
    assert told(look, runtime, later(seconds=20)) == []
    assert Watch.objects.get().count == 1
    Watch.objects.update(count=5, instance=1)
    monkeypatch.setattr(runtime, "check", _away)  # nothing is known of the new one yet
    assert told(look, runtime, later(seconds=35)) == []


def test_workers_ask_once_and_one_that_dies_is_followed_by_another(
    running: Environment, runtime: Watched, told: Any
) -> None:
    asked = runtime.calls.count("check /")
    first, second = runtime.sampler, Sampler(runtime, "another")
    runtime.health = Health(False, "It answered 503.", 0.01)
    for seconds in (0, 15):
        told(look, runtime, later(seconds=seconds))
        assert not second.sample(later(seconds=seconds + 1))
    assert runtime.calls.count("check /") == asked + 2
    runtime.sampler = second
    for seconds in (16, 31, 44):
        assert told(look, runtime, later(seconds=seconds)) == [], "the first one may still come"
    assert told(look, runtime, later(seconds=46)) == [("alice@example.org", "Calc, Test: Health check fails")]
    assert not first.sample(later(seconds=47))


def test_a_worker_that_leaves_hands_over_at_once(running: Environment, runtime: Watched) -> None:
    assert runtime.sampler.sample()
    runtime.sampler.leave()
    assert Sampler(runtime, "another").sample(later(seconds=1))


def test_a_critical_line_is_an_alert_that_quotes_nothing_of_it(
    running: Environment, runtime: Watched, told: Any
) -> None:
    runtime.write("CRITICAL an old one, from before anybody looked")
    assert told(look, runtime, timezone.now()) == []
    runtime.write("INFO all is well")
    assert told(look, runtime, timezone.now()) == []
    runtime.write("CRITICAL the secret is 42")
    assert told(look, runtime, timezone.now()) == [("alice@example.org", "Calc, Test: Logged CRITICAL")]
    assert "secret" not in str(mail.outbox[-1].body)
    assert told(look, runtime, later(minutes=14)) == []
    assert len(told(look, runtime, later(minutes=16))) == 1


def _away(*args: Any) -> Any:
    raise OSError("away")


def test_a_check_leaves_alone_what_the_log_said_meanwhile(
    running: Environment, runtime: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(runtime, timezone.now())
    add, now = checking._add, timezone.now()

    def meanwhile(*args: Any) -> None:
        add(*args)
        Watch.objects.update(critical_at=now, log_read_to="77", files_bytes=5)

    monkeypatch.setattr(checking, "_add", meanwhile)
    runtime.sampler.sample(later(seconds=15))
    seen = Watch.objects.get()
    assert (seen.critical_at, seen.log_read_to, seen.files_bytes, seen.count) == (now, "77", 5, 2)


def measure(environment: Environment, minutes_ago: int, **values: Any) -> None:
    at = later(minutes=-minutes_ago)
    Measurement.objects.create(environment=environment, span=60, slot=minutes_ago, at=at, **values)


def test_an_app_that_is_started_again_and_again(running: Environment, runtime: Watched, told: Any) -> None:
    measure(running, 11, restarts=5)
    measure(running, 4, restarts=1)
    measure(running, 3, restarts=1)
    assert told(look, runtime, timezone.now()) == []
    measure(running, 1, restarts=1)
    assert told(look, runtime, timezone.now()) == [("alice@example.org", "Calc, Test: Restarts again and again")]
    assert len(told(look, runtime, later(minutes=10))) == 1


def test_storage_that_is_nearly_full(running: Environment, runtime: Watched, told: Any, settings: Any) -> None:
    settings.DISK_RESERVE_BYTES = runtime.free - 1024**3  # a GiB is left for apps
    found = []
    for number, gib in enumerate((4, 40, 2)):
        runtime.stored[running.pk] = Stored(1024**3, (gib - 1) * 1024**3)
        found.append([subject for _, subject in told(look, runtime, later(minutes=6 * number))])
    assert found == [
        [],
        ["Calc, Test: Storage nearly full"],
        ["Calc, Test: over after 6 min 0 s: Storage nearly full"],
    ]


def test_a_database_on_a_server_takes_no_room_from_the_files(
    running: Environment, runtime: Watched, told: Any, settings: Any
) -> None:
    settings.DISK_RESERVE_BYTES = 0
    runtime.free, runtime.stored[running.pk] = 1024**3, Stored(40 * 1024**3, 1024**3)
    runtime.on_server.add(running.pk)
    assert told(look, runtime, timezone.now()) == []


def test_what_was_stored_before_it_was_cleared_counts_for_nothing(
    running: Environment, runtime: Watched, told: Any, cast: Cast
) -> None:
    runtime.free, runtime.stored[running.pk] = 1024**3, Stored(0, 40 * 1024**3)
    assert told(look, runtime, timezone.now()) == [("alice@example.org", "Calc, Test: Storage nearly full")]
    for kind in (JobKind.STOP, JobKind.CLEAR):
        request_job(kind, running, Actor(cast.alice))
        assert Worker(runtime, "tester").run_once()
    assert [subject for _, subject in told(look, runtime, later(seconds=20))] == [
        "Calc, Test: over after 20 s: Storage nearly full"
    ]
    assert Watch.objects.get().stored is None


def test_a_runtime_that_is_away_raises_nothing_and_stops_nothing(
    running: Environment, runtime: Watched, told: Any, monkeypatch: Any
) -> None:
    for name in ("check", "log_before", "measure", "visits", "storage"):
        monkeypatch.setattr(runtime, name, _away)
    assert told(look, runtime, timezone.now()) == []
    Live.objects.update(trouble="It ended by itself: signal 9.")
    told(look, runtime, later(seconds=10))
    assert len(told(look, runtime, later(seconds=40))) == 1


# Backups


def hold_something(environment: Environment, hours: float, number: int = 1) -> None:
    """As if something had come on it so many hours ago and stayed."""
    ended = later(hours=-hours)
    done = {"kind": JobKind.TRANSPORT, "state": JobState.DONE, "ended_at": ended, "asker_name": "x"}
    Job.objects.create(environment=environment, number=number, **done)
    Live.objects.update_or_create(environment=environment, defaults={"state": "stopped"})


def back_up(environment: Environment, hours: float, **more: Any) -> None:
    at = later(hours=-hours)
    values = {"state": BackupState.COMPLETED, "kind": BackupKind.NIGHTLY, "completed_at": at, "number": 1}
    Backup.objects.create(environment=environment, expires_at=later(days=9), creator_name="x", **values | more)


def test_production_without_a_good_backup_for_26_hours(cast: Cast, runtime: Watched, told: Any) -> None:
    hold_something(cast.production, 25)
    assert told(look, runtime, timezone.now()) == []
    assert [subject for _, subject in told(look, runtime, later(hours=1.1))] == ["Calc, Production: No good backup"]
    back_up(cast.production, 0.1)
    assert len(told(look, runtime, later(hours=1.2))) == 1
    assert states(cast.production) == [("no-backup", False)]


@pytest.mark.parametrize(
    "more",
    [
        {"state": BackupState.FAILED, "completed_at": None},
        {"state": BackupState.RUNNING, "completed_at": None},
        {"kind": BackupKind.UPLOADED},
    ],
)
def test_what_is_no_good_backup(cast: Cast, more: dict[str, Any]) -> None:
    hold_something(cast.production, 30)
    back_up(cast.production, 1, **more)
    found = without_backup_since([cast.production])
    assert found[cast.production.pk] < later(hours=-29)


def test_only_production_that_holds_something_needs_one(cast: Cast, runtime: Watched, told: Any) -> None:
    hold_something(cast.test, 48)
    hold_something(cast.production, 48)
    Live.objects.filter(environment=cast.production).update(state="empty")
    assert told(look, runtime, timezone.now()) == []


def test_after_it_was_cleared_the_time_begins_anew(cast: Cast) -> None:
    hold_something(cast.production, 48)
    Job.objects.create(environment=cast.production, number=2, kind=JobKind.CLEAR, state=JobState.DONE, asker_name="x")
    hold_something(cast.production, 2, number=3)
    assert without_backup_since([cast.production])[cast.production.pk] > later(hours=-3)


# Keeping and showing


def test_old_ones_are_forgotten_and_open_ones_never(cast: Cast) -> None:
    long_ago = later(days=-400)
    settle(cast.test, [LOGGED], long_ago)
    settle(cast.acceptance, [LOGGED], long_ago)
    settle(cast.test, [], long_ago)
    forget_old(timezone.now())
    assert [alert.environment for alert in Alert.objects.all()] == [cast.acceptance]


def open_on(environment: Environment, *found: Finding) -> None:
    settle(environment, found or [LOGGED], timezone.now())


def test_every_list_says_what_is_wrong_in_words_beside_the_colour(cast: Cast, running: Environment) -> None:
    open_on(running, LOGGED, Finding(AlertKind.SLOW, "Slow.", "Look."))
    bob = signed_in(cast.bob)
    for address in ("/", "/apps/calc/", "/apps/calc/environments/test/"):
        html = bob.get(address).content.decode()
        assert re.search(r'<span class="status critical"><svg.*?</svg>Logged CRITICAL</span>', html), address
    Alert.objects.filter(kind=AlertKind.LOGGED).update(closed_at=timezone.now())
    assert '<span class="status warning">' in bob.get("/apps/calc/").content.decode()
    Alert.objects.update(closed_at=timezone.now())
    for address in ("/", "/apps/calc/", "/apps/calc/environments/test/"):
        assert "Logged CRITICAL</span>" not in bob.get(address).content.decode()


def test_what_is_stopped_is_white_whatever_is_open(cast: Cast, running: Environment) -> None:
    open_on(running)
    Live.objects.update(state="stopped")
    for address in ("/", "/apps/calc/"):
        html = signed_in(cast.bob).get(address).content.decode()
        assert '<span class="status stopped">' in html
        assert "Logged CRITICAL" not in html


def test_what_nobody_was_told_of_yet_is_shown_nowhere(cast: Cast, running: Environment) -> None:
    settle(running, [OFFLINE], timezone.now())
    html = "".join(signed_in(cast.bob).get(address).content.decode() for address in ("/", "/apps/calc/alerts/"))
    assert "Offline" not in html
    assert "Went offline" not in html


def test_apps_with_an_alert_come_first_on_the_start_page(cast: Cast, running: Environment) -> None:
    from environments.flows import create_app

    create_app(Actor(cast.alice), "Aardvark", "aardvark")
    alice = signed_in(cast.alice)
    names = re.compile(r"<h2><a [^>]*>(\w+)</a></h2>")
    assert names.findall(alice.get("/").content.decode()) == ["Aardvark", "Calc"]
    open_on(running)
    assert names.findall(alice.get("/").content.decode()) == ["Calc", "Aardvark"]


def test_the_page_lists_what_is_open_and_what_was(cast: Cast) -> None:
    open_on(cast.test)
    settle(cast.acceptance, [LOGGED], later(hours=-3))
    settle(cast.acceptance, [], later(hours=-2))
    html = signed_in(cast.bob).get("/apps/calc/alerts/").content.decode()
    open_part, over = html.split('<h2 id="over">')
    assert "It wrote a line." in open_part
    assert "Read it." in open_part
    assert "for 1 h 0 min" in over
    assert "Read it." not in over


def test_more_open_ones_than_a_page_holds_are_on_the_next(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.monitoring.alert_views.PAGE", 1)
    open_on(cast.test)
    open_on(cast.acceptance)
    bob = signed_in(cast.bob)
    for page in (1, 2):
        assert "It wrote a line." in bob.get(f"/apps/calc/alerts/?page={page}").content.decode()


@pytest.mark.parametrize("kind", AlertKind)
def test_each_leads_to_the_page_on_which_to_look_first(cast: Cast, running: Environment, kind: AlertKind) -> None:
    open_on(running, Finding(kind, "It is so.", "Look."))
    alert = Alert.objects.get()
    Alert.objects.update(opened_at=timezone.now())
    alice = signed_in(cast.alice)
    for address in ("/apps/calc/alerts/", "/apps/calc/environments/test/"):
        found = re.search(rf'<a href="([^"]*)">{alert.place.label}</a>', alice.get(address).content.decode())
        assert found
        assert alice.get(found[1]).status_code == 200
        assert ("level=critical" in found[1]) is (kind is AlertKind.LOGGED)


def test_what_they_say_of_production_waits_for_a_code(cast: Cast) -> None:
    open_on(cast.production)
    html = signed_in(cast.bob).get("/apps/calc/alerts/").content.decode()
    assert "Logged CRITICAL" in html
    assert "It wrote a line." not in html
    assert "Enter a code" in html
    assert "It wrote a line." in unlocked(cast.bob).get("/apps/calc/alerts/").content.decode()


def test_an_empty_page_says_what_will_stand_there(cast: Cast) -> None:
    assert "No alerts" in signed_in(cast.bob).get("/apps/calc/alerts/").content.decode()


def test_the_environments_page_says_what_to_do_first(cast: Cast, running: Environment) -> None:
    open_on(running)
    html = signed_in(cast.bob).get("/apps/calc/environments/test/").content.decode()
    assert "It wrote a line." in html
    assert "Read it." in html


def test_production_access_is_what_its_own_page_needs(cast: Cast) -> None:
    actor_with_window(cast.alice)
    open_on(cast.production)
    assert signed_in(cast.bob).get("/apps/calc/environments/production/").status_code != 200
