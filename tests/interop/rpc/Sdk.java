// Sends the events of a file with Flume's own client SDK.
//   Sdk.java FILE THREADS BATCH SHARED [property=value ...]
// FILE: one event a line, base64: body, then name and value of each header, tabs between (see events.py). Thread i takes
// every line n with n % THREADS == i. BATCH events go in one appendBatch; 0: append. With SHARED = yes all threads use
// one client, else each has its own. The properties are the SDK's: client.type, hosts, hosts.h1, compression-type, ...
// A client that fails is made anew and sends its batch again, for a minute at most. Prints a line for each thread: how
// many events the peer has acknowledged, the CRC-32 of their lines, retries, milliseconds.

import java.io.BufferedReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.zip.CRC32;
import org.apache.flume.Event;
import org.apache.flume.EventDeliveryException;
import org.apache.flume.FlumeException;
import org.apache.flume.api.RpcClient;
import org.apache.flume.api.RpcClientFactory;
import org.apache.flume.event.EventBuilder;

public class Sdk {
    static final long GIVE_UP_MS = 60_000;

    static Event event(String line) {
        String[] fields = line.split("\t", -1);
        Base64.Decoder base64 = Base64.getDecoder();
        Map<String, String> headers = new LinkedHashMap<>();
        for (int i = 1; i + 1 < fields.length; i += 2) {
            headers.put(new String(base64.decode(fields[i]), StandardCharsets.UTF_8),
                        new String(base64.decode(fields[i + 1]), StandardCharsets.UTF_8));
        }
        return EventBuilder.withBody(base64.decode(fields[0]), headers);
    }

    /** One thread's share of the file. */
    static class Sender extends Thread {
        final Path file;
        final int number, threads, batch;
        final Properties properties;
        final boolean shared;
        final CRC32 crc = new CRC32();
        RpcClient client;
        int sent, retries;
        Throwable failed;

        Sender(Path file, int number, int threads, int batch, Properties properties, RpcClient shared) {
            this.file = file;
            this.number = number;
            this.threads = threads;
            this.batch = batch;
            this.properties = properties;
            this.shared = shared != null;
            this.client = shared;
        }

        @Override public void run() {
            long began = System.nanoTime();
            try (BufferedReader lines = Files.newBufferedReader(file)) {
                List<String> waiting = new ArrayList<>();
                int n = 0;
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    if (n++ % threads == number) {
                        waiting.add(line);
                        if (waiting.size() >= Math.max(batch, 1)) {
                            send(waiting);
                        }
                    }
                }
                if (!waiting.isEmpty()) {
                    send(waiting);
                }
                if (!shared && client != null) {
                    client.close();
                }
            } catch (Exception e) {
                failed = e;
            }
            System.out.printf("sender %d: %d events, crc %08x, %d retries, %d ms%n", number, sent, crc.getValue(), retries,
                              (System.nanoTime() - began) / 1_000_000);
        }

        void send(List<String> lines) throws Exception {
            List<Event> events = new ArrayList<>();
            for (String line : lines) {
                events.add(event(line));
            }
            long end = System.nanoTime() + GIVE_UP_MS * 1_000_000;
            while (true) {
                try {
                    if (client == null) {
                        client = RpcClientFactory.getInstance(properties);
                    }
                    if (batch == 0) {
                        client.append(events.get(0));
                    } else {
                        client.appendBatch(events);
                    }
                    break;
                } catch (EventDeliveryException | FlumeException e) {
                    if (shared || System.nanoTime() > end) {
                        throw e;
                    }
                    retries++;
                    if (client != null) {
                        client.close();
                        client = null;
                    }
                    Thread.sleep(200);
                }
            }
            for (String line : lines) {
                crc.update((line + "\n").getBytes(StandardCharsets.US_ASCII));
            }
            sent += lines.size();
            lines.clear();
        }
    }

    public static void main(String[] args) throws Exception {
        Path file = Path.of(args[0]);
        int threads = Integer.parseInt(args[1]);
        int batch = Integer.parseInt(args[2]);
        Properties properties = new Properties();
        for (int i = 4; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            properties.setProperty(pair[0], pair[1]);
        }
        properties.putIfAbsent("batch-size", Integer.toString(Math.max(batch, 1)));
        RpcClient shared = args[3].equals("yes") ? RpcClientFactory.getInstance(properties) : null;
        List<Sender> senders = new ArrayList<>();
        for (int i = 0; i < threads; i++) {
            senders.add(new Sender(file, i, threads, batch, properties, shared));
        }
        senders.forEach(Thread::start);
        int code = 0;
        for (Sender sender : senders) {
            sender.join();
            if (sender.failed != null) {
                sender.failed.printStackTrace();
                code = 1;
            }
        }
        if (shared != null) {
            shared.close();
        }
        System.exit(code);
    }
}
