package hashring

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"
	"strconv"
)

// pointsPerNode is ketama's, for a node of average weight. Each MD5 sum gives four of them.
const pointsPerNode = 160

// Point is a place on a ketama ring: the node owns all hashes from the point before, exclusive, to Value, inclusive.
type Point struct {
	Value uint32
	Node  int // index into the nodes given to New
}

// continuum is a ketama ring made for searching: the points' values in order, closed by a sentinel that stands for
// the first point again, and a table over the upper bits of a hash that says where to begin. With at least one
// table entry a point, a search looks at one or two values.
type continuum struct {
	values []uint32
	owners []uint16
	first  []uint32 // by hash >> shift: the first point at or after the beginning of that stretch
	shift  uint8
}

// find returns the owner of the first point at or after h, going round at the end.
func (c *continuum) find(h uint32) int { return int(c.owners[c.search(h)]) }

// search returns the first point at or after h, which may be the sentinel.
func (c *continuum) search(h uint32) int {
	i := c.first[h>>c.shift]
	for c.values[i] < h {
		i++
	}
	return int(i)
}

func newContinuum(nodes []Node, order []int32) (*continuum, error) {
	points, err := ketamaPoints(nodes, order)
	if err != nil {
		return nil, err
	}
	c := &continuum{
		values: make([]uint32, len(points), len(points)+1),
		owners: make([]uint16, len(points), len(points)+1),
	}
	for i, p := range points {
		c.values[i], c.owners[i] = p.Value, uint16(p.Node)
	}
	c.values = append(c.values, math.MaxUint32)
	c.owners = append(c.owners, c.owners[0])
	c.first, c.shift = indexed(c.values)
	return c, nil
}

// indexed makes the table that says where to begin: by a hash's upper bits, what is left of it after shift, the first of the values, which are in order,
// at or after the beginning of that stretch; their number if there is none.
func indexed[H uint32 | uint64](values []H) (first []uint32, shift uint8) {
	width := bits.Len(uint(len(values))) + 1
	shift = uint8(bits.Len64(uint64(^H(0))) - width)
	first = make([]uint32, 1<<width)
	i := 0
	for stretch := range first {
		for i < len(values) && values[i] < H(stretch)<<shift {
			i++
		}
		first[stretch] = uint32(i)
	}
	return first, shift
}

// ketamaPoints puts the nodes on the ring as twemproxy does. Points of equal value stay in the order of the nodes,
// and the first of them owns the value.
func ketamaPoints(nodes []Node, order []int32) ([]Point, error) {
	total := totalWeight(nodes)
	if total > math.MaxUint32 {
		return nil, errors.New("the weights of a ketama ring add up to more than 4294967295: divide them all by the same number")
	}
	points := make([]Point, 0, len(nodes)*pointsPerNode)
	var label []byte
	for _, i := range order {
		n := nodes[i]
		for k := range ketamaSums(n.Weight, total, len(nodes)) {
			label = strconv.AppendInt(append(append(label[:0], n.Name...), '-'), int64(k), 10)
			sum := md5.Sum(label)
			for j := 0; j < len(sum); j += 4 {
				points = append(points, Point{binary.LittleEndian.Uint32(sum[j:]), int(i)})
			}
		}
	}
	slices.SortStableFunc(points, func(a, b Point) int { return cmp.Compare(a.Value, b.Value) })
	return points, nil
}

// ketamaSums returns how many MD5 sums, of four points each, a node gets. twemproxy computes in single precision, so
// that a pool of 25 equal nodes has 156 points a node and not 160. Each conversion below is a rounding of the C code's;
// without them the compiler may fuse two steps into one and lose a rounding.
func ketamaSums(weight int, total int64, live int) int {
	share := float32(float32(weight) / float32(total))
	points := float32(share * pointsPerNode)
	sums := float32(points / 4)
	sums = float32(sums * float32(live))
	sums = float32(float64(sums) + 1e-10)
	return int(math.Floor(float64(sums)))
}

// Points returns the points of a ketama ring in the order of their values; other rings have none.
func (r *Ring) Points() []Point {
	if r.points == nil {
		return nil
	}
	points := make([]Point, len(r.points.values)-1)
	for i := range points {
		points[i] = Point{r.points.values[i], int(r.points.owners[i])}
	}
	return points
}
