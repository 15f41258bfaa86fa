"""Caddy as the way to the instances: which host name leads to which, and a plain page for those that lead nowhere.

Caddy's configuration never changes while it runs. Where a host leads is the name of one file in the folder `routes`,
which Caddy looks up with each request: `production--calc/to-3-17` leads to instance 17 of environment 3, whose relay
listens on a socket in the instance's folder. A switch is one rename. Telling Caddy to load another configuration would
be a way as well, but its listener then gives way to a new one, and with that connections that wait in its queue are
reset (seen: 5 of 5,517 requests over seven switches) and WebSockets are cut.
"""

import re
from pathlib import Path
from typing import Any

from deployments.runtimes import files, ports, relay
from deployments.runtimes.base import Instance, RuntimeFailure
from deployments.runtimes.layout import INSTANCES, Layout, Record

SOCKET = "caddy.sock"
CONFIGURATION = "caddy.json"
ROUTES = "routes"
LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"  # of a host name, RFC 1123
STOPPED = "stopped"
ANSWER_WITHIN = 10  # seconds
IDLE = 1  # seconds that a connection to an instance is kept for the next request
DOWN = "The router is not running, so nothing was switched. Start the portal, then try again."
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<body>
<h1>{title}</h1>
<p>{text}</p>
"""


class Router:
    """The router of one portal."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._folder = layout.run / ROUTES
        self._lock = layout.run / "router.lock"

    def configure(self, port: int, domain: str) -> None:
        """Write what a starting router reads: hosts are `<label>.<domain>`, on the loopback addresses' `port`."""
        files.make_private(self._folder)
        files.write_json(self.layout.run / CONFIGURATION, _configuration(port, domain))

    def command(self) -> list[str]:
        return ["caddy", "run", "--config", CONFIGURATION]

    def is_up(self) -> bool:
        import http.client

        from deployments.runtimes.control import UnixConnection  # late: the launcher has no use for it

        # SECURITY: Caddy answers only a request that names this host, so that no page in a browser can reach it
        connection = UnixConnection(self.layout.run, SOCKET, "portal", ANSWER_WITHIN)
        try:
            connection.request("GET", "/config/admin")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def routes(self) -> dict[str, Instance | None]:
        """Say where each known host name's label leads."""
        if not self._folder.is_dir():
            return {}
        return {folder.name: _instance(_entry(folder)) for folder in self._folder.iterdir()}

    def route(self, label: str, instance: Instance | None) -> None:
        """Let requests for the host go to the instance from now on; those under way end where they are.

        RuntimeFailure, and nothing changed, when the router is not there.
        """
        # SECURITY: the label becomes the name of a folder
        if not re.fullmatch(LABEL, label):
            raise RuntimeFailure(f"'{label}' is not a host name.")
        if not self.is_up():
            raise RuntimeFailure(DOWN)
        with files.locked(self._lock):
            record = self.layout.record(instance.environment, instance.number) if instance else None
            self._lead(files.make_private(self._folder / label), record)

    def follow(self, record: Record) -> None:
        """Take up that the instance came back or ended, where a host leads to it."""
        instance = Instance(record.environment, record.number)
        with files.locked(self._lock):
            for label, target in self.routes().items():
                if target == instance:
                    self._lead(self._folder / label, record)

    def _lead(self, folder: Path, record: Record | None) -> None:
        before, after = _entry(folder), folder / _name(record)
        if before is None:
            after.touch(mode=0o600)
        else:
            before.rename(after)


def _name(record: Record | None) -> str:
    """Give the name that tells Caddy where the host leads."""
    spec = record.spec if record else {}
    if record is None or not spec or record.asked_to_stop:
        return STOPPED
    state = "ended" if "ended" in record.state else "to"
    return f"{state}-{record.environment}-{record.number}"


def _entry(folder: Path) -> Path | None:
    return next(folder.iterdir(), None)


def _instance(entry: Path | None) -> Instance | None:
    if entry is None or entry.name == STOPPED:
        return None
    # Version 0.1 put a port behind it
    _, environment, number, *_ = entry.name.split("-")
    return Instance(int(environment), int(number))


def _configuration(port: int, domain: str) -> dict[str, Any]:
    host = {"Host": {"name": "host", "pattern": f"^({LABEL})\\.{re.escape(domain)}(:[0-9]+)?$"}}
    known = [
        {"match": _file("to-*"), "handle": [_proxy()], "terminal": True},
        {"match": _file("ended-*"), "handle": [ENDED], "terminal": True},
        {"match": _file(STOPPED), "handle": [STANDS_STILL], "terminal": True},
    ]
    server = {
        "listen": [f"{address}:{port}" for address in ports.loopback()],
        "automatic_https": {"disable": True},
        "logs": {"default_logger_name": "access"},
        "routes": [
            {"match": [{"header_regexp": host}], "handle": [{"handler": "subroute", "routes": known}]},
            {"handle": [NOWHERE]},
        ],
        "errors": {"routes": [{"handle": [SILENT]}]},
    }
    return {
        "admin": {"listen": f"unix/{SOCKET}", "origins": ["portal"], "config": {"persist": False}},
        "logging": _logging(),
        "apps": {"http": {"grace_period": "5s", "servers": {"environments": server}}},
    }


def _file(name: str) -> list[dict[str, Any]]:
    """Match a host in whose folder there is such a file."""
    return [{"file": {"root": ROUTES, "try_files": [f"/{{http.regexp.host.1}}/{name}"]}}]


def _proxy() -> dict[str, Any]:
    """Send the request to the relay of the instance in the file's name."""
    named = {"{http.matchers.file.relative}": {"name": "instance", "pattern": "/to-([0-9]+-[0-9]+)"}}
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"unix/{INSTANCES}/{{http.regexp.instance.1}}/{relay.NAME}"}],
        # Idle connections end soon: so those that are open to a drained instance tell whether requests are, and none is
        # sent on a connection that the instance itself is just closing (gunicorn does after two seconds)
        "transport": {"protocol": "http", "keep_alive": {"idle_timeout": f"{IDLE}s"}},
        # An instance that is just starting again is waited for; only connecting is tried twice
        "load_balancing": {"try_duration": "2s", "try_interval": "50ms"},
    }
    return {"handler": "subroute", "routes": [{"match": [{"vars_regexp": named}], "handle": [proxy]}]}


def _page(status: int, title: str, text: str) -> dict[str, Any]:
    headers = {"Content-Type": ["text/html; charset=utf-8"], "Cache-Control": ["no-store"]}
    if status == 503:
        headers["Retry-After"] = ["5"]
    body = PAGE.format(title=title, text=text)
    return {"handler": "static_response", "status_code": status, "headers": headers, "body": body}


NOWHERE = _page(404, "There is nothing at this address", "Check the address. The portal lists every environment.")
STANDS_STILL = _page(503, "This environment is stopped", "Its team can start it in the portal.")
ENDED = _page(503, "This environment does not run", "Its team sees why in the portal.")
SILENT = _page(503, "This environment does not answer", "Try again in a moment. Its team sees why in the portal.")


def _logging() -> dict[str, Any]:
    # Not packed when it is rolled, so that whoever counts visits finds the rest of what it has begun
    visits = {"output": "file", "filename": "../log/access.log", "roll_size_mb": 20, "roll_keep": 5, "roll_gzip": False}
    # SECURITY: queries and headers carry what people type, and keys
    gone = {name: {"filter": "delete"} for name in ("request>headers", "request>tls", "resp_headers")}
    query = {"filter": "regexp", "regexp": "\\?.*", "value": ""}
    kept = {"format": "filter", "wrap": {"format": "json"}, "fields": {**gone, "request>uri": query}}
    return {
        "logs": {
            "default": {"level": "ERROR", "exclude": ["http.log.access"]},
            "access": {"writer": visits, "encoder": kept, "include": ["http.log.access"]},
        }
    }
