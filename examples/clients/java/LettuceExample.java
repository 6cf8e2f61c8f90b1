import io.lettuce.core.LettuceFutures;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.RedisURI;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.api.sync.RedisCommands;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A first program with Lettuce: java -cp 'lib/*' LettuceExample.java [HOST PORT] */
public class LettuceExample {
    public static void main(String[] args) {
        String host = args.length > 1 ? args[0] : "127.0.0.1";
        int port = args.length > 1 ? Integer.parseInt(args[1]) : 6380;
        RedisClient client = RedisClient.create(RedisURI.create(host, port));
        try (StatefulRedisConnection<String, String> connection = client.connect()) {
            RedisCommands<String, String> redis = connection.sync();
            redis.setex("greeting", 3600, "hello");
            System.out.println("get: " + redis.get("greeting"));

            // Asynchronous commands share round trips, whichever servers the keys are on.
            List<RedisFuture<String>> replies = new ArrayList<>();
            for (int i = 0; i < 100; i++) {
                replies.add(connection.async().setex("item:" + i, 3600, "" + i));
            }
            LettuceFutures.awaitAll(5, TimeUnit.SECONDS, replies.toArray(RedisFuture[]::new));
            System.out.println("pipeline: " + replies.size() + " replies");

            System.out.println("mget: " + redis.mget("item:1", "item:2", "no such item", "item:99"));
        }
        client.shutdown();
    }
}
