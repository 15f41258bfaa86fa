"""`manage.py staff_authenticator EMAIL`: how the first member of the support staff gets an authenticator."""

import builtins
import io
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
import zxingcpp
from django.core import mail
from django.core.management import CommandError, call_command
from django.utils import timezone
from PIL import Image

from accounts.acts import Act
from accounts.models import Activity, Authenticator, ProductionWindow, Session, User
from tests.cast import PASSWORD, Cast, make_person, signed_in, unlock, unlocked
from tests.codes import code_of, wrong_code

HALVES = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0), "\xa0": (0, 0)}
SCALE = 6


class Terminal:
    """What the operator types, line by line (a function is asked at that moment), and what they see."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.typed: list[str | Callable[[], str]] = []
        self.out, self.err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(builtins, "input", self.read)

    def read(self, prompt: str = "") -> str:
        if not self.typed:
            raise EOFError
        line = self.typed.pop(0)
        return line if isinstance(line, str) else line()

    def run(self, email: str, *options: str, typed: list[str | Callable[[], str]]) -> None:
        self.typed = typed
        call_command("staff_authenticator", email, *options, stdout=self.out, stderr=self.err)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(monkeypatch)


def scan(shown: str, light_on_dark: bool) -> str:
    """Read the QR code off the terminal as a phone's camera does."""
    rows = [line for line in shown.splitlines() if len(line) > 20 and set(line) <= HALVES.keys()]
    width = max(map(len, rows))
    picture = Image.new("L", (width, 2 * len(rows)))
    for y, row in enumerate(rows):
        for x, character in enumerate(row.ljust(width)):
            for half in (0, 1):
                written = HALVES[character][half]
                picture.putpixel((x, 2 * y + half), 255 if written == light_on_dark else 0)
    large = picture.resize((picture.width * SCALE, picture.height * SCALE), Image.Resampling.NEAREST)
    (found,) = zxingcpp.read_barcodes(large, try_invert=False)
    return str(found.text)


def test_it_shows_code_and_key_asks_for_the_first_code_and_puts_it_in_force(
    cast: Cast, terminal: Terminal, django_capture_on_commit_callbacks: object
) -> None:
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        terminal.run("Sam@Example.org", typed=[lambda: code_of(cast.sam)])
    assert "The authenticator of Sam is set up." in terminal.out.getvalue()
    authenticator = Authenticator.objects.get()
    assert (authenticator.user, authenticator.confirmed) == (cast.sam, True)
    entry = Activity.objects.get(act=Act.AUTHENTICATOR_SET_UP)
    assert (entry.actor_name, entry.via) == ("Sam", "shell")
    (told,) = [message for message in mail.outbox if message.to == [cast.sam.email]]
    assert "on the command line of the portal" in str(told.body)


@pytest.mark.parametrize(("options", "light_on_dark"), [((), True), (("--invert",), False)])
def test_a_phone_scans_it_and_the_key_as_text_is_the_same(
    cast: Cast, terminal: Terminal, options: tuple[str, ...], light_on_dark: bool
) -> None:
    terminal.run(cast.sam.email, *options, typed=[lambda: code_of(cast.sam)])
    shown = terminal.out.getvalue()
    uri = urlsplit(scan(shown, light_on_dark))
    assert uri.scheme == "otpauth"
    secret = parse_qs(uri.query)["secret"][0]
    assert " ".join(secret[start : start + 4] for start in range(0, len(secret), 4)) in shown


def test_it_opens_no_window_and_no_session_and_later_the_code_page_does(cast: Cast, terminal: Terminal) -> None:
    terminal.run(cast.sam.email, typed=[lambda: code_of(cast.sam)])
    assert not ProductionWindow.objects.exists()
    assert not Session.objects.exists()
    client = signed_in(cast.sam)
    assert client.get("/admin/").status_code == 302
    assert client.post("/authenticator/", {"code": code_of(cast.sam)}).status_code == 200, "that code is used up"
    unlock(client, cast.sam)
    assert client.get("/admin/").status_code == 200


def test_a_wrong_code_is_said_and_asked_for_again(cast: Cast, terminal: Terminal) -> None:
    terminal.run(cast.sam.email, typed=["12345", lambda: wrong_code(cast.sam), lambda: code_of(cast.sam)])
    said = terminal.err.getvalue()
    assert "A code is six digits." in said
    assert "That code is not right." in said
    assert Authenticator.objects.get().confirmed


def test_whoever_stops_leaves_nothing_behind(cast: Cast, terminal: Terminal) -> None:
    with pytest.raises(CommandError, match="Nothing was set up"):
        terminal.run(cast.sam.email, typed=[])
    assert not Authenticator.objects.exists()
    assert not Activity.objects.filter(act=Act.AUTHENTICATOR_SET_UP).exists()


def test_after_ten_minutes_it_is_over(cast: Cast, terminal: Terminal) -> None:
    start = timezone.now()
    with time_machine.travel(start, tick=False) as clock:

        def late() -> str:
            clock.move_to(start + timedelta(minutes=10, seconds=1))
            return code_of(cast.sam)

        with pytest.raises(CommandError, match="longer than ten minutes"):
            terminal.run(cast.sam.email, typed=[late])
    assert not Authenticator.objects.exists()


def test_begun_again_in_the_browser_meanwhile_the_terminal_confirms_nothing(cast: Cast, terminal: Terminal) -> None:
    client = signed_in(cast.sam)

    def elsewhere() -> str:
        client.post("/authenticator/set-up/", {"step": "password", "password": PASSWORD})
        return code_of(cast.sam)

    with pytest.raises(CommandError, match="begun again elsewhere"):
        terminal.run(cast.sam.email, typed=[elsewhere])
    assert not Authenticator.objects.get().confirmed, "the browser's own is left to the browser"


def test_only_for_staff_without_one(cast: Cast, terminal: Terminal) -> None:
    unlocked(cast.sam)
    with pytest.raises(CommandError, match="set up already"):
        terminal.run(cast.sam.email, typed=[])
    assert Authenticator.objects.get().confirmed
    with pytest.raises(CommandError, match="not an active account of the support staff"):
        terminal.run(cast.alice.email, typed=[])
    gone = make_person("gone")
    User.objects.filter(pk=gone.pk).update(is_staff=True, is_active=False)
    with pytest.raises(CommandError, match="not an active account"):
        terminal.run(gone.email, typed=[])
    with pytest.raises(CommandError, match="Nobody has an account"):
        terminal.run("nobody@example.org", typed=[])


def test_a_blocked_one_is_not_replaced(cast: Cast, terminal: Terminal) -> None:
    unlocked(cast.sam)
    Authenticator.objects.update(blocked_at=timezone.now())
    with pytest.raises(CommandError, match="set up already"):
        terminal.run(cast.sam.email, typed=[lambda: code_of(cast.sam)])
    assert Authenticator.objects.get().blocked_at is not None
