// Package processor is what a message does once it is received: claim, rules,
// provider, record. It implements consumer.Handler; what SQS does with the
// message afterwards is the consumer's.
//
// It imports consumer, message, provider, store and redact. Start with
// Processor.Prepare, then send.go, then doubt.go; what only one channel has
// stands in that channel's file (sms.go).
//
// # The states of a send
//
// Prepare claims a batch in one statement. Then, for each message:
//
//	claim      what the processor does                          row         SQS
//	─────────  ───────────────────────────────────────────────  ──────────  ─────────────────────
//	Done       nothing (failed, in doubt: the copy may be lost) unchanged   delete (dead-letter)
//	Busy       nothing                                          unchanged   retry soon, then after the lease
//	Conflict   records the second content under the SQS id      unchanged   dead-letter: id_reuse
//	Granted    the rules, then one call of the provider         see below
//	Doubtful   asks the provider first
//	             it has the message, and no other event's       sent        delete
//	             it may be the answer that another waits for    processing  park for seconds
//	             it has not                                     as Granted
//	             it has not, MaxAttempts times                  failed      dead-letter
//	             no answer                                      processing  retry, ever later: no try is spent
//	             no answer for a day, or cannot be asked        in_doubt    dead-letter; or as Granted (Options.Resend)
//
//	rules      recipient suppressed                             suppressed  delete
//	           expired                                          expired     delete
//	           not due, over the rate, or too little lease left scheduled   retry
//	           drained before the call                          scheduled   hand back
//	           its provider fails (breaker.go)                  scheduled   retry: no try is spent
//	Doubtful   its provider fails                               processing  retry: no try is spent
//
//	call       accepted                                         sent        delete
//	           Permanent                                        failed      dead-letter
//	           Suppress                                         suppressed  delete
//	           Config                                           scheduled   hand back, pause
//	           Throttled                                        scheduled   retry, pause
//	           Transient                                        scheduled   retry, ever later
//	           Transient, for the provider is away              scheduled   retry, ever later: no try is spent
//	           Transient for the MaxAttempts-th time            failed      dead-letter
//	           Transient, as a probe                            scheduled   retry, ever later: no try is spent
//	           InDoubt                                          processing  retry after the lease
//
// While a provider fails, its circuit breaker is open: nothing is received but one
// message for a probe every 10 s (Admit), and what is held goes back unspent. Where a
// channel has several providers its queue is received on, and only the messages of
// the one that fails go back. Delivery reports and inbound messages need no provider;
// those on a queue that is not received wait, but for the ones that come while a
// message for the probe is looked for.
//
// What would be retried after more than Options.ParkAfter, or whose receives
// are nearly spent, is parked: its row keeps it, and its queue forgets it
// (park.go). Where a copy has no room for its key the row keeps the message on, and
// what the queue has points there (Processor.follow).
//
// Where the store does not answer, nothing is sent and nothing deleted. Where
// it does not take a settlement, the row's lease lapses, and the next claim is
// Doubtful: the provider knows better than anybody's memory.
//
// # Why a lapsed lease can be resolved
//
// A call begins only while the lease has more left than a call may take and
// than the provider may work on after its client gave up. So whoever is granted
// a Doubtful claim asks a provider that has finished: "it has not" is an
// answer, and sending again is safe.
package processor
