"""Record ``programs.pcap`` again: one small conversation of each kind, from real programs in two network namespaces.

    sudo .venv/bin/python tests/schoolwacht_agent/sources/packets/dissect/record.py

Needs root and openssl, curl, python3, dnsmasq, dig, ssh, sshd, nmap and tshark. Keys and certificates are new each
time; the tests take what they compare with from tshark and Suricata, not from this file.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

INSIDE, OUTSIDE = "sw-dissect-in", "sw-dissect-out"
CLIENT, SERVER = "192.0.2.10", "192.0.2.1"
TARGET = Path(__file__).with_name("programs.pcap")

DNSMASQ = f"""
no-resolv
no-hosts
log-facility=-
listen-address={SERVER}
bind-interfaces
dhcp-range=192.0.2.100,192.0.2.150,1h
dhcp-option=option:dns-server,{SERVER}
dhcp-leasefile=/dev/null
address=/www.voorbeeld.example/203.0.113.20
address=/www.voorbeeld.example/2001:db8::20
cname=alias.local.example,target.local.example
host-record=target.local.example,203.0.113.21
mx-host=post.example,mail.post.example,10
txt-record=txt.example,"eerste deel","tweede deel"
srv-host=_ldap._tcp.school.example,dc.school.example,389,5,10
ptr-record=21.113.0.203.in-addr.arpa,target.local.example
"""
QUERIES = (
    ("www.Voorbeeld.example", "A"),
    ("www.voorbeeld.example", "AAAA"),
    ("alias.local.example", "A"),
    ("post.example", "MX"),
    ("txt.example", "TXT"),
    ("_ldap._tcp.school.example", "SRV"),
    ("21.113.0.203.in-addr.arpa", "PTR"),
    ("absent.example", "A"),
    ("www.voorbeeld.example", "A", "+tcp"),
    ("www.voorbeeld.example", "HTTPS", "+noedns", "+norecurse"),
)
SUBJECT = (
    "/C=NL/ST=Utrecht/L=Zeist/O=Stichting Café/OU=ICT+OU=Beheer/CN=www.school.example/emailAddress=a@school.example"
)
WEB = r"""
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path.startswith("/chunked"):
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            self.wfile.write(b"5\r\nhello\r\n0\r\n\r\n"); return
        if self.path.startswith("/moved"):
            self.send_response(302); self.send_header("Location", "/elsewhere?x=1")
            self.send_header("Content-Length", "0"); self.end_headers(); return
        code = 404 if "absent" in self.path else 200
        self.send_response(code); self.send_header("Content-Type", "text/HTML; charset=utf-8")
        self.send_header("Content-Length", "6"); self.end_headers(); self.wfile.write(b"hallo\n")
    def do_HEAD(self):
        self.send_response(200); self.send_header("Content-Length", "6"); self.end_headers()
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"])); self.send_response(204); self.end_headers()
http.server.ThreadingHTTPServer(("192.0.2.1", 8080), Handler).serve_forever()
"""


def run(*command: str, check: bool = True, text: str | None = None) -> None:
    """Run a command to its end."""
    subprocess.run(command, check=check, input=text, text=True, capture_output=True, timeout=60)


def inside(*command: str, text: str | None = None) -> None:
    """Run a client; that it fails may be what is wanted."""
    run("ip", "netns", "exec", INSIDE, *command, check=False, text=text)


class Servers:
    """What was started, to be ended by pid."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, namespace: str = OUTSIDE, wait: float = 0.7) -> subprocess.Popen[bytes]:
        """Start one and give it time to listen."""
        with (self.scratch / "log").open("ab") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", namespace, *command],
                cwd=self.scratch,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.running.append(process)
        time.sleep(wait)
        if process.poll() is not None:
            raise SystemExit(f"{command[0]} did not start:\n{(self.scratch / 'log').read_text()[-600:]}")
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End one."""
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        """End what still runs, the newest first."""
        for process in reversed(self.running):
            if process.poll() is None:
                self.stop(process)


def make_keys(scratch: Path) -> None:
    """A self-signed certificate with several kinds of names, and the keys of sshd."""
    names = "DNS:www.school.example,DNS:*.school.example,IP:192.0.2.1,IP:2001:db8::1,email:beheer@school.example"
    run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
        "-keyout", str(scratch / "key.pem"), "-out", str(scratch / "cert.pem"),
        "-subj", SUBJECT,
        "-utf8", "-multivalue-rdn", "-addext", f"subjectAltName={names}",
    )  # fmt: skip
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(scratch / "host_key"))


def tls(servers: Servers, port: int, *, serve: tuple[str, ...] = (), ask: tuple[tuple[str, ...], ...] = ((),)) -> None:
    """One server, and one connection of each set of options."""
    server = servers.start(
        "openssl", "s_server", "-accept", str(port), "-cert", "cert.pem", "-key", "key.pem", "-quiet",
        "-alpn", "http/1.1", *serve,
    )  # fmt: skip
    for options in ask:
        inside(
            "openssl", "s_client", "-connect", f"{SERVER}:{port}", "-servername", "WWW.School.example",
            "-alpn", "h2,http/1.1", *options, text="Q\n",
        )  # fmt: skip
    servers.stop(server)


def converse(servers: Servers) -> None:
    """All conversations, one after the other."""
    scratch = servers.scratch
    (scratch / "dnsmasq.conf").write_text(DNSMASQ)
    servers.start("dnsmasq", "--keep-in-foreground", "--conf-file=dnsmasq.conf")
    for name, kind, *options in QUERIES:
        inside("dig", "-b", CLIENT, "+tries=1", "+time=1", f"@{SERVER}", name, kind, *options)
    inside("nmap", "--script", "broadcast-dhcp-discover", "-e", "lan")
    (scratch / "web.py").write_text(WEB)
    servers.start(sys.executable, "web.py")
    site = f"http://{SERVER}:8080"
    inside(
        "curl",
        "-s",
        "-e",
        "http://verwijzer.example/",
        f"{site}/pad/a.html?q=%C3%A9&b=2",
        f"{site}/absent",
        f"{site}/moved",
    )
    inside("curl", "-s", "-I", f"{site}/head")
    inside(
        "curl",
        "-s",
        "-H",
        "Host: Www.Voorbeeld.Example",
        f"{site}/chunked",
        "--next",
        "-s",
        "-d",
        "a=1&b=2",
        f"{site}/post",
    )
    inside("curl", "-s", "-x", site, "http://doel.example:81/via/proxy")
    tls(servers, 4431, serve=("-tls1_2",), ask=(("-sess_out", "s12"), ("-sess_in", "s12")))
    tls(servers, 4432, serve=("-tls1_2", "-no_ticket"), ask=(("-sess_out", "s12b"), ("-sess_in", "s12b")))
    tls(servers, 4433, ask=(("-sess_out", "s13", "-ign_eof"), ("-sess_in", "s13")))
    tls(servers, 4434, serve=("-groups", "P-384"))
    tls(servers, 4435, serve=("-tls1_2", "-split_send_frag", "512", "-max_send_frag", "512"))
    tls(servers, 4436, serve=("-cipher", "ALL:@SECLEVEL=0", "-tls1"), ask=(("-tls1", "-cipher", "ALL:@SECLEVEL=0"),))
    tls(
        servers,
        4437,
        serve=("-cipher", "PSK+AES128", "-psk", "aa", "-nocert", "-tls1_2"),
        ask=(("-psk", "aa", "-tls1_2"),),
    )
    (scratch / "sshd_config").write_text(
        f"ListenAddress {SERVER}:2222\nHostKey {scratch}/host_key\nPidFile none\nVersionAddendum toevoeging\n"
    )
    servers.start("/usr/sbin/sshd", "-D", "-f", str(scratch / "sshd_config"))
    inside(
        "ssh",
        "-p",
        "2222",
        "-oStrictHostKeyChecking=no",
        "-oUserKnownHostsFile=/dev/null",
        "-oBatchMode=yes",
        f"nobody@{SERVER}",
        "true",
    )


def main() -> None:
    """Make the namespaces, record, and take them away again."""
    Path("/run/sshd").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        scratch.chmod(0o755)
        servers = Servers(scratch)
        try:
            for name in (INSIDE, OUTSIDE):
                run("ip", "netns", "add", name)
                run("ip", "netns", "exec", name, "ip", "link", "set", "lo", "up")
                run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            run("ip", "link", "add", "lan", "netns", INSIDE, "type", "veth", "peer", "name", "wan", "netns", OUTSIDE)
            for name, link, address in ((INSIDE, "lan", CLIENT), (OUTSIDE, "wan", SERVER)):
                run("ip", "-n", name, "address", "add", f"{address}/24", "dev", link)
                run("ip", "-n", name, "link", "set", link, "up")
                run(
                    "ip",
                    "netns",
                    "exec",
                    name,
                    "ethtool",
                    "-K",
                    link,
                    "tso",
                    "off",
                    "gso",
                    "off",
                    "gro",
                    "off",
                    "tx",
                    "off",
                )
            make_keys(scratch)
            recorded = scratch / "recorded.pcap"
            recorder = servers.start("tshark", "-i", "lan", "-F", "pcap", "-w", str(recorded), namespace=INSIDE, wait=2)
            converse(servers)
            time.sleep(1)
            servers.stop(recorder)
            TARGET.write_bytes(recorded.read_bytes())
        finally:
            servers.stop_all()
            for name in (INSIDE, OUTSIDE):
                run("ip", "netns", "delete", name, check=False)


if __name__ == "__main__":
    main()
