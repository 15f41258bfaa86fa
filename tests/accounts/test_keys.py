"""The keys of what is encrypted: rotated while the portal runs, and said plainly when they don't fit."""

import io
import os
import re
import subprocess
import sys
import threading
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.core import mail
from django.core.checks import Tags, run_checks
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, models
from django.test import Client
from django.utils import timezone

from accounts import keys, secrets
from accounts.acts import Act
from accounts.models import Activity, Authenticator, Interrupted, ProductionWindow
from portal.env import BASE_DIR
from tests.cast import PASSWORD, Cast, forget_last_step, signed_in, unlocked
from tests.codes import code_for, code_of, secret_of

PRODUCTION = "/apps/calc/permissions/production/"
OTHER = Fernet.generate_key().decode()
NEW = Fernet.generate_key().decode()
TOKEN = re.compile(r"gAAAAA[\w=-]{20,}", re.ASCII)


def rotate(*options: str) -> str:
    out = io.StringIO()
    call_command("rotate_keys", *options, stdout=out)
    return out.getvalue()


def everything_encrypted() -> list[str]:
    """Every token in any text column of any table, whatever wrote it there."""
    found: list[str] = []
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, models.CharField | models.TextField):
                texts = model._base_manager.values_list(field.name, flat=True)
                found += [token for text in texts for token in TOKEN.findall(str(text))]
    return found


def kept_form(cast: Cast) -> Client:
    client = signed_in(cast.alice)
    client.post(PRODUCTION, {"kept": "what was typed"})
    assert Interrupted.objects.exists()
    return client


def test_everything_is_encrypted_with_the_newest_key_and_nobody_enrols_again(cast: Cast, settings: Any) -> None:
    unlocked(cast.alice), unlocked(cast.bob)
    kept_form(cast)
    before = secret_of(cast.alice)
    settings.ENCRYPTION_KEYS = [NEW, *settings.ENCRYPTION_KEYS]
    said = rotate()
    assert "authenticator secret: 2 encrypted with the newest key, 0 already." in said
    assert "interrupted fields: 1 encrypted" in said
    settings.ENCRYPTION_KEYS = [NEW]
    assert len(everything_encrypted()) == 3
    for token in everything_encrypted():
        Fernet(NEW).decrypt(token)
    assert secret_of(cast.alice) == before
    client = signed_in(cast.alice)
    forget_last_step(cast.alice)
    assert client.post("/authenticator/", {"code": code_of(cast.alice)}).headers["Location"] == "/"


def test_a_second_time_there_is_nothing_to_do(cast: Cast, settings: Any) -> None:
    unlocked(cast.alice)
    settings.ENCRYPTION_KEYS = [NEW, *settings.ENCRYPTION_KEYS]
    rotate()
    assert "authenticator secret: 0 encrypted with the newest key, 1 already." in rotate()
    assert Activity.objects.filter(act=Act.KEYS_ROTATED).count() == 1


def test_it_is_recorded_as_done_on_the_command_line(cast: Cast, settings: Any) -> None:
    unlocked(cast.alice)
    settings.ENCRYPTION_KEYS = [NEW, *settings.ENCRYPTION_KEYS]
    rotate()
    entry = Activity.objects.get(act=Act.KEYS_ROTATED)
    assert (entry.via, entry.target) == ("shell", "authenticator secret: 1")


def test_without_its_record_nothing_is_encrypted_anew(
    cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlocked(cast.alice)
    before = everything_encrypted()
    settings.ENCRYPTION_KEYS = [NEW, *settings.ENCRYPTION_KEYS]

    def fail(**kwargs: Any) -> None:
        raise DatabaseError("The record can't be written.")

    monkeypatch.setattr(Activity.objects, "create", fail)
    with pytest.raises(DatabaseError):
        rotate()
    assert everything_encrypted() == before


def test_each_lot_of_rows_brings_its_record(cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    unlocked(cast.alice), unlocked(cast.bob), unlocked(cast.sam)
    settings.ENCRYPTION_KEYS = [NEW, *settings.ENCRYPTION_KEYS]
    monkeypatch.setattr(keys, "AT_A_TIME", 2)
    assert "authenticator secret: 3 encrypted" in rotate()
    found = Activity.objects.filter(act=Act.KEYS_ROTATED).order_by("pk").values_list("target", flat=True)
    assert list(found) == ["authenticator secret: 2", "authenticator secret: 1"]


def test_a_dry_run_counts_and_changes_nothing(cast: Cast, settings: Any) -> None:
    unlocked(cast.alice)
    before = everything_encrypted()
    settings.ENCRYPTION_KEYS = [NEW, *settings.ENCRYPTION_KEYS]
    assert "authenticator secret: 1 to encrypt with the newest key, 0 already." in rotate("--dry-run")
    assert everything_encrypted() == before
    assert not Activity.objects.filter(act=Act.KEYS_ROTATED).exists()


def test_what_no_key_fits_is_said_and_left_and_the_rest_is_done(cast: Cast, settings: Any) -> None:
    unlocked(cast.alice), unlocked(cast.bob)
    lost = Fernet(OTHER).encrypt(b"00").decode()
    Authenticator.objects.filter(user=cast.bob).update(secret=lost)
    settings.ENCRYPTION_KEYS = [NEW, *settings.ENCRYPTION_KEYS]
    out = io.StringIO()
    with pytest.raises(CommandError, match="a key that ENCRYPTION_KEYS does not hold"):
        call_command("rotate_keys", stdout=out)
    assert "1 encrypted with the newest key, 0 already, 1 that no key fits" in out.getvalue()
    assert Authenticator.objects.get(user=cast.bob).secret == lost
    Fernet(NEW).decrypt(Authenticator.objects.get(user=cast.alice).secret)


def test_every_encrypted_column_is_found_by_its_type() -> None:
    assert {(column.model, column.field) for column in keys.columns()} >= {
        (Authenticator, "secret"),
        (Interrupted, "fields"),
    }


@pytest.mark.django_db(transaction=True)
def test_a_code_entered_meanwhile_is_neither_lost_nor_accepted_again(settings: Any) -> None:
    from tests.cast import make_cast

    cast = make_cast()
    unlocked(cast.alice)
    old = settings.ENCRYPTION_KEYS
    client = signed_in(cast.alice)
    for round_ in range(5):
        settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.ENCRYPTION_KEYS]
        forget_last_step(cast.alice)
        code = code_of(cast.alice)
        threads = [
            threading.Thread(target=in_thread, args=(lambda: keys.rotate(),)),
            threading.Thread(
                target=in_thread, args=(lambda code=code: client.post("/authenticator/", {"code": code}),)
            ),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = Authenticator.objects.get(user=cast.alice)
        assert found.last_step >= found.last_used_at.timestamp() // 30 - 1, round_
        try:
            Fernet(settings.ENCRYPTION_KEYS[0]).decrypt(found.secret)
        except InvalidToken:
            pytest.fail("the code wrote the old secret back")
    assert old


def in_thread(work: Any) -> None:
    try:
        work()
    finally:
        connection.close()


# The wrong key


def test_with_the_wrong_key_the_right_code_is_refused_in_words(cast: Cast, settings: Any) -> None:
    unlocked(cast.alice)
    client, code, dialog = signed_in(cast.alice), code_of(cast.alice), "/authenticator/dialog/"
    forget_last_step(cast.alice)
    settings.ENCRYPTION_KEYS = [OTHER]
    page = client.post("/authenticator/", {"code": code})
    assert (page.status_code, client.get(PRODUCTION).status_code) == (200, 302)
    assert "The portal can&#x27;t read your authenticator just now. Tell support." in page.content.decode()
    assert client.post(dialog, {"code": code}).status_code == 422
    assert Authenticator.objects.get().throttling_failure_count == 0, "it is not the person's fault"


def test_with_the_wrong_key_setting_up_begins_again_and_no_code_confirms(cast: Cast, settings: Any) -> None:
    client = signed_in(cast.bob)
    client.post("/authenticator/set-up/", {"step": "password", "password": PASSWORD})
    code = code_for(secret_of(cast.bob))
    settings.ENCRYPTION_KEYS = [OTHER]
    page = client.get("/authenticator/set-up/")
    assert page.status_code == 200
    assert "can&#x27;t be read any more" in page.content.decode()
    answer = client.post("/authenticator/set-up/", {"step": "code", "code": code})
    assert answer.status_code == 200
    assert not Authenticator.objects.filter(confirmed=True).exists()
    client.post("/authenticator/set-up/", {"step": "password", "password": PASSWORD})
    assert "QR code" in client.get("/authenticator/set-up/").content.decode()


def test_with_the_wrong_key_a_kept_form_is_gone_and_nothing_was_done(cast: Cast, settings: Any) -> None:
    unlocked(cast.alice)
    client = kept_form(cast)
    kept = Interrupted.objects.get()
    settings.ENCRYPTION_KEYS = [OTHER]
    answer = client.get(f"/authenticator/continue/{kept.pk}/", follow=True)
    assert answer.status_code == 200
    assert "is gone" in answer.content.decode()


@pytest.mark.parametrize("path", ["/account/", "/authenticator/", "/authenticator/help/", "/account/history/", "/"])
def test_with_the_wrong_key_every_other_page_is_there(cast: Cast, settings: Any, path: str) -> None:
    client = unlocked(cast.alice)
    settings.ENCRYPTION_KEYS = [OTHER]
    assert client.get(path).status_code == 200


def test_support_can_disable_what_can_not_be_read(cast: Cast, settings: Any) -> None:
    unlocked(cast.alice)
    sam = unlocked(cast.sam)
    settings.ENCRYPTION_KEYS = [OTHER]
    assert sam.get("/admin/accounts/user/").status_code == 200
    typed = {"people": cast.alice.pk, "reason": "Keys are lost.", "identity_check": "Met her."}
    sam.post("/admin/accounts/user/disable/", typed)
    assert not cast.alice.authenticators.exists()


def test_with_lost_keys_the_operator_disables_what_no_key_fits_and_nothing_else(
    cast: Cast, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    for person in (cast.alice, cast.bob):
        unlocked(person)
    Authenticator.objects.filter(user=cast.bob).update(blocked_at=timezone.now())
    settings.ENCRYPTION_KEYS = [OTHER]
    unlocked(cast.sam)
    with django_capture_on_commit_callbacks(execute=True), pytest.raises(CommandError):  # Bob's is left
        rotate("--disable-unreadable")
    assert set(Authenticator.objects.values_list("user__name", flat=True)) == {"Bob", "Sam"}
    entry = Activity.objects.get(act=Act.AUTHENTICATOR_DISABLED)
    assert (entry.actor_name, entry.target, entry.via) == ("The operator", "Alice", "shell")
    assert set(cast.alice.windows.values_list("ended_why", flat=True)) == {ProductionWindow.End.DISABLED}
    assert [m.subject for m in mail.outbox if m.to == [cast.alice.email]][-1] == "Your authenticator was disabled"


def test_a_dry_run_disables_nothing(cast: Cast, settings: Any) -> None:
    unlocked(cast.alice)
    settings.ENCRYPTION_KEYS = [OTHER]
    with pytest.raises(CommandError):
        rotate("--dry-run", "--disable-unreadable")
    assert cast.alice.authenticators.exists()


def test_readyz_names_the_setting(cast: Cast, settings: Any) -> None:
    unlocked(cast.alice)
    assert Client().get("/readyz").json()["ENCRYPTION_KEYS"] is True
    settings.ENCRYPTION_KEYS = [OTHER]
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ENCRYPTION_KEYS"] is False


def test_the_check_says_in_a_sentence_which_setting_is_wrong(cast: Cast, settings: Any) -> None:
    unlocked(cast.alice)
    assert run_checks(tags=[Tags.database], databases=["default"]) == []
    settings.ENCRYPTION_KEYS = [OTHER]
    (error,) = run_checks(tags=[Tags.database], databases=["default"])
    assert error.id == "accounts.E001"
    assert "ENCRYPTION_KEYS does not hold the key that encrypted what is in the database" in error.msg
    assert run_checks() == [], "without the database nothing is read"


def test_an_older_key_that_was_taken_out_too_early_is_noticed(cast: Cast, settings: Any) -> None:
    unlocked(cast.alice)
    settings.ENCRYPTION_KEYS = [NEW, *settings.ENCRYPTION_KEYS]
    unlocked(cast.bob)
    assert keys.fit()
    settings.ENCRYPTION_KEYS = [NEW]
    assert not keys.fit()


def test_a_kept_form_that_can_not_be_read_is_no_alarm(cast: Cast, settings: Any) -> None:
    kept_form(cast)
    settings.ENCRYPTION_KEYS = [OTHER]
    assert keys.fit()


def test_at_start_the_portal_says_so_or_keeps_quiet(tmp_path: Any) -> None:
    """Web worker and `manage.py run` as processes of their own, on a database that another key was used for."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
        "PORTAL_ENV_FILE": os.devnull, "PORTAL_MODE": "demo", "PORTAL_VAR": str(tmp_path), "ENCRYPTION_KEYS": NEW,
    }  # fmt: skip

    def manage(*command: str, key: str = NEW) -> "subprocess.CompletedProcess[str]":
        own = environment | {"ENCRYPTION_KEYS": key}
        return subprocess.run([sys.executable, *command], cwd=BASE_DIR, env=own, capture_output=True, text=True)

    assert "ENCRYPTION_KEYS" not in manage("-c", "import portal.wsgi").stderr, "no tables yet: others say so"
    assert manage("manage.py", "migrate", "-v0").returncode == 0
    enrol = (
        "import portal.wsgi; from accounts.models import *; from accounts import secrets;"
        "u = User.objects.create_user('a@example.org', 'A', None);"
        "Authenticator.objects.create(user=u, name='x', secret=secrets.encrypt('00'))"
    )
    assert manage("-c", enrol).returncode == 0
    assert "ENCRYPTION_KEYS" not in manage("-c", "import portal.wsgi").stderr
    web = manage("-c", "import portal.wsgi", key=OTHER)
    assert web.returncode == 0
    assert "ENCRYPTION_KEYS does not hold the key" in web.stderr
    run = manage("manage.py", "run", key=OTHER)
    assert run.returncode == 1
    assert "ENCRYPTION_KEYS does not hold the key" in run.stderr


def test_an_older_key_decrypts_and_the_first_one_encrypts(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OTHER]
    token = secrets.encrypt("x")
    settings.ENCRYPTION_KEYS = [NEW, OTHER]
    assert secrets.decrypt(token) == "x"
    fresh = secrets.reencrypt(token)
    assert fresh
    assert secrets.reencrypt(fresh) is None
    settings.ENCRYPTION_KEYS = [NEW]
    assert secrets.decrypt(fresh) == "x"
    with pytest.raises(secrets.Unreadable):
        secrets.reencrypt(token)
