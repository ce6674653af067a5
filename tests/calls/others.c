/* Calls of others, for the interpreter (calls.c): a child makes one on what it inherits, a thread waits in one while the script goes
 * on or asks about its socket all the time, a child holds a descriptor until it is let go, and signals tell of events (O_ASYNC).
 */
#define _GNU_SOURCE
#include "calls.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HOLDERS = 4, ROOM = 4096, PATIENCE_MS = 60, TOLD = 64 };

/* One thread that waits in a call. */
static struct {
	pthread_t thread;
	char name[16];
	long a[ARGS];
	atomic_int tid, done;
	long result;
	int error, events, fd, runs;
	socklen_t len;
	struct sockaddr_storage name_of;
	unsigned char octets[ROOM];
} waiter;

static struct {
	pid_t child;
	int let_go;
} holders[HOLDERS];

static volatile struct {
	int fd;
	long band;
} told[TOLD];
static volatile sig_atomic_t told_count;

static void on_event(int number, siginfo_t *info, void *frame)
{
	(void)frame;
	if (told_count < TOLD) {
		told[told_count].fd = number == SIGURG ? -1 : info->si_fd;
		told[told_count].band = number == SIGURG ? 0 : info->si_band;
		told_count++;
	}
}

/* slot, on or off: its events are signals that say which descriptor they are of; urgent octets are SIGURG. */
void call_async(const long *a)
{
	struct sigaction action = { .sa_sigaction = on_event, .sa_flags = SA_SIGINFO | SA_RESTART };
	int fd = fd_of(a[0]), flags = fcntl(fd, F_GETFL);
	sigaction(SIGRTMIN, &action, NULL);
	sigaction(SIGURG, &action, NULL);
	fcntl(fd, F_SETSIG, SIGRTMIN);
	answered(fcntl(fd, F_SETOWN, a[1] ? getpid() : 0));
	answered(fcntl(fd, F_SETFL, a[1] ? flags | O_ASYNC : flags & ~O_ASYNC));
}

/* What signals have told of since they were shown last. */
void show_told(void)
{
	long bands[SLOTS] = { 0 };
	int urgent = 0;
	sigset_t events, before;
	sigemptyset(&events);
	sigaddset(&events, SIGRTMIN);
	sigaddset(&events, SIGURG);
	/* What comes meanwhile is shown the next time; threads that wait take no signals. */
	pthread_sigmask(SIG_BLOCK, &events, &before);
	for (int i = 0; i < told_count; i++) {
		urgent |= told[i].fd < 0;
		for (int slot = 0; slot < SLOTS; slot++)
			if (slots[slot] >= 0 && slots[slot] == told[i].fd)
				bands[slot] |= told[i].band;
	}
	told_count = 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	for (int slot = 0; slot < SLOTS; slot++)
		if (bands[slot])
			printf(" told %d:%lx", slot, bands[slot]);
	if (urgent)
		fputs(" SIGURG", stdout);
}

/* A child makes the call, and is gone. */
void call_child(const char *name, const long *a)
{
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		alarm(20);
		call(name, a);
		fflush(stdout);
		_exit(0);
	}
	int status = 0;
	waitpid(child, &status, 0);
	if (status)
		printf(" ended %x", status);
}

/* The same by a process that has nothing of the script's but the one descriptor, which comes over AF_UNIX; `moves`: this one has closed its
 * own by then.
 */
void call_given(const char *name, const long *a, int moves)
{
	int pair[2], go[2], fd = fd_of(a[0]), status = 0;
	char octet = 'g', room[CMSG_SPACE(sizeof fd)] = { 0 };
	struct iovec piece = { &octet, 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	if (a[0] < 0 || a[0] >= SLOTS || slots[a[0]] < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || pipe(go)) {
		printf(" = none");
		return;
	}
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		alarm(20);
		for (int i = 0; i < SLOTS; i++) {
			if (slots[i] >= 0)
				close(slots[i]);
			slots[i] = -1;
		}
		close(go[1]);
		if (write(pair[1], &octet, 1) != 1 || read(go[0], &octet, 1) != 0 || recvmsg(pair[1], &message, 0) != 1 || !c)
			_exit(98);
		memcpy(&slots[a[0]], CMSG_DATA(c), sizeof fd);
		call(name, a);
		fflush(stdout);
		_exit(0);
	}
	*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	/* It has closed what it inherited. */
	if (read(pair[0], &octet, 1) != 1 || sendmsg(pair[0], &message, 0) != 1)
		kill(child, SIGKILL);
	if (moves) {
		close(slots[a[0]]);
		slots[a[0]] = -1;
	}
	close(go[1]);
	waitpid(child, &status, 0);
	close(go[0]);
	close(pair[0]);
	close(pair[1]);
	if (status)
		printf(" ended %x", status);
}

static long wait_in_call(void)
{
	const long *a = waiter.a;
	if (!strcmp(waiter.name, "accept"))
		return accept(waiter.fd, NULL, NULL);
	if (!strcmp(waiter.name, "connect")) {
		waiter.len = make_address(&waiter.name_of, a + 1);
		return connect(waiter.fd, (struct sockaddr *)&waiter.name_of, waiter.len);
	}
	if (!strcmp(waiter.name, "recv"))
		return syscall(SYS_recvfrom, waiter.fd, waiter.octets, a[1] < ROOM ? a[1] : ROOM, (int)a[2], NULL, NULL);
	if (!strcmp(waiter.name, "recvfrom")) {
		waiter.len = sizeof waiter.name_of;
		return syscall(SYS_recvfrom, waiter.fd, waiter.octets, a[1] < ROOM ? a[1] : ROOM, (int)a[2], &waiter.name_of, &waiter.len);
	}
	if (!strcmp(waiter.name, "send"))
		return syscall(SYS_sendto, waiter.fd, buffer, a[1], MSG_NOSIGNAL, NULL, 0);
	struct pollfd polled = { waiter.fd, a[1], 0 };
	long result = poll(&polled, 1, PATIENCE_MS);
	waiter.events = polled.revents;
	return result;
}

static void *wait_for_it(void *nothing)
{
	waiter.tid = gettid();
	errno = 0;
	waiter.result = wait_in_call();
	waiter.error = errno;
	waiter.done = 1;
	return nothing;
}

/* Whether the thread sleeps: nothing tells when it begins to. */
static int sleeps(void)
{
	char path[64], text[128] = "";
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", waiter.tid);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return 0;
	if (read(file, text, sizeof text - 1) < 0)
		text[0] = 0;
	close(file);
	char *after = strrchr(text, ')');
	return after && after[1] && after[2] == 'S';
}

/* Until the thread's call has ended or it sleeps in it: what the last call has done to it is over then. */
void let_thread_go_on(void)
{
	for (int seen = 0; waiter.runs && !waiter.done && seen < 3; sched_yield())
		seen = waiter.tid && sleeps() ? seen + 1 : 0;
}

static void begin_in_thread(const char *name, const long *a)
{
	sigset_t all, before;
	call_join(0);
	snprintf(waiter.name, sizeof waiter.name, "%s", name);
	memcpy(waiter.a, a, sizeof waiter.a);
	waiter.fd = fd_of(a[0]);
	waiter.tid = waiter.done = 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	waiter.runs = !pthread_create(&waiter.thread, NULL, wait_for_it, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* A thread makes the call; the script goes on once it has ended or sleeps in it. */
void call_wait(const char *name, const long *a)
{
	begin_in_thread(name, a);
	let_thread_go_on();
}

/* A thread makes the call, and this one asks about its socket until it has ended. */
void call_race(const char *name, const long *a)
{
	struct sockaddr_storage storage;
	begin_in_thread(name, a);
	while (waiter.runs && !waiter.done) {
		int type;
		socklen_t len = sizeof storage, type_len = sizeof type;
		getsockname(waiter.fd, (struct sockaddr *)&storage, &len);
		len = sizeof storage;
		getpeername(waiter.fd, (struct sockaddr *)&storage, &len);
		getsockopt(waiter.fd, SOL_SOCKET, SO_TYPE, &type, &type_len);
	}
	call_join(1);
}

/* Whether a thread is in a call that was not joined. */
int is_waited_for(void) { return waiter.runs; }

/* What the thread's call has answered. */
void call_join(int shown)
{
	if (!waiter.runs)
		return;
	pthread_join(waiter.thread, NULL);
	waiter.runs = 0;
	int made = !strcmp(waiter.name, "accept") && waiter.result >= 0, received = !strncmp(waiter.name, "recv", 4);
	if (made && !shown)
		close(waiter.result);
	if (!shown)
		return;
	errno = waiter.error;
	answered(made ? 0 : waiter.result);
	if (made)
		keep(waiter.a[1], waiter.result);
	if (received)
		show_octets(waiter.octets, waiter.result < ROOM ? waiter.result : ROOM);
	if (!strcmp(waiter.name, "recvfrom") && waiter.result >= 0)
		show_address(&waiter.name_of, waiter.len);
	if (!strcmp(waiter.name, "pollone"))
		printf(" %x", waiter.events);
}

/* What a holder does with its descriptor before it ends. */
int let_go(int fd, int what)
{
	char octets[4] = "held";
	if (what == 1)
		return send(fd, octets, sizeof octets, MSG_NOSIGNAL | MSG_DONTWAIT) < 0;
	if (what == 2)
		return shutdown(fd, SHUT_RDWR) < 0;
	if (what == 3)
		return recv(fd, octets, sizeof octets, MSG_DONTWAIT) < 0;
	return 0;
}

/* slot, what it does in the end, whether another program is executed: a child has the descriptor, and no other. */
void call_hold(const long *a)
{
	int at = 0, pair[2], fd = fd_of(a[0]);
	while (at < HOLDERS && holders[at].child)
		at++;
	if (at == HOLDERS || fcntl(fd, F_GETFD) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		printf(" = none");
		return;
	}
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		char octet, text[2][12];
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(60);
		dup2(pair[0], 0);
		for (int other = 3; other < 64; other++)
			if (other != fd)
				close(other);
		/* From now on it has nothing else. */
		if (write(0, "r", 1) != 1)
			_exit(97);
		if (a[2]) {
			snprintf(text[0], sizeof text[0], "%d", fd);
			snprintf(text[1], sizeof text[1], "%ld", 10 + a[1] % 4);
			fcntl(fd, F_SETFD, 0);
			execl("/proc/self/exe", "calls", "4", text[0], text[1], NULL);
			_exit(99);
		}
		_exit(read(0, &octet, 1) == 1 ? let_go(fd, a[1] % 4) : 98);
	}
	close(pair[0]);
	char ready;
	if (read(pair[1], &ready, 1) < 0)
		exit(3);
	holders[at].child = child;
	holders[at].let_go = pair[1];
	printf(" = 0");
}

/* The oldest child that holds something does what it was to do, and ends. */
void call_drop(int shown)
{
	int status = 0;
	if (!holders[0].child) {
		if (shown)
			printf(" = none");
		return;
	}
	if (write(holders[0].let_go, "g", 1) != 1)
		kill(holders[0].child, SIGKILL);
	close(holders[0].let_go);
	waitpid(holders[0].child, &status, 0);
	memmove(holders, holders + 1, sizeof holders - sizeof holders[0]);
	memset(&holders[HOLDERS - 1], 0, sizeof holders[0]);
	if (shown)
		printf(" = %d", WEXITSTATUS(status));
}

/* Before the next script. */
void forget_others(void)
{
	call_join(0);
	while (holders[0].child)
		call_drop(0);
	told_count = 0;
}
