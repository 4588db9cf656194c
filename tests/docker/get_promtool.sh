#!/bin/sh
# Put promtool, which tests the alerts and the recording rules, at $1: that on PATH, or that of Debian's package
# `prometheus`, which is unpacked and not installed, so nothing is started. Where neither is possible, the other tests run
# all the same, and those that need promtool fail.
set -eu
case $1 in /*) target=$1 ;; *) target=$PWD/$1 ;; esac
if found=$(command -v promtool); then
    ln -sf "$found" "$target"
    exit
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

download() { apt-get -qq download prometheus 2>download.log; }
update() { # a bare machine has no list of packages yet
    if [ "$(id -u)" = 0 ]; then apt-get -qq update; else sudo -n apt-get -qq update; fi
}

if command -v apt-get >/dev/null && { download || { update && download; }; }; then
    dpkg-deb --extract prometheus_*.deb .
    install -m 755 usr/bin/promtool "$target"
else
    cat download.log 2>/dev/null >&2 || true
    echo "promtool is missing, so the tests of the alerts will fail. Put it on PATH: https://prometheus.io/download/" >&2
fi
