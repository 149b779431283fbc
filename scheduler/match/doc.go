// Package match decides which worker is the best place for a task and which job
// comes next. Everything in it is a pure function over slices that the caller
// keeps sorted; the same arguments, random source included, give the same
// answer.
//
// # Placing
//
// Judge says whether a worker can take a task now, or the first reason why not.
// The reasons are ordered from the lasting to the passing: a worker that does
// not run the executor will never do, one that is busy will do later. Choose
// ranks the workers that fit and returns the best. Up to K workers are all
// compared; of more, a random K that fit are, so that many coordinators do not
// send their tasks to the same best worker at the same moment. Choose looks
// further than the first K draws when they do not fit, up to the whole slice, so
// "nothing fits" is always true of all workers. Workers on which the task has
// already failed are only taken when no other fits. Tally counts the judgements,
// for telling people what a job waits for.
//
// The score of a worker is a weighted sum of numbers between 0 and 1: the
// smallest share of any resource that stays free after placing (this spreads
// load), cheapness, reputation, and whether the module is in its cache. Equal
// scores go to the worker with fewer attempts, then to the smaller id.
//
// # Order
//
// Order sorts jobs by effective priority, which is the priority plus one for
// every five minutes of waiting, at most ten; among equals the job comes first
// whose client has the smaller dominant share of what is committed; then the one
// that was accepted earlier. Ageing in whole steps keeps fair share meaningful
// between jobs of one priority, and its cap keeps an old job from overtaking a
// critical one that came before it.
package match
