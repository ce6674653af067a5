/* A file through a TCP connection without passing through the program: sendfile(2), splice(2), tee(2), vmsplice(2). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int truth, const char *what)
{
	if (!truth) {
		perror(what);
		exit(1);
	}
}

static void ready(int fd, short events)
{
	struct pollfd polled = { fd, events, 0 };
	must(poll(&polled, 1, 20000) == 1, "poll");
}

static void by_sendfile(int out, int file, off_t size)
{
	off_t at = 0;
	while (at < size) {
		ssize_t sent = sendfile(out, file, &at, size - at);
		if (sent < 0 && errno == EAGAIN)
			ready(out, POLLOUT);
		else
			must(sent > 0, "sendfile");
	}
}

static void by_splice(int out, int file, off_t size)
{
	int pipes[2];
	must(pipe(pipes) == 0, "pipe");
	off_t at = 0;
	while (at < size) {
		ssize_t in = splice(file, &at, pipes[1], NULL, 65536, SPLICE_F_MOVE);
		must(in > 0, "splice from the file");
		while (in > 0) {
			ssize_t sent = splice(pipes[0], NULL, out, NULL, in, SPLICE_F_MOVE | SPLICE_F_MORE);
			if (sent < 0 && errno == EAGAIN)
				ready(out, POLLOUT);
			else {
				must(sent > 0, "splice to the connection");
				in -= sent;
			}
		}
	}
	close(pipes[0]);
	close(pipes[1]);
}

static void by_vmsplice(int out, const char *octets, off_t size)
{
	int pipes[2];
	must(pipe(pipes) == 0, "pipe");
	for (off_t at = 0; at < size;) {
		struct iovec piece = { (char *)octets + at, size - at };
		ssize_t in = vmsplice(pipes[1], &piece, 1, 0);
		must(in > 0, "vmsplice");
		at += in;
		while (in > 0) {
			ssize_t sent = splice(pipes[0], NULL, out, NULL, in, 0);
			if (sent < 0 && errno == EAGAIN)
				ready(out, POLLOUT);
			else {
				must(sent > 0, "splice");
				in -= sent;
			}
		}
	}
}

/* Reads by splicing into a pipe, of which tee(2) gives a second copy. */
static void receive(int in, const char *octets, off_t size)
{
	int pipes[2], second[2];
	must(pipe(pipes) == 0 && pipe(second) == 0, "pipe");
	char *buffer = malloc(65536);
	off_t at = 0;
	while (at < size) {
		ssize_t got = splice(in, NULL, pipes[1], NULL, 65536, 0);
		must(got > 0, "splice from the connection");
		must(tee(pipes[0], second[1], got, 0) == got, "tee");
		for (int copy = 0; copy < 2; copy++)
			for (ssize_t done = 0; done < got;) {
				ssize_t now = read(copy ? second[0] : pipes[0], buffer, got - done);
				must(now > 0 && !memcmp(buffer, octets + at + done, now), "the octets");
				done += now;
			}
		at += got;
	}
	must(splice(in, NULL, pipes[1], NULL, 65536, 0) == 0, "the end");
}

int main(int argc, char **argv)
{
	alarm(60);
	must(argc == 2, "usage");
	int file = open(argv[1], O_RDONLY);
	struct stat about;
	must(file >= 0 && fstat(file, &about) == 0, argv[1]);
	char *octets = malloc(about.st_size);
	must(pread(file, octets, about.st_size, 0) == about.st_size, "read");
	for (int way = 0; way < 6; way++) {
		int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
		struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		socklen_t len = sizeof address;
		must(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 1) == 0, "listen");
		must(getsockname(listener, (struct sockaddr *)&address, &len) == 0, "getsockname");
		must(connect(client, (struct sockaddr *)&address, len) == 0, "connect");
		int served = accept(listener, NULL, NULL);
		must(served >= 0, "accept");
		if (fork() == 0) {
			close(client);
			receive(served, octets, about.st_size);
			_exit(0);
		}
		close(served);
		if (way >= 3)
			fcntl(client, F_SETFL, O_NONBLOCK);
		switch (way % 3) {
		case 0: by_sendfile(client, file, about.st_size); break;
		case 1: by_splice(client, file, about.st_size); break;
		case 2: by_vmsplice(client, octets, about.st_size); break;
		}
		close(client);
		close(listener);
		int status;
		must(wait(&status) > 0 && status == 0, "the reader");
	}
	puts("ok");
	return 0;
}
