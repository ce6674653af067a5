/* Races against the judge. Prints how many calls succeeded; the servers count what reached them.
 *
 *   races address ALLOWED DENIED   a thread changes the port while another connects
 *   races path OWN OTHER           a thread changes the path while another sends
 *   races socket OTHER             a thread puts another socket in the descriptor's place while another sends
 *   i386                           socket(2) by the system calls of i386
 *   x32                            … of x32
 *   static HOST PORT               a plain connect
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static atomic_int done;
static struct sockaddr_in there;
static struct sockaddr_un name;
static volatile in_port_t ports[2];
static const char *paths[2];
static int spots[3];

static void *flip_port(void *unused) {
    for (unsigned i = 0; !done; i++) *(volatile in_port_t *)&there.sin_port = ports[i & 1];
    return unused;
}

static void *flip_path(void *unused) {
    size_t length = strlen(paths[0]) + 1;
    for (unsigned i = 0; !done; i++) memcpy(name.sun_path, paths[i & 1], length);
    return unused;
}

static void *flip_socket(void *unused) {
    for (unsigned i = 0; !done; i++) dup2(spots[1 + (i & 1)], spots[0]);
    return unused;
}

/* Long enough for both threads to have had their turns on a busy machine. */
static int goes_on(void) {
    static struct timespec begin;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!begin.tv_sec) begin = now;
    return now.tv_sec - begin.tv_sec < 2;
}

static int address(const char *allowed, const char *denied) {
    there.sin_family = AF_INET;
    inet_pton(AF_INET, getenv("HOST_ADDRESS"), &there.sin_addr);
    ports[0] = htons(atoi(allowed));
    ports[1] = htons(atoi(denied));
    there.sin_port = ports[0];
    pthread_t thread;
    pthread_create(&thread, NULL, flip_port, NULL);
    int made = 0, refused = 0;
    for (int i = 0; i < 2000; i++) {
        int s = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(s, (struct sockaddr *)&there, sizeof there) == 0) {
            made++;
            /* Waits for the server's word, so that it has counted. */
            char octets[4];
            if (write(s, "ping", 4) != 4 || read(s, octets, 4) < 0) perror("talk");
        } else if (errno == EACCES)
            refused++;
        close(s);
    }
    done = 1;
    pthread_join(thread, NULL);
    printf("%d made, %s refused\n", made > 0, refused > 0 ? "some" : "none");
    return 0;
}

static int path(const char *own, const char *other) {
    int receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    name.sun_family = AF_UNIX;
    strcpy(name.sun_path, own);
    if (bind(receiver, (struct sockaddr *)&name, sizeof name)) return perror("bind"), 1;
    paths[0] = own;
    paths[1] = other;
    if (strlen(own) != strlen(other)) return fputs("paths of one length\n", stderr), 1;
    pthread_t thread;
    pthread_create(&thread, NULL, flip_path, NULL);
    int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), sent = 0;
    struct iovec vector = {"ping", 4};
    for (int i = 0; goes_on(); i++) {
        struct msghdr message = {.msg_name = &name, .msg_namelen = sizeof name, .msg_iov = &vector, .msg_iovlen = 1};
        sent += i & 1 ? sendto(s, "ping", 4, 0, (struct sockaddr *)&name, sizeof name) == 4 : sendmsg(s, &message, 0) == 4;
        char octets[4];
        while (recv(receiver, octets, 4, 0) > 0) {}
    }
    done = 1;
    pthread_join(thread, NULL);
    printf("%s sent\n", sent > 0 ? "some" : "none");
    unlink(own);
    return 0;
}

static int replaced(const char *other) {
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    spots[1] = pair[0];
    spots[2] = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    spots[0] = dup(spots[1]);
    name.sun_family = AF_UNIX;
    strcpy(name.sun_path, other);
    pthread_t thread;
    pthread_create(&thread, NULL, flip_socket, NULL);
    struct iovec vector = {"ping", 4};
    int sent = 0;
    for (int i = 0; goes_on(); i++) {
        struct msghdr message = {.msg_name = &name, .msg_namelen = sizeof name, .msg_iov = &vector, .msg_iovlen = 1};
        sent += sendmsg(spots[0], &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 4;
    }
    done = 1;
    pthread_join(thread, NULL);
    printf("%s sent\n", sent > 0 ? "some" : "none");
    return 0;
}

static int i386(void) {
    long result;
    /* socket(AF_INET, SOCK_STREAM, 0), number 359 of i386. */
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(359), "b"(2), "c"(1), "d"(0) : "r8", "r9", "r10", "r11", "memory");
    result = (int)result;
    printf("%s\n", result >= 0 ? "reached" : result == -ENOSYS ? "ENOSYS" : strerror(-result));
    return 0;
}

static int x32(void) {
    long result = syscall(0x40000000 + SYS_socket, AF_INET, SOCK_STREAM, 0);
    printf("%s\n", result >= 0 ? "reached" : errno == ENOSYS ? "ENOSYS" : strerror(errno));
    return 0;
}

static int plain(const char *host, const char *port) {
    there.sin_family = AF_INET;
    inet_pton(AF_INET, host, &there.sin_addr);
    there.sin_port = htons(atoi(port));
    int s = socket(AF_INET, SOCK_STREAM, 0);
    char octets[4] = "";
    if (connect(s, (struct sockaddr *)&there, sizeof there)) puts(errno == EACCES ? "EACCES" : strerror(errno));
    else puts(write(s, "ping", 4) == 4 && read(s, octets, 4) == 4 ? "reached" : "nothing");
    return 0;
}

int main(int argc, char **argv) {
    alarm(50);
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "address")) return address(argv[2], argv[3]);
    if (!strcmp(what, "path")) return path(argv[2], argv[3]);
    if (!strcmp(what, "socket")) return replaced(argv[2]);
    if (!strcmp(what, "i386")) return i386();
    if (!strcmp(what, "x32")) return x32();
    if (!strcmp(what, "static")) return plain(argv[2], argv[3]);
    return 2;
}
