"""Nim's tests of its sockets, selectors, asynchronous sockets and HTTP."""
import re

from suite import Case

PACKAGES = ["nim", "gcc", "libssl-dev"]
WANTED = r"tasync(await|closestall|connect|dial|eagain|netudp|send4757|ssl|httpserver\w*)|tnewasyncudp|tioselectors|testmanyasyncevents|tupcoming_async|tnet\w*|tnativesockets|thttpclient\w*|tsocketstreams|tssl|tudp|tsockets?\w*"


def found(room):
    tests = room.source("nim") / "tests"
    return [path for path in sorted([*tests.glob("async/*.nim"), *tests.glob("stdlib/*.nim"), *tests.glob("net/*.nim")]) if re.fullmatch(WANTED, path.stem)]


def prepare(room):
    for path in found(room):
        binary = room.at / "bin" / path.stem
        command = f"mkdir -p {binary.parent}; nim c --threads:on -d:ssl --hints:off --warnings:off --path:{path.parents[2]}/testament/lib --nimcache:{room.at}/cache/{path.stem} -o:{binary} {path.name} || touch {binary}"
        room.build(binary, path.parent, command)


def cases(room):
    for path in found(room):
        binary = room.at / "bin" / path.stem
        if binary.stat().st_size:
            wanted = re.search(r'^ *output: *"([^"\n]*)"', path.read_text(), re.MULTILINE)
            # What it says is in the test's head, where it matters.
            command = f"{binary} > output; status=$?; cat output; exit $status"
            if wanted:
                command = f"[ \"$({binary})\" = '{wanted[1]}' ]"
            yield Case(path.stem, ["sh", "-c", f"cd $(mktemp -d); {command}"], cwd=path.parent, seconds=120)
