"""Setting up an authenticator: password, QR code, first code; the secret is shown only until it is confirmed."""

import base64
import re
from datetime import timedelta
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
import zxingcpp
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.utils import timezone
from PIL import Image

from accounts import authenticators
from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, Authenticator, MailCode, ProductionWindow
from tests.cast import PASSWORD, Cast, signed_in, unlocked
from tests.codes import code_for, code_of

SET_UP = "/authenticator/set-up/"


def begin(client: object) -> str:
    """Confirm the password; gives the page with the QR code."""
    client.post(SET_UP, {"step": "password", "password": PASSWORD})  # type: ignore[attr-defined]
    return client.get(SET_UP).content.decode()  # type: ignore[attr-defined, no-any-return]


def read_qr(page: str) -> str:
    picture = re.search(r'src="data:image/png;base64,([^"]+)"', page)
    assert picture
    found = zxingcpp.read_barcodes(Image.open(BytesIO(base64.b64decode(picture[1]))).convert("L"))
    return str(found[0].text)


def test_the_qr_code_holds_the_secret_that_stands_beside_it(cast: Cast) -> None:
    client = signed_in(cast.alice)
    page = begin(client)
    uri = urlsplit(read_qr(page))
    secret = parse_qs(uri.query)["secret"][0]
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert "alice%40example.org" in uri.path
    assert parse_qs(uri.query)["issuer"] == ["Developer Portal"]
    assert " ".join(secret[i : i + 4] for i in range(0, len(secret), 4)) in page
    raw = base64.b32decode(secret)
    assert len(raw) == 20
    assert client.post(SET_UP, {"step": "code", "code": code_for(raw)}).status_code == 302
    assert ProductionWindow.objects.filter(user=cast.alice, ended_at=None).count() == 1


def test_the_page_with_the_secret_is_never_stored(cast: Cast) -> None:
    client = signed_in(cast.alice)
    begin(client)
    assert "no-store" in client.get(SET_UP).headers["Cache-Control"]


def test_nothing_begins_without_the_password(cast: Cast) -> None:
    client = signed_in(cast.alice)
    answer = client.post(SET_UP, {"step": "password", "password": "not the password"})
    assert "This is not your password" in answer.content.decode()
    assert "data:image" not in answer.content.decode()
    assert not Authenticator.objects.exists()


def test_a_wrong_first_code_says_what_to_check_and_keeps_the_secret(cast: Cast) -> None:
    client = signed_in(cast.alice)
    uri = read_qr(begin(client))
    for code, said in (
        (code_of(cast.alice, 10), "clock is about 5 min ahead"),
        (code_of(cast.alice, -3), "clock is about 1 min 30 s behind"),
        (never_right(cast), "That code is not right"),
    ):
        answer = client.post(SET_UP, {"step": "code", "code": code}).content.decode()
        assert said in answer
        assert read_qr(answer) == uri


def never_right(cast: Cast) -> str:
    """A code that no clock makes that is off by a day or less."""
    now = timezone.now()
    authenticator = Authenticator.objects.get(user=cast.alice)
    return next(code for code in (f"{n:06d}" for n in range(99)) if authenticator.steps_off(code, now) is None)


def test_once_in_force_a_code_of_another_time_says_nothing_about_the_clock(cast: Cast) -> None:
    """It would tell an attacker which code comes next."""
    unlocked(cast.alice)
    page = signed_in(cast.alice).post("/authenticator/", {"code": code_of(cast.alice, 10)}).content.decode()
    assert "That code is not right" in page
    assert "ahead" not in page


def mail_code() -> str:
    return next(line for line in str(mail.outbox[-1].body).splitlines() if line.isdigit())


@pytest.fixture
def by_mail(settings: Any) -> None:
    settings.ENROLMENT_MAIL_CODE = True


@pytest.mark.usefixtures("by_mail")
def test_with_the_setting_a_code_from_the_mail_is_asked_for_too(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    client = signed_in(cast.alice)
    with django_capture_on_commit_callbacks(execute=True):
        assert "data:image" not in begin(client)
    code = mail_code()
    assert code not in str(MailCode.objects.values())
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    assert "not the code from the mail" in client.post(SET_UP, {"step": "mail", "code": wrong}).content.decode()
    assert client.post(SET_UP, {"step": "mail", "code": code}).status_code == 302
    assert "data:image" in client.get(SET_UP).content.decode()
    assert not MailCode.objects.exists(), "once"


@pytest.mark.usefixtures("by_mail")
def test_the_code_from_the_mail_belongs_to_its_session_and_lasts_ten_minutes_and_five_tries(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    client, other, start = signed_in(cast.alice), signed_in(cast.alice), timezone.now()
    with django_capture_on_commit_callbacks(execute=True):
        begin(client)
    code = mail_code()
    other.post(SET_UP, {"step": "mail", "code": code})
    assert not Authenticator.objects.exists()
    with time_machine.travel(start + timedelta(minutes=11)):
        assert "no longer works" in client.post(SET_UP, {"step": "mail", "code": code}).content.decode()
    for _ in range(5):
        client.post(SET_UP, {"step": "mail", "code": f"{(int(code) + 1) % 10**6:06d}"})
    assert "no longer works" in client.post(SET_UP, {"step": "mail", "code": code}).content.decode()
    assert not Authenticator.objects.exists()


@pytest.mark.usefixtures("by_mail")
def test_the_first_code_alone_sets_nothing_up(cast: Cast) -> None:
    client = signed_in(cast.alice)
    begin(client)
    answer = client.post(SET_UP, {"step": "code", "code": "123456"}).content.decode()
    assert "Start again" in answer


def test_a_new_start_voids_the_one_before(cast: Cast) -> None:
    one, two = signed_in(cast.alice), signed_in(cast.alice)
    begin(one)
    old = code_of(cast.alice)
    begin(two)
    assert "Start again" in one.post(SET_UP, {"step": "code", "code": old}).content.decode()
    assert two.post(SET_UP, {"step": "code", "code": code_of(cast.alice)}).status_code == 302


def test_it_lasts_ten_minutes(cast: Cast) -> None:
    start = timezone.now()
    with time_machine.travel(start, tick=False) as clock:
        client = signed_in(cast.alice)
        begin(client)
        clock.move_to(start + timedelta(minutes=10, seconds=1))
        assert "data:image" not in client.get(SET_UP).content.decode()
        assert client.post(SET_UP, {"step": "code", "code": code_of(cast.alice)}).status_code == 200
    assert not Authenticator.objects.filter(confirmed=True).exists()


def test_another_session_sees_no_secret(cast: Cast) -> None:
    begin(signed_in(cast.alice))
    assert "data:image" not in signed_in(cast.alice).get(SET_UP).content.decode()


def test_a_confirmed_authenticator_blocks_another_one_and_is_never_shown(cast: Cast) -> None:
    client = unlocked(cast.alice)
    answer = client.post(SET_UP, {"step": "password", "password": PASSWORD})
    assert answer.headers["Location"].startswith("/authenticator/")
    assert Authenticator.objects.count() == 1
    with pytest.raises(authenticators.NotAllowed):
        authenticators.setup_of(Authenticator.objects.get())


def test_the_person_and_their_technical_contacts_are_told(
    cast: Cast, django_capture_on_commit_callbacks: object
) -> None:
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        unlocked(cast.bob)
    told = {address for message in mail.outbox for address in message.to}
    assert told == {cast.bob.email, cast.alice.email}
    assert all(isinstance(m, EmailMultiAlternatives) and m.alternatives for m in mail.outbox)
    assert Activity.objects.filter(act="authenticator.set-up", actor_id=cast.bob.pk).exists()


def test_the_secret_is_not_in_the_database_in_clear(cast: Cast) -> None:
    client = signed_in(cast.alice)
    secret = parse_qs(urlsplit(read_qr(begin(client))).query)["secret"][0]
    raw = base64.b32decode(secret)
    stored = Authenticator.objects.get().secret
    assert secret not in stored
    assert raw.hex() not in stored
    assert raw.hex().encode() not in base64.urlsafe_b64decode(stored)


@pytest.mark.usefixtures("by_mail")
def test_new_codes_from_mails_are_no_way_to_try_on_and_on(cast: Cast, django_capture_on_commit_callbacks: Any) -> None:
    """Whoever has the password gets a new code, and five tries with it, whenever they like: twenty in a day."""
    client, start = signed_in(cast.alice), timezone.now()
    for _ in range(4):
        with django_capture_on_commit_callbacks(execute=True):
            begin(client)
        for _ in range(5):
            client.post(SET_UP, {"step": "mail", "code": f"{(int(mail_code()) + 1) % 10**6:06d}"})
    assert Activity.objects.filter(act=Act.MAIL_CODE_WRONG, actor_id=cast.alice.pk).count() == 20
    refused = client.post(SET_UP, {"step": "password", "password": PASSWORD})
    assert "Too many wrong codes from mails" in refused.content.decode()
    assert "Too many" in signed_in(cast.alice).post(SET_UP, {"step": "password", "password": PASSWORD}).content.decode()
    with time_machine.travel(start + timedelta(days=1, minutes=1)):
        client = signed_in(cast.alice)
        assert client.post(SET_UP, {"step": "password", "password": PASSWORD}).status_code == 302


@pytest.mark.usefixtures("by_mail")
def test_with_another_password_the_codes_from_mails_begin_anew(cast: Cast) -> None:
    for _ in range(20):
        record(Act.MAIL_CODE_WRONG, Actor(cast.alice))
    client, new = signed_in(cast.alice), "another long enough password"
    assert client.post(SET_UP, {"step": "password", "password": PASSWORD}).status_code == 200
    client.post("/account/password/", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})
    assert client.post(SET_UP, {"step": "password", "password": new}).status_code == 302
