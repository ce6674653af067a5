"""OpenSSH's regression tests, of Debian, built: forwarding of streams and of sockets, multiplexing, agents, SOCKS, rekeying, sftp, scp."""
import re

from suite import Case

PACKAGES = ["openssh-tests", "openssh-server", "openssh-client", "openssh-sftp-server", "make"]
AT = "/usr/lib/openssh/regress"
APART = {"agent-ptrace", "keygen-moduli", "conch-ciphers", "valgrind-unit"}


def prepare(room):
    room.build("run/sshd", room.at, "mkdir -p run/sshd")


def cases(room):
    makefile = open(f"{AT}/Makefile").read().replace("\\\n", " ")
    names = re.search(r"^LTESTS=(.*)$", makefile, re.MULTILINE)[1].split()
    for name in names:
        if name not in APART:
            objects = " ".join(f"{variable}=$PWD/regress" for variable in (".OBJDIR", ".CURDIR", "BUILDDIR", "OBJ"))
            settings = "TEST_SHELL=sh TEST_SSH_SSH=ssh TEST_SSH_SFTPSERVER=/usr/lib/openssh/sftp-server TEST_SSH_IPV6=yes TEST_SSH_ECC=yes TEST_SSH_UNSAFE_PERMISSIONS=1"
            command = f"mkdir -p /run/sshd; cd $(mktemp -d) && trap 'rm -rf $PWD' EXIT && cp -a {AT} regress && make -C regress {objects} {settings} LTESTS={name} prep t-exec </dev/zero"
            yield Case(name, ["sh", "-c", command], env={"SUDO": ""}, seconds=300)
