"""A client of the Deploy API as a stranger would write it from the table of its calls: no code of the portal."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Reply(Protocol):
    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def content(self) -> bytes: ...


class Transport(Protocol):
    """Sends a request; Django's test client and a real connection do alike."""

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes, kind: str) -> Reply: ...


class ApiError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message = status, code, message


@dataclass
class DeployClient:
    """Calls by their names. Each gives what the JSON holds, or raises ApiError."""

    send: Transport
    username: str
    key: str
    kind: str = "application/json"
    extra: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: bytes = b"", kind: str | None = None) -> bytes:
        headers = {"Mendix-Username": self.username, "Mendix-ApiKey": self.key, **self.extra}
        reply = self.send(method, f"/api/1/{path}", headers, body, self.kind if kind is None else kind)
        if reply.status_code != 200:
            error = json.loads(reply.content)
            assert set(error) == {"errorCode", "errorMessage"}, error
            raise ApiError(reply.status_code, error["errorCode"], error["errorMessage"])
        return reply.content

    def call(self, method: str, path: str, body: Any = None) -> Any:
        return json.loads(self.ask(method, path, b"" if body is None else json.dumps(body).encode()))

    def apps(self) -> Any:
        return self.call("GET", "apps/")

    def app(self, app: str) -> Any:
        return self.call("GET", f"apps/{app}")

    def environments(self, app: str) -> Any:
        return self.call("GET", f"apps/{app}/environments/")

    def environment(self, app: str, mode: str) -> Any:
        return self.call("GET", f"apps/{app}/environments/{mode}")

    def start(self, app: str, mode: str) -> str:
        return str(self.call("POST", f"apps/{app}/environments/{mode}/start", {"AutoSyncDb": True})["JobId"])

    def progress(self, app: str, mode: str, job: str) -> Any:
        return self.call("GET", f"apps/{app}/environments/{mode}/start/{job}")

    def stop(self, app: str, mode: str) -> Any:
        return self.call("POST", f"apps/{app}/environments/{mode}/stop")

    def transport(self, app: str, mode: str, package: str) -> Any:
        return self.call("POST", f"apps/{app}/environments/{mode}/transport", {"PackageId": package})

    def clean(self, app: str, mode: str) -> Any:
        return self.call("POST", f"apps/{app}/environments/{mode}/clean")

    def deployed(self, app: str, mode: str) -> Any:
        return self.call("GET", f"apps/{app}/environments/{mode}/package")

    def packages(self, app: str) -> Any:
        return self.call("GET", f"apps/{app}/packages/")

    def package(self, app: str, package: str) -> Any:
        return self.call("GET", f"apps/{app}/packages/{package}")

    def download(self, app: str, package: str) -> bytes:
        return self.ask("GET", f"apps/{app}/packages/{package}/download")

    def delete(self, app: str, package: str) -> Any:
        return self.call("DELETE", f"apps/{app}/packages/{package}")

    def upload(self, app: str, name: str, content: bytes) -> str:
        """Send a package as a form, written by hand."""
        edge = "edge-of-the-form"
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        head += "Content-Type: application/octet-stream\r\n\r\n"
        body = b"".join((head.encode(), content, f"\r\n--{edge}--\r\n".encode()))
        path = f"apps/{app}/packages/upload?name={name}"
        return str(json.loads(self.ask("POST", path, body, f"multipart/form-data; boundary={edge}"))["PackageId"])

    def upload_bare(self, app: str, name: str, content: bytes, kind: str = "") -> str:
        return str(json.loads(self.ask("POST", f"apps/{app}/packages/upload?name={name}", content, kind))["PackageId"])

    def settings(self, app: str, mode: str) -> Any:
        return self.call("GET", f"apps/{app}/environments/{mode}/settings/")

    def set_settings(self, app: str, mode: str, wanted: Any) -> Any:
        return self.call("POST", f"apps/{app}/environments/{mode}/settings/", wanted)

    def tag(self, app: str, mode: str) -> Any:
        return self.call("GET", f"apps/{app}/environments/{mode}/tags")

    def set_tag(self, app: str, mode: str, tag: str) -> Any:
        return self.call("POST", f"apps/{app}/environments/{mode}/tags", {"Tag": tag})

    def delete_tag(self, app: str, mode: str) -> Any:
        return self.call("DELETE", f"apps/{app}/environments/{mode}/tags")
