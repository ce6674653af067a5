/* What the files of the interpreter share (calls.c, more.c, others.c, outside.c, sets.c). */
#ifndef CALLS_H
#define CALLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { SLOTS = 12, PORTS = 64, BUFFER = 1 << 16, ARGS = 9 };

/* Ports outside: of listeners whose clients are accepted and never are, and nobody's; and those that are published, each script its own,
 * because what is left of connections holds them.
 */
enum { LISTENS = 2001, FULL, NOBODYS, PUBLISHED = 3000, PUBLISHED_EACH = 2, SCRIPTS = 150 };

extern int slots[SLOTS];
extern unsigned char *buffer;

int fd_of(long slot);
void *pointer(long kind, void *right, size_t room);
const char *port_name(uint16_t port);
void show_address(const void *address, socklen_t len);
socklen_t make_address(struct sockaddr_storage *storage, const long *spec);
void answered(long result);
void show_octets(const unsigned char *octets, ssize_t count);
size_t fill(long len);

void keep(long slot, int fd);
void call(const char *name, const long *a);

/* Those of others.c. */
void call_async(const long *a);
void call_child(const char *name, const long *a);
void call_given(const char *name, const long *a, int moves);
void call_wait(const char *name, const long *a);
void call_race(const char *name, const long *a);
void call_join(int shown);
void call_hold(const long *a);
void call_drop(int shown);
int is_waited_for(void);
void let_thread_go_on(void);
void show_told(void);
void forget_others(void);
/* What a program does that holds a descriptor. */
int let_go(int fd, int what);

/* Who is outside (outside.c), in a process of its own, as patient as these turns; the addresses are its own and where the published ports are. */
int be_outside(int turns, char **addresses);

/* The calls of more.c; 0 if it has none of that name. */
int call_more(const char *name, const long *a);

/* Those of sets.c, and what they keep for a script. */
int call_sets(const char *name, const long *a);
void forget_sets(void);

/* What a program does that was executed with a descriptor. */
int executed(int fd, int what);

#endif
