"""OpenSSH's regression tests, of Debian, built: forwarding of streams and of sockets, multiplexing, agents, SOCKS, rekeying, sftp, scp."""
import re

from suite import Case

PACKAGES = ["openssh-tests", "openssh-server", "openssh-client", "openssh-sftp-server", "make"]
AT = "/usr/lib/openssh/regress"
# Of keys and formats of files the others are.
ABOUT_CONNECTIONS = r"connect|forward|multiplex|timeout|transfer|sftp$|sftp-cmds|scp|banner|exit-status|stderr|broken-pipe|yes-head|envpass|agent$|agent-subprocess|reconfigure|reexec|keyscan|cfgmatchlisten|localcommand|proto-|portnum|rekey"


def prepare(room):
    room.build("run/sshd", room.at, "mkdir -p run/sshd")


def cases(room):
    makefile = open(f"{AT}/Makefile").read().replace("\\\n", " ")
    names = re.search(r"^LTESTS=(.*)$", makefile, re.MULTILINE)[1].split()
    for name in names:
        if re.search(ABOUT_CONNECTIONS, name):
            # One test leaves a child of 444 seconds, whose end a run waits for.
            objects = " ".join(f"{variable}=$PWD/regress" for variable in (".OBJDIR", ".CURDIR", "BUILDDIR", "OBJ"))
            settings = "TEST_SHELL=sh TEST_SSH_SSH=ssh TEST_SSH_SFTPSERVER=/usr/lib/openssh/sftp-server TEST_SSH_IPV6=yes TEST_SSH_ECC=yes TEST_SSH_UNSAFE_PERMISSIONS=1"
            command = f"mkdir -p /run/sshd; cd $(mktemp -d) && trap 'rm -rf $PWD' EXIT && cp -a {AT} regress && make -C regress {objects} {settings} LTESTS={name} prep t-exec </dev/zero"
            yield Case(name, ["sh", "-c", command], env={"SUDO": ""}, seconds=600)
