/* The calls themselves, in a static binary: both families, poll, select and epoll, dup, fork, wrong arguments. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(truth) \
	do { \
		if (!(truth)) { \
			printf("%d: %s: %s\n", __LINE__, #truth, strerror(errno)); \
			exit(1); \
		} \
	} while (0)
#define FAILS(call, error) MUST((call) == -1 && errno == (error))

/* What was written a moment ago is there. */
static int arrives(int fd)
{
	struct pollfd polled = { fd, POLLIN, 0 };
	return poll(&polled, 1, 5000) == 1;
}

static void family(int domain, const void *loopback, socklen_t len)
{
	struct sockaddr_storage at, peer;
	memcpy(&at, loopback, len);
	int listener = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0), client = socket(domain, SOCK_STREAM | SOCK_NONBLOCK, 0);
	MUST(bind(listener, (void *)&at, len) == 0 && listen(listener, 1) == 0);
	socklen_t room = sizeof at;
	MUST(getsockname(listener, (void *)&at, &room) == 0 && room == len);
	FAILS(accept4(listener, NULL, NULL, 0x10), EINVAL);
	FAILS(connect(client, (void *)&at, 3), EINVAL);
	FAILS(connect(client, (void *)8, len), EFAULT);
	FAILS(bind(listener, (void *)&at, len), EINVAL);
	FAILS(getpeername(client, (void *)&peer, &room), ENOTCONN);
	int set = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET }, seen[4];
	FAILS(connect(client, (void *)&at, len), EINPROGRESS);
	MUST(epoll_ctl(set, EPOLL_CTL_ADD, client, &event) == 0);
	MUST(epoll_wait(set, seen, 4, 5000) == 1 && seen[0].events == EPOLLOUT);
	int served = accept4(listener, (void *)&peer, &room, SOCK_NONBLOCK);
	MUST(served >= 0 && fcntl(served, F_GETFL) & O_NONBLOCK);
	MUST(connect(client, (void *)&at, len) == 0);
	FAILS(connect(client, (void *)&at, len), EISCONN);
	char octets[64];
	FAILS(read(served, octets, 1), EAGAIN);
	int on = 1;
	MUST(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
	FAILS(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, 1), EINVAL);
	struct iovec pieces[2] = { { "two ", 4 }, { "pieces", 6 } };
	MUST(writev(client, pieces, 2) == 10);
	struct pollfd polled = { served, POLLIN, 0 };
	MUST(poll(&polled, 1, 5000) == 1 && polled.revents == POLLIN);
	MUST(recv(served, octets, 4, MSG_PEEK) == 4 && readv(served, pieces, 0) == 0 && read(served, octets, 64) == 10);
	int copy = dup(client);
	close(client);
	pid_t child = fork();
	if (child == 0) {
		MUST(write(copy, "from a child", 12) == 12);
		_exit(0);
	}
	fd_set set_of_fds;
	FD_ZERO(&set_of_fds);
	FD_SET(served, &set_of_fds);
	MUST(select(served + 1, &set_of_fds, NULL, NULL, NULL) == 1 && read(served, octets, 64) == 12);
	MUST(waitpid(child, NULL, 0) == child);
	MUST(shutdown(copy, SHUT_WR) == 0);
	polled.events = POLLIN | POLLRDHUP;
	MUST(poll(&polled, 1, 5000) == 1 && polled.revents == (POLLIN | POLLRDHUP) && read(served, octets, 1) == 0);
	MUST(write(served, "still", 5) == 5 && arrives(copy) && recv(copy, octets, 5, MSG_WAITALL) == 0 + 5);
	close(served);
	MUST(arrives(copy) && read(copy, octets, 1) == 0);
	close(copy);
	close(listener);
	close(set);
}

int main(void)
{
	alarm(30);
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	family(AF_INET, &v4, sizeof v4);
	family(AF_INET6, &v6, sizeof v6);
	FAILS(socket(AF_INET, 77, 0), EINVAL);
	FAILS(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
	FAILS(listen(0, 1), ENOTSOCK);
	FAILS(listen(777, 1), EBADF);
	puts("ok");
	return 0;
}
