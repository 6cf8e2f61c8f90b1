import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** What the Java sweeps share. A sweep prints "ok NAME" or "FAIL NAME: reason" and exits with 1 if any check failed. */
final class Checks {
    interface Check {
        void run() throws Exception;
    }

    private final Map<String, Check> all = new LinkedHashMap<>();

    void add(String name, Check check) {
        all.put(name, check);
    }

    /** Runs each check, for a minute at most, and ends the program. */
    void run() {
        int code = 0;
        for (Map.Entry<String, Check> c : all.entrySet()) {
            try {
                background(() -> {
                    c.getValue().run();
                    return null;
                }).get(60, TimeUnit.SECONDS);
                System.out.println("ok " + c.getKey());
            } catch (Throwable e) {
                code = 1;
                Throwable cause = e.getCause() != null ? e.getCause() : e;
                String reason = String.valueOf(cause).replaceAll("\\s+", " ");
                System.out.println("FAIL " + c.getKey() + ": " + reason.substring(0, Math.min(500, reason.length())));
                cause.printStackTrace();
            }
        }
        System.exit(code);
    }

    /** Does something in a thread of its own. */
    static <T> CompletableFuture<T> background(Callable<T> work) {
        CompletableFuture<T> result = new CompletableFuture<>();
        Thread thread = new Thread(() -> {
            try {
                result.complete(work.call());
            } catch (Throwable e) {
                result.completeExceptionally(e);
            }
        });
        thread.setDaemon(true);
        thread.start();
        return result;
    }

    static void equal(Object got, Object want) {
        if (!Objects.equals(plain(got), plain(want))) {
            throw new AssertionError("got " + shorten(got) + ", want " + shorten(want));
        }
    }

    private static Object plain(Object v) {
        return v instanceof Integer i ? Long.valueOf(i) : v;
    }

    private static String shorten(Object v) {
        String s = String.valueOf(v);
        return s.length() <= 200 ? s : s.substring(0, 200) + "...";
    }

    static void sameSet(Collection<String> got, Collection<String> want) {
        equal(new TreeSet<>(got), new TreeSet<>(want));
    }

    /** Wants an error of the library whose message, or a cause's, contains one of the words. */
    static void fails(Check check, String... words) throws Exception {
        try {
            check.run();
        } catch (Exception e) {
            for (Throwable cause = e; cause != null; cause = cause.getCause()) {
                String message = String.valueOf(cause);
                if (Arrays.stream(words).anyMatch(message::contains)) {
                    return;
                }
            }
            throw e;
        }
        throw new AssertionError("worked, but should have failed with " + String.join(" or ", words));
    }

    static List<String> keys(String prefix, int n) {
        List<String> list = new ArrayList<>(n);
        for (int i = 0; i < n; i++) {
            list.add(prefix + i);
        }
        return list;
    }

    static byte[] big() {
        byte[] b = new byte[10 << 20];
        for (int i = 0; i < b.length; i++) {
            b[i] = (byte) i;
        }
        return b;
    }

    /** Keys that a careless protocol reader trips over. */
    static byte[][] binaryKeys() {
        List<byte[]> list = new ArrayList<>();
        for (String s : List.of("", "\0", "\r\n", "$5\r\nhello\r\n", "{", "{}x", "k".repeat(70000))) {
            list.add(s.getBytes());
        }
        list.add(Arrays.copyOf(big(), 256));
        for (int i = 0; i < 256; i++) {
            ByteArrayOutputStream b = new ByteArrayOutputStream();
            b.writeBytes("bin:".getBytes());
            b.write(i);
            list.add(b.toByteArray());
        }
        return list.toArray(new byte[0][]);
    }
}
