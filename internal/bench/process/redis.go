package process

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strconv"
	"time"
)

// RedisServers starts n redis-servers that keep nothing on disk, and waits until they answer. more, unless it is nil, returns what else the one with an index
// is given on its command line. Those that were started are returned with an error, too.
func RedisServers(ctx context.Context, dir string, n int, more func(i int) []string) (servers []*Process, ports []int, err error) {
	if ports, err = FreePorts(n); err != nil {
		return nil, nil, err
	}
	for i, port := range ports {
		args := []string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir, "--maxclients", "4000"}
		if more != nil {
			args = append(args, more(i)...)
		}
		p, err := Start(fmt.Sprintf("redis-%d", i), dir, "redis-server", args...)
		if err != nil {
			return servers, nil, err
		}
		servers = append(servers, p)
		if err = Until(ctx, 10*time.Second, p.Ended, func() error { return Ping(port) }); err != nil {
			return servers, nil, fmt.Errorf("redis-server does not answer: %w", err)
		}
	}
	return servers, ports, nil
}

// Ping asks whatever listens on a loopback port for a PONG.
func Ping(port int) error {
	c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && line != "+PONG\r\n" {
		err = fmt.Errorf("port %d answers PING with %q", port, line)
	}
	return err
}
