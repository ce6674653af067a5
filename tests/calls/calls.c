/* Makes the socket calls that a script on its input names, one a line, and says what each answered: the numbers, errno, and
 * what the program sees of it. Ports are shown by the order in which they appear, octets by their number and a hash, so
 * that the same script says the same wherever it is true. Written for tests/calls/run, which makes the scripts.
 *
 * connect(2) and accept(2) are made by the C library's functions, which the library that `prise run` loads programs with replaces.
 *
 * After each call a socket of its own is asked for its name a few times: under prise, what the call has set in motion on
 * the way to the peer has arrived by then. On the kernel it had before.
 */
#define _GNU_SOURCE
#include "calls.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

int slots[SLOTS];
unsigned char *buffer;

static int set = -1, barrier = -1, turns = 4, watched;
static uint16_t ports[PORTS];
static unsigned port_count;
static unsigned char sent_next;
static volatile sig_atomic_t pipes;
static char *edge; /* the last octets before memory that is not there */
static FILE *ask, *hear; /* who is outside, if anybody (outside.c) */
static unsigned script;
static void on_pipe(int number) { pipes += number == SIGPIPE; }

static void settle(void)
{
	struct sockaddr_in at;
	for (int i = 0; i < turns; i++) {
		socklen_t len = sizeof at;
		getsockname(barrier, (struct sockaddr *)&at, &len);
	}
}

int fd_of(long slot) { return slot >= 0 && slot < SLOTS ? slots[slot] : (int)slot; }

/* A pointer that is right, null, nowhere, the kernel's, or near the end of what is there. */
void *pointer(long kind, void *right, size_t room)
{
	switch (kind) {
	case 1: return NULL;
	case 2: return (void *)8;
	case 3: return (void *)0xffff800000000000;
	case 4: return edge - (room > 4 ? 4 : 1);
	default: return right;
	}
}

const char *port_name(uint16_t port)
{
	static char text[2][8];
	static int turn;
	char *shown = text[turn++ & 1];
	if (port == 0)
		return "0";
	for (unsigned i = 0; i < port_count; i++)
		if (ports[i] == port) {
			snprintf(shown, 8, "P%u", i);
			return shown;
		}
	if (port_count < PORTS)
		ports[port_count++] = port;
	snprintf(shown, 8, "P%u", port_count - 1);
	return shown;
}

void show_address(const void *address, socklen_t len)
{
	char text[INET6_ADDRSTRLEN] = "";
	const struct sockaddr_in *v4 = address;
	const struct sockaddr_in6 *v6 = address;
	printf(" len %u", len);
	if (len >= 16 && v4->sin_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
		printf(" %s/%s", text, port_name(v4->sin_port));
	} else if (len >= 28 && v6->sin6_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
		printf(" %s/%s", text, port_name(v6->sin6_port));
	} else if (len >= 2)
		printf(" family %d", v4->sin_family);
}

/* A port by its number, or by what it is for. */
static uint16_t port_of(long spec)
{
	switch (spec) {
	case 50: return LISTENS;
	case 51: return FULL;
	case 52: return NOBODYS;
	case 60:
	case 61: return PUBLISHED + spec - 60 + PUBLISHED_EACH * (script % SCRIPTS);
	default: return spec < 100 ? spec : 0;
	}
}

/* family, address, port (0, 9, one outside or published, or 100 + the slot whose own it is), length (0: the right one), into a storage. */
socklen_t make_address(struct sockaddr_storage *storage, const long *spec)
{
	static const char *v4_names[] = { "0.0.0.0", "127.0.0.1", "127.0.0.2", "127.255.255.255", "240.0.0.1", "127.1.2.3", "255.255.255.255", "224.0.0.1", "0.0.0.1", "192.0.2.1", "239.1.2.3", "239.1.2.4", "10.0.2.2", "10.0.2.15" };
	static const char *v6_names[] = { "::", "::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "ff02::1", "::ffff:127.0.0.2", "fe80::1", "::2", "ff05::1", "::ffff:192.0.2.1", "ff05::1:3", "::ffff:239.1.2.3", "fd00:2::2", "fd00:2::15", "::ffff:10.0.2.2", "::ffff:10.0.2.15" };
	struct sockaddr_in *v4 = (void *)storage;
	struct sockaddr_in6 *v6 = (void *)storage;
	struct sockaddr_storage other = { 0 };
	uint16_t port = htons(port_of(spec[2]));
	socklen_t len = sizeof other;
	memset(storage, 0, sizeof *storage);
	if (spec[2] >= 100 && getsockname(fd_of(spec[2] - 100), (struct sockaddr *)&other, &len) == 0 && len >= 4 &&
	    (other.ss_family == AF_INET || other.ss_family == AF_INET6))
		port = ((struct sockaddr_in *)&other)->sin_port;
	storage->ss_family = spec[0];
	len = 16;
	if (spec[0] == AF_INET6) {
		v6->sin6_port = port;
		inet_pton(AF_INET6, v6_names[spec[1] % 16], &v6->sin6_addr);
		len = 28;
	} else {
		v4->sin_port = port;
		inet_pton(AF_INET, v4_names[spec[1] % 14], &v4->sin_addr);
	}
	return spec[3] ? (socklen_t)spec[3] : len;
}

void answered(long result)
{
	int error = errno;
	if (result < 0)
		printf(" = -1 %s", strerrorname_np(error) ? strerrorname_np(error) : "?");
	else
		printf(" = %ld", result);
}

void show_octets(const unsigned char *octets, ssize_t count)
{
	uint32_t hash = 2166136261u;
	for (ssize_t i = 0; i < count; i++)
		hash = (hash ^ octets[i]) * 16777619u;
	if (count > 0)
		printf(" [%d.. %08x]", octets[0], hash);
}

size_t fill(long len)
{
	size_t count = len < 0 ? 0 : len > BUFFER ? BUFFER : len;
	for (size_t i = 0; i < count; i++)
		buffer[i] = sent_next++;
	return len < 0 ? (size_t)len : (size_t)len;
}

/* Blocking calls end soon, as they would not otherwise. */
static void end_soon(int fd)
{
	struct timeval soon = { 0, 40000 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon);
}

void keep(long slot, int fd)
{
	if (fd < 0)
		return;
	if (slot < 0 || slot >= SLOTS)
		slot = 0;
	if (slots[slot] >= 0 && slots[slot] != fd)
		close(slots[slot]);
	slots[slot] = fd;
	end_soon(fd);
}

/* The descriptors of calls that make one: their numbers are this process's, and not shown. */
static void made(long slot, long fd)
{
	answered(fd < 0 ? fd : 0);
	keep(slot, fd);
}

static void call_name(int is_peer, const long *a)
{
	struct sockaddr_storage storage;
	socklen_t len = a[1] == 0 ? sizeof storage : (socklen_t)a[1];
	memset(&storage, 0x55, sizeof storage);
	void *to = pointer(a[2], &storage, 128), *len_at = pointer(a[3], &len, sizeof len);
	long result = syscall(is_peer ? SYS_getpeername : SYS_getsockname, fd_of(a[0]), to, len_at);
	answered(result);
	if (result == 0 && to == &storage)
		show_address(&storage, len_at == &len ? len : 0);
}

static void call_accept(const long *a)
{
	struct sockaddr_storage storage;
	socklen_t len = a[3] == 0 ? sizeof storage : (socklen_t)a[3];
	memset(&storage, 0x55, sizeof storage);
	void *to = a[4] == 9 ? NULL : pointer(a[4], &storage, 128);
	long fd = accept4(fd_of(a[0]), to, to ? &len : NULL, (int)a[2]);
	made(a[1], fd);
	if (fd >= 0 && to == &storage)
		show_address(&storage, len);
}

/* What a piece of control data says, where that is not a time. */
static void show_control(const struct cmsghdr *c)
{
	printf(" {%d %d %zu", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
	/* Addresses have ports. */
	int has_port = c->cmsg_type == (c->cmsg_level == IPPROTO_IP ? IP_RECVORIGDSTADDR : IPV6_RECVORIGDSTADDR);
	if (c->cmsg_level != SOL_SOCKET && !has_port && c->cmsg_len >= CMSG_LEN(0) && c->cmsg_len <= CMSG_LEN(64))
		show_octets(CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	putchar('}');
}

static void call_recvmsg(const long *a)
{
	struct sockaddr_storage storage;
	unsigned char control[512];
	struct iovec pieces[4];
	long len = a[1] < 0 ? 0 : a[1];
	pieces[0] = (struct iovec){ buffer, len / 3 };
	pieces[1] = (struct iovec){ buffer + len / 3, len - len / 3 };
	struct msghdr message = { .msg_name = a[3] & 1 ? &storage : NULL, .msg_namelen = sizeof storage, .msg_iov = pieces, .msg_iovlen = 2 };
	if (a[3] & 2)
		message.msg_control = control, message.msg_controllen = a[4] ? (size_t)a[4] : sizeof control;
	if (a[5] == 1)
		message.msg_iovlen = 1025;
	if (a[5] == 2)
		pieces[1].iov_len = (size_t)-1;
	if (a[5] == 3)
		message.msg_namelen = -1;
	if (a[5] == 4)
		pieces[0].iov_base = (void *)8;
	if (a[5] == 5)
		message.msg_iov = (void *)8;
	long result = syscall(SYS_recvmsg, fd_of(a[0]), a[5] == 6 ? NULL : &message, (int)a[2]);
	answered(result);
	if (result < 0)
		return;
	show_octets(buffer, result < len ? result : len);
	printf(" flags %x", message.msg_flags & ~MSG_CMSG_CLOEXEC);
	if (message.msg_name)
		show_address(&storage, message.msg_namelen);
	if (message.msg_control)
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c && c->cmsg_len >= sizeof *c; c = CMSG_NXTHDR(&message, c))
			show_control(c);
}

static void call_sendmsg(const long *a)
{
	struct sockaddr_storage storage;
	unsigned char control[256] = { 0 };
	struct iovec pieces[2];
	size_t len = fill(a[1] < 0 ? 0 : a[1]);
	socklen_t name_len = make_address(&storage, a + 3);
	pieces[0] = (struct iovec){ buffer, len / 2 };
	pieces[1] = (struct iovec){ buffer + len / 2, len - len / 2 };
	struct msghdr message = { .msg_name = a[3] ? &storage : NULL, .msg_namelen = a[3] ? name_len : 0, .msg_iov = pieces, .msg_iovlen = 2 };
	struct cmsghdr *c = (void *)control;
	switch (a[7]) {
	case 1: message.msg_iovlen = 1025; break;
	case 2: pieces[1].iov_len = (size_t)-1; break;
	case 3: pieces[0].iov_base = (void *)8; break;
	case 4: message.msg_iov = (void *)8; break;
	case 5: c->cmsg_len = 4; message.msg_control = control; message.msg_controllen = 64; break;
	case 6:
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(4), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_TTL };
		*(int *)CMSG_DATA(c) = 7;
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(4);
		break;
	case 7: message.msg_control = control; message.msg_controllen = (size_t)1 << 40; break;
	case 10:
	case 11:
	case 12:
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(a[7] == 10 ? 2 : 4), .cmsg_level = a[7] == 10 ? SOL_UDP : a[7] == 11 ? SOL_SOCKET : IPPROTO_IPV6,
				       .cmsg_type = a[7] == 10 ? UDP_SEGMENT : a[7] == 11 ? SO_MARK : IPV6_HOPLIMIT };
		*(int *)CMSG_DATA(c) = a[7] == 10 ? 40 : 9;
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(4);
		break;
	case 13:
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO };
		*(struct in_pktinfo *)CMSG_DATA(c) = (struct in_pktinfo){ .ipi_spec_dst.s_addr = htonl(INADDR_LOOPBACK + 1) };
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(sizeof(struct in_pktinfo));
		break;
	case 14:
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(struct in6_pktinfo)), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO };
		*(struct in6_pktinfo *)CMSG_DATA(c) = (struct in6_pktinfo){ .ipi6_addr = IN6ADDR_LOOPBACK_INIT, .ipi6_ifindex = 1 };
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(sizeof(struct in6_pktinfo));
		break;
	case 8: message.msg_namelen = -1; break;
	case 9: message.msg_namelen = 200; break;
	}
	answered(syscall(SYS_sendmsg, fd_of(a[0]), &message, (int)a[2]));
}

static void call_getsockopt(const long *a)
{
	socklen_t len = (socklen_t)a[3];
	memset(buffer, 0x55, 256);
	void *to = pointer(a[4], buffer, 64), *len_at = pointer(a[5], &len, sizeof len);
	long result = syscall(SYS_getsockopt, fd_of(a[0]), (int)a[1], (int)a[2], to, len_at);
	answered(result);
	if (result == 0 && to == buffer && len_at == &len) {
		printf(" len %u", len);
		if (len <= 8)
			for (unsigned i = 0; i < len; i++)
				printf(" %02x", buffer[i]);
	}
}

static void call_setsockopt(const long *a)
{
	long value[32] = { a[3] };
	((int *)value)[1] = a[6];
	answered(syscall(SYS_setsockopt, fd_of(a[0]), (int)a[1], (int)a[2], pointer(a[5], value, 64), (socklen_t)a[4]));
	if (a[1] == SOL_SOCKET && (a[2] == 20 || a[2] == 21 || a[2] == 66 || a[2] == 67)) {
		struct timeval seen = { 0, 0 };
		socklen_t len = sizeof seen;
		getsockopt(fd_of(a[0]), SOL_SOCKET, a[2] % 2 == 0 ? SO_RCVTIMEO : SO_SNDTIMEO, &seen, &len);
		printf(" %ld.%06ld", (long)seen.tv_sec, (long)seen.tv_usec);
		end_soon(fd_of(a[0]));
	}
}

/* An address of a group or a source into a sockaddr_storage, of the family that the level has. */
static void put_group(unsigned char *at, long level, const char *v4, const char *v6, long family)
{
	struct sockaddr_in *four = (void *)at;
	struct sockaddr_in6 *six = (void *)at;
	four->sin_family = family ? family : level ? AF_INET6 : AF_INET;
	if (level)
		inet_pton(AF_INET6, v6, &six->sin6_addr);
	else
		inet_pton(AF_INET, v4, &four->sin_addr);
}

/* slot, level, name, group, source, link, how many or which mode, family (0: the right one), what the length is wrong by */
static void call_group(const long *a, int get)
{
	static const char *groups4[] = { "239.1.2.3", "239.1.2.4", "224.0.0.251", "127.0.0.1" }, *groups6[] = { "ff05::1:3", "ff02::1:3", "ff01::5", "::1" };
	static const char *sources4[] = { "127.0.0.1", "127.0.0.2", "10.1.1.1", "0.0.0.0" }, *sources6[] = { "::1", "fd00::9", "fe80::1", "::" };
	long level = a[1] ? 41 : 0, name = a[2];
	const char *g4 = groups4[a[3] % 4], *g6 = groups6[a[3] % 4], *s4 = sources4[a[4] % 4], *s6 = sources6[a[4] % 4];
	unsigned char value[2048] = { 0 };
	socklen_t len;
	*(int *)value = a[5];
	if (name == 48) { /* group_filter */
		unsigned count = a[6] & 7;
		put_group(value + 8, level, g4, g6, a[7]);
		*(unsigned *)(value + 136) = a[6] >> 3 & 3;
		*(unsigned *)(value + 140) = count;
		for (unsigned i = 0; i < count; i++)
			put_group(value + 144 + 128 * i, level, sources4[(a[4] + i) % 4], sources6[(a[4] + i) % 4], 0);
		len = 144 + 128 * count;
	} else if (name >= 42 && name <= 47) { /* group_req, group_source_req */
		put_group(value + 8, level, g4, g6, a[7]);
		put_group(value + 136, level, s4, s6, 0);
		len = name == 42 || name == 45 ? 136 : 264;
	} else { /* ip_mreq, ip_mreq_source, ip_msfilter */
		inet_pton(AF_INET, g4, value);
		inet_pton(AF_INET, a[5] == 1 ? "127.0.0.1" : "9.9.9.9", value + 4);
		inet_pton(AF_INET, s4, value + 8);
		len = name < 37 ? 8 : 12;
		if (name == 41) {
			*(unsigned *)(value + 8) = a[6] >> 3 & 3;
			*(unsigned *)(value + 12) = a[6] & 7;
			for (int i = 0; i < (a[6] & 7); i++)
				inet_pton(AF_INET, sources4[(a[4] + i) % 4], value + 16 + 4 * i);
			len = 16 + 4 * (a[6] & 7);
		}
	}
	len += a[8];
	long result = get ? syscall(SYS_getsockopt, fd_of(a[0]), (int)level, (int)name, value, &len)
			  : syscall(SYS_setsockopt, fd_of(a[0]), (int)level, (int)name, value, len);
	answered(result);
	if (get && result == 0) {
		printf(" len %u", len);
		show_octets(value, len);
	}
}

static void call_ioctl(const long *a)
{
	static const unsigned long requests[] = { FIONREAD, SIOCATMARK, TIOCOUTQ, SIOCOUTQNSD, FIONBIO, FIOASYNC, SIOCGPGRP, 0x89ff, 0x8906 };
	int value[4] = { a[2] }; /* as much as any of them writes */
	long result = syscall(SYS_ioctl, fd_of(a[0]), requests[a[1] % 9], pointer(a[3], value, sizeof value[0]));
	answered(result);
	if (result == 0 && a[1] % 9 == 6) /* a process */
		printf(" %d", value[0] == getpid());
	else if (result == 0 && a[1] % 9 != 8) /* a time */
		printf(" %d", value[0]);
}

static void call_poll(void)
{
	struct pollfd polled[SLOTS];
	for (int i = 0; i < SLOTS; i++)
		polled[i] = (struct pollfd){ slots[i], POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0 };
	poll(polled, SLOTS, 0);
	for (int i = 0; i < SLOTS; i++)
		if (slots[i] >= 0)
			printf(" %d:%x", i, polled[i].revents);
}

static void call_epoll_wait(void)
{
	struct epoll_event events[SLOTS * 2];
	int count = epoll_wait(set, events, SLOTS * 2, 0);
	unsigned seen[SLOTS] = { 0 };
	for (int i = 0; i < count; i++)
		seen[events[i].data.u32 % SLOTS] |= events[i].events;
	for (int i = 0; i < SLOTS; i++)
		if (seen[i])
			printf(" %d:%x", i, seen[i]);
}

/* A child does a little with what it inherits and ends. */
static void call_fork(const long *a)
{
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		int fd = fd_of(a[0]);
		switch (a[1] % 4) {
		case 0: break;
		case 1: close(fd); break;
		case 2: shutdown(fd, SHUT_WR); break;
		case 3: _exit(send(fd, "child", 5, MSG_NOSIGNAL | MSG_DONTWAIT) == 5); break;
		}
		_exit(0);
	}
	int status = 0;
	waitpid(child, &status, 0);
	printf(" = %d", WEXITSTATUS(status));
}

/* A descriptor goes over AF_UNIX and comes back as another, that number or -1; `own` is closed while it is on its way. */
static int over_unix(int fd, int *own)
{
	int pair[2], back = -1;
	char octet = 'p', room[CMSG_SPACE(sizeof fd)] = { 0 };
	struct iovec piece = { &octet, 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -1;
	long result = sendmsg(pair[0], &message, 0);
	if (result == 1 && own) {
		close(*own);
		*own = -1;
		settle();
	}
	answered(result);
	message.msg_controllen = sizeof room;
	if (result == 1 && recvmsg(pair[1], &message, 0) == 1 && CMSG_FIRSTHDR(&message))
		memcpy(&back, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof back);
	close(pair[0]);
	close(pair[1]);
	return back;
}

/* slot, slot, whether the first is closed */
static void call_pass(const long *a)
{
	int *own = a[2] && a[0] >= 0 && a[0] < SLOTS && slots[a[0]] >= 0 ? &slots[a[0]] : NULL;
	int back = over_unix(fd_of(a[0]), own);
	if (back >= 0)
		keep(a[1], back);
}

void call(const char *name, const long *a)
{
	struct sockaddr_storage storage;
	long result;
	int fd = fd_of(a[0]);
	if (!strcmp(name, "socket"))
		made(a[0], syscall(SYS_socket, (int)a[1], (int)a[2], (int)a[3]));
	else if (!strcmp(name, "bind")) {
		socklen_t len = make_address(&storage, a + 1);
		answered(syscall(SYS_bind, fd, pointer(a[5], &storage, 16), len));
	} else if (!strcmp(name, "connect")) {
		socklen_t len = make_address(&storage, a + 1);
		answered(connect(fd, pointer(a[5], &storage, 16), len));
	} else if (!strcmp(name, "listen"))
		answered(syscall(SYS_listen, fd, (int)a[1]));
	else if (!strcmp(name, "accept"))
		call_accept(a);
	else if (!strcmp(name, "getsockname"))
		call_name(0, a);
	else if (!strcmp(name, "getpeername"))
		call_name(1, a);
	else if (!strcmp(name, "send"))
		answered(syscall(SYS_sendto, fd, pointer(a[3], buffer, fill(a[1])), a[1], (int)a[2], NULL, 0));
	else if (!strcmp(name, "write"))
		answered(syscall(SYS_write, fd, pointer(a[2], buffer, fill(a[1])), a[1]));
	else if (!strcmp(name, "sendto")) {
		fill(a[1]);
		socklen_t len = make_address(&storage, a + 3);
		answered(syscall(SYS_sendto, fd, buffer, a[1], (int)a[2], pointer(a[7], &storage, 16), len));
	} else if (!strcmp(name, "sendmsg"))
		call_sendmsg(a);
	else if (!strcmp(name, "recv") || !strcmp(name, "read")) {
		void *to = pointer(a[3], buffer, a[1]);
		result = *name == 'r' && name[2] == 'c' ? syscall(SYS_recvfrom, fd, to, a[1], (int)a[2], NULL, NULL) : syscall(SYS_read, fd, to, a[1]);
		answered(result);
		if (to == buffer)
			show_octets(buffer, result < a[1] ? result : a[1]);
	} else if (!strcmp(name, "recvfrom")) {
		socklen_t len = a[3] ? (socklen_t)a[3] : sizeof storage;
		memset(&storage, 0, sizeof storage);
		result = syscall(SYS_recvfrom, fd, buffer, a[1], (int)a[2], pointer(a[4], &storage, 128), &len);
		answered(result);
		if (result >= 0) {
			show_octets(buffer, result < a[1] ? result : a[1]);
			show_address(&storage, len);
		}
	} else if (!strcmp(name, "recvmsg"))
		call_recvmsg(a);
	else if (!strcmp(name, "shutdown"))
		answered(syscall(SYS_shutdown, fd, (int)a[1]));
	else if (!strcmp(name, "close")) {
		answered(close(fd));
		if (a[0] >= 0 && a[0] < SLOTS)
			slots[a[0]] = -1;
	} else if (!strcmp(name, "dup"))
		made(a[1], dup(fd));
	else if (!strcmp(name, "dup2")) { /* over a descriptor that is open */
		result = a[1] >= 0 && a[1] < SLOTS && slots[a[1]] >= 0 ? dup2(fd, slots[a[1]]) : -2;
		printf(" = %d", result >= 0);
	} else if (!strcmp(name, "setsockopt"))
		call_setsockopt(a);
	else if (!strcmp(name, "getsockopt"))
		call_getsockopt(a);
	else if (!strcmp(name, "ioctl"))
		call_ioctl(a);
	else if (!strcmp(name, "nonblock"))
		answered(fcntl(fd, F_SETFL, a[1] ? O_NONBLOCK : 0));
	else if (!strcmp(name, "getfl")) {
		result = fcntl(fd, F_GETFL);
		answered(result < 0 ? result : (result & ~O_LARGEFILE));
	} else if (!strcmp(name, "poll"))
		call_poll();
	else if (!strcmp(name, "epoll_ctl")) {
		struct epoll_event event = { .events = a[2], .data.u32 = a[0] };
		answered(epoll_ctl(set, (int)a[1], fd, &event));
	} else if (!strcmp(name, "epoll_wait"))
		call_epoll_wait();
	else if (!strcmp(name, "pass_set"))
		set = over_unix(set, &set);
	else if (!strcmp(name, "fork"))
		call_fork(a);
	else if (!strcmp(name, "pass"))
		call_pass(a);
	else if (!strcmp(name, "group") || !strcmp(name, "groups"))
		call_group(a, name[5] == 's');
	else if (!strcmp(name, "watch"))
		watched = 1;
	else if (!strcmp(name, "async"))
		call_async(a);
	else if (!strcmp(name, "join"))
		call_join(1);
	else if (!strcmp(name, "hold"))
		call_hold(a);
	else if (!strcmp(name, "drop"))
		call_drop(1);
	else if (!call_more(name, a) && !call_sets(name, a))
		printf(" ?");
}

/* Whoever is outside does what the line says. */
static void tell_outside(const char *line)
{
	char said[256];
	if (!ask || fprintf(ask, "%s\n", line) < 0 || fflush(ask) || !fgets(said, sizeof said, hear)) {
		printf(" nobody is outside");
		return;
	}
	said[strcspn(said, "\n")] = 0;
	fputs(said, stdout);
}

/* The descriptors of who is outside are none of the script's: it has them where no call looks. */
static void open_outside(void)
{
	enum { ASK = 7, HEAR = 8, FAR_OFF = 700 };
	ask = fdopen(fcntl(ASK, F_DUPFD_CLOEXEC, FAR_OFF), "w");
	hear = fdopen(fcntl(HEAR, F_DUPFD_CLOEXEC, FAR_OFF), "r");
	close(ASK);
	close(HEAR);
}

static void begin(const char *line)
{
	forget_others();
	for (int i = 0; i < SLOTS; i++) {
		if (slots[i] >= 0) {
			struct linger now = { 1, 0 };
			setsockopt(slots[i], SOL_SOCKET, SO_LINGER, &now, sizeof now);
			close(slots[i]);
		}
		slots[i] = -1;
	}
	if (set >= 0)
		close(set);
	forget_sets();
	set = epoll_create1(EPOLL_CLOEXEC);
	port_count = 0;
	sent_next = 0;
	watched = 0;
	sscanf(line, "begin %u", &script);
	if (ask)
		tell_outside(line);
	settle();
}

int main(int argc, char **argv)
{
	char line[256];
	if (argc > 6 && !strcmp(argv[1], "outside"))
		return be_outside(atoi(argv[2]), argv + 3);
	if (argc > 3)
		return executed(atoi(argv[2]), atoi(argv[3]));
	turns = argc > 1 ? atoi(argv[1]) : 4;
	struct sigaction action = { .sa_handler = on_pipe, .sa_flags = SA_RESTART };
	sigaction(SIGPIPE, &action, NULL);
	memset(slots, -1, sizeof slots);
	/* select(2) looks at closed descriptors as far as the table goes, and the library's was beyond these. */
	close(fcntl(0, F_DUPFD, 1000));
	buffer = malloc(BUFFER + 4096);
	edge = (char *)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 4096;
	munmap(edge, 4096);
	barrier = socket(AF_INET, SOCK_DGRAM, 0);
	if (argc > 2)
		open_outside();
	while (fgets(line, sizeof line, stdin)) {
		char by[32] = "", name[32] = "";
		long a[ARGS] = { 0 };
		int before = pipes;
		/* Another may make it. */
		sscanf(line, "%31s", by);
		int is_others = !strcmp(by, "child") || !strcmp(by, "given") || !strcmp(by, "moved") || !strcmp(by, "wait") || !strcmp(by, "race");
		sscanf(line + (is_others ? strlen(by) : 0), "%31s %ld %ld %ld %ld %ld %ld %ld %ld %ld", name, a, a + 1, a + 2, a + 3, a + 4, a + 5, a + 6, a + 7, a + 8);
		line[strcspn(line, "\n")] = 0;
		if (!strcmp(name, "begin")) {
			printf("%s", line);
			begin(line);
			putchar('\n');
			continue;
		}
		alarm(20);
		fputs(line, stdout);
		errno = 0;
		if (!strncmp(name, "far_", 4))
			tell_outside(line);
		else if (!is_others)
			call(name, a);
		else if (*by == 'c')
			call_child(name, a);
		else if (*by == 'g' || *by == 'm')
			call_given(name, a, *by == 'm');
		else if (*by == 'r')
			call_race(name, a);
		else
			call_wait(name, a);
		if (pipes != before)
			fputs(" SIGPIPE", stdout);
		settle();
		let_thread_go_on();
		show_told();
		/* What a thread that waits takes, and when, is its own affair. */
		if (watched && strcmp(name, "poll") && !is_waited_for()) {
			fputs(" |", stdout);
			call_poll();
		}
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}
