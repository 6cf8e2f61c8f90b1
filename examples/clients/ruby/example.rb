# A first program with redis-rb: ruby example.rb [HOST PORT]
require 'redis'

redis = Redis.new(host: ARGV[0] || '127.0.0.1', port: (ARGV[1] || 6380).to_i)

redis.set('greeting', 'hello', ex: 3600)
puts "get: #{redis.get('greeting')}"

# One round trip, whichever servers the keys are on.
replies = redis.pipelined do |pipeline|
  100.times { |i| pipeline.set("item:#{i}", i, ex: 3600) }
end
puts "pipeline: #{replies.size} replies"

puts "mget: #{redis.mget('item:1', 'item:2', 'no such item', 'item:99')}"
