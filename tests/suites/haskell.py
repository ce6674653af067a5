"""Tests of Haskell's network, conduit-extra, streaming-commons, simple-sendfile, http-client: GHC's threads, its event manager on epoll(7) and eventfd(2), sendfile(2)."""
from suite import FAIL, PASS, SKIP, Case, told

# {source: where its tests are}; what is tried is the installed library.
SOURCES = {"network": "tests", "conduit-extra": "test", "simple-sendfile": "test", "streaming-commons": "test", "http-client": "test"}
OTHERS = "async blaze-builder case-insensitive conduit cookie deepseq hspec http-types hunit quickcheck2 resourcet silently stringsearch temporary transformers-base wai zlib"
PACKAGES = ["ghc", "hspec-discover", *(f"libghc-{name}-dev" for name in [*SOURCES, *OTHERS.split()])]
# GHC's runtime with one thread waits by select(2), with several by epoll(7).
RUNTIMES = {name: ("", "-threaded") if name == "network" else ("-threaded",) for name in SOURCES}
VERDICTS = told(r"^ *(?P<name>\S.*?) (?:\([\d.]+m?s\) )?\[(?P<word>✔|✘|‐)\]", {"✔": PASS, "✘": FAIL, "‐": SKIP}, ends=(0, 1))


def prepare(room):
    for name, place in SOURCES.items():
        for runtime in RUNTIMES[name]:
            # Some of theirs need what the distribution has not.
            built = f"cd {place}; ghc -w -O0 {runtime} -outputdir ../prise-objects{runtime} -o ../prise-spec{runtime} Spec.hs || touch ../prise-spec{runtime}"
            room.build(f"prise-spec{runtime}", room.source(f"haskell-{name}"), built)


def cases(room):
    for name, place in SOURCES.items():
        tree = room.source(f"haskell-{name}")
        for runtime in RUNTIMES[name]:
            if (tree / f"prise-spec{runtime}").stat().st_size:
                yield Case(name + runtime, [tree / f"prise-spec{runtime}", "--format=checks", "--no-color", "--seed=1"], cwd=tree, env={"LC_ALL": "C.UTF-8"}, read=VERDICTS, seconds=300)
