/* Thousands of threads that all wait in calls at once: a third in accept(2), a third in recvfrom(2), a third in a connect(2)
 * to a listener whose queue is full or in recv(2). Each is woken by what it waits for, and by nothing else. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int listener, datagram;
static struct sockaddr_in stream_at, datagram_at;
static atomic_int accepted, received, answered, waiting;

static void must(int truth, const char *what)
{
	if (!truth) {
		perror(what);
		exit(1);
	}
}

static void *accepts(void *none)
{
	waiting++;
	int connection = accept(listener, NULL, NULL);
	must(connection >= 0, "accept");
	accepted++;
	char octet;
	must(recv(connection, &octet, 1, 0) == 1 && send(connection, &octet, 1, 0) == 1, "serve");
	close(connection);
	return none;
}

static void *receives(void *none)
{
	char octets[10];
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	waiting++;
	must(recvfrom(datagram, octets, sizeof octets, 0, (struct sockaddr *)&from, &len) > 0, "recvfrom");
	received++;
	return none;
}

static void *connects(void *none)
{
	int client = socket(AF_INET, SOCK_STREAM, 0);
	must(connect(client, (struct sockaddr *)&stream_at, sizeof stream_at) == 0, "connect");
	char octet = 'x';
	must(send(client, &octet, 1, 0) == 1 && recv(client, &octet, 1, 0) == 1, "an answer");
	answered++;
	close(client);
	return none;
}

static int bound(int kind, struct sockaddr_in *at)
{
	int fd = socket(AF_INET, kind, 0);
	socklen_t len = sizeof *at;
	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	must(bind(fd, (struct sockaddr *)at, len) == 0 && getsockname(fd, (struct sockaddr *)at, &len) == 0, "bind");
	return fd;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 300, third = count / 3;
	struct timespec begin, end;
	alarm(70);
	listener = bound(SOCK_STREAM, &stream_at);
	must(listen(listener, 4096) == 0, "listen");
	datagram = bound(SOCK_DGRAM, &datagram_at);
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	pthread_t *threads = calloc(3 * third, sizeof *threads);
	for (int i = 0; i < 2 * third; i++)
		must(pthread_create(&threads[i], &small, i < third ? accepts : receives, NULL) == 0, "pthread_create");
	while (waiting < 2 * third)
		usleep(1000);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (int i = 2 * third; i < 3 * third; i++)
		must(pthread_create(&threads[i], &small, connects, NULL) == 0, "pthread_create");
	int sender = socket(AF_INET, SOCK_DGRAM, 0);
	for (int i = 0; i < third; i++) {
		must(sendto(sender, "x", 1, 0, (struct sockaddr *)&datagram_at, sizeof datagram_at) == 1, "sendto");
		while (received < i - 100)
			usleep(100);
	}
	for (int i = 0; i < 3 * third; i++)
		pthread_join(threads[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &end);
	must(accepted == third && received == third && answered == third, "each was woken once");
	printf("%d threads in %ld ms\n", 3 * third, (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000);
	return 0;
}
