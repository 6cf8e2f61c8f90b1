package hashring

import (
	"hash/fnv"
	"slices"
	"testing"
)

// The values were computed with twemproxy 0.5's C code on x86-64.
func TestHashesGiveTheNumbersOfTwemproxy(t *testing.T) {
	keys := []string{"foo", "user:1000", "\xc3\xa9t\xc3\xa9"}
	for name, want := range map[string][3]uint32{
		"one_at_a_time": {596015325, 3043211087, 2144029493},
		"md5":           {3675831724, 781738503, 510308318},
		"crc16":         {205303702, 3781445233, 3861292903},
		"crc32":         {3187, 8052, 17617},
		"crc32a":        {2356372769, 2675185635, 1154575572},
		"fnv1_64":       {1805727027, 3550362913, 3995086359},
		"fnv1a_64":      {4275688823, 2927313545, 3933641815},
		"fnv1_32":       {1083137555, 2796551329, 3199958167},
		"fnv1a_32":      {2851307223, 1350311305, 200187927},
		"hsieh":         {1993659431, 3723237737, 3432339831},
		"murmur":        {3303027599, 2384768711, 3664841419},
		"jenkins":       {2583187353, 76303748, 2303093779},
	} {
		i := slices.Index(Hashes(), name)
		if i < 0 {
			t.Errorf("no hash is named %s", name)
			continue
		}
		for k, key := range keys {
			if got := hashes[i].sum([]byte(key)); got != want[k] {
				t.Errorf("%s(%q) = %d, want %d", name, key, got, want[k])
			}
		}
	}
	if n := len(Hashes()); n != 13 {
		t.Errorf("%d hashes, want twemproxy's 12 and xxhash64", n)
	}
}

// Go's FNV is unsigned, as a twemproxy for ARM is.
func TestUnsignedCharsGiveTheTrueFNV(t *testing.T) {
	for _, key := range []string{"", "foo", "\xc3\xa9t\xc3\xa9", "\xff\x80\x00\x7f"} {
		f32, f32a, f64, f64a := fnv.New32(), fnv.New32a(), fnv.New64(), fnv.New64a()
		for _, f := range []interface{ Write([]byte) (int, error) }{f32, f32a, f64, f64a} {
			f.Write([]byte(key))
		}
		want := map[string]uint32{
			"fnv1_32": f32.Sum32(), "fnv1a_32": f32a.Sum32(),
			"fnv1_64": uint32(f64.Sum64()), "fnv1a_64": uint32(f64a.Sum64()),
		}
		for _, h := range hashes {
			if w, ok := want[h.name]; ok && h.unsigned([]byte(key)) != w {
				t.Errorf("unsigned %s(%q) = %d, want %d", h.name, key, h.unsigned([]byte(key)), w)
			}
		}
	}
}

func TestUnsignedCharsMatterToSixHashes(t *testing.T) {
	nodes := []Node{{"a", 1}, {"b", 1}}
	key := []byte("abc\xe9ab\xe9") // ends in three bytes of which the last is not ASCII, for hsieh
	var differ []string
	for _, name := range Hashes() {
		signed, _ := New(nodes, Options{Distribution: "ketama", Hash: name})
		unsigned, err := New(nodes, Options{Distribution: "ketama", Hash: name, UnsignedChar: true})
		if err != nil {
			t.Fatal(err)
		}
		if signed.hash(key) != unsigned.hash(key) {
			differ = append(differ, name)
		}
		if ascii := []byte("plain"); signed.hash(ascii) != unsigned.hash(ascii) {
			t.Errorf("%s: an ASCII key hashes differently", name)
		}
	}
	if want := []string{"one_at_a_time", "fnv1_64", "fnv1a_64", "fnv1_32", "fnv1a_32", "hsieh"}; !slices.Equal(differ, want) {
		t.Errorf("hashes that differ: %v, want %v", differ, want)
	}
}

func TestSlotsAreThoseOfRedisCluster(t *testing.T) {
	// From the Redis Cluster specification and CLUSTER KEYSLOT.
	for key, want := range map[string]int{"": 0, "123456789": 0x31c3 % Partitions, "foo": 12182, "somekey": 11058} {
		if got := slot([]byte(key)); got != want {
			t.Errorf("slot(%q) = %d, want %d", key, got, want)
		}
	}
}
