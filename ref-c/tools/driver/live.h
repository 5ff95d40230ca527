/* SPDX-License-Identifier: MIT
 *
 * Live actors (driver protocol, section 4): one writer or reader of self-certifying messages. */
#ifndef SHMW_DRIVER_LIVE_H
#define SHMW_DRIVER_LIVE_H

#include "profile.h"

#define LIVE_LARGEST_BATCH 4096 /* messages per call */

struct live;

/* Make an actor from the plan in rq->body: opens the segment, attaches, opens the history file. The caller ends *live. */
int live_arm(struct request *rq, const struct profile *profile, struct live **live);

/* Run it to its end and fill the summary into rq->ok. */
int live_go(struct request *rq, struct live *live);

void live_end(struct live *live);

/* Does the handle of an actor that has answered `go` stay open? */
bool live_stays(const struct live *live);

#endif
