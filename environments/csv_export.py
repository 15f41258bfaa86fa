"""CSV that people open in a spreadsheet: RFC 4180, streamed row by row, and nothing in it runs there."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice

from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

from portal.templatetags.portal import inert

BOM = "\ufeff"  # without it Excel reads UTF-8 as the machine's own code page, and "Zoë" becomes "ZoÃ«"
ROWS_AT_ONCE = 200  # some 20 KB: few writes to the browser, flat memory
# SECURITY: what a spreadsheet takes for a formula, wherever one that is set to another separator begins a cell;
# full-width signs count too, since some of them read those as the plain ones
_FORMULA = re.compile(r"^(?=[\t\r\n])|(?:^|(?<=[;,|\t\r\n]))(?=[^\S\r\n]*[=+\-@＝＋－＠])")


def defused(text: object) -> str:
    """Give a cell that no spreadsheet takes for a formula, with an apostrophe where one would begin.

    Control characters are shown as visible marks, as on the pages.
    """
    return _FORMULA.sub("'", inert(text))


def stream(filename: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> StreamingHttpResponse:
    """Answer with a CSV file. `filename` is the server's own; times become ISO 8601 in UTC, booleans yes and no.

    The rows are asked for while they are sent, when the view has returned: whoever calls has checked every right,
    and reads from a queryset's `iterator()`, which needs no transaction.
    """
    return StreamingHttpResponse(
        _chunks(chain([header], rows)),
        content_type="text/csv; charset=utf-8; header=present",
        headers={
            "Content-Disposition": content_disposition_header(True, filename) or "attachment",
            "Cache-Control": "no-store",
        },
    )


class _Line:
    """What `csv.writer` writes to: gives the line back."""

    def write(self, line: str) -> str:
        return line


def _chunks(rows: Iterator[Sequence[object]]) -> Iterator[str]:
    writer = csv.writer(_Line(), lineterminator="\r\n")
    yield BOM
    while lines := [writer.writerow(map(_cell, row)) for row in islice(rows, ROWS_AT_ONCE)]:
        yield "".join(map(str, lines))


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    if isinstance(value, int):
        return str(value)
    return "" if value is None else defused(value)
