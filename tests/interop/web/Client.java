import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Sends the requests of a file with java.net.http and prints the answers: VERSION TRUSTSTORE URL FILE. See clients.py, which
 * writes the one and reads the other.
 */
public class Client {
    public static void main(String[] words) throws Exception {
        HttpClient.Builder builder = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(30));
        if (words[0].equals("1.1")) {
            builder.version(HttpClient.Version.HTTP_1_1);
        }
        if (!words[1].isEmpty()) {
            builder.sslContext(trusting(Path.of(words[1])));
        }
        HttpClient client = builder.build();
        for (String line : Files.readAllLines(Path.of(words[3]))) {
            HttpResponse<byte[]> answer = client.send(request(words[2], line.split("\t", -1)), BodyHandlers.ofByteArray());
            StringBuilder out = new StringBuilder().append(answer.statusCode()).append('\t').append(hex(answer.body()));
            for (Map.Entry<String, List<String>> header : answer.headers().map().entrySet()) {
                out.append('\t').append(hex(header.getKey().getBytes(StandardCharsets.ISO_8859_1)));
                out.append('\t').append(hex(header.getValue().get(0).getBytes(StandardCharsets.ISO_8859_1)));
            }
            System.out.println(out);
        }
    }

    private static HttpRequest request(String url, String[] fields) {
        byte[] body = HexFormat.of().parseHex(fields[3]);
        BodyPublisher content = body.length == 0 ? BodyPublishers.noBody() : BodyPublishers.ofByteArray(body);
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url + text(fields[1])));
        request.timeout(Duration.ofSeconds(30));
        switch (text(fields[2])) {
            case "chunked": // as is all whose length the client does not know
                content = BodyPublishers.ofInputStream(() -> (InputStream) new ByteArrayInputStream(body));
                break;
            case "ask":
                request.expectContinue(true);
                break;
            default:
                break;
        }
        for (int i = 4; i + 1 < fields.length; i += 2) {
            request.header(text(fields[i]), text(fields[i + 1]));
        }
        return request.method(text(fields[0]), content).build();
    }

    private static SSLContext trusting(Path store) throws Exception {
        KeyStore keys = KeyStore.getInstance(store.toFile(), "secret".toCharArray());
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(keys);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    private static String text(String hex) {
        return new String(HexFormat.of().parseHex(hex), StandardCharsets.UTF_8);
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }
}
