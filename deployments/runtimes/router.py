"""Caddy as the way to the instances: which host name leads to which, and a plain page for those that lead nowhere.

What the router does is made from two things only: the routes that were set and the instances' own records. So the
running router can be told at any moment what a restarted one reads from its file.
"""

import json
import re
from pathlib import Path
from typing import Any

from deployments.runtimes import files, ports
from deployments.runtimes.base import Instance, RuntimeFailure
from deployments.runtimes.layout import Layout, Record

SOCKET = "caddy.sock"
CONFIGURATION = "caddy.json"
ROUTES = "routes.json"
LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # a host name's label, RFC 1123
ANSWER_WITHIN = 10  # seconds
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
        self._lock = layout.run / "router.lock"

    def configure(self, port: int, domain: str) -> None:
        """Write what a starting router reads. `port` and `domain` are where hosts are reached from now on."""
        with files.locked(self._lock):
            files.write_json(
                self.layout.run / "hosts.json", {"port": port, "domain": domain, "loopback": ports.loopback()}
            )
            files.write_json(self.layout.run / CONFIGURATION, self._configuration(self._routes()))

    def command(self) -> list[str]:
        return ["caddy", "run", "--config", CONFIGURATION]

    def is_up(self) -> bool:
        try:
            return self._ask("GET", "/config/admin") == 200
        except OSError:
            return False

    def routes(self) -> dict[str, Instance | None]:
        """Say where each known host name's label leads."""
        return {label: _instance(target) for label, target in self._routes().items()}

    def route(self, label: str, instance: Instance | None) -> None:
        """Let requests for the host go to the instance from now on; those under way end where they are.

        RuntimeFailure, and nothing changed, when the router is not there or does not accept it.
        """
        if not LABEL.fullmatch(label):
            raise RuntimeFailure(f"'{label}' is not a host name.")
        with files.locked(self._lock):
            before = self._routes()
            after = {**before, label: None if instance is None else [instance.environment, instance.number]}
            try:
                files.write_json(self.layout.run / ROUTES, after)
                self._load(after)
            except RuntimeFailure:
                files.write_json(self.layout.run / ROUTES, before)
                files.write_json(self.layout.run / CONFIGURATION, self._configuration(before))
                raise

    def follow(self, record: Record) -> None:
        """Take up that the instance got another port, came back or ended, where a host leads to it.

        A router that is not there reads it when it starts.
        """
        target = [record.environment, record.number]
        if target not in self._routes().values():
            return
        with files.locked(self._lock):
            try:
                self._load(self._routes())
            except RuntimeFailure:
                return

    def refresh(self) -> None:
        """Tell the running router how things are."""
        with files.locked(self._lock):
            self._load(self._routes())

    def _routes(self) -> dict[str, list[int] | None]:
        return files.read_json(self.layout.run / ROUTES, {})  # type: ignore[no-any-return]

    def _load(self, routes: dict[str, list[int] | None]) -> None:
        configuration = self._configuration(routes)
        files.write_json(self.layout.run / CONFIGURATION, configuration)
        try:
            status = self._ask("POST", "/load", json.dumps(configuration))
        except OSError as error:
            raise RuntimeFailure(DOWN) from error
        if status != 200:
            raise RuntimeFailure(f"The router did not accept its new routes ({status}); nothing was switched.")

    def _ask(self, method: str, path: str, body: str | None = None) -> int:
        import http.client

        from deployments.runtimes.control import UnixConnection  # late: the launcher seldom comes here

        # SECURITY: Caddy answers only a request that names this host, so that no page in a browser can reach it
        connection = UnixConnection(self.layout.run, SOCKET, "portal", ANSWER_WITHIN)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def _configuration(self, routes: dict[str, list[int] | None]) -> dict[str, Any]:
        hosts = files.read_json(self.layout.run / "hosts.json")
        server = {
            "listen": [f"{address}:{hosts['port']}" for address in hosts["loopback"]],
            "automatic_https": {"disable": True},
            "logs": {"default_logger_name": "access"},
            "routes": [
                *(self._host(f"{label}.{hosts['domain']}", target) for label, target in sorted(routes.items())),
                NOWHERE,
            ],
            "errors": {"routes": [SILENT]},
        }
        return {
            "admin": {"listen": f"unix/{SOCKET}", "origins": ["portal"], "config": {"persist": False}},
            "logging": _logging(self.layout.log),
            "apps": {"http": {"grace_period": "30s", "servers": {"environments": server}}},
        }

    def _host(self, host: str, target: list[int] | None) -> dict[str, Any]:
        match = {"match": [{"host": [host]}], "terminal": True}
        record = self.layout.record(*target) if target else None
        spec = record.spec if record else {}
        if not record or not spec or record.asked_to_stop:
            return match | STOPPED
        if "ended" in record.state:
            # SECURITY: the port is anybody's once its instance is gone; no request may find a stranger there
            return match | ENDED
        return match | {
            "handle": [
                {
                    "handler": "reverse_proxy",
                    "upstreams": [{"dial": f"127.0.0.1:{spec['port']}"}],
                    # An instance that is just starting again is waited for; only connecting is tried twice
                    "load_balancing": {"try_duration": "2s", "try_interval": "50ms"},
                }
            ]
        }


def _instance(target: list[int] | None) -> Instance | None:
    return Instance(*target) if target else None


def _page(status: int, title: str, text: str) -> dict[str, Any]:
    headers = {"Content-Type": ["text/html; charset=utf-8"], "Cache-Control": ["no-store"], "Retry-After": ["5"]}
    if status == 404:
        del headers["Retry-After"]
    body = PAGE.format(title=title, text=text)
    return {"handle": [{"handler": "static_response", "status_code": status, "headers": headers, "body": body}]}


def _logging(log: Path) -> dict[str, Any]:
    access = {
        "output": "file",
        "filename": str(log / "access.log"),
        "roll_size_mb": 20,
        "roll_keep": 5,
    }
    return {
        "logs": {
            "default": {"level": "ERROR", "exclude": ["http.log.access"]},
            "access": {"writer": access, "include": ["http.log.access"]},
        }
    }


NOWHERE = _page(404, "There is nothing at this address", "Check the address. The portal lists every environment.")
STOPPED = _page(503, "This environment is stopped", "Its team can start it in the portal.")
ENDED = _page(503, "This environment does not run", "It ended by itself. Its team sees why in the portal.")
SILENT = _page(503, "This environment does not answer", "Try again in a moment. Its team sees why in the portal.")
