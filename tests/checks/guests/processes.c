/* Processes that come and go with their connections, some killed at any moment; what they held is free again. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr_in at;

static void must(int truth, const char *what)
{
	if (!truth) {
		perror(what);
		exit(1);
	}
}

static int bound(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	must(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 128) == 0, "listen");
	return fd;
}

static void serve(int listener)
{
	for (;;) {
		int connection = accept(listener, NULL, NULL);
		char octets[8];
		ssize_t got;
		while ((got = recv(connection, octets, sizeof octets, 0)) > 0)
			if (send(connection, octets, got, MSG_NOSIGNAL) != got)
				break;
		close(connection);
	}
}

static int talk(void)
{
	int client = socket(AF_INET, SOCK_STREAM, 0);
	char octets[8];
	int good = client >= 0 && connect(client, (struct sockaddr *)&at, sizeof at) == 0 && send(client, "hello", 5, MSG_NOSIGNAL) == 5 &&
		   recv(client, octets, 5, MSG_WAITALL) == 5;
	if (!good)
		perror("talk");
	close(client);
	return good ? 0 : 1;
}

int main(void)
{
	alarm(75);
	srand(1);
	at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = bound(), status, bad = 0, killed = 0;
	socklen_t len = sizeof at;
	getsockname(listener, (struct sockaddr *)&at, &len);
	pid_t servers[4];
	for (int i = 0; i < 4; i++)
		if ((servers[i] = fork()) == 0)
			serve(listener);
	for (int i = 0; i < 1000; i++) {
		pid_t child = fork();
		if (child == 0)
			_exit(talk());
		must(waitpid(child, &status, 0) == child, "waitpid");
		bad += status != 0;
	}
	for (int i = 0; i < 200; i++)
		if (fork() == 0)
			_exit(talk() || talk() || talk());
	for (int i = 0; i < 200; i++) {
		must(wait(&status) > 0, "wait");
		bad += status != 0;
	}
	for (int i = 0; i < 200; i++) { /* killed at any moment of its life */
		pid_t child = fork();
		if (child == 0)
			for (;;)
				talk();
		usleep(rand() % 3000);
		kill(child, SIGKILL);
		must(waitpid(child, &status, 0) == child, "waitpid");
		killed += WIFSIGNALED(status);
	}
	for (int i = 0; i < 4; i++)
		kill(servers[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	close(listener);
	close(bound()); /* the port of those who were killed */
	printf("1400 processes, %d killed, %d bad\n", killed, bad);
	return bad != 0;
}
