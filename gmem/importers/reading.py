"""Opening files: plain, gzipped or in a tar archive; and telling which format they hold.

Nothing is ever unpacked to disk, and no line or document larger than `LARGEST` is taken into memory.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from gmem.errors import InvalidInput

__all__ = ["LARGEST", "Watch", "documents", "expand", "is_tar", "lines", "load", "unwatched"]

LARGEST = 64 << 20
"""Most bytes of one line or document."""
LARGEST_HEADER = 1 << 20
"""Most bytes of the name and further facts of a file in an archive."""
_HEADERS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
Watch = Callable[[int], None]
"""Called now and then with how many bytes of the file on disk have been read."""
_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".tar", ".tar.gz", ".tgz")
_BROKEN = (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError)


def unwatched(_: int) -> None:
    """Take no notice."""


def expand(path: Path) -> list[Path]:
    """Give a file, or the files of a folder whose names look like traces, sorted."""
    if not path.is_dir():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and p.name.lower().endswith(_SUFFIXES))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Give the content of a file, unzipped if need be, and the file itself."""
    try:
        raw = path.open("rb")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be opened: {error.strerror or error}") from error
    with raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not zipped:
            yield raw, raw
            return
        with gzip.GzipFile(fileobj=raw) as content:
            yield io.BufferedReader(content), raw


def lines(path: Path, watch: Watch = unwatched) -> Iterator[tuple[int, bytes | InvalidInput]]:
    """Read a file line by line.

    Returns:
        (number from 1, line) in order; in place of a line that cannot be read, the reason.
    """
    with _opened(path) as (content, raw):
        number = 0
        try:
            while line := content.readline(LARGEST + 1):
                number += 1
                watch(raw.tell())
                if len(line) <= LARGEST:
                    yield number, line
                    continue
                yield number, InvalidInput(f"the line is longer than {LARGEST:,} bytes")
                while line and not line.endswith(b"\n"):
                    line = content.readline(LARGEST)
        except (*_BROKEN, OSError) as error:
            yield number + 1, InvalidInput(f"the file breaks off or is damaged here ({error})")


def documents(path: Path, watch: Watch = unwatched) -> Iterator[tuple[str, bytes | InvalidInput]]:
    """Read the JSON documents of a file: itself, or those in the archive that it is.

    Returns:
        (place, content) in order; in place of a document that cannot be read, the reason.
    """
    if not is_tar(path):
        with _opened(path) as (content, raw):
            try:
                body: bytes | InvalidInput = content.read(LARGEST + 1)
                if isinstance(body, bytes) and len(body) > LARGEST:
                    body = InvalidInput(f"the file is larger than {LARGEST:,} bytes; split it")
            except (*_BROKEN, OSError) as error:
                body = InvalidInput(f"the file breaks off or is damaged ({error})")
            watch(raw.tell())
        yield str(path), body
        return
    with _opened(path) as (content, raw):
        try:
            with tarfile.open(fileobj=content, mode="r|", tarinfo=_Member) as archive:
                for member in archive:
                    watch(raw.tell())
                    if not member.isfile() or not member.name.lower().endswith(".json"):
                        continue
                    where = f"{path}:{member.name}"
                    if member.size > LARGEST:
                        yield where, InvalidInput(f"the document is larger than {LARGEST:,} bytes; split it")
                        continue
                    file = archive.extractfile(member)
                    yield where, file.read() if file is not None else b""
        except (*_BROKEN, OSError) as error:
            yield str(path), InvalidInput(f"the archive breaks off or is damaged ({error})")


class _Member(tarfile.TarInfo):
    """A member of an archive, whose long name or further header may not be a document of its own."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        """Read a header block; tarfile takes what follows some kinds of them into memory as a whole."""
        member = super().frombuf(buf, encoding, errors)
        if member.type in _HEADERS and member.size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {member.size:,} bytes")
        return member


def is_tar(path: Path) -> bool:
    """Tell whether a file is a tar archive, packed or not, by what it holds and what it is called."""
    with _opened(path) as (content, _):
        try:
            head = content.read(512)
        except (*_BROKEN, OSError):
            return False
    return head[257:262] == b"ustar" or (path.name.lower().endswith((".tar", ".tar.gz", ".tgz")) and len(head) == 512)


def load(body: bytes | InvalidInput) -> Any:
    """Read JSON.

    Raises:
        InvalidInput: It is none, or not UTF-8.
    """
    if isinstance(body, InvalidInput):
        raise body
    try:
        return json.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"not UTF-8 text (byte {error.start}: {error.reason})") from None
    except RecursionError:
        raise InvalidInput("nested too deeply") from None
    except ValueError as error:
        raise InvalidInput(f"not JSON ({error})") from None
