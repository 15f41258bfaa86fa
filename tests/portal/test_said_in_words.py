"""What can't be done is said on a page that leads on: no bare answer, no page that names nothing."""

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.models import User
from tests.cast import Cast, signed_in, unlocked

SAVE = "/apps/calc/permissions/production/"


@pytest.mark.parametrize("address", ["/sign-out/", "/authenticator/end/", "/account/sessions/end-others/"])
def test_an_address_that_only_takes_forms_says_so_and_says_which_methods_it_takes(cast: Cast, address: str) -> None:
    client = signed_in(cast.bob)
    for answer in (client.get(address), client.put(address)):
        assert answer.status_code == 405
        assert answer.headers["Allow"] == "POST"
        page = answer.content.decode()
        assert "This address only takes what a button sends" in page
        assert "Go to your apps" in page
    assert client.get("/").status_code == 200, "still signed in"


@pytest.mark.parametrize("scheme", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_too_many_fields_are_a_page_that_says_so(cast: Cast, scheme: str) -> None:
    fields = {f"f{number}": "" for number in range(settings.DATA_UPLOAD_MAX_NUMBER_FIELDS + 1)}
    client = unlocked(cast.alice)
    if scheme.startswith("multipart"):
        answer = client.post(SAVE, fields)
    else:
        answer = client.post(SAVE, "&".join(f"{name}=" for name in fields), content_type=scheme)
    assert answer.status_code == 413
    page = answer.content.decode()
    assert "It has more than 1000 fields. Nothing was kept and nothing was changed." in page
    assert "Alice" in page, "the frame of the portal"


def test_texts_that_are_too_long_are_a_page_that_says_so(cast: Cast) -> None:
    """An upload may be large; the texts beside its file may not."""
    client = signed_in(cast.alice)
    text = "x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    answer = client.post("/apps/calc/packages/upload/", {"text": text})
    assert answer.status_code == 413
    assert "Its texts are longer than 256 kB together." in answer.content.decode()


def test_too_many_files_are_a_page_that_says_so(cast: Cast) -> None:
    files = {f"f{number}": SimpleUploadedFile("a.txt", b"a") for number in range(101)}
    answer = signed_in(cast.alice).post("/apps/calc/packages/upload/", files)
    assert answer.status_code == 413
    assert "It has more than 100 files." in answer.content.decode()


def test_names_in_messages_and_in_the_frame_are_inert(cast: Cast) -> None:
    User.objects.filter(pk=cast.bob.pk).update(name="Bob\u202egnp")
    cast.app.name = "Calc\u202egnp"
    cast.app.save()
    alice, member = unlocked(cast.alice), cast.membership(cast.bob).pk
    page = alice.post(
        SAVE, {f"seen-{member}-transport": "0", f"{member}-transport": "on"}, follow=True
    ).content.decode()
    assert "Saved: Bob" in page
    for client in (alice, signed_in(cast.bob)):
        for address in ("/", "/apps/calc/", "/apps/calc/environments/test/", "/account/"):
            assert "\u202e" not in client.get(address).content.decode().replace('value="Bob\u202egnp"', ""), address
    assert "\u202e" not in page
