/* Sockets that change hands over AF_UNIX (SCM_RIGHTS, unix(7)). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int truth, const char *what)
{
	if (!truth) {
		perror(what);
		exit(1);
	}
}

static void pass(int channel, int fd)
{
	char octet = 'f', room[CMSG_SPACE(sizeof fd)] = { 0 };
	struct iovec piece = { &octet, 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room };
	struct cmsghdr *control = CMSG_FIRSTHDR(&message);
	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(control), &fd, sizeof fd);
	must(sendmsg(channel, &message, 0) == 1, "sendmsg");
}

static int take(int channel)
{
	char octet, room[CMSG_SPACE(sizeof(int))];
	struct iovec piece = { &octet, 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room };
	must(recvmsg(channel, &message, 0) == 1, "recvmsg");
	int fd;
	must(CMSG_FIRSTHDR(&message) != NULL, "a descriptor came");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
	return fd;
}

static struct sockaddr_in local(int fd)
{
	struct sockaddr_in address;
	socklen_t len = sizeof address;
	must(getsockname(fd, (struct sockaddr *)&address, &len) == 0, "getsockname");
	return address;
}

int main(void)
{
	int channel[2];
	alarm(60);
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, channel) == 0, "socketpair");
	if (fork() == 0) {
		close(channel[0]);
		int listener = take(channel[1]);
		int connection = accept(listener, NULL, NULL);
		must(connection >= 0, "accept on a listener that came");
		must(write(connection, "served", 6) == 6, "write");
		pass(channel[1], connection);
		close(connection);
		int datagram = take(channel[1]);
		char octets[100];
		struct sockaddr_in from;
		socklen_t len = sizeof from;
		ssize_t got = recvfrom(datagram, octets, sizeof octets, 0, (struct sockaddr *)&from, &len);
		must(got > 0 && sendto(datagram, octets, got, 0, (struct sockaddr *)&from, len) == got, "an echo");
		_exit(0);
	}
	close(channel[1]);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	must(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 5) == 0, "listen");
	address = local(listener);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	pass(channel[0], listener);
	close(listener); /* on its way, it listens on */
	must(connect(client, (struct sockaddr *)&address, sizeof address) == 0, "connect");
	char octets[100];
	must(recv(client, octets, 6, MSG_WAITALL) == 6 && !memcmp(octets, "served", 6), "the other process's answer");
	int connection = take(channel[0]);
	must(send(connection, "back", 4, 0) == 4 && recv(client, octets, 4, MSG_WAITALL) == 4, "the connection that came back");
	struct sockaddr_in peer = local(client), seen;
	socklen_t len = sizeof seen;
	must(getpeername(connection, (struct sockaddr *)&seen, &len) == 0 && seen.sin_port == peer.sin_port, "its peer");
	close(connection);
	must(recv(client, octets, 1, 0) == 0, "the end, once the last holder has closed");
	int datagram = socket(AF_INET, SOCK_DGRAM, 0), asker = socket(AF_INET, SOCK_DGRAM, 0);
	address.sin_port = 0;
	must(bind(datagram, (struct sockaddr *)&address, sizeof address) == 0, "bind");
	address = local(datagram);
	pass(channel[0], datagram);
	close(datagram);
	must(connect(asker, (struct sockaddr *)&address, sizeof address) == 0 && send(asker, "echo", 4, 0) == 4, "send");
	must(recv(asker, octets, sizeof octets, 0) == 4, "an echo from the other process");
	int status;
	must(wait(&status) > 0 && status == 0, "the other process");
	must(send(asker, "gone", 4, 0) == 4 || 1, "send");
	must(recvfrom(asker, octets, sizeof octets, 0, (struct sockaddr *)&seen, &len) < 0, "nobody is there any more");
	puts("ok");
	return 0;
}
