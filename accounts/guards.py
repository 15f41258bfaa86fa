"""What a view asks of whoever calls it. The gate (environments.middleware) enforces it and refuses the undeclared."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

View = TypeVar("View", bound=Callable[..., Any])
Fields = list[tuple[str, str]]
Shows = Callable[[Any, dict[str, Any], Fields], Fields]


@dataclass(frozen=True, kw_only=True)
class Guard:
    """`doing` says in words what a form of this view does, or makes the words from the request that brings it.

    `max_body` is in bytes (None: an ordinary form). `shows` tells a form that waits to be confirmed in words, as
    (label, value), from the request, the names in its address and its fields (None: the fields as they are).
    """

    signed_in: bool = True
    staff: bool = False
    window: bool = False
    doing: str | Callable[[Any], str] = ""
    max_body: int | None = None
    shows: Shows | None = None


def declare(guard: Guard) -> Callable[[View], View]:
    def tag(view: View) -> View:
        view.guard = guard  # type: ignore[attr-defined]
        return view

    return tag


def guard_of(view: Callable[..., Any]) -> Guard | None:
    guard = getattr(view, "guard", None)
    return guard if isinstance(guard, Guard) else None


public = declare(Guard(signed_in=False))
signed_in = declare(Guard())
