package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// badFiles are the files of testdata that must be refused, each named by its mistake, and what is said about them:
// line and text, the lines of several problems one below the other.
var badFiles = []struct{ name, says string }{
	{"empty", `1: the file is empty; expected a map with threads, admin, log and pools (a commented example is proxy.yml)`},
	{"only_comments", `1: the file is empty; expected a map with threads, admin, log and pools (a commented example is proxy.yml)`},
	{"empty_map", `1: the file is empty; expected a map with threads, admin, log and pools (a commented example is proxy.yml)`},
	{"not_a_map", `1: found a list; expected a map with threads, admin, log and pools (a commented example is proxy.yml)`},
	{"prose", `1: found the text "This file has been left empty on purpose."; expected a map with threads, admin, log and pools (a commented example is proxy.yml)`},
	{"binary", `1: not YAML: control characters; expected text`},
	{"tab", `3: a tab in the indentation; YAML wants spaces`},
	{"indentation", `3: not YAML: the indentation fits no line above; expected options of one map in one column`},
	{"unclosed_bracket", `4: not YAML: a [ that is never closed, or a comma missing after it`},
	{"unclosed_quote", `2: not YAML: a quote that is never closed`},
	{"colon_too_many", `4: not YAML: a colon too many, or a line indented too far; put text with ": " in it in quotes`},
	{"line_without_colon", `4: not YAML: a line without a colon; expected option: value`},
	{"character_with_a_meaning", `4: not YAML: a value begins with a character that has a meaning in YAML; put it in quotes`},
	{"unclosed_brace", `5: not YAML: a { that is never closed, or a comma missing after it`},
	{"not_utf8", `4: not YAML: bytes that are not UTF-8; expected text`},
	{"two_documents", `6: a second YAML document begins here; expected one in a file`},
	{"unknown_anchor", `4: not YAML: an alias without its anchor; put a value that begins with * in quotes`},
	{"tagged_password", `4: pool "cache": password has a YAML tag; write plain text, in quotes if it begins with !`},
	{"nested_merge", `7: pool "c": a merge inside of a merge; write the options out`},
	{"merge_of_text", `4: pool "cache": << merges the text "defaults"; expected a map`},
	{"unknown_top_option", `1: unknown option "thread" (did you mean threads?)`},
	{"unknown_option", `4: pool "cache": unknown option "timout" (did you mean timeout?)`},
	{"unknown_option_far", `2: admin: unknown option "port" (known: listen, tls, pprof)`},
	{"tls_word", `4: pool "cache": tls is the text "on"; expected {cert: file, key: file}`},
	{"tls_without_key", `4: pool "cache": tls: no key; expected {cert: file, key: file}`},
	{"tls_unknown_option", `4: pool "cache": tls: unknown option "ca" (known: cert, key, client_ca, require_client_cert, user_from_cert, min_version, handshake_timeout)`},
	{"tls_version", `4: pool "cache": tls: unknown min_version "1.1" (known: 1.2, 1.3)`},
	{"tls_handshake_timeout", `4: pool "cache": tls: handshake_timeout "0" is too short; the least is 1ms`},
	{"tls_require_without_ca", `4: pool "cache": tls: require_client_cert without client_ca; add the file of the authorities that sign clients' certificates`},
	{"tls_user_without_ca", `4: pool "cache": tls: user_from_cert without client_ca; add the file of the authorities that sign clients' certificates`},
	{"passthrough_users", `5: pool "cache": users does not go with passthrough, where the servers say who may do what; remove one of them`},
	{"passthrough_requirepass", `5: pool "cache": requirepass does not go with passthrough, where the servers say who may do what; remove one of them`},
	{"passthrough_hot_keys", `5: pool "cache": hot_keys near does not go with passthrough: replies are for one user only; say off, or remove it`},
	{"passthrough_warm", `5: pool "cache": migration warm does not go with passthrough: Ringway would move keys in its own name; remove one of them`},
	{"passthrough_certificate", `4: pool "cache": user_from_cert does not go with passthrough: the servers want a password; remove one of them`},
	{"passthrough_route", `4: pool "front": route "a:" leads to pool "cache", which has passthrough; its clients have to come to it directly for that`},
	{"passthrough_front", `4: pool "front": passthrough belongs to the pools that the routes lead to; write it there`},
	{"tls_on_socket", `4: pool "cache": tls does not go with listen "unix:///run/a.sock", which nobody else can listen to; remove it`},
	{"tls_without_listen", `7: pool "inner": tls belongs to a pool that has listen; add that, or remove it`},
	{"stats_compat_socket", `1: stats_compat: listen "unix:///run/a.sock" is a unix socket; expected host:port`},
	{"stats_compat_word", `1: stats_compat is the text "22222"; expected {listen: host:port}, or off`},
	{"stats_compat_empty", `1: stats_compat: no listen; expected {listen: host:port}, or off`},
	{"stats_compat_taken", `1: stats_compat: listen "127.0.0.1:6380" is taken by pool "cache" on line 4; expected another address`},
	{"stats_compat_admin", `1: stats_compat: listen "127.0.0.1:9121" is the default of admin; expected another address, or admin: {listen: off}`},
	{"hash_with_list", `5: pool "cache": hash "md5" does not go with distribution list; write crc16 or atol`},
	{"hash_of_list", `5: pool "cache": hash "atol" does not go with distribution modula; that is of list alone`},
	{"migration_with_list", `5: pool "cache": migration warm does not go with distribution list, whose order Ringways can't agree on; remove it, or write distribution: consistent`},
	{"tls_admin", `1: admin: tls: cert is empty; expected the name of a file`},
	{"backend_tls_word", `4: pool "cache": backend_tls is the text "yes"; expected on, off or {ca: file}`},
	{"backend_tls_cert_without_key", `4: pool "cache": backend_tls: cert without key; a certificate is of use with its key only`},
	{"backend_tls_key_without_cert", `4: pool "cache": backend_tls: key without cert; a certificate is of use with its key only`},
	{"backend_tls_skips_ca", `4: pool "cache": backend_tls: ca means nothing beside insecure_skip_verify: true; remove one of them`},
	{"password_twice", `5: pool "cache": password_env beside password; keep one
7: pool "cache": backend password_file beside password_env; keep one`},
	{"password_env_value", `4: pool "cache": password_env is not the name of an environment variable; write one like REDIS_PASSWORD`},
	{"password_of_dns", `5: pool "cache": a password beside "dns://a:1", whose addresses change; give it to the pool`},
	{"backend_username", `5: pool "cache": backend username is set without a password; Redis takes them together`},
	{"unknown_log_option", `1: log: unknown option "lvl" (known: level, format)`},
	{"unknown_backend_option", `5: pool "cache": backends: unknown option "adress" (did you mean address?)`},
	{"twemproxy_option", `4: pool "cache": unknown option "server_retry_timeout": a twemproxy option; here it is retry_timeout
5: pool "cache": unknown option "redis": a twemproxy option without a meaning here; remove the line`},
	{"duplicate_option", `5: pool "cache": timeout is given twice, first on line 4; keep one`},
	{"duplicate_top_option", `7: threads is given twice, first on line 1; keep one`},
	{"map_as_name", `4: pool "cache": found a map as the name of an option; expected a word`},
	{"no_pools", `1: no pools; expected pools: with at least one, each with name, listen and backends`},
	{"empty_pools", `1: pools is an empty list; expected at least one pool`},
	{"pools_as_map", `1: pools is a map; expected a list, each pool beginning with - name:`},
	{"pool_as_text", `2: pool 1 of the list is the text "cache"; expected a map with name, listen and backends`},
	{"admin_as_text", `1: admin is the text "127.0.0.1:9121"; expected a map`},
	{"no_value", `4: pool "cache": timeout has no value; give it one, or remove the line for its default`},
	{"list_as_value", `4: pool "cache": timeout is a list; expected one value`},
	{"no_name", `2: pool 1 of the list: no name; every pool needs name, listen and backends`},
	{"no_listen", `2: pool "cache": no listen; every pool needs one, unless a route or a mirror leads to it`},
	{"no_backends", `2: pool "cache": no backends; every pool needs one of backends, sentinel, cluster, routes`},
	{"empty_backends", `4: pool "cache": backends is an empty list; expected at least one {address: host:port}`},
	{"backends_as_text", `4: pool "cache": backends is the text "127.0.0.1:7001"; expected a list of {address: host:port}`},
	{"backend_as_text", `5: pool "cache": a backend is the text "127.0.0.1:7001"; expected {address: host:port}`},
	{"backend_without_address", `5: pool "cache": a backend without an address; expected {address: host:port}`},
	{"empty_name", `2: pool 1 of the list: name is empty; expected a word`},
	{"control_character_in_name", `2: pool "a\nb": name "a\nb" has a control character in it; expected one line of text`},
	{"duplicate_pool", `6: pool "cache": the name is taken by the pool on line 2; expected another`},
	{"duplicate_backend_name", `6: pool "cache": backend name "a" is taken by the backend on line 5; expected another`},
	{"duplicate_backend_address", `6: pool "cache": backend address "localhost:7001" is that of the backend on line 5; give one a higher weight instead`},
	{"duplicate_listen", `7: pool "other": listen "127.0.0.1:6380" is taken by pool "cache" on line 3; expected another address`},
	{"duplicate_listen_wildcard", `7: pool "other": listen ":6380" is taken by pool "cache" on line 3, as "127.0.0.1:6380"; expected another address`},
	{"duplicate_listen_socket", `7: pool "other": listen "unix:///run/a.sock" is taken by pool "cache" on line 3; expected another address`},
	{"duplicate_listen_admin", `1: admin: listen "0.0.0.0:6380" is taken by pool "cache" on line 4, as "127.0.0.1:6380"; expected another address`},
	{"duplicate_listen_admin_default", `3: pool "cache" listens on "127.0.0.1:9121", which is the default of admin; expected another port, or admin: {listen: off}`},
	{"threads_negative", `1: threads "-1" is not a whole number from 0 to 1024`},
	{"log_level", `1: unknown log level "verbose" (known: debug, info, warn, error)`},
	{"log_format", `1: unknown log format "xml" (known: text, json)`},
	{"admin_socket", `1: admin listen "unix:///run/a.sock" is a unix socket; expected host:port, or off`},
	{"admin_pprof_for_all", `1: admin: pprof is true, and everybody can reach "0.0.0.0:9121"; expected an address of the loopback, or tls with client_ca`},
	{"admin_pprof_tls_for_all", `4: admin: pprof is true, and everybody can reach "10.0.0.1:9121"; expected an address of the loopback, or tls with client_ca`},
	{"admin_pprof", `1: admin: pprof "sometimes" is neither true nor false`},
	{"admin_listen", `1: admin listen "9121" is a port without a host; write 127.0.0.1:9121`},
	{"listen_port_only", `3: pool "cache": listen "6380" is a port without a host; write 127.0.0.1:6380`},
	{"listen_without_port", `3: pool "cache": listen "127.0.0.1" has no port; write host:port, [::1]:port or unix:///path`},
	{"listen_port_too_high", `3: pool "cache": listen "127.0.0.1:66380" has the port "66380"; a port is a number from 0 to 65535`},
	{"listen_port_negative", `3: pool "cache": listen "127.0.0.1:-1" has the port "-1"; a port is a number from 0 to 65535`},
	{"listen_ipv6_without_brackets", `3: pool "cache": listen "::1:6380" is an IPv6 address without brackets; write [::1]:6380`},
	{"listen_path", `3: pool "cache": listen "/run/a.sock" is a path; write unix:///run/a.sock`},
	{"listen_relative_path", `3: pool "cache": listen "unix://run/a.sock" is not a full path; write unix:///path, with three slashes`},
	{"listen_long_path", `3: pool "cache": listen has a path of 111 bytes; the system allows 107`},
	{"listen_url", `3: pool "cache": listen "redis://127.0.0.1:6380" is a URL; write host:port, [::1]:port or unix:///path`},
	{"listen_star", `3: pool "cache": listen "*:6380" has no usable host; write host:port, [::1]:port or unix:///path`},
	{"listen_mode_without_socket", `4: pool "cache": listen_mode belongs to a pool that listens on unix:///path; remove the line`},
	{"listen_mode_decimal", `4: pool "cache": listen_mode "888" is not a mode; write it in octal, like 0660`},
	{"backend_port_zero", `5: pool "cache": backend address "127.0.0.1:0" has the port "0"; a port is a number from 1 to 65535`},
	{"backend_without_host", `5: pool "cache": backend address ":7001" has no host; write 127.0.0.1:7001`},
	{"backend_empty_address", `5: pool "cache": backend address is empty; write host:port, [::1]:port or unix:///path`},
	{"weight_zero", `5: pool "cache": backend weight 0 would give it no keys; the least is 1, or remove it`},
	{"weight_fraction", `5: pool "cache": backend weight "1.5" is not a whole number of at least 1`},
	{"weight_without_keys", `6: pool "cache": node "127.0.0.1:7001" would own none of the 16384 partitions: its weight is 1 of 100001 in all; raise it, or lower the others'`},
	{"distribution", `4: pool "cache": unknown distribution "jump" (known: consistent, ketama, modula, random, crc16, ring_hash, maglev, list)`},
	{"hash", `4: pool "cache": unknown hash "fnv2" (known: xxhash64, one_at_a_time, md5, crc16, crc32, crc32a, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, hsieh, murmur, jenkins, murmur2_64, atol)`},
	{"hash_with_consistent", `4: pool "cache": hash "fnv1a_64" does not go with distribution consistent; write xxhash64, or distribution: ketama`},
	{"hash_with_crc16", `5: pool "cache": hash "crc16" is set, but distribution crc16 has no hash to choose; remove the line`},
	{"hash_with_random", `5: pool "cache": hash "md5" is set, but distribution random has no hash to choose; remove the line`},
	{"hash_tag_one_character", `4: pool "cache": hash_tag "{" is not two characters; write "{}", or "" for none`},
	{"hash_tag_unquoted", `4: pool "cache": hash_tag is an empty YAML map; put it in quotes: hash_tag: "{}"`},
	{"virtual_nodes_with_ketama", `5: pool "cache": virtual_nodes belongs to distribution consistent, not ketama; remove the line
6: pool "cache": load_bound belongs to distribution consistent, not ketama; remove the line`},
	{"virtual_nodes", `4: pool "cache": virtual_nodes "0" is not a whole number from 2 to 1000`},
	{"load_bound", `4: pool "cache": load_bound "0.9" is not a number from 1 to 100; 1.05 lets a node have 5 % more than its share`},
	{"unsigned_char_with_consistent", `4: pool "cache": unsigned_char belongs to distributions ketama and modula, not consistent; remove the line`},
	{"duration_without_unit", `4: pool "cache": timeout "10" has no unit; write 10s for seconds or 10ms for milliseconds`},
	{"duration_negative", `4: pool "cache": timeout "-1s" is negative; 0 waits for ever`},
	{"duration_words", `4: pool "cache": timeout "5 seconds" is not a duration; write it like 400ms, 1s or 1m30s`},
	{"duration_too_short", `4: pool "cache": connect_timeout "10us" is too short; the least is 1ms`},
	{"retry_timeout_zero", `4: pool "cache": retry_timeout "0" is too short; the least is 1ms`},
	{"size", `4: pool "cache": max_request_size "lots" is not a size; write it like 256kb, 512mb or 1gb`},
	{"size_too_large", `4: pool "cache": max_request_size "2gb" is out of range; the least is 1kb, the most 1gb`},
	{"size_too_small", `4: pool "cache": client_output_limit "0" is out of range; the least is 1kb, the most 1gb`},
	{"number", `4: pool "cache": max_clients "many" is not a whole number of at least 0`},
	{"max_memory", `1: max_memory "1mb" is out of range; the least is 64mb, the most 1048576gb`},
	{"request_burst_alone", `4: pool "cache": request_burst belongs to max_request_rate; add that, or remove the line`},
	{"user_request_burst_alone", `4: pool "cache": user "a": request_burst without max_request_rate; add that, or remove it`},
	{"user_limits", `5: pool "cache": user limit max_request_rate "0" is not a whole number of at least 1
6: pool "cache": a user limit without a max_request_rate; expected {user: .., max_request_rate: ..}`},
	{"user_limits_of_nobody", `6: pool "cache": user_limits: there is no user "b" (known: default, a)`},
	{"user_limits_twice", `6: pool "cache": user "a" has a limit on line 4 already; keep one
8: pool "cache": user "default" has a limit on line 7 already; keep one`},
	{"max_arguments", `4: pool "cache": max_arguments "3" is not a whole number of at least 16`},
	{"client_idle_timeout", `4: pool "cache": client_idle_timeout "300" has no unit; write 300s for seconds or 300ms for milliseconds`},
	{"window_zero", `4: pool "cache": pipeline_window "0" is not a whole number from 1 to 1048576`},
	{"flag", `4: pool "cache": preconnect "yes" is neither true nor false`},
	{"on_failure", `4: pool "cache": unknown on_failure "retry" (known: fail, eject)`},
	{"failure_limit_zero", `4: pool "cache": failure_limit "0" is not a whole number of at least 1`},
	{"database_negative", `4: pool "cache": database "-1" is not a whole number of at least 0`},
	{"username_without_password", `4: pool "cache": username is set without a password; Redis takes them together`},
	{"cluster_empty", `4: pool "cache": cluster: no seeds; expected {seeds: [host:port]}`},
	{"cluster_seed", `4: pool "cache": cluster: seeds: "dns://redis:7001" is a URL; write host:port, [::1]:port or unix:///path`},
	{"cluster_with_placement", `4: pool "cache": distribution does not go with cluster, whose slots place the keys; remove the line
5: pool "cache": hash_tag does not go with cluster, whose slots place the keys; remove the line
6: pool "cache": on_failure eject does not go with cluster, which has its own failover; remove the line
7: pool "cache": migration does not go with cluster, which moves its keys itself; remove the line
8: pool "cache": database 2 does not go with cluster, which has database 0 only; remove the line`},
	{"dns_interval_zero", `4: pool "cache": dns_interval "0" is too short; the least is 1ms`},
	{"dns_of_an_ip", `5: pool "cache": backend address "dns://127.0.0.1:6379" has no name to look up; write dns://name:port
6: pool "cache": backend address "dns://cache" has no name to look up; write dns://name:port
7: pool "cache": backend address "dns://cache:0" has the port "0"; a port is a number from 1 to 65535`},
	{"duplicate_dns", `6: pool "cache": backend address "dns://Cache:6379" is that of the backend on line 5; give one a higher weight instead`},
	{"duplicate_prefix", `6: pool "front": route prefix "a:" is that of the route on line 5; expected another`},
	{"failover_wait_negative", `4: pool "cache": failover_wait "-1s" is negative; 0 waits for none`},
	{"fault_commands", `4: pool "cache": fault: commands: "GET " is not a command; write one like get, or a category like "@write"
4: pool "cache": fault: commands: "@" is not a command; write one like get, or a category like "@write"
4: pool "cache": fault: commands: "get" is on line 4 already; keep one`},
	{"fault_error", `4: pool "cache": fault: error "-err no" does not begin with a code in capitals; write it like "ERR err no"`},
	{"fault_percent_words", `4: pool "cache": fault: percent "1e1%" is not a percentage; write it like 10%`},
	{"fault_percent_zero", `4: pool "cache": fault: percent "0%" is none; write more than 0%, or remove what it is the share of`},
	{"fault_without_effect", `4: pool "cache": fault: neither a delay nor an error; expected one of them, or both`},
	{"fault_without_percent", `4: pool "cache": fault: no percent; expected {percent: 1%, delay: 100ms}`},
	{"flush_on_return_with_fail", `4: pool "cache": flush_on_return belongs to on_failure: eject; remove the line`},
	{"health_as_list", `4: pool "cache": health_check: found a list; expected a map`},
	{"health_as_word", `4: pool "cache": health_check: "on" is neither a map nor off`},
	{"health_failures_zero", `4: pool "cache": health_check: failures "0" is not a whole number of at least 1`},
	{"health_interval", `4: pool "cache": health_check: interval "10" has no unit; write 10s for seconds or 10ms for milliseconds`},
	{"health_timeout_zero", `4: pool "cache": health_check: timeout "0" is too short; the least is 1ms`},
	{"max_reply_size", `4: pool "cache": max_reply_size "2tb" is not a size; write it like 256kb, 512mb or 1gb`},
	{"max_node_bytes", `4: pool "cache": max_node_bytes "2gb" is out of range; the least is 0, the most 1gb`},
	{"max_node_requests", `4: pool "cache": max_node_requests "-1" is not a whole number of at least 0`},
	{"hot_keys_exclude", `4: pool "cache": hot_keys: exclude: empty; expected a pattern as KEYS takes it, such as "session:*"`},
	{"hot_keys_exclude_text", `4: pool "cache": hot_keys: exclude is the text "a*"; expected a list of pattern`},
	{"hot_keys_mode", `4: pool "cache": hot_keys: unknown mode "nearby" (known: auto, near, copies, collapse, off)`},
	{"hot_keys_word", `4: pool "cache": hot_keys: unknown mode "sometimes" (known: auto, near, copies, collapse, off)`},
	{"migration_mode", `4: pool "cache": migration: unknown mode "cold" (known: off, warm)`},
	{"migration_window_zero", `4: pool "cache": migration: window "0" is too short; the least is 1ms`},
	{"migration_with_eject", `5: pool "cache": migration warm does not go with on_failure eject: what is moved while a node is away would be lost with its return`},
	{"migration_with_random", `5: pool "cache": migration warm does not go with distribution random, in which no key has a place`},
	{"migration_word", `4: pool "cache": migration: unknown mode "on" (known: off, warm)`},
	{"mirror_as_text", `4: pool "cache": mirror is the text "shadow"; expected {pool: name}`},
	{"mirror_of_itself", `4: pool "cache": mirror leads back to its own pool; expected another`},
	{"mirror_percent", `4: pool "cache": mirror: percent "10" has no percent sign; write 10%`},
	{"mirror_to_nowhere", `4: pool "cache": mirror leads to pool "shadow", which is not in this file (known: cache)`},
	{"mirror_without_pool", `4: pool "cache": mirror: no pool; expected {pool: name}`},
	{"options_of_servers_with_routes", `4: pool "front": timeout belongs to the pools that the routes lead to; write it there
5: pool "front": password belongs to the pools that the routes lead to; write it there`},
	{"percent_fraction", `4: pool "cache": read_retry "12.5%" is not a whole percentage; write it like 10%`},
	{"percent_negative", `4: pool "cache": read_retry "-1%" is not a percentage; write it like 10%`},
	{"percent_too_high", `4: pool "cache": max_ejected "150%" is out of range; the most is 100%`},
	{"percent_without_sign", `4: pool "cache": max_ejected "50" has no percent sign; write 50%`},
	{"private_connections_zero", `4: pool "cache": max_private_connections "0" is not a whole number of at least 1`},
	{"read_policy", `4: pool "cache": unknown read_policy "replicas" (known: primary, prefer-replica, replica, any, nearest)`},
	{"read_policy_without_replicas", `4: pool "cache": read_policy any, but no backend has replicas; add them, or remove the line`},
	{"read_timeout_words", `4: pool "cache": read_timeout "none" is not a duration; write it like 400ms, 1s or 1m30s`},
	{"replica_address", `7: pool "cache": replica address "7002" is a port without a host; write 127.0.0.1:7002
8: pool "cache": a replica without an address; expected host:port or {address: host:port, zone: ..}
9: pool "cache": a replica is a list; expected host:port or {address: host:port, zone: ..}
10: pool "cache": replicas: unknown option "adress" (did you mean address?)`},
	{"replica_taken", `6: pool "cache": replica address "localhost:7001" is that of the server on line 5; keep one
6: pool "cache": replica address "127.0.0.1:7002" is that of the server on line 5; keep one`},
	{"replicas_as_text", `5: pool "cache": replicas is the text "127.0.0.1:7002"; expected a list of host:port or {address: host:port, zone: ..}`},
	{"replicas_of_many", `5: pool "cache": replicas beside "dns://cache:6379", which is as many nodes as it has addresses; add single: true, or remove them`},
	{"route_to_nowhere", `5: pool "cache": route "" leads to pool "cach", which is not in this file (did you mean cache?)
6: pool "cache": route "a:" leads back to its own pool; expected another
7: pool "cache": route "b:" leads to pool "elsewhere", which is not in this file (known: cache)`},
	{"route_to_warm", `5: pool "front": route "" leads to pool "cache", which has migration: warm; its clients have to come to it directly for that`},
	{"route_to_routes", `4: pool "front": route "" leads to pool "other", which has routes itself; expected a pool with servers
5: pool "other": no listen; every pool needs one, unless a route or a mirror leads to it
6: pool "other": route "" leads to pool "front", which has routes itself; expected a pool with servers`},
	{"route_without_prefix", `5: pool "cache": a route without a prefix; expected {prefix: "user:", pool: name}
6: pool "cache": a route without a pool; expected {prefix: "user:", pool: name}
7: pool "cache": routes: unknown option "strip" (known: prefix, pool, strip_prefix)`},
	{"routes_as_map", `4: pool "cache": routes is a map; expected a list of {prefix: "user:", pool: name}`},
	{"script_timeout_without_unit", `4: pool "cache": script_timeout "5" has no unit; write 5s for seconds or 5ms for milliseconds`},
	{"sentinel_address", `4: pool "cache": sentinel: addresses: "127.0.0.1" has no port; write host:port, [::1]:port or unix:///path`},
	{"sentinel_as_text", `4: pool "cache": sentinel is the text "127.0.0.1:26379"; expected {addresses: [host:port], masters: [name]}`},
	{"sentinel_duplicate_master", `8: pool "cache": sentinel: master "a" is on line 7 already; keep one`},
	{"sentinel_duplicates", `5: pool "cache": sentinel: addresses: "127.0.0.1:26379" is on line 5 already; keep one`},
	{"sentinel_empty_masters", `4: pool "cache": sentinel: masters is an empty list; expected at least one name or {name: .., weight: 1}`},
	{"sentinel_master", `7: pool "cache": sentinel: a master without a name; expected name or {name: .., weight: 1}
8: pool "cache": sentinel: master weight 0 would give it no keys; the least is 1, or remove it
9: pool "cache": sentinel: masters: unknown option "wieght" (did you mean weight?)
10: pool "cache": sentinel: a master is a list; expected name or {name: .., weight: 1}`},
	{"sentinel_username", `4: pool "cache": sentinel: username is set without a password; Redis takes them together`},
	{"sentinel_weight_without_keys", `4: pool "cache": node "a" would own none of the 16384 partitions: its weight is 1 of 100001 in all; raise it, or lower the others'`},
	{"sentinel_without_masters", `4: pool "cache": sentinel: no masters; expected {addresses: [host:port], masters: [name]}`},
	{"single_without_dns", `5: pool "cache": single belongs to a backend at dns://name:port; remove it`},
	{"slow_start_with_fail", `4: pool "cache": slow_start belongs to on_failure: eject; remove the line`},
	{"two_sources", `4: pool "cache": sentinel beside backends on line 6; a pool has one of backends, sentinel, cluster, routes
5: pool "cache": cluster beside backends on line 6; a pool has one of backends, sentinel, cluster, routes`},
	{"unknown_fault_option", `4: pool "cache": fault: unknown option "dealy" (did you mean delay?)`},
	{"unknown_health_option", `5: pool "cache": health_check: unknown option "intervall" (did you mean interval?)
6: pool "cache": health_check: unknown option "port" (known: interval, timeout, failures, successes)`},
	{"start_require", `1: start: unknown require "most" (known: none, some, all)`},
	{"start_wait", `1: start: wait "30" has no unit; write 30s for seconds or 30ms for milliseconds`},
	{"drain_delay", `1: shutdown: drain_delay "-1s" is negative; 0 stops accepting at once`},
	{"shutdown_map", `1: shutdown is the text "10s"; expected a map`},
	{"unknown_shutdown_option", `1: shutdown: unknown option "drain" (known: drain_delay, drain_timeout)`},
	{"unknown_start_option", `1: start: unknown option "needs" (known: require, wait)`},
	{"unknown_reload_option", `1: reload: unknown option "watch" (known: watch_file)`},
	{"unknown_sentinel_option", `4: pool "cache": sentinel: unknown option "master" (did you mean masters?)`},
	{"unreachable_pools", `5: pool "a": no listen; every pool needs one, unless a route or a mirror leads to it
8: pool "b": no listen; every pool needs one, unless a route or a mirror leads to it`},
	{"watch_file", `1: reload: watch_file "yes" is neither true nor false`},
	{"many_mistakes", `1: unknown option "threds" (did you mean threads?)
5: pool "cache": timeout "10" has no unit; write 10s for seconds or 10ms for milliseconds
6: pool "cache": unknown hash "fnv2" (known: xxhash64, one_at_a_time, md5, crc16, crc32, crc32a, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, hsieh, murmur, jenkins, murmur2_64, atol)
7: pool "cache": hash_tag is an empty YAML map; put it in quotes: hash_tag: "{}"
9: pool "cache": backend address "7001" is a port without a host; write 127.0.0.1:7001
10: pool "cache": backend weight "-1" is not a whole number of at least 1`},
	{"twemproxy_memcached", `3: pool "alpha": redis is false, a memcached pool; only Redis is spoken here: write redis: true, or remove the pool`},
	{"twemproxy_memcached_by_default", `1: pool "alpha": a memcached pool, since there is no redis: true; only Redis is spoken here: add the line, or remove the pool`},
	{"twemproxy_no_servers", `1: pool "alpha": no servers; every pool needs listen and servers`},
	{"twemproxy_no_listen", `1: pool "alpha": no listen; every pool needs listen and servers`},
	{"twemproxy_empty_servers", `4: pool "alpha": servers is an empty list; expected a list with a host:port:weight name in each line`},
	{"twemproxy_server_without_weight", `5: pool "alpha": server "127.0.0.1:6379" has no port from 1 to 65535 before its weight; write host:port:weight name, or /path:weight name`},
	{"twemproxy_server_weight_zero", `5: pool "alpha": server "127.0.0.1:6379:0" has the weight "0", which is not a number of at least 1; write host:port:weight name, or /path:weight name`},
	{"twemproxy_server_port", `5: pool "alpha": server "127.0.0.1:66379:1" has no port from 1 to 65535 before its weight; write host:port:weight name, or /path:weight name`},
	{"twemproxy_server_as_map", `5: pool "alpha": a server is a map; expected host:port:weight name`},
	{"twemproxy_server_space", `5: pool "alpha": server "127.0.0.1:6379:1 " has a space without a name behind it; write host:port:weight name, or /path:weight name`},
	{"twemproxy_server_two_names", `5: pool "alpha": server "127.0.0.1:6379:1 a b" has the weight "1 a", which is not a number of at least 1; write host:port:weight name, or /path:weight name`},
	{"twemproxy_server_without_host", `5: pool "alpha": server ":6379" has no host; write 127.0.0.1:6379`},
	{"twemproxy_duplicate_server", `6: pool "alpha": server name "a" is taken by the server on line 5; expected another`},
	{"twemproxy_duplicate_pool", `6: alpha is given twice, first on line 1; keep one`},
	{"twemproxy_duplicate_listen", `7: pool "beta": listen "127.0.0.1:22121" is taken by pool "alpha" on line 2; expected another address`},
	{"twemproxy_duplicate_option", `5: pool "alpha": timeout is given twice, first on line 4; keep one`},
	{"twemproxy_unknown_option", `4: pool "alpha": unknown option "tmeout" (did you mean timeout?)`},
	{"twemproxy_timeout_with_unit", `4: pool "alpha": timeout "400ms" is not a number from 0 to 2147483647`},
	{"twemproxy_hash", `4: pool "alpha": unknown hash "xxhash64" (known: one_at_a_time, md5, crc16, crc32, crc32a, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, hsieh, murmur, jenkins)`},
	{"twemproxy_distribution", `4: pool "alpha": unknown distribution "consistent" (known: ketama, modula, random)`},
	{"twemproxy_hash_tag", `4: pool "alpha": hash_tag "{}}" is not two characters; write "{}", or "" for none`},
	{"twemproxy_hash_tag_empty", `4: pool "alpha": hash_tag is empty; write two characters, like "{}", or remove the line`},
	{"twemproxy_flag", `4: pool "alpha": preconnect "yes" is neither true nor false`},
	{"twemproxy_server_connections_zero", `4: pool "alpha": server_connections "0" is not a number from 1 to 2147483647`},
	{"twemproxy_listen_port_zero", `2: pool "alpha": listen "127.0.0.1:0" has the port "0"; a port is a number from 1 to 65535`},
	{"twemproxy_listen_without_port", `2: pool "alpha": listen "localhost" is not an address; write host:port, or /path for a unix socket`},
	{"twemproxy_listen_mode", `2: pool "alpha": listen "/run/a.sock rw" does not end in a mode; write it in octal, like /run/a.sock 0660`},
	{"twemproxy_pool_as_text", `6: pool "beta": found the text "127.0.0.1:22122"; expected a map with listen, redis: true and servers`},
	{"users_as_text", `4: pool "cache": users is the text "alice"; expected a list of {name: .., password: .., rules: "~cache:* +@read"}`},
	{"user_without_name", `4: pool "cache": a user without a name; expected {name: .., password: .., rules: "~cache:* +@read"}`},
	{"user_name", `4: pool "cache": user name "a b" is not the name of a user; expected one without spaces`},
	{"user_twice", `6: pool "cache": user "a" is on line 5 already; keep one`},
	{"user_without_password", `4: pool "cache": user "a" has no password; expected password, password_sha256 or nopass: true, or rules: off for who may not log in`},
	{"user_nopass_and_password", `4: pool "cache": user "a": nopass: true beside a password; keep one`},
	{"user_nopass_in_rules", `4: pool "cache": user "a": rules have nopass in them; nopass: true is for that, or no password at all`},
	{"user_password_in_rules", `4: pool "cache": user rules have a password in them; it belongs to password, or its digest to password_sha256`},
	{"user_password_empty", `4: pool "cache": password is empty; for none write nopass: true`},
	{"user_sha256", `4: pool "cache": password_sha256 is not a SHA-256 in 64 digits and letters a to f; make one with: printf %s PASSWORD | sha256sum`},
	{"users_and_users_file", `5: pool "cache": users_file beside users; a pool has them in one place`},
	{"user_default_and_requirepass", `5: pool "cache": user default beside requirepass, which is its password; keep one`},
	{"allow_commands_alone", `5: pool "cache": allow_commands says what deny_commands does not mean, and there is none; add that, or remove the line`},
	{"hit_prefix_empty", `4: pool "cache": hit_prefixes: "" is not 1 to 64 bytes; expected what keys begin with, such as "session:"`},
	{"hit_prefixes", `4: pool "cache": hit_prefixes has 17 of them; a pool has 16 at most, each of them two time series`},
	{"tracing_endpoint", `1: tracing: endpoint "collector:4318" is not the address of a collector; write it like http://localhost:4318, or off`},
	{"tracing_port", `1: tracing: endpoint "http://collector" has no port; collectors listen on 4318 for http and on 4317 for grpc`},
	{"tracing_sample", `1: tracing: sample "0" is not a number above 0 and up to 1; 0.001 is one request in a thousand`},
	{"slowlog_threshold", `4: pool "cache": slowlog_threshold "-1" is negative; off has no slow log, 0 every request in it`},
	{"slowlog_length", `4: pool "cache": slowlog_length "0" is not a whole number from 1 to 100000`},
	{"node_info", `4: pool "cache": node_info 10ms is too often; expected 1s or more, or 0 for never`},
	{"deny_commands", `4: pool "cache": deny_commands: "config set" is not a command; write one like get or "config|set", or a category like "@write"
4: pool "cache": deny_commands: "config|" has no subcommand; write one like "config|set"
4: pool "cache": deny_commands: "@a|b" is not a command; write one like get or "config|set", or a category like "@write"`},
}

func TestBadFilesAreRefusedWithWhatToWrite(t *testing.T) {
	inTable := map[string]bool{}
	for _, bad := range badFiles {
		file := bad.name + ".bad.yml"
		inTable[file] = true
		t.Run(bad.name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", file))
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(file, data)
			if err == nil {
				t.Fatal("accepted")
			}
			if c != nil {
				t.Error("a Config came with the error")
			}
			var want strings.Builder
			for i, line := range strings.Split(bad.says, "\n") {
				if i > 0 {
					want.WriteByte('\n')
				}
				want.WriteString(file + ":" + line)
			}
			if got := err.Error(); got != want.String() {
				t.Errorf("says\n%s\nwant\n%s", got, want.String())
			}
		})
	}
	files, err := filepath.Glob("testdata/*.bad.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !inTable[filepath.Base(f)] {
			t.Errorf("%s has no line in the table", f)
		}
	}
}

func TestProblemsCarryFileAndLine(t *testing.T) {
	_, err := Parse("some/proxy.yml", []byte("threads: 1\nlog: {level: loud}\n"))
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatalf("the error is a %T", err)
	}
	if ps[0].File != "some/proxy.yml" || ps[0].Line != 1 || ps[1].Line != 2 {
		t.Errorf("problems %+v are not in the order of the lines", ps)
	}
}

func TestManyProblemsAreCutShort(t *testing.T) {
	_, err := Parse("proxy.yml", []byte(strings.Repeat("pools: []\n", 100)))
	if got := strings.Count(err.Error(), "\n"); got != mostProblems {
		t.Errorf("%d lines follow the first, want %d", got, mostProblems)
	}
	if !strings.HasSuffix(err.Error(), "... and 80 more") {
		t.Errorf("the end is %q", err.Error()[len(err.Error())-40:])
	}
}

func TestAFileThatIsMissingIsNamed(t *testing.T) {
	_, err := Load("testdata/none.yml")
	if want := "cannot read the configuration testdata/none.yml: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if !errors.Is(err, os.ErrNotExist) {
		t.Error("the error is not os.ErrNotExist")
	}
}
