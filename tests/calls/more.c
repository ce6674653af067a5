/* More calls of the interpreter (calls.c): those that move octets between descriptors, many messages at once, select(2), fcntl(2),
 * execve(2), what a socket is when a script is over, and what /proc/net and sock_diag(7) say of it.
 */
#define _GNU_SOURCE
#include "calls.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 4, ROWS = 64 };

/* slot, how much, from where in a file of 4,000 octets; -1: from the socket to itself */
static void call_sendfile(const long *a)
{
	int file = memfd_create("octets", MFD_CLOEXEC);
	off_t offset = a[2];
	for (int i = 0; i < 4000; i++)
		buffer[i] = i * 7;
	if (write(file, buffer, 4000) != 4000)
		exit(3);
	answered(sendfile(fd_of(a[0]), a[2] < 0 ? fd_of(a[0]) : file, a[2] < 0 ? NULL : &offset, a[1]));
	printf(" at %ld", (long)offset);
	close(file);
}

/* slot, how much, flags; out of the socket through a pipe, or into it, or without a pipe */
static void call_splice(const long *a, int how)
{
	int pair[2];
	if (pipe2(pair, O_NONBLOCK | O_CLOEXEC))
		exit(3);
	size_t len = a[1] > 4000 ? 4000 : a[1];
	long result = 0;
	if (how == 0) { /* in */
		result = splice(fd_of(a[0]), NULL, pair[1], NULL, len, a[2]);
		answered(result);
		if (result > 0)
			show_octets(buffer, read(pair[0], buffer, result));
	} else if (how == 1) { /* out */
		if (write(pair[1], buffer, fill(len)) < 0)
			exit(3);
		answered(splice(pair[0], NULL, fd_of(a[0]), NULL, len, a[2]));
	} else
		answered(a[2] & 1 ? tee(fd_of(a[0]), pair[1], len, SPLICE_F_NONBLOCK) : splice(fd_of(a[0]), NULL, fd_of(a[0]), NULL, len, 0));
	close(pair[0]);
	close(pair[1]);
}

/* slot, to which slot, how much, flags: through a pipe from one to the other */
static void call_relay(const long *a)
{
	int pair[2];
	if (pipe2(pair, O_NONBLOCK | O_CLOEXEC))
		exit(3);
	long got = splice(fd_of(a[0]), NULL, pair[1], NULL, a[2] > 4000 ? 4000 : a[2], a[3]);
	answered(got);
	if (got > 0)
		answered(splice(pair[0], NULL, fd_of(a[1]), NULL, got, a[3]));
	close(pair[0]);
	close(pair[1]);
}

/* slot, count, flags, time (0 none, 1 a little, 2 wrong, 3 nowhere) */
static void call_recvmmsg(const long *a)
{
	static unsigned char rooms[MANY][2000];
	struct mmsghdr messages[MANY] = { 0 };
	struct iovec pieces[MANY];
	struct sockaddr_storage names[MANY];
	struct timespec wait = { 0, a[3] == 2 ? 2000000000 : 30000000 };
	for (int i = 0; i < MANY; i++) {
		pieces[i] = (struct iovec){ rooms[i], sizeof rooms[i] };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &pieces[i], .msg_iovlen = 1, .msg_name = i & 1 ? &names[i] : NULL, .msg_namelen = sizeof names[i] };
	}
	long result = syscall(SYS_recvmmsg, fd_of(a[0]), messages, (unsigned)a[1], (int)a[2], a[3] == 0 ? NULL : a[3] == 3 ? (void *)8 : &wait);
	answered(result);
	for (int i = 0; i < result && i < MANY; i++) {
		printf(" (%u", messages[i].msg_len);
		show_octets(rooms[i], messages[i].msg_len < sizeof rooms[i] ? messages[i].msg_len : sizeof rooms[i]);
		printf(" flags %x", messages[i].msg_hdr.msg_flags);
		if (i & 1)
			show_address(&names[i], messages[i].msg_hdr.msg_namelen);
		putchar(')');
	}
}

/* slot, count, flags, family, address, port, length, which one is wrong */
static void call_sendmmsg(const long *a)
{
	struct sockaddr_storage storage;
	struct mmsghdr messages[MANY] = { 0 };
	struct iovec pieces[MANY];
	socklen_t len = make_address(&storage, a + 3);
	fill(400);
	for (int i = 0; i < MANY; i++) {
		pieces[i] = (struct iovec){ a[7] == i + 1 ? (void *)8 : buffer + 100 * i, 10 + 10 * i };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &pieces[i], .msg_iovlen = 1, .msg_name = a[3] ? &storage : NULL, .msg_namelen = a[3] ? len : 0 };
	}
	long result = syscall(SYS_sendmmsg, fd_of(a[0]), messages, (unsigned)a[1], (int)a[2]);
	answered(result);
	for (int i = 0; i < result && i < MANY; i++)
		printf(" %u", messages[i].msg_len);
}

/* slot, what: readv(2) and writev(2) of so many pieces */
static void call_vector(const long *a, int writes)
{
	struct iovec pieces[5];
	long count = a[1];
	fill(50);
	for (int i = 0; i < 5; i++)
		pieces[i] = (struct iovec){ i == 3 && a[2] ? (void *)8 : buffer + 10 * i, i == 1 ? 0 : 10 };
	long result = syscall(writes ? SYS_writev : SYS_readv, fd_of(a[0]), pieces, count);
	answered(result);
	if (!writes && result > 0)
		show_octets(buffer, result < 10 ? result : 10);
}

/* nfds (-1, 0, or enough), which sets there are, a descriptor that is closed */
static void call_select(const long *a)
{
	fd_set sets[3];
	int most = 0;
	for (int k = 0; k < 3; k++)
		FD_ZERO(&sets[k]);
	for (int i = 0; i < SLOTS; i++)
		if (slots[i] >= 0) {
			for (int k = 0; k < 3; k++)
				FD_SET(slots[i], &sets[k]);
			most = slots[i] > most ? slots[i] : most;
		}
	if (a[2]) {
		most = 900;
		FD_SET(most, &sets[0]);
	}
	struct timeval none = { 0, a[0] == -2 ? -1 : 0 };
	long result = syscall(SYS_select, (int)(a[0] == 1 ? most + 1 : a[0]), a[1] & 1 ? &sets[0] : NULL, a[1] & 2 ? &sets[1] : NULL, a[1] & 4 ? &sets[2] : NULL, &none);
	answered(result);
	for (int i = 0; i < SLOTS; i++)
		if (slots[i] >= 0 && result >= 0 && a[0] == 1) {
			int seen = 0;
			for (int k = 0; k < 3; k++)
				seen |= a[1] & 1 << k && FD_ISSET(slots[i], &sets[k]) ? 1 << k : 0;
			printf(" %d:%d", i, seen);
		}
}

/* Calls that are of files: what they say of a socket. */
static void call_file(const long *a)
{
	int fd = fd_of(a[0]);
	struct stat seen;
	switch (a[1]) {
	case 0: answered(lseek(fd, 0, SEEK_SET)); break;
	case 1: answered(fsync(fd)); break;
	case 2: answered(ftruncate(fd, 0)); break;
	case 3: answered(pread(fd, buffer, 10, 0)); break;
	case 4: answered(pwrite(fd, buffer, 10, 0)); break;
	case 5:
		answered(fstat(fd, &seen) ? -1 : (int)(seen.st_mode & (S_IFMT | 0777)));
		break;
	case 6: answered(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0); break;
	case 7: answered(fchmod(fd, 0600)); break;
	case 8: answered(posix_fallocate(fd, 0, 10)); break;
	case 9: answered(syscall(SYS_getdents64, fd, buffer, 4096)); break;
	case 10: answered(readahead(fd, 0, 10)); break;
	case 11: answered(syncfs(fd)); break;
	case 12: answered(fchdir(fd)); break;
	default: answered(fcntl(fd, F_GETPIPE_SZ)); break;
	}
}

/* slot, which: what fcntl(2) sets and says */
static void call_fcntl(const long *a)
{
	int fd = fd_of(a[0]);
	switch (a[1]) {
	case 0: answered(fcntl(fd, F_SETOWN, getpid())); answered(fcntl(fd, F_GETOWN) == getpid()); break;
	case 1: answered(fcntl(fd, F_SETOWN, 0)); answered(fcntl(fd, F_GETOWN)); break;
	case 2: answered(fcntl(fd, F_SETOWN, 999999999)); break;
	case 3: answered(fcntl(fd, F_SETSIG, SIGURG)); answered(fcntl(fd, F_GETSIG)); fcntl(fd, F_SETSIG, 0); break;
	case 4: answered(fcntl(fd, F_SETFD, FD_CLOEXEC)); answered(fcntl(fd, F_GETFD)); break;
	case 5: answered(fcntl(fd, F_SETFD, 0)); answered(fcntl(fd, F_GETFD)); break;
	case 6: answered(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC)); break; /* nobody owns it: no signal */
	case 7: answered(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK)); break;
	case 8: answered(fcntl(fd, F_SETFL, O_DIRECT)); break;
	case 9: answered(fcntl(fd, F_SETLEASE, F_RDLCK)); break;
	default: answered(fcntl(fd, 4711, 0)); break;
	}
}

/* A program is executed with the descriptor: argv is name, turns, descriptor, what. */
static void call_exec(const long *a)
{
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		char fd[12], what[12];
		snprintf(fd, sizeof fd, "%d", fd_of(a[0]));
		snprintf(what, sizeof what, "%ld", a[1]);
		execl("/proc/self/exe", "calls", "4", fd, what, NULL);
		_exit(99);
	}
	int status = 0;
	waitpid(child, &status, 0);
	printf(" = %d", WEXITSTATUS(status));
}

int executed(int fd, int what)
{
	struct sockaddr_storage storage;
	socklen_t len = sizeof storage;
	long result;
	signal(SIGPIPE, SIG_IGN);
	if (what >= 10) { /* it holds the descriptor until it is told not to */
		char octet;
		return read(0, &octet, 1) == 1 ? let_go(fd, what - 10) : 98;
	}
	errno = 0;
	switch (what) {
	case 0: result = getsockname(fd, (struct sockaddr *)&storage, &len); break;
	case 1: result = getpeername(fd, (struct sockaddr *)&storage, &len); break;
	case 2: result = sendto(fd, "image", 5, MSG_DONTWAIT, NULL, 0); break;
	case 3: result = recv(fd, &storage, 3, MSG_DONTWAIT); break;
	case 4: result = shutdown(fd, SHUT_WR); break;
	case 5: result = listen(fd, 3); break;
	default: len = sizeof(int), result = getsockopt(fd, SOL_SOCKET, SO_TYPE, &storage, &len); break;
	}
	return result < 0 ? 100 + errno % 150 : (int)result;
}

/* What is left of a socket: names, TCP's state, what can be read, its error. */
static void call_state(const long *a)
{
	struct sockaddr_storage storage;
	int fd = fd_of(a[0]), unread = 0, error = 0, type = 0;
	socklen_t len = sizeof type;
	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	for (int peer = 0; peer < 2; peer++) {
		len = sizeof storage;
		answered(syscall(peer ? SYS_getpeername : SYS_getsockname, fd, &storage, &len));
		if (len < sizeof storage)
			show_address(&storage, len);
	}
	if (type == SOCK_STREAM) {
		struct tcp_info info = { 0 };
		len = sizeof info;
		getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
		printf(" tcp %u", info.tcpi_state == TCP_FIN_WAIT1 ? TCP_FIN_WAIT2 : info.tcpi_state);
		if (info.tcpi_state == TCP_LISTEN)
			printf(" %u of %u", info.tcpi_unacked, info.tcpi_sacked);
		else if (info.tcpi_state == TCP_ESTABLISHED)
			printf(" options %x", info.tcpi_options & 7);
	}
	printf(" unread %d %d", ioctl(fd, FIONREAD, &unread), unread);
	len = sizeof error;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	printf(" error %s", error ? strerrorname_np(error) : "none");
}

/* slot, how much, which type, address: an ICMP message of such a type from a ping socket, or whatever it is */
static void call_echo(const long *a)
{
	struct sockaddr_storage storage;
	fill(a[1]);
	memset(buffer, 0, 8);
	buffer[0] = a[2];
	socklen_t len = make_address(&storage, a + 3);
	answered(sendto(fd_of(a[0]), buffer, a[1], 0, (struct sockaddr *)&storage, len));
}

/* Rows of what is told of many sockets, those of the script's ports only, in an order of their own. */
static char rows[ROWS][120];
static unsigned row_count;

static int by_text(const void *one, const void *other) { return strcmp(one, other); }

static void show_rows(void)
{
	qsort(rows, row_count, sizeof rows[0], by_text);
	for (unsigned i = 0; i < row_count; i++)
		printf(" (%s)", rows[i]);
}

/* Whether a descriptor of the script's has that port. */
static int is_ours(uint16_t port)
{
	struct sockaddr_in at;
	for (int i = 0; i < SLOTS; i++) {
		struct sockaddr_storage own = { 0 };
		socklen_t len = sizeof own;
		if (slots[i] < 0 || getsockname(slots[i], (struct sockaddr *)&own, &len) || (own.ss_family != AF_INET && own.ss_family != AF_INET6))
			continue;
		memcpy(&at, &own, sizeof at);
		if (at.sin_port == port && port)
			return 1;
	}
	return 0;
}

/* A row of the program's: addresses in hexadecimal, ports, state. What no descriptor holds is left out (TIME-WAIT, orphans), and
 * whether a FIN is acknowledged yet.
 */
static void row(const char *local, uint16_t port, const char *remote, uint16_t to, unsigned state, unsigned inode)
{
	if (row_count < ROWS && is_ours(port) && inode)
		snprintf(rows[row_count++], sizeof rows[0], "%s/%s %s/%s %u", local, port_name(port), state == 10 ? "" : remote, is_ours(to) ? port_name(to) : to ? "P" : "0", state == 4 ? 5 : state);
}

/* Ports have their names in the order of the slots, whatever order a list has. */
static void name_ports(void)
{
	for (int i = 0; i < SLOTS; i++) {
		struct sockaddr_storage own = { 0 };
		socklen_t len = sizeof own;
		if (slots[i] >= 0 && !getsockname(slots[i], (struct sockaddr *)&own, &len) && (own.ss_family == AF_INET || own.ss_family == AF_INET6))
			port_name(((struct sockaddr_in *)&own)->sin_port);
	}
}

/* which of the files of /proc/net */
static void call_table(const long *a)
{
	static const char *names[] = { "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6" };
	char line[512], local[40], remote[40];
	FILE *table = fopen(names[a[0] & 3], "r");
	if (!table) {
		answered(-1);
		return;
	}
	row_count = 0;
	name_ports();
	while (fgets(line, sizeof line, table)) {
		unsigned port, to, state, inode;
		if (sscanf(line, " %*d: %39[0-9A-F]:%x %39[0-9A-F]:%x %x %*s %*s %*s %*u %*d %u", local, &port, remote, &to, &state, &inode) == 6)
			row(local, htons(port), remote, htons(to), state, inode);
	}
	fclose(table);
	show_rows();
}

static void hexadecimal(char *to, const unsigned *words, int count)
{
	for (int i = 0; i < count; i++)
		sprintf(to + 8 * i, "%08X", words[i]);
}

/* family, protocol: what sock_diag(7) dumps, but for streams that are only bound (TCPF_BOUND_INACTIVE) */
static void call_diag(const long *a)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 request;
	} asked = { { sizeof asked, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 }, { a[0], a[1], 0, 0, 0xfff, { 0 } } };
	static char answers[1 << 16];
	int diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), more = 1;
	row_count = 0;
	name_ports();
	if (diag < 0 || send(diag, &asked, sizeof asked, 0) < 0)
		more = 0;
	while (more) {
		int len = recv(diag, answers, sizeof answers, 0);
		for (struct nlmsghdr *h = (void *)answers; len > 0 && NLMSG_OK(h, (unsigned)len); h = NLMSG_NEXT(h, len)) {
			struct inet_diag_msg *said = NLMSG_DATA(h);
			char local[40], remote[40];
			if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) {
				more = 0;
				break;
			}
			hexadecimal(local, said->id.idiag_src, said->idiag_family == AF_INET ? 1 : 4);
			hexadecimal(remote, said->id.idiag_dst, said->idiag_family == AF_INET ? 1 : 4);
			row(local, said->id.idiag_sport, remote, said->id.idiag_dport, said->idiag_state, said->idiag_inode);
		}
		more = more && len > 0;
	}
	close(diag);
	show_rows();
}

int call_more(const char *name, const long *a)
{
	if (!strcmp(name, "sendfile"))
		call_sendfile(a);
	else if (!strcmp(name, "splice_in") || !strcmp(name, "splice_out") || !strcmp(name, "splice_odd"))
		call_splice(a, name[7] == 'i' ? 0 : name[8] == 'u' ? 1 : 2);
	else if (!strcmp(name, "relay"))
		call_relay(a);
	else if (!strcmp(name, "recvmmsg"))
		call_recvmmsg(a);
	else if (!strcmp(name, "sendmmsg"))
		call_sendmmsg(a);
	else if (!strcmp(name, "readv") || !strcmp(name, "writev"))
		call_vector(a, *name == 'w');
	else if (!strcmp(name, "select"))
		call_select(a);
	else if (!strcmp(name, "file"))
		call_file(a);
	else if (!strcmp(name, "fcntl"))
		call_fcntl(a);
	else if (!strcmp(name, "exec"))
		call_exec(a);
	else if (!strcmp(name, "echo"))
		call_echo(a);
	else if (!strcmp(name, "state"))
		call_state(a);
	else if (!strcmp(name, "table"))
		call_table(a);
	else if (!strcmp(name, "diag"))
		call_diag(a);
	else
		return 0;
	return 1;
}
