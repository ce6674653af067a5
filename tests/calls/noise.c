/* Abuses every call that it can, from several threads, until it is ended: bad pointers, memory that changes while it is read,
 * lengths that cannot be, descriptors closed under calls that wait. Written for tests/calls/run --noise.
 *
 * noise batches: nothing wrong, but as much as one call can be asked for, all the time.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

enum { THREADS = 6, FDS = 24 };

static int fds[FDS];
static unsigned char *shared; /* all threads read and write it while calls use it */

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static long argument(uint64_t *state)
{
	uint64_t drawn = next(state);
	switch (drawn % 12) {
	case 0: return 0;
	case 1: return -1;
	case 2: return 8;
	case 3: return (long)0xffff800000000000;
	case 4: return drawn >> 32;
	case 5: return (long)drawn;
	case 6: return drawn >> 8 & 63;
	case 7: return 1 << (drawn >> 8 & 31);
	default: return (long)(shared + (drawn >> 16 & 0xfff));
	}
}

static const long calls[] = {
	SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_connect, SYS_getsockname, SYS_getpeername, SYS_shutdown, SYS_setsockopt, SYS_getsockopt,
	SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_sendmmsg, SYS_recvmmsg, SYS_ioctl,
};

static void sensible(int fd, uint64_t *state)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(7000 + next(state) % 8) };
	struct timeval soon = { 0, 20000 };
	char octets[100];
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon);
	switch (next(state) % 7) {
	case 0: bind(fd, (struct sockaddr *)&at, sizeof at); break;
	case 1: listen(fd, 5); break;
	case 2: connect(fd, (struct sockaddr *)&at, sizeof at); break;
	case 3: close(accept(fd, NULL, NULL)); break;
	case 4: send(fd, octets, sizeof octets, MSG_NOSIGNAL | MSG_DONTWAIT); break;
	case 5: recv(fd, octets, sizeof octets, MSG_DONTWAIT); break;
	case 6: shutdown(fd, next(state) % 3); break;
	}
}

static void *abuse(void *number)
{
	uint64_t state = (uintptr_t)number * 0x9e3779b97f4a7c15u + 1;
	for (;;) {
		int at = next(&state) % FDS;
		if (next(&state) % 8 == 0) {
			int old = fds[at];
			fds[at] = socket(next(&state) % 3 ? AF_INET : AF_INET6, (next(&state) % 3 ? SOCK_STREAM : SOCK_DGRAM) | (next(&state) % 2 ? SOCK_NONBLOCK : 0), 0);
			if (old > 2)
				close(old);
		} else if (next(&state) % 2)
			sensible(fds[at], &state);
		else {
			for (int i = 0; i < 8; i++)
				((long *)shared)[next(&state) % 512] = argument(&state);
			long call = calls[next(&state) % (sizeof calls / sizeof *calls)];
			long flags = next(&state) % 4 ? MSG_DONTWAIT : argument(&state);
			if (call == SYS_accept || call == SYS_accept4 || call == SYS_connect)
				fcntl(fds[at], F_SETFL, O_NONBLOCK);
			if (call == SYS_sendto || call == SYS_recvfrom)
				syscall(call, fds[at], argument(&state), argument(&state), flags, argument(&state), argument(&state));
			else if (call == SYS_sendmsg || call == SYS_recvmsg)
				syscall(call, fds[at], argument(&state), flags);
			else if (call == SYS_ioctl)
				syscall(call, fds[at], 0x8900 + next(&state) % 0x100, argument(&state));
			else
				syscall(call, fds[at], argument(&state), argument(&state), call == SYS_sendmmsg || call == SYS_recvmmsg ? flags : argument(&state), argument(&state), argument(&state));
		}
	}
	return NULL;
}

/* A thousand of the largest datagrams in one call. */
static void batches(void)
{
	enum { MANY = 1024, LARGE = 65507 };
	static char octets[LARGE];
	static struct iovec piece = { octets, LARGE };
	static struct mmsghdr messages[MANY];
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	int to = socket(AF_INET, SOCK_DGRAM, 0), from = socket(AF_INET, SOCK_DGRAM, 0);
	bind(to, (struct sockaddr *)&at, sizeof at);
	getsockname(to, (struct sockaddr *)&at, &len);
	for (int i = 0; i < MANY; i++)
		messages[i].msg_hdr = (struct msghdr){ .msg_name = &at, .msg_namelen = sizeof at, .msg_iov = &piece, .msg_iovlen = 1 };
	for (;;) {
		sendmmsg(from, messages, MANY, MSG_DONTWAIT);
		recvmmsg(to, messages, MANY, MSG_DONTWAIT, NULL);
		for (int i = 0; i < MANY; i++)
			messages[i].msg_hdr.msg_namelen = sizeof at;
	}
}

static void nothing(int number) { (void)number; }

int main(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* the script's process decides how long */
	if (argc > 2 && getppid() != atoi(argv[2]))
		return 0; /* and was sooner */
	freopen("/dev/null", "w", stdout);
	if (argc > 1 && strcmp(argv[1], "batches") == 0)
		batches();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGIO, SIG_IGN);
	signal(SIGURG, SIG_IGN);
	signal(SIGALRM, nothing);
	struct itimerval often = { { 0, 3000 }, { 0, 3000 } };
	setitimer(ITIMER_REAL, &often, NULL);
	shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(shared + 4096, 4096);
	memset(fds, -1, sizeof fds);
	for (uintptr_t i = 0; i < THREADS; i++) {
		pthread_t thread;
		pthread_create(&thread, NULL, abuse, (void *)(i + 100 * (argc > 1 ? atoi(argv[1]) : 1)));
	}
	for (;;)
		pause();
}
