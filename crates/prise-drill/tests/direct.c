/* What packetdrill does beside the table: the object is loaded locally, and getsockopt and sendfile are the C library's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define WANT(what) do { if (!(what)) { printf("line %d: %s (errno %d)\n", __LINE__, #what, errno); exit(1); } } while (0)

typedef int (*socket_fn)(void *, int, int, int);
typedef void (*init_fn)(const char *, void *);

static int fd, before;

static void *ask(void *unused)
{
	unsigned char info[300];
	socklen_t len = sizeof(info);
	(void)unused;
	WANT(getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) == 0);
	WANT(len >= 232 && info[0] == 7); /* TCP_CLOSE */
	len = 100;
	memset(info, 0xaa, sizeof(info));
	WANT(getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) == 0 && len == 100 && info[100] == 0xaa);
	len = 36;
	WANT(getsockopt(fd, SOL_SOCKET, 55 /* SO_MEMINFO */, info, &len) == 0 && len == 36);
	len = 16;
	WANT(getsockopt(fd, IPPROTO_TCP, 9999, info, &len) == -1 && errno == ENOPROTOOPT);
	/* Descriptors that are not the object's are the kernel's affair. */
	int type = 0;
	len = sizeof(type);
	WANT(getsockopt(before, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_DGRAM);
	return NULL;
}

int main(int argc, char **argv)
{
	void *table[33] = {0};
	pthread_t thread;
	WANT(argc == 2);
	before = socket(AF_UNIX, SOCK_DGRAM, 0);
	void *handle = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | RTLD_DEEPBIND);
	if (!handle) { puts(dlerror()); return 1; }
	init_fn init = (init_fn)dlsym(handle, "packetdrill_interface_init");
	WANT(init);
	init("mtu=1500", table);
	for (int i = 0; i < 33; i++)
		WANT(table[i]);
	fd = ((socket_fn)table[2])(table[0], AF_INET, SOCK_STREAM, IPPROTO_TCP);
	WANT(fd >= 0);
	ask(NULL);
	WANT(pthread_create(&thread, NULL, ask, NULL) == 0 && pthread_join(thread, NULL) == 0);
	FILE *file = tmpfile();
	off_t offset = 0;
	WANT(fwrite("12345", 1, 5, file) == 5 && fflush(file) == 0);
	WANT(sendfile(fd, fileno(file), &offset, 5) == -1 && errno == EPIPE);
	/* What is started is not filtered in its own descriptors. */
	WANT(system("true") == 0);
	((void (*)(void *))table[1])(table[0]);
	puts("ok");
	return 0;
}
