package config

import (
	"fmt"
	"slices"

	"ringway/hashring"
)

// ownHash is the one hash that twemproxy doesn't have.
const ownHash = "xxhash64"

// envoyHash is the other hash of ring_hash.
const envoyHash = "murmur2_64"

// predixyHash is the other hash of list.
const predixyHash = "atol"

// allHashes are those that an option can have, whatever the distribution.
var allHashes = slices.Concat(hashring.Hashes(), []string{envoyHash, predixyHash})

// twemproxyHashes are twemproxy's, by its names. twemproxy itself has hsieh only when built with it.
var twemproxyHashes = slices.DeleteFunc(hashring.Hashes(), func(h string) bool { return h == ownHash })

// defaultHash is the hash of a distribution that says none; empty for those that have none to choose.
func defaultHash(distribution string) string {
	switch distribution {
	case "consistent", "ring_hash":
		return ownHash
	case "ketama", "modula":
		return "fnv1a_64"
	case "list":
		return "crc16"
	}
	return ""
}

// checkHash says why a hash and a distribution, each known by itself, don't go together.
//
// The ring itself would take more. A consistent ring over one of twemproxy's hashes, though, agrees with nothing that
// holds data, and some of them have few values: crc32 has 32768.
func checkHash(distribution, hash string) error {
	switch distribution {
	case "ketama", "modula":
		if hash == envoyHash || hash == predixyHash {
			only := map[string]string{envoyHash: "ring_hash", predixyHash: "list"}[hash]
			return fmt.Errorf("%s does not go with distribution %s; that is of %s alone", quote(hash), distribution, only)
		}
		return nil
	case "list":
		if hash == "crc16" || hash == predixyHash {
			return nil
		}
		return fmt.Errorf("%s does not go with distribution list; write crc16 or %s", quote(hash), predixyHash)
	case "ring_hash":
		if hash == ownHash || hash == envoyHash {
			return nil
		}
		return fmt.Errorf("%s does not go with distribution ring_hash; write %s or %s", quote(hash), ownHash, envoyHash)
	case "consistent":
		if hash == ownHash {
			return nil
		}
		return fmt.Errorf("%s does not go with distribution consistent; write %s, or distribution: ketama", quote(hash), ownHash)
	}
	return fmt.Errorf("%s is set, but distribution %s has no hash to choose; remove the line", quote(hash), distribution)
}
