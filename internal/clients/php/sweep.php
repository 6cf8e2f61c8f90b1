<?php
// The sweep of phpredis, and of its RedisCluster: php sweep.php HOST PORT [cluster]
//
// It prints "ok NAME" or "FAIL NAME: reason" for each check and exits with 1 if any failed.

[, $host, $port] = $argv;
$cluster = ($argv[3] ?? '') === 'cluster';

// Before keys that one command has together: in cluster mode the client itself wants them in one slot.
$tag = $cluster ? '{one}' : '';

function connect()
{
    global $host, $port, $cluster;
    if ($cluster) {
        return new RedisCluster(null, ["$host:$port"], 30, 30);
    }
    $r = new Redis();
    $r->connect($host, (int) $port, 30);
    return $r;
}

/** What is asked without a key goes to a node of the client's choice: there is one. */
function node(): array
{
    global $host, $port, $cluster;
    return $cluster ? [[$host, (int) $port]] : [];
}

function check(string $name, callable $f): void
{
    global $failed;
    try {
        $f(connect());
        echo "ok $name\n";
    } catch (Throwable $e) {
        $failed = true;
        echo "FAIL $name: ", substr(strtr(get_class($e) . ': ' . $e->getMessage(), "\r\n", '  '), 0, 500), "\n";
        fwrite(STDERR, "$e\n");
    }
}

function equal($got, $want): void
{
    if ($got !== $want) {
        throw new Exception('got ' . substr(json_encode($got, JSON_PARTIAL_OUTPUT_ON_ERROR), 0, 200)
            . ', want ' . substr(json_encode($want, JSON_PARTIAL_OUTPUT_ON_ERROR), 0, 200));
    }
}

function sorted(array $list): array
{
    sort($list);
    return $list;
}

function keys(string $prefix, int $n): array
{
    return array_map(fn ($i) => $prefix . $i, range(0, $n - 1));
}

function binaryKeys(string $tag): array
{
    $all = implode('', array_map('chr', range(0, 255)));
    $list = ['', "\0", "\r\n", "\$5\r\nhello\r\n", '{', '{}x', "{\xff}y", $all, str_repeat('k', 70000)];
    for ($i = 0; $i < 256; $i++) {
        $list[] = 'bin:' . chr($i);
    }
    return array_map(fn ($k) => $tag . $k, $list);
}

/** Runs f in a process of its own, with a connection of its own, and returns its id. */
function meanwhile(callable $f): int
{
    $id = pcntl_fork();
    if ($id === 0) {
        $f(connect());
        posix_kill(posix_getpid(), SIGKILL); // without the destructors, which would close connections of the parent
    }
    return $id;
}

connect()->flushAll(...node());
$failed = false;

check('strings', function ($r) use ($tag) {
    equal($r->set('s:a', 1), true);
    equal($r->incrBy('s:a', 41), 42);
    equal($r->get('s:none'), false);
    [$k1, $k2, $k3, $none] = [$tag . 's:1', $tag . 's:2', $tag . 's:3', $tag . 's:none'];
    equal($r->mset([$k1 => 'a', $k2 => 'b', $k3 => 'c']), true);
    equal($r->mget([$k1, $none, $k3]), ['a', false, 'c']);
    equal($r->exists($k1), 1);
    equal($r->del([$k1, $k2, $k3, $none]), 3);
    equal($r->rename('{s}a', '{s}b'), false);
    equal($r->set('{s}a', 'x', ['nx', 'ex' => 60]), true);
    equal($r->set('{s}a', 'y', ['nx']), false);
    equal($r->rename('{s}a', '{s}b'), true);
    equal($r->incr('{s}b'), false);
    equal(strpos($r->getLastError(), 'ERR value is not an integer'), 0);
});

check('hashes', function ($r) {
    equal($r->hMSet('h', ['a' => 1, 'b' => 2]), true);
    equal($r->hGetAll('h'), ['a' => '1', 'b' => '2']);
    equal($r->hMGet('h', ['a', 'none']), ['a' => '1', 'none' => false]);
    $it = null;
    equal($r->hScan('h', $it), ['a' => '1', 'b' => '2']);
});

check('lists', function ($r) {
    equal($r->rPush('{l}1', 'a', 'b', 'c'), 3);
    equal($r->rpoplpush('{l}1', '{l}2'), 'c');
    equal($r->lRange('{l}1', 0, -1), ['a', 'b']);
});

check('sets', function ($r) {
    equal($r->sAdd('{t}1', 'a', 'b'), 2);
    equal($r->sAdd('{t}2', 'b', 'c'), 2);
    equal($r->sInter('{t}1', '{t}2'), ['b']);
    equal(sorted($r->sUnion('{t}1', '{t}2')), ['a', 'b', 'c']);
});

check('sorted-sets', function ($r) {
    equal($r->zAdd('z', 1, 'a', 2.5, 'b'), 2);
    equal($r->zRange('z', 0, -1, true), ['a' => 1.0, 'b' => 2.5]);
    equal($r->zIncrBy('z', INF, 'a'), INF);
});

check('streams', function ($r) {
    $ids = array_map(fn ($n) => $r->xAdd('x', '*', ['n' => $n]), range(1, 5));
    equal(array_keys($r->xRange('x', '-', '+')), $ids);
    equal(array_keys($r->xRead(['x' => '0'], 3)['x']), array_slice($ids, 0, 3));
    equal($r->xGroup('CREATE', 'x', 'g', '0'), true);
    equal(array_keys($r->xReadGroup('g', 'me', ['x' => '>'], 4)['x']), array_slice($ids, 0, 4));
    equal($r->xAck('x', 'g', $ids), 4);
});

check('hyperloglog', function ($r) {
    $r->pfAdd('{p}1', keys('', 1000));
    equal($r->pfMerge('{p}2', ['{p}1']), true);
    equal(abs($r->pfCount(['{p}1', '{p}2']) - 1000) < 50, true);
});

check('geo', function ($r) {
    equal($r->geoAdd('g', 13.361389, 38.115556, 'Palermo', 15.087269, 37.502669, 'Catania'), 2);
    equal(round($r->geoDist('g', 'Palermo', 'Catania', 'km')), 166.0);
});

check('bits', function ($r) use ($cluster) {
    equal($r->setBit('{b}1', 7, true), 0);
    equal($r->bitCount('{b}1'), 1);
    if (!$cluster) { // RedisCluster of this version takes the operation for a key
        equal($r->bitOp('NOT', '{b}2', '{b}1'), 1);
        equal($r->bitCount('{b}2'), 7);
    }
});

check('scan', function ($r) {
    $want = keys('scan:', 3000);
    foreach ($want as $k) {
        $r->set($k, $k);
    }
    $r->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
    $seen = [];
    $it = null;
    while (($some = $r->scan($it, ...node(), ...['scan:*', 100])) !== false) {
        $seen += array_flip($some);
    }
    equal(sorted(array_keys($seen)), sorted($want));
    equal(sorted($r->keys('scan:*')), sorted($want));
});

check('pipeline', function ($r) use ($cluster) {
    // RedisCluster of this version has no pipelines.
    if (!$cluster) {
        $p = $r->pipeline();
        foreach (keys('pipe:', 1000) as $k) {
            $p->set($k, $k)->get($k);
        }
        equal($p->exec(), array_merge(...array_map(fn ($k) => [true, $k], keys('pipe:', 1000))));
    }
});

check('transaction', function ($r) use ($cluster) {
    equal($r->multi()->set('{tx}a', 1)->incr('{tx}a')->exec(), [true, 2]);
    if ($cluster) {
        return; // it makes a transaction for each node that it knows, which is one
    }
    try {
        $t = connect()->multi();
        foreach (keys('tx:', 50) as $k) {
            $t->set($k, 'x');
        }
        throw new Exception('a transaction over several nodes worked');
    } catch (RedisException $e) {
        equal(strpos($e->getMessage(), 'CROSSSLOT'), 0);
    }
    equal($r->exists(keys('tx:', 50)), 0);
});

check('watch', function ($r) {
    $r->set('{w}a', 5);
    $r->watch('{w}a');
    equal($r->multi()->incr('{w}a')->exec(), [6]);
    $r->watch('{w}a');
    connect()->set('{w}a', 100);
    equal((bool) array_filter((array) $r->multi()->incr('{w}a')->exec()), false);
    equal($r->get('{w}a'), '100');
});

check('scripts', function ($r) {
    $script = "return redis.call('INCRBY', KEYS[1], ARGV[1])";
    $sha = $r->script(...node(), ...['load', $script]);
    equal($sha, sha1($script));
    foreach (keys('ev:', 30) as $i => $k) {
        equal($r->evalSha($sha, [$k, $i], 1), $i);
    }
    equal($r->eval('return {KEYS[1], ARGV[1]}', ['k', 'v'], 1), ['k', 'v']);
    equal($r->evalSha(str_repeat('0', 40), ['k'], 1), false);
    equal(strpos($r->getLastError(), 'NOSCRIPT'), 0);
});

check('blocking', function ($r) {
    meanwhile(function ($other) {
        usleep(100000);
        $other->rPush('bl', 'x');
    });
    equal($r->blPop(['bl'], 5), ['bl', 'x']);
    equal($r->blPop(['bl:none'], 1), []);
});

/** Subscribes in another process, publishes here, and wants every message once. A subscriber of phpredis never returns. */
function subscribed(string $how, array $names, array $channels, $r): void
{
    [$ours, $theirs] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
    $subscriber = meanwhile(fn ($other) => $other->$how($names, function ($r, ...$message) use ($theirs) {
        [$channel, $text] = array_slice($message, -2);
        fwrite($theirs, "$channel $text\n");
    }));
    try {
        foreach ($channels as $c) {
            while ($r->publish($c, "to $c") < 1) {
                usleep(1000);
            }
        }
        stream_set_timeout($ours, 10);
        $got = array_map(fn () => fgets($ours), $channels);
    } finally {
        posix_kill($subscriber, SIGKILL);
    }
    equal(sorted($got), sorted(array_map(fn ($c) => "$c to $c\n", $channels)));
}

check('pubsub', fn ($r) => subscribed('subscribe', keys('room:', 20), keys('room:', 20), $r));
check('patterns', fn ($r) => subscribed('psubscribe', ['pat.*'], keys('pat.', 100), $r));

check('big-value', function ($r) {
    $big = str_repeat(implode('', array_map('chr', range(0, 255))), 10 * 4096);
    equal($r->set('big', $big), true);
    equal($r->get('big') === $big, true);
    equal($r->del('big'), 1);
});

check('binary-keys', function ($r) use ($tag) {
    foreach (binaryKeys('') as $k) {
        equal([$r->set($k, "v$k"), $r->get($k), $r->del($k)], [true, "v$k", 1]);
    }
    $list = binaryKeys($tag);
    equal($r->mset(array_combine($list, $list)), true);
    equal($r->mget($list) === $list, true);
    equal($r->del($list), count($list));
});

check('mget', function ($r) use ($tag) {
    $list = keys($tag . 'many:', 10000);
    equal($r->mset(array_combine($list, $list)), true);
    equal($r->mget($list) === $list, true);
    equal($r->del($list), 10000);
});

exit($failed ? 1 : 0);
