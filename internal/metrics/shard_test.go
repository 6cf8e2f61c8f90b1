package metrics

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestABucketHasWhatItsBoundsSay(t *testing.T) {
	check := func(ns uint64) {
		t.Helper()
		i := bucket(ns)
		if i > 0 && ns < Bound(i-1) || ns >= Bound(i) && ns != math.MaxUint64 {
			t.Fatalf("%d ns is in bucket %d, which ends at %d", ns, i, Bound(i))
		}
	}
	for i := range HistogramBuckets {
		if i > 0 && Bound(i) <= Bound(i-1) {
			t.Fatalf("bucket %d ends at %d, the one before at %d", i, Bound(i), Bound(i-1))
		}
		check(Bound(i) - 1)
		check(Bound(i))
		check(Bound(i) + 1) // of the last: 0
	}
	for ns := range uint64(1 << 16) {
		check(ns)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 1_000_000 {
		check(r.Uint64() >> r.IntN(64))
	}
}

func TestABucketIsAQuarterWideAtMost(t *testing.T) {
	for i := 1; i < HistogramBuckets-1; i++ {
		if width := Bound(i) - Bound(i-1); 4*width > Bound(i-1) {
			t.Errorf("bucket %d is from %d to %d", i, Bound(i-1), Bound(i))
		}
	}
	if last := Bound(HistogramBuckets - 2); last < 60e9 {
		t.Errorf("the last bound is %d ns; a minute should fit below", last)
	}
}

func TestObserveCountsOnceAndAddsUp(t *testing.T) {
	var h Histogram
	for _, ns := range []int64{0, 1, 1023, 1024, 1e6, math.MaxInt64 / 2} {
		h.Observe(ns)
	}
	var count uint64
	for _, n := range h.Buckets {
		count += n
	}
	if count != 6 || h.Buckets[0] != 3 || h.Buckets[1] != 1 || h.Buckets[HistogramBuckets-1] != 1 {
		t.Errorf("the buckets are %v", h.Buckets)
	}
	if want := uint64(0 + 1 + 1023 + 1024 + 1e6 + math.MaxInt64/2); h.Sum != want {
		t.Errorf("the sum is %d, want %d", h.Sum, want)
	}
}

func TestSumAddsEveryField(t *testing.T) {
	newPool := func() Pool {
		p := NewPool(2)
		p.Prefixes, p.PrefixLookups = []string{"p"}, make([]Lookups, 1)
		return p
	}
	shards := []Pool{newPool(), newPool(), newPool()}
	for i := range shards {
		fill(reflect.ValueOf(&shards[i]).Elem(), 7)
	}
	before := shards[0].Clone()
	sum := Sum(shards)
	want := newPool()
	fill(reflect.ValueOf(&want).Elem(), 21)
	if !reflect.DeepEqual(*sum, want) {
		t.Errorf("7 three times is %+v", *sum)
	}
	if !reflect.DeepEqual(shards[0], before) {
		t.Error("adding up has changed a shard")
	}

	var loop, wantLoop Loop
	fill(reflect.ValueOf(&loop).Elem(), 7)
	loop.add(&loop)
	fill(reflect.ValueOf(&wantLoop).Elem(), 14)
	if loop != wantLoop {
		t.Errorf("7 twice is %+v", loop)
	}
}

func TestNoShardsHaveNoSum(t *testing.T) {
	if sum := Sum(nil); sum != nil {
		t.Errorf("it is %+v", *sum)
	}
}

// fill sets every number in v to n and every bool to true.
func fill(v reflect.Value, n int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(int64(n))
	case reflect.Uint64:
		v.SetUint(uint64(n))
	case reflect.Float64:
		v.SetFloat(float64(n))
	case reflect.String: // a name
	default:
		panic("a shard has a " + v.Kind().String())
	}
}
