/* Signals and blocked calls, measured: how long after a signal a call that waits has ended with EINTR, whether one that is
 * restarted goes on while a timer goes off all the time, and how often a call that does not wait is disturbed, by a timer and by children
 * that end meanwhile (to be seen beside busy processes only).
 *
 *     gcc -O1 -o storm tests/calls/storm.c && ./storm && prise run --link none -- ./storm
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 100, SIGNAL_AFTER_US = 3000, PEER_AFTER_US = 300000, CALLS_MS = 1000, CHILDREN = 1200 };

static volatile int handled;
static int listener, datagrams, client, server;
static struct sockaddr_in listens_at, receives_at;

static const char *const names[] = { "accept", "recvfrom", "recvmsg, UDP", "recv, TCP", "recvmsg, TCP" };
enum { KINDS = sizeof names / sizeof *names };

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void on_alarm(int number)
{
	(void)number;
	handled++;
}

static void handle(int flags)
{
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = flags };
	sigaction(SIGALRM, &action, NULL);
}

static void timer(long first_us, long every_us)
{
	struct itimerval value = { { 0, every_us }, { 0, first_us } };
	setitimer(ITIMER_REAL, &value, NULL);
}

/* A call that waits until the peer does something. */
static long blocked(int kind)
{
	char octets[8];
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	struct iovec piece = { octets, sizeof octets };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	switch (kind) {
	case 0: return accept(listener, NULL, NULL);
	case 1: return recvfrom(datagrams, octets, sizeof octets, 0, (struct sockaddr *)&from, &len);
	case 2: return recvmsg(datagrams, &message, 0);
	case 3: return recv(server, octets, sizeof octets, 0);
	default: return recvmsg(server, &message, 0);
	}
}

/* A child that does it, after a while. */
static pid_t peer(int kind)
{
	pid_t child = fork();
	if (child)
		return child;
	usleep(PEER_AFTER_US);
	int own = socket(AF_INET, kind == 0 ? SOCK_STREAM : SOCK_DGRAM, 0);
	if (kind == 0)
		_exit(connect(own, (struct sockaddr *)&listens_at, sizeof listens_at) != 0);
	if (kind < 3)
		_exit(sendto(own, "x", 1, 0, (struct sockaddr *)&receives_at, sizeof receives_at) != 1);
	_exit(write(client, "x", 1) != 1);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void ends_with_eintr(int kind)
{
	double took[ROUNDS];
	int otherwise = 0;
	handle(0);
	for (int i = 0; i < ROUNDS; i++) {
		double begin = now_ms();
		timer(SIGNAL_AFTER_US, 0);
		otherwise += blocked(kind) != -1 || errno != EINTR;
		took[i] = now_ms() - begin - SIGNAL_AFTER_US / 1e3;
	}
	qsort(took, ROUNDS, sizeof *took, compare);
	printf("%-12s EINTR after the signal: median %.1f, p99 %.1f, most %.1f ms; otherwise %d\n", names[kind], took[ROUNDS / 2],
	       took[ROUNDS * 99 / 100], took[ROUNDS - 1], otherwise);
}

static void goes_on(int kind, long every_us)
{
	handle(SA_RESTART);
	pid_t child = peer(kind);
	handled = 0;
	double begin = now_ms();
	timer(every_us, every_us);
	long result = blocked(kind);
	int error = errno;
	double took = now_ms() - begin;
	timer(0, 0);
	printf("%-12s every %ld us, restarted: %s after %.0f ms, %d handled\n", names[kind], every_us, result < 0 ? strerror(error) : "done", took,
	       handled);
	if (kind == 0 && result >= 0)
		close(result);
	waitpid(child, NULL, 0);
}

static void disturbed(long every_us)
{
	int made = 0, ended = 0;
	handle(0);
	timer(every_us, every_us);
	for (double begin = now_ms(); now_ms() - begin < CALLS_MS;) {
		struct sockaddr_in any = { .sin_family = AF_INET };
		int own = socket(AF_INET, SOCK_STREAM, 0);
		made += 2;
		if (own < 0) {
			ended += errno == EINTR;
			continue;
		}
		ended += bind(own, (struct sockaddr *)&any, sizeof any) && errno == EINTR;
		close(own);
	}
	timer(0, 0);
	printf("every %ld us: of %d calls that do not wait %d ended with EINTR\n", every_us, made, ended);
}

/* SIGCHLD goes to a thread that makes one judged call after another: each child that ends meets one, more or less. */
static void disturbed_by_children(void)
{
	int ended = 0;
	double waited_ms = 0;
	struct sigaction action = { .sa_handler = on_alarm };
	sigaction(SIGCHLD, &action, NULL);
	for (int i = 0; i < CHILDREN; i++) {
		if (!fork()) {
			for (volatile int work = 0; work < 20000; work++)
				;
			_exit(0);
		}
		struct sockaddr_in own;
		socklen_t len = sizeof own;
		double begin = now_ms();
		ended += getsockname(listener, (struct sockaddr *)&own, &len) && errno == EINTR;
		waited_ms += now_ms() - begin;
		while (waitpid(-1, NULL, 0) < 0 && errno == EINTR)
			;
	}
	printf("children: of %d calls that do not wait %d ended with EINTR; mean %.0f us\n", CHILDREN, ended, waited_ms * 1e3 / CHILDREN);
}

int main(void)
{
	struct sockaddr_in lo = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof lo;
	setvbuf(stdout, NULL, _IOLBF, 0);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	bind(listener, (struct sockaddr *)&lo, sizeof lo);
	listen(listener, 5);
	getsockname(listener, (struct sockaddr *)&listens_at, &len);
	client = socket(AF_INET, SOCK_STREAM, 0);
	connect(client, (struct sockaddr *)&listens_at, sizeof listens_at);
	server = accept(listener, NULL, NULL);
	datagrams = socket(AF_INET, SOCK_DGRAM, 0);
	bind(datagrams, (struct sockaddr *)&lo, sizeof lo);
	getsockname(datagrams, (struct sockaddr *)&receives_at, &len);
	for (int kind = 0; kind < KINDS; kind++)
		ends_with_eintr(kind);
	for (long every_us = 100; every_us < 10000; every_us *= 7)
		for (int kind = 0; kind < KINDS; kind++)
			goes_on(kind, every_us);
	for (long every_us = 100; every_us < 10000; every_us *= 7)
		disturbed(every_us);
	disturbed_by_children();
}
