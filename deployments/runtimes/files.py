"""Small private files that several processes read and write: whole or not at all, one writer at a time."""

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def make_private(folder: Path) -> Path:
    """Make the folder, and those above it, for this user only; give it back."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write(path: Path, text: str) -> None:
    """Replace the file's content in one step; only this user may read it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fdatasync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    write(path, json.dumps(value))


def read_json(path: Path, default: Any = None) -> Any:
    """Give the file's value, or the default where there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return default


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other thread or process is between these lines with the same path."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def hold(path: Path) -> int | None:
    """Take the lock for as long as this process lives and give its descriptor; None when another one has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        hold_open(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def hold_open(descriptor: int) -> None:
    """Take the lock of an open file for as long as it, or a copy of it, is open; BlockingIOError when it is taken."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_held(path: Path) -> bool:
    """Say whether a living process holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def tail(path: Path, size: int) -> bytes:
    """Give at most the last `size` bytes, whatever the file's length; empty where there is no such file.

    SECURITY: a log's name is never followed as a link, so nothing else can be read through it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - size))
        return file.read(size)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all it holds, whatever an app made of it; OSError when something is left.

    SECURITY: rm follows no link, not even one that appears meanwhile, and goes as deep as an app may have dug, where
    shutil gives up. A folder that its own user made unreadable is made readable first.
    """
    import subprocess  # not for the launcher, which starts faster without

    for command in (["rm"], ["chmod", "-R", "u+rwX"], ["rm"]):
        options = ["-rf", "--one-file-system"] if command == ["rm"] else []
        done = subprocess.run([*command, *options, "--", str(folder)], capture_output=True, check=False)
        if command == ["rm"] and done.returncode == 0:
            return
    raise OSError(errno.EIO, done.stderr.decode(errors="replace").strip() or "rm failed", str(folder))
