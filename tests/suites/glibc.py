"""glibc's tests of its resolver (with name servers of their own), sockets, addresses, cancellation of waiting calls, descriptors and processes."""
from suite import Case

PACKAGES = ["gcc"]
TESTS = "resolv/tst-*.c socket/tst-*.c inet/t*st*.c sysdeps/pthread/tst-*cancel*.c sysdeps/pthread/tst-kill*.c sysdeps/pthread/tst-fork*.c sysdeps/pthread/tst-exec*.c sysdeps/unix/sysv/linux/tst-[ceps]*.c misc/tst-[ips]*.c io/tst-*.c"
# They are to run with the C library that is installed, which takes minutes less than to build another; what needs its insides does not compile and is left out.
BUILD = r"""
mkdir -p built/inc/malloc
for name in posix sysdeps support test-skeleton.c; do ln -sfn "$PWD/$name" "built/inc/$name"; done
for name in socket nptl io misc; do ln -sfn "$PWD/$name" "built/inc/$name"; done
cp include/intprops.h include/array_length.h include/libc-diag.h built/inc/
cp malloc/*.c malloc/*.h built/inc/malloc/
sed 's/libc_hidden_proto.*//; s/extern __always_inline/static inline/; s/__always_inline/inline/' include/scratch_buffer.h > built/inc/scratch_buffer.h
: > built/inc/config.h
printf '#define _STACK_GROWS_DOWN 1\n#define DEFAULT_STACK_PERMS 7\n' > built/inc/stackinfo.h
flags="-O1 -g -std=gnu11 -w -D_GNU_SOURCE -D_ISOMAC -Ibuilt/inc -Isupport -Isysdeps/generic/support -include limits.h -include elf.h -DTIMEOUTFACTOR=5"
for name in SRCDIR OBJDIR INSTDIR LIBDIR BINDIR SBINDIR ROOTSBINDIR COMPLOCALEDIR SLIBDIR OBJDIR_ELF_LDSO; do flags="$flags -D${name}_PATH=\"/\""; done
flags="$flags -DSYSCONFDIR_PATH=\"/etc\" -DROOTSBINDIR=\"/\""
for file in support/*.c; do
    name=$(basename "$file" .c)
    case $name in tst-*|*-container|test-driver|links-dso*) continue ;; esac
    gcc $flags -c "$file" -o "built/$name.o" || echo "left out: $file"
done
ar rcs built/libsupport.a built/*.o
mkdir -p built/tests
for file in TESTS; do
    gcc $flags -o "built/tests/$(basename "$file" .c)" "$file" built/libsupport.a -lpthread -lresolv -lrt || echo "left out: $file"
done
touch prise-built
"""


def prepare(room):
    room.build("prise-built", room.source("glibc"), BUILD.replace("TESTS", TESTS))


def cases(room):
    source = room.source("glibc")
    for program in sorted((source / "built" / "tests").iterdir()):
        yield Case(program.name, [program], cwd=source, seconds=300)  # some open the Makefile that they expect beside them
