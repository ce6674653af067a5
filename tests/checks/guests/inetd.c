/* Accepts and runs a program with the connection as its standard streams, as inetd(8) does. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])) };
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (argc < 3 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 10)) {
		perror("inetd");
		return 1;
	}
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int connection = accept(listener, NULL, NULL);
		if (connection >= 0 && fork() == 0) {
			for (int fd = 0; fd < 3; fd++)
				dup2(connection, fd);
			close(connection);
			close(listener);
			execv(argv[2], argv + 2);
			_exit(127);
		}
		close(connection);
	}
}
