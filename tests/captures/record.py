"""Record the project's own captures again, from real programs in network namespaces of their own.

    sudo .venv/bin/python tests/captures/record.py [NAME…]      (all of them without a name)

Needs root and the programs of ``deploy/dev/system-packages.sh record``. Two namespaces are joined by a veth pair:
``inside`` holds the hosts of made-up schools, ``outside`` everything else (documentation addresses of RFC 5737 and a
school's own servers). Nothing leaves the machine. Each scenario is one function and one line in ``SCENARIOS``; its
capture is ``NAME.pcap`` beside this file. ``indicators.csv`` is written with them: the certificate is new each time.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Names of their own, so that two recordings may run beside each other.
INSIDE, OUTSIDE = f"sw-record-in-{os.getpid()}", f"sw-record-out-{os.getpid()}"

#: School 1 (board 1): pupils and a server; school 2 (board 1); school 3 (board 2). Home networks in demo.toml.
PUPIL, LIBRARY_PC, SCHOOL_SERVER = "10.21.0.23", "10.21.0.40", "10.21.8.10"
TEACHER, LAB_PC, LAB_SERVER = "10.22.0.11", "10.22.0.66", "10.22.8.10"
OFFICE_PC, CLASSROOM_PC = "10.23.0.15", "10.23.0.31"
RESOLVER, WEB, BAD_WEB, BAD_TLS, TUNNEL = (
    "198.51.100.53",
    "203.0.113.20",
    "203.0.113.66",
    "198.51.100.99",
    "203.0.113.53",
)

INSIDE_ADDRESSES = (PUPIL, LIBRARY_PC, TEACHER, LAB_PC, OFFICE_PC, CLASSROOM_PC)
OUTSIDE_ADDRESSES = (RESOLVER, WEB, BAD_WEB, BAD_TLS, TUNNEL, SCHOOL_SERVER, LAB_SERVER)
NAMES = {
    "www.rooster.example": WEB,
    "leermiddelen.example": WEB,
    "cdn.leermiddelen.example": WEB,
    "download.gratis-spellen.example": BAD_WEB,
    "login.telemetrie-sync.example": BAD_TLS,
    "nieuws.example": WEB,
}
TUNNEL_DOMAIN = "t.naam-zonder-filter.example"


class Stage:
    """The two namespaces, a scratch directory, and whatever servers a scenario started."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._servers: list[subprocess.Popen[bytes]] = []

    def inside(self, *command: str, check: bool = False, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a program at the school's side to its end."""
        return subprocess.run(
            ["ip", "netns", "exec", INSIDE, *command],
            check=check,
            timeout=seconds,
            cwd=self.scratch,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def serve(self, *command: str, namespace: str = OUTSIDE) -> None:
        """Start a server (outside unless told otherwise) that ends with the scenario."""
        with (self.scratch / f"{Path(command[0]).name}.log").open("ab") as log:
            self._servers.append(
                subprocess.Popen(
                    ["ip", "netns", "exec", namespace, *command],
                    cwd=self.scratch,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )
        time.sleep(0.6)
        if self._servers[-1].poll() is not None:
            raise SystemExit(f"{command[0]} did not start, see {log.name}:\n{Path(log.name).read_text()[-800:]}")

    def end_servers(self) -> None:
        """End what :meth:`serve` started, by pid."""
        for server in reversed(self._servers):
            server.terminate()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        self._servers.clear()


def run(*command: str) -> None:
    """Run a set-up command; its output is the error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")


@contextlib.contextmanager
def namespaces() -> Iterator[None]:
    """Both namespaces with all their addresses, joined by a veth pair without offloads; gone afterwards."""
    resolv = Path("/etc/netns") / INSIDE / "resolv.conf"
    try:
        for name in (INSIDE, OUTSIDE):
            run("ip", "netns", "add", name)
            run("ip", "netns", "exec", name, "ip", "link", "set", "lo", "up")
            run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        run("ip", "link", "add", "lan", "netns", INSIDE, "type", "veth", "peer", "name", "wan", "netns", OUTSIDE)
        for name, interface, addresses in (
            (INSIDE, "lan", INSIDE_ADDRESSES),
            (OUTSIDE, "wan", OUTSIDE_ADDRESSES),
        ):
            # With offloads on, captures hold segments no wire ever carried, and wrong checksums.
            run(
                "ip",
                "netns",
                "exec",
                name,
                "ethtool",
                "-K",
                interface,
                "tx",
                "off",
                "tso",
                "off",
                "gso",
                "off",
                "gro",
                "off",
            )
            run("ip", "netns", "exec", name, "ip", "link", "set", interface, "up")
            for address in addresses:
                run("ip", "netns", "exec", name, "ip", "address", "add", f"{address}/32", "dev", interface)
            run("ip", "netns", "exec", name, "ip", "route", "add", "default", "dev", interface)
        resolv.parent.mkdir(parents=True, exist_ok=True)
        resolv.write_text(f"nameserver {RESOLVER}\noptions timeout:1 attempts:1\n")
        yield
    finally:
        shutil.rmtree(resolv.parent, ignore_errors=True)
        for name in (INSIDE, OUTSIDE):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@contextlib.contextmanager
def recording(stage: Stage, target: Path) -> Iterator[None]:
    """Record what passes the school's side of the wire into ``target``."""
    raw = stage.scratch / "recording.pcap"
    dumpcap = subprocess.Popen(
        ["ip", "netns", "exec", INSIDE, "dumpcap", "-q", "-P", "-i", "lan", "-w", str(raw)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(1.0)
    try:
        yield
        time.sleep(1.0)
    finally:
        dumpcap.send_signal(signal.SIGINT)
        dumpcap.wait(10)
    shutil.copyfile(raw, target)
    print(f"{target.name}: {target.stat().st_size:,} bytes")


def start_resolver(stage: Stage, *more: str, names: Mapping[str, str] = NAMES) -> None:
    """The resolver, outside, knowing ``names``, with more options of dnsmasq."""
    hosts = [f"--host-record={name},{address}" for name, address in names.items()]
    stage.serve(
        "dnsmasq",
        "--keep-in-foreground",
        "--no-resolv",
        "--no-hosts",
        "--conf-file=/dev/null",
        "--user=root",
        f"--listen-address={RESOLVER}",
        "--bind-interfaces",
        "--pid-file=",
        "--local-ttl=60",
        "--address=/example/",
        *hosts,
        *more,
    )


def make_certificate(stage: Stage, stem: str, *names: str) -> Path:
    """A self-signed P-256 certificate ``STEM.pem`` with its key ``STEM.key``."""
    alternative = ",".join(f"DNS:{name}" for name in names)
    run(
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "825",
        "-subj",
        f"/C=NL/O={stem}/CN={names[0]}",
        "-addext",
        f"subjectAltName={alternative}",
        "-keyout",
        str(stage.scratch / f"{stem}.key"),
        "-out",
        str(stage.scratch / f"{stem}.pem"),
    )
    return stage.scratch / f"{stem}.pem"


def start_web(stage: Stage, address: str, stem: str, *names: str) -> None:
    """An nginx at ``address``: HTTP with some files, HTTPS (TLS 1.2 and 1.3) under a certificate for ``names``."""
    make_certificate(stage, stem, *names)
    root = stage.scratch / f"www-{stem}"
    (root / "files").mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html><title>Rooster</title><p>Les 1: wiskunde\n" * 40)
    (root / "files" / "lesbrief.pdf").write_bytes(b"%PDF-1.7\n" + b"lesbrief " * 2000)
    # An MZ header and random bytes: looks like a program to whoever looks at types, and can run nowhere.
    (root / "files" / "spel.exe").write_bytes(b"MZ\x90\x00" + secrets.token_bytes(24_000))
    configuration = stage.scratch / f"{stem}.conf"
    configuration.write_text(
        f"""daemon off; user root; pid {stage.scratch}/{stem}.nginx.pid; error_log stderr;
        events {{ }}
        http {{
          access_log off; types {{ text/html html; application/pdf pdf; application/x-dosexec exe; }}
          server {{
            listen {address}:80; listen {address}:443 ssl; root {root};
            ssl_certificate {stage.scratch}/{stem}.pem; ssl_certificate_key {stage.scratch}/{stem}.key;
            ssl_protocols TLSv1.2 TLSv1.3;
          }}
        }}"""
    )
    stage.serve("nginx", "-c", str(configuration))


def record_web_and_dns(stage: Stage) -> None:
    """A teacher and two pupils read a timetable and fetch a handout: DNS, HTTP, TLS 1.2 and 1.3; names that fail."""
    start_resolver(stage)
    start_web(stage, WEB, "leermiddelen", "leermiddelen.example", "*.leermiddelen.example", "www.rooster.example")
    with recording(stage, HERE / "web-and-dns.pcap"):
        for host, name in (
            (PUPIL, "www.rooster.example"),
            (LIBRARY_PC, "leermiddelen.example"),
            (PUPIL, "nieuws.example"),
        ):
            stage.inside("curl", "-sS", "--interface", host, "-o", "/dev/null", f"http://{name}/")
            stage.inside("curl", "-sSk", "--interface", host, "-o", "/dev/null", f"https://{name}/")
        stage.inside(
            "curl", "-sS", "--interface", PUPIL, "-o", "/dev/null", "http://leermiddelen.example/files/lesbrief.pdf"
        )
        stage.inside(
            "curl", "-sS", "--interface", PUPIL, "-o", "/dev/null", "http://leermiddelen.example/files/weg.pdf?les=3"
        )
        stage.inside(
            "curl",
            "-sSk",
            "--tls-max",
            "1.2",
            "--interface",
            LIBRARY_PC,
            "-o",
            "/dev/null",
            "https://cdn.leermiddelen.example/",
        )
        for kind, name in (
            ("A", "www.rooster.example"),
            ("AAAA", "leermiddelen.example"),
            ("TXT", "nieuws.example"),
            ("A", "bestaat-niet.example"),
            ("MX", "rooster.example"),
        ):
            stage.inside("dig", "-b", PUPIL, "+tries=1", "+time=1", f"@{RESOLVER}", name, kind)
        stage.inside("ping", "-c", "2", "-I", LIBRARY_PC, WEB)


def record_port_scan(stage: Stage) -> None:
    """A laptop in the computer lab scans the school's server with nmap."""
    start_web(stage, LAB_SERVER, "server", "server.school.example")
    with recording(stage, HERE / "port-scan.pcap"):
        stage.inside(
            "nmap", "-sS", "-n", "-Pn", "-T4", "-p", "1-1000", "-S", LAB_PC, "-e", "lan", LAB_SERVER, check=True
        )


def record_ssh_guessing(stage: Stage) -> None:
    """The same laptop guesses passwords at the server's SSH with hydra: 14 guesses, one a connection, none right."""
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stage.scratch / "host_key"))
    Path("/run/sshd").mkdir(exist_ok=True)
    configuration = stage.scratch / "sshd_config"
    configuration.write_text(
        f"ListenAddress {LAB_SERVER}\nHostKey {stage.scratch}/host_key\nPidFile none\nUsePAM no\n"
        "PasswordAuthentication yes\nMaxStartups 50\nMaxAuthTries 2\nPermitRootLogin no\n"
    )
    (stage.scratch / "words").write_text("".join(f"geheim{number}\n" for number in range(14)))
    stage.serve("/usr/sbin/sshd", "-D", "-e", "-f", str(configuration))
    with recording(stage, HERE / "ssh-guessing.pcap"):
        # hydra has no source option: for this scenario the route names the laptop.
        stage.inside("ip", "route", "replace", f"{LAB_SERVER}/32", "dev", "lan", "src", LAB_PC, check=True)
        stage.inside("hydra", "-l", "beheer", "-P", "words", "-t", "4", "-I", f"ssh://{LAB_SERVER}", seconds=150)


def record_dns_tunnel(stage: Stage) -> None:
    """A classroom computer tunnels IP through DNS with iodine, to a server that answers for a domain."""
    stage.serve("iodined", "-f", "-c", "-P", "tunnel", "-l", TUNNEL, "192.0.2.1/28", TUNNEL_DOMAIN)
    with recording(stage, HERE / "dns-tunnel.pcap"):
        stage.inside("ip", "route", "replace", f"{TUNNEL}/32", "dev", "lan", "src", CLASSROOM_PC, check=True)
        stage.serve(
            "iodine", "-f", "-P", "tunnel", "-r", "-T", "TXT", "-O", "base32", TUNNEL, TUNNEL_DOMAIN, namespace=INSIDE
        )
        time.sleep(6)
        stage.inside("ping", "-c", "25", "-i", "0.2", "-s", "400", "192.0.2.1")


def record_bad_download(stage: Stage) -> None:
    """A pupil downloads a program from a domain that is an indicator."""
    start_resolver(stage)
    start_web(stage, BAD_WEB, "spellen", "download.gratis-spellen.example")
    with recording(stage, HERE / "bad-download.pcap"):
        stage.inside(
            "curl",
            "-sS",
            "--interface",
            PUPIL,
            "-o",
            "/dev/null",
            "http://download.gratis-spellen.example/files/spel.exe",
        )


def record_bad_tls(stage: Stage) -> None:
    """An office computer opens TLS sessions with a server whose certificate is an indicator."""
    start_resolver(stage)
    certificate = make_certificate(stage, "telemetrie", "login.telemetrie-sync.example")
    stage.serve(
        "openssl",
        "s_server",
        "-accept",
        f"{BAD_TLS}:443",
        "-cert",
        str(certificate),
        "-key",
        str(stage.scratch / "telemetrie.key"),
        "-tls1_2",
        "-www",
        "-quiet",
    )
    with recording(stage, HERE / "bad-tls.pcap"):
        for _ in range(3):
            stage.inside(
                "curl", "-sSk", "--interface", OFFICE_PC, "-o", "/dev/null", "https://login.telemetrie-sync.example/"
            )
            time.sleep(0.5)
    write_indicators(ssl.PEM_cert_to_DER_cert(certificate.read_text()))


def write_indicators(certificate: bytes) -> None:
    """The indicators that the recordings match, in the CERT's CSV form."""
    with (HERE / "indicators.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("type", "value", "description"))
        rows.writerow(("domain", "gratis-spellen.example", "Spreads a loader as a free game"))
        rows.writerow(("address", BAD_WEB, "Delivers the loader"))
        rows.writerow(("certificate-sha1", hashlib.sha1(certificate).hexdigest(), "Command-and-control server"))


SCENARIOS: dict[str, Callable[[Stage], None]] = {
    "web-and-dns": record_web_and_dns,
    "port-scan": record_port_scan,
    "ssh-guessing": record_ssh_guessing,
    "dns-tunnel": record_dns_tunnel,
    "bad-download": record_bad_download,
    "bad-tls": record_bad_tls,
}


def play(scenarios: Mapping[str, Callable[[Stage], None]], names: Sequence[str]) -> None:
    """Record the named scenarios (all without a name), each in fresh namespaces."""
    if unknown := set(names) - set(scenarios):
        raise SystemExit(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(scenarios)}")
    if os.geteuid() != 0:
        raise SystemExit("needs root: it makes network namespaces")
    for name in names or scenarios:
        with tempfile.TemporaryDirectory(prefix="schoolwacht-record-") as scratch, namespaces():
            Path(scratch).chmod(0o755)
            stage = Stage(Path(scratch))
            try:
                scenarios[name](stage)
            finally:
                stage.end_servers()


def main() -> None:
    """Record the named scenarios, each in fresh namespaces."""
    parser = argparse.ArgumentParser(description="Record the project's captures again, from real programs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(SCENARIOS)} (default: all)")
    play(SCENARIOS, parser.parse_args().names)


if __name__ == "__main__":
    main()
