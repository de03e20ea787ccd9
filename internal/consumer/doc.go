// Package consumer is the SQS consuming engine: it receives, keeps what it
// holds invisible to others, runs one job a message, settles each message on
// its queue, and drains. It decides nothing about a message: the Handler does.
//
// One Consumer serves one queue, with poll loops and slots of its own, so that
// a slow queue never holds up another. Start with Handler, then Consumer.Run.
// The package imports the SQS client and nothing of this project.
//
// # A message's life here
//
//	receive ─▶ held ─▶ Prepare ─▶ job ─▶ settle ─▶ forgotten
//	            │   heartbeat every      │ Delete      batched, failed entries retried
//	            │   VisibilityTimeout/3, │ Retry       visibility = After
//	            │   at most MaxHold      │ HandBack    visibility = 0
//	            │                        │ DeadLetter  copy accepted, then Delete
//	            └ lease lost: the job's context ends, and nothing but a Delete
//	              is still said to the queue
//
// A slot is taken before a receive asks for its message and is free again when
// the job has ended. Options.Admit may hold receives back, or have one message
// received at a time: what is not received keeps its receive count. A message that comes a second time while it is held here
// is not started again: the held one takes over the newer receipt handle.
//
// # The drain
//
// It starts when Run's context ends; the times are parts of StopTimeout.
//
//	  0 %  no further receive is issued. The parked poll ends by itself: an
//	       aborted one can leave messages with nobody until their visibility
//	       ends, hence WaitTime fits into the drain. What it brings is handed back
//	       with visibility 0. Jobs go on, their messages' heartbeats too.
//	 75 %  the jobs' contexts end.
//	 85 %  a poll that is still parked is aborted.
//	 90 %  a job that still runs is reported as stuck and left to the
//	       visibility timeout: nobody knows whether it had its effect.
//	100 %  the last call to the queue ends; Run returns.
//
// Each step ends as soon as there is nothing to wait for. Nothing is deleted
// that was not settled, and nothing that was settled stays on the queue
// because of a shutdown: whoever settles a message waits until the batch that
// holds its entry was answered.
package consumer
