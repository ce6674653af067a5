/* Abuses what the supervisor answers besides calls on Internet sockets: netlink, raw, ping and packet sockets, requests about links, files of
 * /proc/net, uname(2), prctl(2), seccomp(2); and has processes, threads and descriptors end under calls, sockets on their way between
 * processes, and descriptor tables of a thread's own. Until it is ended. Written for crates/prise-cli/tests/abuse.rs. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, FDS = 20, ROUNDS = 3000 };

static int fds[FDS];
static unsigned char *shared; /* all threads write it while calls read it; some of its pages come and go */
enum { SHARED = 64 << 10 };

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
	switch (drawn % 10) {
	case 0: return 0;
	case 1: return -1;
	case 2: return (long)0xffff800000000000;
	case 3: return (long)drawn;
	case 4: return drawn >> 8 & 255;
	case 5: return 1L << (drawn >> 8 & 63);
	default: return (long)(shared + (drawn >> 16) % SHARED);
	}
}

static int some_socket(uint64_t *state)
{
	static const int families[] = { AF_NETLINK, AF_NETLINK, AF_INET, AF_INET6, AF_PACKET, AF_UNIX };
	static const int kinds[] = { SOCK_RAW, SOCK_DGRAM, SOCK_STREAM };
	static const int protocols[] = { 0, 4, 16, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_RAW, 0x300, 15 };
	return socket(families[next(state) % 6], kinds[next(state) % 3] | (next(state) & 1 ? SOCK_NONBLOCK : 0), protocols[next(state) % 10]);
}

/* A request that is one in its first half. */
static void netlink(int fd, uint64_t *state)
{
	struct { struct nlmsghdr head; unsigned char body[200]; } request = { { 0 } };
	for (size_t i = 0; i < sizeof request.body; i++)
		request.body[i] = next(state) % 3 ? 0 : next(state);
	request.head.nlmsg_len = next(state) % 4 ? 16 + next(state) % 100 : next(state);
	request.head.nlmsg_type = next(state) % 3 ? 16 + next(state) % 100 : next(state);
	request.head.nlmsg_flags = next(state) % 2 ? NLM_F_REQUEST | NLM_F_DUMP : next(state);
	request.head.nlmsg_seq = next(state);
	send(fd, &request, next(state) % 2 ? request.head.nlmsg_len % sizeof request : next(state) % sizeof request, MSG_DONTWAIT | MSG_NOSIGNAL);
	recv(fd, shared, 4096, MSG_DONTWAIT | (next(state) & (MSG_TRUNC | MSG_PEEK)));
}

static void file(uint64_t *state)
{
	static const char *const names[] = { "/proc/net/tcp", "/proc/self/net/udp6", "//proc/./net/snmp", "/proc/net", "/proc/net/../net/tcp", "/sys/class/net/lo/mtu",
		"/proc/thread-self/net/route", "/proc/1/net/dev", "/proc/99999999/net/dev", "/sys/class/net/eth0/statistics/rx_bytes", "/proc/sys/net/ipv4/tcp_rmem" };
	const char *name = names[next(state) % 11];
	if (next(state) % 4 == 0) /* the name changes, or ends beyond the last page */
		name = strcpy((char *)shared + SHARED - strlen(name) - next(state) % 2, name);
	int fd = next(state) % 3 ? open(name, O_RDONLY | O_CLOEXEC) : syscall(SYS_openat2, AT_FDCWD, name, argument(state), next(state) % 64);
	if (fd >= 0) {
		if (read(fd, shared, 300) < 0 || next(state) % 2)
			lseek(fd, next(state) % 100, SEEK_SET);
		close(fd);
	}
	syscall(SYS_openat, next(state) % 64, argument(state), O_RDONLY);
}

/* A socket that goes to another process, or nowhere, while it is used. */
static void pass(uint64_t *state)
{
	int ways[2];
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ways))
		return;
	union { struct cmsghdr head; char room[CMSG_SPACE(2 * sizeof(int))]; } control = { { CMSG_LEN(2 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	int sent[2] = { fds[next(state) % FDS], fds[next(state) % FDS] };
	memcpy(CMSG_DATA(&control.head), sent, sizeof sent);
	struct iovec one = { "x", 1 };
	struct msghdr message = { .msg_iov = &one, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	sendmsg(ways[0], &message, 0);
	if (next(state) % 2)
		close(sent[0]);
	if (next(state) % 2 && recvmsg(ways[1], &message, 0) > 0 && message.msg_controllen) {
		memcpy(sent, CMSG_DATA(&control.head), sizeof sent);
		close(sent[0]);
		fds[next(state) % FDS] = sent[1];
	}
	close(ways[0]);
	close(ways[1]);
}

static void *ends_at_once(void *fd)
{
	char octet;
	recv((int)(intptr_t)fd, &octet, 1, 0);
	return NULL;
}

static void *abuse(void *number)
{
	uint64_t state = (uintptr_t)number * 0x9e3779b97f4a7c15u + getpid();
	if (number && next(&state) % 2)
		unshare(CLONE_FILES); /* the same number is another file in each thread then */
	for (int round = 0;; round++) {
		int at = next(&state) % FDS, fd = fds[at];
		switch (next(&state) % 16) {
		case 0:
			close(fd);
			fds[at] = some_socket(&state);
			break;
		case 1: case 2: netlink(fd, &state); break;
		case 3: file(&state); break;
		case 4: ioctl(fd, 0x8900 + next(&state) % 0x110, argument(&state)); break;
		case 5: ioctl(fd, next(&state) % 2 ? 0x5411 : next(&state), argument(&state)); break;
		case 6: pass(&state); break;
		case 7: dup2(fds[next(&state) % FDS], fd); break;
		case 8: {
			struct sockaddr_in at = { .sin_family = next(&state) % 4 ? AF_INET : AF_UNSPEC, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(7100 + next(&state) % 8) };
			memcpy(shared, &at, sizeof at);
			switch (next(&state) % 4) {
			case 0: bind(fd, (struct sockaddr *)shared, sizeof at); listen(fd, 3); break;
			case 1: fcntl(fd, F_SETFL, O_NONBLOCK); connect(fd, (struct sockaddr *)shared, sizeof at); break;
			case 2: sendto(fd, shared, next(&state) % SHARED, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)shared, sizeof at); break;
			case 3: fcntl(fd, F_SETFL, O_NONBLOCK); close(accept(fd, NULL, NULL)); break;
			}
			break;
		}
		case 9: /* of a page that goes */
			if (next(&state) % 8 == 0) {
				madvise(shared + SHARED / 2, 4096, MADV_DONTNEED);
				mprotect(shared + SHARED / 2, 4096, next(&state) % 2 ? PROT_NONE : PROT_READ | PROT_WRITE);
			}
			break;
		case 10: {
			static const long calls[] = { SYS_uname, SYS_seccomp, SYS_socket, SYS_setsockopt, SYS_getsockopt, SYS_bind, SYS_sendmsg, SYS_recvmsg, SYS_recvmmsg };
			long call = calls[next(&state) % 9];
			syscall(call, call == SYS_uname ? argument(&state) : fd, next(&state) % 300, next(&state) % 80, argument(&state), argument(&state), 0);
			break;
		}
		case 11: prctl(PR_SET_DUMPABLE, next(&state) % 2); break;
		case 12: { /* a thread that ends, or is left, within a call */
			pthread_t thread;
			struct timeval soon = { 0, 3000 };
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
			if (!pthread_create(&thread, NULL, ends_at_once, (void *)(intptr_t)fd))
				pthread_detach(thread);
			break;
		}
		case 13: {
			int set = epoll_create1(0);
			for (int i = 0; i < 5; i++) {
				struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = next(&state) };
				epoll_ctl(set, EPOLL_CTL_ADD, fds[next(&state) % FDS], &event);
			}
			struct epoll_event told[4];
			epoll_wait(set, told, 4, 0);
			close(set);
			break;
		}
		default:
			sched_yield();
		}
		for (int i = 0; i < 16; i++)
			shared[next(&state) % (SHARED / 2)] = next(&state);
		/* A whole family ends in the midst of its calls, now and then. */
		if (!number && round > ROUNDS)
			_exit(0);
	}
	return NULL;
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGSEGV, SIG_DFL);
	for (;;) {
		pid_t child = fork();
		if (child == 0) {
			shared = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
			uint64_t state = getpid();
			for (int i = 0; i < FDS; i++)
				fds[i] = some_socket(&state);
			for (uintptr_t i = 1; i < THREADS; i++) {
				pthread_t thread;
				pthread_create(&thread, NULL, abuse, (void *)i);
			}
			abuse(NULL);
		}
		if (child > 0)
			waitpid(child, NULL, 0);
	}
}
