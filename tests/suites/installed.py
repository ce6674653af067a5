"""Tests that Debian installs built (ginstest): GLib's and GIO's, libsoup's two, glib-networking's, D-Bus's."""
import configparser
import pathlib
import re
import shlex

from suite import Case, tap


class Installed:
    AT = pathlib.Path("/usr/share/installed-tests")

    def __init__(self, package, directory, only="", seconds=120):
        self.directory, self.only, self.seconds, self.PACKAGES = directory, only, seconds, [package, "dbus"]
        self.__doc__ = f"{package}, of Debian, built"

    def prepare(self, room):
        pass

    def cases(self, room):
        for path in sorted((self.AT / self.directory).rglob("*.test")):
            told = configparser.ConfigParser(interpolation=None)
            told.read(path)
            words = shlex.split(told["Test"]["Exec"])
            # As their own runner does: a directory for each, and a session bus where one is asked for.
            command = f'cd "$(mktemp -d)"; exec {shlex.join(words)}'
            if re.search(self.only, path.stem):
                yield Case(path.stem, ["sh", "-c", command], env={"G_TEST_LOG_SETENV": "1"}, read=tap, seconds=self.seconds)


GIO = "sock|gdbus|network|proxy|resolver|inet|poll|stream|spawn|mainloop|thread|tls|unix-fd|unix$|actions|application"
SUITES = {
    "glib": Installed("libglib2.0-tests", "glib", only=GIO),
    "libsoup3": Installed("libsoup-3.0-tests", "libsoup-3.0"),
    "libsoup2": Installed("libsoup2.4-tests", "libsoup-2.4"),
    "glib-networking": Installed("glib-networking-tests", "glib-networking"),
    "dbus": Installed("dbus-tests", "dbus"),
}
