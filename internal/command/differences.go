package command

// differences lists what a client that knows one server may be surprised by. Refused commands are not here: they say so
// themselves.
var differences = []Difference{
	{"every command with several keys", "keys on different nodes are refused with CROSSSLOT, but for those that Ringway splits or puts together, below; a hash tag keeps keys together", "TestCrossSlot"},
	{"MGET MSET DEL UNLINK EXISTS TOUCH", "atomic on each node, not over several; when a node is down the whole command is an error, though other nodes' parts may have been carried out", "TestSplitOverADeadNode"},
	{"SCAN", "nodes are walked one after the other, several in one answer if they have little; the cursor carries the node in its low ten bits", "TestScanWalksAllNodes"},
	{"KEYS DBSIZE RANDOMKEY FLUSHALL FLUSHDB", "all nodes at once, not at one moment", "TestWholePoolCommands"},
	{"PUBLISH SPUBLISH", "count subscriptions at the node: one for all clients of an event loop that listen to a channel", "TestPublishCountsLoops"},
	{"SUBSCRIBE PSUBSCRIBE SSUBSCRIBE", "what is published while the connection to a node is lost is missed, as by any client that reconnects; the subscription is renewed", "TestSubscriptionsAreRenewed"},
	{"SINTER SUNION SDIFF SINTERCARD ZUNION ZINTER ZDIFF ZINTERCARD XREAD", "with keys on several nodes they are answered from what each key holds, fetched one after the other: not atomic, and bounded to 64 MiB. XREAD with BLOCK needs one node", "TestGatheredCommands"},
	{"MULTI EXEC", "all keys on one node, and a channel of PUBLISH counts as one; commands that concern the connection or all nodes can't be queued", "TestTransactionsStayOnOneNode"},
	{"WATCH", "if the watching connection is lost, EXEC answers nil, as if a key had changed", "TestExecAfterALostWatch"},
	{"SELECT HELLO", "refused between WATCH and EXEC", "TestSelectAfterWatch"},
	{"EVAL EVALSHA FCALL", "without keys they run on the pool's first node; a script that touches keys it did not declare reads and writes whatever that node has", "TestKeylessScriptsRunOnOneNode"},
	{"EVALSHA", "a node that does not know the script is given its body if it has passed through Ringway", "TestLostScriptsAreSentAgain"},
	{"SCRIPT EXISTS", "1 only if every node has the script; EVAL gives it to one node", "TestScriptsAreKnownByNode"},
	{"SORT SORT_RO", "the keys that BY and GET name are looked up on the node of the sorted key", "TestSortLooksOnOneNode"},
	{"SCRIPT LOAD SCRIPT FLUSH FUNCTION LOAD FUNCTION DELETE CONFIG SET SWAPDB and others for all nodes", "when a node fails its error is the answer, though the others have done it", "TestWholePoolOverADeadNode"},
	{"BLPOP and all that blocks", "with several event loops, what is pushed in the very moment in which a blocked client leaves may still be popped for it", "TestWhoLeavesBlockedEatsNothing"},
	{"WAIT WAITAOF", "every node is asked; the least answer counts", "TestWaitAsksEveryNode"},
	{"PSUBSCRIBE and SUBSCRIBE to __keyspace@ and __keyevent@ channels", "every node is listened to; what different nodes say comes in no particular order", "TestPatternsAndNotifications"},
	{"SUBSCRIBE PSUBSCRIBE SSUBSCRIBE of a slow reader", "closed when 32 MiB wait for it", "TestSlowSubscriberIsClosed"},
	{"CLUSTER ASKING READONLY READWRITE", "with cluster_mode, Ringway is a cluster of one node that has all slots; ASKING, READONLY and READWRITE are taken without it, too", "TestOneNodeCluster"},
	{"INFO", "tells of the pool as of one server: connections, memory and CPU are Ringway's, keys and hits are summed over the nodes; a node that is down is listed", "TestInfo"},
	{"CONFIG GET CONFIG SET", "SET goes to all nodes; what concerns connections is Ringway's own and can't be set", "TestConfigGetAndSet"},
	{"SLOWLOG LATENCY MEMORY STATS LASTSAVE", "one list or sum of all nodes; slow log numbers are made unique", "TestReportsHaveTheShapeOfOneServers"},
	{"CLIENT TRACKING", "each key is invalidated right after it was read: caches are correct and empty; BCAST, PREFIX and REDIRECT are refused", "TestTrackingInvalidatesWhatWasRead"},
	{"CLIENT PAUSE", "concerns Ringway's clients; UNPAUSE is carried out during a pause of everything", "TestClientPause"},
	{"CLIENT KILL CLIENT UNBLOCK", "concern Ringway's clients", "TestClientKill"},
	{"MONITOR", "shows what passes through this Ringway, not what scripts call; a monitor that does not read is closed", "TestMonitor"},
	{"CLIENT LIST CLIENT INFO CLIENT ID", "tell of Ringway's clients; the nodes see Ringway", "TestClientListTellsOfOurClients"},
}
