// Preloaded into a suite's programs (`run --out`): a stream that connects to the run's loopback leaves the run by its gateway and comes back by a port that
// the run publishes, so that a suite whose clients and servers are in one run tries what is made for connections out of it and into it. Names are told as
// the loopback's; a client's port is another one for its server (the host's kernel has picked it), which tests that compare the two find out.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NEXT(name) \
    static __typeof__(&name) next; \
    if (!next) \
    next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

enum { FDS = 65536 };
enum { UNKNOWN, STREAM, OTHER };

static const struct in6_addr GATEWAY = {{{0xfd, 0, 0, 2, [15] = 2}}}, OWN = {{{0xfd, 0, 0, 2, [15] = 0x15}}};
// What socket(2) and bind(2) have said: getsockopt(2) would make the socket known to the run, and what is bound to the loopback cannot leave. Forgotten
// when the number is another's.
static unsigned char kinds[FDS];

static int is_published(int port) {
    static int low, high;
    const char *told = getenv("OUT_PORTS");
    if (!high && (!told || sscanf(told, "%d-%d", &low, &high) != 2))
        low = 1, high = 0;
    return port >= low && port <= high;
}

static int keep_kind(int fd, int kind) {
    if (fd >= 0 && fd < FDS)
        kinds[fd] = kind;
    return fd;
}

static int is_stream(int fd) {
    if (fd >= 0 && fd < FDS && kinds[fd])
        return kinds[fd] == STREAM;
    int type = 0, before = errno;
    socklen_t len = sizeof type;
    int failed = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
    errno = before;
    return !failed && type == SOCK_STREAM;
}

// The run's two ends of its way out are the loopback.
static void rename_back(struct sockaddr *name, socklen_t len, socklen_t room) {
    len = len < room ? len : room;
    if (len >= sizeof(struct sockaddr_in) && name->sa_family == AF_INET) {
        struct in_addr *address = &((struct sockaddr_in *)name)->sin_addr;
        if (address->s_addr == inet_addr("10.0.2.2") || address->s_addr == inet_addr("10.0.2.15"))
            address->s_addr = htonl(INADDR_LOOPBACK);
    } else if (len >= sizeof(struct sockaddr_in6) && name->sa_family == AF_INET6) {
        struct in6_addr *address = &((struct sockaddr_in6 *)name)->sin6_addr;
        uint32_t *last = &address->s6_addr32[3];
        if (IN6_ARE_ADDR_EQUAL(address, &GATEWAY) || IN6_ARE_ADDR_EQUAL(address, &OWN))
            *address = in6addr_loopback;
        else if (IN6_IS_ADDR_V4MAPPED(address) && (*last == inet_addr("10.0.2.2") || *last == inet_addr("10.0.2.15")))
            *last = htonl(INADDR_LOOPBACK);
    }
}

// Whether the address is the loopback's, which becomes the gateway's.
static int leads_out(struct sockaddr *to, socklen_t len) {
    if (to->sa_family == AF_INET) {
        struct sockaddr_in *at = (struct sockaddr_in *)to;
        if (at->sin_addr.s_addr != htonl(INADDR_LOOPBACK) || !is_published(ntohs(at->sin_port)))
            return 0;
        at->sin_addr.s_addr = inet_addr("10.0.2.2");
        return 1;
    }
    struct sockaddr_in6 *at = (struct sockaddr_in6 *)to;
    if (to->sa_family != AF_INET6 || len < sizeof *at || !is_published(ntohs(at->sin6_port)))
        return 0;
    uint32_t *last = &at->sin6_addr.s6_addr32[3];
    if (IN6_IS_ADDR_LOOPBACK(&at->sin6_addr))
        at->sin6_addr = GATEWAY, at->sin6_scope_id = 0;
    else if (IN6_IS_ADDR_V4MAPPED(&at->sin6_addr) && *last == htonl(INADDR_LOOPBACK))
        *last = inet_addr("10.0.2.2");
    else
        return 0;
    return 1;
}

int socket(int domain, int type, int protocol) {
    NEXT(socket);
    return keep_kind(next(domain, type, protocol), (type & 15) == SOCK_STREAM ? STREAM : OTHER);
}

int bind(int fd, const struct sockaddr *name, socklen_t len) {
    NEXT(bind);
    int failed = next(fd, name, len);
    if (!failed)
        keep_kind(fd, OTHER);
    return failed;
}

int connect(int fd, const struct sockaddr *to, socklen_t len) {
    NEXT(connect);
    struct sockaddr_storage out = {0};
    if (to && len >= sizeof(struct sockaddr_in) && len <= sizeof out) {
        memcpy(&out, to, len);
        if (leads_out((struct sockaddr *)&out, len) && is_stream(fd))
            return next(fd, (struct sockaddr *)&out, len);
    }
    return next(fd, to, len);
}

static int kind_of(int fd) {
    return fd >= 0 && fd < FDS ? kinds[fd] : UNKNOWN;
}

int dup(int fd) {
    NEXT(dup);
    return keep_kind(next(fd), kind_of(fd));
}

int dup2(int fd, int to) {
    NEXT(dup2);
    return keep_kind(next(fd, to), kind_of(fd));
}

int dup3(int fd, int to, int flags) {
    NEXT(dup3);
    return keep_kind(next(fd, to, flags), kind_of(fd));
}

// Before it is closed: another thread may have the number at once.
int close(int fd) {
    NEXT(close);
    keep_kind(fd, UNKNOWN);
    return next(fd);
}

#define NAMED(call, ...) \
    NEXT(call); \
    socklen_t room = name && len ? *len : 0; \
    int result = next(fd, name, len, ##__VA_ARGS__); \
    if (result >= 0 && name && len) \
        rename_back(name, *len, room)

int accept(int fd, struct sockaddr *restrict name, socklen_t *restrict len) {
    NAMED(accept);
    return keep_kind(result, UNKNOWN);
}

int accept4(int fd, struct sockaddr *restrict name, socklen_t *restrict len, int flags) {
    NAMED(accept4, flags);
    return keep_kind(result, UNKNOWN);
}

int getsockname(int fd, struct sockaddr *restrict name, socklen_t *restrict len) {
    NAMED(getsockname);
    return result;
}

int getpeername(int fd, struct sockaddr *restrict name, socklen_t *restrict len) {
    NAMED(getpeername);
    return result;
}
