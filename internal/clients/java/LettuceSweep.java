import io.lettuce.core.BitFieldArgs;
import io.lettuce.core.ClientOptions;
import io.lettuce.core.Consumer;
import io.lettuce.core.GeoArgs;
import io.lettuce.core.KeyScanCursor;
import io.lettuce.core.KeyValue;
import io.lettuce.core.LMoveArgs;
import io.lettuce.core.LettuceFutures;
import io.lettuce.core.Range;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.RedisURI;
import io.lettuce.core.ScanArgs;
import io.lettuce.core.ScanCursor;
import io.lettuce.core.ScoredValue;
import io.lettuce.core.ScriptOutputType;
import io.lettuce.core.SslOptions;
import io.lettuce.core.StreamMessage;
import io.lettuce.core.TransactionResult;
import io.lettuce.core.XReadArgs;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.api.async.RedisAsyncCommands;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.codec.ByteArrayCodec;
import io.lettuce.core.protocol.ProtocolVersion;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import io.lettuce.core.pubsub.StatefulRedisPubSubConnection;
import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** The sweep of Lettuce: LettuceSweep HOST PORT [RESP version] */
final class LettuceSweep {
    static RedisClient client;
    static StatefulRedisConnection<String, String> connection;
    static RedisCommands<String, String> r;
    static RedisCommands<byte[], byte[]> raw;

    public static void main(String[] args) {
        RedisURI uri = RedisURI.create(args[0], Integer.parseInt(args[1]));
        ClientOptions.Builder options = ClientOptions.builder();
        if (args.length > 2) {
            options.protocolVersion(args[2].equals("3") ? ProtocolVersion.RESP3 : ProtocolVersion.RESP2);
        }
        if (System.getenv("RINGWAY_TLS_CA") != null) {
            uri.setSsl(true);
            options.sslOptions(SslOptions.builder().trustManager(new File(System.getenv("RINGWAY_TLS_CA"))).build());
        }
        client = RedisClient.create(uri);
        client.setOptions(options.build());
        connection = client.connect();
        r = connection.sync();
        raw = client.connect(ByteArrayCodec.INSTANCE).sync();
        r.flushall();
        Checks c = new Checks();
        c.add("strings", LettuceSweep::strings);
        c.add("hashes", LettuceSweep::hashes);
        c.add("lists", LettuceSweep::lists);
        c.add("sets", LettuceSweep::sets);
        c.add("sorted-sets", LettuceSweep::sortedSets);
        c.add("streams", LettuceSweep::streams);
        c.add("hyperloglog", LettuceSweep::hyperloglog);
        c.add("geo", LettuceSweep::geo);
        c.add("bits", LettuceSweep::bits);
        c.add("scan", LettuceSweep::scan);
        c.add("pipeline", LettuceSweep::pipeline);
        c.add("transaction", LettuceSweep::transaction);
        c.add("watch", LettuceSweep::watch);
        c.add("scripts", LettuceSweep::scripts);
        c.add("blocking", LettuceSweep::blocking);
        c.add("pubsub", LettuceSweep::pubsub);
        c.add("patterns", LettuceSweep::patterns);
        c.add("big-value", LettuceSweep::bigValue);
        c.add("binary-keys", LettuceSweep::binaryKeys);
        c.add("mget", LettuceSweep::mget);
        c.run();
    }

    static void strings() throws Exception {
        Checks.equal(r.set("s:a", "1"), "OK");
        Checks.equal(r.incrby("s:a", 41), 42);
        Checks.equal(r.get("s:a"), "42");
        Checks.equal(r.get("s:none"), null);
        Checks.equal(r.mset(Map.of("s:1", "a", "s:2", "b", "s:3", "c")), "OK");
        Checks.equal(values(r.mget("s:1", "s:none", "s:3")), Arrays.asList("a", null, "c"));
        Checks.equal(r.exists("s:1", "s:none"), 1);
        Checks.equal(r.del("s:1", "s:2", "s:3"), 3);
        Checks.equal(r.msetnx(Map.of("{s}1", "a", "{s}2", "b")), true);
        Checks.equal(r.rename("{s}1", "{s}3"), "OK");
        Checks.fails(() -> r.incr("{s}3"), "not an integer");
    }

    static <T> List<T> values(List<KeyValue<String, T>> list) {
        return list.stream().map(kv -> kv.getValueOrElse(null)).collect(Collectors.toList());
    }

    static void hashes() {
        Checks.equal(r.hset("h", Map.of("a", "1", "b", "2")), 2);
        Checks.equal(r.hgetall("h"), Map.of("a", "1", "b", "2"));
        Checks.equal(values(r.hmget("h", "a", "none")), Arrays.asList("1", null));
        Checks.equal(r.hscan("h").getMap().size(), 2);
    }

    static void lists() {
        Checks.equal(r.rpush("{l}1", "a", "b", "c"), 3);
        Checks.equal(r.lmove("{l}1", "{l}2", LMoveArgs.Builder.leftRight()), "a");
        Checks.equal(r.lrange("{l}1", 0, -1), List.of("b", "c"));
    }

    static void sets() {
        Checks.equal(r.sadd("{t}1", "a", "b"), 2);
        Checks.equal(r.sadd("{t}2", "b", "c"), 2);
        Checks.equal(r.sinter("{t}1", "{t}2"), Set.of("b"));
        Checks.equal(r.sunion("{t}1", "{t}2"), Set.of("a", "b", "c"));
    }

    static void sortedSets() {
        Checks.equal(r.zadd("z", ScoredValue.just(1, "a"), ScoredValue.just(2.5, "b")), 2);
        Checks.equal(r.zrangeWithScores("z", 0, -1), List.of(ScoredValue.just(1, "a"), ScoredValue.just(2.5, "b")));
        Checks.equal(r.zscore("z", "b"), 2.5);
        Checks.equal(r.zpopmin("z"), ScoredValue.just(1, "a"));
    }

    static void streams() {
        List<String> ids = new ArrayList<>();
        for (int n = 0; n < 5; n++) {
            ids.add(r.xadd("x", Map.of("n", "" + n)));
        }
        Checks.equal(entryIDs(r.xrange("x", Range.unbounded())), ids);
        Checks.equal(entryIDs(r.xread(XReadArgs.Builder.count(3), XReadArgs.StreamOffset.from("x", "0"))), ids.subList(0, 3));
        Checks.equal(r.xgroupCreate(XReadArgs.StreamOffset.from("x", "0"), "g"), "OK");
        Checks.equal(entryIDs(r.xreadgroup(Consumer.from("g", "me"), XReadArgs.Builder.count(4),
                XReadArgs.StreamOffset.lastConsumed("x"))), ids.subList(0, 4));
        Checks.equal(r.xack("x", "g", ids.get(0), ids.get(1)), 2);
        Checks.equal(r.xpending("x", "g").getCount(), 2);
    }

    static List<String> entryIDs(List<StreamMessage<String, String>> list) {
        return list.stream().map(StreamMessage::getId).collect(Collectors.toList());
    }

    static void hyperloglog() {
        r.pfadd("{p}1", Checks.keys("", 1000).toArray(new String[0]));
        Checks.equal(r.pfmerge("{p}2", "{p}1"), "OK");
        Checks.equal(Math.abs(r.pfcount("{p}1", "{p}2") - 1000) < 50, true);
    }

    static void geo() {
        Checks.equal(r.geoadd("g", 13.361389, 38.115556, "Palermo"), 1);
        Checks.equal(r.geoadd("g", 15.087269, 37.502669, "Catania"), 1);
        Checks.equal(Math.round(r.geodist("g", "Palermo", "Catania", GeoArgs.Unit.km)), 166);
    }

    static void bits() {
        Checks.equal(r.setbit("{b}1", 7, 1), 0);
        Checks.equal(r.bitopNot("{b}2", "{b}1"), 1);
        Checks.equal(r.bitcount("{b}2"), 7);
        Checks.equal(r.bitfield("{b}3", BitFieldArgs.Builder.set(BitFieldArgs.unsigned(8), 0, 200)), List.of(0L));
    }

    static void scan() {
        List<String> want = Checks.keys("scan:", 3000);
        r.mset(want.stream().collect(Collectors.toMap(k -> k, k -> k)));
        Set<String> seen = new TreeSet<>();
        ScanArgs args = ScanArgs.Builder.matches("scan:*").limit(100);
        KeyScanCursor<String> cursor = r.scan(args);
        seen.addAll(cursor.getKeys());
        while (!cursor.isFinished()) {
            cursor = r.scan(ScanCursor.of(cursor.getCursor()), args);
            seen.addAll(cursor.getKeys());
        }
        Checks.sameSet(seen, want);
        Checks.sameSet(r.keys("scan:*"), want);
    }

    static void pipeline() throws Exception {
        try (StatefulRedisConnection<String, String> own = client.connect()) {
            own.setAutoFlushCommands(false);
            RedisAsyncCommands<String, String> async = own.async();
            List<RedisFuture<String>> replies = new ArrayList<>();
            for (String k : Checks.keys("pipe:", 1000)) {
                replies.add(async.set(k, k));
                replies.add(async.get(k));
            }
            own.flushCommands();
            Checks.equal(LettuceFutures.awaitAll(20, TimeUnit.SECONDS, replies.toArray(RedisFuture[]::new)), true);
            for (int i = 0; i < 1000; i++) {
                Checks.equal(replies.get(2 * i).get(), "OK");
                Checks.equal(replies.get(2 * i + 1).get(), "pipe:" + i);
            }
        }
    }

    static void transaction() throws Exception {
        r.multi();
        r.set("{tx}a", "1");
        r.incr("{tx}a");
        TransactionResult result = r.exec();
        Checks.equal(result.stream().collect(Collectors.toList()), List.of("OK", 2L));
        Checks.fails(() -> {
            try (StatefulRedisConnection<String, String> own = client.connect()) {
                own.sync().multi();
                Checks.keys("tx:", 50).forEach(k -> own.async().set(k, "x"));
                own.sync().exec();
            }
        }, "CROSSSLOT", "EXECABORT");
        Checks.equal(r.exists(Checks.keys("tx:", 50).toArray(new String[0])), 0);
    }

    static void watch() {
        try (StatefulRedisConnection<String, String> own = client.connect()) {
            RedisCommands<String, String> w = own.sync();
            r.set("{w}a", "5");
            w.watch("{w}a");
            w.multi();
            w.incr("{w}a");
            Checks.equal(w.exec().wasDiscarded(), false);
            w.watch("{w}a");
            r.set("{w}a", "100");
            w.multi();
            w.incr("{w}a");
            Checks.equal(w.exec().wasDiscarded(), true);
            Checks.equal(r.get("{w}a"), "100");
        }
    }

    static void scripts() throws Exception {
        String sha = r.scriptLoad("return redis.call('INCRBY', KEYS[1], ARGV[1])");
        for (int i = 0; i < 30; i++) {
            Long n = r.evalsha(sha, ScriptOutputType.INTEGER, new String[] {"ev:" + i}, "" + i);
            Checks.equal(n, i);
        }
        List<String> got = r.eval("return {KEYS[1], ARGV[1]}", ScriptOutputType.MULTI, new String[] {"k"}, "v");
        Checks.equal(got, List.of("k", "v"));
        Checks.equal(r.scriptExists(sha, "0".repeat(40)), List.of(true, false));
        Checks.fails(() -> r.evalsha("0".repeat(40), ScriptOutputType.INTEGER, "k"), "NOSCRIPT");
    }

    static void blocking() throws Exception {
        try (StatefulRedisConnection<String, String> own = client.connect()) {
            RedisFuture<KeyValue<String, String>> popped = own.async().blpop(5, "bl");
            Thread.sleep(100);
            r.rpush("bl", "x");
            Checks.equal(popped.get(), KeyValue.just("bl", "x"));
            Checks.equal(own.sync().blpop(0.1, "bl:none"), null);
        }
    }

    static void pubsub() throws Exception {
        List<String> rooms = Checks.keys("room:", 20);
        subscribed(rooms, sub -> sub.sync().subscribe(rooms.toArray(new String[0])));
    }

    static void patterns() throws Exception {
        subscribed(Checks.keys("pat.", 100), sub -> sub.sync().psubscribe("pat.*"));
    }

    static void subscribed(List<String> channels, java.util.function.Consumer<StatefulRedisPubSubConnection<String, String>> subscribe)
            throws Exception {
        BlockingQueue<String> got = new LinkedBlockingQueue<>();
        try (StatefulRedisPubSubConnection<String, String> sub = client.connectPubSub()) {
            sub.addListener(new RedisPubSubAdapter<>() {
                @Override
                public void message(String channel, String message) {
                    got.add(channel + " " + message);
                }

                @Override
                public void message(String pattern, String channel, String message) {
                    got.add(channel + " " + message);
                }
            });
            subscribe.accept(sub);
            List<String> messages = new ArrayList<>();
            for (String channel : channels) {
                Checks.equal(r.publish(channel, "hello"), 1);
                messages.add(got.poll(10, TimeUnit.SECONDS));
            }
            Checks.equal(messages, channels.stream().map(k -> k + " hello").toList());
        }
    }

    static void bigValue() {
        byte[] key = "big".getBytes();
        Checks.equal(raw.set(key, Checks.big()), "OK");
        Checks.equal(Arrays.equals(raw.get(key), Checks.big()), true);
        Checks.equal(raw.del(key), 1);
    }

    static void binaryKeys() {
        byte[][] keys = Checks.binaryKeys();
        for (byte[] k : keys) {
            Checks.equal(raw.set(k, k), "OK");
        }
        List<KeyValue<byte[], byte[]>> got = raw.mget(keys);
        for (int i = 0; i < keys.length; i++) {
            Checks.equal(Arrays.equals(got.get(i).getValue(), keys[i]), true);
        }
        Checks.equal(raw.del(keys), keys.length);
    }

    static void mget() {
        List<String> keys = Checks.keys("many:", 10000);
        Checks.equal(r.mset(keys.stream().collect(Collectors.toMap(k -> k, k -> k))), "OK");
        Checks.equal(values(r.mget(keys.toArray(new String[0]))), keys);
        Checks.equal(r.del(keys.toArray(new String[0])), 10000);
    }

    private LettuceSweep() {}
}
