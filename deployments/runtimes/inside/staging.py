"""Fills an empty data folder from an archive on standard input, whatever kind of archive that is."""

import contextlib
import errno
import gzip
import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path
from typing import Any

from deployments.runtimes.inside.server import BEGIN, DUMP, restore
from deployments.runtimes.inside.words import (
    DAMAGED,
    DATABASE,
    FILES,
    FOLDER,
    LOCKED_FOR,
    MADE_BY,
    MANIFEST,
    MOST_DEPTH,
    OWN,
    PIECE,
    Begun,
    Hashed,
    Refused,
    Source,
    refused,
    shown,
    write_all,
)

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
KINDS = {
    tarfile.LNKTYPE: "is a hard link",
    tarfile.CHRTYPE: "is a device",
    tarfile.BLKTYPE: "is a device",
    tarfile.FIFOTYPE: "is a named pipe",
}
NO_ARCHIVE = "This is neither an archive of the portal, a database, nor a zip or tar archive of files."
NOT_HERE = "{it} does not fit here: the environment's database is {here}."
DUMPED, SQLITE = "A dump of a PostgreSQL database", "An SQLite database"
ON_SERVER, IN_FILE = "on a PostgreSQL server", "an SQLite file"


class Stage:
    """Fills an empty folder from an archive, and where the database is on a `server`, an empty database there.

    SECURITY: links are made last, so that nothing is written through one.
    """

    def __init__(self, data: str, most_bytes: int, most_entries: int, reserve: int, server: bool) -> None:
        self.data = data
        self.server = server
        self.own = () if server else OWN
        self.most_bytes = most_bytes or sys.maxsize
        self.most_entries = most_entries or sys.maxsize
        self.reserve = reserve
        self.top = os.open(data, FOLDER)
        self.database = False
        self.has_files = self.is_part = False
        self.count = self.size = self.since = 0
        self.links: list[tuple[str, str, int]] = []
        self.folders: list[tuple[str, int, int]] = []

    def run(self, source: Source, packed: bool = False) -> None:
        """Take in whatever the stream turns out to be; `packed` says that it came out of gzip already."""
        begun = Begun(source)
        begin = begun.begin
        if begin.startswith(b"\x1f\x8b") and not packed:
            try:
                self.run(gzip.GzipFile(fileobj=begun, mode="rb"), packed=True)  # type: ignore[call-overload]
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise Refused(DAMAGED) from error
        elif begin.startswith(BEGIN):
            self.take_database(begun, DUMP)
        elif begin.startswith(b"SQLite format 3\0"):
            self.take_database(begun, DATABASE)
        elif begin[257:262] == b"ustar" or (begin and not begin.strip(b"\0")):
            self.unpack(begun)
        else:
            raise Refused(NO_ARCHIVE)
        while source.read(PIECE):  # what pads an archive
            pass

    def finish(self) -> None:
        for path, target, changed in self.links:
            folder, name = self.open_above(path)
            try:
                os.symlink(target, name, dir_fd=folder)
                os.utime(name, (changed, changed), dir_fd=folder, follow_symlinks=False)
            except FileExistsError as error:
                raise refused(path, "is in the archive twice") from error
            finally:
                os.close(folder)
        if self.database and not self.server:
            check_database(Path(self.data, DATABASE))
        # Deepest first: a folder that may not be written to any more has all that it holds by then
        for path, mode, changed in sorted(self.folders, reverse=True):
            folder = self.open_folder(path.split("/"))
            try:
                os.utime(folder, (changed, changed))
                os.fchmod(folder, mode)
            finally:
                os.close(folder)

    def unpack(self, source: Source, inner: bool = False) -> None:
        try:
            with tarfile.open(fileobj=source, mode="r|", bufsize=PIECE, errors="surrogateescape") as archive:  # type: ignore[call-overload]
                self.take_members(archive, inner)
        except (tarfile.TarError, ValueError, OverflowError) as error:
            # The last two are what it says of numbers that make no sense: a size, a time, a map of holes
            raise Refused(DAMAGED) from error

    def take_members(self, archive: tarfile.TarFile, inner: bool) -> None:
        """Take in an archive of files, or of the portal; one that is `inner` to that holds an app's own files."""
        member = archive.next()
        if not inner and member is not None and member.name == MANIFEST and member.isreg() and member.size < PIECE:
            content = archive.extractfile(member)
            text = content.read() if content else b""
            parts = parts_in(text)
            if parts is not None:
                self.take_parts(archive, parts)
                return
            self.write_file(MANIFEST, member, io.BytesIO(text))
            member = archive.next()
        self.has_files = True
        while member is not None:
            self.take_named(archive, member)
            archive.members = []  # type: ignore[attr-defined]  # it would remember each of a million
            member = archive.next()

    def take_parts(self, archive: tarfile.TarFile, parts: dict[str, str]) -> None:
        """Take in what the portal gave to download; it says of each part what its SHA-256 is."""
        while (member := archive.next()) is not None:
            content = archive.extractfile(member) if member.isreg() else None
            if content is None or member.name not in parts:
                raise refused(member.name, "has no place in an archive of the portal")
            hashed = Hashed(content)
            if member.name in (DATABASE, DUMP):
                self.take_database(hashed, member.name)
            else:
                self.has_files = self.is_part = True
                self.unpack(hashed, inner=True)
            if hashed.hexdigest() != parts.pop(member.name):
                raise refused(member.name, "is damaged: its checksum is wrong")
        if parts:
            raise Refused(DAMAGED)

    def take_named(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        try:
            self.take(archive, member)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise refused(member.name, "has a name that is too long") from error

    def take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = checked(member.name)
        if not path:
            return
        if self.is_part and path in self.own:
            raise refused(member.name, "is a file where it was saved, and has the place of the database here")
        if member.issym():
            self.note(member.name)
            self.links.append((path, member.linkname, max(0, int(member.mtime))))
        elif member.isdir():
            self.note(member.name)
            os.close(self.open_folder(path.split("/")))
            self.folders.append((path, member.mode & 0o777, max(0, int(member.mtime))))
        elif member.isreg():
            content = archive.extractfile(member)
            if content is not None and path == DATABASE and not self.server:
                self.write_database(content)
            elif content is not None and (path != f"{DATABASE}-shm" or self.server):
                self.write_file(path, member, content)
        else:
            raise refused(member.name, KINDS.get(member.type, "is neither a file nor a folder"))

    def take_database(self, source: Source, name: str) -> None:
        if name == DUMP and not self.server:
            raise Refused(NOT_HERE.format(it=DUMPED, here=IN_FILE))
        if name == DATABASE and self.server:
            raise Refused(NOT_HERE.format(it=SQLITE, here=ON_SERVER))
        if name == DATABASE:
            self.write_database(source)
            return
        self.note(DUMP)
        self.database = True
        self.grow(restore(source))

    def write_database(self, source: Source) -> None:
        self.note(DATABASE)
        self.database = True
        target = self.create(self.top, DATABASE, DATABASE)
        try:
            while piece := source.read(PIECE):
                self.grow(len(piece))
                write_all(target, piece)
            os.fchmod(target, 0o600)
        finally:
            os.close(target)

    def write_file(self, path: str, member: tarfile.TarInfo, content: Any) -> None:
        self.note(path)
        folder, name = self.open_above(path)
        try:
            target = self.create(folder, name, path)
        finally:
            os.close(folder)
        try:
            if member.sparse is None:
                self.copy(content, target, member.size, path)
            else:
                self.copy_parts(content, target, member, path)
            os.utime(target, (max(0, int(member.mtime)),) * 2)
            os.fchmod(target, member.mode & 0o777)
        finally:
            os.close(target)

    def copy_parts(self, content: Any, target: int, member: tarfile.TarInfo, path: str) -> None:
        """Write what is between the holes of a file."""
        parts: Any = member.sparse
        for start, size in parts:
            # What lies around it can't go forward in a stream
            content.raw.seek(start)
            os.lseek(target, start, os.SEEK_SET)
            self.copy(content.raw, target, size, path)
        os.ftruncate(target, member.size)

    def copy(self, content: Any, target: int, size: int, path: str) -> None:
        left = size
        while left:
            piece = content.read(min(left, PIECE))
            if not piece:
                raise refused(path, "is cut short")
            left -= len(piece)
            self.grow(len(piece))
            write_all(target, piece)

    def create(self, folder: int, name: str, path: str) -> int:
        try:
            return os.open(name, NEW, 0o600, dir_fd=folder)
        except FileExistsError as error:
            raise refused(path, "is in the archive twice") from error

    def open_above(self, path: str) -> tuple[int, str]:
        *above, name = path.split("/")
        return self.open_folder(above), name

    def open_folder(self, parts: list[str]) -> int:
        """Open a folder, made where it is missing; each step from the one before, through no link."""
        current = os.dup(self.top)
        for part in parts:
            above = current
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=above)
                current = os.open(part, FOLDER, dir_fd=above)
            except (NotADirectoryError, OSError) as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP):
                    raise refused("/".join(parts), "is in the archive as a file and as a folder") from error
                raise
            finally:
                os.close(above)
        return current

    def note(self, name: str) -> None:
        self.count += 1
        if self.count > self.most_entries:
            raise Refused(f"The archive has more than {self.most_entries:,} files and folders.")

    def grow(self, more: int) -> None:
        self.size += more
        self.since += more
        if self.size > self.most_bytes:
            raise Refused(f"The archive unpacks to more than {self.most_bytes // PIECE:,} MiB.")
        if self.since > 16 * PIECE:
            self.since = 0
            left = os.statvfs(self.data)
            if left.f_bavail * left.f_frsize < self.reserve:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def complete_from(self, current: str) -> None:
        """Add what the archive does not hold from the data as they are; whoever writes them has been stopped."""
        there = sorted(path.name for path in Path(current).iterdir())
        wanted = [name for name in there if (name in self.own) != self.database]
        if self.has_files:
            wanted = [name for name in wanted if name in self.own]
        for start in range(0, len(wanted), 200):
            names = [str(Path(current, name)) for name in wanted[start : start + 200]]
            copied = subprocess.run(["cp", "-a", "--", *names, self.data], capture_output=True, check=False)
            if copied.returncode:
                raise Refused("What the backup does not hold could not be copied from the data as they are.")
        self.database |= not self.server and DATABASE in wanted


def check_database(path: Path) -> None:
    """Look through a database that was just written; what it kept beside is taken into it."""
    with path.open("rb") as file:
        if not file.read(16).startswith(b"SQLite format 3\0"):
            raise Refused("The database is no SQLite database.")
    opened = sqlite3.connect(path, timeout=LOCKED_FOR)
    try:
        opened.execute("PRAGMA trusted_schema = OFF")
        problem = opened.execute("PRAGMA integrity_check(1)").fetchone()[0]
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        opened.close()
    if problem != "ok":
        raise Refused(f"The database is damaged: {shown(problem)}.")


def parts_in(text: bytes) -> "dict[str, str] | None":
    """Give the parts of an archive of the portal with their SHA-256, from its manifest; None where it is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("made-by") != MADE_BY:
        return None
    named = found.get("parts")
    if not isinstance(named, dict) or not named.keys() <= {DATABASE, DUMP, FILES}:
        raise Refused(DAMAGED)
    return {name: str(value) for name, value in named.items()}


def checked(name: str) -> str:
    """Give the path that an entry is for, empty for the top folder itself; Refused for one that leads elsewhere."""
    if name.startswith("/"):
        raise refused(name, "has an absolute path")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise refused(name, "leads out of its folder with “..”")
    if "\0" in name:
        raise refused(name, "has a name that no file can have")
    if len(parts) > MOST_DEPTH:
        raise refused(name, "lies too deep")
    return "/".join(parts)
