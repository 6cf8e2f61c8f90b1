package proxy

// What a client may be told, in Redis's own words where Redis has some. Without the leading '-'.
const (
	errCrossSlot       = "CROSSSLOT Keys in request don't hash to the same slot"
	errNoAuth          = "NOAUTH Authentication required."
	errWrongPass       = "WRONGPASS invalid username-password pair or user is disabled."
	errNoPassword      = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
	errMaxClients      = "ERR max number of clients reached"
	errNotInteger      = "ERR value is not an integer or out of range"
	errNotInt32        = "ERR value is out of range, value must between -2147483648 and 2147483647"
	errDBRange         = "ERR DB index is out of range"
	errNoProto         = "NOPROTO unsupported protocol version"
	errProtoNumber     = "ERR Protocol version is not an integer or out of range"
	errHelloNoAuth     = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
	errClientName      = "ERR Client names cannot contain spaces, newlines or special characters."
	errSyntax          = "ERR syntax error"
	errMergedReply     = "ERR the nodes' answers do not fit together: a node sent an unexpected reply"
	errReplicaOf       = "ERR REPLICAOF is refused: replication is not changed through the router; connect to the node itself"
	errNamesCopy       = "ERR keys that begin with " + copyPrefix + " are the router's own here: they are copies of hot keys"
	errClusterDisabled = "ERR This instance has cluster support disabled"
)
