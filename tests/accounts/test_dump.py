"""A dump of the whole database shows no secret that was used."""

import base64
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.core import mail
from django.db import connection

from tests.accounts.test_set_up import SET_UP, read_qr
from tests.cast import PASSWORD, Cast, signed_in
from tests.codes import code_for

NOTE = "what Alice typed while the window was closed"


def dump() -> str:
    """Every value of every table as text."""
    values = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608 - names of our own tables
            values += [repr(value) for row in cursor.fetchall() for value in row]
    return "\n".join(values)


def test_no_secret_of_a_whole_story_is_in_the_dump(
    cast: Cast, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.ENROLMENT_MAIL_CODE = True
    client = signed_in(cast.alice)
    client.post("/apps/calc/permissions/production/", {"note": NOTE})
    with django_capture_on_commit_callbacks(execute=True):
        client.post(SET_UP, {"step": "password", "password": PASSWORD})
    mailed = next(line for line in str(mail.outbox[-1].body).splitlines() if line.isdigit())
    during = dump()
    client.post(SET_UP, {"step": "mail", "code": mailed})
    secret = parse_qs(urlsplit(read_qr(client.get(SET_UP).content.decode())).query)["secret"][0]
    raw = base64.b32decode(secret)
    during += dump()
    code = code_for(raw)
    assert client.post(SET_UP, {"step": "code", "code": code}).status_code == 302
    everything = during + dump()
    for hidden in (
        secret,
        raw.hex(),
        base64.b64encode(raw).decode(),
        repr(raw),
        PASSWORD,
        NOTE,
        f"'{mailed}'",
        f"'{code}'",
    ):
        assert hidden not in everything
    assert "alice@example.org" in everything, "it was the database that was searched"
