// HttpServer and HttpClient over HTTP/1.1, many at once; virtual threads where the runtime has them.
import com.sun.net.httpserver.HttpServer;
import java.net.*;
import java.net.http.*;
import java.util.*;
import java.util.concurrent.*;

public class Http {
    static ExecutorService threads() {
        try {
            return (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
        } catch (ReflectiveOperationException none) {
            return Executors.newFixedThreadPool(32);
        }
    }

    public static void main(String[] args) throws Exception {
        ExecutorService threads = threads();
        HttpServer server = HttpServer.create(new InetSocketAddress("localhost", 0), 100);
        server.setExecutor(threads);
        server.createContext("/", exchange -> {
            byte[] body = exchange.getRequestBody().readAllBytes();
            exchange.sendResponseHeaders(200, body.length == 0 ? -1 : body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        URI at = URI.create("http://localhost:" + server.getAddress().getPort() + "/");
        List<CompletableFuture<Boolean>> asked = new ArrayList<>();
        for (int i = 0; i < 300; i++) {
            byte[] body = new byte[i * 97];
            Arrays.fill(body, (byte) i);
            HttpRequest request = HttpRequest.newBuilder(at).POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
            asked.add(client.sendAsync(request, HttpResponse.BodyHandlers.ofByteArray()).thenApply(answer -> Arrays.equals(answer.body(), body)));
            if (i % 50 == 49) asked.get(i).get(20, TimeUnit.SECONDS);
        }
        for (CompletableFuture<Boolean> answer : asked)
            if (!answer.get(20, TimeUnit.SECONDS)) throw new AssertionError("another body came back");
        // A thread each, with a blocking connection of its own.
        ServerSocket echo = new ServerSocket(0, 300, InetAddress.getLoopbackAddress());
        threads.submit(() -> {
            while (true) {
                Socket served = echo.accept();
                threads.submit(() -> { try (served) { served.getOutputStream().write(served.getInputStream().readNBytes(5)); } return null; });
            }
        });
        List<Future<Boolean>> talks = new ArrayList<>();
        ExecutorService talkers = threads();
        for (int i = 0; i < 300; i++)
            talks.add(talkers.submit(() -> {
                try (Socket socket = new Socket(echo.getInetAddress(), echo.getLocalPort())) {
                    socket.getOutputStream().write("hello".getBytes());
                    return new String(socket.getInputStream().readAllBytes()).equals("hello");
                }
            }));
        for (Future<Boolean> talk : talks)
            if (!talk.get(20, TimeUnit.SECONDS)) throw new AssertionError("another echo");
        System.out.println(threads.getClass().getSimpleName() + " ok");
        System.exit(0);
    }
}
