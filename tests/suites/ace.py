"""ACE's tests of sockets, datagrams, groups, reactors by select, poll and epoll, proactors by POSIX AIO, connectors, pipes, with Debian's library."""
from suite import Case

PACKAGES = ["g++", "libace-dev"]
TESTS = """SOCK_Test SOCK_Acceptor_Test SOCK_Connector_Test SOCK_Dgram_Test SOCK_Dgram_Bcast_Test SOCK_Send_Recv_Test SOCK_Netlink_Test MT_SOCK_Test
Multicast_Test Multicast_Interfaces_Test Proactor_Test Proactor_UDP_Test Proactor_Scatter_Gather_Test Dev_Poll_Reactor_Test Dev_Poll_Reactor_Echo_Test
TP_Reactor_Test Thread_Pool_Reactor_Test Thread_Pool_Reactor_Resume_Test Reactors_Test Reactor_Performance_Test Reactor_Dispatch_Order_Test Reactor_Registration_Test
Reactor_Fairness_Test Conn_Test Cached_Conn_Test Cached_Accept_Conn_Test NonBlocking_Conn_Test MT_NonBlocking_Connect_Test Process_Strategy_Test MEM_Stream_Test
SPIPE_Test UPIPE_SAP_Test Pipe_Test Sendfile_Test IOStream_Test Enum_Interfaces_Test Network_Adapters_Test INET_Addr_Test Multihomed_INET_Addr_Test
Max_Default_Port_Test Signal_Test Sig_Handlers_Test Bug_3943_Regression_Test Bug_4189_Regression_Test Bug_2740_Regression_Test""".split()


def prepare(room):
    one = "g++ -O0 -w -fpermissive -I. -o {0} {0}.cpp Main.o Test_Output.o -lACE -lpthread || echo left out: {0}"
    room.build("log/built", room.source("ace") / "tests", "mkdir -p log", "g++ -w -I. -c Main.cpp Test_Output.cpp", *(one.format(name) for name in TESTS), "touch log/built")


def cases(room):
    tests = room.source("ace") / "tests"
    for name in TESTS:
        if (tests / name).exists():
            yield Case(name, [f"./{name}"], cwd=tests, seconds=200)
