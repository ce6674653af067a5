/* Who is outside of the run, for the interpreter (calls.c): listeners that programs connect to and clients of their published ports, told
 * by lines on its input what to do, each of which it answers with one. On the kernel it is another host, reached by a link; of a run it is
 * the host's loopback, which the run calls its gateway.
 *
 *     calls outside TURNS ITS4 ITS6 THEIRS4 THEIRS6     how patient it is, where it listens, and where the published ports are
 *
 * Its sockets have numbers (slots), too. What it is told is done when it answers, as far as the kernel goes.
 */
#define _GNU_SOURCE
#include "calls.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { FARS = 8, FAMILIES = 2 };
/* How long a client waits for who may not answer: as patient as the interpreter, and less than the second after which it asks again. */
enum { TURN_MS = 15, LATE_MS = 900 };

static int fars[FARS], listeners[FAMILIES], soon_ms;
static const char *theirs[FAMILIES];
static unsigned script;
static unsigned char octets[1 << 16], next;

static struct sockaddr_storage place(const char *address, uint16_t port)
{
	struct sockaddr_storage at = { 0 };
	struct sockaddr_in *v4 = (void *)&at;
	struct sockaddr_in6 *v6 = (void *)&at;
	at.ss_family = strchr(address, ':') ? AF_INET6 : AF_INET;
	inet_pton(at.ss_family, address, at.ss_family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr);
	v4->sin_port = htons(port);
	return at;
}

/* The length of an address: of IPv4 no other is taken. */
static socklen_t len_of(const struct sockaddr_storage *at)
{
	return at->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static int listening(const char *address, uint16_t port, int backlog)
{
	struct sockaddr_storage at = place(address, port);
	int one = 1, it = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(it, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(it, (void *)&at, len_of(&at)) || listen(it, backlog)) {
		perror(address);
		exit(4);
	}
	return it;
}

/* A listener whose queue is full: who connects there waits. */
static void open_full(const char *address)
{
	listening(address, FULL, 0);
	struct sockaddr_storage at = place(address, FULL);
	for (int i = 0; i < 2; i++)
		if (connect(socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), (void *)&at, len_of(&at)) && errno != EINPROGRESS)
			exit(5);
}

static void keep_far(long slot, int it)
{
	if (fars[slot] >= 0)
		close(fars[slot]);
	fars[slot] = it;
}

static void reset(int it)
{
	struct linger now = { 1, 0 };
	setsockopt(it, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(it);
}

/* What a script has left is gone when the next one begins. */
static void forget(void)
{
	for (int i = 0; i < FARS; i++) {
		if (fars[i] >= 0)
			reset(fars[i]);
		fars[i] = -1;
	}
	for (int i = 0; i < FAMILIES; i++)
		for (int left; (left = accept4(listeners[i], NULL, NULL, 0)) >= 0;)
			reset(left);
	next = 0;
}

/* A client, and what it was told: the program may refuse it, or have no room. */
static int client(int family, uint16_t port, int *error)
{
	struct sockaddr_storage at = place(theirs[family], port);
	int it = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof *error;
	*error = connect(it, (void *)&at, len_of(&at)) ? errno : 0;
	if (*error == EINPROGRESS) {
		struct pollfd polled = { it, POLLOUT, 0 };
		if (poll(&polled, 1, soon_ms))
			getsockopt(it, SOL_SOCKET, SO_ERROR, error, &len);
	}
	return it;
}

static void knock(long slot, int port, int family)
{
	int error, it = client(family, PUBLISHED + port + PUBLISHED_EACH * (script % SCRIPTS), &error);
	keep_far(slot, it);
	errno = error;
	answered(error ? -1 : 0);
}

/* A link leads somewhere only some time after it is up: until somebody refuses. */
static void await_link(int family)
{
	for (int tries = 0, error = EINPROGRESS; tries < 100 && error == EINPROGRESS; tries++)
		close(client(family, NOBODYS, &error));
}

static void reads(int it, long most)
{
	ssize_t result = recv(it, octets, most, MSG_DONTWAIT);
	answered(result);
	show_octets(octets, result);
}

static void sends(int it, long count)
{
	for (long i = 0; i < count; i++)
		octets[i] = next++;
	answered(send(it, octets, count, MSG_NOSIGNAL | MSG_DONTWAIT));
}

static void polls(int it)
{
	struct pollfd polled = { it, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0 };
	poll(&polled, 1, 0);
	printf(" %x", polled.revents);
}

static void told(const char *name, long slot, long one, long other)
{
	if (!strcmp(name, "begin")) {
		script = slot;
		forget();
		return;
	}
	slot &= FARS - 1;
	int it = fars[slot];
	errno = it < 0 ? EBADF : 0;
	if (!strcmp(name, "far_knock"))
		knock(slot, one & 1, other & 1);
	else if (!strcmp(name, "far_accept")) {
		int made = accept4(listeners[one & 1], NULL, NULL, SOCK_NONBLOCK);
		answered(made < 0 ? -1 : 0);
		if (made >= 0)
			keep_far(slot, made);
	} else if (!strcmp(name, "far_send"))
		sends(it, one % (long)sizeof octets);
	else if (!strcmp(name, "far_recv"))
		reads(it, one % (long)sizeof octets);
	else if (!strcmp(name, "far_shutdown"))
		answered(shutdown(it, one));
	else if (!strcmp(name, "far_poll"))
		polls(it);
	else if (!strcmp(name, "far_close") || !strcmp(name, "far_reset")) {
		answered(it < 0 ? -1 : 0);
		if (it >= 0 && name[4] == 'r')
			reset(it);
		else if (it >= 0)
			close(it);
		fars[slot] = -1;
	} else
		printf(" ?");
}

int be_outside(int turns, char **addresses)
{
	char line[256];
	soon_ms = turns * TURN_MS < LATE_MS ? turns * TURN_MS : LATE_MS;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* the script's process decides how long */
	memset(fars, -1, sizeof fars);
	for (int i = 0; i < FAMILIES; i++) {
		listeners[i] = listening(addresses[i], LISTENS, 16);
		open_full(addresses[i]);
		theirs[i] = addresses[FAMILIES + i];
		await_link(i);
	}
	/* It is there. */
	puts("there");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		char name[32] = "";
		long a[3] = { 0 };
		sscanf(line, "%31s %ld %ld %ld", name, a, a + 1, a + 2);
		told(name, a[0], a[1], a[2]);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}
