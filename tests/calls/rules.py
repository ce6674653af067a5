"""What the rules of known.py must not take for known, and what they must: lines as the two sides say them, after what was heard before."""
from known import reason
from lines import ENDS, GOES_ON, Line
from model import Model

STREAM = ["socket 3 2 2049 0 = 0"]
DATAGRAM = ["socket 3 2 2050 0 = 0"]
# Its write(2) gave slot 4 a port on the kernel.
NAMELESS = ["socket 4 2 2050 0 = 0", "write 4 10 0 = -1 EDESTADDRREQ"]
CORKED = [*DATAGRAM, "connect 3 2 1 9 0 0 = 0", "send 3 10 32768 0 = 10"]
SHUT = [*STREAM, "listen 3 5 = 0", "shutdown 3 2 = 0", "child listen 3 5 = 0"]
LONG = ["socket 3 10 2050 0 = 0", "bind 3 10 1 0 0 0 = 0", "connect 3 10 1 103 0 0 = 0", "sendto 3 65510 0 10 1 103 0 = 65510"]
HELD = [*STREAM, "hold 3 2 0 = 0", "listen 3 5 = 0", "drop = 0"]
ACCEPTED = [*STREAM, "listen 3 5 = 0", "socket 4 2 1 0 = 0", "connect 4 2 1 103 0 0 = 0", "accept 3 5 0 0 0 = 0 len 16 127.0.0.1/P0"]
MORE_SENT = [*ACCEPTED, "send 5 10 32768 0 = 10"]
URGENT = [*ACCEPTED, "send 4 1 1 0 = 1"]
ENDED = [*STREAM, "connect 3 0 0 0 0 0 = 0"]
QUEUES = [*DATAGRAM, "setsockopt 3 0 11 1 4 0 0 = 0", "recv 3 10 0 0 = -1 ECONNREFUSED"]
QUEUES_BY_EDGES = [*QUEUES, "epoll_ctl 3 1 2147483649 = 0"]
EDGED = [*DATAGRAM, "epoll_ctl 3 1 2147483653 = 0", "epoll_wait 3:5"]
DEAF = [*DATAGRAM, "shutdown 3 0 = -1 ENOTCONN"]
HEARD_BY = ["socket 4 2 2050 0 = 0", "connect 3 2 1 104 0 0 = 0"]
LOOKS = [*DATAGRAM, "setsockopt 3 1 42 0 4 0 0 = 0"]
LOST_PEER = ["socket 3 10 2 0 = 0", "setsockopt 3 41 25 1 4 0 0 = 0", "connect 3 10 2 9 0 = 0", "connect 3 0 0 0 0 = 0"]
LOOKS_NO_MORE = [*LOOKS, "setsockopt 3 1 42 -1 4 0 0 = 0"]
ENDED_SINCE = [*STREAM, "connect 3 2 1 104 0 0 = 0", "connect 3 0 0 0 0 0 = 0"]
RESET_BY_IPV6 = ["socket 3 10 2049 0 = 0", "connect 3 10 1 104 0 = -1 EINPROGRESS", "connect 3 10 1 9 0 0 = -1 ECONNRESET"]
CHILD_CONNECTS = [*STREAM, "listen 3 0 = 0", "child shutdown 3 0 = 0", "socket 4 2 2049 0 = 0", "listen 4 0 = 0", "child connect 3 2 1 104 0 0 = -1 EINPROGRESS", "accept 4 5 0 0 0 = 0 len 16 127.0.0.1/P0"]
HEARS = ["socket 4 2 2050 0 = 0", "sendto 4 5 0 2 1 103 0 0 = 5"]
SHUT_AND_CONNECTED = [*SHUT, "child connect 3 2 1 9 0 0 = -1 ECONNREFUSED"]
UNDONE = [*DATAGRAM, "connect 3 2 1 9 0 0 = 0", "connect 3 0 0 0 0 0 = 0"]
BEGUN = [*DATAGRAM, "sendmsg 3 5 32768 2 1 9 0 0 = 5"]
TWO = [*DATAGRAM, "async 3 1 = 0 = 0", "socket 4 2 2050 0 = 0", "connect 4 2 1 103 0 0 = 0", "socket 5 2 2050 0 = 0"]
LABELLED = ["socket 3 10 2049 0 = 0", "listen 3 5 = 0", "socket 4 10 1 0 = 0", "setsockopt 4 41 33 1 4 0 0 = 0", "connect 4 10 1 103 0 0 = 0", "accept 3 5 0 0 0 = 0 len 28 ::1/P0"]
UNLABELLED = [line.replace(" 41 33 1 ", " 41 33 0 ") for line in LABELLED]
WENT_ON = ["socket 4 2 2050 0 = 0", "bind 4 2 0 0 0 = 0", *DATAGRAM, "connect 3 2 1 104 0 0 = 0", "sendmsg 3 5 32768 2 1 9 0 0 = 5", "writev 3 5 0 = 40"]
WENT_ON_PAST = ["socket 5 2 2050 0 = 0", "bind 5 2 0 9 0 = 0", *WENT_ON]
SPOKE_IPV4 = ["socket 3 10 2049 0 = 0", "connect 3 10 14 50 0 0 = -1 EINPROGRESS"]
REFUSED_BY_IPV4 = ["socket 3 10 2049 0 = 0", "connect 3 10 14 52 0 0 = -1 EINPROGRESS", "connect 3 10 1 104 0 0 = -1 ECONNREFUSED"]
PUBLISHED = [*STREAM, "bind 3 2 0 60 0 0 = 0", "setsockopt 3 1 15 1 4 0 0 = 0"]
PUBLISHED_BY_BOTH = ["socket 3 10 1 0 = 0", "bind 3 10 0 60 0 0 = 0", "listen 3 1 = 0"]
CONNECTED_BY_CHILD = [*STREAM, "listen 3 1 = 0", "shutdown 3 0 = 0", "child connect 3 2 12 50 0 = -1 EINPROGRESS"]
REFUSED_BY_CHILD = [*STREAM, "listen 3 1 = 0", "hold 3 2 0 = 0", "drop = 0", "child connect 3 2 1 9 0 0 = -1 EINPROGRESS"]
LEFT_OUTSIDE = [*STREAM, "connect 3 2 12 50 0 = 0", "connect 3 0 0 0 0 = 0"]
STAMPED = [*ACCEPTED, "setsockopt 5 1 29 1 4 0 0 = 0"]
KEPT_BY_CHILD = [*STREAM, "listen 3 5 = 0", "hold 3 0 1 = 0", "shutdown 3 2 = 0", "connect 3 2 1 103 0 0 = -1 EINPROGRESS", "socket 3 2 1 0 = 0"]
LEFT_BY_IPV6 = ["socket 3 10 1 0 = 0", "connect 3 10 12 50 0 = 0"]
NO_WAY = [*STREAM, "connect 3 2 4 9 0 0 = -1 ENETUNREACH"]
NOWHERE = ["socket 3 10 2050 0 = 0", "connect 3 10 2 104 0 0 = 0"]
LISTENS_IN_A_SET = ["socket 5 10 1 0 = 0", "listen 5 5 = 0", "event_ctl 0 5 1 2147491845 = 0"]

LOW_WATER = [*ACCEPTED, "setsockopt 5 1 18 5 4 0 0 = 0", "send 4 3 0 0 = 3"]

# What was heard, the kernel's line, prise's, whether streams within the run go by our TCP; what comes of it.
CASES = [
    # Readiness: signals are no readiness, and nothing that differs is not a difference of some kind.
    (STREAM, "poll 3:5 told 3:41", "poll 3:1d told 3:41", False, None),
    (STREAM, "poll 3:5", "poll 3:5 SIGURG", False, None),
    (STREAM, "poll 3:5", "poll 3:5 SIGURG", True, None),
    (STREAM, "poll 3:5 told 3:41", "poll 3:5", False, None),
    (STREAM, "epoll_wait 3:1 told 3:41", "epoll_wait told 3:41", False, None),
    (STREAM, "nonblock 3 1 = 0 told 3:41 | 3:5", "nonblock 3 1 = 0 told 3:41 | 3:1d", False, None),
    (STREAM, "nonblock 3 1 = 0 told 3:41 | 3:5", "nonblock 3 1 = 0 | 3:5", False, None),
    (STREAM, "poll 3:5", "poll 3:5 4:5", False, None),
    (QUEUES, "poll 3:c", "poll 3:4", False, GOES_ON),
    (QUEUES, "poll 3:c told 3:41", "poll 3:4 told 3:41", False, GOES_ON),
    (QUEUES, "poll 3:c told 3:41", "poll 3:4", False, None),
    (QUEUES, "poll 3:c", "poll 3:d", False, None),
    (QUEUES, "state 3 = 0 len 0 error none", "state 3 = 0 len 0 error ECONNREFUSED", False, GOES_ON),
    (QUEUES, "state 3 = 0 len 0 error none", "state 3 = 0 len 2 error ECONNREFUSED", False, None),
    (QUEUES[:2], "state 3 = 0 len 0 error none", "state 3 = 0 len 0 error ECONNREFUSED", False, None),
    (QUEUES, "recv 3 10 0 0 = -1 EAGAIN", "recv 3 10 0 0 = -1 ECONNREFUSED", False, ENDS),
    (QUEUES, "send 3 10 0 0 = -1 EPIPE", "send 3 10 0 0 = -1 ECONNREFUSED", False, None),
    ([*QUEUES, "fork 3 2 = 0"], "send 3 10 0 0 = -1 EPIPE", "send 3 10 0 0 = -1 ECONNRESET", False, ENDS),
    (QUEUES, "recv 3 10 0 0 = -1 EFAULT", "recv 3 10 0 0 = -1 ECONNREFUSED", False, None),
    (QUEUES, "select 1 1 0 = 1 3:1", "select 1 1 0 = 0 3:0", False, GOES_ON),
    (QUEUES, "select 1 3 0 = 1 3:2", "select 1 3 0 = 0 3:0", False, None),
    (DATAGRAM, "select 1 1 0 = 1 3:1", "select 1 1 0 = 0 3:0", False, None),
    (QUEUES_BY_EDGES, "epoll_wait", "epoll_wait 3:8", False, GOES_ON),
    (QUEUES_BY_EDGES, "epoll_wait", "epoll_wait 3:9", False, None),
    (QUEUES, "epoll_wait", "epoll_wait 3:8", False, None),
    # A refusal that a write took which had nobody to write to.
    ([*UNDONE, "fork 3 3 = 0"], "recv 3 10 0 0 = -1 ECONNREFUSED", "recv 3 10 0 0 = -1 EAGAIN", False, ENDS),
    ([*UNDONE, "fork 3 2 = 0"], "recv 3 10 0 0 = -1 ECONNREFUSED", "recv 3 10 0 0 = -1 EAGAIN", False, None),
    ([*DATAGRAM, "fork 3 3 = 0"], "recv 3 10 0 0 = -1 ECONNREFUSED", "recv 3 10 0 0 = -1 EAGAIN", False, None),
    (UNDONE, "exec 3 2 = 189", "exec 3 2 = 204", False, ENDS),
    ([*UNDONE, "getsockopt 3 1 4 4 0 0 = 0 len 4 6f 00 00 00"], "fork 3 3 = 0", "fork 3 3 = 1", False, GOES_ON),
    (UNDONE, "fork 3 3 = 0", "fork 3 3 = 1", False, None),
    ([*UNDONE, "sendto 3 1 0 2 1 9 0 0 = -1 ECONNREFUSED"], "writev 3 5 0 = -1 EDESTADDRREQ", "writev 3 5 0 = 40", False, GOES_ON),
    (UNDONE, "writev 3 5 0 = -1 EDESTADDRREQ", "writev 3 5 0 = 40", False, None),
    (DATAGRAM, "exec 3 2 = 189", "exec 3 2 = 204", False, None),
    (NOWHERE, "exec 3 2 = 5", "exec 3 2 = 204", False, ENDS),
    (NOWHERE[:1], "exec 3 2 = 5", "exec 3 2 = 204", False, None),
    (NOWHERE, "fork 3 3 = 0", "fork 3 3 = 1", False, ENDS),
    (NOWHERE[:1], "fork 3 3 = 0", "fork 3 3 = 1", False, None),
    # Whoever goes on with a datagram that was begun.
    (BEGUN, "send 3 1 0 0 = 1", "send 3 1 0 0 = -1 ENOTCONN", False, ENDS),
    (BEGUN, "child send 3 1 0 0 = 1", "child send 3 1 0 0 = -1 EDESTADDRREQ", False, ENDS),
    ([*BEGUN, "connect 3 2 1 9 0 0 = 0"], "send 3 1 0 0 = 1", "send 3 1 0 0 = -1 ENOTCONN", False, None),
    ([*BEGUN, "sendto 3 5 0 2 1 9 0 0 = 5"], "send 3 1 0 0 = 1", "send 3 1 0 0 = -1 ENOTCONN", False, None),
    ([*BEGUN, "send 3 1 32768 0 = 1"], "send 3 1 0 0 = 1", "send 3 1 0 0 = -1 ENOTCONN", False, ENDS),
    ([*BEGUN, "send 3 1 0 0 = 1"], "ioctl 3 2 1 0 = 0 832", "ioctl 3 2 1 0 = 0 0", False, None),
    (BEGUN, "ioctl 3 2 1 0 = 0 832", "ioctl 3 2 1 0 = 0 0", False, GOES_ON),
    (DATAGRAM, "ioctl 3 2 1 0 = 0 832", "ioctl 3 2 1 0 = 0 0", False, None),
    (BEGUN, "send 3 1 0 0 = 1", "send 3 1 0 0 = -1 ECONNREFUSED", False, None),
    (DATAGRAM, "send 3 1 0 0 = 1", "send 3 1 0 0 = -1 ENOTCONN", False, None),
    # A reset behind the peer's end, and options, where the peer may choose a flow label.
    (LABELLED, "poll 3:0 5:201d", "poll 3:0 5:2015", False, GOES_ON),
    (ACCEPTED, "poll 3:0 5:201d", "poll 3:0 5:2015", False, None),
    (LABELLED, "setsockopt 5 6 1 1 4 0 0 = 0", "setsockopt 5 6 1 1 4 0 0 = -1 EOPNOTSUPP", False, GOES_ON),
    (LABELLED, "setsockopt 5 6 30 1 4 0 0 = 0", "setsockopt 5 6 30 1 4 0 0 = -1 EOPNOTSUPP", False, None),
    (LABELLED, "setsockopt 5 6 1 1 4 0 0 = -1 EPERM", "setsockopt 5 6 1 1 4 0 0 = -1 EOPNOTSUPP", False, None),
    (UNLABELLED, "setsockopt 5 6 1 1 4 0 0 = 0", "setsockopt 5 6 1 1 4 0 0 = -1 EOPNOTSUPP", False, None),
    (UNLABELLED, "poll 3:0 5:201d", "poll 3:0 5:2015", False, None),
    (ACCEPTED, "setsockopt 5 6 1 1 4 0 0 = 0", "setsockopt 5 6 1 1 4 0 0 = -1 EOPNOTSUPP", False, None),
    # A stream that was shut and connects to itself.
    ([*STREAM, "fork 3 2 = 0", "bind 3 2 7 9 0 0 = 0"], "connect 3 2 1 9 0 0 = -1 ECONNABORTED", "connect 3 2 1 9 0 0 = 0", False, ENDS),
    ([*STREAM, "shutdown 3 1 = -1 ENOTCONN"], "connect 3 2 0 103 0 0 = -1 ECONNABORTED", "connect 3 2 0 103 0 0 = 0", False, ENDS),
    ([*STREAM, "shutdown 3 1 = -1 ENOTCONN"], "connect 3 2 0 104 0 0 = -1 ECONNABORTED", "connect 3 2 0 104 0 0 = 0", False, None),
    ([*STREAM, "fork 3 2 = 0", "bind 3 2 7 0 0 0 = 0"], "connect 3 2 1 9 0 0 = -1 ECONNABORTED", "connect 3 2 1 9 0 0 = 0", False, None),
    # A port more that was shown.
    (NO_WAY, "state 4 = 0 len 16 127.0.0.1/P1", "state 4 = 0 len 16 127.0.0.1/P2", False, ENDS),
    (NO_WAY, "state 4 = 0 len 16 127.0.0.1/P1", "state 4 = 0 len 16 127.0.0.2/P2", False, None),
    (NO_WAY, "state 4 = 0 len 16 127.0.0.1/P1", "state 4 = 0 len 16 127.0.0.1/P3", False, None),
    ([*NO_WAY, "getsockname 5 0 0 0 = 0 len 16 127.0.0.1/P1"], "state 4 = 0 len 16 127.0.0.1/P1", "state 4 = 0 len 16 127.0.0.1/P2", False, None),
    (NO_WAY, "table 0 (0/P1 /0 10) (0/P1 0/P 1)", "table 0 (0/P2 /0 10) (0/P2 0/P 1)", False, ENDS),
    (NO_WAY, "table 0 (0/P1 /0 10) (0/P1 0/P 1)", "table 0 (0/P2 /0 10) (0/P1 0/P 1)", False, None),
    (STREAM, "state 4 = 0 len 16 127.0.0.1/P1", "state 4 = 0 len 16 127.0.0.1/P2", False, None),
    # Nothing is read in part that the kernel reads whole.
    (STREAM, "setsockopt 3 0 32 1 64 4 0 = -1 EFAULT", "setsockopt 3 0 32 1 64 4 0 = 0", False, None),
    (STREAM, "setsockopt 3 1 37 1 8 4 0 = -1 EFAULT", "setsockopt 3 1 37 1 8 4 0 = 0", False, None),
    # A datagram that is held back while another is unread.
    ([*TWO, "send 4 10 0 0 = 10 told 3:41"], "sendto 5 1 0 2 1 103 0 0 = 1 told 3:41", "sendto 5 1 0 2 1 103 0 0 = 1", False, GOES_ON),
    ([*TWO, "send 4 10 0 0 = 10 told 3:41", "recv 3 10 0 0 = 10"], "sendto 5 1 0 2 1 103 0 0 = 1 told 3:41", "sendto 5 1 0 2 1 103 0 0 = 1", False, None),
    ([*TWO, "send 4 10 0 0 = 10 told 3:41", "recv 3 10 2 0 = 10"], "sendto 5 1 0 2 1 103 0 0 = 1 told 3:41", "sendto 5 1 0 2 1 103 0 0 = 1", False, GOES_ON),
    ([*TWO, "sendto 4 10 0 2 1 105 0 0 = 10"], "sendto 5 1 0 2 1 103 0 0 = 1 told 3:41", "sendto 5 1 0 2 1 103 0 0 = 1", False, None),
    (TWO, "sendto 5 1 0 2 1 103 0 0 = 1 told 3:41", "sendto 5 1 0 2 1 103 0 0 = 1", False, None),
    ([*TWO, "send 4 10 0 0 = 10 told 3:41"], "sendto 5 1 0 2 1 103 0 0 = 1", "sendto 5 1 0 2 1 103 0 0 = 1 told 3:41", False, None),
    ([*TWO, "send 4 10 0 0 = 10 told 3:41"], "sendto 5 1 0 2 1 103 0 0 = 1 told 3:41", "sendto 5 1 0 2 1 103 0 0 = -1 EFAULT", False, None),
    # A datagram that sendfile(2) has begun.
    (DATAGRAM, "sendfile 3 20000 100 = 3900 at 4000", "sendfile 3 20000 100 = 3900 at 4000 told 3:8", False, GOES_ON),
    (DATAGRAM, "sendfile 3 100 100 = 100 at 200", "sendfile 3 100 100 = 100 at 200 told 3:8", False, None),
    (DATAGRAM, "sendfile 3 20000 100 = 3900 at 4000", "sendfile 3 20000 100 = 3900 at 4000 told 4:8", False, None),
    (DATAGRAM, "sendfile 3 20000 100 = 3900 at 4000 told 3:8", "sendfile 3 20000 100 = 3900 at 4000", False, None),
    # O_ASYNC of streams by our TCP: what comes after is a matter of the rule of the answers.
    (STREAM, "poll 3:5 told 3:41", "poll 3:5", True, GOES_ON),
    (STREAM, "poll 3:5 told 3:41", "poll 3:1d", True, None),
    (ENDED, "recv 3 10 0 0 = -1 ENOTCONN told 3:41", "recv 3 10 0 0 = 0", True, None),
    # Who sends to a port that is not there is told of it, and nobody else.
    ([*DATAGRAM, *NAMELESS], "sendto 3 10 0 2 1 104 0 0 = 10", "sendto 3 10 0 2 1 104 0 0 = -1 EINVAL", False, ENDS),
    ([*DATAGRAM, *NAMELESS], "sendto 3 10 0 2 1 104 0 0 = 10", "sendto 3 10 0 2 1 104 0 0 = -1 EIO", False, None),
    ([*NAMELESS, *DATAGRAM, "connect 3 2 1 104 0 0 = 0"], "getpeername 3 0 0 0 = 0 len 16 127.0.0.1/P0", "getpeername 3 0 0 0 = -1 ENOTCONN", False, ENDS),
    (["socket 4 2 2050 0 = 0", *DATAGRAM, "connect 3 2 1 104 0 0 = 0"], "getpeername 3 0 0 0 = 0 len 16 127.0.0.1/P0", "getpeername 3 0 0 0 = -1 ENOTCONN", False, None),
    ([*NAMELESS, *DATAGRAM, "sendmsg 3 10 0 2 1 104 0 0 = 10"], "sendmsg 3 10 0 2 1 104 0 0 = 10", "sendmsg 3 10 0 2 1 104 0 0 = -1 EINVAL", False, ENDS),
    ([*STREAM, *NAMELESS], "connect 3 2 1 104 0 0 = -1 ECONNREFUSED", "connect 3 2 1 104 0 0 = -1 EFAULT", False, None),
    ([*NAMELESS, "connect 4 0 0 0 0 0 = 0"], "bind 4 2 0 104 0 0 = -1 EINVAL", "bind 4 2 0 104 0 0 = 0", False, ENDS),
    ([*DATAGRAM, "connect 3 0 0 0 0 0 = 0"], "writev 3 1 0 = -1 EDESTADDRREQ", "writev 3 1 0 = -1 ECONNRESET", False, ENDS),
    (DATAGRAM, "writev 3 1 0 = -1 EDESTADDRREQ", "writev 3 1 0 = -1 ECONNRESET", False, None),
    # What the kernel still compares of a peer that is gone.
    (LOST_PEER, "poll 3:4", "poll 3:c", False, ENDS),
    (LOST_PEER, "poll 3:4", "poll 3:d", False, None),
    (LOST_PEER, "poll 3:c", "poll 3:4", False, None),
    (LOST_PEER[:-1], "poll 3:4", "poll 3:c", False, None),
    ([line.replace("connect 3 10 2", "connect 3 10 1") for line in LOST_PEER], "poll 3:4", "poll 3:c", False, None),
    # Two that differ, each by a rule of its own.
    ([*STREAM, "listen 3 0 = 0", "hold 3 2 1 = 0", "drop = 0", "socket 4 10 2 0 = 0", "connect 4 10 1 9 0 = 0", "sendfile 4 1000 3990 = 10 at 4000"], "select 1 7 0 = 2 3:3 4:2", "select 1 7 0 = 2 3:1 4:3", True, ENDS),
    ([*STREAM, "listen 3 0 = 0", "hold 3 2 1 = 0", "drop = 0", "socket 4 10 2 0 = 0", "connect 4 10 1 9 0 = 0"], "select 1 7 0 = 2 3:3 4:2", "select 1 7 0 = 2 3:1 4:3", True, None),
    # MSG_MORE
    (CORKED, "recv 3 10 0 0 = -1 EAGAIN", "recv 3 10 0 0 = -1 ECONNREFUSED", False, ENDS),
    (CORKED, "send 3 10 32768 0 = 10", "send 3 10 32768 0 = -1 EFAULT", False, None),
    (CORKED, "sendmsg 3 100 0 10 2 9 0 0 = -1 EINVAL", "sendmsg 3 100 0 10 2 9 0 0 = -1 ECONNREFUSED", False, ENDS),
    (DATAGRAM, "sendmsg 3 100 0 10 2 9 0 0 = -1 EINVAL", "sendmsg 3 100 0 10 2 9 0 0 = -1 ECONNREFUSED", False, None),
    (MORE_SENT, "select 1 7 0 = 1 4:2 5:2", "select 1 7 0 = 2 4:3 5:2", True, ENDS),
    (MORE_SENT, "select 1 7 0 = 1 4:2 5:2", "select 1 7 0 = 2 4:6 5:2", True, None),
    (MORE_SENT, "select 1 7 0 = 1 4:2 5:2", "select 1 7 0 = 2 4:3 5:2", False, None),
    ([*DATAGRAM, "exec 3 2 = 189"], "table 2 (00000000/P0 00000000/0 7)", "table 2", False, ENDS),
    ([*DATAGRAM, "exec 3 2 = 0"], "table 2 (00000000/P0 00000000/0 7)", "table 2", False, None),
    (CORKED, "sendto 3 5 0 10 1 9 0 0 = 5", "sendto 3 5 0 10 1 9 0 0 = -1 EAFNOSUPPORT", False, ENDS),
    (DATAGRAM, "sendto 3 5 0 10 1 9 0 0 = 5", "sendto 3 5 0 10 1 9 0 0 = -1 EAFNOSUPPORT", False, None),
    (CORKED, "sendto 3 65528 0 10 4 9 0 0 = -1 EMSGSIZE", "sendto 3 65528 0 10 4 9 0 0 = -1 EINVAL", False, ENDS),
    (CORKED, "sendto 3 5 0 10 4 9 0 0 = -1 EFAULT", "sendto 3 5 0 10 4 9 0 0 = -1 EINVAL", False, None),
    (DATAGRAM, "sendto 3 65528 0 10 4 9 0 0 = -1 EMSGSIZE", "sendto 3 65528 0 10 4 9 0 0 = -1 EINVAL", False, None),
    ([*CORKED, "shutdown 3 1 = 0"], "splice_out 3 100 4 = 100", "splice_out 3 100 4 = -1 EPIPE", False, ENDS),
    (CORKED, "splice_out 3 100 4 = 100", "splice_out 3 100 4 = -1 EPIPE", False, None),
    (CORKED, "recv 3 10 0 0 = -1 EFAULT", "recv 3 10 0 0 = 10", False, None),
    (CORKED, "getpeername 3 0 0 0 = 0 len 16 127.0.0.1/P0", "getpeername 3 0 0 0 = -1 ENOTCONN", False, None),
    # A write that has failed is an edge, which shows what else is there.
    ([*EDGED, "sendfile 3 3000 0 = -1 EDESTADDRREQ at 0"], "epoll_wait", "epoll_wait 3:5", False, GOES_ON),
    ([*EDGED, "sendfile 3 3000 0 = -1 EDESTADDRREQ at 0"], "epoll_wait", "epoll_wait 3:d", False, None),
    ([*EDGED, "sendfile 3 3000 0 = -1 EDESTADDRREQ at 0", "state 3 = 0 len 0"], "epoll_wait", "epoll_wait 3:5", False, GOES_ON),
    ([*EDGED, "sendfile 3 3000 0 = -1 EDESTADDRREQ at 0", "epoll_wait"], "epoll_wait", "epoll_wait 3:5", False, None),
    (EDGED, "epoll_wait", "epoll_wait 3:5", False, None),
    # A datagram that was held back until another was read.
    ([*EDGED, *HEARS, HEARS[-1], "recv 3 100 64 0 = 5"], "epoll_wait", "epoll_wait 3:5", False, GOES_ON),
    ([*EDGED, *HEARS, "recv 3 100 64 0 = 5"], "epoll_wait", "epoll_wait 3:5", False, None),
    ([*EDGED, *HEARS, HEARS[-1], "recv 3 100 64 0 = 5", "getsockname 3 0 0 0 = 0 len 16 0.0.0.0/P0"], "epoll_wait", "epoll_wait 3:5", False, None),
    # A datagram that has left is an edge on the kernel, and one that has come is on both sides.
    (EDGED, "epoll_wait 3:5", "epoll_wait", False, GOES_ON),
    (EDGED, "epoll_wait 3:4", "epoll_wait", False, GOES_ON),
    (EDGED, "epoll_wait 3:1", "epoll_wait", False, None),
    (EDGED, "epoll_wait 3:8", "epoll_wait", False, None),
    # A program that was executed with a stream whose connect(2) was refused.
    ([*STREAM, "connect 3 2 1 9 0 0 = -1 EINPROGRESS"], "exec 3 3 = 211", "exec 3 3 = 204", True, GOES_ON),
    ([*STREAM, "connect 3 2 1 9 0 0 = -1 EINPROGRESS"], "exec 3 3 = 211", "exec 3 3 = 204", False, None),
    # What connect(2) with AF_UNSPEC leaves.
    ([*ENDED, "listen 3 1 = 0"], "write 3 5 4 = -1 ECONNRESET", "write 3 5 4 = -1 ENOTCONN", True, GOES_ON),
    (ENDED, "write 3 5 4 = -1 ECONNRESET", "write 3 5 4 = -1 ENOTCONN", True, None),
    ([*ENDED, "listen 3 1 = 0"], "write 3 5 4 = -1 ECONNRESET", "write 3 5 4 = -1 ENOTCONN", False, None),
    (ENDED_SINCE, "child ioctl 3 3 0 0 = 0 65466", "child ioctl 3 3 0 0 = 0 65485", True, GOES_ON),
    (STREAM, "ioctl 3 3 0 0 = 0 65466", "ioctl 3 3 0 0 = 0 65485", True, None),
    (ENDED_SINCE, "ioctl 3 3 0 0 = 0 65466", "ioctl 3 3 0 0 = 0 65485", False, None),
    ([line.replace(" 2 ", " 10 ", 1) for line in ENDED_SINCE], "ioctl 3 3 0 0 = 0 65466", "ioctl 3 3 0 0 = 0 65485", False, GOES_ON),
    (["socket 3 10 2049 0 = 0", *ENDED[1:]], "ioctl 3 3 0 0 = 0 65466", "ioctl 3 3 0 0 = 0 65485", False, None),
    (ENDED, "ioctl 3 3 0 0 = 0 65466", "ioctl 3 3 0 0 = 0 65485", True, None),
    (RESET_BY_IPV6, "ioctl 3 3 1 0 = 0 65466", "ioctl 3 3 1 0 = 0 65485", False, GOES_ON),
    (RESET_BY_IPV6[:1], "ioctl 3 3 1 0 = 0 65466", "ioctl 3 3 1 0 = 0 65485", False, None),
    ([*ENDED, ENDED[-1]], "ioctl 3 3 0 0 = 0 4", "ioctl 3 3 0 0 = 0 0", True, GOES_ON),
    (["socket 3 10 2049 0 = 0", *ENDED[1:]], "ioctl 3 2 0 0 = 0 2", "ioctl 3 2 0 0 = 0 0", False, None),
    # Shut before it was connected; octets with MSG_MORE that came too early.
    ([*STREAM, "shutdown 3 1 = -1 ENOTCONN", "connect 3 2 1 104 0 0 = 0"], "fork 3 3 = 0", "fork 3 3 = 1", True, ENDS),
    ([*STREAM, "connect 3 2 1 104 0 0 = 0"], "fork 3 3 = 0", "fork 3 3 = 1", True, None),
    ([*MORE_SENT, "close 4 = 0"], "shutdown 5 1 = 0", "shutdown 5 1 = -1 ENOTCONN", True, ENDS),
    ([*MORE_SENT, "connect 4 0 0 0 0 0 = 0"], "shutdown 5 1 = 0", "shutdown 5 1 = -1 ENOTCONN", True, ENDS),
    ([*MORE_SENT, "hold 4 0 0 = 0", "close 4 = 0"], "shutdown 5 1 = 0", "shutdown 5 1 = -1 ENOTCONN", True, None),
    (MORE_SENT, "shutdown 5 1 = 0", "shutdown 5 1 = -1 ENOTCONN", True, None),
    ([*ACCEPTED, "close 4 = 0"], "shutdown 5 1 = 0", "shutdown 5 1 = -1 ENOTCONN", True, None),
    # The low-water mark: who waits has as many by our TCP, too, unless he only looks.
    (LOW_WATER, "recv 5 20 2 0 = 11", "recv 5 20 2 0 = 1", True, GOES_ON),
    (LOW_WATER, "recv 5 20 0 0 = 11", "recv 5 20 0 0 = 3", True, None),
    (LOW_WATER, "recv 5 20 258 0 = 11", "recv 5 20 258 0 = 3", True, None),
    (LOW_WATER, "recv 5 20 2 0 = 11", "recv 5 20 2 0 = 3", False, None),
    (ACCEPTED, "recv 5 20 2 0 = 11", "recv 5 20 2 0 = 3", True, None),
    # An urgent octet, to who does not ask for POLLPRI.
    (URGENT, "epoll_wait 5:4", "epoll_wait 5:5", True, GOES_ON),
    (URGENT, "epoll_wait 5:4", "epoll_wait 5:5", False, None),
    (ACCEPTED, "epoll_wait 5:4", "epoll_wait 5:5", True, None),
    # Two urgent octets.
    ([*URGENT, URGENT[-1], "recv 5 1 0 0 = 1"], "poll 5:5", "poll 5:7", True, GOES_ON),
    ([*URGENT, URGENT[-1], "exec 5 3 = 1"], "poll 5:5", "poll 5:7", True, GOES_ON),
    ([*URGENT, URGENT[-1], "recv 5 1 2 0 = 1"], "poll 5:5", "poll 5:7", True, None),
    ([*URGENT, URGENT[-1]], "poll 5:5", "poll 5:7", True, None),
    ([*URGENT, "recv 5 1 0 0 = 1"], "poll 5:5", "poll 5:7", True, None),
    (URGENT, "poll 5:5", "poll 5:7", True, None),
    # Datagram sockets that were shut for reading: what comes.
    (QUEUES, "fork 3 3 = 0", "fork 3 3 = 1", False, ENDS),
    (DATAGRAM, "fork 3 3 = 0", "fork 3 3 = 1", False, None),
    ([*QUEUES, "connect 3 2 1 9 0 0 = 0"], "fork 3 3 = 0", "fork 3 3 = 1", False, None),
    (QUEUES, "read 3 1 0 2 = -1 EFAULT", "read 3 1 0 2 = -1 ECONNRESET", False, ENDS),
    (QUEUES, "send 3 3000 16384 4 = -1 EFAULT", "send 3 3000 16384 4 = -1 ECONNRESET", False, ENDS),
    (QUEUES, "read 3 1 0 2 = -1 EFAULT", "read 3 1 0 2 = -1 ECONNREFUSED", False, None),
    (DATAGRAM, "read 3 1 0 2 = -1 EFAULT", "read 3 1 0 2 = -1 ECONNRESET", False, None),
    (DEAF, "exec 3 3 = 1", "exec 3 3 = 111", False, ENDS),
    (DATAGRAM, "exec 3 3 = 1", "exec 3 3 = 111", False, None),
    ([*DEAF, *HEARD_BY], "exec 3 3 = 1", "exec 3 3 = 111", False, None),
    ([*DEAF, *HEARD_BY], "recv 3 10 0 0 = 5 [0.. f5e978af]", "recv 3 10 0 0 = 0", False, None),
    ([*DEAF, *HEARS, "connect 3 2 1 9 0 0 = 0"], "recv 3 10 0 0 = 5 [0.. f5e978af]", "recv 3 10 0 0 = 0", False, ENDS),
    ([*DATAGRAM, *HEARS, "connect 3 2 1 9 0 0 = 0", "shutdown 3 0 = 0"], "recv 3 10 0 0 = 5 [0.. f5e978af]", "recv 3 10 0 0 = 0", False, None),
    ([*DEAF, *HEARD_BY, "hold 3 3 0 = 0"], "drop = 0", "drop = 1", False, None),
    ([*DEAF, "hold 3 3 0 = 0"], "drop = 0", "drop = 1", False, ENDS),
    ([*DATAGRAM, "hold 3 3 0 = 0"], "drop = 0", "drop = 1", False, None),
    (DEAF, "recv 3 3000 258 2 = -1 EFAULT", "recv 3 3000 258 2 = 0", False, ENDS),
    (DATAGRAM, "recv 3 3000 258 2 = -1 EFAULT", "recv 3 3000 258 2 = 0", False, None),
    (SHUT_AND_CONNECTED, "recvmmsg 3 4 64 1 = -1 ENOTCONN", "recvmmsg 3 4 64 1 = 4 (0 flags 0)", False, ENDS),
    (SHUT_AND_CONNECTED, "recvmmsg 3 4 64 1 = -1 ENOTCONN", "recvmmsg 3 4 64 1 = 2 (0 flags 0) (5 [0.. f5e978af] flags 0)", False, None),
    (SHUT_AND_CONNECTED, "recv 3 10 0 0 = -1 ENOTCONN", "recv 3 10 0 0 = 0", False, ENDS),
    (SHUT_AND_CONNECTED, "recv 3 10 0 0 = -1 ENOTCONN", "recv 3 10 0 0 = 5 [0.. f5e978af]", False, None),
    # A datagram that is looked at from an offset; edges of what was disconnected.
    (LOOKS, "recvmsg 3 4 66 3 0 0 = 4 [6.. beab324d] flags 20", "recvmsg 3 4 66 3 0 0 = 4 [6.. beab324d] flags 0", False, GOES_ON),
    (LOOKS, "recvmsg 3 4 66 3 0 0 = 4 [6.. beab324d] flags 20", "recvmsg 3 4 66 3 0 0 = 4 [5.. beab324d] flags 0", False, None),
    (DATAGRAM, "recvmsg 3 4 66 3 0 0 = 4 [6.. beab324d] flags 20", "recvmsg 3 4 66 3 0 0 = 4 [6.. beab324d] flags 0", False, None),
    (LOOKS, "child recv 3 100 34 0 = 10 [2.. 72131a62]", "child recv 3 100 34 0 = 8 [2.. 50ab108d]", False, GOES_ON),
    (LOOKS_NO_MORE, "recv 3 100 34 0 = 10 [2.. 72131a62]", "recv 3 100 34 0 = 8 [2.. 50ab108d]", False, None),
    ([*LOOKS_NO_MORE, LOOKS[-1]], "recv 3 100 34 0 = 10 [2.. 72131a62]", "recv 3 100 34 0 = 8 [2.. 50ab108d]", False, GOES_ON),
    ([*LOOKS, "recv 3 4 0 0 = 4"], "getsockopt 3 1 42 4 0 0 = 0 len 4 02 00 00 00", "getsockopt 3 1 42 4 0 0 = 0 len 4 00 00 00 00", False, ENDS),
    ([*LOOKS_NO_MORE, "recv 3 4 0 0 = 4"], "getsockopt 3 1 42 4 0 0 = 0 len 4 02 00 00 00", "getsockopt 3 1 42 4 0 0 = 0 len 4 00 00 00 00", False, None),
    (LOOKS, "recv 3 100 34 0 = 8 [2.. 72131a62]", "recv 3 100 34 0 = 10 [2.. 50ab108d]", False, None),
    (LOOKS, "recv 3 100 2 0 = 10 [2.. 72131a62]", "recv 3 100 2 0 = 8 [2.. 50ab108d]", False, None),
    ([*STREAM, "listen 3 5 = 0", "epoll_ctl 3 1 1073750021 = 0", "connect 3 2 1 9 0 0 = -1 ECONNREFUSED"], "epoll_wait", "epoll_wait 3:10", False, GOES_ON),
    ([*STREAM, "epoll_ctl 3 1 1073750021 = 0", "connect 3 2 1 9 0 0 = -1 ECONNREFUSED"], "epoll_wait", "epoll_wait 3:10", False, None),
    ([*EDGED, *HEARS, "connect 3 0 0 0 0 0 = 0"], "epoll_wait", "epoll_wait 3:5", False, GOES_ON),
    ([*EDGED, *HEARS, "connect 3 0 0 0 0 0 = 0"], "epoll_wait", "epoll_wait 3:1", False, GOES_ON),
    ([*EDGED, "connect 3 0 0 0 0 0 = 0"], "epoll_wait", "epoll_wait 3:1", False, None),
    ([*EDGED, *HEARS, "connect 3 0 0 0 0 0 = 0", "recv 3 10 0 0 = 5", "connect 3 0 0 0 0 0 = 0"], "epoll_wait", "epoll_wait 3:5", False, None),
    ([*STREAM, "epoll_ctl 3 1 1073741829 = 0", "connect 3 0 0 0 0 0 = 0"], "epoll_wait", "epoll_wait 3:18", True, GOES_ON),
    ([*STREAM, "epoll_ctl 3 1 1073741829 = 0", "connect 3 0 0 0 0 0 = 0"], "epoll_wait", "epoll_wait 3:18", False, None),
    # A stream that a child has made a listener.
    ([*STREAM, "exec 3 5 = 0"], "select 1 1 0 = 0 3:0", "select 1 1 0 = 1 3:1", True, ENDS),
    ([*STREAM, "exec 3 4 = 0"], "select 1 1 0 = 0 3:0", "select 1 1 0 = 1 3:1", True, None),
    ([*STREAM, "exec 3 5 = 0"], "table 0 (00000000/P1 /0 10)", "table 0", True, ENDS),
    ([*STREAM, "exec 3 5 = 0"], "table 0 (00000000/P1 /0 10)", "table 0", False, None),
    # A listener by our TCP that was shut, under whose number another is watched, too.
    ([*STREAM, "listen 3 1 = 0", "epoll_ctl 3 1 5 = 0", "shutdown 3 0 = 0"], "epoll_wait 3:14", "epoll_wait 3:15", True, GOES_ON),
    ([*STREAM, "listen 3 1 = 0", "epoll_ctl 3 1 5 = 0", "shutdown 3 0 = 0"], "epoll_wait 3:14", "epoll_wait 3:1d", True, None),
    ([*STREAM, "connect 3 2 1 9 0 0 = -1 EINPROGRESS", "epoll_ctl 3 1 4 = 0", "fork 3 3 = 0"], "epoll_wait 3:14", "epoll_wait 3:1c", True, GOES_ON),
    # TCP_LINGER2 below 0.
    ([*ACCEPTED, "setsockopt 4 6 8 -1 4 0 0 = 0"], "poll 3:0 5:2005", "poll 3:0 5:2015", True, ENDS),
    ([*ACCEPTED, "setsockopt 4 6 8 -1 4 0 0 = 0"], "poll 3:0 5:2005", "poll 3:0 5:2015", False, None),
    # A listener of the kernel's that was shut, and a child.
    (SHUT, "setsockopt 3 1 2 1 4 0 0 = 0", "setsockopt 3 1 2 1 4 0 0 = -1 EFAULT", False, None),
    (SHUT, "poll 3:14", "poll 3:1f", False, None),
    (SHUT, "poll 3:0", "poll 3:14", False, ENDS),
    ([*STREAM, "listen 3 1 = 0", "hold 3 2 1 = 0", "drop = 0", "child connect 3 2 1 103 0 0 = -1 EINPROGRESS"], "poll 3:201d", "poll 3:14", False, ENDS),
    (SHUT, "getsockname 3 0 0 0 = 0 len 28 ::/P0", "getsockname 3 0 0 0 = 0 len 28 ::ffff:127.0.0.1/P0", False, ENDS),
    (SHUT, "getsockname 3 0 0 0 = 0 len 28 ::/P0", "getsockname 3 0 0 0 = 0 len 28 ::/P1", False, None),
    (CHILD_CONNECTS, "poll 5:4", "poll 5:2005", False, ENDS),
    (CHILD_CONNECTS, "poll 5:4", "poll 5:5", False, None),
    ([line for line in CHILD_CONNECTS if "shutdown" not in line], "poll 5:4", "poll 5:2005", False, None),
    # A holder that shuts what was made a listener since.
    (HELD, "poll 3:14", "poll 3:0", True, ENDS),
    (HELD, "poll 3:14", "poll 3:0", False, None),
    (HELD[:1] + HELD[2:], "poll 3:14", "poll 3:0", True, None),
    # Urgent octets
    (URGENT, "recv 5 10 0 0 = -1 EAGAIN", "recv 5 10 0 0 = 1 [0.. 050c5d1f]", True, None),
    ([*URGENT, URGENT[-1]], "recv 5 10 0 0 = -1 EAGAIN", "recv 5 10 0 0 = 1 [0.. 050c5d1f]", True, ENDS),
    ([*URGENT, URGENT[-1]], "recv 5 10 2 0 = 4 [1.. 5734a87d]", "recv 5 10 2 0 = 5 [0.. ba1e9fef]", True, ENDS),
    ([*URGENT, URGENT[-1]], "recv 5 10 2 0 = 4 [1.. 5734a87d]", "recv 5 10 2 0 = 7 [0.. ba1e9fef]", True, None),
    ([*URGENT, URGENT[-1]], "recv 5 10 0 0 = -1 EFAULT", "recv 5 10 0 0 = 1 [0.. 050c5d1f]", True, None),
    (URGENT, "splice_in 5 5 2 = 0", "splice_in 5 5 2 = 5 [1.. bfe534e8]", True, ENDS),
    (URGENT[:-1], "splice_in 5 5 2 = 0", "splice_in 5 5 2 = 5 [1.. bfe534e8]", True, None),
    # Options that it has from its first packets
    ([*ACCEPTED, "connect 5 0 0 0 0 0 = 0"], "getsockopt 5 0 33 1 0 0 = 0 len 1 40", "getsockopt 5 0 33 1 0 0 = 0 len 1 01", False, GOES_ON),
    (ACCEPTED, "getsockopt 4 0 33 1 0 0 = 0 len 1 40", "getsockopt 4 0 33 1 0 0 = 0 len 1 01", False, None),
    # What a write was told of
    ([*STREAM, "write 3 10 0 = -1 EPIPE"], "connect 3 2 1 9 0 0 = -1 ECONNABORTED", "connect 3 2 1 9 0 0 = -1 EPIPE", True, ENDS),
    (STREAM, "connect 3 2 1 9 0 0 = -1 ECONNABORTED", "connect 3 2 1 9 0 0 = -1 EPIPE", True, None),
    ([*STREAM, "connect 3 2 1 100 0 = -1 EINPROGRESS", "fork 3 3 = 0"], "connect 3 2 0 9 0 0 = -1 ECONNABORTED", "connect 3 2 0 9 0 0 = -1 ECONNREFUSED", True, ENDS),
    ([*STREAM, "connect 3 2 1 100 0 = -1 EINPROGRESS"], "connect 3 2 0 9 0 0 = -1 ECONNABORTED", "connect 3 2 0 9 0 0 = -1 ECONNREFUSED", True, None),
    ([*STREAM, "connect 3 2 1 100 0 = -1 EINPROGRESS", "fork 3 3 = 0"], "connect 3 2 0 9 0 0 = -1 ECONNABORTED", "connect 3 2 0 9 0 0 = -1 ECONNREFUSED", False, None),
    # A write that goes on with a datagram for another; AF_UNSPEC of what has no peer; an urgent octet of a stream that is over.
    ([*NAMELESS, "shutdown 4 1 = -1 ENOTCONN"], "sendto 4 5 0 2 1 104 0 0 = -1 EPIPE", "sendto 4 5 0 2 1 104 0 0 = -1 EINVAL", False, ENDS),
    ([*NAMELESS, "shutdown 4 1 = -1 ENOTCONN", "connect 4 0 0 0 0 0 = 0"], "sendto 4 5 0 2 1 104 0 0 = -1 EPIPE", "sendto 4 5 0 2 1 104 0 0 = -1 EINVAL", False, ENDS),
    (NAMELESS, "sendto 4 5 0 2 1 104 0 0 = -1 EPIPE", "sendto 4 5 0 2 1 104 0 0 = -1 EINVAL", False, None),
    (WENT_ON, "poll 4:4", "poll 4:5", False, ENDS),
    (WENT_ON[:-2] + WENT_ON[-1:], "poll 4:4", "poll 4:5", False, None),
    (WENT_ON, "poll 4:4", "poll 4:c", False, None),
    (WENT_ON, "poll 4:5", "poll 4:4", False, None),
    (WENT_ON_PAST, "poll 5:5", "poll 5:4", False, ENDS),
    (WENT_ON_PAST, "poll 5:4", "poll 5:5", False, None),
    (WENT_ON_PAST[:-1], "poll 5:5", "poll 5:4", False, None),
    ([*STREAM, "epoll_ctl 3 1 2147483649 = 0", "epoll_wait 3:10", "connect 3 0 0 0 0 = 0"], "epoll_wait 3:10", "epoll_wait", True, ENDS),
    ([*STREAM, "epoll_ctl 3 1 2147483649 = 0", "epoll_wait 3:10", "connect 3 0 0 0 0 = 0"], "epoll_wait 3:10", "epoll_wait", False, None),
    ([*STREAM, "epoll_ctl 3 1 2147483649 = 0", "epoll_wait 3:10", "nonblock 3 0 = 0"], "epoll_wait 3:10", "epoll_wait", True, None),
    (URGENT, "recvmsg 5 1000 3 0 0 0 = -1 ENOTCONN", "recvmsg 5 1000 3 0 0 0 = 1 [4.. 010c56d3] flags 1", True, ENDS),
    (URGENT, "recvmsg 5 1000 2 0 0 0 = -1 ENOTCONN", "recvmsg 5 1000 2 0 0 0 = 1 [4.. 010c56d3] flags 0", True, None),
    (ACCEPTED, "recvmsg 5 1000 3 0 0 0 = -1 ENOTCONN", "recvmsg 5 1000 3 0 0 0 = 1 [4.. 010c56d3] flags 1", True, None),
    # Somebody outside
    (["socket 3 10 1 0 = 0", "bind 3 10 1 0 0 0 = 0"], "connect 3 10 12 50 0 0 = -1 EINPROGRESS", "connect 3 10 12 50 0 0 = -1 EINVAL", False, ENDS),
    (["socket 3 10 1 0 = 0", "bind 3 10 0 0 0 0 = 0"], "connect 3 10 12 50 0 0 = -1 EINPROGRESS", "connect 3 10 12 50 0 0 = -1 EINVAL", False, None),
    (["socket 3 10 1 0 = 0", "bind 3 10 1 0 0 0 = 0"], "connect 3 10 12 50 0 0 = 0", "connect 3 10 12 50 0 0 = -1 EINVAL", False, None),
    (["socket 3 10 2 0 = 0", "bind 3 10 1 0 0 0 = 0"], "sendto 3 10 0 10 12 50 0 0 = 10", "sendto 3 10 0 10 12 50 0 0 = -1 EINVAL", False, ENDS),
    (["socket 3 10 2 0 = 0", "bind 3 10 1 0 0 0 = 0"], "sendto 3 10 0 10 1 9 0 0 = 10", "sendto 3 10 0 10 1 9 0 0 = -1 EINVAL", False, None),
    (["socket 3 10 2 0 = 0", "connect 3 10 0 104 0 = 0"], "sendmmsg 3 2 16384 10 12 50 0 0 = 2 10 20", "sendmmsg 3 2 16384 10 12 50 0 0 = -1 ENETUNREACH", False, ENDS),
    (["socket 3 10 2 0 = 0", "bind 3 10 0 0 0 = 0"], "sendmmsg 3 2 16384 10 12 50 0 0 = 2 10 20", "sendmmsg 3 2 16384 10 12 50 0 0 = -1 EINVAL", False, None),
    (["socket 3 10 2 0 = 0", "bind 3 10 1 0 0 = 0", "shutdown 3 1 = -1 ENOTCONN"], "sendto 3 10 0 10 12 50 0 0 = -1 EPIPE", "sendto 3 10 0 10 12 50 0 0 = -1 EINVAL", False, ENDS),
    (["socket 3 10 2 0 = 0", "bind 3 10 1 0 0 = 0"], "sendto 3 10 0 10 12 50 0 0 = -1 EPIPE", "sendto 3 10 0 10 12 50 0 0 = -1 EINVAL", False, None),
    (["socket 3 10 1 0 = 0", "connect 3 10 0 104 0 = 0"], "connect 3 10 12 50 0 0 = -1 EISCONN", "connect 3 10 12 50 0 0 = -1 EINVAL", False, None),
    (LEFT_OUTSIDE, "getsockopt 3 1 7 4 0 0 = 0 len 4 00 1e 3c 00", "getsockopt 3 1 7 4 0 0 = 0 len 4 00 40 00 00", False, GOES_ON),
    (LEFT_OUTSIDE, "getsockopt 3 1 4 4 0 0 = 0 len 4 00 00 00 00", "getsockopt 3 1 4 4 0 0 = 0 len 4 68 00 00 00", False, None),
    (LEFT_OUTSIDE[:2], "getsockopt 3 1 7 4 0 0 = 0 len 4 00 1e 3c 00", "getsockopt 3 1 7 4 0 0 = 0 len 4 00 40 00 00", False, None),
    ([*STREAM, "listen 3 1 = 0", "connect 3 0 0 0 0 = 0", "child connect 3 2 12 50 0 = -1 EINPROGRESS"], "poll 3:4", "poll 3:14", False, ENDS),
    ([*STREAM, "listen 3 1 = 0", "shutdown 3 0 = 0", "child connect 3 2 12 50 0 = -1 EINPROGRESS"], "recv 3 100 64 0 = -1 EAGAIN", "recv 3 100 64 0 = -1 ENOTCONN", False, ENDS),
    ([*STREAM, "shutdown 3 0 = 0", "child connect 3 2 12 50 0 = -1 EINPROGRESS"], "recv 3 100 64 0 = -1 EAGAIN", "recv 3 100 64 0 = -1 ENOTCONN", False, None),
    ([*STREAM, "listen 3 1 = 0", "shutdown 3 0 = 0", "child connect 3 2 12 50 0 = -1 EINPROGRESS"], "table 0 (0F02000A/P0 0202000A/P 1)", "table 0", False, ENDS),
    ([*STREAM, "listen 3 1 = 0", "shutdown 3 0 = 0", "child connect 3 2 12 50 0 = -1 EINPROGRESS"], "table 0", "table 0 (0F02000A/P0 0202000A/P 1)", False, None),
    (CONNECTED_BY_CHILD, "table 0 (0F02000A/P0 0202000A/P 1) (00000000/P1 /0 10)", "table 0", False, None),
    ([*CONNECTED_BY_CHILD[:-1], "child listen 3 1 = 0"], "table 0 (0F02000A/P0 0202000A/P 1)", "table 0", False, None),
    ([*CONNECTED_BY_CHILD[:-1], "child bind 3 2 1 0 0 = 0"], "recv 3 100 64 0 = -1 EAGAIN", "recv 3 100 64 0 = -1 ENOTCONN", False, None),
    ([*CONNECTED_BY_CHILD[:-1], "child connect 3 0 0 0 0 = 0"], "poll 3:4", "poll 3:14", False, None),
    (CONNECTED_BY_CHILD, "connect 3 2 12 51 0 = 0", "connect 3 2 12 51 0 = -1 EINPROGRESS", False, ENDS),
    (CONNECTED_BY_CHILD[:-1], "connect 3 2 12 51 0 = 0", "connect 3 2 12 51 0 = -1 EINPROGRESS", False, None),
    (CONNECTED_BY_CHILD, "poll 3:14", "poll 3:1c", False, None),
    (CONNECTED_BY_CHILD, "poll 3:5", "poll 3:14", False, ENDS),
    (CONNECTED_BY_CHILD, "poll 3:2015", "poll 3:14", False, None),
    (REFUSED_BY_CHILD, "epoll_wait 3:19", "epoll_wait", False, ENDS),
    (REFUSED_BY_CHILD, "poll 3:201d", "poll 3:2015", False, ENDS),
    (REFUSED_BY_CHILD, "poll 3:201d", "poll 3:2014", False, None),
    ([line for line in REFUSED_BY_CHILD if "listen" not in line], "epoll_wait 3:19", "epoll_wait", False, None),
    (CORKED, "sendmsg 3 1 0 0 0 0 0 11 = 1", "sendmsg 3 1 0 0 0 0 0 11 = -1 EPERM", False, ENDS),
    (DATAGRAM, "sendmsg 3 1 0 0 0 0 0 11 = 1", "sendmsg 3 1 0 0 0 0 0 11 = -1 EPERM", False, None),
    ([*STREAM, "listen 3 1 = 0", "connect 3 0 0 0 0 = 0", "connect 3 2 12 50 0 = -1 EINPROGRESS"], "poll 3:4", "poll 3:14", False, None),
    ([*PUBLISHED, "listen 3 1 = 0"], "far_knock 3 0 0 = -1 EINPROGRESS", "far_knock 3 0 0 = 0", False, ENDS),
    ([*PUBLISHED, "listen 3 1 = 0"], "far_knock 3 1 0 = -1 EINPROGRESS", "far_knock 3 1 0 = 0", False, None),
    ([*PUBLISHED, "listen 3 1 = 0"], "far_knock 3 0 1 = -1 EINPROGRESS", "far_knock 3 0 1 = 0", False, None),
    ([*PUBLISHED, "listen 3 1 = 0"], "far_knock 3 0 0 = -1 ECONNREFUSED", "far_knock 3 0 0 = 0", False, None),
    ([*PUBLISHED, "listen 3 1 = 0", "close 3 = 0"], "far_knock 3 0 0 = -1 EINPROGRESS", "far_knock 3 0 0 = 0", False, None),
    ([*PUBLISHED, "listen 3 1 = 0", "hold 3 0 1 = 0", "close 3 = 0"], "far_knock 3 0 0 = -1 EINPROGRESS", "far_knock 3 0 0 = 0", False, ENDS),
    (PUBLISHED, "far_knock 3 0 0 = -1 EINPROGRESS", "far_knock 3 0 0 = 0", False, None),
    ([*STREAM, "setsockopt 3 1 15 1 4 0 0 = 0"], "far_knock 3 0 0 = -1 EINPROGRESS", "far_knock 3 0 0 = 0", False, None),
    ([*STREAM, "setsockopt 3 1 15 1 4 0 0 = 0", "close 3 = 0"], "far_knock 3 0 0 = -1 EINPROGRESS", "far_knock 3 0 0 = 0", False, None),
    (STREAM, "far_knock 3 0 0 = -1 EINPROGRESS", "far_knock 3 0 0 = 0", False, None),
    (PUBLISHED_BY_BOTH, "far_knock 3 0 1 = -1 EINPROGRESS", "far_knock 3 0 1 = 0", False, ENDS),
    (PUBLISHED_BY_BOTH, "far_knock 3 0 0 = -1 EINPROGRESS", "far_knock 3 0 0 = 0", False, None),
    (["socket 3 10 1 0 = 0", "setsockopt 3 41 26 1 4 0 0 = 0", *PUBLISHED_BY_BOTH[1:]], "far_knock 3 0 1 = -1 EINPROGRESS", "far_knock 3 0 1 = 0", False, None),
    (["socket 3 10 1 0 = 0", "bind 3 10 1 60 0 0 = 0", "listen 3 1 = 0"], "far_knock 3 0 1 = -1 EINPROGRESS", "far_knock 3 0 1 = 0", False, None),
    (["socket 3 10 1 0 = 0", "listen 3 1 = 0"], "far_knock 3 0 1 = -1 EINPROGRESS", "far_knock 3 0 1 = 0", False, None),
    # A stream of IPv6 that IPv4 serves, and one that it refused.
    (SPOKE_IPV4, "send 3 10 0 0 = 10", "send 3 10 0 0 = -1 EPIPE", False, None),
    (SPOKE_IPV4, "recv 3 10 0 0 = 10", "recv 3 10 0 0 = 0", False, None),
    (SPOKE_IPV4, "poll 3:5", "poll 3:1d", False, None),
    (SPOKE_IPV4, "poll 3:0", "poll 3:4", False, None),
    ([*SPOKE_IPV4, "connect 3 10 1 104 0 0 = -1 EINPROGRESS"], "poll 3:0", "poll 3:4", False, None),
    (REFUSED_BY_IPV4[:2], "poll 3:0", "poll 3:4", False, None),
    (REFUSED_BY_IPV4[:2], "connect 3 10 14 50 0 0 = -1 EINPROGRESS", "connect 3 10 14 50 0 0 = 0", False, None),
    (REFUSED_BY_IPV4, "connect 3 10 1 104 0 0 = -1 EINPROGRESS", "connect 3 10 1 104 0 0 = 0", False, ENDS),
    (REFUSED_BY_IPV4, "connect 3 10 1 104 0 0 = 0", "connect 3 10 1 104 0 0 = -1 ECONNREFUSED", False, None),
    ([*REFUSED_BY_IPV4, "connect 3 10 1 104 0 0 = -1 EINPROGRESS"], "poll 3:0", "poll 3:4", False, ENDS),
    ([*SPOKE_IPV4, "shutdown 3 1 = 0", "connect 3 10 0 9 0 0 = -1 EINPROGRESS"], "poll 3:0", "poll 3:201d", False, ENDS),
    ([*SPOKE_IPV4, "shutdown 3 1 = 0", "connect 3 10 0 9 0 0 = -1 EISCONN"], "poll 3:0", "poll 3:201d", False, None),
    ([*SPOKE_IPV4, "connect 3 0 0 0 0 0 = 0", "connect 3 10 0 9 0 0 = -1 EINPROGRESS"], "poll 3:0", "poll 3:201d", False, ENDS),
    ([*SPOKE_IPV4, "shutdown 3 1 = 0"], "poll 3:0", "poll 3:201d", False, None),
    ([*REFUSED_BY_IPV4, "connect 3 10 1 104 0 0 = -1 EINPROGRESS"], "poll 3:4", "poll 3:0", False, None),
    ([*REFUSED_BY_IPV4, "connect 3 10 1 104 0 0 = -1 EINPROGRESS"], "send 3 10 0 0 = -1 EAGAIN", "send 3 10 0 0 = 10", False, ENDS),
    # Stamps of receiving, and of sending, which a native write trips over.
    (STAMPED, "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0 {1 29 32}", "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0", True, GOES_ON),
    (ACCEPTED, "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0 {1 29 32}", "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0", True, None),
    (STAMPED, "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0 {1 29 32}", "recvmsg 5 9 64 3 0 0 = 9 [0.. 1] flags 0 len 0", True, None),
    ([*DATAGRAM, "setsockopt 3 1 37 24 4 0 0 = 0"], "recvmsg 3 9 64 3 0 0 = 9 flags 0 {1 37 64}", "recvmsg 3 9 64 3 0 0 = 9 flags 0", False, None),
    ([*DATAGRAM, "setsockopt 3 1 37 24 4 0 0 = 0"], "recvmsg 3 9 64 3 0 0 = 9 flags 0", "recvmsg 3 9 64 3 0 0 = 9 flags 0 {1 37 64}", False, GOES_ON),
    (STAMPED, "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0 {1 29 32}", "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0", False, None),
    (STAMPED, "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0", "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0 {1 29 32}", True, GOES_ON),
    (STAMPED, "recvmsg 4 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0", "recvmsg 4 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0 {1 29 32}", True, None),
    (STAMPED, "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0 {1 29 32}", "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0 {1 35 32}", True, None),
    (STAMPED, "recvmsg 4 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0 {1 29 32}", "recvmsg 4 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0", True, None),
    ([*STAMPED, "setsockopt 5 1 29 0 4 0 0 = 0"], "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0 {1 29 32}", "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0", True, None),
    (STAMPED, "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 8 len 0", "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0", True, None),
    (STAMPED, "recvmsg 5 9 64 3 15 0 = 9 [0.. 0] flags 8 len 0", "recvmsg 5 9 64 3 15 0 = 9 [0.. 0] flags 0 len 0", True, GOES_ON),
    (STAMPED, "recvmsg 5 9 64 3 20 0 = 9 [0.. 0] flags 8 len 0 {1 29 20}", "recvmsg 5 9 64 3 20 0 = 9 [0.. 0] flags 0 len 0", True, GOES_ON),
    (STAMPED, "recvmmsg 5 1 64 0 = 1 (9 [0.. 0] flags 8)", "recvmmsg 5 1 64 0 = 1 (9 [0.. 0] flags 0)", True, GOES_ON),
    ([*STREAM, "setsockopt 3 1 29 1 4 0 0 = 0", *ACCEPTED[1:]], "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0 {1 29 32}", "recvmsg 5 9 64 3 0 0 = 9 [0.. 0] flags 0 len 0", True, GOES_ON),
    ([*DATAGRAM, "setsockopt 3 1 37 24 4 0 0 = 0", "socket 6 2 2 0 = 0"], "recvmsg 6 9 64 3 0 0 = 9 flags 0", "recvmsg 6 9 64 3 0 0 = 9 flags 0 {1 37 64}", False, None),
    ([*DATAGRAM, "setsockopt 3 1 37 24 4 0 0 = 0"], "recvmsg 3 9 64 3 0 0 = 9 flags 0", "recvmsg 3 9 64 3 0 0 = 9 flags 8", False, None),
    ([*DATAGRAM, "setsockopt 3 1 37 24 4 0 0 = 0"], "recvmsg 3 9 64 1 0 0 = 9 flags 0", "recvmsg 3 9 64 1 0 0 = 9 flags 8", False, GOES_ON),
    ([*DATAGRAM, "setsockopt 3 1 60 1 4 0 0 = 0", "exec 3 3 = 211"], "poll 3:c", "poll 3:4", False, GOES_ON),
    ([*DATAGRAM, "exec 3 3 = 211"], "poll 3:c", "poll 3:4", False, None),
    ([*DATAGRAM, "setsockopt 3 1 60 1 4 0 0 = 0", "exec 3 3 = 111"], "poll 3:c", "poll 3:4", False, None),
    ([*DATAGRAM, "setsockopt 3 1 37 2066 4 0 0 = 0"], "send 3 10 0 0 = 10", "send 3 10 0 0 = -1 ECONNREFUSED", False, ENDS),
    # Errors that nobody asked for are not queued.
    ([*DATAGRAM, "setsockopt 3 0 11 0 4 0 0 = 0"], "send 3 10 0 0 = 10", "send 3 10 0 0 = -1 ECONNREFUSED", False, None),
    ([*DATAGRAM, "setsockopt 3 41 25 0 4 0 0 = 0"], "send 3 10 0 0 = 10", "send 3 10 0 0 = -1 ECONNREFUSED", False, None),
    ([*DATAGRAM, "setsockopt 3 1 60 0 4 0 0 = 0"], "send 3 10 0 0 = 10", "send 3 10 0 0 = -1 ECONNREFUSED", False, None),
    ([*DATAGRAM, "setsockopt 3 1 60 1 4 0 0 = 0"], "send 3 10 0 0 = 10", "send 3 10 0 0 = -1 ECONNREFUSED", False, ENDS),
    ([*DATAGRAM, "setsockopt 3 1 37 24 4 0 0 = 0"], "send 3 10 0 0 = 10", "send 3 10 0 0 = -1 ECONNREFUSED", False, None),
    ([*ACCEPTED, "setsockopt 4 1 37 2050 4 0 0 = 0", "send 4 10 0 0 = 10"], "select 1 1 0 = 1 4:1", "select 1 1 0 = 0 4:0", True, GOES_ON),
    ([*ACCEPTED, "send 4 10 0 0 = 10"], "select 1 1 0 = 1 4:1", "select 1 1 0 = 0 4:0", True, None),
    # Sets, one of several and where signals are masked.
    (URGENT, "event_wait 0 = 0", "event_wait 0 = 1 5:1", True, GOES_ON),
    (ACCEPTED, "event_wait 0 = 0", "event_wait 0 = 1 5:1", True, None),
    # Whom each of them watches, though the number is another's in the next set, or is closed.
    (["socket 5 2 1 0 = 0", "epoll_ctl 5 1 1 = 0", *LISTENS_IN_A_SET, "connect 5 0 0 0 0 = 0"], "event_wait 0 = 1 5:14", "event_wait 0 = 1 5:2011", True, GOES_ON),
    ([*LISTENS_IN_A_SET, "dup2 5 2 = 1", "shutdown 2 0 = 0", "close 5 = 0"], "event_wait 0 = 1 5:14", "event_wait 0 = 1 5:2011", True, GOES_ON),
    ([*LISTENS_IN_A_SET, "dup2 5 2 = 1", "shutdown 2 0 = 0", "close 5 = 0"], "event_wait 1 = 1 5:14", "event_wait 1 = 1 5:2011", True, None),
    ([*STREAM, "listen 3 5 = 0", "shutdown 3 0 = 0"], "masked 3 0 1 = 1 3:10 left 1", "masked 3 0 1 = 1 3:11 left 1", True, GOES_ON),
    ([*STREAM, "listen 3 5 = 0", "shutdown 3 0 = 0"], "masked 3 0 1 = 1 3:10 left 1", "masked 3 0 1 = 1 3:11 left 0", True, None),
    ([*DATAGRAM, "event_ctl 0 3 1 1073741828 = 0", "shutdown 3 0 = -1 ENOTCONN"], "event_wait 0 = 0 | 3:2015", "event_wait 0 = 1 3:10 | 3:2015", False, GOES_ON),
    ([*DATAGRAM, "event_ctl 0 3 1 4 = 0", "shutdown 3 0 = -1 ENOTCONN"], "event_wait 0 = 0", "event_wait 0 = 1 3:10", False, None),
    ([*STREAM, "epoll_ctl 3 1 1073741825 = 0", "copy 3 5 0 = 0", "connect 3 2 1 9 0 0 = -1 ECONNREFUSED"], "epoll_wait", "epoll_wait 3:10", False, GOES_ON),
    ([*STREAM, "epoll_ctl 3 1 1073741825 = 0", "connect 3 2 1 9 0 0 = -1 ECONNREFUSED"], "epoll_wait", "epoll_wait 3:10", False, None),
    (TWO, "sendto 5 1 0 2 10 103 0 0 = -1 ENETUNREACH", "sendto 5 1 0 2 10 103 0 0 = 1 told 3:41", False, ENDS),
    (TWO, "sendto 5 1 0 2 1 103 0 0 = -1 ENETUNREACH", "sendto 5 1 0 2 1 103 0 0 = 1 told 3:41", False, None),
    (TWO, "sendto 5 1 0 2 10 103 0 0 = -1 ENETUNREACH", "sendto 5 1 0 2 10 103 0 0 = -1 EFAULT told 3:41", False, None),
    # Reads at an urgent octet, and of a stream that was shut.
    ([*URGENT, "recvmsg 5 0 256 2 0 0 = 0 flags 0"], "poll 5:7", "poll 5:5", True, GOES_ON),
    (URGENT, "poll 5:7", "poll 5:5", True, None),
    (URGENT, "recv 5 0 1 0 = 0", "recv 5 0 1 0 = 1", True, GOES_ON),
    (URGENT, "recv 5 0 1 0 = 0", "recv 5 0 1 0 = 1", False, None),
    ([*STREAM, "listen 3 5 = 0", "hold 3 2 0 = 0", "hold 3 2 1 = 0", "drop = 0", "drop = 1"], "recv 3 1 0 0 = 0", "recv 3 1 0 0 = -1 EINVAL", True, GOES_ON),
    ([*ACCEPTED, "shutdown 4 2 = 0"], "recvfrom 4 9 34 -1 0 = -1 ECONNRESET", "recvfrom 4 9 34 -1 0 = -1 EINVAL", True, ENDS),
    ([*ACCEPTED, "shutdown 4 2 = 0"], "recvfrom 4 9 34 0 0 = -1 ECONNRESET", "recvfrom 4 9 34 0 0 = -1 EINVAL", True, None),
    (ACCEPTED, "readv 5 5 1 = -1 EFAULT", "readv 5 5 1 = 5", True, ENDS),
    (ACCEPTED, "readv 5 5 0 = -1 EFAULT", "readv 5 5 0 = 5", True, None),
    # A listener that was shut and connects while a child holds it.
    (KEPT_BY_CHILD, "bind 3 2 0 60 0 0 = -1 EADDRINUSE", "bind 3 2 0 60 0 0 = 0", False, ENDS),
    (KEPT_BY_CHILD[:4], "bind 3 2 0 60 0 0 = -1 EADDRINUSE", "bind 3 2 0 60 0 0 = 0", False, None),
    (KEPT_BY_CHILD, "table 0 (0100007F/P0 0100007F/P0 1) (0100007F/P1 /0 10)", "table 0 (0100007F/P1 /0 10)", False, ENDS),
    (KEPT_BY_CHILD, "diag 2 6 (0100007F/P0 0100007F/P0 1) (0100007F/P1 /0 10)", "diag 2 6 (0100007F/P1 /0 10)", False, ENDS),
    (KEPT_BY_CHILD, "table 0 (0100007F/P0 0100007F/P0 1) (0100007F/P1 /0 10)", "table 0 (0100007F/P0 0100007F/P0 1)", False, None),
    (KEPT_BY_CHILD, "table 0 (0100007F/P0 0100007F/P0 1) (0100007F/P1 0100007F/P2 1)", "table 0 (FFFFFFFF/P1 0100007F/P2 8)", False, None),
    (KEPT_BY_CHILD, "diag 2 6 (0100007F/P0 0100007F/P0 1) (0100007F/P1 /0 10)", "diag 2 6 (0100007F/P1 /0 7)", False, None),
    (KEPT_BY_CHILD, "table 2 (0100007F/P0 0100007F/P0 1)", "table 2", False, None),
    (KEPT_BY_CHILD, "table 0 (0100007F/P0 0100007F/P0 1) (0100007F/P1 0100007F/P2 1)", "table 0", False, None),
    (CONNECTED_BY_CHILD, "table 0 (0F02000A/P0 0202000A/P 1) (00000000/P1 /0 10)", "table 0 (00000000/P1 /0 7)", False, None),
    # What the kernel keeps of a segment's size is of one that has no peer.
    ([*STREAM, "shutdown 3 1 = -1 ENOTCONN"], "getsockopt 3 6 2 4 0 0 = 0 len 4 18 02 00 00", "getsockopt 3 6 2 4 0 0 = 0 len 4 cb ff 00 00", False, GOES_ON),
    ([*ACCEPTED, "shutdown 5 1 = 0"], "getsockopt 5 6 2 4 0 0 = 0 len 4 ff ff 00 00", "getsockopt 5 6 2 4 0 0 = 0 len 4 00 00 00 00", False, None),
    ([*STREAM, "connect 3 0 0 0 0 = 0", "connect 3 2 1 104 0 0 = 0"], "getsockopt 3 6 2 4 0 0 = 0 len 4 ff ff 00 00", "getsockopt 3 6 2 4 0 0 = 0 len 4 00 00 00 00", False, None),
    # A reset that a read with MSG_WAITALL met: the last read, and one that fell short.
    ([*ACCEPTED, "recv 5 20 256 0 = 3"], "state 5 = 0 len 0 error ECONNRESET", "state 5 = 0 len 0 error none", True, GOES_ON),
    ([*ACCEPTED, "recv 5 3 256 0 = 3"], "state 5 = 0 len 0 error ECONNRESET", "state 5 = 0 len 0 error none", True, None),
    ([*ACCEPTED, "recv 5 20 256 0 = 3", "recv 5 20 0 0 = 20"], "state 5 = 0 len 0 error ECONNRESET", "state 5 = 0 len 0 error none", True, None),
    ([*ACCEPTED, "recv 5 3 256 0 = 3"], "poll 5:c", "poll 5:4", True, None),
    # Outside.
    (["socket 3 10 1 0 = 0", "connect 3 10 14 50 0 0 = 0"], "setsockopt 3 41 1 2 4 0 0 = 0", "setsockopt 3 41 1 2 4 0 0 = -1 EADDRNOTAVAIL", False, ENDS),
    (LEFT_BY_IPV6, "setsockopt 3 41 1 2 4 0 0 = 0", "setsockopt 3 41 1 2 4 0 0 = -1 EADDRNOTAVAIL", False, None),
    (LEFT_BY_IPV6, "getsockopt 3 41 24 4 0 0 = 0 len 4 ff ff 00 00", "getsockopt 3 41 24 4 0 0 = 0 len 4 dc 05 00 00", False, GOES_ON),
    (LEFT_BY_IPV6, "getsockopt 3 41 24 4 0 0 = 0 len 4 ff ff 00 00", "getsockopt 3 41 24 4 0 0 = 0 len 4 00 05 00 00", False, None),
    # Datagrams that are longer than IPv4 carries
    (LONG, "recv 3 10 0 0 = 10", "recv 3 10 0 0 = -1 EAGAIN", False, ENDS),
    (LONG, "recv 3 10 0 0 = -1 EAGAIN", "recv 3 10 0 0 = -1 EFAULT", False, None),
]


def wrong():
    """The cases that are not as they are to be, as text."""
    found = []
    for heard, native, prise, carried, expected in CASES:
        model = Model()
        for line in heard:
            model.hear(line)
        said = reason(Line(model, native, prise, carried))
        if (said and said[1]) is not expected:
            found.append(f"    {native}\n  ! {prise}\n    is {said}, and is to be {expected}")
    return found
