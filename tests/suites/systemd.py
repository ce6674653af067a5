"""systemd's tests, of Debian, built: netlink, DHCP, router discovery, LLDP, link-local addresses, a resolver's streams, varlink, sockets, events, device monitors, buses."""
import pathlib
import re

from suite import Case

PACKAGES = ["systemd-tests", "dbus"]
WANTED = r"test-(sock|net|sd-(device|dhcp)|in-addr|resolve|dhcp|ndisc|event|local-addr|acd|ipv4ll|dns|lldp|varlink|bus|fd-util|io-util|fdset|serialize|async|socket|watchdog|notify|journal-(send|stream|importer)|udev-event)"


def prepare(room):
    pass


def cases(room):
    for path in sorted(pathlib.Path("/usr/lib/systemd/tests").glob("test-*")):
        if path.is_file() and re.match(WANTED, path.name):
            yield Case(path.name, [path], cwd=room.at, seconds=120)
