/* The POSIX calls by name, with read and write on the descriptor: socket bind listen accept connect read write close.
 *
 *   cc -static -o posix posix.c && ./posix [4|6]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int check(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}

static void fails(const char *what, int result)
{
	printf("%s: %d %s\n", what, result, strerror(errno));
}

int main(int argc, char **argv)
{
	int six = argc > 1 && !strcmp(argv[1], "6"), family = six ? AF_INET6 : AF_INET;
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	struct sockaddr *address = six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
	socklen_t length = six ? sizeof v6 : sizeof v4;
	char text[100];
	ssize_t n;

	alarm(20);
	setvbuf(stdout, NULL, _IONBF, 0);
	int server = check(socket(family, SOCK_STREAM, 0), "socket");
	check(bind(server, address, length), "bind");
	check(listen(server, 5), "listen");
	check(getsockname(server, address, &length), "getsockname");

	if (!check(fork(), "fork")) { /* ACTIF: le client */
		int client = check(socket(family, SOCK_STREAM, 0), "socket");
		check(connect(client, address, length), "connect");
		struct iovec parts[] = { { "demande ", 8 }, { "de service", 10 } };
		check(writev(client, parts, 2), "writev");
		n = check(read(client, text, sizeof text), "read");
		printf("client read: %.*s\n", (int)n, text);
		printf("client reads the end: %d\n", (int)read(client, text, sizeof text));
		close(client);
		_exit(0);
	}
	/* PASSIF: le serveur */
	struct sockaddr_storage peer;
	socklen_t peer_length = sizeof peer;
	int service = check(accept(server, (struct sockaddr *)&peer, &peer_length), "accept");
	printf("server accepted, address of %u octets\n", peer_length);
	size_t got = 0;
	while (got < 18)
		got += check(read(service, text + got, sizeof text - got), "read");
	printf("server read: %.*s\n", (int)got, text);
	int copy = dup(service);
	close(service); /* the connection lives as long as one descriptor does */
	check(write(copy, "réponse", 8), "write");
	check(shutdown(copy, SHUT_RDWR), "shutdown");
	close(copy);
	wait(NULL);

	/* Addresses are cut to the room that is given for them, and their length told. */
	peer_length = 2;
	check(getsockname(server, (struct sockaddr *)&peer, &peer_length), "getsockname");
	printf("room for 2, family %d, length %u\n", peer.ss_family == family, peer_length);
	fails("a bad pointer", getsockname(server, (struct sockaddr *)8, &peer_length));
	fails("a bad length", bind(socket(family, SOCK_STREAM, 0), address, 3));
	fails("a bad family", socket(77, SOCK_STREAM, 0));
	fails("not a socket", listen(0, 5));
	close(server);
	fails("not open", listen(server, 5));
	return 0;
}
