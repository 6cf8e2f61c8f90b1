package config

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The values that an option can have. Each parser takes the text as it stands in the file and its error says what was
// found and what to write; each printer gives a text that parses to the same value.

func parseWhole(s string, least, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		if most == math.MaxInt32 {
			return 0, fmt.Errorf("%s is not a whole number of at least %d", quote(s), least)
		}
		return 0, fmt.Errorf("%s is not a whole number from %d to %d", quote(s), least, most)
	}
	return n, nil
}

func parseFlag(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%s is neither true nor false", quote(s))
}

func parseChoice(s, what string, choices []string) (string, error) {
	for _, c := range choices {
		if s == c {
			return s, nil
		}
	}
	return "", fmt.Errorf("unknown %s %s (known: %s)", what, quote(s), strings.Join(choices, ", "))
}

// parseDuration wants a unit: a bare 10 is seconds to one reader and milliseconds to the next. The text zero
// says what 0 does; it is empty when 0 is not allowed.
func parseDuration(s string, zero string) (time.Duration, error) {
	if s == "0" && zero != "" {
		return 0, nil
	}
	if _, err := strconv.ParseUint(s, 10, 64); err == nil && s != "0" {
		return 0, fmt.Errorf("%s has no unit; write %ss for seconds or %sms for milliseconds", quote(s), s, s)
	}
	d, err := time.ParseDuration(s)
	switch {
	case err == nil && d < 0 && zero != "":
		return 0, fmt.Errorf("%s is negative; 0 %s", quote(s), zero)
	case err != nil || d < 0:
		return 0, fmt.Errorf("%s is not a duration; write it like 400ms, 1s or 1m30s", quote(s))
	case d == 0 && zero == "":
		return 0, fmt.Errorf("%s is too short; the least is 1ms", quote(s))
	case d > 0 && d < time.Millisecond:
		return 0, fmt.Errorf("%s is too short; the least is 1ms", quote(s))
	}
	return d, nil
}

// printDuration leaves out what time.Duration adds for nothing: 1m, not 1m0s.
func printDuration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parsePercent wants the sign: a bare 10 may be a number of something, and a bare 0.1 a share.
func parsePercent(s string) (int, error) {
	f, err := parseShare(s)
	if err == nil && f != math.Trunc(f) {
		return 0, fmt.Errorf("%s is not a whole percentage; write it like 10%%", quote(s))
	}
	return int(f), err
}

// parseFraction is for a share that makes no sense without one.
func parseFraction(s string) (float64, error) {
	f, err := parseShare(s)
	if err == nil && f == 0 {
		return 0, fmt.Errorf("%s is none; write more than 0%%, or remove what it is the share of", quote(s))
	}
	return f, err
}

func parseShare(s string) (float64, error) {
	digits, signed := strings.CutSuffix(s, "%")
	f, err := strconv.ParseFloat(digits, 64)
	switch {
	case err != nil || strings.Trim(digits, "0123456789.") != "":
		return 0, fmt.Errorf("%s is not a percentage; write it like 10%%", quote(s))
	case !signed:
		return 0, fmt.Errorf("%s has no percent sign; write %s%%", quote(s), s)
	case f > 100:
		return 0, fmt.Errorf("%s is out of range; the most is 100%%", quote(s))
	}
	return f, nil
}

func printFraction(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) + "%" }

// parsePrefix accepts any beginning of a key, which is bytes.
func parsePrefix(s string) (string, error) { return s, nil }

// parseErrorReply accepts what can follow the minus sign of a reply.
func parseErrorReply(s string) (string, error) {
	word, _, _ := strings.Cut(s, " ")
	switch {
	case strings.ContainsFunc(s, isControl):
		return "", fmt.Errorf("%s has a control character in it; expected one line of text", quote(s))
	case word == "" || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "":
		return "", fmt.Errorf("%s does not begin with a code in capitals; write it like %s", quote(s), quote("ERR "+strings.TrimLeft(s, "- ")))
	}
	return s, nil
}

// parseCommand accepts the name of a command, or of a category with @. Whether there is such a one is known elsewhere.
func parseCommand(s string) (string, error) {
	word := strings.ToLower(s)
	if strings.Trim(strings.TrimPrefix(word, "@"), "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" || word == "" || word == "@" {
		return "", fmt.Errorf("%s is not a command; write one like get, or a category like \"@write\"", quote(s))
	}
	return word, nil
}

// parseAnyCommand accepts as well a subcommand: config|set.
func parseAnyCommand(s string) (string, error) {
	container, sub, is := strings.Cut(s, "|")
	word, err := parseCommand(container)
	if err != nil || is && (strings.HasPrefix(sub, "@") || strings.HasPrefix(word, "@")) {
		return "", fmt.Errorf("%s is not a command; write one like get or \"config|set\", or a category like \"@write\"", quote(s))
	}
	if is {
		if sub, err = parseCommand(sub); err != nil {
			return "", fmt.Errorf("%s has no subcommand; write one like \"config|set\"", quote(s))
		}
		word += "|" + sub
	}
	return word, nil
}

// parseUserName accepts what can stand in a line of Redis' aclfile.
func parseUserName(s string) (string, error) {
	if s == "" || strings.ContainsFunc(s, func(c rune) bool { return isControl(c) || unicode.IsSpace(c) }) {
		return "", fmt.Errorf("%s is not the name of a user; expected one without spaces", quote(s))
	}
	return s, nil
}

// parseRules accepts rules that have no passwords in them. Whether they can be followed is known elsewhere.
func parseRules(s string) (string, error) {
	for _, rule := range strings.Fields(s) {
		if strings.Contains("><#!", rule[:1]) {
			return "", errors.New("have a password in them; it belongs to password, or its digest to password_sha256")
		}
	}
	if strings.ContainsFunc(s, isControl) {
		return "", fmt.Errorf("%s has a control character in it; expected one line of text", quote(s))
	}
	return s, nil
}

// parsePassword has no error that shows it.
func parsePassword(s string) (Secret, error) {
	if s == "" {
		return "", errors.New("is empty; for none write nopass: true")
	}
	return Secret(s), nil
}

func parseDigest(s string) (Secret, error) {
	if len(s) != 64 || strings.Trim(s, "0123456789abcdef") != "" {
		return "", errors.New("is not a SHA-256 in 64 digits and letters a to f; make one with: printf %s PASSWORD | sha256sum")
	}
	return Secret(s), nil
}

func parseFileName(s string) (string, error) {
	if s == "" || strings.ContainsFunc(s, isControl) {
		return "", fmt.Errorf("%s is not the name of a file", quote(s))
	}
	return s, nil
}

// sizeUnits are those of redis.conf: k is a thousand, kb is 1024.
var sizeUnits = []struct {
	name  string
	bytes int
}{
	{"gb", 1 << 30}, {"mb", 1 << 20}, {"kb", 1 << 10}, {"g", 1e9}, {"m", 1e6}, {"k", 1e3}, {"b", 1},
}

func parseSize(s string, least, most int) (int, error) {
	digits, unit := strings.ToLower(s), 1
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(digits, u.name); ok {
			digits, unit = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%s is not a size; write it like 256kb, 512mb or 1gb", quote(s))
	}
	if n > uint64(most/unit) || int(n)*unit < least {
		return 0, fmt.Errorf("%s is out of range; the least is %s, the most %s", quote(s), printSize(least), printSize(most))
	}
	return int(n) * unit, nil
}

// parseMemory is what the process may hold. Less than it takes to run at all would refuse everybody.
func parseMemory(s string) (int, error) {
	if s == "0" {
		return 0, nil
	}
	return parseSize(s, leastMemory, 1<<50)
}

const leastMemory = 64 << 20

func printSize(n int) string {
	for _, u := range sizeUnits[:3] {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.Itoa(n/u.bytes) + u.name
		}
	}
	return strconv.Itoa(n)
}

// parseMode reads the mode of a unix socket as chmod takes it: in octal.
func parseMode(s string) (os.FileMode, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 32)
	if err != nil || n < 1 || n > 0o777 {
		return 0, fmt.Errorf("%s is not a mode; write it in octal, like 0660", quote(s))
	}
	return os.FileMode(n), nil
}

func printMode(m os.FileMode) string { return fmt.Sprintf("%04o", uint32(m)) }

// parseEndpoint takes the address of a collector.
func parseEndpoint(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case s == "" || s == "off":
		return "", nil
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("%s is not the address of a collector; write it like http://localhost:4318, or off", quote(s))
	case u.Port() == "":
		return "", fmt.Errorf("%s has no port; collectors listen on 4318 for http and on 4317 for grpc", quote(s))
	}
	return s, nil
}

// leastSample bounds how rarely a request is told.
const leastSample = 1e-9

func parseSample(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= leastSample && f <= 1) {
		return 0, fmt.Errorf("%s is not a number above 0 and up to 1; 0.001 is one request in a thousand", quote(s))
	}
	return f, nil
}

func parseLoadBound(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 1 && f <= 100) {
		return 0, fmt.Errorf("%s is not a number from 1 to 100; 1.05 lets a node have 5 %% more than its share", quote(s))
	}
	return f, nil
}

// A hash tag is two bytes, since keys are bytes. The same character twice, as in $$, is allowed.
func parseHashTag(s string) (string, error) {
	if s != "" && (len(s) != 2 || s[0] >= 0x80 || s[1] >= 0x80) {
		return "", fmt.Errorf(`%s is not two characters; write "{}", or "" for none`, quote(s))
	}
	return s, nil
}

// parseName accepts what can be a metric label and stand in one line of a log.
func parseName(s string) (string, error) {
	if s == "" {
		return "", errors.New("is empty; expected a word")
	}
	if strings.ContainsFunc(s, isControl) {
		return "", fmt.Errorf("%s has a control character in it; expected one line of text", quote(s))
	}
	return s, nil
}

// parseFile accepts the name of a file.
func parseFile(s string) (string, error) {
	if s == "" {
		return "", errors.New("is empty; expected the name of a file")
	}
	if strings.ContainsFunc(s, isControl) {
		return "", fmt.Errorf("%s has a control character in it; expected the name of a file", quote(s))
	}
	return s, nil
}

// parseEnv accepts the name of an environment variable, but not what looks like the value of one.
func parseEnv(s string) (string, error) {
	if s == "" || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return "", errors.New("is not the name of an environment variable; write one like REDIS_PASSWORD")
	}
	return s, nil
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

// quote shows a value from the file. A long one is cut: the message has a line number.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	return strconv.Quote(s)
}
