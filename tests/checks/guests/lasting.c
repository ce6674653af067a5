/* Connections and processes that come and go for as long as its input says: each line asks for as many processes and as many
 * connections, and is answered by a line with the time they took. Written for tests/lasting.
 *
 *   lasting                 both ends
 *   lasting serve PORT      the serving end only, on all addresses, until its input ends
 *   lasting ADDRESS PORT    the other end only */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Clients at once: a connection's calls wait for other processes most of the time. */
#define CLIENTS 8

static struct sockaddr_in6 at;

static void must(int truth, const char *what)
{
	if (!truth) {
		perror(what);
		exit(1);
	}
}

static void *serve(void *listener)
{
	for (;;) {
		int connection = accept((int)(long)listener, NULL, NULL);
		char octets[16];
		ssize_t got;
		if (connection < 0)
			continue;
		while ((got = recv(connection, octets, sizeof octets, 0)) > 0 && send(connection, octets, got, MSG_NOSIGNAL) == got)
			;
		close(connection);
	}
	return NULL;
}

/* Every way in which a connection may end: in order, by the server, by a reset, with octets unread, in the middle. */
static void talk(unsigned number)
{
	int client = socket(AF_INET6, SOCK_STREAM, 0);
	char octets[16];
	struct linger now = { 1, 0 };
	must(client >= 0, "socket");
	must(connect(client, (struct sockaddr *)&at, sizeof at) == 0, "connect");
	switch (number % 5) {
	case 0:
	case 1:
		must(send(client, "hello", 5, MSG_NOSIGNAL) == 5 && recv(client, octets, 5, MSG_WAITALL) == 5, "an echo");
		break;
	case 2:
		shutdown(client, SHUT_WR);
		must(recv(client, octets, 1, 0) == 0, "the end");
		break;
	case 3:
		setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof now);
		break;
	case 4:
		send(client, "unread", 6, MSG_NOSIGNAL);
		break;
	}
	close(client);
}

static void datagram(void)
{
	int one = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof here;
	char octet;
	must(one >= 0 && other >= 0, "socket");
	must(bind(one, (struct sockaddr *)&here, len) == 0 && getsockname(one, (struct sockaddr *)&here, &len) == 0, "bind");
	must(sendto(other, "x", 1, 0, (struct sockaddr *)&here, len) == 1 && recv(one, &octet, 1, 0) == 1, "a datagram");
	close(one);
	close(other);
}

static void *client(void *range)
{
	for (unsigned number = ((unsigned *)range)[0]; number < ((unsigned *)range)[1]; number++) {
		talk(number);
		if (number % 20 == 0)
			datagram();
	}
	return NULL;
}

static void connections_come_and_go(unsigned first, unsigned count)
{
	unsigned ranges[CLIENTS][2];
	pthread_t threads[CLIENTS];
	for (unsigned i = 0; i < CLIENTS; i++) {
		ranges[i][0] = first + (unsigned long)count * i / CLIENTS;
		ranges[i][1] = first + (unsigned long)count * (i + 1) / CLIENTS;
		must(pthread_create(&threads[i], NULL, client, ranges[i]) == 0, "pthread_create");
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		pthread_join(threads[i], NULL);
}

static void processes_come_and_go(unsigned first, unsigned count)
{
	for (unsigned done = 0; done < count;) {
		pid_t children[CLIENTS];
		unsigned together = count - done < CLIENTS ? count - done : CLIENTS;
		for (unsigned i = 0; i < together; i++) {
			children[i] = fork();
			must(children[i] >= 0, "fork");
			if (children[i] == 0) {
				talk(first + done + i);
				datagram();
				talk(first + done + i + 1);
				_exit(0);
			}
		}
		usleep(rand() % 500);
		kill(children[rand() % together], SIGKILL); /* at some moment */
		for (unsigned i = 0; i < together; i++) {
			int status;
			must(waitpid(children[i], &status, 0) == children[i], "waitpid");
			must(status == 0 || status == SIGKILL, "a child");
		}
		done += together;
	}
}

/* Servers in this process and in another one, which gives its number back. */
static pid_t serving(unsigned short port)
{
	int listener = socket(AF_INET6, SOCK_STREAM, 0), one = 1;
	socklen_t len = sizeof at;
	at.sin6_family = AF_INET6;
	at.sin6_port = htons(port);
	at.sin6_addr = port ? in6addr_any : in6addr_loopback;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	must(bind(listener, (struct sockaddr *)&at, len) == 0 && listen(listener, 128) == 0, "listen");
	getsockname(listener, (struct sockaddr *)&at, &len);
	pid_t server = fork();
	for (int i = 0; i < 4; i++) {
		pthread_t thread;
		pthread_create(&thread, NULL, serve, (void *)(long)listener);
	}
	if (server == 0)
		for (;;)
			pause();
	return server;
}

int main(int argc, char **argv)
{
	unsigned processes, connections, number = 0;
	int serves = argc > 2 && strcmp(argv[1], "serve") == 0;
	pid_t server = 0;
	if (argc < 3 || serves) {
		server = serving(serves ? atoi(argv[2]) : 0);
	} else {
		char mapped[64];
		snprintf(mapped, sizeof mapped, strchr(argv[1], ':') ? "%s" : "::ffff:%s", argv[1]);
		at.sin6_family = AF_INET6;
		at.sin6_port = htons(atoi(argv[2]));
		must(inet_pton(AF_INET6, mapped, &at.sin6_addr) == 1, "an address");
	}
	if (serves) {
		printf("ready\n");
		fflush(stdout);
	}
	while (scanf("%u %u", &processes, &connections) == 2) {
		struct timespec begin, end;
		clock_gettime(CLOCK_MONOTONIC, &begin);
		processes_come_and_go(number, processes);
		connections_come_and_go(number, connections);
		number += connections;
		clock_gettime(CLOCK_MONOTONIC, &end);
		printf("%.1f\n", end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9);
		fflush(stdout);
	}
	if (server)
		kill(server, SIGKILL);
	return 0;
}
