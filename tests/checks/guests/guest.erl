%% Erlang: inet_drv's gen_tcp and gen_udp, and the socket module, a thin layer on the calls.
-module(guest).
-export([main/0]).

main() ->
    tcp(inet, {127, 0, 0, 1}),
    tcp(inet6, {0, 0, 0, 0, 0, 0, 0, 1}),
    udp(),
    socket(),
    io:format("ok~n"),
    halt(0).

tcp(Family, Address) ->
    {ok, Listener} = gen_tcp:listen(0, [Family, binary, {ip, Address}, {active, false}, {backlog, 200}]),
    {ok, Port} = inet:port(Listener),
    spawn(fun() -> serve(Listener) end),
    Self = self(),
    [spawn_link(fun() -> talk(Family, Address, Port, N), Self ! done end) || N <- lists:seq(1, 200)],
    [receive done -> ok after 20000 -> exit(late) end || _ <- lists:seq(1, 200)],
    gen_tcp:close(Listener),
    {error, econnrefused} = gen_tcp:connect(Address, Port, [Family]),
    {error, timeout} = quiet(Family, Address).

quiet(Family, Address) ->
    {ok, Listener} = gen_tcp:listen(0, [Family, binary, {ip, Address}, {active, false}]),
    {ok, Port} = inet:port(Listener),
    {ok, Client} = gen_tcp:connect(Address, Port, [Family, binary, {active, false}]),
    gen_tcp:recv(Client, 1, 50).

serve(Listener) ->
    case gen_tcp:accept(Listener) of
        {ok, Connection} ->
            Pid = spawn(fun() -> receive go -> echo(Connection) end end),
            ok = gen_tcp:controlling_process(Connection, Pid),
            Pid ! go,
            serve(Listener);
        {error, closed} -> ok
    end.

echo(Connection) ->
    case gen_tcp:recv(Connection, 0) of
        {ok, Octets} -> ok = gen_tcp:send(Connection, Octets), echo(Connection);
        {error, closed} -> gen_tcp:close(Connection)
    end.

talk(Family, Address, Port, N) ->
    {ok, Client} = gen_tcp:connect(Address, Port, [Family, binary, {active, false}, {packet, 4}]),
    Sent = binary:copy(<<"x">>, N * 100),
    ok = gen_tcp:send(Client, Sent),
    {ok, Sent} = gen_tcp:recv(Client, 0, 10000),
    gen_tcp:close(Client).

udp() ->
    {ok, One} = gen_udp:open(0, [binary, {ip, {127, 0, 0, 1}}, {active, false}]),
    {ok, Two} = gen_udp:open(0, [binary, {active, true}]),
    {ok, Port} = inet:port(One),
    ok = gen_udp:send(Two, {127, 0, 0, 1}, Port, <<"datagram">>),
    {ok, {From, FromPort, <<"datagram">>}} = gen_udp:recv(One, 0, 5000),
    ok = gen_udp:send(One, From, FromPort, <<"back">>),
    receive {udp, Two, {127, 0, 0, 1}, Port, <<"back">>} -> ok after 5000 -> exit(no_answer) end.

socket() ->
    {ok, Listener} = socket:open(inet, stream, tcp),
    ok = socket:bind(Listener, #{family => inet, port => 0, addr => loopback}),
    ok = socket:listen(Listener),
    {ok, At} = socket:sockname(Listener),
    {ok, Client} = socket:open(inet, stream, tcp),
    ok = socket:connect(Client, At),
    {ok, Served} = socket:accept(Listener),
    ok = socket:send(Client, <<"through socket">>),
    {ok, <<"through socket">>} = socket:recv(Served, 14),
    {error, timeout} = socket:recv(Served, 1, 50),
    ok = socket:setopt(Client, tcp, nodelay, true),
    {ok, true} = socket:getopt(Client, tcp, nodelay),
    ok = socket:close(Client),
    {error, closed} = socket:recv(Served, 1),
    ok = socket:close(Served),
    ok = socket:close(Listener).
