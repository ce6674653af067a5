# Ruby: blocking and non-blocking calls, threads, UDP, names, a Unix process per connection.
require 'socket'
require 'timeout'
def must(truth, what) = truth || abort(what)
server = TCPServer.new('127.0.0.1', 0)
port = server.addr[1]
Thread.new { loop { Thread.new(server.accept) { |c| IO.copy_stream(c, c); c.close } } }
heard = 50.times.map { |n| Thread.new { TCPSocket.open('127.0.0.1', port) { |c| c.write('x' * n * 1000); c.close_write; c.read.size == n * 1000 } } }.map(&:value)
must heard.all?, 'an echo of every client'
s = Socket.new(:INET, :STREAM)
begin
  s.connect_nonblock(Socket.sockaddr_in(port, '127.0.0.1'))
rescue IO::WaitWritable
  IO.select(nil, [s], nil, 5)
  begin; s.connect_nonblock(Socket.sockaddr_in(port, '127.0.0.1')); rescue Errno::EISCONN; end
end
must s.read_nonblock(1, exception: false) == :wait_readable, 'nothing to read yet'
must s.getsockopt(:SOCKET, :TYPE).int == Socket::SOCK_STREAM, 'its type'
must s.remote_address.ip_port == port, 'its peer'
s.close
dead = TCPServer.new('127.0.0.1', 0); gone = dead.addr[1]; dead.close
begin; TCPSocket.new('127.0.0.1', gone); abort 'refused'; rescue Errno::ECONNREFUSED; end
u = UDPSocket.new; u.bind('127.0.0.1', 0)
v = UDPSocket.new; v.connect('127.0.0.1', u.addr[1]); v.send('datagram', 0)
text, from = u.recvfrom(100)
must text == 'datagram' && from[1] == v.addr[1], 'a datagram'
u.send('back', 0, from[3], from[1]); must v.recv(100) == 'back', 'its answer'
must Socket.tcp('localhost', port, connect_timeout: 5) { |c| c.close_write; c.read } == '', 'by name'
begin; Timeout.timeout(0.2) { v.recv(1) }; abort 'no timeout'; rescue Timeout::Error; end
begin; TCPServer.new('127.0.0.1', port); abort 'in use'; rescue Errno::EADDRINUSE; end
puts 'ok'
