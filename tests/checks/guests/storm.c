/* A timer that goes off every few hundred microseconds while the program makes calls: with SA_RESTART no call fails by it.
 * Without, calls that never wait may not fail either, and under prise some do (docs/compat.md): they are counted. A call
 * that waits is interrupted soon after its signal. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t hits;
static void hit(int number) { hits += number > 0; }

static void must(int truth, const char *what)
{
	if (!truth) {
		perror(what);
		exit(1);
	}
}

static void handle(int flags)
{
	struct sigaction action = { .sa_handler = hit, .sa_flags = flags };
	sigaction(SIGALRM, &action, NULL);
}

static void every(long us)
{
	struct itimerval timer = { { 0, us }, { 0, us } };
	setitimer(ITIMER_REAL, &timer, NULL);
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

int main(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	int listener = socket(AF_INET, SOCK_STREAM, 0), rounds = 1500, failed = 0;
	char octet;
	must(bind(listener, (struct sockaddr *)&at, len) == 0 && listen(listener, 100) == 0, "listen");
	getsockname(listener, (struct sockaddr *)&at, &len);
	pid_t server = fork();
	if (server == 0) {
		handle(SA_RESTART);
		every(300);
		for (;;) {
			int connection = accept(listener, NULL, NULL);
			must(connection >= 0, "accept with SA_RESTART");
			must(send(connection, "x", 1, 0) == 1, "send");
			must(recv(connection, &octet, 1, 0) == 0, "the end");
			close(connection);
		}
	}
	handle(SA_RESTART);
	every(300);
	for (int i = 0; i < rounds; i++) {
		int client = socket(AF_INET, SOCK_STREAM, 0);
		must(client >= 0, "socket with SA_RESTART");
		must(connect(client, (struct sockaddr *)&at, len) == 0, "connect with SA_RESTART");
		must(recv(client, &octet, 1, 0) == 1, "recv with SA_RESTART");
		must(close(client) == 0, "close");
	}
	/* Without SA_RESTART: calls that never wait. */
	handle(0);
	for (int i = 0; i < rounds; i++) {
		int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
		struct sockaddr_in any = { .sin_family = AF_INET };
		socklen_t any_len = sizeof any;
		failed += fd < 0 || other < 0;
		failed += setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0;
		failed += bind(fd, (struct sockaddr *)&any, sizeof any) != 0;
		failed += listen(fd, 5) != 0;
		failed += getsockname(fd, (struct sockaddr *)&any, &any_len) != 0;
		failed += sendto(other, "x", 1, 0, (struct sockaddr *)&any, any_len) != 1;
		close(fd);
		close(other);
	}
	/* A call that waits is interrupted soon after the signal. */
	every(0);
	double worst = 0;
	for (int i = 0; i < 20; i++) {
		struct itimerval once = { { 0, 0 }, { 0, 30000 } };
		setitimer(ITIMER_REAL, &once, NULL);
		double begin = now();
		int got = accept(socket(AF_INET, SOCK_STREAM, 0), NULL, NULL);
		must(got < 0 && errno == EINVAL, "accept without listen");
		struct sockaddr_in from;
		socklen_t from_len = sizeof from;
		int datagram = socket(AF_INET, SOCK_DGRAM, 0);
		must(recvfrom(datagram, &octet, 1, 0, (struct sockaddr *)&from, &from_len) < 0 && errno == EINTR, "recvfrom is interrupted");
		double late = now() - begin - 0.03;
		worst = late > worst ? late : worst;
		close(datagram);
	}
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	printf("%d signals, %d calls that never wait failed, an interruption came %.1f ms late at worst\n", (int)hits, failed, worst * 1000);
	return worst > 0.1;
}
