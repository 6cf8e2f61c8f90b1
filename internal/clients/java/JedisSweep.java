import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import redis.clients.jedis.AbstractTransaction;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.Response;
import redis.clients.jedis.ScanIteration;
import redis.clients.jedis.StreamEntryID;
import redis.clients.jedis.args.BitOP;
import redis.clients.jedis.args.GeoUnit;
import redis.clients.jedis.args.ListDirection;
import redis.clients.jedis.params.SetParams;
import redis.clients.jedis.params.XReadGroupParams;
import redis.clients.jedis.params.XReadParams;

/** The sweep of Jedis: JedisSweep HOST PORT [RESP version] */
final class JedisSweep {
    static RedisClient r;

    public static void main(String[] args) {
        r = connect(args);
        r.flushAll();
        Checks c = new Checks();
        c.add("strings", JedisSweep::strings);
        c.add("hashes", JedisSweep::hashes);
        c.add("lists", JedisSweep::lists);
        c.add("sets", JedisSweep::sets);
        c.add("sorted-sets", JedisSweep::sortedSets);
        c.add("streams", JedisSweep::streams);
        c.add("hyperloglog", JedisSweep::hyperloglog);
        c.add("geo", JedisSweep::geo);
        c.add("bits", JedisSweep::bits);
        c.add("scan", JedisSweep::scan);
        c.add("pipeline", JedisSweep::pipeline);
        c.add("transaction", JedisSweep::transaction);
        c.add("watch", JedisSweep::watch);
        c.add("scripts", JedisSweep::scripts);
        c.add("blocking", JedisSweep::blocking);
        c.add("pubsub", JedisSweep::pubsub);
        c.add("patterns", JedisSweep::patterns);
        c.add("big-value", JedisSweep::bigValue);
        c.add("binary-keys", JedisSweep::binaryKeys);
        c.add("mget", JedisSweep::mget);
        c.run();
    }

    static RedisClient connect(String[] args) {
        int port = Integer.parseInt(args[1]);
        if (args.length < 3) {
            return RedisClient.create(args[0], port);
        }
        DefaultJedisClientConfig.Builder config = DefaultJedisClientConfig.builder();
        config = args[2].equals("3") ? config.resp3() : config.resp2();
        return RedisClient.builder().hostAndPort(args[0], port).clientConfig(config.build()).build();
    }

    static void strings() throws Exception {
        Checks.equal(r.set("s:a", "1"), "OK");
        Checks.equal(r.incrBy("s:a", 41), 42);
        Checks.equal(r.get("s:a"), "42");
        Checks.equal(r.get("s:none"), null);
        Checks.equal(r.set("s:a", "x", SetParams.setParams().nx().ex(100)), null);
        Checks.equal(r.mset("s:1", "a", "s:2", "b", "s:3", "c"), "OK");
        Checks.equal(r.mget("s:1", "s:none", "s:3"), Arrays.asList("a", null, "c"));
        Checks.equal(r.exists("s:1", "s:none"), 1);
        Checks.equal(r.del("s:1", "s:2", "s:3"), 3);
        Checks.equal(r.msetnx("{s}1", "a", "{s}2", "b"), 1);
        Checks.equal(r.rename("{s}1", "{s}3"), "OK");
        Checks.fails(() -> r.incr("{s}3"), "not an integer");
    }

    static void hashes() {
        Checks.equal(r.hset("h", Map.of("a", "1", "b", "2")), 2);
        Checks.equal(r.hgetAll("h"), Map.of("a", "1", "b", "2"));
        Checks.equal(r.hmget("h", "a", "none"), Arrays.asList("1", null));
        Checks.equal(r.hscan("h", "0").getResult().size(), 2);
    }

    static void lists() {
        Checks.equal(r.rpush("{l}1", "a", "b", "c"), 3);
        Checks.equal(r.lmove("{l}1", "{l}2", ListDirection.LEFT, ListDirection.RIGHT), "a");
        Checks.equal(r.lrange("{l}1", 0, -1), List.of("b", "c"));
    }

    static void sets() {
        Checks.equal(r.sadd("{t}1", "a", "b"), 2);
        Checks.equal(r.sadd("{t}2", "b", "c"), 2);
        Checks.equal(r.sinter("{t}1", "{t}2"), Set.of("b"));
        Checks.equal(r.sunion("{t}1", "{t}2"), Set.of("a", "b", "c"));
        Checks.equal(r.sdiffstore("{t}3", "{t}1", "{t}2"), 1);
    }

    static void sortedSets() {
        Checks.equal(r.zadd("z", Map.of("a", 1.0, "b", 2.5)), 2);
        Checks.equal(r.zrangeWithScores("z", 0, -1).get(1).getScore(), 2.5);
        Checks.equal(r.zincrby("z", Double.POSITIVE_INFINITY, "a"), Double.POSITIVE_INFINITY);
        Checks.equal(r.zrank("z", "b"), 0);
    }

    static void streams() {
        List<StreamEntryID> ids = new ArrayList<>();
        for (int n = 0; n < 5; n++) {
            ids.add(r.xadd("x", StreamEntryID.NEW_ENTRY, Map.of("n", "" + n)));
        }
        Checks.equal(r.xrange("x", "-", "+").stream().map(e -> e.getID()).toList(), ids);
        Checks.equal(r.xreadAsMap(XReadParams.xReadParams().count(3), Map.of("x", new StreamEntryID())).get("x").size(), 3);
        Checks.equal(r.xgroupCreate("x", "g", new StreamEntryID(), false), "OK");
        Checks.equal(r.xreadGroupAsMap("g", "me", XReadGroupParams.xReadGroupParams().count(4),
                Map.of("x", StreamEntryID.XREADGROUP_UNDELIVERED_ENTRY)).get("x").size(), 4);
        Checks.equal(r.xpending("x", "g").getTotal(), 4);
        Checks.equal(r.xack("x", "g", ids.get(0), ids.get(1)), 2);
    }

    static void hyperloglog() {
        r.pfadd("{p}1", Checks.keys("", 1000).toArray(new String[0]));
        Checks.equal(r.pfmerge("{p}2", "{p}1"), "OK");
        Checks.equal(Math.abs(r.pfcount("{p}1", "{p}2") - 1000) < 50, true);
    }

    static void geo() {
        Checks.equal(r.geoadd("g", 13.361389, 38.115556, "Palermo"), 1);
        Checks.equal(r.geoadd("g", 15.087269, 37.502669, "Catania"), 1);
        Checks.equal(Math.round(r.geodist("g", "Palermo", "Catania", GeoUnit.KM)), 166);
        Checks.equal(r.geosearch("g", "Palermo", 10, GeoUnit.KM).get(0).getMemberByString(), "Palermo");
    }

    static void bits() {
        Checks.equal(r.setbit("{b}1", 7, true), false);
        Checks.equal(r.bitop(BitOP.NOT, "{b}2", "{b}1"), 1);
        Checks.equal(r.bitcount("{b}2"), 7);
    }

    static void scan() {
        List<String> want = Checks.keys("scan:", 3000);
        r.mset(pairs(want));
        Set<String> seen = new TreeSet<>();
        ScanIteration scan = r.scanIteration(100, "scan:*");
        while (!scan.isIterationCompleted()) {
            seen.addAll(scan.nextBatch().getResult());
        }
        Checks.sameSet(seen, want);
        Checks.sameSet(r.keys("scan:*"), want);
    }

    static String[] pairs(List<String> keys) {
        return keys.stream().flatMap(k -> List.of(k, k).stream()).toArray(String[]::new);
    }

    static void pipeline() {
        List<Object> want = new ArrayList<>();
        try (Pipeline p = r.pipelined()) {
            for (String k : Checks.keys("pipe:", 1000)) {
                p.set(k, k);
                p.get(k);
                want.addAll(List.of("OK", k));
            }
            Checks.equal(p.syncAndReturnAll(), want);
        }
    }

    static void transaction() throws Exception {
        try (AbstractTransaction t = r.multi()) {
            t.set("{tx}a", "1");
            Response<Long> n = t.incr("{tx}a");
            Checks.equal(t.exec(), List.of("OK", 2L));
            Checks.equal(n.get(), 2);
        }
        Checks.fails(() -> {
            try (AbstractTransaction t = r.multi()) {
                Checks.keys("tx:", 50).forEach(k -> t.set(k, "x"));
                t.exec();
            }
        }, "CROSSSLOT", "EXECABORT");
        Checks.equal(r.exists(Checks.keys("tx:", 50).toArray(new String[0])), 0);
    }

    static void watch() {
        r.set("{w}a", "5");
        try (AbstractTransaction t = r.transaction(false)) {
            t.watch("{w}a");
            t.multi();
            t.incr("{w}a");
            Checks.equal(t.exec(), List.of(6L));
        }
        try (AbstractTransaction t = r.transaction(false)) {
            t.watch("{w}a");
            r.set("{w}a", "100");
            t.multi();
            t.incr("{w}a");
            Checks.equal(t.exec(), null);
        }
        Checks.equal(r.get("{w}a"), "100");
    }

    static void scripts() throws Exception {
        String sha = r.scriptLoad("return redis.call('INCRBY', KEYS[1], ARGV[1])");
        for (int i = 0; i < 30; i++) {
            Checks.equal(r.evalsha(sha, List.of("ev:" + i), List.of("" + i)), (long) i);
        }
        Checks.equal(r.eval("return {KEYS[1], ARGV[1]}", List.of("k"), List.of("v")), List.of("k", "v"));
        Checks.equal(r.scriptExists(List.of(sha, "0".repeat(40))), List.of(true, false));
        Checks.fails(() -> r.evalsha("0".repeat(40), List.of("k"), List.of()), "NOSCRIPT");
    }

    static void blocking() throws Exception {
        CompletableFuture<List<String>> popped = Checks.background(() -> r.blpop(5, "bl"));
        Thread.sleep(100);
        r.rpush("bl", "x");
        Checks.equal(popped.get(), List.of("bl", "x"));
        Checks.equal(r.blpop(0.1, "bl:none"), null);
    }

    /** Counts down when subscribed and with each message, and leaves after the last. */
    static final class Listener extends JedisPubSub {
        final CountDownLatch subscribed;
        final List<String> got = Collections.synchronizedList(new ArrayList<>());
        final int messages;

        Listener(int subscriptions, int messages) {
            subscribed = new CountDownLatch(subscriptions);
            this.messages = messages;
        }

        @Override
        public void onSubscribe(String channel, int n) {
            subscribed.countDown();
        }

        @Override
        public void onPSubscribe(String pattern, int n) {
            subscribed.countDown();
        }

        @Override
        public void onMessage(String channel, String message) {
            got.add(channel + " " + message);
            if (got.size() == messages) {
                unsubscribe();
            }
        }

        @Override
        public void onPMessage(String pattern, String channel, String message) {
            got.add(channel + " " + message);
            if (got.size() == messages) {
                punsubscribe();
            }
        }
    }

    static void pubsub() throws Exception {
        Listener listener = new Listener(20, 20);
        List<String> rooms = Checks.keys("room:", 20);
        CompletableFuture<Object> done = Checks.background(() -> {
            r.subscribe(listener, rooms.toArray(new String[0]));
            return null;
        });
        listener.subscribed.await();
        rooms.forEach(k -> Checks.equal(r.publish(k, "hello"), 1));
        done.get();
        Checks.sameSet(listener.got, rooms.stream().map(k -> k + " hello").toList());
    }

    static void patterns() throws Exception {
        Listener listener = new Listener(1, 100);
        List<String> channels = Checks.keys("pat.", 100);
        CompletableFuture<Object> done = Checks.background(() -> {
            r.psubscribe(listener, "pat.*");
            return null;
        });
        listener.subscribed.await();
        channels.forEach(k -> Checks.equal(r.publish(k, "hello"), 1));
        done.get();
        Checks.sameSet(new HashSet<>(listener.got), channels.stream().map(k -> k + " hello").toList());
    }

    static void bigValue() {
        byte[] key = "big".getBytes();
        Checks.equal(r.set(key, Checks.big()), "OK");
        Checks.equal(Arrays.equals(r.get(key), Checks.big()), true);
        Checks.equal(r.del(key), 1);
    }

    static void binaryKeys() {
        byte[][] keys = Checks.binaryKeys();
        for (byte[] k : keys) {
            Checks.equal(r.set(k, k), "OK");
        }
        List<byte[]> got = r.mget(keys);
        for (int i = 0; i < keys.length; i++) {
            Checks.equal(Arrays.equals(got.get(i), keys[i]), true);
        }
        Checks.equal(r.del(keys), keys.length);
    }

    static void mget() {
        List<String> keys = Checks.keys("many:", 10000);
        Checks.equal(r.mset(pairs(keys)), "OK");
        Checks.equal(r.mget(keys.toArray(new String[0])), keys);
        Checks.equal(r.del(keys.toArray(new String[0])), 10000);
    }

    private JedisSweep() {}
}
