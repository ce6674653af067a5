<?php
// PHP: streams and their select, a server and clients in one process.
function must($truth, $what) { if (!$truth) { echo "failed: $what\n"; exit(1); } }
$server = stream_socket_server('tcp://127.0.0.1:0', $errno, $error); must($server, "listen: $error");
$at = stream_socket_get_name($server, false);
$clients = [];
for ($i = 0; $i < 30; $i++) {
    $clients[$i] = stream_socket_client("tcp://$at", $errno, $error, 5, $i % 2 ? STREAM_CLIENT_CONNECT : STREAM_CLIENT_CONNECT | STREAM_CLIENT_ASYNC_CONNECT);
    must($clients[$i], "connect: $error");
    stream_set_blocking($clients[$i], false);
}
$served = []; $done = 0;
$left = array_fill(0, 30, str_repeat('x', 50000)); $heard = array_fill(0, 30, 0);
while ($done < 30) {
    $read = array_merge([$server], $served, $clients); $write = array_filter($clients, fn($c) => $left[array_search($c, $clients, true)] !== ''); $except = null;
    must(stream_select($read, $write, $except, 10) > 0, 'something happens');
    foreach ($write as $c) { $i = array_search($c, $clients, true); $n = fwrite($c, $left[$i]); $left[$i] = substr($left[$i], (int)$n); }
    foreach ($read as $r) {
        if ($r === $server) { $s = stream_socket_accept($server, 1); stream_set_blocking($s, false); $served[] = $s; continue; }
        $octets = fread($r, 65536);
        if (($i = array_search($r, $clients, true)) !== false) { $heard[$i] += strlen($octets); if ($heard[$i] === 50000) { $done++; } }
        elseif ($octets !== '') { fwrite($r, $octets); }
    }
}
$u = stream_socket_server('udp://127.0.0.1:0', $errno, $error, STREAM_SERVER_BIND);
$c = stream_socket_client('udp://' . stream_socket_get_name($u, false)); fwrite($c, 'datagram');
must(stream_socket_recvfrom($u, 100, 0, $from) === 'datagram' && $from === stream_socket_get_name($c, false), 'a datagram and its source');
fclose($server);
must(@stream_socket_client("tcp://$at", $errno) === false && $errno === 111, 'refused');
echo "ok\n";
