/* Calls about many at once, for the interpreter (calls.c): several epoll(7) sets, sets within sets, threads that accept from one listener,
 * waiting with a mask of signals, owners of signals, numbers of descriptors beyond FD_SETSIZE, and descriptors that come by other ways than
 * dup(2) and go by others than close(2).
 */
#define _GNU_SOURCE
#include "calls.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SETS = 3, CROWD = 4, HIGH = 1100, HIGH_WORDS = 40, PATIENCE_MS = 30, INNER = 100 };

static int sets[SETS] = { -1, -1, -1 };

static int set_of(long which)
{
	int *at = &sets[which % SETS];
	if (*at < 0)
		*at = epoll_create1(EPOLL_CLOEXEC);
	return *at;
}

/* which set, slot, what, events */
static void call_event_ctl(const long *a)
{
	struct epoll_event event = { .events = a[3], .data.u32 = a[1] };
	answered(epoll_ctl(set_of(a[0]), (int)a[2], fd_of(a[1]), &event));
}

static int by_number(const void *one, const void *other)
{
	const struct epoll_event *a = one, *b = other;
	return (a->data.u32 > b->data.u32) - (a->data.u32 < b->data.u32);
}

/* which set: what it has to tell, and of whom; not in which order */
static void call_event_wait(const long *a)
{
	struct epoll_event events[SLOTS + SETS];
	int count = epoll_wait(set_of(a[0]), events, SLOTS + SETS, 0);
	answered(count);
	if (count > 0)
		qsort(events, count, sizeof *events, by_number);
	for (int i = 0; i < count; i++)
		printf(" %u:%x", events[i].data.u32, events[i].events);
}

/* outer, inner, what, events */
static void call_event_nest(const long *a)
{
	struct epoll_event event = { .events = a[3], .data.u32 = INNER + a[1] };
	answered(epoll_ctl(set_of(a[0]), (int)a[2], set_of(a[1]), &event));
}

static struct {
	int fd;
	atomic_int came, waited, failed;
} crowd;

static void *accept_one(void *nothing)
{
	int fd = accept4(crowd.fd, NULL, NULL, SOCK_CLOEXEC);
	*(fd >= 0 ? &crowd.came : errno == EAGAIN ? &crowd.waited : &crowd.failed) += 1;
	if (fd >= 0)
		close(fd);
	return nothing;
}

/* slot of a listener, how many threads wait in accept(2), how many clients come one after another; family, address: not who was served
 * but how many is shown.
 */
static void call_crowd(const long *a)
{
	pthread_t threads[CROWD];
	int clients[CROWD], made = 0, flags = fcntl(fd_of(a[0]), F_GETFL);
	long there[4] = { a[3], a[4], 100 + a[0], 0 };
	struct sockaddr_storage at;
	socklen_t len = make_address(&at, there);
	sigset_t all, before;
	crowd.fd = fd_of(a[0]);
	crowd.came = crowd.waited = crowd.failed = 0;
	fcntl(crowd.fd, F_SETFL, flags & ~O_NONBLOCK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (int i = 0; i < a[1] % (CROWD + 1); i++)
		made += !pthread_create(&threads[i], NULL, accept_one, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	int connected = 0;
	for (int i = 0; i < a[2] % (CROWD + 1); i++) {
		clients[i] = socket(a[3], SOCK_STREAM | SOCK_CLOEXEC, 0);
		connected += !connect(clients[i], (struct sockaddr *)&at, len);
	}
	for (int i = 0; i < made; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < a[2] % (CROWD + 1); i++)
		close(clients[i]);
	fcntl(crowd.fd, F_SETFL, flags);
	printf(" = %d came %d waited %d failed %d", connected, crowd.came, crowd.waited, crowd.failed);
}

/* slot, who: whom signals of its events are for */
static void call_owner(const long *a)
{
	struct f_owner_ex owner = { .type = a[1] % 3 == 0 ? F_OWNER_TID : a[1] % 3 == 1 ? F_OWNER_PID : 7, .pid = a[1] % 3 ? getpid() : gettid() };
	int fd = fd_of(a[0]);
	answered(fcntl(fd, F_SETOWN_EX, &owner));
	owner = (struct f_owner_ex){ 0 };
	answered(fcntl(fd, F_GETOWN_EX, &owner));
	printf(" %d %d %d", owner.type, owner.pid == getpid(), fcntl(fd, F_GETOWN) == getpid());
}

static void nothing(int number) { (void)number; }

/* slot, how, whether it goes off meanwhile: waits a little for what is readable, with a signal pending that is masked but in the call */
static void call_masked(const long *a)
{
	struct sigaction action = { .sa_handler = nothing };
	struct timespec little = { 0, PATIENCE_MS * 1000000L };
	struct pollfd polled = { fd_of(a[0]), POLLIN | POLLPRI | POLLRDHUP, 0 };
	struct epoll_event event = { 0 };
	sigset_t own, before, none;
	fd_set set;
	sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&own);
	sigaddset(&own, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &own, &before);
	none = before;
	sigdelset(&none, SIGUSR1);
	if (a[2])
		syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
	switch (a[1] % 4) {
	case 0: answered(ppoll(&polled, 1, &little, &none)); printf(" %ld:%x", a[0], polled.revents); break;
	case 1:
		FD_ZERO(&set);
		if (polled.fd < 0) {
			answered(-1);
			break;
		}
		FD_SET(polled.fd, &set);
		answered(pselect(polled.fd + 1, &set, NULL, NULL, &little, &none));
		break;
	case 2: answered(epoll_pwait(set_of(0), &event, 1, PATIENCE_MS, &none)); printf(" %u:%x", event.data.u32, event.events); break;
	default: answered(syscall(SYS_epoll_pwait2, set_of(0), &event, 1, &little, &none, sizeof(uint64_t))); printf(" %u:%x", event.data.u32, event.events); break;
	}
	/* What was not taken is gone. */
	struct timespec now = { 0, 0 };
	printf(" left %d", sigtimedwait(&own, NULL, &now) == SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* slot, how much: the same by a number that select(2) has no room for by the library's reckoning */
static void call_high(const long *a)
{
	struct rlimit limit;
	unsigned long sets_of[2][HIGH_WORDS] = { { 0 } };
	struct sockaddr_storage at;
	socklen_t len = sizeof at;
	struct timeval none = { 0, 0 };
	getrlimit(RLIMIT_NOFILE, &limit);
	struct rlimit more = { limit.rlim_max < 4096 ? limit.rlim_max : 4096, limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &more);
	int fd = fcntl(fd_of(a[0]), F_DUPFD_CLOEXEC, HIGH);
	answered(fd < 0 ? -1 : 0);
	if (fd >= 0) {
		for (int k = 0; k < 2; k++)
			sets_of[k][fd / 64] |= 1UL << fd % 64;
		answered(syscall(SYS_select, fd + 1, sets_of[0], sets_of[1], NULL, &none));
		printf(" %d%d", !!(sets_of[0][fd / 64] >> fd % 64 & 1), !!(sets_of[1][fd / 64] >> fd % 64 & 1));
		answered(getsockname(fd, (struct sockaddr *)&at, &len));
		len = sizeof at;
		/* Without a peer it would be told what it is told by any other number. */
		if (!getpeername(fd, (struct sockaddr *)&at, &len))
			answered(send(fd, buffer, fill(a[1] % BUFFER), MSG_DONTWAIT | MSG_NOSIGNAL)), answered(recv(fd, buffer, 10, MSG_DONTWAIT | MSG_PEEK));
		close(fd);
	}
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* slot, slot, how: a copy by dup3(2), fcntl(2), or by pidfd_getfd(2) from a child that has it */
static void call_copy(const long *a)
{
	int fd = fd_of(a[0]), copy = -1, pair[2];
	char octet;
	if (a[2] % 3 == 0)
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 40);
	else if (a[2] % 3 == 1) {
		int over = a[1] >= 0 && a[1] < SLOTS ? slots[a[1]] : -1;
		copy = over >= 0 && over != fd ? dup3(fd, over, O_CLOEXEC) : dup3(fd, fd, O_CLOEXEC);
	} else if (!pipe(pair)) {
		fflush(stdout);
		pid_t child = fork();
		if (child == 0) {
			close(pair[1]);
			_exit(read(pair[0], &octet, 1) != 0);
		}
		int process = syscall(SYS_pidfd_open, child, 0);
		copy = syscall(SYS_pidfd_getfd, process, fd, 0);
		int error = errno;
		close(pair[0]);
		close(pair[1]);
		close(process);
		waitpid(child, NULL, 0);
		errno = error;
	}
	answered(copy < 0 ? -1 : 0);
	if (copy >= 0)
		keep(a[1], copy);
}

/* slot: closed by close_range(2) */
static void call_close_range(const long *a)
{
	int fd = fd_of(a[0]);
	answered(fd < 3 ? -1 : close_range(fd, fd, 0));
	if (a[0] >= 0 && a[0] < SLOTS)
		slots[a[0]] = -1;
}

void forget_sets(void)
{
	for (int i = 0; i < SETS; i++) {
		if (sets[i] >= 0)
			close(sets[i]);
		sets[i] = -1;
	}
}

int call_sets(const char *name, const long *a)
{
	if (!strcmp(name, "event_ctl"))
		call_event_ctl(a);
	else if (!strcmp(name, "event_wait"))
		call_event_wait(a);
	else if (!strcmp(name, "event_nest"))
		call_event_nest(a);
	else if (!strcmp(name, "crowd"))
		call_crowd(a);
	else if (!strcmp(name, "owner"))
		call_owner(a);
	else if (!strcmp(name, "masked"))
		call_masked(a);
	else if (!strcmp(name, "high"))
		call_high(a);
	else if (!strcmp(name, "copy"))
		call_copy(a);
	else if (!strcmp(name, "close_range"))
		call_close_range(a);
	else
		return 0;
	return 1;
}
