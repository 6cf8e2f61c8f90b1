package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestSecretsDoNotPrint(t *testing.T) {
	const pass = "hunter2"
	c := mustParse(t, onePool("username: u", "password: "+pass, "requirepass: "+pass, "users: [{name: u, password: ["+pass+", hunter22]}]"))
	p := c.Pools[0]
	if p.Password.Reveal() != pass || p.RequirePass.Reveal() != pass {
		t.Fatal("the passwords were not read")
	}
	printed := map[string]string{
		"error": errors.Join(fmt.Errorf("cannot log in with %s", p.Password)).Error(),
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%20s", "%t"} {
		printed[verb+" of the secret"] = fmt.Sprintf(verb, p.Password)
		printed[verb+" of the pool"] = fmt.Sprintf(verb, p)
		printed[verb+" of the config"] = fmt.Sprintf(verb, c)
	}
	for name, marshal := range map[string]func(any) ([]byte, error){"json": json.Marshal, "yaml": yaml.Marshal} {
		b, err := marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		printed[name] = string(b)
	}
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("loaded", "password", p.Password, "pool", p)
		printed[name] = b.String()
	}
	var b bytes.Buffer
	c.Describe(&b)
	printed["Describe"] = b.String()

	for how, text := range printed {
		for _, leak := range []string{pass, fmt.Sprintf("%x", pass), fmt.Sprintf("%X", pass), "104 117"} {
			if strings.Contains(text, leak) {
				t.Errorf("%s shows it: %s", how, text)
			}
		}
		if how != "Describe" && !strings.Contains(text, "secret>") && !strings.Contains(text, `secret\u003e`) {
			t.Errorf("%s does not show that there is one: %s", how, text)
		}
	}
}

func TestAnEmptySecretReadsAsNothing(t *testing.T) {
	if got := fmt.Sprintf("%v%s", Secret(""), Secret("")); got != "" {
		t.Errorf("got %q", got)
	}
}

// A password that YAML takes for something else must not be shown by the message about it.
func TestErrorsDoNotShowPasswords(t *testing.T) {
	for _, value := range []string{
		"*hunter2", "!hunter2", "&hunter2", "[hunter2]", "{hunter2: x}", "#hunter2", "%hunter2", "@hunter2", "`hunter2`", "|hunter2",
		">hunter2", `"hunter2`, "'hunter2", "- hunter2", "? hunter2", "x: hunter2", `"\hunter2"`, "hunter2\n    password: hunter2",
		"!!binary hunter2", "!!int hunter2",
	} {
		for _, text := range []string{
			onePool("password: "+value, "timeout: 10"),
			onePool("username: u", "requirepass: "+value, "timeout: 10"),
			onePool("users:\n      - name: u\n        password: "+value, "timeout: 10"),
			onePool("users:\n      - name: u\n        password_sha256: "+value, "timeout: 10"),
			"alpha:\n  redis_auth: " + value + "\n  listen: 127.0.0.1:22121\n  timeout: x\n  servers: [127.0.0.1:6379:1]\n",
		} {
			_, err := Parse("test.yml", []byte(text))
			if err == nil {
				t.Errorf("accepted:\n%s", text)
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q shows it: %v", value, err)
			}
		}
	}
}
