// Package match decides which task comes next and which worker is the best place
// for it. It is a leader's soft state: a value without clock or I/O that its
// owner keeps in step with the log and the workers. Its answers depend on
// nothing but the history of calls and the random source in the options.
//
// # Queue
//
// Queue holds the tasks that wait. They are served by effective priority, which
// is the priority plus one for every five minutes of waiting, at most ten; among
// equals the task comes first whose client has the smaller dominant share of the
// shard's workers; then the one whose job was accepted earlier. Ageing in whole
// steps keeps fair share meaningful between jobs of one priority, and its cap
// keeps an old job from overtaking a critical one that came before it. A client's
// dominant share is the largest part of any resource, places included, that its
// booked and assigned tasks take up; it counts from the booking on, so clients
// with equal priorities take turns within one pass. Entry and Order state the
// same order over a plain slice.
//
// Tasks that no worker can tell apart are of one Shape: they fit the same
// workers, so one search answers for all of them. Within a shape, tasks stand in
// one line per client and effective priority, and the shapes that may fit
// somewhere are kept in a heap by their first task. So what comes next costs the
// logarithm of what waits, and a shape that fits nowhere costs nothing until a
// worker has more room. Jobs age when their time comes, not by sorting; tasks of
// an array job are taken one after the other and never looked through.
//
// # Placing
//
// Judge says whether a worker can take a task now, or the first reason why not.
// The reasons are ordered from the lasting to the passing: a worker that does
// not run the executor will never do, one that is busy will do later. A
// spec's constraint expression is compiled once per leader (Constraints), and its
// verdict on a worker is kept until the worker offers something else. Explain
// judges every worker by every condition, for telling people what a job waits for
// and what would change that.
//
// Pool keeps the workers by classes of free processor time and memory; in a full
// mesh all classes that could serve are empty, and that is seen without looking
// at a worker. Pool.Choose ranks those that fit. Up to K workers are all compared;
// of more, a random K that fit are, so that many coordinators do not send their
// tasks to the same best worker at the same moment. One choice judges a few
// hundred workers at most. When the ones that were drawn do not fit, the search
// goes on through all of them over several choices (Unfinished), so "nothing fits"
// is always true of all workers; after that only workers that have improved are
// judged (Queue.Freshen). Workers on which the task has already failed are only
// taken when no other fits.
//
// The score of a worker is a weighted sum of numbers between 0 and 1: the
// smallest share of any resource that stays free after placing (this spreads
// load), cheapness, reputation, and whether the module is in its cache. Equal
// scores go to the worker with fewer attempts, then to the smaller id.
//
// # Holds
//
// A small task may overtake one that fits nowhere yet, but not for ever: a Hold
// keeps a worker for a task that was passed over for long, from the moment on at
// which it fits there at the latest, reckoned by the time limits of what runs
// there (Soonest). Others are placed on that worker only if they will have ended
// by then or fit beside the task.
package match
