// A selector with accepting, connecting, reading and writing channels; old sockets with timeouts; datagrams.
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.util.*;
import java.util.concurrent.*;

public class Nio {
    static void must(boolean truth, String what) { if (!truth) throw new AssertionError(what); }

    static void selector() throws Exception {
        try (Selector selector = Selector.open(); ServerSocketChannel server = ServerSocketChannel.open()) {
            // All come before the first is accepted, and whom the queue has no room for the kernel resets in the end.
            server.bind(new InetSocketAddress("localhost", 0), 256).configureBlocking(false);
            server.register(selector, SelectionKey.OP_ACCEPT);
            int clients = 200, octets = 30000, done = 0;
            Map<SocketChannel, int[]> counts = new HashMap<>();
            for (int i = 0; i < clients; i++) {
                SocketChannel client = SocketChannel.open();
                client.configureBlocking(false);
                client.connect(server.getLocalAddress());
                client.register(selector, SelectionKey.OP_CONNECT);
                counts.put(client, new int[2]);
            }
            ByteBuffer buffer = ByteBuffer.allocateDirect(8192);
            while (done < clients) {
                must(selector.select(10000) > 0, "something is ready");
                for (Iterator<SelectionKey> keys = selector.selectedKeys().iterator(); keys.hasNext();) {
                    SelectionKey key = keys.next();
                    keys.remove();
                    if (key.isAcceptable()) {
                        SocketChannel served = server.accept();
                        if (served != null) { served.configureBlocking(false); served.register(selector, SelectionKey.OP_READ, ByteBuffer.allocate(65536)); }
                        continue;
                    }
                    SocketChannel channel = (SocketChannel) key.channel();
                    int[] count = counts.get(channel);
                    if (key.isConnectable()) { must(channel.finishConnect(), "connected"); key.interestOps(SelectionKey.OP_WRITE | SelectionKey.OP_READ); }
                    if (count == null) { // served: an echo
                        ByteBuffer pending = (ByteBuffer) key.attachment();
                        if (key.isReadable() && channel.read(pending) < 0) { channel.close(); continue; }
                        pending.flip(); channel.write(pending); pending.compact();
                        key.interestOps(pending.position() > 0 ? SelectionKey.OP_READ | SelectionKey.OP_WRITE : SelectionKey.OP_READ);
                        continue;
                    }
                    if (key.isWritable()) {
                        buffer.clear().limit(Math.min(8192, octets - count[0]));
                        count[0] += channel.write(buffer);
                        if (count[0] == octets) key.interestOps(SelectionKey.OP_READ);
                    }
                    if (key.isReadable()) {
                        buffer.clear();
                        count[1] += channel.read(buffer);
                        if (count[1] == octets) { channel.close(); done++; }
                    }
                }
            }
        }
    }

    static void old() throws Exception {
        ServerSocket server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        server.setSoTimeout(50);
        try { server.accept(); must(false, "nobody came"); } catch (SocketTimeoutException expected) { }
        server.setSoTimeout(0);
        Socket client = new Socket(server.getInetAddress(), server.getLocalPort());
        Socket served = server.accept();
        client.setSoTimeout(50);
        try { client.getInputStream().read(); must(false, "nothing was sent"); } catch (SocketTimeoutException expected) { }
        client.setTcpNoDelay(true); client.setKeepAlive(true); must(client.getTcpNoDelay() && client.getKeepAlive(), "options");
        served.getOutputStream().write(7);
        must(client.getInputStream().read() == 7, "an octet");
        client.setSoTimeout(0);
        Thread closer = new Thread(() -> { try { Thread.sleep(50); client.close(); } catch (Exception e) { } });
        closer.start();
        try { client.getInputStream().read(); must(false, "closed"); } catch (SocketException expected) { }
        closer.join();
        must(served.getInputStream().read() == -1, "the end");
        Thread acceptor = new Thread(() -> { try { server.accept(); } catch (Exception expected) { } });
        acceptor.start();
        Thread.sleep(50);
        server.close(); // wakes who waits in accept
        acceptor.join(10000);
        must(!acceptor.isAlive(), "a close wakes accept");
        try { new Socket(InetAddress.getLoopbackAddress(), server.getLocalPort()); must(false, "refused"); } catch (ConnectException expected) { }
    }

    static void datagrams() throws Exception {
        try (DatagramSocket one = new DatagramSocket(0, InetAddress.getLoopbackAddress()); DatagramChannel two = DatagramChannel.open()) {
            two.connect(one.getLocalSocketAddress());
            two.write(ByteBuffer.wrap("datagram".getBytes()));
            DatagramPacket packet = new DatagramPacket(new byte[100], 100);
            one.setSoTimeout(5000);
            one.receive(packet);
            must(packet.getLength() == 8, "its length");
            one.send(packet);
            must(two.read(ByteBuffer.allocate(100)) == 8, "its echo");
        }
    }

    static void asynchronous() throws Exception {
        AsynchronousServerSocketChannel server = AsynchronousServerSocketChannel.open().bind(new InetSocketAddress("localhost", 0));
        Future<AsynchronousSocketChannel> accepted = server.accept();
        AsynchronousSocketChannel client = AsynchronousSocketChannel.open();
        client.connect(server.getLocalAddress()).get(5, TimeUnit.SECONDS);
        AsynchronousSocketChannel served = accepted.get(5, TimeUnit.SECONDS);
        ByteBuffer buffer = ByteBuffer.allocate(10);
        Future<Integer> read = served.read(buffer);
        client.write(ByteBuffer.wrap(new byte[5])).get(5, TimeUnit.SECONDS);
        must(read.get(5, TimeUnit.SECONDS) == 5, "five octets");
        client.close(); served.close(); server.close();
    }

    public static void main(String[] args) throws Exception {
        selector(); old(); datagrams(); asynchronous();
        System.out.println("ok");
        System.exit(0);
    }
}
