// Package digits recognises handwritten digits with a small neural network in
// integer arithmetic. It is the library of the ai-inference example: no I/O, no
// clock, no chance, and no floating point on the way from a picture to a digit.
//
// # Pictures and labels
//
// Pictures are 28 × 28 grey values, 0 the paper and 255 the ink. [DecodeImages]
// and [DecodeLabels] read the IDX files in which the MNIST digits are published,
// so that anybody's pictures in that format can be put in place of ours.
//
// # Who saw what
//
// [HeldOut] alone decides, by the SHA-256 of a picture's pixels, whether the
// training may see it. The rule needs no list: whoever has a picture can tell.
// A [Network] carries the number and a digest of the pictures that it was
// trained on.
//
// # Why integers
//
// The same picture must give the same answer on every machine, or replicas of a
// task could not be compared. Floating point would promise that only as long as
// no compiler contracts a product and a sum to one rounding. So weights
// are int8, activations uint8, sums int32: a convolution adds at most
// 16 · 25 · 127 · 255 and cannot overflow for the sizes that [Decode] admits.
//
//	picture 28×28 ─ conv 5×5 ─ pool ─ conv 5×5 ─ pool ─ dense ─ dense ─ digit
//	                24×24       12×12   8×8        4×4
//
// After each but the last layer a sum becomes an activation again:
// negative is 0 (ReLU), the rest is scaled by Mul / 2^Shift, rounded, and cut at 255.
//
// # Work in batches
//
// [Split] gives task i of n its part of the pictures, [Predictions] are what it
// hands on, and [NewReport] joins those of all tasks: accuracy and a
// confusion matrix. Nothing depends on how many tasks there were.
package digits
