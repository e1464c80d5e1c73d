import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** A sidecar's HTTP interface (docs/sidecar.md), reached over loopback TCP with its token. */
final class Sidecar {
    /** The sidecar has refused a request. The message says why and what to do. */
    static final class Refused extends RuntimeException {
        final int status;
        /** gRPC's name of what is wrong, such as {@code NOT_FOUND}. */
        final String code;
        /** What else the server has said: messages of {@code temporal.api.errordetails.v1}. */
        final List<Json> details;

        Refused(int status, Json error) {
            super(error.get("message").text());
            this.status = status;
            code = error.get("code").text();
            details = error.get("details").list();
        }

        /** 503: the sidecar can't reach its server at the moment. */
        boolean isPassing() {
            return status == 503 || status == 429;
        }
    }

    private final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private final String root;
    private final String authorization;

    /** Connects to {@code HOST:PORT}. */
    Sidecar(String address, String token) {
        root = "http://" + address;
        authorization = "Bearer " + token;
    }

    Json get(String path) {
        return send("GET", path, HttpRequest.BodyPublishers.noBody());
    }

    Json post(String path, Json body) {
        return send("POST", path, HttpRequest.BodyPublishers.ofString(body.toString()));
    }

    void delete(String path) {
        send("DELETE", path, HttpRequest.BodyPublishers.noBody());
    }

    /** The answer; JSON's null if there is none. */
    private Json send(String method, String path, HttpRequest.BodyPublisher body) {
        // The longest wait that a request may ask for is a minute.
        var request = HttpRequest.newBuilder(URI.create(root + path)).timeout(Duration.ofSeconds(90))
                .header("authorization", authorization).header("content-type", "application/json").method(method, body).build();
        try {
            var response = http.send(request, HttpResponse.BodyHandlers.ofString());
            var answer = response.body().isEmpty() ? Json.NULL : Json.parse(response.body());
            if (response.statusCode() < 400) return answer;
            throw new Refused(response.statusCode(), answer.get("error"));
        } catch (IOException error) {
            throw new UncheckedIOException("the sidecar at " + root + " does not answer", error);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new UncheckedIOException("interrupted", new IOException(interrupted));
        }
    }

    /** Text as a part of a path or query. */
    static String escape(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }

    /** A sidecar process of our own; it ends with this process at the latest. */
    record Running(Process process, String address, String token) implements AutoCloseable {
        /** Lets what is under way end, and closes the state file. */
        @Override
        public void close() throws IOException, InterruptedException {
            process.getOutputStream().close();
            process.waitFor();
        }
    }

    /** Starts {@code durably sidecar} for one task queue, with further lines of its {@code [[worker]]}. */
    static Running start(String target, String queue, Path state, String... options) throws IOException {
        return start(target, state, Map.of(queue, List.of(options)));
    }

    /**
     * Starts {@code durably sidecar}. Its files lie beside {@code state}, under names that begin like it.
     *
     * @param target what it connects to: {@code embedded:FILE}, or the {@code HOST:PORT} of a server
     * @param queues the task queues, each with further lines of its {@code [[worker]]}
     */
    static Running start(String target, Path state, Map<String, List<String>> queues) throws IOException {
        var token = UUID.randomUUID().toString();
        var tokenFile = Path.of(state + ".token");
        // For nobody else's eyes.
        Files.deleteIfExists(tokenFile);
        Files.createFile(tokenFile, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
        Files.writeString(tokenFile, token);
        var config = Path.of(state + ".sidecar.toml");
        // A JSON string is a TOML string too.
        var text = new StringBuilder("""
                [connect]
                target = %s
                [listen]
                tcp = "127.0.0.1:0"
                token_file = %s
                """.formatted(new Json(target), new Json(tokenFile.toString())));
        queues.forEach((queue, options) -> text.append("""
                [[worker]]
                task_queue = %s
                %s
                """.formatted(new Json(queue), String.join("\n", options))));
        Files.writeString(config, text);
        var process = new ProcessBuilder(System.getProperty("durably", "durably"), "sidecar", "--config", config.toString(), "--stop-with-stdin")
                .redirectError(ProcessBuilder.Redirect.appendTo(Path.of(state + ".log").toFile()))
                .start();
        // "durably sidecar is listening on 127.0.0.1:PORT"
        var line = process.inputReader().readLine();
        if (line == null) throw new IOException("the sidecar did not start; " + state + ".log says why");
        return new Running(process, line.replaceAll(".*listening on ([^, ]+).*", "$1"), token);
    }
}
