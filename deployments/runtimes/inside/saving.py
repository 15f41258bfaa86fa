"""Writes an environment's data to standard output: its database as it is at one moment, its files as an archive."""

import errno
import os
import sqlite3
import stat
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from deployments.runtimes.inside.words import (
    BLOCK,
    DATABASE,
    FOLDER,
    LOCKED_FOR,
    MOST_DEPTH,
    PIECE,
    Refused,
    shown,
    write_all,
)

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def copy_database(data: str, scratch: str) -> None:
    """Write a copy of the database to standard output, as it is at one moment, while the app may go on writing."""
    source, copy = Path(data, DATABASE), Path(scratch, DATABASE)
    if not source.is_symlink() and not source.exists():
        return
    if not source.is_file():
        raise Refused(f"{DATABASE} is no file.")
    until = time.monotonic() + LOCKED_FOR

    def heed(status: int, remaining: int, total: int) -> None:
        if status != sqlite3.SQLITE_OK and remaining and time.monotonic() > until:
            raise Refused("The app keeps its database locked.")

    read = sqlite3.connect(f"file:{quote(str(source))}?mode=rw", uri=True)
    written = sqlite3.connect(copy)
    try:
        written.execute("PRAGMA synchronous = OFF")
        written.execute("PRAGMA journal_mode = OFF")
        # All at once: in steps it would begin again with each write of a busy app
        read.backup(written, progress=heed)
    finally:
        written.close()
        read.close()
    with copy.open("rb", buffering=0) as file:
        copy.unlink()
        pour(file.fileno(), os.fstat(file.fileno()).st_size)


def pour(source: int, size: int, start: int = 0) -> int:
    """Write so much of an open file to standard output; give how much there was."""
    done = 0
    while done < size:
        sent = os.sendfile(1, source, start + done, min(size - done, 8 * PIECE))
        if not sent:
            break
        done += sent
    return done


class Walk:
    """Writes a tar archive of a folder to standard output, but for what is `own` to its database.

    Links are kept as links and never followed.
    """

    def __init__(self, own: tuple[str, ...]) -> None:
        self.own = own
        self.count = self.left_out = 0

    def run(self, data: str) -> None:
        top = os.open(data, FOLDER)
        levels: list[tuple[int, str, Iterator[str]]] = [(top, "", names_in(top))]
        while levels:
            folder, above, names = levels[-1]
            name = next(names, None)
            if name is None:
                os.close(folder)
                levels.pop()
                continue
            if above or name not in self.own:
                below = self.add(folder, name, above + name)
                if below is not None:
                    if len(levels) > MOST_DEPTH:
                        raise Refused(f"The folders below {shown(above)} lie too deep to be saved.")
                    levels.append((below, f"{above}{name}/", names_in(below)))
        write_all(1, bytes(2 * BLOCK))

    def add(self, folder: int, name: str, path: str) -> "int | None":
        """Write one entry; give an open folder to go on in. What vanishes meanwhile is left out, as are sockets."""
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                self.header(path, found, tarfile.SYMTYPE, link=os.readlink(name, dir_fd=folder))
            elif stat.S_ISDIR(found.st_mode):
                below = os.open(name, FOLDER, dir_fd=folder)
                self.header(path + "/", found, tarfile.DIRTYPE)
                return below
            elif stat.S_ISREG(found.st_mode):
                self.file(folder, name, path)
            else:
                self.left_out += 1
        except FileNotFoundError:
            pass
        except PermissionError as error:
            raise Refused(f"{shown(path)} can't be read: its own mode forbids it.") from error
        return None

    def file(self, folder: int, name: str, path: str) -> None:
        source = os.open(name, READ, dir_fd=folder)
        try:
            found = os.fstat(source)
            if not stat.S_ISREG(found.st_mode):
                return
            if found.st_blocks * 512 < found.st_size and (parts := data_of(source, found.st_size)) is not None:
                self.sparse(source, path, found, parts)
                return
            self.header(path, found, tarfile.REGTYPE, found.st_size)
            self.content(source, 0, found.st_size)
            self.fill(found.st_size)
        finally:
            os.close(source)

    def sparse(self, source: int, path: str, found: os.stat_result, parts: list[tuple[int, int]]) -> None:
        """Write a file with holes, without the holes: GNU tar's format 1.0, which keeps the map before the data."""
        listed = "".join(f"{start}\n{size}\n" for start, size in parts)
        listing = f"{len(parts)}\n{listed}".encode()
        listing += bytes(-len(listing) % BLOCK)
        size = sum(size for _, size in parts)
        extra = {"major": "1", "minor": "0", "name": path, "realsize": str(found.st_size)}
        info = self.info(path, found, tarfile.REGTYPE, len(listing) + size)
        info.pax_headers = {f"GNU.sparse.{name}": value for name, value in extra.items()}
        self.write_header(info)
        write_all(1, listing)
        for start, length in parts:
            self.content(source, start, length)
        self.fill(size)

    def content(self, source: int, start: int, size: int) -> None:
        """Write as much as the header said, whatever became of the file since."""
        done = pour(source, size, start)
        while done < size:
            zeros = bytes(min(size - done, PIECE))
            write_all(1, zeros)
            done += len(zeros)

    def fill(self, size: int) -> None:
        write_all(1, bytes(-size % BLOCK))

    def header(self, path: str, found: os.stat_result, kind: bytes, size: int = 0, link: str = "") -> None:
        self.write_header(self.info(path, found, kind, size, link))

    def info(self, path: str, found: os.stat_result, kind: bytes, size: int, link: str = "") -> tarfile.TarInfo:
        info = tarfile.TarInfo(path)
        info.type, info.size, info.linkname = kind, size, link
        info.mode, info.mtime = found.st_mode & 0o777, max(0, int(found.st_mtime))
        return info

    def write_header(self, info: tarfile.TarInfo) -> None:
        self.count += 1
        write_all(1, info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))


def names_in(folder: int) -> Iterator[str]:
    return iter(sorted(os.listdir(folder)))


def data_of(source: int, size: int) -> "list[tuple[int, int]] | None":
    """List where a file has data, as (start, length); None where the file system can't say."""
    parts, at = [], 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                return None
            break
        at = min(os.lseek(source, start, os.SEEK_HOLE), size)
        parts.append((start, at - start))
    # Delayed or packed, but without a hole; the end counts, too, when it is one
    return None if parts == [(0, size)] else [*parts, (size, 0)]
