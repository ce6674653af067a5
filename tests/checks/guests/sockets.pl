# Perl: IO::Socket, select, fork, buffered handles on sockets, in-band and out.
use strict; use warnings;
use IO::Socket::INET; use IO::Socket::IP; use IO::Select; use Socket qw(:all);
sub must { my ($truth, $what) = @_; $truth or die "$what: $!\n" }
for my $host ('127.0.0.1', '::1') {
    my $server = IO::Socket::IP->new(LocalHost => $host, LocalPort => 0, Listen => 50, Type => SOCK_STREAM, ReuseAddr => 1) or die $@;
    my $port = $server->sockport;
    my $pid = fork // die;
    if (!$pid) {
        for (1 .. 30) {
            my $client = $server->accept;
            my $line = <$client>;
            print $client scalar reverse($line);
            close $client;
        }
        exit 0;
    }
    my @clients = map { my $c = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Type => SOCK_STREAM) or die $@; $c } 1 .. 30;
    my $set = IO::Select->new(@clients);
    for my $n (0 .. $#clients) { $clients[$n]->autoflush(1); print { $clients[$n] } "client $n\n" }
    my %heard;
    while ($set->count) {
        my @ready = $set->can_read(10);
        must(scalar @ready, 'somebody answers');
        for my $c (@ready) {
            if (sysread($c, my $octets, 100)) { $heard{$octets}++ } else { $set->remove($c) }
        }
    }
    must(keys %heard == 30, 'every client heard its own');
    waitpid $pid, 0; must($? == 0, 'the server ends');
    close $server;
    my $refused = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Type => SOCK_STREAM);
    must(!defined $refused && $!{ECONNREFUSED}, 'refused');
}
socket(my $one, PF_INET, SOCK_DGRAM, 0) or die; bind($one, sockaddr_in(0, INADDR_LOOPBACK)) or die;
socket(my $two, PF_INET, SOCK_DGRAM, 0) or die;
must(send($two, 'datagram', 0, getsockname $one), 'send');
my $from = recv($one, my $octets, 100, 0); must($octets eq 'datagram', 'a datagram');
must((sockaddr_in($from))[0] == (sockaddr_in(getsockname $two))[0], 'its source');
local $SIG{ALRM} = sub { die "alarm\n" };
eval { alarm 1; recv($one, $octets, 1, 0); 1 } and die 'no alarm'; must($@ eq "alarm\n", 'an alarm ends a call that waits');
print "ok\n";
