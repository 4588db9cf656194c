#!/bin/sh
# Put promtool, which tests the alerts and the recording rules, at $1: that on PATH, or that of Debian's package
# `prometheus`, which is unpacked and not installed, so it needs no root and starts nothing.
set -eu
case $1 in /*) target=$1 ;; *) target=$PWD/$1 ;; esac
if found=$(command -v promtool); then
    ln -sf "$found" "$target"
    exit
fi
if ! command -v apt-get >/dev/null; then
    echo "promtool is missing, so the tests of the alerts will fail. Put it on PATH: https://prometheus.io/download/" >&2
    exit
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo "Fetching promtool (19 MB)"
if ! apt-get -qq download prometheus 2>first.log; then # a bare machine has no list of packages yet
    if [ "$(id -u)" = 0 ]; then apt-get -qq update; else sudo -n apt-get -qq update; fi
    apt-get -qq download prometheus || { cat first.log >&2; exit 1; }
fi
dpkg-deb --extract prometheus_*.deb .
install -m 755 usr/bin/promtool "$target"
