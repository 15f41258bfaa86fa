"""Tags and filters of the look; they are built in, so no template loads them."""

import functools
import re
import unicodedata
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal.icons import PATHS
from portal.looks import look, step_look

register = template.Library()
register.filter("look", look)
register.filter("step_look", step_look)

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))
_RELATIVE_UNTIL = timedelta(days=7)
_HASH = re.compile(r"[0-9a-f]{40,}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\S+")
_MARKED = ("Cc", "Cf", "Zl", "Zp")  # categories of Unicode
_WAYS = {"shell": "from the command line", "admin": "in the admin", "API": "by the Deploy API"}


@register.simple_tag
@functools.lru_cache(maxsize=256, typed=True)  # typed: a text that is safe as it is and one that isn't are two
def icon(name: str, label: str = "") -> SafeString:
    """Draw an icon of `portal.icons`; without a label it is decoration that screen readers skip."""
    said = format_html('role="img" aria-label="{}"', label) if label else SafeString('aria-hidden="true"')
    return format_html(
        '<svg class="icon icon-{}" viewBox="0 0 16 16" width="16" height="16" {}><path d="{}"></path></svg>',
        name,
        said,
        PATHS[name],
    )


@register.simple_tag
def moment(at: datetime | None, style: str = "relative") -> SafeString | str:
    """Write a time in the person's zone: `relative` (exact on hover and for screen readers), `exact` or `clock`."""
    if at is None:
        return "–"
    local, now = timezone.localtime(at), timezone.localtime()
    exact = _exact(local)
    if style == "exact":
        return format_html('<time datetime="{}">{}</time>', at.isoformat(), exact)
    if style == "clock":
        return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact, _clock(local, now))
    return format_html(
        '<time datetime="{}" title="{}" data-moment><span aria-hidden="true">{}</span>'
        '<span class="hidden">{}</span></time>',
        at.isoformat(),
        exact,
        relative(at, now),
        exact,
    )


def relative(at: datetime, now: datetime) -> str:
    """Say how far a time is away; beyond a week it is a date. `static/js/portal.js` keeps the same words."""
    gap = abs(at - now)
    if gap > _RELATIVE_UNTIL:
        return _date(timezone.localtime(at))
    for unit, seconds in _UNITS:
        count = int(gap.total_seconds() // seconds)
        if count:
            words = f"{count} {unit}{'' if count == 1 else 's'}"
            return f"in {words}" if at > now else f"{words} ago"
    return "in a moment" if at > now else "just now"


def _date(at: datetime) -> str:
    return f"{at.day} {at:%b %Y}"


def _exact(at: datetime) -> str:
    return at.strftime(f"%a {at.day} %b %Y, %H:%M:%S %Z")


def _clock(at: datetime, now: datetime) -> str:
    days = (at.date() - now.date()).days
    if days == 0:
        return f"{at:%H:%M}"
    return f"{at:%H:%M} tomorrow" if days == 1 else f"{at:%H:%M} on {_date(at)}"


@register.filter
def filesize(size: int | None) -> str:
    """Write a number of bytes in the unit that people read it in (1 KB is 1,024 bytes)."""
    if size is None:
        return "–"
    value, unit = float(size), "bytes"
    for larger in ("KB", "MB", "GB", "TB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    if unit == "bytes":
        return "1 byte" if size == 1 else f"{size} bytes"
    return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"


@register.filter
def duration(length: timedelta | float | None) -> str:
    """Write a length of time, given as timedelta or seconds."""
    if length is None:
        return "–"
    seconds = length.total_seconds() if isinstance(length, timedelta) else float(length)
    if 0 < seconds < 0.05:
        return "< 0.1 s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


@register.filter
def lasting(start: datetime | None, end: datetime | None) -> str:
    """Write how long something took, or has taken until now when it has no end yet; nothing before it started."""
    return duration((end or timezone.now()) - start) if start else ""


@register.filter
def way(via: str, key: str = "") -> str:
    """Say by which way something was done, and by which API key; nothing for the browser, where most is done."""
    words = _WAYS.get(via, "")
    return f"{words}, key {inert(key)}" if words and key else words


@register.filter
def becomes(before: Any, after: Any) -> list[tuple[str, str, str]]:
    """Pair what was with what is, by name: ("Transport Rights", "no", "yes"); either may be missing."""
    was = before if isinstance(before, dict) else {"": before}
    now = after if isinstance(after, dict) else {"": after}
    names = dict.fromkeys([*was, *now])
    pairs = [(name, _in_words(was.get(name)), _in_words(now.get(name))) for name in names]
    return [(name[:1].upper() + name[1:], old, new) for name, old, new in pairs if old or new]


def _in_words(value: Any) -> str:
    """Write a value of the activity record; of a hash enough to tell it from others: its package's page has it all."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_in_words, value))
    text = "" if value is None else str(value)
    if _HASH.fullmatch(text):
        return text[:12]
    return _exact(timezone.localtime(datetime.fromisoformat(text))) if _TIME.fullmatch(text) else text


@register.filter
def inert(text: object) -> str:
    """Show control and direction characters as visible marks, so that a name or log line can't play tricks."""
    plain = str(text).replace("\r\n", "\n")  # as browsers send the lines of a text area
    return plain if plain.isprintable() else "".join(map(_visible, plain))


@register.filter
def initials(name: str) -> str:
    """Give the letters for a picture: the first of two words, else the first two of the only one."""
    words = ["".join(filter(str.isalnum, word)) for word in name.split()]
    words = [word for word in words if word]
    letters = "".join(word[0] for word in words[:2]) if len(words) > 1 else "".join(words)[:2]
    return letters.upper()[:2] or "?"


@register.filter
def one_line(text: object) -> str:
    """Write a name into a mail: a line break in it would begin a paragraph that its owner wrote."""
    return inert(" ".join(str(text).split()))


def _visible(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _MARKED:
        return character
    # SECURITY: ANSI codes, bidirectional overrides and line separators would hide, reorder or make up what is here
    code = ord(character)
    return f"^{chr(code ^ 0x40)}" if code < 0x80 else f"‹U+{code:04X}›"


@register.filter
def grouped(secret: str, size: int = 4) -> str:
    """Write a secret in groups that people can read off a screen."""
    return " ".join(secret[start : start + size] for start in range(0, len(secret), size))


@register.filter
def left(until: datetime) -> str:
    """Write how long a wait still is, in whole seconds. `static/js/portal.js` counts it down."""
    seconds = max(0, -int((timezone.now() - until).total_seconds() // 1))
    return f"{seconds} s" if seconds < 60 else duration(seconds)
