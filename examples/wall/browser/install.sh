#!/usr/bin/env bash
# Installs what the tests need and this machine lacks: as root with apt-get.
# Elsewhere it says what to install, and fails.
set -euo pipefail
cd "$(dirname "$0")"

fail() {
	echo "install: $*" >&2
	exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

has go || fail "Go is missing: install Go $(awk '$1 == "go" { print $2 }' ../../../go.mod) or newer"
{ has node && has npm; } || fail "Node.js or npm is missing: install Node.js 20.19 or newer"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
	fail "Node.js $(node --version) is too old: install 20.19 or newer"

packages=()
# The race detector needs a C compiler with its headers.
echo '#include <stdlib.h>' | "$(go env CC)" -E - >/dev/null 2>&1 || packages+=(gcc libc6-dev)
has curl || packages+=(curl)
has openssl || packages+=(openssl)
has "${CHROMIUM:-chromium}" || packages+=(chromium)
has "${FIREFOX:-firefox-esr}" || packages+=(firefox-esr)
has WebKitWebDriver || packages+=(webkit2gtk-driver)
has Xvfb || packages+=(xvfb)
[ -x /usr/sbin/nginx ] || packages+=(nginx-light)
[ -x /usr/sbin/haproxy ] || packages+=(haproxy)
has redis-server || packages+=(redis-server)
has redis-sentinel || packages+=(redis-sentinel)

if [ ${#packages[@]} -gt 0 ]; then
	{ [ "$(id -u)" = 0 ] && has apt-get; } ||
		fail "missing: ${packages[*]}. Install them (on Debian: apt-get install ${packages[*]}), or set CHROMIUM and FIREFOX to where the browsers are"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

for dir in . ../../../client; do
	if ! [ "$dir/node_modules/.package-lock.json" -nt "$dir/package-lock.json" ]; then
		(cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund)
	fi
done
