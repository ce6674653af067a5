/* Asks for a ring (io_uring_setup(2)). */
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	char parameters[120] = { 0 };
	long ring = syscall(SYS_io_uring_setup, 8, parameters);
	puts(ring >= 0 ? "a ring" : errno == ENOSYS ? "ENOSYS" : "another error");
	return 0;
}
