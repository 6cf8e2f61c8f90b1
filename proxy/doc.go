// Package proxy is what a request lives through: the listener that accepts its client, the session that finds it in the
// bytes that arrive, the planner that decides where it goes, and the slot in which its reply waits for its turn.
//
// Everything a request touches belongs to one worker, that is, to one event loop. Workers share the configuration and
// the rings, which don't change, and nothing else.
//
// Bytes are lent: a request points into the loop's read buffer or the session's, and a reply into the loop's, for
// the length of the call. What has to stay is copied into a lane's or a client's output, and only once.
package proxy
