import redis.clients.jedis.Pipeline;
import redis.clients.jedis.RedisClient;

/** A first program with Jedis: java -cp 'lib/*' JedisExample.java [HOST PORT] */
public class JedisExample {
    public static void main(String[] args) {
        String host = args.length > 1 ? args[0] : "127.0.0.1";
        int port = args.length > 1 ? Integer.parseInt(args[1]) : 6380;
        try (RedisClient client = RedisClient.create(host, port)) {
            client.setex("greeting", 3600, "hello");
            System.out.println("get: " + client.get("greeting"));

            // One round trip, whichever servers the keys are on.
            try (Pipeline pipeline = client.pipelined()) {
                for (int i = 0; i < 100; i++) {
                    pipeline.setex("item:" + i, 3600, "" + i);
                }
                System.out.println("pipeline: " + pipeline.syncAndReturnAll().size() + " replies");
            }

            System.out.println("mget: " + client.mget("item:1", "item:2", "no such item", "item:99"));
        }
    }
}
