package trace

import "math"

// sky is all light of a scene.
type sky struct {
	zenith, horizon, glow vec
	sun, sunU, sunV       vec // direction and the frame of its disc
	sunColor              vec // irradiance over pi
	sunSize, sunCos       float64
	sunDisc               vec // radiance of the disc as mirrors show it
}

// brightest bounds what one mirrored sight of the sun adds, so that a lucky
// path leaves no speck.
const brightest = 24

func newSky(l Light) sky {
	s := sky{zenith: wide(l.Zenith), horizon: wide(l.Horizon), glow: wide(l.Glow), sun: wide(l.Sun).unit(),
		sunColor: wide(l.SunColor), sunSize: float64(l.SunSize)}
	s.sunU, s.sunV = basis(s.sun)
	s.sunCos = 1 / math.Sqrt(1+float64(s.sunSize*s.sunSize))
	if s.sunSize > 0 {
		s.sunDisc = s.sunColor.scale(1 / float64(s.sunSize*s.sunSize))
		if m := s.sunDisc.largest(); m > brightest {
			s.sunDisc = s.sunDisc.scale(brightest / m)
		}
	}
	return s
}

// toSun returns a direction to a point of the sun's disc.
func (s *sky) toSun(u, v float64) vec {
	sin, cos := sincos(u)
	r := float64(s.sunSize * math.Sqrt(v))
	return s.sun.add(s.sunU.scale(float64(cos * r))).add(s.sunV.scale(float64(sin * r))).unit()
}

// radiance returns what is seen in direction d; the disc of the sun only if
// disc is set, since diffuse surfaces sample it by themselves.
func (s *sky) radiance(d vec, disc bool) vec {
	up := d.y
	if up < 0 {
		up = 0
	}
	k := 1 - up
	k2 := float64(k * k)
	k4 := float64(k2 * k2)
	low := float64(k4 * k) // share of the horizon's colour
	c := s.zenith.scale(1 - low).add(s.horizon.scale(low))
	if g := d.dot(s.sun); g > 0 {
		g2 := float64(g * g)
		g8 := float64(float64(g2*g2) * float64(g2*g2))
		g32 := float64(float64(g8*g8) * float64(g8*g8))
		g128 := float64(float64(g32*g32) * float64(g32*g32))
		halo := float64(0.22*g8) + float64(0.5*g32) + float64(1.4*float64(g128*g128))
		c = c.add(s.glow.scale(halo))
		if disc && g >= s.sunCos {
			c = c.add(s.sunDisc)
		}
	}
	return c
}

// camera turns a place in the image into a ray.
type camera struct {
	eye, forward, right, up vec
}

func newCamera(v View) camera {
	eye := wide(v.Eye)
	forward := wide(v.Target).sub(eye).unit()
	right := forward.cross(vec{0, 1, 0}).unit()
	slope := float64(v.Slope)
	return camera{eye, forward, right.scale(slope), right.cross(forward).scale(slope)}
}

// ray returns the direction through the point px, py of frame f, in pixels from
// its upper left corner.
func (c *camera) ray(f Frame, px, py float64) vec {
	h := float64(f.Height)
	x := (float64(2*px) - float64(f.Width)) / h
	y := (h - float64(2*py)) / h
	return c.forward.add(c.right.scale(x)).add(c.up.scale(y)).unit()
}

// pixel returns the most by which the direction of a sample of a pixel of f
// differs from the direction of its middle: samples lie within a pixel of it in
// both directions, and a ray has length one or more before it becomes a unit.
func (c *camera) pixel(f Frame) float64 {
	side := float64(2*math.Sqrt(c.up.dot(c.up))) / float64(f.Height)
	return float64(1.5 * side)
}
