/* Hundreds of datagrams in one call, received in one that waits for all of them: more than a supervisor does at once. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 200, FIRST = 90, LEN = 8, ROOM = 16 };

static char sent[MANY][LEN], received[MANY][ROOM];
static struct iovec pieces[MANY], rooms[MANY];
static struct mmsghdr out[MANY], in[MANY];

static void prepare(struct sockaddr_in *at)
{
	for (int i = 0; i < MANY; i++) {
		snprintf(sent[i], LEN, "%d", i);
		pieces[i] = (struct iovec){ sent[i], LEN };
		rooms[i] = (struct iovec){ received[i], ROOM };
		out[i].msg_hdr = (struct msghdr){ .msg_name = at, .msg_namelen = sizeof *at, .msg_iov = &pieces[i], .msg_iovlen = 1 };
		in[i].msg_hdr = (struct msghdr){ .msg_iov = &rooms[i], .msg_iovlen = 1 };
	}
}

/* All of them, in their order. */
static void receive(int to, int flags)
{
	memset(received, 0, sizeof received);
	int count = recvmmsg(to, in, MANY, flags, NULL), wrong = 0;
	for (int i = 0; i < count; i++)
		wrong += in[i].msg_len != LEN || atoi(received[i]) != i;
	printf("received %d, wrong %d\n", count, wrong);
	fflush(stdout);
}

static void send_some(int from, int first, int count)
{
	int done = sendmmsg(from, out + first, count, 0);
	printf("sent %d\n", done);
	fflush(stdout);
}

int main(void)
{
	alarm(100);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	int to = socket(AF_INET, SOCK_DGRAM, 0), from = socket(AF_INET, SOCK_DGRAM, 0);
	bind(to, (struct sockaddr *)&at, sizeof at);
	getsockname(to, (struct sockaddr *)&at, &len);
	prepare(&at);
	send_some(from, 0, MANY);
	receive(to, 0);
	/* Waits for what comes after it has begun, or before: the answer is the same. */
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		int count = recvmmsg(to, in, MANY, 0, NULL);
		return count == MANY ? 0 : 1;
	}
	send_some(from, 0, FIRST);
	send_some(from, FIRST, MANY - FIRST);
	int status = -1;
	waitpid(child, &status, 0);
	printf("the child has received all: %d\n", WIFEXITED(status) && WEXITSTATUS(status) == 0);
	int none = recvmmsg(to, in, MANY, MSG_DONTWAIT, NULL);
	printf("%d %s\n", none, strerror(errno));
	/* An address that cannot be is told of once what came before it was sent. */
	out[FIRST].msg_hdr.msg_namelen = 1;
	send_some(from, 0, MANY);
	printf("%d\n", recvmmsg(to, in, FIRST, 0, NULL));
	send_some(from, FIRST, MANY - FIRST);
	return 0;
}
