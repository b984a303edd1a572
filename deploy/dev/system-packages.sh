#!/usr/bin/env bash
# Installs the system packages that the tests and the recordings use: Suricata, tshark, Chromium and a few small tools.
#
#   system-packages.sh [test|record]     test (default): what `make test` needs; record: also the programs whose
#                                        traffic tests/captures/record.py records
#
# Debian 12 and 13. Suricata on Debian 12 comes from the release's own backports suite. Safe to run again: it
# installs only what is missing. Without root, or on another system, it says what is missing and ends with 0, because
# the tests that need a missing part skip with that same reason.
set -euo pipefail

common=(systemd tshark tcpreplay iproute2 ethtool curl ca-certificates sqlite3 nginx-light libnginx-mod-stream haproxy)
browser=(chromium)
suricata=(suricata suricata-update)
recorded=(nmap hydra iodine dnsutils nginx-light openssl openssh-server openssh-client dnsmasq iputils-ping samba smbclient samba-common-bin
  krb5-kdc krb5-admin-server krb5-user isc-dhcp-client vsftpd)

wanted=("${common[@]}" "${browser[@]}" "${suricata[@]}")
[ "${1:-test}" = record ] && wanted+=("${recorded[@]}")

missing=()
for package in "${wanted[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

skip() {
  echo "system packages: not installed: ${missing[*]}" >&2
  echo "system packages: $1; the tests that need them are skipped, each with its reason" >&2
  exit 0
}
command -v apt-get >/dev/null || skip "this is no Debian system (no apt-get)"
[ "$(id -u)" -eq 0 ] || skip "not root (run 'sudo $0' to install them)"

# Debian's own stanza names the mirror and the keyring: the backports suite is on the same mirror.
release=$(. /etc/os-release; echo "${VERSION_CODENAME:-}")
from=()
if [ "$release" = bookworm ]; then
  list=/etc/apt/sources.list.d/debian.sources
  backports=/etc/apt/sources.list.d/schoolwacht-backports.sources
  if [ ! -f "$backports" ] && ! grep -rqs "bookworm-backports" /etc/apt/sources.list /etc/apt/sources.list.d; then
    if [ -f "$list" ]; then
      mirror=$(sed -n 's/^URIs: *//p' "$list" | head -1)
      keyring=$(sed -n 's/^Signed-By: *//p' "$list" | head -1)
    else
      mirror=$(sed -nE 's/^deb +(\[[^]]*\] +)?([^ ]+) +bookworm +.*/\2/p' /etc/apt/sources.list | head -1)
      keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    fi
    [ -n "$mirror" ] || skip "no Debian mirror found in the sources of apt"
    printf 'Types: deb\nURIs: %s\nSuites: bookworm-backports\nComponents: main\nSigned-By: %s\n' \
      "$mirror" "$keyring" >"$backports"
  fi
  from=(-t bookworm-backports)
fi

export DEBIAN_FRONTEND=noninteractive
# tshark asks whether unprivileged users may capture: they may not, it only reads files here.
echo "wireshark-common wireshark-common/install-setuid boolean false" | debconf-set-selections 2>/dev/null || true
apt-get update -qq
from_backports=()
from_main=()
for package in "${missing[@]}"; do
  case $package in
    suricata|suricata-update) from_backports+=("$package") ;;
    *) from_main+=("$package") ;;
  esac
done
# A service of Debian's package must not start on the developer's machine: it would capture its interfaces.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  made_policy=1
fi
trap '[ -z "$made_policy" ] || rm -f "$policy"' EXIT
[ ${#from_main[@]} -eq 0 ] || apt-get install -y -qq --no-install-recommends "${from_main[@]}" >/dev/null
[ ${#from_backports[@]} -eq 0 ] || apt-get install -y -qq --no-install-recommends "${from[@]}" "${from_backports[@]}" >/dev/null
