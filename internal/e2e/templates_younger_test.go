package e2e

// youngerFamilies are further families of the twin test, for servers that know what has come after Redis 7.0: Valkey 9.1. Hashes whose
// fields expire are of kinds that nothing else touches: in those of hx a field expires at a given time, far away, in those of hr
// so long from now, and their fields come in no order.
var youngerFamilies = [][]string{
	{ // fields that expire at a given time
		"HSET <hx> <field>,<sv>...", "HSETNX <hx> <field> <sv>", "HDEL <hx> <field>...", "HGET <hx> <field>", "HMGET <hx> <field>...", "HLEN <hx>", "HEXISTS <hx> <field>", "HSTRLEN <hx> <field>",
		"fixed: sorted: HGETALL <hx>", "fixed: sorted: HKEYS <hx>", "fixed: sorted: HVALS <hx>", "HINCRBY <hx> <field> <int>", "HINCRBYFLOAT <hx> <field> <float>", "DEL <hx>", "TYPE <hx>", "EXISTS <hx> <hx>",
		"HEXPIREAT <hx> <far> FIELDS 1 <field>", "HEXPIREAT <hx> <far> FIELDS 3 <field> <field> <field>", "HPEXPIREAT <hx> <farms> FIELDS 1 <field>", "HPEXPIREAT <hx> <farms> FIELDS 2 <field> <field>",
		"HEXPIREAT <hx> <far> NX FIELDS 1 <field>", "HEXPIREAT <hx> <far> XX FIELDS 2 <field> <field>", "HEXPIREAT <hx> <far> GT FIELDS 1 <field>", "HPEXPIREAT <hx> <farms> LT FIELDS 1 <field>",
		"HEXPIREAT <hx> 1 FIELDS 1 <field>", "HPEXPIREAT <hx> 1 FIELDS 2 <field> <field>", "HEXPIRE <hx> 0 FIELDS 1 <field>", "HPEXPIRE <hx> 0 FIELDS 1 <field>",
		"HEXPIRETIME <hx> FIELDS 1 <field>", "HEXPIRETIME <hx> FIELDS 4 <field> <field> <field> <field>", "HPEXPIRETIME <hx> FIELDS 2 <field> <field>", "HPERSIST <hx> FIELDS 1 <field>", "HPERSIST <hx> FIELDS 2 <field> <field>",
		"shape: HTTL <hx> FIELDS 2 <field> <field>", "shape: HPTTL <hx> FIELDS 2 <field> <field>",
		"HGETEX <hx> FIELDS 1 <field>", "HGETEX <hx> EXAT <far> FIELDS 2 <field> <field>", "HGETEX <hx> PXAT <farms> FIELDS 1 <field>", "HGETEX <hx> PERSIST FIELDS 3 <field> <field> <field>", "HGETEX <hx> EXAT 1 FIELDS 1 <field>",
		"HSETEX <hx> FIELDS 1 <field> <sv>", "HSETEX <hx> EXAT <far> FIELDS 2 <field> <sv> <field> <v>", "HSETEX <hx> PXAT <farms> FIELDS 1 <field> <sv>", "HSETEX <hx> KEEPTTL FIELDS 1 <field> <sv>",
		"HSETEX <hx> FNX FIELDS 1 <field> <sv>", "HSETEX <hx> FXX EXAT <far> FIELDS 2 <field> <sv> <field> <sv>", "HSETEX <hx> NX FIELDS 1 <field> <sv>", "HSETEX <hx> XX FIELDS 1 <field> <sv>",
		"HGETDEL <hx> FIELDS 1 <field>", "HGETDEL <hx> FIELDS 3 <field> <field> <field>",
	},
	{ // the same so long from now, and in other words
		"fixed: HSET <hr> <field>,<sv>...", "fixed: HEXPIRE <hr> <far> FIELDS 2 <field> <field>", "fixed: HPEXPIRE <hr> <farms> NX FIELDS 1 <field>", "fixed: HEXPIRE <hr> <far> XX FIELDS 1 <field>",
		"fixed: HGETEX <hr> EX <far> FIELDS 1 <field>", "fixed: HGETEX <hr> PX <farms> FIELDS 2 <field> <field>", "fixed: HSETEX <hr> EX <far> FIELDS 1 <field> <sv>", "fixed: HSETEX <hr> PX <farms> FIELDS 1 <field> <v>",
		"shape: HTTL <hr> FIELDS 3 <field> <field> <field>", "shape: HPTTL <hr> FIELDS 1 <field>", "shape: HEXPIRETIME <hr> FIELDS 2 <field> <field>", "shape: HPEXPIRETIME <hr> FIELDS 1 <field>", "fixed: sorted: HGETALL <hr>",
	},
	{ // their mistakes
		"fixed: HEXPIRE <hx> x FIELDS 1 f1", "fixed: HEXPIRE <hx> 10 FIELDS 0 f1", "fixed: HEXPIRE <hx> 10 FIELDS 2 f1", "fixed: HEXPIRE <hx> 10 f1 f2 f3", "HEXPIREAT <hx> <far> NX XX FIELDS 1 f1", "HEXPIRE <hx> 9223372036854775807 FIELDS 1 f1",
		"HTTL <any> FIELDS 1 <field>", "HPTTL <any> FIELDS x <field>", "HPERSIST <str> FIELDS 1 f1", "HEXPIRETIME <list> FIELDS 1 f1", "HTTL <hx> FIELDS 1", "fixed: HGETEX <hx> EX FIELDS 1 f1", "HGETEX <hx> PERSIST EXAT <far> FIELDS 1 f1",
		"HGETEX <str> FIELDS 1 f1", "HSETEX <hx> FIELDS 2 f1 v1", "HSETEX <hx> KEEPTTL EXAT <far> FIELDS 1 f v", "HSETEX <zset> FIELDS 1 f v", "HGETDEL <hx> FIELDS 1", "HGETDEL <set> FIELDS 1 f1", "HGETDEL <hx> 1 f1 f2",
	},
	{ // strings that are compared first, and several with one time to live
		"SET <str> <sv>", "SET <str> <sv> IFEQ <sv>", "SET <str> <sv> IFEQ <sv> GET", "SET <num> <int> IFEQ <int>", "SET <str> <sv> IFEQ <sv> EXAT <far>", "SET <str> <sv> IFEQ", "SET <str> <sv> NX IFEQ <sv>", "SET <any> x IFEQ y",
		"DELIFEQ <str> <sv>", "DELIFEQ <num> <int>", "DELIFEQ <any> x", "DELIFEQ <str>",
		"MSETEX 1 <{str}> <v>", "MSETEX 2 <{str}> <sv> <{str}> <sv> EXAT <far>", "MSETEX 3 <{str}> <sv> <{str}> <sv> <{num}> <int> NX", "MSETEX 2 <{str}> <v> <{str}> <sv> XX PXAT <farms>", "MSETEX 1 <{any}> <sv> KEEPTTL",
		"MSETEX 0 <{str}> x", "MSETEX 2 <{str}> x", "MSETEX x <{str}> x", "MSETEX 1 <{str}> x EXAT",
	},
	{ // what older commands have learned; with polygons as wide as the world two servers do not always agree
		"ZRANK <zset> <m> WITHSCORE", "ZREVRANK <zset> <m> WITHSCORE", "ZRANK <zset> <m> NOSUCH", "sorted: HSCAN <hash> 0 NOVALUES", "HSCAN <hash> 0 NOVALUES COUNT 1000 MATCH f*",
		"GEOSEARCH <geo> BYPOLYGON 3 0 0 40 0 20 40 ASC WITHDIST", "GEOSEARCH <geo> BYPOLYGON 2 <lon> <lat> <lon> <lat>",
		"GEOSEARCHSTORE <{geo}> <{geo}> BYPOLYGON 4 0 0 50 10 40 60 -20 40",
	},
	{ // connections and servers
		"CLIENT CAPA redirect", "CLIENT CAPA nosuch redirect", "CLIENT CAPA", "CLIENT NO-TOUCH on", "CLIENT NO-TOUCH off", "CLIENT NO-TOUCH x", "fixed: CLIENT SETINFO LIB-NAME a-lib", "fixed: CLIENT SETINFO lib-ver 1.0",
		"fixed: CLIENT SETINFO nosuch x", "CLIENT SETINFO lib-name <empty>", "fixed: CLIENT SETINFO lib-ver a\x01b", "WAITAOF 0 0 10", "WAITAOF 1 0 10", "WAITAOF 2 0 10", "WAITAOF x 0 10", "WAITAOF 0 -1 10", "WAITAOF 0 0 -1",
		"SCRIPT SHOW <sha>", "SCRIPT SHOW <nosha>", "fixed: COMMAND GETKEYS MSETEX 2 <str> a <str> b NX", "fixed: COMMAND GETKEYS HSETEX <hx> FIELDS 1 f v", "fixed: COMMAND GETKEYS DELIFEQ <str> x",
		"type: COMMANDLOG GET 5 slow", "type: COMMANDLOG GET -1 large-request", "type: COMMANDLOG GET 1 large-reply", "COMMANDLOG GET x slow", "COMMANDLOG GET 1 nosuch", "type: COMMANDLOG LEN slow", "type: COMMANDLOG LEN large-reply", "COMMANDLOG LEN nosuch",
		"COMMANDLOG RESET slow", "COMMANDLOG RESET nosuch", "redis: COMMANDLOG HELP", "COMMANDLOG NOSUCH",
	},
}

// youngerSequences are those of youngerFamilies' commands that belong together.
var youngerSequences = []string{
	"SET @str a; SET @str b IFEQ x; SET @str b IFEQ a; SET @str c IFEQ b GET; DELIFEQ @str b; DELIFEQ @str c; GET @str",
	"DEL @hx; HSETEX @hx EXAT <far> FIELDS 2 f1 a f2 b; HGET @hx f1; HEXPIRETIME @hx FIELDS 3 f1 f2 f3; HPERSIST @hx FIELDS 2 f1 f3; HEXPIRETIME @hx FIELDS 2 f1 f2; HGETDEL @hx FIELDS 2 f1 f3; HPEXPIREAT @hx 1 FIELDS 1 f2; EXISTS @hx",
	"MULTI; HSETEX @hx EXAT <far> FIELDS 1 f v; HGETEX @hx PERSIST FIELDS 1 f; HEXPIRETIME @hx FIELDS 1 f; HGETDEL @hx FIELDS 1 f; EXEC", "WATCH @hx; HSETEX @hx FIELDS 1 f v; MULTI; HGETDEL @hx FIELDS 1 f; EXEC; HLEN @hx",
	"MULTI; DELIFEQ @str x; MSETEX 1 @str x NX; SET @str y IFEQ x; EXEC; GET @str", "MULTI; HEXPIRE @hx; EXEC", "HSETEX @hx FIELDS 1 f v; HPEXPIREAT @hx <farms> FIELDS 1 f; RENAME @hx @hx2; HPEXPIRETIME @hx2 FIELDS 1 f; DEL @hx2",
}
