//! Functions of libraries that a program is linked with: they are called as without ours, which comes before them.

use super::*;

/// Wrappers of what the library has, each of which says its name and goes on to who is next.
const WRAPPERS: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

#define WRAPPED(name, type, parameters, ...) \
    type name parameters { \
        printf("%s %s\n", WHOSE, #name); \
        fflush(stdout); \
        return ((type (*) parameters)dlsym(RTLD_NEXT, #name))(__VA_ARGS__); \
    }

WRAPPED(connect, int, (int s, const struct sockaddr *a, socklen_t n), s, a, n)
WRAPPED(accept, int, (int s, struct sockaddr *a, socklen_t *n), s, a, n)
WRAPPED(accept4, int, (int s, struct sockaddr *a, socklen_t *n, int f), s, a, n, f)
WRAPPED(open, int, (const char *p, int f, mode_t m), p, f, m)
WRAPPED(openat, int, (int d, const char *p, int f, mode_t m), d, p, f, m)
WRAPPED(execve, int, (const char *p, char *const a[], char *const e[]), p, a, e)
WRAPPED(execv, int, (const char *p, char *const a[]), p, a)
WRAPPED(execvp, int, (const char *p, char *const a[]), p, a)
WRAPPED(execvpe, int, (const char *p, char *const a[], char *const e[]), p, a, e)
WRAPPED(fexecve, int, (int f, char *const a[], char *const e[]), f, a, e)
WRAPPED(execveat, int, (int d, const char *p, char *const a[], char *const e[], int f), d, p, a, e, f)
WRAPPED(execl, int, (const char *p, const char *a, const char *b, const char *c), p, a, b, c)
WRAPPED(execlp, int, (const char *p, const char *a, const char *b, const char *c), p, a, b, c)
WRAPPED(execle, int, (const char *p, const char *a, const char *b, char *const e[]), p, a, b, e)
WRAPPED(posix_spawn, int, (pid_t *p, const char *f, void *c, void *t, char *const a[], char *const e[]), p, f, c, t, a, e)
WRAPPED(posix_spawnp, int, (pid_t *p, const char *f, void *c, void *t, char *const a[], char *const e[]), p, f, c, t, a, e)
WRAPPED(system, int, (const char *l), l)
"#;

/// Calls all of them; another library that has them, too, comes too late.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int count, char **words) {
    char *none[] = {0};
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int s = socket(AF_INET, SOCK_STREAM, 0), file;
    printf("%d\n", dlopen(words[1], RTLD_NOW | RTLD_GLOBAL) != 0);
    name.sin_port = htons(1);
    printf("%d %d\n", connect(s, (void *)&name, sizeof name), errno);
    printf("%d %d\n", accept(s, 0, 0), errno);
    printf("%d %d\n", accept4(s, 0, 0, 0), errno);
    printf("%d\n", (file = open("made", O_CREAT | O_EXCL | O_WRONLY, 0640)) >= 0);
    struct stat made;
    printf("%o\n", fstat(file, &made) ? 0 : made.st_mode & 07777);
    printf("%d\n", openat(AT_FDCWD, "made", O_RDONLY) >= 0);
    unlink("made");
    printf("%d %d\n", execve("/none", none, none), errno);
    printf("%d %d\n", execv("/none", none), errno);
    printf("%d %d\n", execvp("/none", none), errno);
    printf("%d %d\n", execvpe("/none", none, none), errno);
    printf("%d %d\n", fexecve(-1, none, none), errno);
    printf("%d %d\n", execveat(AT_FDCWD, "/none", none, none, 0), errno);
    printf("%d %d\n", execl("/none", "a", "b", (char *)0), errno);
    printf("%d %d\n", execlp("none", "a", "b", (char *)0), errno);
    printf("%d %d\n", execle("/none", "a", (char *)0, none), errno);
    printf("%d\n", posix_spawn(0, "/none", 0, 0, none, none));
    printf("%d\n", posix_spawnp(0, "none", 0, 0, none, none));
    printf("%x\n", system("exit 3"));
    return 0;
}
"#;

#[test]
fn what_a_library_of_the_programs_wraps_stays_wrapped() {
    let stage = Stage::new();
    let library = |name, whose| {
        compiled(
            &stage,
            name,
            WRAPPERS,
            &["-shared", "-fPIC", "-fno-builtin", &format!("-DWHOSE=\"{whose}\"")],
        )
    };
    let (Some(linked), Some(late)) = (library("linked.so", "linked"), library("late.so", "late")) else {
        return;
    };
    let linked = linked.to_str().expect("a path of ours");
    let options = ["-Wl,--no-as-needed", linked, "-ldl"];
    let Some(program) = compiled(&stage, "wrapped", PROGRAM, &options) else {
        return;
    };
    let told = |options: &[&str]| {
        let mut command = stage.run(options, &[program.clone().into(), late.clone().into()]);
        let folder = linked.rsplit_once('/').map_or(".", |(folder, _)| folder);
        finish(command.current_dir(folder), LIMIT).expect_success().stdout
    };
    let with = told(&[]);
    assert_eq!(with, told(&["--no-preload"]));
    assert_eq!(with.matches("linked ").count(), 17, "{with}");
    assert_eq!(with.matches("late ").count(), 0, "{with}");
}
