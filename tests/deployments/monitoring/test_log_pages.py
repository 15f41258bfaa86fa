"""The pages of an environment's log: what they show to whom, how they follow, and what is recorded."""

import gzip
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import html5lib
import pytest
import time_machine
from django.test import Client

from accounts.models import Activity, ProductionWindow
from deployments.monitoring import log_views
from deployments.monitoring.logs import SHOWN
from deployments.runtimes import get_runtime
from environments.models import NodePermission
from environments.permissions import Permission
from tests.cast import Cast, signed_in, unlock, unlocked
from tests.deployments.monitoring.written import empty_logs, folder_of, write

TEST, PRODUCTION = (f"/apps/calc/environments/{slug}/logs/" for slug in ("test", "production"))
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _emptied(cast: Cast) -> Iterator[None]:
    with empty_logs(cast.test, cast.production):
        yield


@pytest.fixture
def alice(cast: Cast) -> Client:
    return signed_in(cast.alice)


def page(client: Client, address: str = TEST, **query: str) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200
    text = str(answer.content.decode())
    html5lib.HTMLParser(strict=True).parse(text)
    return text


def lines(text: str) -> list[str]:
    return re.findall(r"<li[^>]*><time[^>]*>[^<]*</time><span>(.*?)</span></li>", text)


def link(text: str, label: str) -> str:
    found = re.search(rf'<a class="button[^"]*" href="\?([^"]*)">{label}</a>', text)
    assert found, label
    return TEST + "?" + found[1].replace("&amp;", "&")


def cursor(text: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(after|shown)" value="([^"]*)">', text))


def poll(client: Client, address: str = TEST, **query: str) -> Any:
    return client.get(f"{address}lines/", query, headers=HTMX)


def asks_for_a_new_page(answer: Any) -> None:
    assert (answer.status_code, answer.get("HX-Refresh"), answer.content) == (204, "true", b"")


def test_nothing_was_written_yet(alice: Client) -> None:
    assert "Nothing was written yet" in page(alice)
    assert poll(alice).status_code == 204


def test_what_an_app_writes_is_inert(cast: Cast, alice: Client) -> None:
    write(cast.test, "\x1b[31mred\x1b[0m <script>alert(1)</script> \u202eesrever")
    (line,) = lines(page(alice))
    assert line == "^[[31mred^[[0m &lt;script&gt;alert(1)&lt;/script&gt; ‹U+202E›esrever"


def test_times_are_the_readers(cast: Cast, alice: Client) -> None:
    cast.alice.time_zone = "Asia/Tokyo"
    cast.alice.save()
    write(cast.test, "one", at=datetime(2026, 5, 3, 20, 30, 0, 250_000, tzinfo=UTC))
    with time_machine.travel("2026-05-04T00:00:00Z", tick=False):
        text = page(signed_in(cast.alice))
    assert '<time datetime="2026-05-03T20:30:00.250Z" title="Deployment 17">05:30:00.250</time>' in text
    assert "Times in JST" in text


def test_lines_of_another_day_say_which(cast: Cast, alice: Client) -> None:
    write(cast.test, "one", at=datetime(2026, 5, 3, 12, tzinfo=UTC))
    write(cast.test, "two", at=datetime(2026, 5, 4, 12, tzinfo=UTC))
    with time_machine.travel("2026-05-04T13:00:00Z", tick=False):
        text = page(alice)
    assert re.findall('<li class="note">(.*?)</li>', text) == ["Yesterday"]


def test_level_and_text_are_looked_for_on_the_server(cast: Cast, alice: Client) -> None:
    write(cast.test, "INFO started", "ERROR disk", "ERROR network", "WARNING disk")
    assert lines(page(alice, level="error")) == ["ERROR disk", "ERROR network"]
    assert lines(page(alice, level="warning", q="DISK")) == ["ERROR disk", "WARNING disk"]
    assert "Nothing found" not in page(alice, q="nowhere")
    assert "No line like that so far" in page(alice, q="nowhere")
    assert len(lines(page(alice, level="loud"))) == 4


def test_without_javascript_there_are_older_and_newer_lines(cast: Cast, alice: Client) -> None:
    every = [f"line {number}" for number in range(2 * SHOWN + 50)]
    write(cast.test, *every)
    last = page(alice)
    assert lines(last) == every[-SHOWN:]
    middle = page(alice, link(last, "Older"))
    assert lines(middle) == every[50 : SHOWN + 50]
    first = page(alice, link(middle, "Older"))
    assert lines(first) == every[:50]
    assert "Older</a>" not in first
    assert "hx-get" not in first
    assert lines(page(alice, link(first, "Newer"))) == every[50 : SHOWN + 50]
    assert lines(page(alice, link(first, "Jump to the end"))) == every[-SHOWN:]
    assert "Show newer lines" in last
    end = page(alice, link(page(alice, link(middle, "Newer")), "Newer"))
    assert "This is the end of the log as it is now." in end
    assert f'href="{TEST}?"' in end


def test_what_is_looked_for_is_found_however_far_back_or_on(
    cast: Cast, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in (("SEARCHED", 8192), ("READ", 4096), ("READ_MORE", 4096)):
        monkeypatch.setattr(f"deployments.monitoring.logs.{name}", most)
    write(cast.test, "needle", *["straw"] * 1000)
    text, looked = page(alice, q="needle"), 0
    while not lines(text) and looked < 20:
        text, looked = page(alice, further(text, "back")), looked + 1
    assert (lines(text), looked > 1) == (["needle"], True)

    write(cast.test, "other needle")
    text, looked = page(alice, link(text, "Newer")), 0
    while not lines(text) and looked < 20:
        text, looked = page(alice, further(text, "on")), looked + 1
    assert (lines(text), looked > 1) == (["other needle"], True)


def further(text: str, direction: str) -> str:
    found = re.search(rf'<a href="\?([^"]*)">Look further {direction}</a>', text)
    assert found
    return TEST + "?" + found[1].replace("&amp;", "&")


def test_a_page_that_follows_goes_on_where_it_was(cast: Cast, alice: Client) -> None:
    write(cast.test, "one")
    at = cursor(page(alice))
    assert poll(alice, **at).status_code == 204
    write(cast.test, "two", "three")
    answer = poll(alice, **at).content.decode()
    assert lines(answer) == ["two", "three"]
    assert '<ol id="lines-2">' in answer
    # The connection was lost and that answer with it: the same question brings the same lines
    write(cast.test, "four")
    assert lines(poll(alice, **at).content.decode()) == ["two", "three", "four"]
    assert lines(poll(alice, **cursor(answer)).content.decode()) == ["four"]


def test_what_is_followed_is_filtered_too(cast: Cast, alice: Client) -> None:
    write(cast.test, "ERROR w")
    text = page(alice, level="error", q="w")
    assert "lines/?level=error&amp;q=w" in text
    write(cast.test, "INFO so", "ERROR two", "ERROR three")
    assert lines(poll(alice, level="error", q="w", **cursor(text)).content.decode()) == ["ERROR two"]


def test_a_page_that_follows_for_long_keeps_its_last_lines(cast: Cast, alice: Client) -> None:
    write(cast.test, "begin")
    at, gone = cursor(page(alice)), []
    for _ in range(log_views.ON_PAGE // SHOWN + 2):
        write(cast.test, *["line"] * SHOWN)
        answer = poll(alice, **at).content.decode()
        at = cursor(answer)
        gone += re.findall(r'<ol id="lines-(\d+)" hx-swap-oob="delete">', answer)
    assert gone == ["1", "2", "3"]
    chunks = log_views._Chunks.read(at["shown"])
    assert (chunks.number, chunks.last, sum(chunks.sizes)) == (4, 13, log_views.ON_PAGE)


def test_a_quiet_log_stays_on_the_page_longer(cast: Cast) -> None:
    chunks = log_views._Chunks.first(SHOWN)
    gone = [number for _ in range(log_views.MOST_CHUNKS) for number in chunks.add(1)]
    assert gone == [1]
    assert len(str(chunks)) < 1000
    assert log_views._Chunks.read(str(chunks)) == chunks


@pytest.mark.parametrize("shown", ["", "x", "1.2.x", "-1", "1" * 5000, "1.٣", "9999999999"])
def test_what_a_page_says_of_itself_is_not_trusted(cast: Cast, alice: Client, shown: str) -> None:
    write(cast.test, "one")
    answer = poll(alice, after="../../x", shown=shown)
    assert answer.status_code == 200
    assert "follow" in answer.content.decode()


def test_pausing_keeps_the_place(cast: Cast, alice: Client) -> None:
    write(cast.test, "one")
    at = cursor(page(alice))
    write(cast.test, "two")
    paused = poll(alice, pause="1", **at).content.decode()
    assert (lines(paused), cursor(paused)) == ([], at)
    assert "hx-trigger" not in paused
    assert "Paused" in paused
    assert "Resume</button>" in paused
    resumed = poll(alice, resume="1", **at).content.decode()
    assert lines(resumed) == ["two"]
    assert 'hx-trigger="every 1s"' in resumed
    assert "Pause</button>" in resumed
    assert 'hx-trigger="every 1s"' in poll(alice, resume="1", **cursor(resumed)).content.decode()


def test_the_log_needs_access_to_monitoring(cast: Cast) -> None:
    bob = signed_in(cast.bob)
    for address in (TEST, TEST + "lines/", TEST + "days/", TEST + "days/2026-05-03/"):
        answer = bob.get(address)
        assert answer.status_code == 403
        assert "Access to Monitoring" in answer.content.decode()
    cast.grant(cast.bob, cast.test, Permission.MONITORING)
    assert bob.get(TEST).status_code == 200
    cast.grant(cast.bob, cast.production, Permission.MONITORING)
    assert bob.get(PRODUCTION)["Location"].startswith("/authenticator/")


def test_a_page_that_follows_production_ends_with_the_window(cast: Cast) -> None:
    write(cast.production, "one")
    alice = unlocked(cast.alice)
    at = cursor(page(alice, PRODUCTION))
    ProductionWindow.objects.update(ends_at=datetime.now(UTC))
    write(cast.production, "secret")
    for query in ({}, {"pause": "1"}, {"resume": "1"}):
        asks_for_a_new_page(poll(alice, PRODUCTION, **at, **query))
    day = f"{PRODUCTION}days/{datetime.now(UTC):%Y-%m-%d}/"
    assert alice.get(day)["Location"].startswith("/authenticator/")


def test_a_page_that_follows_ends_with_the_right_and_says_which_is_missing(cast: Cast) -> None:
    write(cast.test, "one")
    cast.grant(cast.bob, cast.test, Permission.MONITORING)
    bob = signed_in(cast.bob)
    at = cursor(page(bob, TEST))
    NodePermission.objects.filter(membership=cast.membership(cast.bob)).update(granted=False)
    asks_for_a_new_page(poll(bob, TEST, **at))
    assert "You need Access to Monitoring" in bob.get(TEST).content.decode()
    cast.membership(cast.bob).delete()
    asks_for_a_new_page(poll(bob, TEST, **at))
    assert bob.get(TEST).status_code == 404


@pytest.mark.parametrize("planted", ["link", "folder"])
def test_what_is_no_log_is_said_in_words(cast: Cast, alice: Client, tmp_path: Path, planted: str) -> None:
    write(cast.test, "one")
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    at, piece = cursor(page(alice)), folder_of(cast.test) / f"{today}.1.log"
    piece.unlink()
    (tmp_path / "secret").write_text(f"{today}T00:00:00.000Z 1 secret\n" * 9)
    piece.symlink_to(tmp_path / "secret") if planted == "link" else piece.mkdir()
    for address in (TEST, f"{TEST}days/{today}/"):
        answer = alice.get(address)
        text = answer.content.decode()
        assert (answer.status_code, "The log can’t be read" in text, "secret" in text) == (500, True, False)
    assert "Download" in page(alice, f"{TEST}days/")
    asks_for_a_new_page(poll(alice, **at))


def viewed() -> list[str]:
    return list(Activity.objects.filter(act="log.viewed").values_list("environment_name", flat=True))


def test_looking_at_production_is_recorded_once_an_hour_and_session(cast: Cast) -> None:
    write(cast.production, "one")
    write(cast.test, "one")
    alice = unlocked(cast.alice)
    page(alice, TEST)
    assert viewed() == []
    at = cursor(page(alice, PRODUCTION))
    for _ in range(3):
        poll(alice, PRODUCTION, **at)
        page(alice, PRODUCTION)
    assert viewed() == ["Production"]
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=61)):
        poll(alice, PRODUCTION, **at)
        poll(alice, PRODUCTION, **at)
    assert viewed() == ["Production"] * 2
    other = signed_in(cast.alice)
    unlock(other, cast.alice)
    page(other, PRODUCTION)
    assert viewed() == ["Production"] * 3


def test_looking_at_lines_alone_is_recorded_too(cast: Cast) -> None:
    poll(unlocked(cast.alice), PRODUCTION)
    assert viewed() == ["Production"]


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_days_are_listed_and_downloaded(cast: Cast, alice: Client) -> None:
    today = datetime.now(UTC).date()
    write(cast.test, "one", at=datetime(2026, 5, 3, 12, tzinfo=UTC))
    write(cast.test, "two")
    get_runtime().keep_logs(9999, 1024**3)
    text = page(alice, TEST + "days/")
    assert "Sunday" not in text
    assert "Sun 3 May 2026" in text
    assert text.index("(today, so far)") < text.index("Sun 3 May 2026")
    old = alice.get(f"{TEST}days/2026-05-03/")
    assert old["Content-Disposition"] == 'attachment; filename="calc-test-2026-05-03.log.gz"'
    assert (old["Content-Type"], old["Cache-Control"]) == ("application/gzip", "private, no-store")
    assert gzip.decompress(body(old)) == b"2026-05-03T12:00:00.000Z 17 one\n"
    new = alice.get(f"{TEST}days/{today}/")
    assert new["Content-Disposition"] == f'attachment; filename="calc-test-{today}.log"'
    assert body(new).endswith(b" 17 two\n")
    downloads = Activity.objects.filter(act="log.downloaded")
    assert list(downloads.order_by("pk").values_list("target", "environment_name")) == [
        ("3 May 2026", "Test"),
        (f"{today:%-d %B %Y}", "Test"),
    ]


def test_a_look_at_a_download_is_no_download(cast: Cast, alice: Client) -> None:
    write(cast.test, "one")
    assert alice.head(f"{TEST}days/{datetime.now(UTC):%Y-%m-%d}/").status_code == 200
    assert not Activity.objects.filter(act="log.downloaded").exists()


@pytest.mark.parametrize(
    "day",
    ["2026-5-3", "20260503", "2026-W18-7", "2026-02-30", "..", "2026-05-03.log", "٢٠٢٦-05-03", "%2e%2e%2f", "today"],
)
def test_a_day_is_a_day_and_nothing_else(alice: Client, day: str) -> None:
    assert alice.get(f"{TEST}days/{day}/").status_code == 404


def test_a_day_of_which_nothing_is_kept_leads_to_those_that_are(alice: Client) -> None:
    answer = alice.get(f"{TEST}days/2020-01-01/", follow=True)
    assert "No log of 1 January 2020 is kept." in answer.content.decode()


def test_a_link_in_the_place_of_a_log_gives_nothing(cast: Cast, alice: Client, tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("2026-05-03T12:00:00.000Z 17 secret\n")
    folder_of(cast.test).mkdir(parents=True)
    day = date.today()  # noqa: DTZ011 - any day
    (folder_of(cast.test) / f"{day}.1.log").symlink_to(secret)
    (folder_of(cast.test) / "2026-05-02.log.gz").symlink_to(secret)
    alice.raise_request_exception = False
    for address in (TEST, TEST + "lines/", f"{TEST}days/{day}/", f"{TEST}days/2026-05-02/"):
        answer = alice.get(address)
        assert answer.status_code == 500
        assert b"17 secret" not in answer.content
