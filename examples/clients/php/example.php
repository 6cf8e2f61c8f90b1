<?php
// A first program with phpredis: php example.php [HOST PORT]

$redis = new Redis();
$redis->connect($argv[1] ?? '127.0.0.1', (int) ($argv[2] ?? 6380));

$redis->set('greeting', 'hello', ['ex' => 3600]);
echo 'get: ', $redis->get('greeting'), "\n";

// One round trip, whichever servers the keys are on.
$pipeline = $redis->pipeline();
for ($i = 0; $i < 100; $i++) {
    $pipeline->setex("item:$i", 3600, $i);
}
echo 'pipeline: ', count($pipeline->exec()), " replies\n";

echo 'mget: ', json_encode($redis->mget(['item:1', 'item:2', 'no such item', 'item:99'])), "\n";
