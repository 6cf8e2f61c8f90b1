package e2e

// families are the commands of the twin test, as templates (see generator.expand). A family is picked first, then one of
// its templates. Left out is what two servers may answer differently: what depends on the clock (relative expiry, TTL of
// a key that expires, idle times) or on chance. "sorted:" marks replies whose elements come in any order, "shape:" those of which only
// the form can be compared, not the numbers; in "shape:" and "fixed:" no mistakes are made; "redis:"
// marks what other makes of servers say in other words.
//
// A command that can have several keys names them <{kind}>, for the reason that keys of one command must share a node,
// except for the commands that are split.
var families = [][]string{
	{ // split commands, the ones that are merged
		"MGET <str>...", "MGET <any>...", "MGET <str>...", "MGET <str> <str> <str> <str> <str> <str> <str> <str> <str> <str>",
		"MSET <str>,<v>...", "MSET <str>,<v>...", "MSET <str>,<sv>... <str>", "DEL <any>...", "UNLINK <any>...",
		"EXISTS <any>...", "EXISTS <any> <any> <any>", "TOUCH <any>...", "MGET <any> <str>...", "MSET <str>,<v>... <num> <int>",
	},
	{ // strings
		"GET <str>", "GET <str>", "SET <str> <v>", "SET <str> <v>", "SET <str> <int>", "SET <str> <v> NX", "SET <str> <v> XX",
		"SET <str> <v> GET", "SET <str> <v> KEEPTTL", "SET <str> <v> EXAT <far>", "SET <str> <v> PXAT <farms> XX",
		"SET <str> <v> NX GET", "SET <str> <v> BAD", "SET <str> <v> EX 0", "SET <str> <v> NX XX", "SETNX <str> <v>",
		"SETEX <str> 0 <v>", "SETEX <str> x <v>", "PSETEX <str> -1 <v>", "GETSET <str> <v>", "GETDEL <str>",
		"GETEX <str>", "GETEX <str> PERSIST", "GETEX <str> EXAT <far>", "GETEX <str> PXAT <farms>", "GETEX <str> EX -1",
		"APPEND <str> <sv>", "STRLEN <str>", "GETRANGE <str> <idx> <idx>", "SUBSTR <str> <idx> <idx>",
		"SETRANGE <str> <off> <sv>", "SETRANGE <str> -1 <sv>", "SETRANGE <str> 536870912 x",
		"MSETNX <{str}>,<v>...", "LCS <{str}> <{str}>", "LCS <{bits}> <{bits}> LEN",
	},
	{ // counters
		"INCR <num>", "DECR <num>", "INCRBY <num> <int>", "DECRBY <num> <int>", "INCRBYFLOAT <num> <float>", "SET <num> <int>", "INCR <str>",
		"INCR <plain>", "GET <plain>", "TTL <plain>", "PTTL <plain>", "SET <plain> <int>", "DEL <plain>",
	},
	{ // bits
		"SETBIT <bits> <off> <bit>", "SETBIT <bits> <off> 2", "SETBIT <bits> 4294967296 1", "GETBIT <bits> <off>", "BITCOUNT <bits>",
		"BITCOUNT <bits> <idx> <idx>", "BITCOUNT <bits> <idx> <idx> BIT", "BITPOS <bits> <bit>", "BITPOS <bits> <bit> <idx> <idx> BIT",
		"BITFIELD <bits> SET <type> <off> <int> GET <type> <off>", "BITFIELD <bits> OVERFLOW FAIL INCRBY <type> <off> <int>",
		"BITFIELD_RO <bits> GET <type> <off>", "BITFIELD_RO <bits> SET u8 0 1", "BITOP AND <{bits}> <{bits}> <{bits}>",
		"BITOP NOT <{bits}> <{bits}>", "BITOP XOR <{bits}> <{bits}>...", "GET <bits>",
	},
	{ // hashes
		"HSET <hash> <field>,<sv>...", "HSET <hash> <field>,<sv>...", "HSET <hash> <field>", "HMSET <hash> <field>,<sv>...",
		"HSETNX <hash> <field> <sv>", "HGET <hash> <field>", "HMGET <hash> <field>...", "HGETALL <hash>", "HGETALL <hash>", "HGETALL <hash>", "HKEYS <hash>",
		"HVALS <hash>", "HLEN <hash>", "HSTRLEN <hash> <field>", "HEXISTS <hash> <field>", "HDEL <hash> <field>...",
		"HINCRBY <hash> <field> <int>", "HINCRBYFLOAT <hash> <field> <float>", "HSCAN <hash> 0", "HSCAN <hash> 0 MATCH f*",
		"HSCAN <hash> x", "sorted: HRANDFIELD <hash> 1000", "HRANDFIELD <hash> x",
	},
	{ // lists
		"LPUSH <list> <v>...", "RPUSH <list> <v>...", "LPUSHX <list> <sv>", "RPUSHX <list> <sv>...", "LPOP <list>", "RPOP <list>",
		"LPOP <list> <n>", "RPOP <list> <n>", "LLEN <list>", "LINDEX <list> <idx>", "LRANGE <list> <idx> <idx>",
		"LRANGE <list> 0 20", "LSET <list> <idx> <sv>", "LREM <list> <n> <sv>", "LTRIM <list> <idx> <idx>", "LTRIM <list> 0 50",
		"LINSERT <list> BEFORE <sv> <sv>", "LINSERT <list> NEXT <sv> <sv>", "LPOS <list> <sv>", "LPOS <list> <sv> RANK <n> COUNT <n>",
		"LMOVE <{list}> <{list}> LEFT RIGHT", "RPOPLPUSH <{list}> <{list}>", "LMPOP 1 <{list}> LEFT COUNT <pos>",
		"LMPOP 2 <{list}> <{list}> RIGHT", "LMPOP 0 <{list}> LEFT",
	},
	{ // sets
		"SADD <set> <m>...", "SADD <iset> <im>...", "SADD <iset> <im>...", "SREM <set> <m>...", "SREM <iset> <im>...", "SCARD <set>",
		"SISMEMBER <set> <m>", "SMISMEMBER <set> <m>...", "sorted: SMEMBERS <set>", "sorted: SMEMBERS <iset>",
		"sorted: SSCAN <iset> 0 COUNT 1000", "sorted: SPOP <set> 1000", "sorted: SRANDMEMBER <set> 1000", "SPOP <iset> 0",
		"sorted: SINTER <{set}>...", "sorted: SUNION <{set}> <{iset}>", "sorted: SDIFF <{set}> <{set}>",
		"SINTERSTORE <{set}> <{set}> <{set}>", "SUNIONSTORE <{set}> <{set}>...", "SDIFFSTORE <{iset}> <{iset}> <{iset}>",
		"SINTERCARD 2 <{set}> <{set}>", "SINTERCARD 1 <{set}> LIMIT <pos>", "SMOVE <{set}> <{set}> <m>",
	},
	{ // sorted sets
		"ZADD <zset> <score>,<m>...", "ZADD <zset> <score>,<m>...", "ZADD <zset> NX <score> <m>", "ZADD <zset> XX CH <score>,<m>...",
		"ZADD <zset> GT INCR <score> <m>", "ZADD <zset> GT LT <score> <m>", "ZSCORE <zset> <m>", "ZMSCORE <zset> <m>...",
		"ZINCRBY <zset> <score> <m>", "ZCARD <zset>", "ZCOUNT <zset> <min> <max>", "fixed: ZADD <lex> 0 <m>", "fixed: ZADD <lex> 0 <m> 0 <m>", "fixed: ZREM <lex> <m>", "fixed: ZLEXCOUNT <lex> <lexmin> <lexmax>",
		"ZRANK <zset> <m>", "ZREVRANK <zset> <m>", "ZREM <zset> <m>...", "ZRANGE <zset> <idx> <idx>", "ZRANGE <zset> 0 -1 WITHSCORES",
		"ZRANGE <zset> <min> <max> BYSCORE LIMIT 0 <n>", "fixed: ZRANGE <lex> <lexmin> <lexmax> BYLEX", "ZREVRANGE <zset> 0 -1 WITHSCORES",
		"ZRANGEBYSCORE <zset> <min> <max> WITHSCORES LIMIT 1 3", "ZREVRANGEBYSCORE <zset> <max> <min>",
		"fixed: ZRANGEBYLEX <lex> <lexmin> <lexmax>", "fixed: ZREVRANGEBYLEX <lex> <lexmax> <lexmin>", "ZPOPMIN <zset>", "ZPOPMAX <zset> <n>",
		"ZREMRANGEBYRANK <zset> <idx> <idx>", "ZREMRANGEBYSCORE <zset> <min> <max>", "fixed: ZREMRANGEBYLEX <lex> <lexmin> <lexmax>",
		"sorted: ZSCAN <zset> 0", "sorted: ZRANDMEMBER <zset> 1000", "ZUNIONSTORE <{zset}> 2 <{zset}> <{zset}> WEIGHTS 2 <float>",
		"ZINTERSTORE <{zset}> 2 <{zset}> <{set}> AGGREGATE MAX", "ZDIFFSTORE <{zset}> 2 <{zset}> <{zset}>",
		"ZUNION 2 <{zset}> <{zset}> WITHSCORES", "ZINTER 1 <{zset}>", "ZDIFF 2 <{zset}> <{zset}>", "ZINTERCARD 2 <{zset}> <{zset}>",
		"ZRANGESTORE <{zset}> <{zset}> 0 3", "ZMPOP 1 <{zset}> MIN COUNT <pos>", "ZUNION 0 <{zset}>", "ZUNION x <{zset}>", "ZUNION 9 <{zset}>",
	},
	{ // streams, with IDs that are given, not made
		"XADD <stream> <id> <field>,<sv>...", "XADD <stream> <id> <field>,<sv>...", "XADD <stream> <oldid> f v",
		"XADD <stream> MAXLEN <pos> <id> f <v>", "XADD <stream> NOMKSTREAM <id> f v", "XADD <stream> <id> f", "XLEN <stream>",
		"XRANGE <stream> - +", "XRANGE <stream> <oldid> + COUNT <n>", "XREVRANGE <stream> + <oldid> COUNT 3", "XDEL <stream> <oldid>...",
		"XTRIM <stream> MAXLEN <n>", "XTRIM <stream> MINID <oldid>", "XREAD COUNT <pos> STREAMS <{stream}> <oldid>",
		"XREAD STREAMS <{stream}> <{stream}> 0 <oldid>", "XREAD STREAMS <{stream}>", "XSETID <stream> <oldid>", "XINFO STREAM <stream>",
		"XGROUP CREATE <stream> g <oldid>", "XGROUP CREATE <stream> g 0 MKSTREAM", "XGROUP DESTROY <stream> g",
		"XGROUP CREATECONSUMER <stream> g c", "XGROUP DELCONSUMER <stream> g c", "XGROUP SETID <stream> g <oldid>",
		"XGROUP NOSUCH <stream> g", "XREADGROUP GROUP g c COUNT <pos> STREAMS <{stream}> >",
		"XREADGROUP GROUP g c STREAMS <{stream}> 0", "XACK <stream> g <oldid>...", "XPENDING <stream> g", "XINFO GROUPS <stream>",
		"XCLAIM <stream> g c 0 <oldid> JUSTID", "XAUTOCLAIM <stream> g c 0 0 COUNT <pos> JUSTID",
	},
	{ // hyperloglog and geo
		"PFADD <hll> <sv>...", "PFADD <hll> <v>", "PFCOUNT <{hll}>", "PFCOUNT <{hll}>...", "PFMERGE <{hll}> <{hll}>...", "PFADD <{hll}> <sv>...",
		"GEOADD <geo> <lon>,<lat>,<m>...", "GEOADD <geo> <lon>,<lat>,<m>...", "GEOADD <geo> 200 0 x", "GEOADD <geo> XX CH <lon> <lat> <m>",
		"GEOPOS <geo> <m>...", "GEOHASH <geo> <m>...", "GEODIST <geo> <m> <m> <unit>",
		"GEOSEARCH <geo> FROMLONLAT <lon> <lat> BYRADIUS <dist> km ASC WITHDIST", "GEOSEARCH <geo> FROMMEMBER <m> BYBOX <dist> <dist> <unit> DESC",
		"GEORADIUS <{geo}> <lon> <lat> <dist> km WITHCOORD ASC", "GEORADIUSBYMEMBER_RO <geo> <m> <dist> mi",
		"GEOSEARCHSTORE <{geo}> <{geo}> FROMLONLAT <lon> <lat> BYRADIUS <dist> km ASC COUNT <pos>",
		"GEORADIUS <{geo}> <lon> <lat> <dist> km STORE <{geo}>",
	},
	{ // keys of any type
		"TYPE <any>", "OBJECT ENCODING <any>", "OBJECT REFCOUNT <any>", "OBJECT FREQ <any>", "OBJECT NOSUCH <any>", "OBJECT", "DUMP <plain>",
		"DUMP <seq>", "DUMP <seq>", "RPUSH <seq> <v>...", "LTRIM <seq> 0 9", "RESTORE <any> 0 <dump>", "RESTORE <any> 0 <dump> REPLACE", "fixed: RESTORE <any> <farms> <dump> REPLACE ABSTTL",
		"RESTORE <any> 0 broken REPLACE", "EXPIREAT <any> <far>", "PEXPIREAT <any> <farms>", "EXPIREAT <any> <far> NX", "EXPIREAT <any> <far> GT",
		"EXPIREAT <any> 1", "PEXPIREAT <any> 1", "EXPIRE <any> -1", "EXPIRE <any> x", "PEXPIRE <any> 0", "EXPIREAT <any> <far> NX XX", "EXPIRETIME <any>",
		"PEXPIRETIME <any>", "PERSIST <any>", "RENAME <{any}> <{any}>", "RENAMENX <{any}> <{any}>", "COPY <{any}> <{any}>",
		"COPY <{any}> <{any}> REPLACE", "COPY <{any}> <{any}> DB 1", "MOVE <any> 1", "MOVE <any> 99", "sorted: SORT <{list}> ALPHA", "SORT <{iset}> DESC",
		"SORT <{list}>", "SORT_RO <iset> LIMIT 0 3", "SORT <{iset}> STORE <{list}>", "DEL <any>", "UNLINK <any> <any>",
	},
	{ // reads of several keys that may be on several nodes
		"fixed: sorted: SINTER <set> <set>", "fixed: sorted: SINTER <iset>...", "fixed: sorted: SUNION <set>...", "fixed: sorted: SUNION <set> <iset>...", "fixed: sorted: SDIFF <set> <set>...",
		"fixed: SINTERCARD 2 <set> <set>", "fixed: SINTERCARD 3 <iset> <iset> <iset> LIMIT <pos>", "fixed: ZUNION 2 <zset> <zset>", "redis: ZUNION 3 <zset> <set> <zset> WITHSCORES",
		"redis: ZUNION 2 <zset> <zset> WEIGHTS <weight> <weight> WITHSCORES", "redis: ZINTER 2 <zset> <zset> AGGREGATE MAX WITHSCORES", "fixed: ZINTER 2 <zset> <set>",
		"redis: ZDIFF 2 <zset> <zset> WITHSCORES", "fixed: ZDIFF 3 <zset> <zset> <set>", "fixed: ZINTERCARD 2 <zset> <zset> LIMIT <pos>", "fixed: ZUNION 2 <zset> <zset> AGGREGATE MIN",
		"fixed: XREAD STREAMS <stream> <stream> 0 <oldid>", "fixed: XREAD COUNT <pos> STREAMS <stream> <stream> <stream> 0 0 0",
	},
	{ // keys that expire, and others that depend on the time
		"fixed: SET <ttl> <sv> EX <far>", "fixed: SET <ttl> <sv> PX <farms>", "fixed: SET <ttl> <v>", "fixed: SETEX <ttl> <far> <sv>", "fixed: PSETEX <ttl> <farms> <sv>",
		"fixed: EXPIRE <ttl> <far>", "fixed: PEXPIRE <ttl> <farms> NX", "fixed: EXPIRE <ttl> <far> XX", "fixed: GETEX <ttl> EX <far>", "shape: TTL <ttl>", "shape: PTTL <ttl>",
		"shape: EXPIRETIME <ttl>", "shape: PEXPIRETIME <ttl>", "fixed: PERSIST <ttl>", "fixed: GET <ttl>", "fixed: DEL <ttl> <ttl>", "shape: XADD <auto> * f v",
		"shape: XADD <auto> MAXLEN = 5 * f <sv>", "shape: OBJECT IDLETIME <any>", "shape: MEMORY USAGE <any>", "shape: MEMORY USAGE <any> SAMPLES 5", "shape: TIME",
		"shape: LASTSAVE", "redis: LOLWUT", "shape: XINFO CONSUMERS <stream> g", "shape: XPENDING <stream> g - + 5", "shape: XINFO STREAM <stream> FULL",
	},
	{ // scripts and functions that are known already
		"EVALSHA <sha> 1 <{str}> <sv>", "EVALSHA <sha> 1 <{num}> 1", "EVALSHA <sha> 1 <{hash}> x", "EVALSHA <nosha> 0", "EVALSHA <nosha> 1 <{str}>", "EVALSHA_RO <sha> 1 <{str}> <sv>",
		"EVALSHA_RO <sha> 2 <{str}> <{str}>", "EVALSHA <sha> x", "SCRIPT EXISTS <sha>,<nosha>...", "SCRIPT EXISTS <sha>...", "SCRIPT LOAD <script>", "SCRIPT LOAD return(", "SCRIPT KILL", "SCRIPT NOSUCH",
		"SCRIPT", "FCALL twin_set 1 <{str}> <sv>", "FCALL twin_get 1 <{str}>", "FCALL twin_say 2 <{any}> <{any}> <v>", "FCALL_RO twin_get 1 <{any}>", "FCALL_RO twin_set 1 <{str}> x",
		"FCALL nosuch 1 <{str}>", "FCALL twin_get x", "FCALL twin_get 5 <{str}>", "fixed: sorted: FUNCTION LIST", "fixed: sorted: FUNCTION LIST LIBRARYNAME twins WITHCODE", "fixed: FUNCTION LIST LIBRARYNAME none", "fixed: FUNCTION LIST NOSUCH",
		"FUNCTION LOAD <library>", "FUNCTION LOAD REPLACE <library>", "FUNCTION LOAD x", "FUNCTION STATS", "FUNCTION DUMP", "FUNCTION RESTORE <librarydump>", "FUNCTION RESTORE <librarydump> REPLACE",
		"FUNCTION RESTORE broken", "FUNCTION DELETE nosuch", "FUNCTION KILL", "FUNCTION",
	},
	{ // what is refused elsewhere and about the server
		"GEORADIUS_RO <geo> <lon> <lat> <dist> km ASC", "GEORADIUSBYMEMBER <{geo}> <m> <dist> km ASC", "GEORADIUSBYMEMBER <{geo}> <m> <dist> km STOREDIST <{geo}>", "PFDEBUG ENCODING <hll>",
		"PFDEBUG TODENSE <hll>", "RESTORE-ASKING <any> 0 <dump> REPLACE", "MIGRATE 127.0.0.1 1 <{any}> 0 50", "MIGRATE 127.0.0.1 1 <empty> 0 50 COPY KEYS <{any}> <{any}>",
		"PUBLISH <chan> <v>", "SPUBLISH <chan> <v>", "PUBSUB NUMSUB", "PUBSUB NUMSUB <chan>", "PUBSUB SHARDNUMSUB <chan>", "fixed: PUBSUB CHANNELS nosuch*", "fixed: PUBSUB SHARDCHANNELS nosuch*", "PUBSUB NOSUCH",
		"WAIT 0 10", "WAIT x 10", "WAIT 0 -1", "CLIENT GETNAME", "fixed: CLIENT SETNAME a-name", "CLIENT NO-EVICT on", "CLIENT REPLY ON", "CLIENT NOSUCH", "shape: CLIENT ID", "AUTH x",
		"AUTH default x", "fixed: COMMAND GETKEYS MSET <str> a <str> b", "fixed: COMMAND GETKEYS ZUNIONSTORE a 2 b c", "redis: COMMAND GETKEYS GET", "fixed: COMMAND GETKEYSANDFLAGS SET k v", "fixed: COMMAND INFO nosuch",
		"EXEC", "DISCARD", "UNWATCH", "fixed: MULTI x",
	},
	{ // help
		"redis: OBJECT HELP", "redis: XGROUP HELP", "redis: XINFO HELP", "redis: PUBSUB HELP", "redis: SCRIPT HELP", "redis: FUNCTION HELP", "redis: CONFIG HELP", "redis: LATENCY HELP", "redis: MEMORY HELP", "redis: SLOWLOG HELP", "redis: MODULE HELP", "redis: COMMAND HELP",
		"redis: CLIENT HELP", "redis: ACL HELP", "ACL WHOAMI", "MODULE LIST",
	},
	{ // scripts, and what the session answers itself
		"EVAL return{KEYS[1],ARGV[1],1.5,true,false,{ok='fine'}} 1 <{str}> <sv>", "EVAL return{err='MYERR'} 1 <{str}>",
		"EVAL return(redis.call('GET',KEYS[1])) 1 <{str}>", "EVAL_RO return(redis.pcall('SET',KEYS[1],'x')) 1 <{str}>", "EVAL return(nosuch) 1 <{str}>",
		"EVAL return(1 1 <{str}>", "EVAL return(1) 7 <{str}>", "EVAL return(1) x <{str}>", "EVAL return(1) -1 <{str}>",
		"PING", "PING <v>", "PING a b", "ECHO <v>", "ECHO", "SELECT 0", "SELECT 1", "SELECT 0", "SELECT 99", "SELECT x", "SELECT", "SELECT 1 2",
	},
	{ // mistakes
		"<unknown>", "<unknown> <junk>...", "<unknown> <junk>,<junk>,<junk>...", "GET", "GET <str> <str>", "SET <str>", "HSET <hash>", "LPUSH <list>",
		"ZADD <zset> 1", "XADD <stream> 1-1", "INCR", "EXPIREAT <any>", "XGROUP", "XINFO", "XINFO NOSUCH <stream>", "BITOP", "MSET <str> <v> <str>",
	},
}

// sequences are commands that follow each other: what blocks finds what it waits for, or waits a moment.
var sequences = []string{
	"MULTI; SET @str x; EXEC x; GET @str; EXEC", "EXEC x",
	"RPUSH @list <sv>; BLPOP @list 5", "RPUSH @list <sv> <v>; BRPOP @list @list2 5", "LPUSH @list <sv>; BLMOVE @list @list2 LEFT RIGHT 5", "LPUSH @list <v>; BRPOPLPUSH @list @list2 5",
	"LPUSH @list a b; BLMPOP 5 2 @list2 @list RIGHT COUNT 2", "ZADD @zset 1 a; BZPOPMIN @zset 5", "ZADD @zset 1.5 b; BZPOPMAX @zset2 @zset 5", "ZADD @zset 1 a 2 b; BZMPOP 5 1 @zset MAX COUNT 3",
	"XADD @stream <id> f <sv>; XREAD BLOCK 100 STREAMS @stream 0", "XADD @stream <id> f v; XREAD COUNT 2 BLOCK 100 STREAMS @stream2 @stream $ 0",
	"XGROUP CREATE @stream g 0 MKSTREAM; XADD @stream <id> f v; XREADGROUP GROUP g c BLOCK 100 STREAMS @stream >; XREADGROUP GROUP g c BLOCK 100 STREAMS @stream 0; XACK @stream g <oldid>",
	"RPUSH @list a; BLPOP @list x", "RPUSH @list a; BLPOP @list -1", "SET @str x; BLPOP @str 1", "SET @str x; BZPOPMIN @str 1", "BLPOP", "BLMPOP 1 0 LEFT", "BLPOP @list",
	"WATCH @str; INCR @str; MULTI; SET @str x; EXEC", "WATCH @str; MULTI; SET @str 5; EXEC; GET @str", "WATCH @str; UNWATCH; INCR @str; MULTI; GET @str; EXEC", "WATCH @str; SET @str 1; MULTI; DISCARD; MULTI; GET @str; EXEC",
	"MULTI; INCR @str; NOSUCH; EXEC; GET @str", "MULTI; GET; EXEC", "MULTI; LPUSH @str x; INCR @str; EXEC", "MULTI; EXEC", "MULTI; BLPOP @list 0; XREAD BLOCK 0 STREAMS @stream $; EXEC", "MULTI; WAIT 5 0; PING; TYPE @str; EXEC",
	"MULTI; XGROUP NOSUCH; EXEC", "MULTI; UNWATCH; SCRIPT NOSUCH; DISCARD", "SUBSCRIBE @channel1 @channel2; UNSUBSCRIBE @channel1 @channel2; UNSUBSCRIBE",
	"PSUBSCRIBE @channel*; SUBSCRIBE @channel1 @channel1; PUNSUBSCRIBE @channel*; UNSUBSCRIBE @channel1", "SSUBSCRIBE @channel3 @channel4; SUNSUBSCRIBE @channel4 @channel3 @channel4", "UNSUBSCRIBE; PUNSUBSCRIBE; SUNSUBSCRIBE",
	"SELECT 1; SET @str 1; RESET; shape: redis: HELLO <proto>; GET @str", "MULTI; SET @str x; RESET; shape: redis: HELLO <proto>; EXEC; GET @str", "WATCH @str; SET @str y; RESET; shape: redis: HELLO <proto>; MULTI; GET @str; EXEC",
	"SUBSCRIBE @channel5; RESET; shape: redis: HELLO <proto>; UNSUBSCRIBE @channel5; GET @str", "HELLO 9; HELLO x; HELLO <proto> SETNAME; shape: redis: HELLO <proto> SETNAME x; CLIENT GETNAME",
	"CLIENT REPLY ON; GET @str", "shape: INFO nosuch; shape: ROLE; PUBSUB NUMPAT x",
}

// redisSequences are those in which other makes of servers differ from Redis.
var redisSequences = []string{
	"CLUSTER INFO; CLUSTER SLOTS; CLUSTER SHARDS; CLUSTER NODES; CLUSTER MYID; CLUSTER KEYSLOT a; CLUSTER LINKS; CLUSTER REPLICAS x; CLUSTER SLAVES x",
	"MULTI; WATCH @str; EXEC", "MULTI; MULTI; EXEC", "MULTI; SET @str x; MULTI; WATCH @str2; UNWATCH; EXEC"}

// subscriberSequences are for RESP2 only, where a client that listens may send little else.
var subscriberSequences = []string{
	"SUBSCRIBE @channel1; GET @str; PING; PING x; SET @str 1; NOSUCH; UNSUBSCRIBE @channel1; GET @str", "PSUBSCRIBE @channel*; ECHO x; PSUBSCRIBE a; MULTI; PUNSUBSCRIBE @channel* a; PING",
	"SSUBSCRIBE @channel1; GET @str; SUBSCRIBE @channel2; PING; UNSUBSCRIBE @channel2; PING; GET @str; SUNSUBSCRIBE @channel1; GET @str",
}
