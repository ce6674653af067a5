/* Connections and processes that come and go for as long as its input says: each line asks for as many processes and as many
 * connections, and is answered by a line with the time they took. Written for tests/lasting. */
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

int main(void)
{
	int listener = socket(AF_INET6, SOCK_STREAM, 0);
	unsigned processes, connections, number = 0;
	socklen_t len = sizeof at;
	at.sin6_family = AF_INET6;
	at.sin6_addr = in6addr_loopback;
	must(bind(listener, (struct sockaddr *)&at, len) == 0 && listen(listener, 128) == 0, "listen");
	getsockname(listener, (struct sockaddr *)&at, &len);
	/* Servers in this process and in another one. */
	pid_t server = fork();
	for (int i = 0; i < 4; i++) {
		pthread_t thread;
		pthread_create(&thread, NULL, serve, (void *)(long)listener);
	}
	if (server == 0)
		for (;;)
			pause();
	while (scanf("%u %u", &processes, &connections) == 2) {
		struct timespec begin, end;
		clock_gettime(CLOCK_MONOTONIC, &begin);
		for (unsigned i = 0; i < processes; i++) {
			pid_t child = fork();
			if (child == 0) {
				talk(number + i);
				datagram();
				talk(number + i + 1);
				_exit(0);
			}
			if (i % 10 == 9) { /* killed at some moment */
				usleep(rand() % 500);
				kill(child, SIGKILL);
			}
			must(waitpid(child, NULL, 0) == child, "waitpid");
		}
		for (unsigned i = 0; i < connections; i++, number++) {
			talk(number);
			if (number % 20 == 0)
				datagram();
		}
		clock_gettime(CLOCK_MONOTONIC, &end);
		printf("%.1f\n", end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9);
		fflush(stdout);
	}
	kill(server, SIGKILL);
	return 0;
}
