# The sweep of ruby-redis: ruby sweep.rb HOST PORT
#
# It prints "ok NAME" or "FAIL NAME: reason" for each check and exits with 1 if any failed.
require 'redis'
require 'set'
require 'timeout'

HOST, PORT = ARGV[0], ARGV[1].to_i

def connect
  Redis.new(host: HOST, port: PORT)
end

R = connect
R.flushall
$failed = false

def check(name)
  Timeout.timeout(60) { yield }
  puts "ok #{name}"
rescue StandardError, Timeout::Error => e
  $failed = true
  puts "FAIL #{name}: #{e.class}: #{e.message}"[0, 500].tr("\n", ' ')
  warn e.full_message
end

def equal(got, want)
  raise "got #{got.inspect[0, 200]}, want #{want.inspect[0, 200]}" unless got == want
end

def fails(*words)
  yield
rescue Redis::BaseError => e
  raise unless words.any? { |w| e.message.include?(w) }
else
  raise "worked, but should have failed with #{words.join(' or ')}"
end

def keys(prefix, count)
  Array.new(count) { |i| "#{prefix}#{i}" }
end

BIG = ((0..255).map(&:chr).join.b * (10 * 4096)).b
BINARY_KEYS = ['', "\0", "\r\n", "$5\r\nhello\r\n", '{', '{}x', "{\xff}y", BIG[0, 256], 'k' * 70_000].map(&:b) +
              (0..255).map { |i| 'bin:'.b + i.chr.b }

check('strings') do
  equal R.set('s:a', 1), 'OK'
  equal R.incrby('s:a', 41), 42
  equal R.get('s:none'), nil
  equal R.mset('s:1', 'a', 's:2', 'b', 's:3', 'c'), 'OK'
  equal R.mget('s:1', 's:none', 's:3'), ['a', nil, 'c']
  equal R.exists('s:1', 's:none'), 1
  equal R.del('s:1', 's:2', 's:3'), 3
  equal R.msetnx('{s}1', 'a', '{s}2', 'b'), true
  equal R.rename('{s}1', '{s}3'), 'OK'
  fails('not an integer') { R.incr('{s}3') }
end

check('hashes') do
  equal R.hset('h', 'a', 1, 'b', 2), 2
  equal R.hgetall('h'), { 'a' => '1', 'b' => '2' }
  equal R.hscan_each('h').to_a.size, 2
end

check('lists') do
  equal R.rpush('{l}1', %w[a b c]), 3
  equal R.lmove('{l}1', '{l}2', 'LEFT', 'RIGHT'), 'a'
  equal R.lrange('{l}1', 0, -1), %w[b c]
end

check('sets') do
  equal R.sadd('{t}1', %w[a b]), 2
  equal R.sadd('{t}2', %w[b c]), 2
  equal R.sinter('{t}1', '{t}2'), ['b']
  equal R.sunion('{t}1', '{t}2').sort, %w[a b c]
end

check('sorted-sets') do
  equal R.zadd('z', [[1, 'a'], [2.5, 'b']]), 2
  equal R.zrange('z', 0, -1, with_scores: true), [['a', 1.0], ['b', 2.5]]
  equal R.zincrby('z', Float::INFINITY, 'a'), Float::INFINITY
end

check('streams') do
  ids = Array.new(5) { |n| R.xadd('x', { n: n }) }
  equal R.xrange('x').map(&:first), ids
  equal R.xread('x', '0', count: 3)['x'].map(&:first), ids[0, 3]
  equal R.xgroup(:create, 'x', 'g', '0'), 'OK'
  equal R.xreadgroup('g', 'me', 'x', '>', count: 4)['x'].map(&:first), ids[0, 4]
  equal R.xack('x', 'g', ids), 4
end

check('hyperloglog') do
  R.pfadd('{p}1', keys('', 1000))
  equal R.pfmerge('{p}2', '{p}1'), true
  equal (R.pfcount('{p}1', '{p}2') - 1000).abs < 50, true
end

check('geo') do
  equal R.geoadd('g', 13.361389, 38.115556, 'Palermo', 15.087269, 37.502669, 'Catania'), 2
  equal R.geodist('g', 'Palermo', 'Catania', 'km').to_f.round, 166
end

check('bits') do
  equal R.setbit('{b}1', 7, 1), 0
  equal R.bitop('NOT', '{b}2', '{b}1'), 1
  equal R.bitcount('{b}2'), 7
end

check('scan') do
  want = keys('scan:', 3000)
  R.mapped_mset(want.to_h { |k| [k, k] })
  equal R.scan_each(match: 'scan:*', count: 100).to_set, want.to_set
  equal R.keys('scan:*').sort, want.sort
end

check('pipeline') do
  got = R.pipelined { |p| keys('pipe:', 1000).each { |k| p.set(k, k); p.get(k) } }
  equal got, keys('pipe:', 1000).flat_map { |k| ['OK', k] }
end

check('transaction') do
  equal R.multi { |t| t.set('{tx}a', 1); t.incr('{tx}a') }, ['OK', 2]
  fails('CROSSSLOT', 'EXECABORT') { R.multi { |t| keys('tx:', 50).each { |k| t.set(k, 'x') } } }
  equal R.exists(*keys('tx:', 50)), 0
end

check('watch') do
  R.set('{w}a', 5)
  own = connect
  equal own.watch('{w}a') { own.multi { |t| t.incr('{w}a') } }, [6]
  equal own.watch('{w}a') { R.set('{w}a', 100); own.multi { |t| t.incr('{w}a') } }, nil
  equal R.get('{w}a'), '100'
end

check('scripts') do
  sha = R.script(:load, "return redis.call('INCRBY', KEYS[1], ARGV[1])")
  30.times { |i| equal R.evalsha(sha, ["ev:#{i}"], [i]), i }
  equal R.eval('return {KEYS[1], ARGV[1]}', ['k'], ['v']), %w[k v]
  fails('NOSCRIPT') { R.evalsha('0' * 40, ['k']) }
end

check('blocking') do
  own = connect
  popped = Thread.new { own.blpop('bl', timeout: 5) }
  sleep 0.1
  R.rpush('bl', 'x')
  equal popped.value, %w[bl x]
  equal own.blpop('bl:none', timeout: 0.1), nil
end

# Subscribes, publishes once all subscriptions are confirmed, and wants every message once.
def subscribed(names, channels)
  got = []
  sub = connect
  take = lambda do |channel, message|
    got << [channel, message]
    yield sub if got.size == channels.size
  end
  ready = lambda do |_, count|
    Thread.new { channels.each { |c| R.publish(c, "to #{c}") } } if count == names.size
  end
  kind = names.first.include?('*') ? :psubscribe : :subscribe
  sub.send(kind, *names) do |on|
    on.send(kind, &ready)
    on.message { |channel, message| take.call(channel, message) }
    on.pmessage { |_, channel, message| take.call(channel, message) }
  end
  equal got.sort, channels.map { |c| [c, "to #{c}"] }.sort
end

check('pubsub') { subscribed(keys('room:', 20), keys('room:', 20), &:unsubscribe) }
check('patterns') { subscribed(['pat.*'], keys('pat.', 100), &:punsubscribe) }

check('big-value') do
  equal R.set('big', BIG), 'OK'
  equal R.get('big').b == BIG, true
  equal R.del('big'), 1
end

check('binary-keys') do
  equal R.mset(*BINARY_KEYS.flat_map { |k| [k, k] }), 'OK'
  equal R.mget(*BINARY_KEYS).map(&:b) == BINARY_KEYS, true
  equal R.del(*BINARY_KEYS), BINARY_KEYS.size
end

check('mget') do
  list = keys('many:', 10_000)
  equal R.mapped_mset(list.to_h { |k| [k, k] }), 'OK'
  equal R.mget(*list) == list, true
  equal R.del(*list), 10_000
end

exit($failed ? 1 : 0)
